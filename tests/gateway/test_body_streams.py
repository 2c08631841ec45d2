"""Bodies as they stream through a running gateway: looked at, and changed by what waits, over the lane and the edge."""

import hashlib
import socket
import time
from pathlib import Path

import pytest

from hookgate.testing import running, upstream

PLUGINS = Path(__file__).parent / "culprits"
BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
MIB = 1024 * 1024


def document(backend, flow, *, lane, limits=None):
    return {
        "gateway": {"lane": lane, "hook_timeout": 5, "limits": limits or {}},
        "routes": [{"name": "all", "flow": flow, "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url}},
    }


def echo(request):
    return 200, {"content-type": "application/octet-stream"}, request.body


def pieces(data, size=7):
    for at in range(0, len(data), size):
        yield data[at : at + size]


@BOTH
@pytest.mark.parametrize("most", [0, 1, 6, 7, 100])
@pytest.mark.parametrize("data", [b"", b"x", b"sixsix", b"eleven bytes" * 3])
def test_who_looks_at_the_beginning_leaves_the_body_whole_on_both_ways(lane, most, data):
    flow = [{"looking": {"most": most}}]
    with upstream(echo) as backend, running(document(backend, flow, lane=lane), plugins_dir=PLUGINS) as gate:
        answers = [
            gate.request("POST", "/", content=data),
            gate.request("POST", "/", content=pieces(data)),  # chunked
            gate.request("POST", "/", content=data, headers={"x-then": "upper"}),
        ]
        exchanges = gate.wait_for_exchanges(3)

    assert [answer.content for answer in answers] == [data, data, data.upper()]
    for exchange in exchanges:
        seen = exchange.variables["seen"]
        assert seen["request"] == data[:most]
        assert seen["response"].lower() == data[:most].lower()
        assert exchange.bytes_received == len(data)


@BOTH
def test_a_large_body_streams_on_after_a_look_with_its_sender_held_back(lane):
    data = bytes(range(256)) * (16 * 1024)
    flow = [{"looking": {"most": 100}}]
    with upstream(echo) as backend, running(document(backend, flow, lane=lane), plugins_dir=PLUGINS) as gate:
        answer = gate.request("POST", "/", content=data)

    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(data).digest()


@BOTH
def test_a_limit_holds_for_a_body_that_somebody_looks_at(lane):
    flow = [{"looking": {"most": 100}}]
    served = lambda backend: document(backend, flow, lane=lane, limits={"request_body": 10})  # noqa: E731
    with upstream(echo) as backend, running(served(backend), plugins_dir=PLUGINS) as gate:
        assert gate.request("POST", "/", content=pieces(b"x" * 11)).status_code == 413
        assert gate.request("POST", "/", content=pieces(b"x" * 10)).status_code == 200


@BOTH
def test_a_client_that_leaves_while_somebody_looks_ends_the_call(lane):
    flow = [{"looking": {"most": 100}}]
    with upstream(echo) as backend, running(document(backend, flow, lane=lane), plugins_dir=PLUGINS) as gate:
        host, _, port = gate.url.partition("://")[2].partition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly a part")
            time.sleep(0.1)
        (exchange,) = gate.wait_for_exchanges(1)
        assert exchange.outcome == "aborted"
        assert not backend.requests
        assert gate.request("POST", "/", content=b"next").content == b"next"


@BOTH
def test_a_map_that_waits_changes_both_ways(lane):
    data = b"some bytes " * 20_000
    flow = [{"shouting": {}}]
    with upstream(echo) as backend, running(document(backend, flow, lane=lane), plugins_dir=PLUGINS) as gate:
        answers = [gate.request("POST", "/", content=content) for content in (data, pieces(data, 8192), b"")]
        (first, _, last) = gate.wait_for_exchanges(3)

    assert [answer.content for answer in answers] == [data.upper() + b"!?"] * 2 + [b"!?"]
    assert first.bytes_received == len(data)
    assert last.bytes_received == 0


@BOTH
def test_a_map_that_waits_holds_its_sender_back(lane):
    """The backend sends what no buffer holds; while the map waits, nothing more of it is read."""
    sent = []

    def endless():
        for _ in range(2000):
            sent.append(65536)
            yield b"x" * 65536

    flow = [{"shouting": {"pause": 0.5}}]
    answering = lambda request: (200, {}, endless())  # noqa: E731
    with upstream(answering) as backend, running(document(backend, flow, lane=lane), plugins_dir=PLUGINS) as gate:
        with gate.client.stream("GET", "/") as answer:
            next(answer.iter_raw())
            assert sum(sent) < 64 * MIB
        (exchange,) = gate.wait_for_exchanges(1)
        assert exchange.outcome == "aborted"


FAILING = {"raises": "fails", "gives a text": "text", "never ends": "hangs", "calls sys.exit": "exits"}


@BOTH
@pytest.mark.parametrize("deed", FAILING.values(), ids=FAILING)
def test_a_map_that_fails_is_named_on_both_ways(lane, deed):
    for way, outcome in (("request", "ok"), ("response", "broken")):
        flow = [{"shouting": {"_": {"id": "the-culprit"}, "deed": deed, "way": way}}]
        served = lambda backend, flow=flow: {  # noqa: E731
            **document(backend, flow, lane=lane),
            "gateway": {"lane": lane, "hook_timeout": 0.2},
        }
        with upstream(echo) as backend, running(served(backend), plugins_dir=PLUGINS) as gate:
            if way == "request":
                answer = gate.request("POST", "/", content=b"some bytes")
                assert (answer.status_code, answer.json()["reason"]) == (500, "plugin-error")
            else:
                with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected"):
                    gate.request("POST", "/", content=b"some bytes")
            (exchange,) = gate.wait_for_exchanges(1)
            log = [record.getMessage() for record in gate.log]

        hook = f"on_{way}"
        assert any(f"plugin the-culprit failed in {hook}: in a map of the body" in line for line in log), log
        assert exchange.outcome == outcome
        assert exchange.fault.reason == "plugin-error"
