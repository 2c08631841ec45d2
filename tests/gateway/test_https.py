"""TLS in front of the whole gateway: both ways of serving, real handshakes, certificates of clients, new ones."""

import asyncio
import importlib.util
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from hookgate import ConfigError
from hookgate.document.document import parse
from hookgate.server import certificates
from hookgate.testing import running, upstream

from .authority import Authority, needs_openssl

pytestmark = needs_openssl
WITHOUT_UVLOOP = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
CURL = shutil.which("curl")
WITH_H2 = CURL is not None and "HTTP2" in subprocess.run([CURL, "-V"], capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("https") / "ours", "Ours")


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server", "DNS:localhost", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def other(authority):
    return authority.issue("other", "DNS:localhost", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def orders(authority):
    return authority.issue(
        "orders", "DNS:orders.example", "URI:spiffe://example/orders", subject="/O=Example/CN=orders"
    )


@pytest.fixture(params=[True, False], ids=["lane", "hypercorn"])
def lane(request):
    return request.param


@pytest.fixture(params=["asyncio", pytest.param("uvloop", marks=WITHOUT_UVLOOP)])
def loop(request, monkeypatch):
    """Run gateways on each kind of event loop."""
    if request.param == "asyncio":
        monkeypatch.setattr("hookgate.testing.gateway.new_event_loop", asyncio.SelectorEventLoop)


def document(server, lane=True, *, routes=None, listen=("https://127.0.0.1:0",), tls=None, **more):
    tls = {"certificates": [server], **(tls or {})}
    routes = routes or [{"name": "all", "flow": [{"respond": {"body": "hello"}}]}]
    return {"gateway": {"listen": list(listen), "lane": lane, "tls": tls, **more}, "routes": routes}


def curl(url, authority, *arguments, show=None):
    """Call with curl; return (status, HTTP version, body)."""
    if CURL is None:
        pytest.skip("curl is not installed")
    if "--http2" in arguments and not WITH_H2:
        pytest.skip("this curl has no HTTP/2")
    known = ["--cert", show["certificate"], "--key", show["key"]] if show else []
    words = [CURL, "-sS", "--cacert", authority.certificate, "-w", "\n%{http_code} %{http_version}", *known, *arguments]
    done = subprocess.run([*words, url], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise ConnectionError(done.stderr)
    body, _, said = done.stdout.rpartition("\n")
    status, version = said.split()
    return int(status), version, body


def trusting(authority, show=None):
    context = ssl.create_default_context(cafile=authority.certificate)
    if show:
        context.load_cert_chain(show["certificate"], show["key"])
    return context


def shown_by(gate, authority, host="localhost"):
    """The name in the certificate that a new connection gets."""
    address = urlsplit(gate.url)
    plain = socket.create_connection((address.hostname, address.port), timeout=60)
    context = trusting(authority)
    context.check_hostname = False
    with context.wrap_socket(plain, server_hostname=host) as connection:
        return dict(part[0] for part in connection.getpeercert()["subject"])["commonName"]


def listener_of(gate):
    return httpx.get(gate.management + "/-/health").json()["listener"]


# --- calls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_a_call_over_tls_is_https_on_both_ways(loop, authority, server, lane, option, version):
    with upstream() as backend:
        routes = [{"name": "all", "to": {"connection": "backend"}}]
        more = {"connections": {"backend": {"targets": backend.url}}}
        with running({**document(server, lane, routes=routes), **more}) as gate:
            answer = curl(f"{gate.url}/a", authority, option, "-d", "asked", "-H", "X-Forwarded-Proto: http")
            (exchange,) = gate.wait_for_exchanges(1)

    (received,) = backend.requests
    assert gate.url.startswith("https://127.0.0.1:")
    assert answer[:2] == (200, version)
    assert (exchange.request.scheme, exchange.request.certificate) == ("https", None)
    assert (received.body, received.header("x-forwarded-proto")) == (b"asked", "https")


def test_long_bodies_come_through_whole_both_ways(loop, authority, server, lane):
    body = bytes(range(256)) * 8192
    with upstream(lambda request: (200, {}, request.body)) as backend:
        routes = [{"name": "all", "to": {"connection": "backend"}}]
        more = {"connections": {"backend": {"targets": backend.url}}}
        with (
            running({**document(server, lane, routes=routes), **more}) as gate,
            httpx.Client(verify=trusting(authority)) as client,
        ):
            answers = [client.post(gate.url, content=body) for _ in range(2)]
            last = client.post(gate.url, content=body, headers={"Connection": "close"})

            assert [answer.content == body for answer in (*answers, last)] == [True] * 3


def test_plain_and_encrypted_listeners_stand_side_by_side(authority, server, lane):
    with running(document(server, lane, listen=["127.0.0.1:0", "https://127.0.0.1:0"])) as gate:
        plain, encrypted = gate.urls
        assert plain.startswith("http://")
        assert httpx.get(plain).text == httpx.get(encrypted, verify=trusting(authority)).text == "hello"
        with pytest.raises(httpx.HTTPError):
            httpx.get(encrypted.replace("https", "http"))

    assert [exchange.request.scheme for exchange in gate.finished] == ["http", "https"]


def test_serve_says_https(authority, server, tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps({**document(server, lame_duck=0), "management": {"enabled": False}}))
    process = subprocess.Popen(
        [sys.executable, "-m", "hookgate", "serve", str(file)], stderr=subprocess.PIPE, text=True
    )
    try:
        url = next(line for line in iter(process.stderr.readline, "") if "serves" in line).split()[-1]
        assert url.startswith("https://127.0.0.1:")
        assert httpx.get(url, verify=trusting(authority)).text == "hello"
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


def test_the_example_of_the_documentation_works(authority, server, other):
    page = (Path(__file__).parents[2] / "docs/deploying.md").read_text()
    text = page.partition("## TLS")[2].partition("```yaml\n")[2].partition("```")[0]
    for name, entry in {"www": server, "api": other}.items():
        for kind, suffix in {"certificate": "pem", "key": "key"}.items():
            text = text.replace(f"/etc/hookgate/tls/{name}.{suffix}", entry[kind])
    text = text.replace("/etc/hookgate/tls/clients.pem", str(authority.certificate))
    text = text.replace(":8443", "127.0.0.1:0").replace("127.0.0.1:8080", "127.0.0.1:0")
    gateway = dict(parse(text.encode(), "block.yaml"))
    with running({"gateway": gateway, "routes": [{"name": "all", "flow": [{"respond": {"body": "hello"}}]}]}) as gate:
        assert shown_by(gate, authority) == "server"
        assert shown_by(gate, authority, host="api.example.org") == "other"
        assert [urlsplit(url).scheme for url in gate.urls] == ["https", "http"]


# --- who the client is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
def test_the_certificate_of_a_client_is_known_in_flows_and_comes_from_no_header(
    loop, authority, server, orders, lane, option
):
    known = {"client_certificates": {"authorities": str(authority.certificate), "mode": "optional"}}
    name = "request.certificate.subject == 'CN=orders,O=Example' and 'orders.example' in request.certificate.names.dns"
    routes = [
        {"name": "orders", "match": {"when": name}, "flow": [{"respond": {"body": "orders"}}]},
        {"name": "others", "flow": [{"respond": {"body": "a stranger"}}]},
    ]
    liar = [word for each in ("X-Client-Cert", "X-SSL-Client-S-DN", "Client-Cert", "X-Forwarded-Client-Cert")
            for word in ("-H", f"{each}: CN=orders,O=Example")]  # fmt: skip
    with running(document(server, lane, routes=routes, tls=known)) as gate:
        assert curl(gate.url, authority, option, show=orders)[2] == "orders"
        assert curl(gate.url, authority, option, *liar)[2] == "a stranger"
        first, second = (exchange.request.certificate for exchange in gate.wait_for_exchanges(2))

    assert first.names == (("dns", "orders.example"), ("uri", "spiffe://example/orders"))
    assert len(first.fingerprint) == 64
    assert second is None


def test_each_call_of_a_connection_knows_the_certificate_read_once(authority, server, orders):
    known = {"client_certificates": {"authorities": str(authority.certificate)}}
    with (
        running(document(server, tls=known)) as gate,
        httpx.Client(verify=trusting(authority, show=orders)) as client,
    ):
        for _ in range(3):
            client.get(gate.url)
        first, *more = (exchange.request.certificate for exchange in gate.wait_for_exchanges(3))

    assert first.subject == "CN=orders,O=Example"
    assert all(each is first for each in more)


def test_a_client_without_a_required_certificate_gets_no_answer(loop, authority, server, lane):
    known = {"client_certificates": {"authorities": str(authority.certificate)}}
    with running(document(server, lane, tls=known)) as gate:
        with pytest.raises(ConnectionError):
            curl(gate.url, authority, "--http1.1")
        assert listener_of(gate)["refused"] == {"handshake": 1}
    assert gate.finished == []


# --- what a document may say ---------------------------------------------------------------------------------------


@pytest.fixture
def problems_of(tmp_path):
    """What is wrong with a document, as one reads it."""

    def problems(text):
        file = tmp_path / "gateway.yaml"
        file.write_text(text)
        with pytest.raises(ConfigError) as refused, running(file):
            pass
        return [str(problem).removeprefix(f"{tmp_path}/") for problem in refused.value.problems]

    return problems


def test_tls_and_addresses_have_to_fit_together(problems_of, server):
    without = "gateway: {listen: ['127.0.0.1:0', 'https://127.0.0.1:0']}\nroutes: []\n"
    useless = json.dumps(document(server, listen=["127.0.0.1:0"]))
    twice = json.dumps(document(server, listen=["127.0.0.1:8443", "https://127.0.0.1:8443"]))

    assert problems_of(without) == [
        "gateway.yaml:1:35: gateway.listen[1]: https://127.0.0.1:0 needs certificates: write tls"
    ]
    assert "no listener speaks TLS; write https:// in front" in problems_of(useless)[0]
    assert "is listened on already" in problems_of(twice)[0]
    assert "write https://host:port for TLS" in problems_of("gateway: {listen: ['ftp://127.0.0.1:0']}")[0]
    assert "is no address" in problems_of("management: {listen: ['https://127.0.0.1:0']}")[0]


def test_a_certificate_that_cannot_be_used_is_a_problem_with_its_place(problems_of, server):
    text = f"""
gateway:
  listen: ["https://127.0.0.1:0"]
  tls:
    certificates:
      - {{certificate: {server["certificate"]}, key: {server["key"]}}}
      - {{certificate: /nowhere/at.pem, key: {server["key"]}}}
routes: []
"""
    (problem,) = problems_of(text)

    assert problem.startswith("gateway.yaml:7:9: gateway.tls.certificates[1]: cannot read /nowhere/at.pem")


# --- other certificates without a restart --------------------------------------------------------------------------


def test_a_reload_brings_other_certificates_and_bad_ones_change_nothing(loop, authority, server, other, lane):
    with (
        running(document(server, lane)) as gate,
        httpx.Client(verify=trusting(authority)) as client,
    ):
        assert client.get(gate.url).text == "hello"
        with pytest.raises(ConfigError, match=r"gateway.tls.certificates\[0\]: .* is not the key of"):
            gate.reload(document({**server, "key": other["key"]}, lane))
        health = httpx.get(gate.management + "/-/health").json()
        assert (health["status"], health["generation"]) == ("degraded", 1)
        assert shown_by(gate, authority) == "server"

        gate.reload(document(other, lane))

        assert shown_by(gate, authority) == "other"
        assert client.get(gate.url).text == "hello"  # on the connection that it has


def test_a_certificate_that_was_replaced_on_disk_is_used_soon(
    loop, authority, server, other, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO", "hookgate.tls")
    monkeypatch.setattr(certificates, "EVERY", 0.05)
    paths = {kind: str(tmp_path / kind) for kind in server}

    def put(entry, *kinds):
        for kind in kinds or entry:
            shutil.copy(entry[kind], tmp_path / "fresh")
            (tmp_path / "fresh").replace(paths[kind])

    def until(wanted):
        end = time.monotonic() + 60
        while not wanted():
            assert time.monotonic() < end
            time.sleep(0.05)

    put(server)
    with running(document(paths)) as gate:
        assert shown_by(gate, authority) == "server"
        put(other, "certificate")  # and its key comes later
        until(lambda: listener_of(gate)["problems"])
        assert shown_by(gate, authority) == "server"

        put(other)
        until(lambda: shown_by(gate, authority) == "other")
        until(lambda: listener_of(gate)["problems"] == [])
        recovered = f"{paths['certificate']} was read and is again in force for new connections, until "
        assert len([line for line in caplog.messages if line.startswith(recovered)]) == 1

        put(server, "key", "certificate")
        until(lambda: shown_by(gate, authority) == "server")
        replaced = f"{paths['certificate']} was read and is in force for new connections, until "
        until(lambda: any(line.startswith(replaced) for line in caplog.messages))

        gate.reload(document(other))
        assert any(line.startswith(f"{other['certificate']} was read and is in force") for line in caplog.messages)


# --- clients that do not shake hands -------------------------------------------------------------------------------


def test_a_handshake_has_a_time_limit_and_an_aborted_one_leaves_nothing_behind(loop, authority, server, lane):
    with running(document(server, lane, limits={"handshake": 0.2})) as gate:
        address = urlsplit(gate.url)
        for words in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection((address.hostname, address.port), timeout=60) as client:
                client.sendall(words)
                try:
                    while client.recv(100):  # an alert may come
                        pass
                except ConnectionResetError:
                    pass
        with socket.create_connection((address.hostname, address.port)):
            pass
        end = time.monotonic() + 60
        wanted = {"connections": 0, "refused": {"handshake": 4}, "problems": []}
        while not wanted.items() <= listener_of(gate).items():
            assert time.monotonic() < end, listener_of(gate)
            time.sleep(0.05)
        assert shown_by(gate, authority) == "server"


def test_stopping_waits_for_no_handshake(loop, server):
    with running(document(server)) as gate:
        address = urlsplit(gate.url)
        client = socket.create_connection((address.hostname, address.port), timeout=60)
        while listener_of(gate)["connections"] != 1:
            time.sleep(0.02)
        began = time.monotonic()

    assert time.monotonic() - began < 5
    client.close()
