import asyncio

import pytest

from hookgate import Body, Exchange, Headers, Outbound, Request, Target
from hookgate.testing import MovableClock, TestHost, build
from hookgate_auth_signature import SignatureCredential

from .calls import (
    EDWARDS,
    HELLO,
    HELLO_SHA_256,
    NOW,
    RSA,
    call,
    identify,
    method,
    private_pem,
    public_pem,
    refused,
)


def signed(verb="GET", path="/a", query="x=1", body=b"", headers=(), host="api.example.org", **options):
    """Return what a gateway with the credential of this package sends, as a call that is received."""
    given = {"algorithm": "hmac-sha256", "key": "s3same-as-ours", "key_id": "ann", "standard": "rfc9421", **options}
    credential = build(SignatureCredential, **given)
    credential.startup(TestHost())
    fields = Headers([("Host", host), *headers])
    outbound = Outbound(verb, Target("http", host, 80), path, query, fields, Body(body))
    credential.sign(Exchange(Request()), outbound)
    return Exchange(Request(verb, path, query, host=host, headers=fields, body=Body(body)))


def test_rfc9421_knows_the_owner_of_the_key():
    made = method(standard="rfc9421")

    assert identify(made, signed()).subject == "ann"
    assert identify(made, signed("POST", body=HELLO)).subject == "ann"
    assert identify(made, signed(components=["@method", "@target-uri"])).subject == "ann"
    assert identify(made, signed(components=["@method", "@authority", "@request-target"])).subject == "ann"
    assert identify(made, signed(created=False, components=["@method", "@target-uri", "date"])).subject == "ann"


def test_a_signature_of_another_implementation_is_good():
    # The base is that of http-message-signatures 3.0.0 of PyPI; the HMAC over it is made with this key.
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Digest", f"sha-256=:{HELLO_SHA_256}:"),
        (
            "Signature-Input",
            (
                'pyhms=("@method" "@target-uri" "content-type" "content-digest");created=1700000000;keyid="ann";'
                'alg="hmac-sha256"'
            ),
        ),
        ("Signature", "pyhms=:9hczHbeeDG8DBW/QMKm2hswVjNdTfx8SLuJDZyFLhd8=:"),
    ]
    exchange = call(None, verb="POST", path="/a%20b", query="x=1&y=%2F+z", body=HELLO, headers=headers)
    exchange.request.scheme = "https"

    assert identify(method(standard="rfc9421"), exchange).subject == "ann"


def test_rfc9421_with_other_keys():
    for key, algorithm in ((EDWARDS, "ed25519"), (RSA, "rsa-pss-sha512"), (RSA, "rsa-v1_5-sha256")):
        made = method(keys={"ann": {"algorithm": algorithm, "public_key": public_pem(key)}}, standard="rfc9421")
        good = {"algorithm": algorithm, "key": private_pem(key)}

        assert identify(made, signed(**good)).subject == "ann"
        assert identify(made, signed(**good, announce="algorithm")).subject == "ann"
        assert refused(made, signed()) == "wrong-credentials"


@pytest.mark.parametrize(
    "change",
    [{"method": "PUT"}, {"received": "/b?x=1"}, {"received": "/a?x=2"}, {"host": "other"}, {"received": "/a?"}],
)
def test_rfc9421_refuses_a_message_that_was_changed(change):
    exchange = signed()
    for name, value in change.items():
        setattr(exchange.request, name, value)

    assert refused(method(standard="rfc9421"), exchange) == "wrong-credentials"


@pytest.mark.parametrize(
    "options",
    [
        {"components": ["@method", "@path", "@query"]},
        {"components": ["@method", "@authority", '"@query-param";name="x"', "@path"]},
        {"components": []},
        {"created": False},
        {"created": False, "components": ["@method", "@target-uri", '"date";bs'], "headers": [("Date", "x")]},
    ],
)
def test_rfc9421_refuses_a_signature_over_too_little(options):
    assert refused(method(standard="rfc9421"), signed(**options)) == "insufficient-signature"


def test_rfc9421_holds_time_digest_and_algorithm():
    house = TestHost(clock=MovableClock(NOW))
    made = method(house, standard="rfc9421")

    tampered = signed("POST", body=HELLO)
    tampered.request.body = Body(HELLO + b"\n")
    assert refused(made, tampered) == "wrong-digest"
    assert refused(made, signed("POST", body=HELLO, digest="none")) == "insufficient-signature"
    renamed = signed(announce="algorithm", key_id="ann")
    other = method(keys={"ann": {"algorithm": "ed25519", "public_key": public_pem(EDWARDS)}}, standard="rfc9421")
    assert refused(other, renamed) == "wrong-credentials"
    asyncio.run(house.clock.advance(61))
    assert refused(made, signed()) == "expired-credentials"
    lasting = method(house, standard="rfc9421", max_age=3600)
    assert identify(lasting, signed()).subject == "ann"


def test_rfc9421_refuses_what_has_expired():
    house = TestHost(clock=MovableClock(NOW))
    made = method(house, standard="rfc9421", max_age=3600)
    asyncio.run(house.clock.advance(70))

    assert refused(made, signed(expires=9)) == "expired-credentials"
    assert identify(made, signed(expires=10)).subject == "ann"


def test_rfc9421_looks_for_the_signature_that_is_for_it():
    exchange = signed(tag="app")
    exchange.request.headers.add("Signature-Input", 'proxy=("x-gone");keyid="proxy"')
    exchange.request.headers.add("Signature", "proxy=:AAAA:")

    assert identify(method(standard="rfc9421"), exchange).subject == "ann"
    assert identify(method(standard="rfc9421", tag="app"), exchange).subject == "ann"
    assert identify(method(standard="rfc9421", tag="other"), exchange) is None


def test_rfc9421_does_not_let_a_good_signature_over_little_hide_a_better_one():
    exchange = signed(label="a", components=["@method"])
    better = signed(label="b")
    for name in ("signature-input", "signature"):
        exchange.request.headers.add(name, better.request.headers[name])

    assert identify(method(standard="rfc9421"), exchange).subject == "ann"


def test_rfc9421_with_a_nonce_is_good_once():
    made = method(standard="rfc9421", replay="refuse")
    exchange = signed(nonce=True)

    assert identify(made, exchange).subject == "ann"
    assert refused(made, exchange) == "replayed"
    assert identify(made, signed(nonce=True)).subject == "ann"


@pytest.mark.parametrize(
    ("given", "signature"),
    [
        ("", "sig1=:AAAA:"),
        ('sig1=("@method");keyid=1', "sig1=:AAAA:"),
        ('sig1=("@method");keyid="ann";created="1"', "sig1=:AAAA:"),
        ('sig1=("@method");keyid="ann";created=1.5', "sig1=:AAAA:"),
        ('sig1=("@method");keyid="ann";created', "sig1=:AAAA:"),
        ('sig1=("@status");keyid="ann"', "sig1=:AAAA:"),
        ('sig1=("x-none");keyid="ann"', "sig1=:AAAA:"),
        ("((((", "sig1=:AAAA:"),
    ],
)
def test_rfc9421_refuses_malformed_headers(given, signature):
    exchange = call(None, headers=[("Signature-Input", given), ("Signature", signature)])

    assert refused(method(standard="rfc9421"), exchange) == "malformed-credentials"


def test_rfc9421_passes_over_a_signature_without_a_key_id():
    exchange = call(None, headers=[("Signature-Input", 'a=("@method")'), ("Signature", "a=:AAAA:")])

    assert identify(method(standard="rfc9421"), exchange) is None
