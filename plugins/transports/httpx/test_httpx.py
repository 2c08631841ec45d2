import asyncio
import base64
import json
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import h2.config
import h2.connection
import h2.events
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from hookgate import ConfigError
from hookgate.testing import build, running, upstream
from hookgate_transport_httpx import HttpxTransport


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for ``crm.example`` and 127.0.0.1, which is its own authority."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    extensions = ["subjectAltName=DNS:crm.example,IP:127.0.0.1", "keyUsage=critical,keyCertSign,digitalSignature"]
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=crm", "-keyout", key, "-out", chain),
            *(word for each in extensions for word in ("-addext", each)),
        ],
        check=True,
        capture_output=True,
    )
    return SimpleNamespace(chain=str(chain), key=str(key))


async def app(scope, receive, send):
    """Say how the call came; what is sent to ``/echo`` comes back."""
    if scope["type"] != "http":
        return
    body = b""
    while (event := await receive())["type"] == "http.request":
        body += event["body"]
        if not event["more_body"]:
            break
    about = {
        "http": scope["http_version"],
        "client": scope["client"][1],
        "path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "host": dict(scope["headers"])[b"host"].decode(),
        "body": len(body),
    }
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-from", b"hypercorn")]})
    if scope["path"] == "/forever":
        for _ in range(100000):
            await send({"type": "http.response.body", "body": bytes(10000), "more_body": True})
            await asyncio.sleep(0.001)
    answer = body if scope["path"] == "/echo" else json.dumps(about).encode()
    await send({"type": "http.response.body", "body": answer})


