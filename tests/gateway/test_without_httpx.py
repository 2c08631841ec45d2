"""What a gateway does not need is not there: httpx belongs to one transport and the test kit, a database to a store."""

import re
import subprocess
import sys
from urllib.request import urlopen

import pytest

from hookgate.testing import upstream

DOCUMENT = """
gateway: {{listen: ["127.0.0.1:0"], lame_duck: 0}}
management: {{listen: ["127.0.0.1:0"]}}
routes:
  - name: all
    flow: [{{callout: {{name: score, url: "{url}/score"}}}}]
    to: {{connection: backend}}
connections:
  backend: {{targets: "{url}", transport: {transport}}}
"""
WITHOUT = [sys.executable, "-X", "importtime", "-m", "hookgate"]


SPARED = ("httpx", "httpcore", "sqlalchemy", "joserfc", "lxml", "jinja2.sandbox", "hookgate_storage", "hookgate_people")
"""What takes long to import, or much memory."""


def imported(said):
    """Return which of those were imported, as ``-X importtime`` says it."""
    names = "|".join(map(re.escape, SPARED))
    return set(re.findall(rf"^import time:.*\| +({names})$", said, flags=re.MULTILINE))


@pytest.mark.parametrize(("transport", "expected"), [("http", set()), ("httpx", {"httpx", "httpcore"})])
def test_a_gateway_that_serves_and_calls_out_imports_httpx_for_the_transport_of_that_name_only(
    tmp_path, transport, expected
):
    file = tmp_path / "gateway.yaml"
    with upstream() as backend:
        file.write_text(DOCUMENT.format(url=backend.url, transport=transport))
        with subprocess.Popen([*WITHOUT, "serve", file], stderr=subprocess.PIPE, text=True) as gateway:
            said = ""
            try:
                while not (url := re.search(r"hookgate serves (\S+)", said)):
                    line = gateway.stderr.readline()
                    assert line, f"the gateway ended before it listened:\n{said[-2000:]}"
                    said += line
                with urlopen(f"{url[1]}/orders", timeout=30) as answer:
                    assert answer.read() == b"ok"
            finally:
                gateway.terminate()
                try:
                    said += gateway.communicate(timeout=60)[1]
                finally:
                    gateway.kill()

    assert [request.path for request in backend.requests] == ["/score", "/orders"]
    assert "hookgate.client" in said  # so that the list would show the others
    assert imported(said) == expected


@pytest.mark.parametrize("command", ["--help", "check", "routes", "connections"])
def test_commands_import_no_httpx(tmp_path, command):
    """The one that lists all commands imports all of them, and what they work on."""
    file = tmp_path / "gateway.yaml"
    file.write_text(DOCUMENT.format(url="http://127.0.0.1:1", transport="http"))
    arguments = [command, file] if command in {"check", "routes"} else [command]
    environment = {"HOOKGATE_MANAGEMENT_URL": "http://127.0.0.1:1"}
    ended = subprocess.run([*WITHOUT, *arguments], capture_output=True, text=True, timeout=240, env=environment)

    assert ended.returncode == (3 if command == "connections" else 0)  # no gateway is there to ask
    assert "hookgate.client" in ended.stderr
    of_all_commands = set(SPARED[2:]) if command == "--help" else set()
    assert imported(ended.stderr) - of_all_commands == set()


def test_the_packages_of_core_import_no_httpx():
    """The test kit neither, until a test asks for its client."""
    program = """
import importlib, pkgutil, sys
import hookgate
for module in pkgutil.walk_packages(hookgate.__path__, "hookgate."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(sorted({name for name in sys.modules if name in ("httpx", "httpcore")}))
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True)

    assert said.stdout == "[]\n"
