"""What goes wrong around a connection: plugins that fail, clients that leave, limits; and what is whole after it."""

import asyncio
import concurrent.futures as futures
import socket
import time
from urllib.parse import urlsplit

import pytest

from hookgate.testing import running, upstream
from hookgate.testing.upstream import Reset

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])

PLUGINS = '''
import asyncio

from hookgate import (
    Balancer, Credential, HeaderProvider, Options, ServiceUnavailable, Unauthorized, hookimpl
)


class Counting(Balancer[Options]):
    """Takes the first target, and notes what becomes of it."""

    def __init__(self, options):
        super().__init__(options)
        self.picked, self.released = [], []

    @hookimpl
    def pick(self, exchange, targets):
        self.picked.append(targets[0].url)
        return targets[0]

    @hookimpl
    def chosen(self, exchange, target, response):
        if "x-chosen" in exchange.request.headers:
            raise RuntimeError("chosen failed")

    @hookimpl
    def release(self, target, outcome):
        self.released.append((target.url, outcome.kind))


class Picky(Credential[Options]):
    """Does what the request says."""

    @hookimpl
    def sign(self, exchange, outbound):
        headers = exchange.request.headers
        if "x-sign" in headers:
            raise {"bug": KeyError("s3cret"), "fault": ServiceUnavailable("no", reason="auth-error")}[headers["x-sign"]]

    @hookimpl
    def rejected(self, exchange, outbound, response):
        if exchange.request.headers.get("x-rejected") == "bug":
            raise KeyError("broken")
        return "x-again" in exchange.request.headers


class Slowly(Credential[Options]):
    """Takes its time over a 401."""

    @hookimpl
    async def rejected(self, exchange, outbound, response):
        await asyncio.Event().wait()


class Breaking(HeaderProvider[Options]):
    """Gives what no header can be, if the request says so."""

    @hookimpl
    def value(self, exchange, outbound):
        what = exchange.request.headers.get("x-value", "good")
        if what == "bug":
            raise KeyError("value")
        return {"good": "fine", "line": "a\\r\\nX-Smuggled: 1", "number": 7}[what]
'''


@pytest.fixture
def plugins(tmp_path):
    (tmp_path / "attacking.py").write_text(PLUGINS)
    return tmp_path


def document(*targets, lane=True, to=None, gateway=None, **connection):
    return {
        "gateway": {"lane": lane, **(gateway or {})},
        "routes": [{"name": "all", "to": {"connection": "crm", **(to or {})}}],
        "connections": {"crm": {"targets": [getattr(each, "url", each) for each in targets], **connection}},
    }


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.005)


def at_rest(gate):
    """Wait until nothing is in flight and no place in the pool is taken; every pick was then released once."""
    connection = gate.gateway.connection("crm")
    until(lambda: all(target.in_flight == 0 for target in connection.targets))
    until(lambda: connection.transport.facts()["in_use"] == 0)
    balancer = connection.balancer
    if hasattr(balancer, "picked"):
        assert [url for url, _ in balancer.released] == balancer.picked
    return connection


async def answering(request):
    """A backend that answers as the path says."""
    what = request.path.strip("/")
    if what == "reset":
        return Reset()
    if what == "half":
        return Reset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    if what == "nonsense":
        return Reset(b"220 smtp.example ready\r\n\r\n")
    if what == "silent":
        await asyncio.get_running_loop().create_future()
    if what == "401":
        return 401, {"www-authenticate": "Picky"}, iter([b"no, " * 10, b"not you"])
    if what == "endless":
        return 200, {}, endless()
    return 200, {}, b"fine"


async def endless():
    while True:
        yield b"x" * 1000
        await asyncio.sleep(0.001)


