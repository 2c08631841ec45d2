"""Certificates that the gateway shows to backends."""

import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from contextlib import contextmanager, suppress
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from hookgate import MASK, ConfigError
from hookgate.testing import build, running
from hookgate_auth_mutual_tls import MutualTlsCredential
from hookgate_authoring.conformance import conformance

from .certificates import DAY, Authority, key_pem, pem


@pytest.fixture(scope="module")
def ours():
    return Authority("Ours")


@pytest.fixture
def write(tmp_path):
    """Write a pair as two files and return the options that name them."""

    def write(pair, password=None, name="client"):
        key, *chain = pair
        options = {"certificate": str(tmp_path / f"{name}.pem"), "key": str(tmp_path / f"{name}.key")}
        (tmp_path / f"{name}.pem").write_text(pem(*chain))
        (tmp_path / f"{name}.key").write_text(key_pem(key, password))
        return options

    return write


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate,
    ],
    ids=["ecdsa", "rsa", "ed25519"],
)
def test_a_pair_can_be_files_or_text(ours, write, make):
    key, certificate = ours.issue("gateway", key=make())
    files = build(MutualTlsCredential, **write((key, certificate))).client_certificate()
    text = build(MutualTlsCredential, certificate_pem=pem(certificate), key_pem=key_pem(key)).client_certificate()

    assert files == text
    assert (files.chain, files.key.reveal(), files.password) == (pem(certificate), key_pem(key), None)


def test_the_chain_and_the_password_come_along(ours, write):
    middle = Authority("Middle", above=ours)
    key, certificate = middle.issue("gateway")
    options = write((key, certificate, middle.certificate), password="open sesame")
    shown = build(MutualTlsCredential, **options, password="open sesame").client_certificate()

    assert shown.chain == pem(certificate, middle.certificate)
    assert shown.password.reveal() == "open sesame"


def test_a_password_that_is_not_needed_does_no_harm(ours, write):
    assert build(MutualTlsCredential, **write(ours.issue("gateway")), password="x").client_certificate()


# --- what is refused at load -----------------------------------------------------------------------------------------


def test_a_pair_that_cannot_be_used_is_refused_at_load(ours, write, tmp_path):
    pair, other, locked = ours.issue("gateway"), ours.issue("other"), ours.issue("locked")
    good = write(pair)
    others, sealed = write(other, name="other"), write(locked, "open sesame", name="locked")
    chain = write((pair[0], other[1], pair[1]), name="chain")
    (tmp_path / "der.pem").write_bytes(pair[1].public_bytes(serialization.Encoding.DER))
    (tmp_path / "long.pem").write_bytes(b"-" * 2_000_000)
    (tmp_path / "half.pem").write_text(pem(pair[1])[:200])
    (tmp_path / "half.key").write_text(key_pem(pair[0])[:90] + "\n-----END PRIVATE KEY-----\n")
    cases = [
        ({"certificate": good["certificate"]}, "a certificate is of no use without its key"),
        ({"key": good["key"]}, "either certificate"),
        ({**good, "certificate_pem": pem(pair[1])}, "either certificate"),
        ({**good, "key_pem": key_pem(pair[0])}, "either key"),
        ({**good, "key": others["key"]}, r"other\.key is not the key of .*client\.pem"),
        (chain, "another certificate in .*put that one first"),
        (sealed, r"locked\.key is encrypted; write its password"),
        ({**sealed, "password": "open barley"}, "the password does not open it"),
        ({**good, "certificate": good["key"]}, r"client\.key holds no certificate"),
        ({**good, "key": good["certificate"]}, r"client\.pem holds no private key"),
        ({**good, "certificate": str(tmp_path / "nowhere")}, "cannot read .*nowhere: No such file"),
        ({**good, "key": str(tmp_path)}, "cannot read .*: Is a directory"),
        ({**good, "key": "a\0b"}, "it is no path"),
        ({**good, "certificate": str(tmp_path / "der.pem")}, "binary form"),
        ({**good, "certificate": str(tmp_path / "long.pem")}, "longer than"),
        ({**good, "certificate": str(tmp_path / "half.pem")}, r"half\.pem holds no certificate"),
        ({**good, "key": str(tmp_path / "half.key")}, r"half\.key cannot be used"),
        ({"certificate_pem": "s3same", "key_pem": "s3same"}, "certificate_pem holds no certificate"),
        ({"certificate_pem": pem(pair[1]), "key_pem": "s3same"}, "key_pem holds no private key"),
    ]
    for options, message in cases:
        with pytest.raises(ConfigError, match=message) as refused:
            build(MutualTlsCredential, **options)
        for secret in ("s3same", "sesame", "barley", key_pem(pair[0]).splitlines()[1]):
            assert secret not in str(refused.value)


