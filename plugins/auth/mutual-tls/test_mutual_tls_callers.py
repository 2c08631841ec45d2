"""Certificates that callers show to the gateway."""

import ssl
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509

from hookgate import ClientCertificate, ConfigError, Exchange, Request, Unauthorized
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_auth_mutual_tls import MutualTls
from hookgate_authoring.conformance import conformance

from .certificates import Authority, key_pem, pem

NOW = datetime.now(UTC)


def shown(subject="CN=orders,O=Example", *, names=(), issuer="CN=Ours", until=NOW + timedelta(days=1), der=b"one"):
    exchange = Exchange(Request())
    exchange.request.certificate = ClientCertificate(
        subject, issuer, "1A", tuple(names), NOW - timedelta(days=1), until, der
    )
    return exchange


NAMES = (
    ("dns", "Orders.example"),
    ("dns", "orders2.example"),
    ("uri", "spiffe://example/orders"),
    ("email", "o@example.org"),
    ("ip", "192.0.2.1"),
)
FINGERPRINT = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # SHA-256 of b"one"


@pytest.mark.parametrize(
    ("by", "subject"),
    [
        ("subject", "CN=orders,O=Example"),
        ("common-name", "orders"),
        ("dns", "Orders.example"),
        ("uri", "spiffe://example/orders"),
        ("email", "o@example.org"),
        ("ip", "192.0.2.1"),
        ("fingerprint", FINGERPRINT),
    ],
)
def test_who_has_a_certificate_of_the_listeners_authorities_is_known_by_what_it_says(by, subject):
    identity = build(MutualTls, by=by).identify(shown(names=NAMES))

    assert (identity.subject, identity.method, identity.roles, identity.application) == (
        subject,
        "mutual-tls",
        (),
        None,
    )
    assert identity.claims == {"issuer": "CN=Ours", "serial": "1A", "fingerprint": FINGERPRINT}


@pytest.mark.parametrize(
    ("by", "key"),
    [
        ("subject", "CN=orders, O=Example"),
        ("common-name", "orders"),
        ("dns", "ORDERS2.example"),
        ("uri", "spiffe://example/orders"),
        ("fingerprint", ":".join(FINGERPRINT[place : place + 2] for place in range(0, 64, 2)).upper()),
    ],
)
def test_a_list_says_who_is_let_in_and_what_is_known_of_them(by, key):
    caller = {"subject": "shop", "roles": ["clerk"], "application": "shop-app"}
    known = build(MutualTls, by=by, callers={"other": "x", key: caller} if by != "fingerprint" else {key: caller})
    identity = known.identify(shown(names=NAMES))
    short = build(MutualTls, by=by, callers={key: "shop"}).identify(shown(names=NAMES))
    bare = build(MutualTls, by=by, callers={key: None}).identify(shown(names=NAMES))

    assert (identity.subject, identity.roles, identity.application) == ("shop", ("clerk",), "shop-app")
    assert (short.subject, short.roles, bare.subject) == ("shop", (), key)


@pytest.mark.parametrize(
    "certificate",
    [
        shown("CN=orders2,O=Example", names=NAMES),
        shown("CN=orders\\,O\\=Example", names=()),
        shown("CN=Orders,O=Example"),
        shown("O=Example"),
        shown(""),
    ],
    ids=["other", "escaped", "case", "less", "nothing"],
)
def test_who_is_not_on_the_list_is_refused(certificate):
    with pytest.raises(Unauthorized, match="none of those let in"):
        build(MutualTls, callers={"CN=orders,O=Example": "shop"}).identify(certificate)


@pytest.mark.parametrize("by", ["dns", "email", "uri", "ip", "common-name"])
def test_who_has_no_name_of_the_kind_is_refused(by):
    with pytest.raises(Unauthorized):
        build(MutualTls, by=by).identify(shown("O=Example"))


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        ("CN=orders", "orders"),
        ("O=Example,CN=orders", "orders"),
        ("OU=x+CN=orders,O=Example", "orders"),
        ("CN=a\\,CN=b,O=Example", "a,CN=b"),
        ("CN=a\\\\,O=b", "a\\"),
        ("CN=a\\20\\+", "a +"),
        ("CN=one,CN=two", None),
        ("O=x\\,CN=orders", None),
        ("XCN=orders", None),
        ("CN=", None),
    ],
)
def test_a_common_name_is_the_only_one_and_no_part_of_another_value(subject, found):
    method = build(MutualTls, by="common-name")
    if found is None:
        with pytest.raises(Unauthorized):
            method.identify(shown(subject))
    else:
        assert method.identify(shown(subject)).subject == found