# --- nothing is leaked ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/fine", {}, 200),
        ("/fine", {"x-sign": "bug"}, 500),
        ("/fine", {"x-sign": "fault"}, 503),
        ("/fine", {"x-value": "bug"}, 500),
        ("/fine", {"x-value": "line"}, 500),
        ("/fine", {"x-value": "number"}, 500),
        ("/fine", {"x-chosen": "bug"}, 500),
        ("/401", {}, 401),
        ("/401", {"x-again": "1"}, 401),
        ("/401", {"x-rejected": "bug"}, 500),
        ("/reset", {}, 502),
        ("/nonsense", {}, 502),
        ("/silent", {}, 504),
    ],
)
def test_whatever_fails_the_balancer_hears_of_it_once_and_the_place_is_free_again(path, headers, status, lane, plugins):
    settings = {
        "balancer": "counting",
        "auth": ["picky"],
        "headers": [{"set": "X-From", "from": "breaking"}],
        "pool": {"max_connections": 1},
        "timeouts": {"connect": 60, "read": 0.2},
    }
    with upstream(answering) as backend:
        with running(document(backend, lane=lane, **settings), plugins_dir=plugins) as gate:
            for _ in range(2):
                answer = gate.request("GET", path, headers=headers)
                assert answer.status_code == status
                assert "s3cret" not in answer.text
                at_rest(gate)
            assert gate.request("GET", "/fine").status_code == 200
            assert at_rest(gate).transport.facts()["waiting"] == 0
            if status == 500 and path == "/fine" and "x-chosen" not in headers:
                assert len(backend.requests) == 1  # what could not be prepared was not sent


@BOTH
@pytest.mark.parametrize("path", ["/silent", "/endless", "/401", "/half"])
@pytest.mark.parametrize("auth", ["picky", "slowly"])
def test_a_client_that_leaves_gives_everything_back(path, auth, lane, plugins):
    settings = {"balancer": "counting", "auth": [auth], "pool": {"max_connections": 1}, "timeouts": {"connect": 60}}
    with upstream(answering) as backend:
        with running(document(backend, lane=lane, **settings), plugins_dir=plugins) as gate:
            where = urlsplit(gate.url)
            with socket.create_connection((where.hostname, where.port)) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
                backend.wait_for(lambda b: len(b.requests) == 1)
                if path == "/endless":
                    client.recv(2000)
            gate.wait_for_exchanges(1)
            at_rest(gate)
            assert gate.request("GET", "/fine").status_code == 200
            at_rest(gate)