def document(url, options, **more):
    return {
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": url, "auth": [{"mutual-tls": options}], **more}},
    }


@pytest.mark.parametrize("targets", ["http://127.0.0.1:1", ["https://127.0.0.1:1", "http://127.0.0.1:2"]])
def test_a_target_without_tls_is_refused_at_load(ours, write, targets):
    with pytest.raises(ConfigError, match=r"targets\[.\]: the client certificate would never be shown.*https://"):
        with running(document(targets, write(ours.issue("gateway")))):
            pass


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"lasts": timedelta(days=13)}, ["expires on"]),
        ({"lasts": timedelta(days=15)}, []),
        ({"since": timedelta(days=9), "lasts": -DAY}, ["expired on"]),
        ({"since": -DAY}, ["holds only from"]),
    ],
)
def test_the_times_of_a_chain_are_said_at_the_start_and_nothing_is_refused(ours, write, times, said):
    with running(document("https://127.0.0.1:1", write(ours.issue("gateway", **times)))) as gate:
        lines = [record.getMessage() for record in gate.log if "connections.crm/mutual-tls" in record.getMessage()]

    assert len(lines) == len(said)
    assert all(word in line for word, line in zip(said, lines, strict=True))


def test_the_end_of_the_chain_is_that_of_its_first_end(ours):
    middle = Authority("Middle", above=ours)
    key, certificate = middle.issue("gateway", lasts=1000 * DAY)
    credential = build(MutualTlsCredential, certificate_pem=pem(certificate, middle.certificate), key_pem=key_pem(key))
    assert credential.expires is None
    credential.client_certificate()

    assert credential.expires == middle.certificate.not_valid_after_utc.timestamp()


def test_the_key_and_its_password_are_in_no_representation(ours, write):
    key, certificate = ours.issue("gateway")
    options = {"certificate_pem": pem(certificate), "key_pem": key_pem(key, "open sesame"), "password": "open sesame"}
    credential = build(MutualTlsCredential, **options)
    shown = repr(credential) + repr(credential.options) + credential.options.model_dump_json()
    shown += repr(credential.client_certificate())

    assert "sesame" not in shown
    assert key_pem(key).splitlines()[1] not in shown
    assert MASK in shown


def test_conformance(ours, write):
    conformance(MutualTlsCredential, options=write(ours.issue("gateway")))


# --- rotation --------------------------------------------------------------------------------------------------------


def test_files_that_have_changed_are_read_again_and_broken_ones_are_not_used(ours, write, caplog):
    caplog.set_level("INFO")
    one, two = ours.issue("one"), ours.issue("two")
    options = write(one)
    credential = build(MutualTlsCredential, **options)
    first = credential.client_certificate()
    assert credential.client_certificate() is first  # nothing was read again

    write((one[0], two[1]))  # the certificate comes before the key
    assert [credential.client_certificate() for _ in range(3)] == [first] * 3
    assert ["the old one serves on" in record.getMessage() for record in caplog.records] == [True]

    write(two)
    second = credential.client_certificate()
    assert (second.chain, second.key.reveal()) == (pem(two[1]), key_pem(two[0]))
    assert "a new certificate is used, until" in caplog.messages[-1]

    Path(options["key"]).unlink()
    assert [credential.client_certificate() for _ in range(3)] == [second] * 3
    assert len(caplog.records) == 3
    write(two)
    assert credential.client_certificate() == second


