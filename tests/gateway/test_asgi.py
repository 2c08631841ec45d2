"""The gateway as an app: other ASGI servers serve it, and its two doors are one house."""

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from hookgate.server.app import create_app
from hookgate.testing import running, upstream

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def example(tmp_path):
    """The hello example in front of a backend of this test."""
    with upstream() as backend:
        text = (EXAMPLES / "hello.yaml").read_text().replace("http://127.0.0.1:9000", backend.url)
        file = tmp_path / "hello.yaml"
        file.write_text(text.replace("127.0.0.1:8080", "127.0.0.1:0") + '\nmanagement: {listen: ["127.0.0.1:0"]}\n')
        yield file, backend


async def test_plain_hypercorn_with_the_app_serves_every_route_of_an_example(example):
    file, backend = example
    backend.answer = lambda request: (200, {"x-path": request.path}, request.body or b"got it")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = Config()
        config.bind = [f"fd://{listening.detach()}"]
        sockets = config.create_sockets()
        url = f"http://127.0.0.1:{sockets.insecure_sockets[0].getsockname()[1]}"
        config.create_sockets = lambda: sockets
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(create_app(file), config, shutdown_trigger=stop.wait))
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        got, posted = await client.get("/a/b"), await client.post("/", content=b"x" * 100_000)
        head = await client.head("/")
    stop.set()
    await serving

    assert (got.status_code, got.text, got.headers["x-path"]) == (200, "got it", "/a/b")
    assert posted.content == b"x" * 100_000
    assert head.status_code == 200
    assert got.headers["x-request-id"] != posted.headers["x-request-id"]


def test_the_hypercorn_command_serves_the_app_of_a_document(example):
    file, _ = example
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "hypercorn", "-b", f"127.0.0.1:{port}", f"hookgate.server.app:create_app('{file}')"],
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/")
                break
            except httpx.ConnectError:
                assert time.monotonic() < end
                time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(30)

    assert answer.text == "ok"


def test_an_app_can_be_exposed_on_the_public_port_by_name():
    document = {
        "gateway": {"expose": {"/status": "health"}},
        "routes": [{"name": "rest", "flow": [{"respond": {"body": "a route"}}]}],
    }
    with running(document) as gate:
        assert gate.request("GET", "/status/health").json()["status"] == "ok"
        assert gate.request("GET", "/statusquo").text == "a route"


def test_http_2_calls_take_the_same_flow(example):
    h2 = pytest.importorskip("h2.connection")
    events = pytest.importorskip("h2.events")
    file, backend = example
    with running(file) as gate:
        host, port = gate.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            http = h2.H2Connection()
            http.initiate_connection()
            head = [(":method", "POST"), (":path", "/two"), (":scheme", "http"), (":authority", "example.org")]
            http.send_headers(1, head)
            http.send_data(1, b"over http/2", end_stream=True)
            connection.sendall(http.data_to_send())
            headers, body, ended = {}, b"", False
            while not ended:
                for event in http.receive_data(connection.recv(65536)):
                    if isinstance(event, events.ResponseReceived):
                        headers = dict(event.headers)
                    elif isinstance(event, events.DataReceived):
                        body += event.data
                    elif isinstance(event, events.StreamEnded):
                        ended = True
                connection.sendall(http.data_to_send())

    assert (headers[b":status"], body) == (b"200", b"ok")
    assert (backend.requests[0].path, backend.requests[0].body) == ("/two", b"over http/2")