def test_only_certificates_of_named_authorities_count_where_some_are_named():
    method = build(MutualTls, issuers=["CN=Ours, O=Example"])

    assert method.identify(shown(issuer="CN=Ours,O=Example"))
    with pytest.raises(Unauthorized, match="another authority"):
        method.identify(shown(issuer="CN=Ours"))


def test_a_certificate_that_expires_on_an_open_connection_is_refused_from_then_on():
    method = build(MutualTls)

    assert method.identify(shown(until=datetime.now(UTC) + timedelta(seconds=60)))
    with pytest.raises(Unauthorized, match="expired"):
        method.identify(shown(until=datetime.now(UTC)))


def test_who_has_shown_none_is_none_of_its_business():
    method = build(MutualTls, realm='a "b"')

    assert method.identify(Exchange(Request())) is None
    assert method.challenge(Exchange(Request())) == 'ClientCertificate realm="a \\"b\\""'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "serial"}, "by"),
        ({"callers": {}}, "callers"),
        ({"callers": {"": "x"}}, "callers"),
        ({"callers": {"a": ""}}, "callers.a: .*at least 1"),
        ({"callers": {"a": {"role": "x"}}}, "role"),
        ({"by": "fingerprint", "callers": {"abc": "x"}}, "'abc' is no fingerprint"),
        ({"by": "dns", "callers": {"a.example": "x", "A.example": "y"}}, "are the same"),
        ({"realm": "a\nb"}, "realm"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(MutualTls, **options)


@pytest.mark.parametrize("options", [{}, {"by": "dns", "callers": {"a.example": "a"}, "issuers": ["CN=Ours"]}])
def test_conformance(options):
    conformance(MutualTls, options=options)


# --- through a gateway -----------------------------------------------------------------------------------------------


@pytest.fixture
def client(tmp_path):
    """Make a client that shows a pair, or nothing."""
    ours = Authority("Ours")
    clients = Authority("Clients")
    key, certificate = ours.issue("server", alternative=[x509.DNSName("localhost")])
    (tmp_path / "server.pem").write_text(pem(certificate))
    (tmp_path / "server.key").write_text(key_pem(key))
    (tmp_path / "clients.pem").write_text(pem(clients.certificate))

    class Client:
        tls = {
            "certificates": [{"certificate": str(tmp_path / "server.pem"), "key": str(tmp_path / "server.key")}],
            "client_certificates": {"authorities": str(tmp_path / "clients.pem"), "mode": "optional"},
        }

        def get(self, url, name=None, *, of=clients, headers=None):
            context = ssl.create_default_context(cadata=pem(ours.certificate))
            context.check_hostname = False
            if name is not None:
                key, certificate = of.issue(name, alternative=[x509.DNSName(f"{name}.example")])
                (tmp_path / "client.pem").write_text(pem(certificate) + key_pem(key))
                context.load_cert_chain(tmp_path / "client.pem")
            with httpx.Client(verify=context, trust_env=False) as http:
                return http.get(url, headers=headers)

    return Client()


def test_a_caller_is_known_by_the_certificate_of_its_connection_and_by_no_header(client):
    callers = {"orders.example": {"subject": "orders", "roles": ["clerk"]}}
    method = {"mutual-tls": {"by": "dns", "callers": callers, "issuers": ["CN=Clients"]}}
    liar = {"x-forwarded-client-cert": "Subject=CN=orders", "x-ssl-client-s-dn": "CN=orders"}
    with upstream() as backend:
        document = {
            "gateway": {"listen": ["https://127.0.0.1:0"], "tls": client.tls},
            "routes": [{"name": "all", "flow": [{"auth": {"methods": [method]}}], "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document, clock=MovableClock(NOW.timestamp())) as gate:
            answers = [
                client.get(gate.url, "orders"),
                client.get(gate.url, "billing"),
                client.get(gate.url, headers=liar),
            ]
            with pytest.raises(httpx.HTTPError):
                client.get(gate.url, "orders", of=Authority("Clients"))
            first, *_ = gate.wait_for_exchanges(3)

    assert [answer.status_code for answer in answers] == [200, 401, 401]
    assert (first.identity.subject, first.identity.roles) == ("orders", ("clerk",))
    assert answers[2].headers["www-authenticate"] == 'ClientCertificate realm="hookgate"'
    assert len(backend.requests) == 1
