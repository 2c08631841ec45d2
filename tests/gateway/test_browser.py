"""A real browser behind the gateway. It comes with the system and not with Python: `apt-get install chromium`."""

import asyncio
import shutil
import subprocess
import threading

import pytest

from hookgate.testing import running, upstream

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGE = """<!doctype html><title>events</title><script>
const source = new EventSource("/events");
source.onmessage = event => fetch("/got/" + event.data).then(() => event.data === "3" && source.close());
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")


@pytest.mark.parametrize("lane", [True, False])
def test_events_reach_a_page_one_by_one(lane, tmp_path):
    """Each event leaves only when the page has told of the one before, so none can have waited for company."""
    told, over = {}, threading.Event()

    def heard(number):
        return told.setdefault(number, asyncio.Event())

    async def events():
        for number in (1, 2, 3):
            yield f"data: {number}\n\n".encode()
            await heard(number).wait()
        over.set()

    def answer(request):
        if request.path == "/events":
            return 200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}, events()
        if request.path.startswith("/got/"):
            heard(int(request.path.rpartition("/")[2])).set()
            return 200, {}, ""
        return 200, {"content-type": "text/html"}, PAGE

    with upstream(answer) as backend:
        document = {
            "gateway": {"lane": lane},
            "routes": [{"name": "all", "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:
            options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
            quiet = ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path}"]
            browser = subprocess.Popen(
                [CHROMIUM, *options, *quiet, "--remote-debugging-port=0", gate.url],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                assert over.wait(60)
            finally:
                browser.terminate()
                browser.wait(30)

    assert sorted(told) == [1, 2, 3]