@contextmanager
def hypercorn(certificate=None):
    """Run Hypercorn, which speaks HTTP/1.1 and HTTP/2, with TLS or without; yield its URL."""
    config = Config()
    config.errorlog = None
    config.graceful_timeout = 0.2
    if certificate is not None:
        config.certfile, config.keyfile = certificate.chain, certificate.key
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config.bind = [f"fd://{listener.detach()}"]
    started, control = threading.Event(), []

    async def main():
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        control.append(lambda: loop.call_soon_threadsafe(stop.set))
        loop.set_exception_handler(lambda *_: None)
        started.set()
        await serve(app, config, shutdown_trigger=stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    started.wait(60)
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{port}"
    finally:
        control[0]()
        thread.join(60)


class Served:
    """A server with a thread for each connection; ``answer`` gets the socket and may raise ``OSError``."""

    def __init__(self, answer):
        self.connections = 0
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.sockets = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def _accept(self):
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.connections += 1
                self.sockets.append(accepted)
                self._threads.append(threading.Thread(target=self._serve, args=(accepted,), daemon=True))
                self._threads[-1].start()

    def _serve(self, accepted):
        with accepted, suppress(OSError):
            self._answer(accepted)

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        for each in (self._listener, *self.sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(60)


class Proxy(Served):
    """A proxy that opens tunnels and fetches whole URLs, for those who know the password."""

    def __init__(self, userinfo="ann:s3cret"):
        super().__init__(self._handle)
        self.heads = []
        self._expected = "Basic " + base64.b64encode(userinfo.encode()).decode()

    def _handle(self, client):
        with client.makefile("rb") as lines:
            while line := lines.readline():
                head = [line.decode().strip()]
                while text := lines.readline().decode().strip():
                    head.append(text)
                self.heads.append(head)
                method, url, _ = head[0].split()
                fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in head[1:])}
                if fields.pop("proxy-authorization", None) != self._expected:
                    client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    return
                place = url if method == "CONNECT" else url.split("/")[2]
                host, _, port = place.rpartition(":")
                with socket.create_connection((host, int(port))) as backend:
                    self.sockets.append(backend)
                    if method == "CONNECT":
                        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        self._tunnel(client, backend)
                        return
                    path = url.removeprefix(f"http://{place}")
                    kept = [f"{name}: {value}" for name, value in {**fields, "connection": "close"}.items()]
                    backend.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *kept, "", ""]).encode())
                    self._copy(backend, client)
                    return

    def _tunnel(self, client, backend):
        back = threading.Thread(target=self._copy, args=(backend, client), daemon=True)
        back.start()
        self._copy(client, backend)
        back.join(60)

    @staticmethod
    def _copy(source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def url(self, userinfo="ann:s3cret@"):
        return f"http://{userinfo}127.0.0.1:{self.port}"


def document(url, options=None, **connection):
    section = {"targets": url, "transport": {"httpx": options or {}}, **connection}
    return {"routes": [{"name": "all", "to": {"connection": "crm"}}], "connections": {"crm": section}}


def said(gate):
    return [record.getMessage() for record in gate.log]


def facts(gate):
    return gate.gateway.connection("crm").transport.facts()


# --- HTTP/2 -----------------------------------------------------------------------------------------------------------


def test_a_backend_with_tls_is_called_over_http_2_on_a_connection_that_is_kept(certificate):
    with hypercorn(certificate) as url, running(document(url, tls={"ca_file": certificate.chain})) as gate:
        answers = [gate.request("GET", "/a%2Fb//c?x=%20&y") for _ in range(3)]
        seen = [answer.json() for answer in answers]
        known = facts(gate)

    assert [answer.status_code for answer in answers] == [200] * 3
    assert {each["http"] for each in seen} == {"2"}
    assert len({each["client"] for each in seen}) == 1
    assert (seen[0]["path"], seen[0]["query"], f"https://{seen[0]['host']}") == ("/a%2Fb//c", "x=%20&y", url)
    assert answers[0].headers["x-from"] == "hypercorn"
    assert known.items() >= {"open": 1, "idle": 1, "in_use": 0, "waiting": 0, "limit": None}.items()
    assert known["certificates"][url] is not None


def test_bodies_go_both_ways_over_http_2_whatever_their_length(certificate):
    body = bytes(range(256)) * 8192
    with hypercorn(certificate) as url, running(document(url, tls={"ca_file": certificate.chain})) as gate:
        assert gate.request("POST", "/echo", content=body).content == body
        assert gate.request("POST", "/echo", content=iter([body, b"end"])).content == body + b"end"
        assert gate.request("HEAD", "/").content == b""
        assert gate.request("GET", "/").json()["http"] == "2"


@pytest.mark.parametrize(
    ("options", "secure", "version"),
    [
        ({"http2": False}, True, "1.1"),
        ({}, False, "1.1"),
        ({"http1": False}, False, "2"),
        ({"http1": False}, True, "2"),
    ],
)
def test_the_options_say_which_version_is_spoken(certificate, options, secure, version):
    tls = {"tls": {"ca_file": certificate.chain}} if secure else {}
    with hypercorn(certificate if secure else None) as url, running(document(url, options, **tls)) as gate:
        assert [gate.request("GET", "/").json()["http"] for _ in range(2)] == [version] * 2


def test_several_calls_at_a_time_have_a_connection_each_and_the_pool_bounds_them(certificate):
    tls = {"ca_file": certificate.chain}
    pool = {"max_connections": 2, "queue_timeout": 0.1}
    with hypercorn(certificate) as url, running(document(url, tls=tls, pool=pool)) as gate:
        with gate.client.stream("GET", "/forever"), gate.client.stream("GET", "/forever"):
            assert (facts(gate)["open"], facts(gate)["in_use"]) == (2, 2)
            refused = gate.request("GET", "/")
            assert (refused.status_code, refused.json()["reason"]) == (503, "pool-exhausted")
        gate.wait_for_exchanges(3)
        assert gate.request("GET", "/").status_code == 200  # what was broken off has given its place back


def test_a_certificate_nobody_vouches_for_is_refused_and_the_log_says_why(certificate):
    with hypercorn(certificate) as url, running(document(url)) as gate:
        refused = gate.request("GET", "/")
        assert (refused.status_code, refused.json()["reason"]) == (502, "tls-failed")
        assert f"connection crm: no TLS with {url}: its certificate is self-signed" in " ".join(said(gate))
        gate.reload(document(url, tls={"verify": False}))
        assert gate.request("GET", "/").json()["http"] == "2"


def test_a_connection_that_is_too_old_is_replaced(certificate):
    tls = {"ca_file": certificate.chain}
    with hypercorn(certificate) as url, running(document(url, tls=tls, pool={"max_age": 0.000001})) as gate:
        assert len({gate.request("GET", "/").json()["client"] for _ in range(3)}) == 3
        assert facts(gate)["open"] == 0


def h2_backend(fields, *, goodbye=False):
    """Answer each call over HTTP/2 without TLS with these headers; ``goodbye``: end the connection after the first."""

    def answer(client):
        config = h2.config.H2Configuration(
            client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        wire = h2.connection.H2Connection(config)
        wire.initiate_connection()
        client.sendall(wire.data_to_send())
        while data := client.recv(65536):
            for event in wire.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    wire.send_headers(event.stream_id, [(":status", "200"), *fields])
                    wire.send_data(event.stream_id, b"ok", end_stream=True)
                    client.sendall(wire.data_to_send())
                    if goodbye:
                        wire.close_connection()
                        client.sendall(wire.data_to_send())
                        return
            client.sendall(wire.data_to_send())

    return Served(answer)


@pytest.mark.parametrize(
    "field", [("x-one", "1\r\nset-cookie: a=b"), ("x-one\r\nset-cookie", "a"), ("X-One", "1"), ("x one", "1")]
)
def test_a_header_that_would_be_another_in_http_1_is_refused(field):
    with h2_backend([field]) as backend:
        with running(document(f"http://127.0.0.1:{backend.port}", {"http1": False})) as gate:
            refused = gate.request("GET", "/")

    assert (refused.status_code, refused.json()["reason"]) == (502, "upstream-protocol")
    assert "set-cookie" not in refused.headers


def test_headers_for_one_hop_are_not_passed_on():
    with h2_backend([("x-one", "1"), ("transfer-encoding", "chunked"), ("keep-alive", "timeout=5")]) as backend:
        with running(document(f"http://127.0.0.1:{backend.port}", {"http1": False})) as gate:
            answer = gate.request("GET", "/")

    assert (answer.text, answer.headers["x-one"], "keep-alive" in answer.headers) == ("ok", "1", False)


def test_a_connection_that_the_backend_has_ended_gets_no_more_calls():
    with h2_backend([], goodbye=True) as backend:
        with running(document(f"http://127.0.0.1:{backend.port}", {"http1": False})) as gate:
            for _ in range(3):  # POST is never sent again
                assert gate.request("POST", "/", content=b"x").text == "ok"

    assert backend.connections == 3


# --- proxies ----------------------------------------------------------------------------------------------------------


def test_a_tunnel_leads_through_the_proxy_and_tls_ends_at_the_backend(certificate):
    tls = {"ca_file": certificate.chain}
    with hypercorn(certificate) as url, Proxy() as proxy:
        with running(document(url, {"proxy": proxy.url()}, tls=tls)) as gate:
            seen = [gate.request("GET", "/secret?x=1").json() for _ in range(2)]
            gate.reload(
                document(url, {"proxy": proxy.url(), "http2": False}, tls={**tls, "server_name": "crm.example"})
            )
            assert gate.request("GET", "/").json()["http"] == "1.1"
            gate.reload(document(url, {"proxy": proxy.url()}, tls={**tls, "server_name": "other.example"}))
            assert gate.request("GET", "/").json()["reason"] == "tls-failed"

    assert [(each["http"], each["path"], each["query"]) for each in seen] == [("2", "/secret", "x=1")] * 2
    place = url.removeprefix("https://")
    assert [head[0] for head in proxy.heads] == [f"CONNECT {place} HTTP/1.1"] * 3
    assert "secret" not in str([line for head in proxy.heads for line in head])


def test_a_target_without_tls_is_asked_of_the_proxy_by_its_whole_url():
    with upstream() as backend, Proxy("ann:s3@cret/") as proxy:
        with running(document(backend.url, {"proxy": proxy.url("ann:s3%40cret%2F@")})) as gate:
            assert gate.request("GET", "/a%2Fb?x=1").text == "ok"

    assert proxy.heads[0][0] == f"GET {backend.url}/a%2Fb?x=1 HTTP/1.1"
    assert (backend.requests[0].path, backend.requests[0].query) == ("/a%2Fb", "x=1")
    assert backend.requests[0].header("proxy-authorization") is None


def test_a_proxy_that_refuses_is_502_and_nobody_learns_its_password(certificate):
    with hypercorn(certificate) as url, Proxy() as proxy:
        options = {"proxy": proxy.url("ann:wr0ng@")}
        with running(document(url, options, tls={"ca_file": certificate.chain})) as gate:
            refused = gate.request("GET", "/")
            (exchange,) = gate.wait_for_exchanges(1)
            told = refused.text + "".join(said(gate)) + repr(gate.gateway.connection("crm").transport.options)

    assert (refused.status_code, refused.json()["reason"]) == (502, "proxy-failed")
    assert exchange.attempts[0].outcome.kind == "connect-failed"
    assert "wr0ng" not in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"http1": False, "http2": False}, "both off"),
        ({"proxy": "ann:s3cret@proxy:3128"}, "no URL of an HTTP proxy"),
        ({"proxy": "socks5://ann:s3cret@proxy:1080"}, "no URL of an HTTP proxy"),
        ({"proxy": "https://ann:s3cret@proxy:3128"}, "no URL of an HTTP proxy"),
        ({"proxy": "http://ann:s3cret@proxy"}, "names no port"),
        ({"proxy": "http://ann:s3cret@proxy:99999"}, "is no URL"),
        ({"proxy": "http://ann:s3cret@proxy:3128/path"}, "more than user"),
    ],
)
def test_options_that_cannot_work_are_refused_without_showing_the_password(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(HttpxTransport, **options)

    assert "s3cret" not in str(caught.value)


async def test_shutdown_after_a_failed_startup_does_nothing():
    transport = build(HttpxTransport)
    await transport.shutdown()
    assert transport.facts() == {}
