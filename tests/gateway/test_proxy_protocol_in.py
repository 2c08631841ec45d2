"""PROXY headers in front of real connections, plain and encrypted: the client is who the balancer says."""

import asyncio
import importlib.util
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream

from .authority import Authority, needs_openssl

WITHOUT_UVLOOP = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x21" + struct.pack(
    "!H16s16sHH", 36, socket.inet_pton(socket.AF_INET6, "2001:db8::7"), bytes(16), 4711, 443
)
UNKNOWN = b"PROXY UNKNOWN 203.0.113.9 203.0.113.10 1 2\r\n"
UNSPECIFIED = b"\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00"
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(params=[True, False], ids=["lane", "hypercorn"])
def lane(request):
    return request.param


@pytest.fixture(params=["asyncio", pytest.param("uvloop", marks=WITHOUT_UVLOOP)], autouse=True)
def loop(request, monkeypatch):
    """Run gateways on each kind of event loop."""
    if request.param == "asyncio":
        monkeypatch.setattr("hookgate.testing.gateway.new_event_loop", asyncio.SelectorEventLoop)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made with openssl")
    return Authority(tmp_path_factory.mktemp("proxied") / "ours", "Ours")


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server", "DNS:localhost", "IP:127.0.0.1")


def document(lane=True, proxies=("127.0.0.0/8",), mode=True, **more):
    gateway = {"lane": lane, "proxy_protocol": mode, "trusted_proxies": list(proxies), **more}
    return {"gateway": gateway, "routes": [{"name": "all", "flow": [{"respond": {"body": "hello"}}]}]}


def encrypted(server, lane=True, **more):
    return document(lane, listen=["https://127.0.0.1:0"], tls={"certificates": [server]}, **more)


def connect(gate):
    address = urlsplit(gate.url)
    return socket.create_connection((address.hostname, address.port), timeout=60)


def everything(connection):
    """What still comes until the other side closes."""
    found = b""
    with suppress(ConnectionError):
        while data := connection.recv(65536):
            found += data
    return found


def clients(gate, count=1):
    return [exchange.request.client for exchange in gate.wait_for_exchanges(count)]


def listener_of(gate):
    return httpx.get(gate.management + "/-/health").json()["listener"]


