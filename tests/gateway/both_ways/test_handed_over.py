"""What Hypercorn serves is as strict: connections that the lane gave away, and calls over HTTP/2."""

import pytest

from hookgate.testing import running

from .http2 import Http2
from .test_desync import CHUNKS, CL, EVIL, TE, ended, head
from .test_same_answers import GET, request
from .wire import Wire


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize(
    "bad",
    [
        head(CL, TE) + b"0\r\n\r\n" + EVIL,
        head(host=b"Host: a b") + EVIL,
        head(TE) + b"5;a\rb" + CHUNKS + EVIL,
        head(b"X: a\x01b") + EVIL,
        head(target=b"/status/live#a") + EVIL,
        head(target=b"/status/live", host=b"Host: a:abc") + EVIL,
    ],
)
def test_a_connection_that_was_given_away_stays_strict(lane, bad):
    """An app without a flow is Hypercorn's, and so is what follows on its connection."""
    document = {
        "gateway": {"lane": lane, "expose": {"/status": "health"}, "flow": []},
        "routes": [{"name": "all", "match": {"path": "/*"}, "flow": [{"respond": {"body": "served"}}]}],
    }
    with running(document) as gate, Wire(gate.url) as wire:
        assert wire.send(request("/status/live")).answer().status == 200
        assert wire.send(request("/tree")).answer().body == b"served"
        answer = wire.send(bad).answer()
        assert (answer.status, answer.closes) == (400, True)
        assert ended(wire)


def test_pages_on_the_management_listener_are_as_strict():
    with running({"routes": []}) as gate:
        for bad in (head(CL, TE) + EVIL, head(host=b"Host: a:abc"), head(TE, target=b"/-/live") + b"5;a\rb" + CHUNKS):
            with Wire(gate.management) as wire:
                assert wire.send(request("/-/live", host="localhost")).answer().status == 200
                answer = wire.send(bad).answer()
                assert (answer.status, answer.closes) == (400, True)
                assert ended(wire)


def test_a_refused_client_that_still_sends_reads_why(way):
    """A connection that is closed while something comes is reset, and a reset throws the answer away."""
    for _ in range(5):
        with way.connect() as wire:
            wire.send(head(CL, TE) + bytes(300_000))
            assert wire.answer().status == 400
            assert ended(wire)


def test_nobody_is_taken_to_http2_by_an_upgrade(way):
    """RFC 9113, 3.1 has no such upgrade any more, and what follows it would be read by other rules."""
    h2c = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    with way.connect() as wire:
        assert wire.send(request("/plain", *h2c)).answer().status == 200
        assert wire.send(GET).answer().status == 200


@pytest.mark.parametrize(
    "authority",
    ["gw.test:abc", "[::1", "u@a", "u:p@a", "a/b", "a b", "a:99999", "[::g]", ":80", "a#b", "a\\b", "%61", "a,b c"],
)
def test_an_authority_of_http2_is_a_host_and_a_port(way, authority):
    with Http2(way.gate.url) as client:
        assert client.call("/plain", authority=authority).status == 400
        assert client.call("/plain", authority="A.Test:80").status == 200  # and the connection goes on
    assert [each.path for each in way.backend.requests] == ["/plain"]


@pytest.mark.parametrize("path", ["http://b/plain", "http://u@b/plain", "*"])
def test_a_path_of_http2_names_no_authority_of_its_own(way, path):
    with Http2(way.gate.url) as client:
        assert client.call(path).status == 400
    assert way.backend.requests == []


@pytest.mark.parametrize("authority", ["[::1]", "[2001:db8::1]:443", "a:", "xn--bcher-kva.example"])
def test_what_is_a_host_is_taken_over_http2(way, authority):
    with Http2(way.gate.url) as client:
        assert client.call("/plain", authority=authority).status == 200
