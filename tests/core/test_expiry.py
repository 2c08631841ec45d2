import logging
import ssl
import subprocess
from datetime import UTC, datetime

import pytest

from hookgate.http.expiry import SOON, Expiry, der_of, not_after
from hookgate.http.tls import explained

openssl = pytest.mark.skipif(
    subprocess.run(["openssl", "version"], capture_output=True, check=False).returncode != 0, reason="needs openssl"
)


def made(folder, days):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "chain.pem"]
    subprocess.run([*command, "-days", str(days), "-subj", "/CN=a", *files], check=True, capture_output=True)
    return (folder / "chain.pem").read_text()


@openssl
@pytest.mark.parametrize("days", [1, 400, 365 * 40])  # up to 2049 the year has two digits
def test_the_end_of_a_certificate_is_read_as_openssl_reads_it(tmp_path, days):
    der = der_of("a line before it\n" + made(tmp_path, days))
    command = ["openssl", "x509", "-inform", "DER", "-noout", "-enddate"]
    said = subprocess.run(command, input=der, capture_output=True, check=True).stdout.decode().strip()

    assert not_after(der) == ssl.cert_time_to_seconds(said.removeprefix("notAfter="))


@openssl
def test_what_is_no_certificate_has_no_end_and_breaks_nothing(tmp_path):
    whole = der_of(made(tmp_path, 1))
    for der in (b"", b"\x30", b"\x30\x80", b"\x30\x89" + bytes(20), b"hello", bytes(100)):
        assert not_after(der) is None
    ends = {not_after(whole[:length]) for length in range(len(whole))}
    assert ends == {None}
    assert der_of("no pem") is None
    assert der_of("-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----") is None


@openssl
def test_each_peer_and_certificate_is_warned_of_once_and_only_in_time(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "hookgate.tls")
    der, until = der_of(made(tmp_path, 100)), None
    until = not_after(der)
    now = [until - SOON - 1]
    expiry = Expiry("crm", lambda: now[0])
    expiry.note("https://a", der)
    assert caplog.messages == []
    now[0] = until - SOON + 1
    for _ in range(3):
        expiry.note("https://a", der)
    expiry.note("client", der)
    when = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC"
    assert caplog.messages == [
        f"connection crm: the certificate of https://a expires on {when}, in 13 days",
        f"connection crm: the client certificate expires on {when}, in 13 days",
    ]
    assert expiry.known() == {"https://a": until, "client": until}
    renewed = der_of(made(tmp_path, 50))
    now[0] = until + 1
    expiry.note("https://a", renewed)
    assert "expired on" in caplog.messages[-1]
    expiry.note("https://b", None)
    expiry.forget("client")
    assert expiry.known() == {"https://a": not_after(renewed)}


def test_no_more_peers_are_remembered_than_there_is_room_for():
    expiry = Expiry("crm")
    for number in range(1100):
        expiry.note(f"https://{number}", b"x%d" % number)
    assert len(expiry.known()) == 1000
    assert "https://0" not in expiry.known()


def test_what_openssl_says_is_put_into_words():
    def alert(reason):
        error = ssl.SSLError(1, reason)
        error.reason = reason
        return explained(error)

    assert "versions of TLS" in alert("TLSV1_ALERT_PROTOCOL_VERSION")
    assert "client certificate" in alert("TLSV13_ALERT_CERTIFICATE_REQUIRED")
    assert alert("SOMETHING_ELSE") == "something else"
    assert "handshake" in explained(ConnectionResetError("127.0.0.1"))
