"""Who may call the management listener by which name, and that pages of others open no WebSocket there."""

from contextlib import closing
from http.client import HTTPConnection

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import running

ANSWERING = {"routes": [{"name": "all", "flow": [{"respond": {"body": "ok"}}]}]}


def document(*names, **more):
    return {**ANSWERING, "management": {"allowed_hosts": list(names), **more}}


def asked(gate, host, method="GET", path="/-/health", **headers):
    sent = {"Host": host, **headers}
    return httpx.request(method, gate.management + path, headers=sent, trust_env=False, timeout=60).status_code


def test_names_are_exact_whatever_the_case_and_the_port_and_follow_a_reload():
    with running(document("Gate.Example", "localhost.corp.")) as gate:
        ours = ("gate.example", "GATE.example:8443", "localhost.corp", "localhost", "[::1]", "[::1]:8001", "127.0.0.1")
        assert {host: asked(gate, host) for host in ours} == dict.fromkeys(ours, 200)
        others = ("evil.example", "x.gate.example", "gate.example.evil", "gate", "gate.example.:1", "corp")
        assert {host: asked(gate, host) for host in others} == dict.fromkeys(others, 421)
        assert asked(gate, "gate.example", "POST", "/-/reload", Origin="https://gate.example") == 200
        assert asked(gate, "gate.example", "POST", "/-/reload", Origin="https://evil.example") == 403
        assert asked(gate, "gate.example", "POST", "/-/reload", Origin="https://localhost.corp") == 403
        gate.reload(document("other.example"))
        assert (asked(gate, "gate.example"), asked(gate, "other.example")) == (421, 200)
        gate.reload(ANSWERING)
        assert (asked(gate, "other.example"), asked(gate, "localhost")) == (421, 200)


@pytest.mark.parametrize("name", ["*", "*.gate.example", "https://gate.example", "gate.example:8001", "10.0.0.1", ""])
def test_what_is_no_name_is_refused_with_its_place(name):
    told = r"management\.allowed_hosts\[0\]: .*is no host name"
    with pytest.raises(ConfigError, match=told), running(document(name)):
        pass


ECHO = """
from quart import Blueprint, websocket

from hookgate import App, Options, hookimpl


class Echo(App[Options]):
    \"\"\"Says hello.\"\"\"

    @hookimpl
    def blueprint(self, host):
        pages = Blueprint("echo", __name__)

        @pages.websocket("/echo")
        async def echo():
            await websocket.send("hello")

        return pages
"""


def opened(url, headers):
    """Ask for a WebSocket; return the status."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=60)) as connection:
        connection.request("GET", "/-/echo", headers=upgrade | headers)
        return connection.getresponse().status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Origin": "{own}"}, 101),
        ({"Host": "gate.example", "Origin": "https://gate.example"}, 101),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
    ],
)
def test_a_web_socket_is_for_own_pages_and_own_names(tmp_path, headers, status):
    (tmp_path / "echo.py").write_text(ECHO)
    with running(document("gate.example", apps=["echo"]), plugins_dir=tmp_path) as gate:
        told = {name: value.format(own=gate.management) for name, value in headers.items()}
        assert opened(gate.management, told) == status
