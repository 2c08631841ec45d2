"""Cells that send mail, to a real SMTP server with TLS and log-in; what arrives there, and what is refused before."""

import asyncio
import datetime as dt
import email
import email.policy
import ipaddress
import socket
import ssl
import subprocess
import sys

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contrib.workflows.served import document, refused, serving, setter, workflow
from hookgate_email.nodes import SendEmail, SendEmailTemplate

PASSWORD = "correct-horse"
RESPONSE = "*response*"
# the test server with TLS from the first byte does not see that it has TLS, and warns at each connection
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


class Box:
    """Takes mail, and refuses what begins with `nobody` or has a subject of `spam`."""

    def __init__(self):
        self.mails = []

    async def handle_RCPT(  # noqa: N802 - its library calls it so
        self, server, session, envelope, address, options
    ):
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        if message["Subject"] == "spam":
            return "554 we do not want that"
        if message["Subject"] == "hang":
            await asyncio.sleep(20)
        self.mails.append((message, envelope.rcpt_tos, session.authenticated, session.ssl is not None))
        return "250 OK"


def certificate(folder):
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def opened(box, **more):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port, **more)
    controller.start()
    return controller


def checked(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b"gateway" and data.password == PASSWORD.encode(), handled=False)


def sending(server, name="send_email", **more):
    """A workflow that answers with how its mail went."""
    params = {
        "server": {"host": "127.0.0.1", **server},
        "sender": "gateway@example.com",
        "to": "{{ request.body.to }}",
        "output_context_key": "sent",
        "limit": 20_000,
        **more,
    }
    if name == "send_email":
        params |= {
            "subject": "{{ request.body.subject }}",
            "text": "Hello {{ request.body.name }}",
            "html": "<p>{{ request.body.name | e }}</p>",
            "attachments": "{{ request.body.files | default([]) }}",
            "cc": "{{ request.body.cc | default([]) }}",
            "bcc": "{{ request.body.bcc | default([]) }}",
        }
    rows = '[["room", "{{ request.body.room | default(12) }}"]]'
    made = workflow(
        ("csv", {"original_name": "create_csv", "params": {"filename": "rooms.csv", "inputs": rows}}),
        ("mail", {"original_name": name, "params": params}),
        ("told", setter(RESPONSE, {"body": "{{ context.sent }}"})),
    )
    made["cells"]["failed"] = setter(RESPONSE, {"status": 502, "body": "{{ {'why': tasks.mail.error} }}"})
    made["transitions"] += [["mail.error", "failed"], ["failed.ok", "end"]]
    return made


