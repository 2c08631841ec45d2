"""TLS as a client meets it: real handshakes with a listener, on the loops of asyncio and of uvloop."""

import asyncio
import contextlib
import dataclasses
import importlib.util
import json
import shutil
import socket
import ssl
import threading
import warnings
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from hookgate.exchange.certificate import ClientCertificate
from hookgate.gateway.listenertls import TlsSection, check
from hookgate.server.tls import TlsContexts, client_identity

from .authority import DAY, NOW, Authority, needs_openssl

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours", "Ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "theirs", "Theirs")


@pytest.fixture(scope="module")
def made(authority):
    """Certificates of servers and of one client."""
    name = "/O=Example, Inc./OU=#1/CN=orders"
    return SimpleNamespace(
        one=authority.issue("one", "DNS:one.example", "DNS:one.example.org"),
        wild=authority.issue("wild", "DNS:*.wild.example"),
        exact=authority.issue("exact", "DNS:Exact.wild.example"),
        locked=authority.issue("locked", "DNS:one.example", password="open sesame"),
        nameless=authority.issue("nameless"),
        client=authority.issue("client", "DNS:orders", "URI:spiffe://example/orders", "IP:2001:db8::1", subject=name),
        expired=authority.issue("expired", "DNS:expired.example", expired=True),
    )


def section(*certificates, **more):
    return TlsSection.model_validate({"certificates": certificates, **more})


# --- what a document may say ---------------------------------------------------------------------------------------


def text_of(*certificates, **more):
    """The only problem that the files of a section have."""
    (problem,) = check(section(*certificates, **more))
    return problem.message


def test_files_that_fit_have_no_problems(made, authority):
    known = {"authorities": authority.certificate}
    locked = made.locked | {"password": "open sesame"}

    assert check(section(made.one, made.wild, locked, client_certificates=known)) == []
    assert check(section(made.nameless)) == []
    assert check(section(made.one, made.nameless | {"hosts": ["nameless.example"]})) == []


def test_a_problem_says_where_it_is_what_is_wrong_and_what_to_do(made, authority, tmp_path):
    missing, empty = str(tmp_path / "missing.pem"), tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    one = made.one

    assert f"cannot read {missing}, which should hold a certificate: No such file" in text_of(
        one | {"certificate": missing}
    )
    assert f"cannot read {missing}, which should hold a private key: No such file" in text_of(one | {"key": missing})
    assert f"{empty} does not hold a certificate in PEM" in text_of(one | {"certificate": str(empty)})
    assert "does not hold a private key in PEM" in text_of(one | {"key": one["certificate"]})
    assert "Is a directory" in text_of(one | {"key": str(tmp_path)})
    assert f"{made.wild['key']} is not the key of {one['certificate']}" in text_of(one | {"key": made.wild["key"]})
    assert f"{made.locked['key']} is encrypted; write its password" in text_of(made.locked)
    assert f"the password does not open {made.locked['key']}" in text_of(made.locked | {"password": "shut"})
    assert "the password does not open" in text_of(made.locked | {"password": "x" * 5000})
    assert "made out for no host name" in text_of(one, made.nameless)

    problems = check(section(one, one | {"key": missing}, client_certificates={"authorities": one["certificate"]}))
    assert [problem.path for problem in problems] == [("certificates", 1), ("client_certificates", "authorities")]
    assert "holds no certificate of an authority" in problems[1].message


def test_what_only_looks_like_a_certificate_or_a_key_is_a_problem(made, tmp_path):
    torn = tmp_path / "torn.pem"
    torn.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nMIIB\n")

    assert "OpenSSL cannot use" in text_of(made.one | {"certificate": str(torn)})
    assert "OpenSSL cannot use" in text_of(made.one | {"key": str(torn)})
    assert "OpenSSL cannot use" in text_of(made.one, client_certificates={"authorities": torn})


def test_a_certificate_for_clients_only_is_a_problem(authority):
    only = authority.issue("only-client", "DNS:one.example", extensions=["extendedKeyUsage=clientAuth"])

    assert "clients would refuse" in text_of(only)
    assert "purpose" in text_of(only)


