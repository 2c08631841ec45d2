"""What comes in goes out: a gateway in front of a real HTTP server, over real sockets."""

import hashlib
import os
import socket
import threading
from urllib.parse import urlsplit

import psutil
import pytest

from hookgate.testing import running, upstream
from hookgate.testing.upstream import Reset

MIB = 1024 * 1024


def front(backend, **more):
    """A gateway document with one route to one backend."""
    route = {"name": "all", "to": {"connection": "backend"}, **more.pop("route", {})}
    connection = {"targets": backend.url, **more.pop("connection", {})}
    return {"routes": [route], "connections": {"backend": connection}, **more}


@pytest.mark.row("FL-1")
def test_a_call_through_an_empty_flow_is_the_same_on_both_sides():
    with upstream() as backend, running(front(backend)) as gate:
        backend.answer = lambda request: (418, {"x-answer": "tea", "content-type": "text/x"}, b"\x00\xff body")
        answer = gate.request("PATCH", "/a%2Fb/c?x=%20&y=1&x=2", headers={"X-Ask": "why"}, content=b"\x01\x02 ask")

        (received,) = backend.requests
        assert (received.method, received.path, received.query) == ("PATCH", "/a%2Fb/c", "x=%20&y=1&x=2")
        assert received.body == b"\x01\x02 ask"
        assert received.header("x-ask") == "why"
        assert (answer.status_code, answer.content) == (418, b"\x00\xff body")
        assert answer.headers["x-answer"] == "tea"
        assert answer.headers["content-type"] == "text/x"


@pytest.mark.row("FL-2", "FL-9")
def test_steps_run_left_to_right_in_and_right_to_left_out():
    def adding(value):
        return {"headers": {"request": {"add": {"x-in": value}}, "response": {"add": {"x-out": value}}}}

    with upstream() as backend, running(front(backend, route={"flow": [adding("a"), adding("b")]})) as gate:
        answer = gate.request("GET", "/")

        assert backend.requests[0].all("x-in") == ["a", "b"]
        assert answer.headers.get_list("x-out") == ["b", "a"]


def test_head_has_the_head_of_get_and_no_body():
    with upstream() as backend, running(front(backend)) as gate:
        backend.answer = lambda request: (200, {"content-length": "5"}, b"hello" if request.method == "GET" else b"")

        assert gate.request("GET", "/").content == b"hello"
        head = gate.request("HEAD", "/")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "5")


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_stay_without(status):
    with upstream(lambda request: (status, {"etag": '"1"'}, b"")) as backend, running(front(backend)) as gate:
        answer = gate.request("GET", "/")

        assert (answer.status_code, answer.content, answer.headers["etag"]) == (status, b"", '"1"')
        assert gate.request("GET", "/").status_code == status


def test_a_path_without_a_route_is_404_and_a_wrong_method_405_and_both_pass_the_gateways_flow():
    document = {
        "gateway": {"flow": ["request-id"]},
        "routes": [{"name": "one", "match": {"path": "/one", "methods": ["GET", "POST"]}, "flow": ["respond"]}],
    }
    with running(document) as gate:
        missing, wrong = gate.request("GET", "/two"), gate.request("DELETE", "/one")

    assert (missing.status_code, missing.json()["reason"]) == (404, "no-route")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, POST")
    for answer in (missing, wrong):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"]


def test_a_backend_that_cannot_be_reached_is_502_with_a_reason():
    with upstream() as backend:
        document = front(backend)
    with running(document) as gate:
        answer = gate.request("GET", "/")

    assert (answer.status_code, answer.json()["reason"]) == (502, "connect-refused")
    assert "127.0.0.1" not in answer.text


def test_a_backend_that_talks_nonsense_is_502_and_harms_nobody_else():
    with upstream() as backend, running(front(backend)) as gate:
        backend.answer = lambda request: (
            Reset(b"SSH-2.0-OpenSSH_9.2\r\n\r\n") if request.path == "/bad" else (200, {}, "ok")
        )

        assert gate.request("GET", "/bad").status_code == 502
        assert gate.request("GET", "/good").text == "ok"