def test_a_pair_that_was_good_at_load_and_is_not_at_the_start_is_an_error(ours, write):
    options = write(ours.issue("one"))
    credential = build(MutualTlsCredential, **options)
    Path(options["certificate"]).unlink()

    with pytest.raises(ValueError, match="cannot read"):
        credential.client_certificate()


# --- real TLS --------------------------------------------------------------------------------------------------------


@contextmanager
def tls_server(ours, *, clients):
    """Run a server that wants certificates of an authority; it answers with the common name it was shown."""
    key, certificate = ours.issue("server", alternative=[x509.IPAddress(ip_address("127.0.0.1"))])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=pem(clients.certificate))
    shown = []
    folder = tempfile.mkdtemp()
    try:
        path = Path(folder) / "server.pem"
        path.write_text(pem(certificate) + key_pem(key))
        context.load_cert_chain(path)
        listener = socket.create_server(("127.0.0.1", 0))
        threads = []

        def serve(plain):
            with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                name = dict(part[0] for part in connection.getpeercert()["subject"])["commonName"]
                shown.append(name)
                with connection.makefile("rb") as lines:
                    while lines.readline().strip():
                        pass
                body = name.encode()
                head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
                connection.sendall(head % len(body) + body)

        def accept():
            with suppress(OSError):
                while True:
                    threads.append(threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", shown
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *threads):
            thread.join(60)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def trusting(ours, tmp_path):
    """What lets a connection trust our authority."""
    (tmp_path / "ca.pem").write_text(pem(ours.certificate))
    return {"tls": {"ca_file": str(tmp_path / "ca.pem")}}


@pytest.mark.row("HC-13")
def test_a_backend_that_wants_a_certificate_is_called_with_it_and_not_without(ours, write, trusting):
    clients = Authority("Clients")
    middle = Authority("Middle", above=clients)  # the backend knows only the one above, so the chain must come along
    key, certificate = middle.issue("gateway")
    good = write((key, certificate, middle.certificate), "open sesame")
    wrong = write(ours.issue("of another authority"), name="wrong")
    with tls_server(ours, clients=clients) as (url, shown):
        with running(document(url, {**good, "password": "open sesame"}, **trusting)) as gate:
            answer = gate.request("GET", "/")
        without = document(url, wrong, **trusting)
        refused, issues = [], []
        for _ in range(2):
            with running(without) as gate:
                refused.append(gate.request("GET", "/"))
                gate.wait_for_exchanges(1)
                issues.append(gate.gateway.connection("crm").counts["connect-failed"])
            without["connections"]["crm"].pop("auth", None)

    assert (answer.status_code, answer.text) == (200, "gateway")
    assert [(each.status_code, each.json()["reason"]) for each in refused] == [(502, "tls-failed")] * 2
    assert issues == [1, 1]
    assert shown == ["gateway"]


def test_a_new_certificate_is_shown_without_a_restart(ours, write, trusting):
    clients = Authority("Clients")
    options = write(clients.issue("one"))
    with tls_server(ours, clients=clients) as (url, shown):
        with running(document(url, options, **trusting)) as gate:
            assert gate.request("GET", "/").text == "one"
            write(clients.issue("two"))
            assert gate.request("GET", "/").text == "two"

    assert shown == ["one", "two"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_accepts_what_is_shown(ours, write, trusting, tmp_path):
    """Another TLS implementation's own tool as the backend: `s_server -Verify`, which answers HTTP by itself."""
    server = write(ours.issue("server", alternative=[x509.IPAddress(ip_address("127.0.0.1"))]), name="server")
    options = write(ours.issue("gateway"))
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-Verify", "2", "-verify_return_error", "-www"]
    command += ["-cert", server["certificate"], "-key", server["key"], "-CAfile", trusting["tls"]["ca_file"]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        port = next(line for line in iter(process.stdout.readline, "") if "ACCEPT" in line).rpartition(":")[2]
        with running(document(f"https://127.0.0.1:{port.strip()}", options, **trusting)) as gate:
            answer = gate.request("GET", "/")
        assert answer.status_code == 200
        assert "gateway" in answer.text
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