def test_an_expired_certificate_is_served_and_the_log_says_so(made, caplog):
    assert check(section(made.one, made.expired)) == []
    assert f"{made.expired['certificate']} expired on {NOW - DAY:%Y-%m-%d}" in caplog.text
    assert made.one["certificate"] not in caplog.text


def test_no_message_shows_a_password(made):
    locked = section(made.locked | {"password": "a-wrong-password"})

    assert "a-wrong-password" not in f"{check(locked)} {locked!r}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"certificates": []}, "at least 1"),
        ({"minimum": "1.1"}, "1.2"),
        ({"ciphers": "nonsense"}, "OpenSSL knows no cipher suite"),
        ({"alpn": ["h3"]}, "h2"),
        ({"certificates": [{"certificate": "a", "key": "b", "hosts": ["a.example:443"]}]}, "is no host name"),
        ({"certificates": [{"certificate": "a", "key": "b", "hosts": ["a.*.example"]}]}, "is no host name"),
        ({"certificates": [{"certificate": "a", "key": "b", "hosts": ["192.0.2.1"]}]}, "is no host name"),
    ],
)
def test_a_record_is_checked_without_its_files(changes, words):
    with pytest.raises(ValidationError, match=words):
        TlsSection.model_validate({"certificates": [{"certificate": "a", "key": "b"}], **changes})


# --- a listener ----------------------------------------------------------------------------------------------------


class Saying(asyncio.Protocol):
    """Says in one line what the server knows of a connection, then sends back what comes."""

    def __init__(self, listener):
        self._listener = listener

    def connection_made(self, transport):
        self._transport = transport
        self._listener.open[transport] = asyncio.get_running_loop().create_future()
        connection = transport.get_extra_info("ssl_object")
        identity = self._listener.identity = client_identity(connection)
        said = {
            "alpn": connection.selected_alpn_protocol(),
            "version": connection.version(),
            "cipher": connection.cipher()[0],
            "compression": connection.compression(),
            "client": identity and identity.subject,
        }
        transport.write(json.dumps(said).encode() + b"\n")

    def data_received(self, data):
        self._transport.write(data)

    def connection_lost(self, exc):
        self._listener.open[self._transport].set_result(None)


class Listener:
    """A listener in a thread of its own, so that clients may be blocking sockets."""

    def __init__(self, contexts, new_loop):
        self.contexts = contexts
        self.open = {}
        self.identity = None
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(new_loop,))

    def _run(self, new_loop):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._serve())

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        context = self.contexts.context
        server = await self._loop.create_server(
            lambda: Saying(self), "127.0.0.1", 0, ssl=context, ssl_handshake_timeout=5
        )
        self.address = server.sockets[0].getsockname()
        self._listening.set()
        await self._stop.wait()
        server.close()
        for transport in self.open:
            transport.abort()
        await asyncio.gather(*self.open.values())
        await server.wait_closed()

    def __enter__(self):
        self._thread.start()
        assert self._listening.wait(60)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        assert not self._thread.is_alive()


def uvloop_loop():
    import uvloop

    return uvloop.new_event_loop()


WITHOUT_UVLOOP = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")


@pytest.fixture(
    params=[
        pytest.param(asyncio.SelectorEventLoop, id="asyncio"),
        pytest.param(uvloop_loop, id="uvloop", marks=WITHOUT_UVLOOP),
    ]
)
def listening(request):
    """Open a listener with a section, or with contexts, for as long as the test runs."""
    with contextlib.ExitStack() as stack:

        def listen(first, *more, **options):
            contexts = first if isinstance(first, TlsContexts) else TlsContexts(section(first, *more, **options))
            return stack.enter_context(Listener(contexts, request.param))

        yield listen


