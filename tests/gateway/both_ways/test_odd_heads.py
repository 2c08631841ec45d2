"""Heads of backends that no proxy may hand on, whatever has read them; and one that clients stumble over."""

import pytest

from hookgate.testing import running, upstream
from hookgate.testing.upstream import Reset

from .http2 import Http2
from .test_hops import gateway
from .test_same_answers import GET
from .wire import Wire

LANES = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


@LANES
@pytest.mark.parametrize("transport", ["http", "httpx"])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 600 No\r\n",
        b"HTTP/1.1 099 No\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\x01b\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: \x7f\r\n",
    ],
    ids=["600", "099", "control", "delete"],
)
def test_a_status_that_there_is_not_and_control_characters_reach_no_client(lane, transport, head):
    with upstream(lambda _: Reset(head + b"Content-Length: 2\r\n\r\nok")) as backend:
        with running(gateway(backend, lane, transport)) as gate, Wire(gate.url) as wire, Http2(gate.url) as other:
            seen = [wire.send(GET).answer().status, other.call("/").status]
            kinds = {exchange.attempts[0].outcome.kind for exchange in gate.wait_for_exchanges(2)}
    assert (seen, kinds) == ([502, 502], {"broken"})


@LANES
def test_lines_that_end_in_lf_alone_are_told_at_once(lane):
    """The end of the head would be waited for until the time is over."""
    with upstream(lambda _: Reset(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")) as backend:
        with running(gateway(backend, lane, "http")) as gate:
            answer = gate.request("GET", "/")
    assert (answer.status_code, answer.json()["reason"]) == (502, "upstream-protocol")


@LANES
def test_a_304_tells_no_length_over_http2(lane):
    """It may (RFC 9110, 8.6), and clients that are made with h2 wait for the body in vain."""
    with upstream(lambda _: (304, {"etag": '"1"', "content-length": "7"}, b"")) as backend:
        with running(gateway(backend, lane, "http")) as gate, Wire(gate.url) as wire, Http2(gate.url) as other:
            first, second = wire.send(GET).answer(), other.call("/")
    assert (first.status, first["content-length"]) == (304, "7")
    assert (second.status, second["etag"], second["content-length"]) == (304, '"1"', None)
