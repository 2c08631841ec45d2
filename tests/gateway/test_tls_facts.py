"""What a call says of the TLS it came by: over the lane, over the edge with HTTP/2, and behind a PROXY header."""

import asyncio
import json
import socket
import ssl
from urllib.parse import urlsplit

import pytest

from hookgate import Request, TlsFacts
from hookgate.testing import running, upstream

from .authority import Authority, needs_openssl

pytestmark = needs_openssl

GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PROXY = b"PROXY TCP4 192.0.2.7 192.0.2.1 1111 443\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("facts") / "ours", "Ours")


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server", "DNS:localhost", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def other(authority):
    return authority.issue("other", "DNS:other.example")


@pytest.fixture(scope="module")
def client(authority):
    return authority.issue("orders", "DNS:orders.example", subject="/O=Example/CN=orders")


@pytest.fixture(params=[True, False], ids=["lane", "hypercorn"])
def lane(request):
    return request.param


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request, monkeypatch):
    """Run gateways on each kind of event loop."""
    if request.param == "asyncio":
        monkeypatch.setattr("hookgate.testing.gateway.new_event_loop", asyncio.SelectorEventLoop)
    else:
        pytest.importorskip("uvloop")


def document(*certificates, lane=True, tls=None, listen="https://127.0.0.1:0", **more):
    said = {"certificates": list(certificates), **(tls or {})}
    gateway = {"listen": [listen], "lane": lane, **({"tls": said} if certificates else {}), **more}
    return {"gateway": gateway, "routes": [{"name": "all", "flow": [{"respond": {"body": "hello"}}]}]}


def call(gate, authority, name, *, version=None, alpn=(), first=b"", show=None, session=None, context=None):
    """Call once over TLS; return the context and the session, for another call."""
    if context is None:
        context = ssl.create_default_context(cafile=authority.certificate)
        context.check_hostname = False
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if show is not None:
            context.load_cert_chain(show["certificate"], show["key"])
    address = urlsplit(gate.url)
    plain = socket.create_connection((address.hostname, address.port), timeout=60)
    plain.sendall(first)
    with context.wrap_socket(plain, server_hostname=name, session=session) as connection:
        connection.sendall(GET)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        assert b" 200 " in answer.partition(b"\r\n")[0]
        return context, connection.session, connection.session_reused


def facts(gate, count=1):
    return [exchange.request.tls for exchange in gate.wait_for_exchanges(count)]