class Client:
    """A connection, with what the server said of it and the certificate it showed."""

    def __init__(self, listener, *, host=None, trusts=None, show=None, alpn=(), oldest=None, newest=None, resume=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if resume is None else resume.context
        if resume is None:
            context.check_hostname = False
            context.load_verify_locations(trusts.certificate)
            if show:
                context.load_cert_chain(show["certificate"], show["key"])
            if alpn:
                context.set_alpn_protocols(alpn)
            context.minimum_version = oldest or context.minimum_version
            context.maximum_version = newest or context.maximum_version
            if newest and newest < ssl.TLSVersion.TLSv1_2:
                context.set_ciphers("DEFAULT@SECLEVEL=0")
        self.context = context
        plain = socket.create_connection(listener.address, timeout=60)
        try:
            session = resume and resume.session
            self.socket = context.wrap_socket(plain, server_hostname=host, session=session)
        except BaseException:
            plain.close()
            raise
        try:
            self.said = json.loads(self._line())
        except BaseException:
            self.socket.close()
            raise
        self.session = self.socket.session
        self.name = dict(part[0] for part in self.socket.getpeercert()["subject"])["commonName"]

    def _line(self):
        line = b""
        while not line.endswith(b"\n"):
            received = self.socket.recv(4096)
            if not received:
                raise ConnectionAbortedError("closed by the server")
            line += received
        return line

    def echo(self, line):
        self.socket.sendall(line)
        return self._line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def refused(listener, **options):
    """Whether the server breaks a connection off. Neither asyncio (3.11) nor uvloop sends the alert that says why."""
    try:
        Client(listener, **options).__exit__()
    except (ssl.SSLError, ConnectionError):
        return True
    return False


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("one.example", "one"),
        ("one.example.org", "one"),
        ("a.wild.example", "wild"),
        ("exact.wild.example", "exact"),
        ("EXACT.Wild.Example", "exact"),
        ("exact.wild.example.", "exact"),
        ("own.example", "nameless"),
        ("wild.example", "one"),
        ("a.b.wild.example", "one"),
        ("unknown.example", "one"),
        ("localhost", "one"),
        ("127.0.0.1", "one"),
        (None, "one"),
    ],
)
def test_the_host_that_is_asked_for_chooses_the_certificate(listening, made, authority, host, name):
    own = made.nameless | {"hosts": ["Own.example"]}
    listener = listening(made.one, made.wild, made.exact, own)

    with Client(listener, host=host, trusts=authority) as client:
        assert client.name == name


def test_hosts_of_the_section_stand_in_the_place_of_those_of_the_certificate(listening, made, authority):
    listener = listening(made.one, made.exact | {"hosts": ["*.other.example"]})

    with Client(listener, host="a.other.example", trusts=authority) as client:
        assert client.name == "exact"
    with Client(listener, host="exact.wild.example", trusts=authority) as client:
        assert client.name == "one"


def test_of_two_certificates_for_a_host_the_first_is_used(listening, made, authority):
    listener = listening(made.one, made.wild, made.exact | {"hosts": ["*.wild.example", "one.example"]})

    for host, name in {"a.wild.example": "wild", "one.example": "one"}.items():
        with Client(listener, host=host, trusts=authority) as client:
            assert client.name == name


def test_the_minimum_version_is_kept(listening, made, authority):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = {"oldest": ssl.TLSVersion.TLSv1_1, "newest": ssl.TLSVersion.TLSv1_1}
        usual = listening(made.one, made.wild)
        newest = listening(made.one, made.wild, minimum="1.3")
        with Client(usual, trusts=authority, newest=ssl.TLSVersion.TLSv1_2) as client:
            assert client.said["version"] == "TLSv1.2"
        with Client(newest, trusts=authority) as client:
            assert client.said["version"] == "TLSv1.3"

        assert refused(usual, trusts=authority, **old)
        assert refused(newest, trusts=authority, newest=ssl.TLSVersion.TLSv1_2)
        assert refused(newest, trusts=authority, newest=ssl.TLSVersion.TLSv1_2, host="a.wild.example")


def test_cipher_suites_of_tls_1_2_are_modern_or_as_the_section_says(listening, made, authority):
    chosen = listening(made.one, made.wild, ciphers="ECDHE-ECDSA-AES256-SHA384")

    with Client(listening(made.one), trusts=authority, newest=ssl.TLSVersion.TLSv1_2) as client:
        assert client.said["cipher"] == "ECDHE-ECDSA-AES256-GCM-SHA384"
        assert client.said["compression"] is None
    for host in (None, "a.wild.example"):
        with Client(chosen, trusts=authority, newest=ssl.TLSVersion.TLSv1_2, host=host) as client:
            assert client.said["cipher"] == "ECDHE-ECDSA-AES256-SHA384"


