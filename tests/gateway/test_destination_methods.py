"""A destination may name the method by which its backend is asked, and what that means for bodies is told at load."""

import json
import threading

import pytest
from typer.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from hookgate import ConfigError
from hookgate.commands import app
from hookgate.testing import running, upstream

from .test_connections_attacked import BOTH

HTTPX = pytest.mark.parametrize("transport", ["http", {"httpx": {}}], ids=["http", "httpx"])


def document(backend, path, *, lane=True, methods=None, flow=(), **connection):
    match = {"path": "/a/{id}", **({"methods": methods} if methods else {})}
    return {
        "gateway": {"lane": lane},
        "routes": [
            {"name": "a", "match": match, "flow": list(flow), "to": {"connection": "crm", "path": path}},
        ],
        "apis": [
            {
                "name": "shop",
                "base_path": "/shop",
                "to": {"connection": "crm"},
                "resources": [{"path": "/items/{id}", "operations": {"POST": {"to": {"path": path}}}}],
            }
        ],
        "connections": {"crm": {"targets": getattr(backend, "url", backend), **connection}},
    }


@BOTH
@HTTPX
@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_the_backend_is_asked_by_the_method_of_the_destination_and_gets_no_body_where_it_has_none(
    lane, transport, method
):
    content = b"x" * 200_000
    told = {"content-type": "text/plain", "content-language": "en", "digest": "SHA-256=x", "x-mine": "1"}
    with upstream() as backend:
        described = document(backend, f"{method} /b/{{id}}", lane=lane, transport=transport)
        with running(described) as gate:
            answers = [
                gate.request("POST", "/a/7?q=1", content=content, headers=told),
                gate.request("PUT", "/a/8", content=iter([content, content]), headers=told),
                gate.request("POST", "/shop/items/9", content=b"{}", headers=told),
                gate.request("POST", "/a/10", content=b""),
            ]
            seen = [exchange.request.method for exchange in gate.wait_for_exchanges(4)]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert seen == ["POST", "PUT", "POST", "POST"]
    asked = [(request.method, request.path, request.query, request.body) for request in backend.requests]
    assert asked == [
        (method, "/b/7", "q=1", b""),
        *((method, f"/b/{number}", "", b"") for number in (8, 9, 10)),
    ]
    for request in backend.requests:
        fields = {name.lower() for name, _ in request.headers}
        assert not {name for name in fields if name.startswith(("content-", "digest", "transfer-", "expect"))}
    assert backend.requests[0].header("x-mine") == "1"


@BOTH
@HTTPX
def test_a_method_with_a_body_gets_that_of_the_client_or_of_a_step_or_an_empty_one(lane, transport):
    with upstream() as backend:
        described = document(backend, "put /b/{id}", lane=lane, transport=transport)
        with running(described) as gate:
            gate.request("POST", "/a/1", content=b"mine", headers={"content-type": "text/plain"})
            gate.request("PATCH", "/a/2", content=iter([b"in ", b"parts"]))
            gate.request("GET", "/a/3")
            head = gate.request("HEAD", "/a/4")
            after = gate.request("GET", "/a/5")

    assert [(r.method, r.path, r.body) for r in backend.requests] == [
        ("PUT", "/b/1", b"mine"),
        ("PUT", "/b/2", b"in parts"),
        *(("PUT", f"/b/{number}", b"") for number in (3, 4, 5)),
    ]
    assert backend.requests[0].header("content-type") == "text/plain"
    assert backend.requests[2].header("content-length") == "0"
    assert (head.status_code, head.content, after.status_code) == (200, b"", 200)


@BOTH
def test_head_is_asked_as_head_where_the_destination_says_get_and_custom_methods_keep_their_body(lane):
    with upstream() as backend:
        with running(document(backend, "GET /b/{id}", lane=lane, methods=["GET", "POST"])) as gate:
            head = gate.request("HEAD", "/a/1")
            own = gate.request("GET", "/a/2", headers={"if-none-match": '"x"'})
            gate.reload(document(backend, "QUERY /b/{id}", lane=lane))
            gate.request("POST", "/a/3", content=b"how many")
            gate.reload(document(backend, "HEAD /b/{id}", lane=lane, methods=["HEAD"]) | {"apis": []})
            gate.request("HEAD", "/a/4")

    assert [(r.method, r.body) for r in backend.requests] == [
        ("HEAD", b""),
        ("GET", b""),
        ("QUERY", b"how many"),
        ("HEAD", b""),
    ]
    assert (head.content, own.status_code) == (b"", 200)
    assert backend.requests[1].header("if-none-match") == '"x"'


