"""Backends that refuse us in TLS are not available (HC-13, HC-15). In TLS 1.3 a client hears of it only after it has
sent its request, which nobody has read."""

import logging
import socket
import ssl
import threading
from contextlib import suppress
from types import SimpleNamespace

import httpx
import pytest

from hookgate.testing import running, upstream

from .authority import Authority, needs_openssl
from .tlsbackend import tls_backend

pytestmark = needs_openssl

BOTH = pytest.mark.parametrize("lane", [True, False])
TRANSPORTS = pytest.mark.parametrize("transport", ["http", "httpx"])
VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours", "Ours")


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server", "IP:127.0.0.1")


def document(authority, main, backup, *, lane, transport, version="1.3", **connection):
    crm = {
        "targets": main.url,
        "backups": [backup.url],
        "transport": transport,
        "tls": {"ca_file": str(authority.certificate), "versions": [version]},
        **connection,
    }
    routes = [{"name": "all", "to": {"connection": "crm"}}]
    return {"gateway": {"lane": lane}, "routes": routes, "connections": {"crm": crm}}


@pytest.mark.row("HC-13", "HC-16")
@BOTH
@TRANSPORTS
@VERSIONS
@pytest.mark.parametrize("protocols", [["http/1.1"], ["h2"]])
def test_a_backend_that_wants_a_certificate_and_gets_none_is_left_for_its_backup(
    authority, server, lane, transport, version, protocols
):
    # httpx writes head and body one after the other, and hears of nothing in between: a reset may come first
    call, content = (("GET", "/"), None) if transport == "httpx" else (("POST", "/"), b"x")
    with tls_backend(server, clients=authority.certificate) as main, upstream() as backup:
        main.context.set_alpn_protocols(protocols)
        described = document(authority, main, backup, lane=lane, transport=transport, version=version)
        with running(described) as gate:
            refused = gate.request(*call, content=content)
            answers = [gate.request(*call, content=content).status_code for _ in range(2)]
            (first,) = gate.wait_for_exchanges(3)[0].attempts
            counts = gate.gateway.connection("crm").counts

    assert (refused.status_code, refused.json()["reason"]) == (502, "tls-failed")
    assert (answers, main.connections, len(backup.requests)) == ([200, 200], 0, 2)
    assert first.outcome.kind == "connect-failed"
    assert (counts["connect-failed"], counts["broken"], counts["ok"]) == (1, 0, 2)


@BOTH
@VERSIONS
@pytest.mark.parametrize("body", [None, b"x"])
def test_the_same_call_goes_to_the_next_target_where_it_has_more_tries(authority, server, lane, version, body):
    method = "GET" if body is None else "POST"
    with tls_backend(server, clients=authority.certificate) as main, upstream() as backup:
        more = {"max_tries": 2, "retry": {"on": ["connect-failed", "broken"]}}  # "broken" has bodies kept
        described = document(authority, main, backup, lane=lane, transport="http", version=version, **more)
        with running(described) as gate:
            # where a reset swallowed the alert, nobody knows that it was not done: so it has to do no harm twice
            key = {"idempotency-key": "1"}
            assert gate.request(method, "/", content=body, headers=key).status_code == 200
            kinds = [attempt.outcome.kind for attempt in gate.wait_for_exchanges(1)[0].attempts]

    assert kinds == ["connect-failed", "ok"]  # "broken" would have been tried again as well
    assert backup.bodies == [body or b""]


@BOTH
def test_a_body_that_was_on_its_way_is_not_sent_again_without_its_beginning(authority, server, lane):
    class Listener(logging.Handler):
        told = threading.Event()

        def emit(self, record):
            self.told.set()

    def parts():
        yield b"one "
        assert Listener.told.wait(30), "nobody said that there is no TLS"
        yield b"two"

    listener = Listener()
    logging.getLogger("hookgate.tls").addHandler(listener)
    try:
        with tls_backend(server, clients=authority.certificate) as main, upstream() as backup:
            described = document(authority, main, backup, lane=lane, transport="http", max_tries=2)
            with running(described) as gate:
                with suppress(httpx.WriteError):  # the gateway may have closed before the client is through
                    gate.request("POST", "/", content=parts())
                (exchange,) = gate.wait_for_exchanges(1)
    finally:
        logging.getLogger("hookgate.tls").removeHandler(listener)

    said = [each.verdict for each in exchange.attempts]
    if len(said) == 1:  # where a reset came first it is not known to be a refusal, but by asking again
        assert said[0] in ("not tried again: the body was not kept", "not tried again: POST may do harm twice")
        assert backup.requests == []
    else:  # it was refused before anybody had begun to read the body
        assert (said, backup.bodies) == (["tried again", ""], [b"one two"])


@BOTH
@TRANSPORTS
def test_a_backend_that_hangs_up_in_the_handshake_is_not_available(authority, lane, transport):
    """It is a failure to connect, whatever it is called: `retry.on` with "broken" does not hide that."""
    with socket.create_server(("127.0.0.1", 0)) as listening, upstream() as backup:

        def hang_up():
            with suppress(OSError):
                while True:
                    accepted, _ = listening.accept()
                    accepted.recv(65536)
                    accepted.close()

        accepting = threading.Thread(target=hang_up)
        accepting.start()
        main = SimpleNamespace(url=f"https://127.0.0.1:{listening.getsockname()[1]}")
        rules = {"max_tries": 2, "retry": {"on": ["connect-failed", "broken"]}}
        try:
            with running(document(authority, main, backup, lane=lane, transport=transport, **rules)) as gate:
                answer = gate.request("POST", "/", content=b"x")
                kinds = [attempt.outcome.kind for attempt in gate.wait_for_exchanges(1)[0].attempts]
        finally:
            listening.shutdown(socket.SHUT_RDWR)  # which wakes the thread
            accepting.join(30)

    assert (answer.status_code, kinds) == (200, ["connect-failed", "ok"])
    assert backup.bodies == [b"x"]


@BOTH
@TRANSPORTS
def test_a_request_that_was_read_goes_nowhere_else_though_its_backend_ends(authority, server, lane, transport):
    """It has taken the call and hangs up, on others too, without an alert: whether it has done it, nobody knows."""
    context, read = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(server["certificate"], server["key"])
    with socket.create_server(("127.0.0.1", 0)) as listening, upstream() as backup:

        def take_one():
            with suppress(OSError):
                while True:
                    with context.wrap_socket(listening.accept()[0], server_side=True) as accepted:
                        while not read or b"pay" not in read[0]:
                            read[:] = [b"".join([*read, accepted.recv(65536)])]

        taking = threading.Thread(target=take_one)
        taking.start()
        main = SimpleNamespace(url=f"https://127.0.0.1:{listening.getsockname()[1]}")
        try:
            with running(document(authority, main, backup, lane=lane, transport=transport, max_tries=2)) as gate:
                answer = gate.request("POST", "/", content=b"pay")
                kinds = [attempt.outcome.kind for attempt in gate.wait_for_exchanges(1)[0].attempts]
        finally:
            listening.shutdown(socket.SHUT_RDWR)  # which wakes the thread
            taking.join(30)

    assert (answer.status_code, kinds, backup.requests) == (502, ["broken"], [])