@pytest.fixture(scope="module")
def post(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mail")
    context, box = certificate(folder), Box()
    logged = {"authenticator": checked, "auth_required": True}
    started = opened(box, tls_context=context, require_starttls=True, **logged)
    implicit = opened(box, ssl_context=context, auth_require_tls=False, **logged)
    plain = opened(box)
    silent = socket.create_server(("127.0.0.1", 0))
    trusted = {"ca_file": str(folder / "cert.pem"), "user": "gateway", "password": PASSWORD}
    words = {
        "de": {"subject": "Hallo", "text": "Hallo {{ request.body.name }}"},
        "en": {"subject": "Hello", "text": "Hello {{ request.body.name }}"},
    }
    chosen = {"templates": words, "template": "{{ request.body.language }}"}
    start = {"port": started.port, **trusted}
    flows = {
        "mail": sending(start),
        "implicit": sending({**start, "port": implicit.port, "tls": "implicit"}),
        "plain": sending({"port": plain.port, "tls": "none"}),
        "hangs": sending({"port": plain.port, "tls": "none", "timeout": "300 ms"}),
        "stripped": sending({"port": plain.port}),  # and nobody logs in, which would fail as well
        "stranger": sending({"port": started.port, "user": "gateway", "password": PASSWORD}),
        "wrong": sending({**start, "password": "wrong-" + PASSWORD}),
        "silent": sending({"port": silent.getsockname()[1], "timeout": "200 ms"}),
        "chosen": sending(start, "send_email_template", **chosen, default="en"),
        "strict": sending(start, "send_email_template", **chosen),
    }
    routes = [{"route": f"/{name}", "method": "post", "workflow": name, "public": True, "sync": True} for name in flows]
    try:
        with serving(folder, f"sqlite:///{folder / 'store.db'}", document(flows, routes)) as farm:

            def call(name="mail", **body):
                box.mails.clear()
                base = {"to": "anna@example.com", "subject": "Grüße", "name": "<Anna>", "language": "de"}
                return farm.public(f"/{name}", "POST", json=base | body)

            call.box = box
            yield call
    finally:
        for each in (started, implicit, plain):
            each.stop()
        silent.close()


@pytest.mark.parametrize("name", ["mail", "implicit"])
def test_a_mail_arrives_by_tls_and_log_in_with_its_documents(post, name):
    answer = post(name, files=["rooms.csv"], cc="ben@example.com", bcc=["eve@example.com", "anna@example.com"])

    assert answer.status_code == 200, answer.text
    ((message, receivers, let_in, encrypted),) = post.box.mails
    assert let_in
    assert encrypted or name == "implicit"  # a server that knows TLS only does not see it
    assert receivers == ["anna@example.com", "ben@example.com", "eve@example.com"]
    assert (message["Subject"], message["To"], message["Cc"]) == ("Grüße", "anna@example.com", "ben@example.com")
    assert "eve" not in message.as_string()
    assert message.get_body(("plain",)).get_content().strip() == "Hello <Anna>"
    assert message.get_body(("html",)).get_content().strip() == "<p>&lt;Anna&gt;</p>"
    (attached,) = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("rooms.csv", "text/csv")
    assert attached.get_content().split() == ["room,12"]
    assert answer.json() == {"message_id": message["Message-ID"], "refused": []}


def test_receivers_that_the_server_refuses_are_told_and_the_others_have_it(post):
    answer = post(to=["nobody@example.com", "anna@example.com"])

    assert answer.json()["refused"] == ["nobody@example.com"]
    assert [receivers for _, receivers, *_ in post.box.mails] == [["anna@example.com"]]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"subject": "a\r\nBcc: eve@example.com"}, "subject has an end of line"),
        ({"subject": "a\nBcc: eve@example.com"}, "subject has an end of line"),
        ({"subject": "a" * 501}, "more than 500 characters"),
        ({"to": "anna@example.com\r\nBcc: eve@example.com"}, "to: the receiver 1 is no address"),
        ({"to": ["anna@example.com", "ben@example.com, eve@example.com"]}, "to: the receiver 2 is no address"),
        ({"to": "Anna <anna@example.com>"}, "to: the receiver 1 is no address"),
        ({"cc": "anna@example.com>"}, "cc: the receiver 1 is no address"),
        ({"to": []}, "to has no receiver"),
        ({"to": [f"a{number}@example.com" for number in range(101)]}, "more than 100"),
        ({"files": ["other.csv"]}, "the instance has no document 'other.csv'"),
        ({"files": ["rooms.csv"], "room": "1" * 15_000}, "the mail has more than 20000 bytes"),
        ({"files": ["rooms.csv"], "room": "1" * 25_000}, "the mail has more than 20000 bytes"),
    ],
)
def test_what_is_no_mail_is_refused_before_the_server_is_called(post, body, why):
    answer = post("silent", **body)  # its server would be found out by another reason

    assert answer.status_code == 502
    assert why in answer.json()["why"]
    assert "nothing was sent" in answer.json()["why"]


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("mail", {"to": "nobody@example.com"}, "has refused every receiver; nothing was sent"),
        ("mail", {"subject": "spam"}, "has refused the mail: 554 we do not want that; nothing was sent"),
        ("wrong", {}, "has not let the user in (535); nothing was sent"),
        ("stripped", {}, "cannot be used: "),
        ("stranger", {}, "cannot be used: "),
        ("silent", {}, "cannot be used: no answer within 0.2 s; nothing was sent"),
        ("hangs", {"subject": "hang"}, "has not confirmed the mail; nobody knows whether it was sent"),
    ],
)
def test_a_server_that_does_not_take_it_fails_the_cell_and_no_password_is_shown(post, name, body, why):
    answer = post(name, **body)

    assert answer.status_code == 502
    assert why in answer.json()["why"]
    assert PASSWORD not in answer.text
    assert post.box.mails == []


def test_a_server_without_tls_gets_mail_only_where_the_cell_says_so(post):
    assert post("plain").status_code == 200
    assert [(let_in, encrypted) for *_, let_in, encrypted in post.box.mails] == [(None, False)]


@pytest.mark.parametrize(
    ("name", "language", "subject"), [("chosen", "de", "Hallo"), ("chosen", "fr", "Hello"), ("strict", "en", "Hello")]
)
def test_the_words_are_chosen_by_name(post, name, language, subject):
    assert post(name, language=language).status_code == 200
    ((message, *_),) = post.box.mails
    assert message["Subject"] == subject
    assert message.get_content().strip() == f"{subject} <Anna>"


def test_words_that_are_not_there_fail_the_cell(post):
    answer = post("strict", language="fr")

    assert "template: there is no 'fr' in templates; nothing was sent" in answer.json()["why"]


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ({"tls": "none", "user": "a", "password": PASSWORD}, "a password is never sent without TLS"),
        ({"user": "a"}, "user and password go together"),
        ({"password": PASSWORD}, "user and password go together"),
    ],
)
def test_a_password_that_would_be_shown_is_refused_at_load(tmp_path, server, why):
    told = refused(tmp_path, document({"mail": sending(server)}, []))

    assert why in told
    assert PASSWORD not in told


@pytest.mark.parametrize("node", [SendEmail, SendEmailTemplate])
def test_a_mail_that_may_have_been_sent_is_not_sent_again_by_itself(node):
    assert node.outside
    for given in (None, False, True):
        words = {"subject": "a", "text": "a"}
        more = {"templates": {"a": words}, "template": "a"} if node is SendEmailTemplate else words
        more |= {} if given is None else {"may_repeat": given}
        made = node.options_type(server={"host": "a"}, sender="a@example.com", to="a@example.com", **more)
        assert node(made).may_repeat is bool(given)


def test_the_library_is_imported_only_when_a_mail_is_sent():
    program = "import sys, hookgate_email.nodes; sys.exit('aiosmtplib' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