def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one():
    async def breaking():
        yield b"x" * 1000
        raise ConnectionResetError

    import httpx

    with (
        upstream(lambda request: (200, {"content-length": "5000"}, breaking())) as backend,
        running(front(backend)) as gate,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            gate.request("GET", "/")
        (exchange,) = gate.wait_for_exchanges(1)

    assert exchange.outcome == "broken"


def test_hop_by_hop_headers_stay_on_their_hop_and_the_client_is_named():
    with upstream() as backend, running(front(backend)) as gate:
        backend.answer = lambda request: (200, {"keep-alive": "timeout=5", "x-y": "1", "connection": "x-y"}, "ok")
        answer = gate.request(
            "GET",
            "/",
            headers={"Connection": "x-secret-hop", "X-Secret-Hop": "1", "TE": "gzip", "X-Forwarded-For": "6.6.6.6"},
        )

        (received,) = backend.requests
        assert received.header("x-secret-hop") is None
        assert received.header("te") is None
        assert received.header("x-forwarded-for") == "127.0.0.1"
        assert received.header("x-forwarded-proto") == "http"
        assert received.header("host") == urlsplit(backend.url).netloc
        assert "x-y" not in answer.headers
        assert "keep-alive" not in answer.headers


def test_only_a_trusted_proxy_may_say_who_the_client_is():
    flow = [{"ip-filter": {"allow": ["203.0.113.7"]}}]
    with upstream() as backend:
        trusting = front(backend, gateway={"trusted_proxies": ["127.0.0.0/8"]}, route={"flow": flow})
        headers = {"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}
        with running(trusting) as gate:
            assert gate.request("GET", "/", headers=headers).status_code == 200
            assert backend.requests[0].header("x-forwarded-for") == "198.51.100.1, 203.0.113.7, 127.0.0.1"
        with running(front(backend, route={"flow": flow})) as gate:
            assert gate.request("GET", "/", headers=headers).status_code == 403


def test_a_dot_segment_does_not_walk_around_a_protected_route():
    with upstream() as backend:
        document = front(backend)
        document["routes"].insert(
            0,
            {"name": "admin", "match": {"path": "/admin/{rest...}"}, "flow": [{"respond": {"status": 403}}]},
        )
        with running(document) as gate:
            for path in ("/admin/x", "/a/../admin/x", "/a/%2e%2e/admin/x", "/%61dmin/x"):
                assert raw(gate, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").startswith(
                    b"HTTP/1.1 403"
                )


def test_bodies_over_the_limit_are_refused_whether_or_not_their_length_is_told():
    with upstream() as backend, running(front(backend, route={"limits": {"request_body": 1000}})) as gate:
        told = gate.request("POST", "/", content=b"x" * 1001)
        untold = gate.request("POST", "/", content=iter([b"x" * 600] * 2))
        fits = gate.request("POST", "/", content=b"x" * 1000)

        assert (told.status_code, told.json()["reason"]) == (413, "content-too-large")
        assert untold.status_code == 413
        assert fits.status_code == 200


def test_an_early_answer_to_a_whole_request_keeps_the_connection():
    document = {"routes": [{"name": "one", "flow": [{"respond": {"body": "no need to read that"}}]}]}
    with running(document) as gate:
        answers = [gate.request("POST", "/", content=b"x" * 1000) for _ in range(3)]

    assert all("connection" not in answer.headers for answer in answers)


def test_a_body_that_stops_coming_ends_in_408():
    with upstream() as backend, running(front(backend, gateway={"limits": {"body_idle": 0.2}})) as gate:
        answer = raw(gate, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf", then_close=False)

        assert answer.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in answer.lower(), (
            "the rest of the body may still come, so the connection ends here"
        )
        assert b"request-timeout" in answer


def test_a_hundred_mebibytes_go_each_way_in_flat_memory():
    size, chunk = 100 * MIB, os.urandom(64 * 1024)

    async def large():
        for _ in range(size // len(chunk)):
            yield chunk

    expected = hashlib.sha256(chunk * (size // len(chunk))).hexdigest()
    process = psutil.Process()
    with upstream() as backend, running(front(backend)) as gate:
        backend.keep_bodies = False
        gate.request("GET", "/warm")
        before, peak = process.memory_info().rss, [0]
        sampling = threading.Event()

        def sample():
            while not sampling.wait(0.02):
                peak[0] = max(peak[0], process.memory_info().rss - before)

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            up = gate.request("POST", "/up", content=(chunk for _ in range(size // len(chunk))))
            backend.answer = lambda request: (200, {}, large())
            digest = hashlib.sha256()
            with gate.client.stream("GET", "/down") as down:
                for part in down.iter_raw():
                    digest.update(part)
        finally:
            sampling.set()
            sampler.join(60)

    assert up.status_code == 200
    assert backend.received == size
    assert digest.hexdigest() == expected
    assert peak[0] < 40 * MIB, f"memory grew by {peak[0] / MIB:.0f} MiB"


def test_a_client_that_goes_away_ends_the_call_to_the_backend():
    import asyncio

    async def never(request):
        await asyncio.Event().wait()

    with upstream(never) as backend, running(front(backend)) as gate:
        url = urlsplit(gate.url)
        client = socket.create_connection((url.hostname, url.port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        backend.wait_for(lambda b: b.requests)
        client.close()
        backend.wait_for(lambda b: b.aborted == 1)
        (exchange,) = gate.wait_for_exchanges(1)

    assert exchange.outcome == "aborted"


def test_chunks_leave_as_they_come():
    import asyncio

    release = threading.Event()

    async def dripping():
        yield b"first"
        while not release.is_set():
            await asyncio.sleep(0.01)
        yield b"second"

    with upstream(lambda request: (200, {"content-type": "text/event-stream"}, dripping())) as backend:
        with running(front(backend)) as gate, gate.client.stream("GET", "/") as answer:
            parts = answer.iter_raw()
            assert next(parts) == b"first"
            release.set()
            assert next(parts) == b"second"


def test_the_public_port_knows_no_management_page():
    with upstream() as backend, running(front(backend)) as gate:
        gate.request("GET", "/-/health")

        assert backend.requests[0].path == "/-/health"


def raw(gate, text, then_close=True):
    url = urlsplit(gate.url)
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.settimeout(30)
        connection.sendall(text.encode())
        received = b""
        while part := connection.recv(65536):
            received += part
            if not then_close and received.endswith(b"}"):
                break
    return received


def test_a_preflight_takes_the_route_it_asks_about_and_never_reaches_a_backend_that_does_not_list_options():
    cors = [{"cors": {"allow_origins": ["https://a.example"]}}]
    asking = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    match = {"path": "/", "methods": ["POST"]}
    with upstream() as backend:
        with running(front(backend, route={"match": match, "flow": cors})) as gate:
            preflight = gate.request("OPTIONS", "/", headers=asking)
            plain = gate.request("OPTIONS", "/")
            other = gate.request("OPTIONS", "/", headers={**asking, "Access-Control-Request-Method": "DELETE"})
        with running(front(backend, route={"match": match})) as gate:
            without = gate.request("OPTIONS", "/", headers=asking)

    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "https://a.example")
    assert [plain.status_code, other.status_code, without.status_code] == [405, 405, 405]
    assert backend.requests == []


@pytest.mark.parametrize("lane", [True, False])
def test_backends_and_clients_are_told_the_way_as_the_document_says(lane):
    with (
        upstream() as backend,
        running(front(backend, gateway={"lane": lane, "forwarded": "both", "via": "gw1"})) as gate,
    ):
        answer = gate.request("GET", "/", headers={"via": "1.0 fred"})
        told = backend.requests[-1]

        host = gate.url.removeprefix("http://")
        assert told.header("forwarded") == f'for=127.0.0.1;host="{host}";proto=http'
        assert told.header("x-forwarded-for") == "127.0.0.1"
        assert told.header("via") == "1.0 fred, 1.1 gw1"
        assert answer.headers["via"] == "1.1 gw1"


def test_backends_are_told_nothing_where_that_is_switched_off():
    with upstream() as backend, running(front(backend, gateway={"forwarded": "off"})) as gate:
        gate.request("GET", "/")

        told = {name.lower() for name, _ in backend.requests[-1].headers}
        assert not told & {"forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}


def test_a_client_of_http_1_0_cannot_change_the_protocol():
    handshake = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    with upstream() as backend, running(front(backend)) as gate:
        assert raw(gate, f"GET /chat HTTP/1.0\r\nHost: a\r\n{handshake}").startswith(b"HTTP/1.1 200")

        assert backend.requests[-1].header("upgrade") is None


def test_trailers_reach_a_client_that_asked_for_them():
    told = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"5\r\nhello\r\n0\r\nX-Sum: 42\r\nContent-Length: 9\r\n\r\n"
    )
    with upstream(lambda _: Reset(told)) as backend, running(front(backend)) as gate:
        asked = raw(gate, "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n")
        not_asked = raw(gate, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

        assert asked.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n")
        assert not_asked.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