class Balancer:
    """A TCP balancer in a thread: it writes a header and then passes bytes on."""

    def __init__(self, gate, header):
        self._address, self._header = urlsplit(gate.url), header
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{self._address.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(60)

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
                self._threads[-1].start()

    def _serve(self, client):
        with client, socket.create_connection((self._address.hostname, self._address.port)) as inner:
            inner.sendall(self._header)
            back = threading.Thread(target=self._pass, args=(inner, client), daemon=True)
            back.start()
            self._pass(client, inner)
            back.join(60)

    @staticmethod
    def _pass(source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    ("header", "client"),
    [
        *[(V1, "192.0.2.7"), (V2, "2001:db8::7"), (LOCAL, "127.0.0.1")],
        *[(UNKNOWN, "unknown"), (UNSPECIFIED, "unknown")],
    ],
)
@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_the_client_is_whom_the_header_names(lane, header, client, pieces):
    data = header + GET
    size = -(-len(data) // pieces)
    with running(document(lane)) as gate, connect(gate) as connection:
        for start in range(0, len(data), size):
            connection.sendall(data[start : start + size])
            time.sleep(0.002 if pieces > 1 else 0)
        answer = everything(connection)

        assert answer.startswith(b"HTTP/1.1 200")
        assert clients(gate) == [client]


@pytest.mark.parametrize("header", [UNKNOWN, UNSPECIFIED])
@pytest.mark.parametrize("told", [b"", b"X-Forwarded-For: 127.0.0.1\r\n", b"Forwarded: for=127.0.0.1\r\n"])
def test_who_is_unknown_never_passes_for_the_balancer(lane, header, told):
    described = document(lane)
    described["routes"][0]["flow"] = [
        {"ip-filter": {"allow": ["127.0.0.0/8"]}},
        *described["routes"][0].get("flow", []),
    ]
    request = GET.replace(b"\r\n\r\n", b"\r\n" + told + b"\r\n", 1)
    with running(described) as gate:
        for sent, status in ((header, b"403"), (LOCAL, b"200")):
            with connect(gate) as connection:
                connection.sendall(sent + request)
                assert everything(connection).split(b" ")[1] == status


@needs_openssl
@pytest.mark.parametrize(("header", "client"), [(V1, "192.0.2.7"), (V2, "2001:db8::7"), (LOCAL, "127.0.0.1")])
@pytest.mark.parametrize("together", [True, False], ids=["in-one-segment", "apart"])
def test_what_follows_the_header_reaches_tls(lane, authority, server, header, client, together):
    """The first flight of the handshake comes with the header, or after it."""
    context = ssl.create_default_context(cafile=authority.certificate)
    with running(encrypted(server, lane)) as gate, connect(gate) as connection:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        if together:
            connection.sendall(header + outgoing.read())
        else:
            connection.sendall(header)
            time.sleep(0.05)
            connection.sendall(outgoing.read())
        shaken = False
        while not shaken:
            incoming.write(connection.recv(65536))
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                shaken = True
        tls.write(GET)
        connection.sendall(outgoing.read())
        answer = b""
        while b"hello" not in answer:
            incoming.write(connection.recv(65536))
            with suppress(ssl.SSLWantReadError):
                while data := tls.read():
                    answer += data

        assert answer.startswith(b"HTTP/1.1 200")
        assert clients(gate) == [client]
        assert gate.finished[0].request.scheme == "https"


@needs_openssl
@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
def test_a_real_client_behind_a_balancer_is_named_to_backends(authority, server, lane, option, tmp_path):
    curl = shutil.which("curl")
    if curl is None or (option == "--http2" and "HTTP2" not in subprocess.check_output([curl, "-V"], text=True)):
        pytest.skip("there is no curl that speaks this")
    with upstream() as backend:
        routes = [{"name": "all", "to": {"connection": "backend"}}]
        more = {"routes": routes, "connections": {"backend": {"targets": backend.url}}}
        with running({**encrypted(server, lane), **more}) as gate, Balancer(gate, V2) as balancer:
            (tmp_path / "body").write_text("x" * 200_000)
            sent = ["--data-binary", f"@{tmp_path}/body"]
            words = [curl, "-sS", option, "--cacert", authority.certificate, *sent, balancer.url]
            subprocess.run(words, check=True, capture_output=True, timeout=60)

    (received,) = backend.requests
    assert received.header("x-forwarded-for") == "2001:db8::7"
    assert len(received.body) == 200_000


def test_a_trusted_proxy_without_a_right_header_is_closed(lane):
    with running(document(lane)) as gate:
        for words in (GET, b"PROXY TCP4 192.0.2.7\r\n" + GET, b"PROXY UDP4 192.0.2.7 192.0.2.8 1 2\r\n"):
            with connect(gate) as connection:
                connection.sendall(words)
                assert everything(connection) == b""
        with connect(gate):  # the health check of a balancer: it opens and closes
            pass
        assert gate.finished == []
        assert listener_of(gate)["refused"] == {"proxy_protocol": 3}


def test_a_header_that_does_not_come_in_time_ends_the_connection(lane):
    with running(document(lane, limits={"head": 0.2})) as gate:
        for words in (b"", V2[:20]):
            with connect(gate) as connection:
                connection.sendall(words)
                assert everything(connection) == b""
        assert listener_of(gate) == {"connections": 0, "refused": {"proxy_protocol": 2}, "problems": []}


def test_others_are_clients_themselves_and_their_headers_are_not_believed(lane):
    with running(document(lane, proxies=["10.0.0.0/8"])) as gate:
        with connect(gate) as connection:
            connection.sendall(GET)
            assert everything(connection).startswith(b"HTTP/1.1 200")
        with connect(gate) as connection:
            connection.sendall(V1 + GET)
            assert everything(connection).startswith((b"HTTP/1.1 400", b"HTTP/1.1 501"))
        assert clients(gate) == ["127.0.0.1"]


def test_where_headers_are_required_others_are_turned_away(lane):
    with running(document(lane, proxies=["10.0.0.0/8"], mode="required")) as gate:
        with connect(gate) as connection:
            connection.sendall(V1 + GET)
            assert everything(connection) == b""
        assert gate.finished == []
    with running(document(lane, mode="required")) as gate, connect(gate) as connection:
        connection.sendall(V1 + GET)
        assert everything(connection).startswith(b"HTTP/1.1 200")


def test_headers_are_not_read_unless_the_document_says_so(lane):
    with running(document(lane, mode=False)) as gate, connect(gate) as connection:
        connection.sendall(V1 + GET)
        assert everything(connection).startswith((b"HTTP/1.1 400", b"HTTP/1.1 501"))


def test_each_client_behind_the_balancer_has_connections_of_its_own(lane):
    other = V1.replace(b"192.0.2.7", b"192.0.2.8")
    with running(document(lane, limits={"connections_per_client": 1})) as gate:
        with connect(gate) as first, connect(gate) as second, connect(gate) as third:
            first.sendall(V1 + GET.replace(b"close", b"keep-alive"))
            assert first.recv(65536).startswith(b"HTTP/1.1 200")
            second.sendall(V1 + GET)
            assert everything(second).startswith(b"HTTP/1.1 503")
            third.sendall(other + GET)
            assert everything(third).startswith(b"HTTP/1.1 200")
        assert clients(gate, 2) == ["192.0.2.7", "192.0.2.8"]


@pytest.mark.parametrize(("prefix", "neighbour"), [(64, b"HTTP/1.1 503"), (128, b"HTTP/1.1 200")])
def test_connections_of_a_network_of_ipv6_count_together(lane, prefix, neighbour):
    limits = {"connections_per_client": 1, "ipv6_prefix": prefix}
    with running(document(lane, limits=limits)) as gate, connect(gate) as first, connect(gate) as second:
        first.sendall(b"PROXY TCP6 2001:db8::1 2001:db8::f 1 2\r\n" + GET.replace(b"close", b"keep-alive"))
        assert first.recv(65536).startswith(b"HTTP/1.1 200")
        second.sendall(b"PROXY TCP6 2001:db8::2 2001:db8::f 1 2\r\n" + GET)
        assert everything(second).startswith(neighbour)


def test_there_has_to_be_somebody_who_may_write_headers():
    with pytest.raises(ConfigError, match="name the networks of those who do in trusted_proxies"):
        running(document(proxies=())).__enter__()
