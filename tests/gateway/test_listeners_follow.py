"""Listeners follow the document: added, removed, otherwise; what this machine refuses is refused with its place."""

import json
import os
import socket
import ssl
import subprocess
import sys
from contextlib import suppress

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import running

from .authority import Authority, needs_openssl

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
HERE = "127.0.0.1:0"


def document(*listen, text="told", management=(HERE,), **gateway):
    return {
        "gateway": {"listen": list(listen), **gateway},
        "management": {"listen": list(management)} if management else {"enabled": False},
        "routes": [{"name": "one", "flow": [{"respond": {"body": text}}]}],
    }


def told(url, **arguments):
    return httpx.get(url, trust_env=False, **arguments).text


def refused(url):
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    return True


@pytest.fixture
def taken():
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


@BOTH
def test_an_address_that_is_added_is_served_and_one_that_is_removed_is_not(lane):
    with running(document(HERE, lane=lane)) as gate:
        (first,) = gate.urls
        gate.reload(document(HERE, HERE, lane=lane, text="both"))
        assert [told(url) for url in gate.urls] == ["both", "both"]
        assert gate.urls[0] == first
        second = gate.urls[1]
        with httpx.Client(base_url=second, trust_env=False) as open_before:
            assert open_before.get("/").text == "both"
            gate.reload(document(HERE, lane=lane, text="one"))
            assert open_before.get("/").text == "one"  # what is open goes on
        assert (told(first), refused(second)) == ("one", True)


@BOTH
def test_the_address_moves_to_every_interface_and_back_without_a_gap(lane):
    with running(document(HERE, lane=lane)) as gate:
        gate.reload(document(gate.url.removeprefix("http://"), lane=lane, text="here"))
        port = gate.url.rpartition(":")[2]
        assert told(gate.url) == "here"
        gate.reload(document(f"0.0.0.0:{port}", lane=lane, text="everywhere"))
        assert told(f"http://127.0.0.1:{port}") == "everywhere"
        assert told(f"http://127.0.0.2:{port}") == "everywhere"
        gate.reload(document(f"127.0.0.1:{port}", lane=lane, text="here again"))
        assert (told(f"http://127.0.0.1:{port}"), refused(f"http://127.0.0.2:{port}")) == ("here again", True)


@BOTH
def test_proxy_protocol_begins_and_ends_with_a_document(lane):
    def spoken(gate, header):
        with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2])), timeout=30) as client:
            client.sendall(header + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            with suppress(ConnectionResetError):
                return client.makefile("rb").readline()
        return b""

    header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
    proxied = {"proxy_protocol": "required", "trusted_proxies": ["127.0.0.1"], "lane": lane}
    with running(document(HERE, lane=lane)) as gate:
        url = gate.url
        assert b" 200 " in spoken(gate, b"")
        gate.reload(document(HERE, **proxied))
        assert gate.url == url
        assert b" 200 " in spoken(gate, header)
        assert b" 200 " not in spoken(gate, b"")
        gate.reload(document(HERE, lane=lane))
        assert b" 200 " in spoken(gate, b"")


@needs_openssl
def test_tls_begins_changes_and_ends_with_a_document(tmp_path):
    authority = Authority(tmp_path / "ours", "Ours")
    pair = authority.issue("server", "IP:127.0.0.1")
    tls = {"certificates": [pair]}
    with running(document(HERE)) as gate:
        url = gate.url
        gate.reload(document(f"https://{HERE}", tls=tls, text="hidden"))
        assert gate.url == url.replace("http:", "https:")
        trust = ssl.create_default_context(cafile=authority.certificate)
        assert told(gate.url, verify=trust) == "hidden"
        gate.reload(document(f"https://{HERE}", HERE, tls={**tls, "minimum": "1.3"}, text="both"))
        assert (told(gate.urls[0], verify=trust), told(gate.urls[1])) == ("both", "both")
        gate.reload(document(HERE, text="plain"))
        assert (gate.url, told(url)) == (url, "plain")


def test_the_management_listener_moves_ends_and_comes_back():
    with running(document(HERE)) as gate:
        first = gate.management
        gate.reload(document(HERE, management=(HERE, HERE)))
        assert gate.management == first
        gate.reload(document(HERE, management=()))
        assert (gate.management, told(gate.url), refused(f"{first}/-/health")) == ("", "told", True)
        gate.reload(document(HERE))
        assert httpx.get(f"{gate.management}/-/health", trust_env=False).json()["status"] == "ok"


def test_a_reload_asked_for_over_a_listener_that_it_ends_is_answered():
    with running(document(HERE)) as gate:
        gate._source.document = document(HERE, management=())
        answer = httpx.post(f"{gate.management}/-/reload", trust_env=False, headers={"connection": "close"})
        assert (answer.status_code, answer.json()) == (200, {"generation": 2})
        assert refused(f"{gate.management}/-/health")


def test_the_two_listeners_can_change_places():
    with running(document(HERE)) as gate:
        public, private = (url.removeprefix("http://") for url in (gate.url, gate.management))
        gate.reload(document(public, management=(private,)))
        gate.reload(document(private, management=(public,)))
        assert told(gate.url) == "told"
        assert httpx.get(f"http://{public}/-/health", trust_env=False).json()["status"] == "ok"


@pytest.mark.parametrize("section", ["gateway", "management"])
def test_an_address_that_this_machine_refuses_is_no_good_reload(section, taken):
    """The answer, health, the log and the exit code of `hookgate reload` say so, and all stays as it was."""
    bad = {
        "gateway": document(HERE, HERE, taken, text="new"),
        "management": document(HERE, text="new", management=(HERE, taken)),
    }[section]
    with running(document(HERE, text="old")) as gate:
        before = gate.url, gate.management
        with pytest.raises(ConfigError, match=rf"{section}\.listen: cannot listen on {taken}: the port is in use"):
            gate.reload(bad)
        answer = httpx.post(f"{gate.management}/-/reload", trust_env=False)
        health = httpx.get(f"{gate.management}/-/health", trust_env=False).json()
        command = subprocess.run(
            [sys.executable, "-m", "hookgate", "reload", "--management", gate.management],
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "COLUMNS": "300"},
        )
        assert told(gate.url) == "old"
        gate.reload(document(HERE, text="newer"))
        after = gate.url, gate.management, told(gate.url)

    assert after == (*before, "newer")
    assert answer.status_code == 503
    assert taken in answer.json()["problems"][0]
    assert (health["status"], health["generation"]) == ("degraded", 1)
    assert taken in json.dumps(health["problems"])
    assert (command.returncode, taken in command.stderr) == (3, True)


def test_the_lane_and_limits_of_http2_follow():
    with running(document(HERE, lane=True)) as gate:
        gate.reload(document(HERE, lane=False, limits={"keep_alive_requests": 1}))
        with httpx.Client(base_url=gate.url, trust_env=False) as client:
            answer = client.get("/")

    assert (answer.text, answer.headers.get("connection")) == ("told", "close")