@pytest.mark.parametrize(
    ("version", "said"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_a_call_knows_server_name_version_cipher_and_protocol(loop, authority, server, lane, version, said):
    with running(document(server, lane=lane)) as gate:
        call(gate, authority, "LocalHost", version=version, alpn=["http/1.1"])
        (found,) = facts(gate)

    assert (found.server_name, found.version, found.alpn, found.certificate) == ("localhost", said, "http/1.1", None)
    assert found.cipher.startswith("TLS_" if said == "TLSv1.3" else "ECDHE-")


def test_what_the_client_has_not_said_is_none(authority, server, lane):
    with running(document(server, lane=lane)) as gate:
        call(gate, authority, "127.0.0.1")  # an address is never sent as a name (RFC 6066, 3)
        (found,) = facts(gate)

    assert (found.server_name, found.alpn) == (None, None)


def test_a_call_without_tls_has_none(lane):
    with running(document(lane=lane, listen="127.0.0.1:0")) as gate:
        gate.request("GET", "/")
        assert facts(gate) == [None]


def test_a_name_that_no_certificate_has_and_one_of_another_certificate_are_known_too(authority, server, other, lane):
    with running(document(server, other, lane=lane)) as gate:
        for name in ("other.example", "localhost"):
            call(gate, authority, name)
        context = ssl.create_default_context(cafile=authority.certificate)
        context.check_hostname = False
        call(gate, authority, "nobody.example", context=context)
        names = [each.server_name for each in facts(gate, 3)]

    assert names == ["other.example", "localhost", "nobody.example"]


def test_a_session_that_is_resumed_knows_its_name(authority, server, lane):
    with running(document(server, lane=lane)) as gate:
        context, session, _ = call(gate, authority, "localhost", version=ssl.TLSVersion.TLSv1_2)
        *_, reused = call(gate, authority, "localhost", session=session, context=context)
        found = facts(gate, 2)

    assert reused
    assert [each.server_name for each in found] == ["localhost"] * 2


def test_the_certificate_of_the_client_stands_beside_them(authority, server, client, lane):
    known = {"client_certificates": {"authorities": authority.certificate}}
    with running(document(server, lane=lane, tls=known)) as gate:
        call(gate, authority, "localhost", show=client)
        (exchange,) = gate.wait_for_exchanges(1)

    assert exchange.request.certificate is exchange.request.tls.certificate
    assert exchange.request.certificate.subject == "CN=orders,O=Example"


def test_they_are_known_behind_a_proxy_header(loop, authority, server, lane):
    with running(document(server, lane=lane, proxy_protocol="required", trusted_proxies=["127.0.0.1"])) as gate:
        call(gate, authority, "localhost", first=PROXY)
        (exchange,) = gate.wait_for_exchanges(1)

    assert exchange.request.client == "192.0.2.7"
    assert (exchange.request.tls.server_name, exchange.request.tls.version) == ("localhost", "TLSv1.3")


def test_they_are_known_over_http_2(authority, server, lane):
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("h2")
    with running(document(server, lane=lane)) as gate:
        context = ssl.create_default_context(cafile=authority.certificate)
        with httpx.Client(http2=True, verify=context, trust_env=False) as client:
            port = urlsplit(gate.url).port
            for _ in range(2):
                assert client.get(f"https://localhost:{port}/").http_version == "HTTP/2"
        first, second = facts(gate, 2)

    assert (first.server_name, first.version, first.alpn) == ("localhost", "TLSv1.3", "h2")
    assert first is second


def test_expressions_and_the_access_log_read_them(authority, server, lane, tmp_path):
    log = tmp_path / "access.log"
    old = {"respond": {"status": 426, "_": {"when": "request.tls.version == 'TLSv1.2'"}}}
    value = "request.tls.server_name + ' ' + request.tls.alpn + ' ' + str(len(request.tls.cipher) > 5)"
    with upstream() as backend:
        whole = document(server, lane=lane, observers=[{"access-log": {"output": str(log)}}])
        whole["routes"] = [{"name": "all", "flow": [old], "to": {"connection": "crm"}}]
        headers = [{"set": "X-Tls", "from": {"expression": {"value": value}}}]
        whole["connections"] = {"crm": {"targets": backend.url, "headers": headers}}
        with running(whole) as gate:
            call(gate, authority, "localhost", alpn=["http/1.1"])
            with pytest.raises(AssertionError):
                call(gate, authority, "localhost", version=ssl.TLSVersion.TLSv1_2)
            gate.wait_for_exchanges(2)

    assert backend.requests[0].header("x-tls") == "localhost http/1.1 True"
    assert [(line["tls"], line["server_name"]) for line in map(json.loads, log.read_text().splitlines())] == [
        ("TLSv1.3", "localhost"),
        ("TLSv1.2", "localhost"),
    ]


def test_an_expression_over_them_is_null_without_tls(lane):
    whole = document(lane=lane, listen="127.0.0.1:0")
    whole["routes"][0]["flow"] = [{"respond": {"status": 418, "_": {"when": "request.tls == null"}}}]
    with running(whole) as gate:
        assert gate.request("GET", "/").status_code == 418


def test_a_certificate_that_a_test_puts_there_stands_beside_them():
    request = Request()
    request.certificate = None
    assert request.tls is None
    request.certificate = shown = object()
    assert (request.certificate, request.tls) == (shown, TlsFacts(certificate=shown))
