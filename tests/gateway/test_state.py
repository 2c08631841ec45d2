"""State of plugins: a used-up quota is used up after a restart, and a store that fails harms only who asks it."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from hookgate.testing import running

from ..house.pages import write_files  # noqa: TID252 - how tests find each other, wherever they are run from

STORES = '''
import asyncio

from hookgate import Interceptor, Options, Response, Row, StateError, StateStore, hookimpl


class Away(StateStore[Options]):
    """Is not there."""

    @hookimpl
    async def read(self, name, key, now):
        raise StateError("nobody answers at db.invalid")


class Hanging(StateStore[Options]):
    """Never answers."""

    @hookimpl
    async def read(self, name, key, now):
        await asyncio.Event().wait()


class Early(Interceptor[Options]):
    """Asks for state while it starts."""

    @hookimpl
    async def startup(self, host):
        self._state = host.state("early")
        self._starts = await self._state.add("starts")

    @hookimpl
    def on_request(self, exchange):
        return Response.text(str(self._starts))


class Asking(Interceptor[Options]):
    """Asks for state, and says what comes of it."""

    @hookimpl
    def startup(self, host):
        self._state = host.state("asking")

    @hookimpl
    async def on_request(self, exchange):
        try:
            return Response.text(str(await self._state.get("a")))
        except StateError as error:
            return Response.text(str(error), 503)
'''
QUOTA = """
gateway: {listen: ["127.0.0.1:0"], lane: LANE, lame_duck: 0, state: {sqlite: {path: state.db}}}
management: {enabled: false}
routes:
  - {name: orders, match: {path: /orders}, flow: [{quota: {calls: 3}}, {respond: {body: fine}}]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the plugins of the guide, and some stores."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    write_files(Path("docs/plugin-guide/state.md"), tmp_path)
    Path("plugins/strangers.py").write_text(STORES)
    return tmp_path


@contextmanager
def served(document, end):
    """A process that serves, and how it ends."""
    Path("served.yaml").write_text(document)
    environment = {**os.environ, "HOOKGATE_PLUGINS_DIR": "plugins", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "hookgate", "serve", "served.yaml"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stderr.readline, "")
            url = next(found[1] for line in lines if (found := re.search(r"hookgate serves (\S+)", line)))
            threading.Thread(target=process.stderr.read, daemon=True).start()  # or its log would fill the pipe
            yield url.rstrip("/")
        finally:
            process.send_signal(end)
            try:
                process.wait(60)
            finally:
                process.kill()


@pytest.mark.parametrize("lane", ["true", "false"], ids=["lane", "edge"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_a_quota_that_is_used_up_is_used_up_after_a_restart(lane, end, folder):
    answers = []
    for _ in range(3):
        with served(QUOTA.replace("LANE", lane), end) as url:
            answers += [httpx.get(f"{url}/orders").status_code for _ in range(2)]

    assert answers == [200, 200, 200, 429, 429, 429]


def routes(*steps, **gateway):
    flows = {step: [step] for step in steps} | {"other": [{"respond": {"body": "fine"}}]}
    return {
        "gateway": gateway,
        "routes": [{"name": name, "match": {"path": f"/{name}"}, "flow": flow} for name, flow in flows.items()],
    }


def test_a_store_that_is_away_is_named_and_stands_on_the_page_of_health(folder):
    with running(routes("asking", state="away"), plugins_dir=Path("plugins")) as gate:
        assert httpx.get(f"{gate.management}/-/health").json()["status"] == "ok"
        told = gate.request("GET", "/asking")
        health = httpx.get(f"{gate.management}/-/health").json()
        why = "the state 'asking' cannot be used: gateway/away: nobody answers at db.invalid"
        assert (told.status_code, told.text) == (503, why)
        assert health["status"] == "degraded"
        assert health["problems"] == ["state: gateway/away: nobody answers at db.invalid"]
        assert gate.request("GET", "/other").text == "fine"
        gate.reload(routes("asking", state="memory"))
        assert gate.request("GET", "/asking").text == "None"
        assert httpx.get(f"{gate.management}/-/health").json()["status"] == "ok"


def test_a_store_that_hangs_is_given_up(folder, monkeypatch):
    monkeypatch.setattr("hookgate.gateway.keeping.PATIENCE", 0.2)
    with running(routes("asking", state="hanging"), plugins_dir=Path("plugins")) as gate:
        told = gate.request("GET", "/asking")
        assert (told.status_code, "gateway/hanging: does not answer within 0.2 s" in told.text) == (503, True)
        assert gate.request("GET", "/other").text == "fine"


def test_a_store_without_a_hook_says_so(folder):
    document = routes(state="away")
    document["routes"][0]["flow"] = [{"quota": {"calls": 1}}]
    with running(document, plugins_dir=Path("plugins")) as gate:
        assert gate.request("GET", "/other").status_code == 503
        assert gate.gateway.status()["problems"] == ["state: gateway/away: has no hook increase"]


@pytest.mark.parametrize("state", ["memory", {"sqlite": {"path": "state.db"}}], ids=["memory", "sqlite"])
def test_state_is_there_while_plugins_start(state, folder):
    with running(routes("early", state=state), plugins_dir=Path("plugins")) as gate:
        assert gate.request("GET", "/early").text == "1"
        gate.reload(routes("early", "asking", state=state))
        assert gate.request("GET", "/early").text == "1"  # it is the same one
    with running(routes("early", state=state), plugins_dir=Path("plugins")) as gate:
        assert gate.request("GET", "/early").text == ("1" if state == "memory" else "2")


def test_a_cache_ends_with_its_plugin(folder):
    Path("plugins/forever.py").write_text(
        "import asyncio\n\nfrom hookgate import Interceptor, Options, hookimpl\n\nENDED = []\n\n\n"
        'class Forever(Interceptor[Options]):\n    """Makes what is never there."""\n\n'
        "    @hookimpl\n    def startup(self, host):\n        self._cache = host.cache(ttl=60)\n\n"
        "    @hookimpl\n    async def on_request(self, exchange):\n"
        "        async with asyncio.timeout(0.1):\n            await self._cache.get('a', self._made)\n\n"
        "    async def _made(self):\n        try:\n            await asyncio.Event().wait()\n"
        "        finally:\n            ENDED.append(1)\n"
    )
    with running(routes("forever"), plugins_dir=Path("plugins")) as gate:
        assert gate.request("GET", "/forever").status_code == 500
        (forever,) = [each for each in gate.gateway.live.config.instances.values() if each.entry.name == "forever"]
        ended = forever._made.__globals__["ENDED"]
        assert ended == []  # others may still want it
    assert ended == [1]