@pytest.mark.parametrize(
    ("offered", "asked", "alpn"),
    [
        (["h2", "http/1.1"], ["http/1.1", "h2"], "h2"),
        (["h2", "http/1.1"], ["http/1.1"], "http/1.1"),
        (["h2", "http/1.1"], ["spdy"], None),
        (["h2", "http/1.1"], [], None),
        (["http/1.1"], ["h2", "http/1.1"], "http/1.1"),
        ([], ["h2"], None),
    ],
)
def test_the_server_s_first_protocol_that_the_client_knows_is_spoken(listening, made, authority, offered, asked, alpn):
    listener = listening(made.one, made.wild, alpn=offered)

    for host in ("one.example", "a.wild.example"):
        with Client(listener, trusts=authority, alpn=asked, host=host) as client:
            assert client.said["alpn"] == client.socket.selected_alpn_protocol() == alpn


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
@pytest.mark.parametrize("host", ["one.example", "a.wild.example"])
def test_a_required_certificate_of_the_client_is_required_and_seen(listening, made, authority, stranger, version, host):
    listener = listening(made.one, made.wild, client_certificates={"authorities": authority.certificate})
    asking = {"trusts": authority, "newest": version, "host": host}

    with Client(listener, show=made.client, **asking) as client:
        assert client.said["client"] == r"CN=orders,OU=\#1,O=Example\, Inc."
        assert client.said["version"] == version.name.replace("v1_", "v1.")
    assert refused(listener, **asking)
    assert refused(listener, show=stranger.issue("orders"), **asking)
    assert refused(listener, show=made.expired, **asking)


def test_an_authority_counts_without_the_one_above_it(listening, made, authority, tmp_path):
    below = Authority(tmp_path / "below", "Below", above=authority)
    listener = listening(made.one, client_certificates={"authorities": below.certificate})

    with Client(listener, trusts=authority, show=below.issue("orders")) as client:
        assert client.said["client"] == "CN=orders"
    assert refused(listener, trusts=authority, show=made.client)


def test_an_optional_certificate_of_the_client_may_be_missing_and_not_wrong(listening, made, authority, stranger):
    known = {"authorities": authority.certificate, "mode": "optional"}
    listener = listening(made.one, client_certificates=known)

    with Client(listener, trusts=authority) as client:
        assert client.said["client"] is None
    with Client(listener, trusts=authority, show=made.client) as client:
        assert client.said["client"].startswith("CN=orders,")
    assert refused(listener, trusts=authority, show=stranger.issue("orders"))


def test_a_client_is_not_asked_for_a_certificate_unless_the_section_says_so(listening, made, authority):
    with Client(listening(made.one), trusts=authority, show=made.client) as client:
        assert client.said["client"] is None


