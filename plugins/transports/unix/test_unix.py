import asyncio
import threading

import pytest

from hookgate import ConfigError
from hookgate.testing import build, running


@pytest.fixture
def backend(tmp_path):
    """A tiny HTTP server on a Unix socket; yields the path of the socket and the heads it received."""
    path, heads = tmp_path / "app.sock", []
    ready, stop = threading.Event(), []

    async def serve(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head)
            length = next(
                (int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
            )
            body = await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body) + 3, b"ok " + body))
            await writer.drain()

    async def accept(reader, writer):
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    async def main():
        ended = asyncio.Event()
        stop.append((asyncio.get_running_loop(), ended))
        async with await asyncio.start_unix_server(accept, path):
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    ready.wait(60)
    yield path, heads
    loop, ended = stop[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join(60)


def routed(path):
    connection = {"targets": "http://app", "transport": {"unix": {"path": str(path)}}}
    return {"routes": [{"name": "all", "to": {"connection": "app"}}], "connections": {"app": connection}}


def test_calls_go_over_the_socket_with_the_name_of_the_target_in_host(backend):
    path, heads = backend
    with running(routed(path)) as gate:
        assert gate.request("GET", "/a%2Fb?x=1").text == "ok "
        assert gate.request("POST", "/", content=b"hello").text == "ok hello"
        known = gate.gateway.connection("app").transport.facts()
        assert (known["open"], known["idle"], known["certificates"]) == (1, 1, {})

    assert heads[0].startswith(b"GET /a%2Fb?x=1 HTTP/1.1\r\n")
    assert b"host: app\r\n" in heads[0].lower()


def test_a_socket_nobody_listens_on_is_502(tmp_path):
    with running(routed(tmp_path / "nobody.sock")) as gate:
        answer = gate.request("GET", "/")

    assert (answer.status_code, str(tmp_path) in answer.text) == (502, False)


def test_a_path_that_is_not_absolute_is_refused_at_load():
    with pytest.raises(ConfigError, match="path: "):
        build(__import__("hookgate_transport_unix").Unix, path="app.sock")


def test_only_http_targets_are_taken(tmp_path):
    document = routed(tmp_path / "x.sock")
    document["connections"]["app"]["targets"] = "https://app"
    with pytest.raises(ConfigError, match="https"), running(document):
        pass