@BOTH
def test_a_client_that_leaves_while_it_waits_for_a_place_takes_none(lane, plugins):
    settings = {"balancer": "counting", "pool": {"max_connections": 1}, "timeouts": {"connect": 20}}
    going = asyncio.Event()

    async def answer(request):
        await going.wait()
        return 200, {}, "ok"

    with upstream(answer) as backend, running(document(backend, lane=lane, **settings), plugins_dir=plugins) as gate:
        pool = gate.gateway.connection("crm").transport.facts
        with futures.ThreadPoolExecutor(1) as threads:
            first = threads.submit(gate.request, "GET", "/")
            backend.wait_for(lambda b: len(b.requests) == 1)
            where = urlsplit(gate.url)
            with socket.create_connection((where.hostname, where.port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                until(lambda: pool()["waiting"] == 1)
            until(lambda: pool()["waiting"] == 0)
            going._loop.call_soon_threadsafe(going.set)
            assert first.result().status_code == 200
        at_rest(gate)
        assert gate.request("GET", "/").status_code == 200
    assert len(backend.requests) == 2


# --- limits on bodies -------------------------------------------------------------------------------------------------

SIGNING = [
    {"signature": {"algorithm": "hmac-sha256", "key": "k3y", "key_id": "k"}},
    {"hawk": {"id": "h", "key": "k3y", "hash_payload": True}},
    {"digest": {"username": "u", "password": "p"}},
    {"aws-sigv4": {"access_key": "AKID", "secret_key": "k", "region": "eu-west-1", "service": "execute-api"}},
]


@BOTH
@pytest.mark.parametrize("credential", SIGNING, ids=lambda each: next(iter(each)))
def test_a_stream_that_is_longer_than_may_be_kept_is_not_sent_with_half_a_signature(credential, lane):
    settings = {"auth": [credential], "pool": {"max_connections": 1}}
    with upstream() as backend:
        with running(document(backend, lane=lane, gateway={"limits": {"buffered_body": 1000}}, **settings)) as gate:
            refused = gate.request("POST", "/", content=iter([b"x" * 600] * 2))
            told = gate.request("POST", "/", content=b"x" * 1001)
            taken = gate.request("POST", "/", content=iter([b"x" * 500] * 2))
            at_rest(gate)

    assert [each.status_code for each in (refused, told, taken)] == [413, 413, 200]
    assert backend.bodies == [b"x" * 1000]


# --- tries ------------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(("method", "status"), [("HEAD", 503), ("GET", 204), ("GET", 304), ("HEAD", 200)])
def test_answers_without_a_body_and_tries(method, status, lane, plugins):
    def answer(request):
        if len(backend.requests) % 2:
            return 503, {"content-length": "5"} if request.method == "HEAD" else {}, b"busy!"
        return status, {"content-length": "7"} if request.method == "HEAD" else {"x-a": "b"}, b""

    rules = {"max_tries": 2, "retry": {"on": [503]}, "balancer": "counting", "pool": {"max_connections": 1}}
    with upstream(answer) as backend, running(document(backend, lane=lane, **rules), plugins_dir=plugins) as gate:
        answers = [gate.request(method, "/") for _ in range(2)]
        at_rest(gate)

    assert [each.status_code for each in answers] == [status] * 2
    assert [each.content for each in answers] == [b"", b""]
    assert len(backend.requests) == 4


@BOTH
@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_a_post_that_expects_100_is_sent_again_whole(length, lane):
    framing = b"Content-Length: 4\r\n" if length else b"Transfer-Encoding: chunked\r\n"
    body = b"body" if length else b"4\r\nbody\r\n0\r\n\r\n"
    rules = {"max_tries": 2, "retry": {"on": [503], "methods": ["POST"]}}
    with upstream(lambda request: (503 if len(backend.requests) == 1 else 200, {}, "said")) as backend:
        with running(document(backend, lane=lane, **rules)) as gate:
            where = urlsplit(gate.url)
            with (
                socket.create_connection((where.hostname, where.port), timeout=60) as client,
                client.makefile("rb") as f,
            ):
                client.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n" + framing + b"\r\n")
                assert f.readline().startswith(b"HTTP/1.1 100")
                assert f.readline() == b"\r\n"
                client.sendall(body)
                answered = f.readline()

    assert answered.split()[1] == (b"200" if length else b"503")  # what has no length is not kept
    assert backend.bodies == [b"body"] * (2 if length else 1)
    assert all(request.header("expect") is None for request in backend.requests)


# --- 401 --------------------------------------------------------------------------------------------------------------


@BOTH
def test_a_call_is_sent_once_more_to_the_target_that_refused_it(lane):
    """Each target has nonces of its own, so that the challenge of one is nothing to the other."""

    def server(name):
        def answer(request):
            line = request.header("authorization") or ""
            if f'nonce="{name}"' in line:
                return 200, {}, name
            return 401, {"www-authenticate": f'Digest realm="r", nonce="{name}", qop="auth", algorithm=SHA-256'}, b""

        return answer

    auth = [{"digest": {"username": "u", "password": "p"}}]
    with upstream(server("a")) as a, upstream(server("b")) as b:
        with running(document(a, b, lane=lane, auth=auth)) as gate:
            answers = [gate.request("GET", "/").status_code for _ in range(4)]
            at_rest(gate)

    assert answers == [200] * 4


@BOTH
def test_many_calls_that_are_refused_at_once_bring_about_one_new_token(lane):
    issued = []

    def tokens(request):
        issued.append(f"t{len(issued)}")
        return 200, {"content-type": "application/json"}, f'{{"access_token": "{issued[-1]}", "expires_in": 3600}}'

    revoked = {"t0"}

    def answer(request):
        return (401, {}, b"no") if (request.header("authorization") or "")[7:] in revoked else (200, {}, b"yes")

    with upstream(tokens) as server, upstream(answer) as backend:
        oauth = {"token_endpoint": f"{server.url}/token", "client_id": "c", "client_secret": "s"}
        with running(document(backend, lane=lane, auth=[{"oauth2": oauth}])) as gate:
            with futures.ThreadPoolExecutor(10) as threads:
                calls = [threads.submit(gate.request, "POST", "/", content=b"b") for _ in range(30)]
                statuses = [call.result().status_code for call in calls]
            at_rest(gate)

    assert statuses == [200] * 30
    assert issued == ["t0", "t1"]


@BOTH
def test_the_time_of_a_destination_holds_while_a_token_is_fetched(lane):
    """No call waits for a token longer than its route gives it, and the token is there for the next one."""
    going = asyncio.Event()

    async def tokens(request):
        await going.wait()
        return 200, {"content-type": "application/json"}, '{"access_token": "t", "expires_in": 3600}'

    with upstream(tokens) as server, upstream() as backend:
        oauth = {"token_endpoint": f"{server.url}/token", "client_id": "c", "client_secret": "s", "timeout": 60}
        described = document(backend, lane=lane, auth=[{"oauth2": oauth}], to={"timeout": 0.2})
        with running(described) as gate:
            refused = gate.request("GET", "/")
            assert (refused.status_code, refused.json()["reason"]) == (502, "destination-timeout")
            at_rest(gate)
            assert backend.requests == []
            going._loop.call_soon_threadsafe(going.set)
            until(lambda: gate.request("GET", "/").status_code == 200)
            at_rest(gate)
    assert len(server.requests) == 1


@BOTH
def test_a_token_that_was_refused_is_dropped_although_the_upload_cannot_be_sent_again(lane):
    issued = []

    def tokens(request):
        issued.append(f"t{len(issued)}")
        return 200, {"content-type": "application/json"}, f'{{"access_token": "{issued[-1]}", "expires_in": 3600}}'

    with upstream(tokens) as server:
        answer = lambda request: (401 if request.header("authorization") == "Bearer t0" else 200, {}, b"said")  # noqa: E731
        with upstream(answer) as backend:
            oauth = {"token_endpoint": f"{server.url}/token", "client_id": "c", "client_secret": "s"}
            with running(document(backend, lane=lane, auth=[{"oauth2": oauth}])) as gate:
                statuses = [gate.request("POST", "/", content=iter([b"upload"])).status_code for _ in range(2)]

    assert statuses == [401, 200]
    assert backend.bodies == [b"upload"] * 2


def digest_only(request):
    if 'nonce="n"' in (request.header("authorization") or ""):
        return 200, {}, b"fine"
    return 401, {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'}, b"who?"


def test_checks_answer_the_challenge_of_a_target_that_would_get_no_call_without(plugins):
    """HC-4: checks use the credentials of the connection, also those that learn from a 401."""
    monitor = {"http": {"path": "/health", "interval": 0.02, "at_most": 0.02, "unhealthy_after": 1}}
    with upstream(digest_only) as a, upstream(digest_only) as b:
        auth = [{"digest": {"username": "u", "password": "p"}}]
        with running(document(a, b, auth=auth, monitor=monitor)) as gate:
            for backend in (a, b):
                backend.wait_for(lambda backend: len(backend.requests) >= 4)
            assert [target.health.healthy for target in gate.gateway.connection("crm").targets] == [True, True]
            assert gate.request("GET", "/").status_code == 200
    assert [r.header("authorization") is None for r in a.requests if r.path == "/health"].count(True) == 1


def test_checks_ask_for_the_name_by_which_a_target_was_found(tmp_path):
    (tmp_path / "named.py").write_text(
        """
import asyncio

from hookgate import Discovery, Options, Target, hookimpl

class NamedOptions(Options):
    port: int

class Named(Discovery[NamedOptions]):
    @hookimpl
    def targets(self):
        return [Target("http", "127.0.0.1", self.options.port, host_name="crm.example")]

    @hookimpl
    async def changed(self):
        await asyncio.Event().wait()
"""
    )
    with upstream() as backend:
        described = document(discovery={"named": {"port": backend.port}}, monitor="http")
        del described["connections"]["crm"]["targets"]
        with running(described, plugins_dir=tmp_path) as gate:
            backend.wait_for(lambda b: len(b.requests) == 1)
            gate.request("GET", "/")
    assert [request.header("host") for request in backend.requests] == ["crm.example"] * 2