@BOTH
@pytest.mark.parametrize(("client", "path", "tries"), [("GET", "POST /b", 1), ("POST", "GET /b", 3)])
def test_what_is_tried_again_goes_by_the_method_the_backend_gets(lane, client, path, tries):
    with upstream(lambda request: (503, {}, "")) as backend:
        described = document(backend, path, lane=lane, max_tries=3, retry={"on": [503], "budget": 1})
        with running(described) as gate:
            gate.request(client, "/a/1", **({"content": iter([b"gone"])} if client == "POST" else {}))

    assert len(backend.requests) == tries


@pytest.mark.parametrize(
    ("path", "methods", "told"),
    [
        ("HEAD /b", None, "an answer to HEAD has no body, so it answers nothing but HEAD; write GET"),
        ("HEAD /b", ["GET"], "an answer to HEAD has no body"),
        ("HEAD /b", ["HEAD", "POST"], "an answer to HEAD has no body"),
        ("CONNECT /b", None, "a backend is not asked for CONNECT"),
        ("trace /b", ["TRACE"], "a backend is not asked for TRACE"),
        ("GET b", None, "the path of a destination begins with '/'"),
        ("GET", None, "the path of a destination begins with '/'"),
        ("G3T /b", None, "the path of a destination begins with '/'"),
        ("GET POST /b", None, "the path of a destination begins with '/'"),
        ("GET http://other/b", None, "the path of a destination begins with '/'"),
        ("GET /b/{nope}/{more}", None, "more"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_load_with_its_place(path, methods, told):
    with pytest.raises(ConfigError) as refused, running(document("http://127.0.0.1:1", path, methods=methods)):
        pass
    lines = [line for line in str(refused.value).splitlines() if told in line]
    assert any("routes[0].to.path" in line for line in lines)
    if methods is None:
        assert any("apis[0].resources[0].operations.POST.to" in line for line in lines)


@pytest.mark.parametrize(
    ("path", "methods", "flow", "told"),
    [
        ("GET /b", ["POST", "GET", "PUT"], [], "the bodies of POST, PUT are not sent, as GET has none"),
        ("DELETE /b", None, [], "the bodies of PATCH, POST, PUT are not sent, as DELETE has none"),
        ("POST /b", ["GET"], [], "POST is sent with an empty body, as GET brings none"),
        ("POST /b", ["GET"], [{"script": {"file": "s.py"}}], ""),
        ("POST /b", ["POST", "PUT"], [], ""),
        ("GET /b", ["GET"], [], ""),
        ("GET /b", ["GET", "DELETE"], [], ""),
        ("/b", None, [], ""),
    ],
)
def test_check_tells_what_becomes_of_bodies(tmp_path, monkeypatch, path, methods, flow, told):
    (tmp_path / "s.py").write_text("def on_request(exchange):\n    exchange.request.body.set(b'x')\n")
    monkeypatch.setenv("HOOKGATE_SCRIPTS", str(tmp_path))
    described = {**document("http://127.0.0.1:1", path, methods=methods, flow=flow), "apis": []}
    (tmp_path / "gateway.json").write_text(json.dumps(described))
    done = CliRunner().invoke(app, ["check", str(tmp_path / "gateway.json")], catch_exceptions=False)
    warned = [line for line in done.stderr.splitlines() if "[body-" in line]

    assert done.exit_code == 0, done.output
    assert len(warned) == bool(told)
    assert not told or (told in warned[0] and "routes[0].to.path" in warned[0])


@BOTH
@pytest.mark.parametrize(("path", "opens"), [("GET /b/{id}", True), ("POST /b/{id}", False)])
def test_a_websocket_is_asked_for_by_get_only(lane, path, opens):
    asked = []

    def echo(line):
        asked.append(line.request.path)
        line.send(line.recv())

    with serve(echo, "127.0.0.1", 0) as server, upstream() as plain:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            backend = f"http://127.0.0.1:{server.socket.getsockname()[1]}" if opens else plain.url
            with running({**document(backend, path, lane=lane), "apis": []}) as gate:
                url = f"{gate.url}/a/7".replace("http", "ws", 1)
                if opens:
                    with connect(url) as line:
                        line.send("hello")
                        assert line.recv() == "hello"
                else:
                    with pytest.raises(InvalidStatus), connect(url):
                        pass
        finally:
            server.shutdown()
            thread.join()

    assert asked == (["/b/7"] if opens else [])
    assert [(r.method, r.header("upgrade")) for r in plain.requests] == ([] if opens else [("POST", None)])
