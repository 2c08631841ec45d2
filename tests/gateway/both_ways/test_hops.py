"""What is for one hop only: headers, upgrades, and questions that end at the gateway (RFC 9110, 7.6 and 7.8)."""

import pytest

from hookgate.testing import running, upstream

from .conftest import answer as answers
from .http2 import Http2
from .test_same_answers import GET, counted, request
from .wire import Wire

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def gateway(backend, lane, transport, *flow):
    return {
        "gateway": {"lane": lane},
        "routes": [{"name": "all", "match": {"path": "/*"}, "flow": list(flow), "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url, "transport": transport}},
    }


@pytest.mark.parametrize("transport", ["http", "httpx"])
def test_no_header_of_the_backends_hop_reaches_a_client(lane, transport):
    with upstream(answers) as backend, running(gateway(backend, lane, transport)) as gate:
        with Wire(gate.url) as wire:
            seen = [dict(wire.send(request("/plain?hop")).answer().headers)]
            assert wire.send(request("/plain?404")).answer().status == 404
        with Http2(gate.url) as client:
            seen.append(dict(client.call("/plain?hop").headers))
    for headers in seen:
        headers.pop("date")
        assert headers == {"x-kept": "1", "content-length": "3"}


@pytest.mark.parametrize(
    "line",
    [
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "Proxy-Authorization: x",
        "Proxy-Connection: close",
        "TE: trailers",
        "Trailer: X-Sum",
        "Upgrade: h2c",
        "Connection: X-Other",
        "Connection: close",
    ],
)
def test_each_header_of_one_hop_alone(way, line):
    way.backend.answer = lambda _: (200, [tuple(line.split(": ")), ("X-Other", "1"), ("X-Kept", "1")], b"")
    with way.connect() as wire:
        headers = dict(wire.send(GET).answer().headers)
        assert wire.send(GET).answer().status == 200  # Connection of the backend is none of the client's
    named = line == "Connection: X-Other"
    assert headers.keys() == {"date", "content-length", "x-kept"} | (set() if named else {"x-other"})


def said(answer):
    """What an answer says in Connection."""
    return [each for name, value in answer.headers if name == "connection" for each in value.split(", ")]


@pytest.mark.parametrize("transport", ["http", "httpx"])
def test_426_says_which_protocol_it_wants(lane, transport):
    """RFC 9110, 15.5.22: a server sends Upgrade with it; HTTP/2 has no such thing (RFC 9113, 8.2.2)."""
    with upstream(answers) as backend, running(gateway(backend, lane, transport)) as gate:
        with Wire(gate.url) as wire:
            answer = wire.send(request("/plain?426")).answer()
            last = wire.send(request("/plain?426", "Connection: close")).answer()
        with Http2(gate.url) as client:
            other = client.call("/plain?426")
    for each in (answer, last):
        protocols = ", ".join(value for name, value in each.headers if name == "upgrade")
        assert (each.status, protocols, each.body) == (426, "websocket, TLS/1.0", b"no")
        assert (each["sec-websocket-version"], each["x-hop"]) == ("13", None)
        assert "upgrade" in said(each)
    assert "close" in said(last)
    assert (other.status, other["upgrade"], other["connection"], other["sec-websocket-version"]) == (
        *(426, None, None, "13"),
    )


def test_426_of_a_step_says_it_as_well(lane):
    step = {"respond": {"status": 426, "headers": {"Upgrade": "websocket"}, "body": "no"}}
    with upstream(answers) as backend, running(gateway(backend, lane, "http", step)) as gate:
        with Wire(gate.url) as wire:
            answer = wire.send(GET).answer()
            assert wire.send(GET).answer().status == 426
        with Http2(gate.url) as client:
            assert client.call("/plain").status == 426
    assert (answer["upgrade"], answer["connection"]) == ("websocket", "upgrade")


@pytest.mark.parametrize(
    "lines",
    [
        ["Upgrade: websocket"],
        ["Upgrade: WebSocket"],
        ["Upgrade: websocket, h2c"],
        ["Upgrade: h2c, websocket"],
        ["Upgrade: h2c", "Upgrade: websocket"],
        ["Upgrade: websocket", "Upgrade: h2c"],
        ["Upgrade: x/1 ,websocket ,"],
        ["Connection: keep-alive", "Upgrade: websocket"],
    ],
)
def test_of_several_protocols_the_one_that_is_spoken_is_taken(way, lines):
    """The backend is asked for a WebSocket; this one refuses, and its answer shows that it was asked."""
    asked = []

    def refuse(received):
        asked.append((received.header("upgrade"), received.header("connection")))
        return 403, {}, b"no"

    way.backend.answer = refuse
    with way.connect() as wire:
        wire.send(request("/plain", "Connection: Upgrade", *lines, KEY, "Sec-WebSocket-Version: 13"))
        assert wire.answer().status == 403
    assert asked == [("websocket", "upgrade")]


@pytest.mark.parametrize(
    "call",
    [
        request("/plain", "Connection: Upgrade", "Upgrade: h2c"),
        request("/plain", "Connection: Upgrade", "Upgrade: websockets"),
        request("/plain", "Connection: Upgrade", "Upgrade:"),
        request("/plain", "Upgrade: websocket", KEY),
        request("/plain", "Connection: Upgrade", "Upgrade: websocket", KEY, method="DELETE"),
        counted("/plain", b"x", "Connection: Upgrade", "Upgrade: websocket", KEY, method="GET"),
        request("/plain", "Connection: Upgrade, close", "Upgrade: websocket", KEY, version="1.0"),
    ],
)
def test_what_is_no_proper_upgrade_is_a_call_like_any_other(way, call):
    with way.connect() as wire:
        assert wire.send(call).answer().status == 200
    assert [(each.header("upgrade"), each.header("connection")) for each in way.backend.requests] == [(None, None)]


# --- questions that end here ------------------------------------------------------------------------------------------

USUAL = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


def test_options_of_the_gateway_as_a_whole(way):
    """RFC 9110, 9.3.7: no resource is meant, so no backend is asked."""
    with way.connect() as wire:
        answer = wire.send(request("*", method="OPTIONS")).answer()
        assert (answer.status, answer["allow"], answer["content-length"]) == (200, USUAL, "0")
        assert wire.send(request("*", "Max-Forwards: 3", method="OPTIONS")).answer().status == 200
        assert wire.send(GET).answer().status == 200
    with Http2(way.gate.url) as client:
        answer = client.call("*", method="OPTIONS")
        assert (answer.status, answer["allow"]) == (200, USUAL)
    assert [each.path for each in way.backend.requests] == ["/plain"]


@pytest.mark.parametrize("target", ["*?a", "*/", "**", "/*"])
def test_an_asterisk_is_a_target_only_alone(way, target):
    with way.connect() as wire:
        answer = wire.send(request(target, method="OPTIONS")).answer()
        assert (answer.status, answer.closes) == ((404, False) if target == "/*" else (400, True))


def test_steps_of_the_gateway_see_such_a_question(lane):
    """What is asked of the gateway is no way around who may ask it."""
    document = {"gateway": {"lane": lane, "flow": [{"ip-filter": {"block": ["127.0.0.0/8"]}}]}}
    with running(document) as gate, Wire(gate.url) as wire:
        assert wire.send(request("*", method="OPTIONS")).answer().status == 403


@pytest.mark.parametrize("zero", ["0", "000"])
def test_max_forwards_0_ends_here(way, zero):
    """RFC 9110, 7.6.2. TRACE would show what proxies in front have added, so it is not answered."""
    with way.connect() as wire:
        options = wire.send(request("/plain", f"Max-Forwards: {zero}", method="OPTIONS")).answer()
        trace = wire.send(request("/plain", f"Max-Forwards: {zero}", "Cookie: secret", method="TRACE")).answer()
        get = wire.send(request("/plain", f"Max-Forwards: {zero}")).answer()
        only = wire.send(request("/only", f"Max-Forwards: {zero}", method="OPTIONS")).answer()
    with Http2(way.gate.url) as client:
        over = client.call("/plain", ("max-forwards", zero), method="OPTIONS")
    assert (options.status, options["allow"]) == (over.status, over["allow"]) == (200, USUAL)
    assert (trace.status, trace["allow"], b"secret" in trace.body) == (405, USUAL, False)
    assert (get.status, only.status) == (200, 405)
    assert [(each.method, each.header("max-forwards")) for each in way.backend.requests] == [("GET", zero)]


def test_max_forwards_counts_down(way):
    with way.connect() as wire:
        for method in ("OPTIONS", "TRACE", "GET"):
            assert wire.send(request("/plain", "Max-Forwards: 10", method=method)).answer().status == 200
        assert wire.send(request("/plain", method="OPTIONS")).answer().status == 200
    assert [each.header("max-forwards") for each in way.backend.requests] == ["9", "9", "10", None]


@pytest.mark.parametrize("lines", [["-1"], ["x"], [""], ["1", "2"], ["0", "9"], ["9" * 10], ["\xb2"], ["1, 2"]])
def test_a_max_forwards_that_is_no_number_is_refused(way, lines):
    with way.connect() as wire:
        for method in ("OPTIONS", "TRACE"):
            call = request("/plain", *[f"Max-Forwards: {line}" for line in lines], method=method)
            assert wire.send(call).answer().status == 400
    assert way.backend.requests == []


@pytest.mark.parametrize("lines", ["", "Host: a\r\n"], ids=["no-host", "host"])
def test_what_connection_names_stays_here_whether_there_is_a_host_or_not(way, lines):
    with way.connect() as wire:
        sent = f"GET /plain?404 HTTP/1.0\r\n{lines}Connection: X-Other\r\nX-Other: 1\r\nX-Kept: 1\r\n\r\n"
        wire.send(sent.encode()).answer()
    names = {name.lower() for name, _ in way.backend.requests[-1].headers}
    assert "x-kept" in names
    assert not names & {"x-other", "connection"}
