"""What backends say before their answer (RFC 9110, 15.2): which of it clients get, over each way."""

import pytest

from hookgate.testing import running, upstream

from .conftest import SITE
from .http2 import Http2
from .wire import Wire

FIELDS = {
    "Link": "</a>; rel=preload",
    "X-Early": "1",
    "Set-Cookie": "a=1",
    "Content-Length": "5",
    "Content-Type": "text/plain",
    "Connection": "x-hop",
    "X-Hop": "1",
    "Keep-Alive": "timeout=5",
}
EARLY = b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % b"".join(f"{name}: {FIELDS[name]}\r\n".encode() for name in FIELDS)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=["lane", "edge"])
def gate(request):
    with upstream() as backend:
        to = {"connection": "crm"}
        described = {
            "gateway": {"lane": request.param == "lane"},
            "routes": [
                {"name": "plain", "match": {"path": "/plain"}, "to": to},
                {"name": "in", "match": {"path": "/in"}, "request": ["marking-later"], "to": to},
                {"name": "out", "match": {"path": "/out"}, "response": ["marking"], "to": to},
                {
                    "name": "within",
                    "match": {"path": "/within"},
                    "flow": [{"when": {"if": "true", "flow": ["marking"]}}],
                    "to": to,
                },
            ],
            "connections": {"crm": {"targets": [backend.url], "max_tries": 2, "retry": {"on": [503]}}},
        }
        with running(described, plugins_dir=SITE) as gate:
            gate.backend = backend
            yield gate


def answering(*pieces):
    """Serve connections of a backend, each call by the next of these; bytes go out one by one, and ``None`` waits for
    the client to have seen what came before."""
    pieces = list(pieces)

    async def serve(reader, writer):
        try:
            while pieces and await reader.readuntil(b"\r\n\r\n"):
                writer.write(pieces.pop(0))
        except EOFError:
            pass
        writer.close()

    return serve


def over_http1(gate, path):
    with Wire(gate.url) as wire:
        wire.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        seen = [wire.head()]
        while seen[-1].status < 200:
            seen.append(wire.head())
        assert wire.take(2) == b"ok"
        # The connection is good for another call, whose answer is its own.
        wire.send(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.answer().status == 404
        return [(each.status, dict(each.headers)) for each in seen]


def over_http2(gate, path):
    with Http2(gate.url) as client:
        reply = client.call(path)
        assert (reply.body, client.call("/nowhere").status) == (b"ok", 404)
        return [*reply.before, (reply.status, dict(reply.headers))]


OVER = {"HTTP/1.1": over_http1, "HTTP/2": over_http2}


@pytest.mark.parametrize("version", OVER)
@pytest.mark.parametrize(
    ("path", "passes"),
    [("/plain", {"link", "x-early"}), ("/in", {"link", "x-early"}), ("/out", {"link"}), ("/within", {"link"})],
)
def test_all_that_is_meant_for_the_client_passes_but_beside_steps_that_have_not_seen_it_links_only(
    gate, version, path, passes
):
    gate.backend.serve = answering(EARLY + ANSWER)
    early, (status, _) = OVER[version](gate, path)
    assert (early[0], status) == (103, 200)
    assert early[1] == {name.lower(): value for name, value in FIELDS.items() if name.lower() in passes}


@pytest.mark.parametrize("version", OVER)
def test_it_is_told_before_the_answer_is_there_and_again_by_the_next_try(gate, version):
    again = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    gate.backend.serve = answering(EARLY + again, b"HTTP/1.1 102 Processing\r\n\r\n" + EARLY + ANSWER)
    assert [status for status, _ in OVER[version](gate, "/plain")] == [103, 102, 103, 200]


@pytest.mark.parametrize("path", ["/plain", "/in"])
def test_a_client_that_waits_sees_it_while_the_backend_still_works(gate, path):
    import threading

    seen = threading.Event()

    async def serve(reader, writer):
        import asyncio

        await reader.readuntil(b"\r\n\r\n")
        writer.write(EARLY)
        await asyncio.to_thread(seen.wait, 60)
        writer.write(ANSWER)
        await reader.read()
        writer.close()

    gate.backend.serve = serve
    with Wire(gate.url) as wire:
        wire.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        assert wire.head().status == 103
        seen.set()
        assert wire.answer().status == 200


def test_a_client_that_leaves_after_it_harms_nobody(gate):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(EARLY)
        await reader.read()  # until the gateway lets go of the call
        writer.write(EARLY + ANSWER)
        writer.close()

    gate.backend.serve = serve
    with Wire(gate.url) as wire:
        wire.send(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.head().status == 103
        wire.reset()
    gate.backend.serve = answering(EARLY + ANSWER)
    assert [status for status, _ in over_http1(gate, "/plain")] == [103, 200]