def test_an_identity_says_all_that_a_certificate_does(listening, made, authority):
    listener = listening(made.one, client_certificates={"authorities": authority.certificate})
    with Client(listener, trusts=authority, show=made.client):
        identity = listener.identity
    pem = Path(made.client["certificate"]).read_text()

    assert identity.issuer == "CN=Ours"
    assert identity.names == (("dns", "orders"), ("uri", "spiffe://example/orders"), ("ip", "2001:db8::1"))
    assert identity.pem.split() == pem.split()
    assert identity.fingerprint == sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    assert int(identity.serial, 16) > 0
    assert (identity.not_before, identity.not_after) == tuple(
        each.replace(microsecond=0) for each in (NOW - 2 * DAY, NOW + DAY)
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        identity.subject = "CN=somebody else"


def test_nobody_is_known_without_tls():
    assert client_identity(None) is None


def test_names_are_written_so_that_no_part_can_pass_for_another():
    subject = [[("commonName", value)] for value in (' a,O="x" ', "#b", "c\r\nX: \0", " ")]
    both = [("userId", "u"), ("1.2.3.4", "é")]
    decoded = {
        "subject": (*subject, both),
        "issuer": (),
        "serialNumber": "01",
        "notBefore": "Jan  1 00:00:00 2026 GMT",
        "notAfter": "Dec 31 23:59:59 9999 GMT",
        "subjectAltName": (("othername", "<unsupported>"), ("DirName", ((("countryName", "DE"),),))),
    }

    found = ClientCertificate.of(b"", decoded)

    assert found.subject == r"UID=u+1.2.3.4=é,CN=\ ,CN=c\0d\0aX: \00,CN=\#b,CN=\ a\,O=\"x\"\ "
    assert (found.issuer, found.names) == ("", (("directory", "C=DE"),))


# --- other certificates without a restart --------------------------------------------------------------------------


@pytest.fixture
def replaceable(tmp_path, made):
    """The paths of a certificate and a key that can be exchanged for others."""
    paths = {"certificate": str(tmp_path / "server.pem"), "key": str(tmp_path / "server.key")}

    def put(entry, *which):
        for kind in which or paths:
            fresh = tmp_path / "fresh"
            shutil.copy(entry[kind], fresh)
            fresh.replace(paths[kind])

    put(made.one)
    return SimpleNamespace(entry=paths, put=put)


def test_new_connections_get_the_new_certificate_and_old_ones_go_on(listening, made, authority, replaceable):
    contexts = TlsContexts(section(replaceable.entry, made.wild))
    listener = listening(contexts)
    with Client(listener, host="one.example", trusts=authority) as before:
        assert not contexts.changed()
        replaceable.put(made.exact)
        assert contexts.changed()

        assert contexts.reload() == []

        assert not contexts.changed()
        for host, name in {None: "exact", "exact.wild.example": "exact", "a.wild.example": "wild"}.items():
            with Client(listener, host=host, trusts=authority) as after:
                assert after.name == name
        assert before.echo(b"still here\n") == b"still here\n"


def test_bad_files_leave_the_old_certificates_in_force(listening, made, authority, replaceable, caplog):
    contexts = TlsContexts(section(replaceable.entry))
    listener = listening(contexts)
    replaceable.put(made.exact, "certificate")  # and its key comes later

    (problem,) = contexts.reload()

    assert problem.path == ("certificates", 0)
    assert "is not the key of" in problem.message
    assert f"the certificates in use stay as they are: certificates[0]: {problem.message}" in caplog.text
    assert not contexts.changed()
    with Client(listener, trusts=authority) as client:
        assert client.name == "one"

    replaceable.put(made.exact, "key")
    assert contexts.changed()
    assert contexts.reload() == []
    with Client(listener, trusts=authority) as client:
        assert client.name == "exact"


def test_a_file_that_is_gone_is_a_change(made, replaceable):
    contexts = TlsContexts(section(replaceable.entry))
    shutil.move(replaceable.entry["key"], replaceable.entry["key"] + ".away")

    assert contexts.changed()
    assert "cannot read" in contexts.reload()[0].message


def test_another_section_holds_for_new_connections(listening, made, authority):
    contexts = TlsContexts(section(made.one))
    listener = listening(contexts)
    known = {"authorities": authority.certificate}

    assert contexts.reload(section(made.locked)) != []
    with Client(listener, trusts=authority) as client:
        assert client.name == "one"

    assert contexts.reload(section(made.exact, minimum="1.3", client_certificates=known)) == []
    with Client(listener, trusts=authority, show=made.client) as client:
        assert (client.name, client.said["version"]) == ("exact", "TLSv1.3")
        assert client.said["client"] is not None
    assert refused(listener, trusts=authority)


def test_sessions_are_taken_up_again_until_the_certificates_are_exchanged(listening, made, authority, stranger):
    contexts = TlsContexts(section(made.one, client_certificates={"authorities": authority.certificate}))
    listener = listening(contexts)
    first = Client(listener, trusts=authority, show=made.client, newest=ssl.TLSVersion.TLSv1_2)
    with first, Client(listener, resume=first) as again:
        assert again.socket.session_reused
        assert again.said["client"] == first.said["client"] is not None

    assert contexts.reload(section(made.one, client_certificates={"authorities": stranger.certificate})) == []

    assert refused(listener, resume=first)


def test_contexts_are_not_made_of_bad_files(made):
    with pytest.raises(ValueError, match="is encrypted"):
        TlsContexts(section(made.locked))


def test_a_client_that_never_shakes_hands_is_cut_off(made):
    """The bound is the caller's; here it is seen to hold."""

    async def wait():
        loop = asyncio.get_running_loop()
        context = TlsContexts(section(made.one)).context
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context, ssl_handshake_timeout=0.05)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        server.close()

    asyncio.run(wait())
