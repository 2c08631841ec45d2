import asyncio
import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hookgate_transport_http import Http

from hookgate import (
    BadGateway,
    Body,
    Certificate,
    ConfigError,
    Headers,
    Outbound,
    Pool,
    Secret,
    ServiceUnavailable,
    Target,
    Timeouts,
)
from hookgate.testing import build, running, upstream


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text, *arguments):
        self.lines.append(text % arguments)


async def started(pool=None, **options):
    transport = build(Http, **options)
    transport.configure(pool or Pool(name="crm"))
    host = SimpleNamespace(log=Log())
    transport.startup(host)
    return transport, host.log.lines


def call(port, scheme="http", **changes):
    target = Target(scheme, "127.0.0.1", port)
    headers = Headers({"Host": target.authority})
    return Outbound("GET", target, "/", headers=headers, timeouts=Timeouts(connect=10, read=10), **changes)


async def test_an_attempt_is_carried_to_the_target_and_the_answer_streams_back():
    with upstream() as backend:
        transport, warnings = await started()
        response = await transport.send(call(backend.port, body=Body(b"hello")))
        assert (response.status, await response.body.read()) == (200, b"ok")
        await transport.shutdown()

        assert backend.bodies == [b"hello"]
        assert warnings == []
        backend.wait_for(lambda backend: backend.open == 0)


async def test_the_pool_is_bound_as_the_connection_says():
    async def unfinished():
        yield b"unf"
        await asyncio.Event().wait()

    with upstream(lambda request: (200, {"content-length": "9"}, unfinished())) as backend:
        transport, _ = await started(Pool(max_connections=1))
        held = await transport.send(call(backend.port))
        outbound = call(backend.port)
        outbound.timeouts = Timeouts(connect=0.05)
        with pytest.raises(ServiceUnavailable):
            await transport.send(outbound)
        await held.body.close()
        await transport.shutdown()


async def test_shutdown_after_a_failed_startup_does_nothing():
    await build(Http).shutdown()


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate that names another host than the one it is served from."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=elsewhere", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", key, "-out", chain),
        ],
        check=True,
        capture_output=True,
    )
    return SimpleNamespace(chain=chain, key=key)


@contextmanager
def secure(certificate, *, asks_for_one=False):
    """A backend that answers ``ok`` over TLS, in a thread, perhaps only to clients that show the same certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)
    if asks_for_one:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate.chain)
    ready, state = threading.Event(), SimpleNamespace()

    async def serve(reader, writer):
        while await reader.readline() not in (b"\r\n", b""):
            pass
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    async def main():
        state.loop, state.stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        state.port = server.sockets[0].getsockname()[1]
        ready.set()
        await state.stop.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield state.port
    finally:
        state.loop.call_soon_threadsafe(state.stop.set)
        thread.join(10)


async def answer_of(transport, port, host="127.0.0.1"):
    outbound = call(port, "https")
    outbound.target = Target("https", host, port)
    try:
        return await (await transport.send(outbound)).body.read()
    except BadGateway as fault:
        return fault.reason
    finally:
        await transport.shutdown()


async def test_a_certificate_is_checked_against_authority_and_host(certificate):
    with secure(certificate) as port:
        assert await answer_of((await started())[0], port, "localhost") == "tls-failed"
        assert await answer_of((await started(ca_file=certificate.chain))[0], port, "localhost") == b"ok"
        assert await answer_of((await started(ca_file=certificate.chain))[0], port) == "tls-failed"


async def test_without_verification_any_certificate_does_and_the_log_warns(certificate):
    transport, warnings = await started(verify_tls=False)
    with secure(certificate) as port:
        assert await answer_of(transport, port) == b"ok"

    assert warnings == ["connection crm accepts any TLS certificate (verify_tls: false)"]


def shown(certificate, **changes):
    return Certificate(
        **{"chain": certificate.chain.read_text(), "key": Secret(certificate.key.read_text()), **changes},
    )


async def test_a_client_certificate_is_shown_to_the_backend(certificate):
    pool = Pool(name="crm", certificates=[shown(certificate)])
    with secure(certificate, asks_for_one=True) as port:
        assert await answer_of((await started(pool, ca_file=certificate.chain))[0], port, "localhost") == b"ok"
        assert await answer_of((await started(pool, verify_tls=False))[0], port) == b"ok"
        refused = await answer_of((await started(ca_file=certificate.chain))[0], port, "localhost")
        assert refused in ("upstream-closed", "tls-failed")  # TLS 1.3 says so only after the handshake


async def test_a_locked_key_is_opened_with_its_password_and_never_asked_for(certificate, tmp_path):
    locked = tmp_path / "locked.pem"
    command = (
        shutil.which("openssl"),
        "ec",
        "-aes256",
        "-passout",
        "pass:s3cret",
        "-in",
        certificate.key,
        "-out",
        locked,
    )
    subprocess.run(command, check=True, capture_output=True)
    key = Secret(locked.read_text())
    pools = [
        Pool(name="crm", certificates=[shown(certificate, key=key, password=password)])
        for password in (Secret("s3cret"), Secret("wrong"), None)
    ]

    await (await started(pools[0]))[0].shutdown()
    for pool in pools[1:]:
        with pytest.raises(ConfigError, match=r"connections\.crm: the client certificate cannot be used"):
            await started(pool)


@pytest.mark.parametrize("change", [{"chain": "no pem"}, {"key": Secret("no pem")}])
async def test_a_client_certificate_that_cannot_be_used_is_refused_before_the_document_goes_live(certificate, change):
    with pytest.raises(ConfigError, match=r"connections\.crm: the client certificate cannot be used") as caught:
        await started(Pool(name="crm", certificates=[shown(certificate, **change)]))

    assert "PRIVATE" not in str(caught.value)


def test_a_gateway_refuses_a_self_signed_backend_unless_told_otherwise(certificate):
    def document(port, **options):
        connection = {"targets": f"https://127.0.0.1:{port}", "transport": {"http": options}}
        return {"routes": [{"name": "all", "to": {"connection": "crm"}}], "connections": {"crm": connection}}

    with secure(certificate) as port, running(document(port)) as gate:
        refused = gate.request("GET", "/")
        assert (refused.status_code, refused.json()["reason"]) == (502, "tls-failed")
        gate.reload(document(port, verify_tls=False))
        assert gate.request("GET", "/").text == "ok"

        assert "connection crm accepts any TLS certificate (verify_tls: false)" in [r.getMessage() for r in gate.log]


def test_a_missing_authority_file_is_refused_at_load(tmp_path):
    with pytest.raises(ConfigError, match=r"ca_file: .*file"):
        build(Http, ca_file=str(tmp_path / "none.pem"))


async def test_an_authority_file_that_is_no_pem_is_refused_before_the_document_goes_live(tmp_path):
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(ConfigError, match=r"connections\.crm\.transport\.http\.ca_file: .*ca\.pem cannot be used"):
        await started(ca_file=str(tmp_path / "ca.pem"))


def test_an_authority_file_without_verification_is_refused_at_load(tmp_path):
    (tmp_path / "ca.pem").write_text("")
    with pytest.raises(ConfigError, match="ca_file has no effect"):
        build(Http, verify_tls=False, ca_file=str(tmp_path / "ca.pem"))
