"""OAuth 1.0a towards backends (HC-8), held against published values and `oauthlib`."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hookgate import (
    BadGateway,
    Body,
    ConfigError,
    ContentTooLarge,
    Exchange,
    Headers,
    Outbound,
    Request,
    Target,
)
from hookgate.testing import MovableClock, TestHost, build
from hookgate_auth_oauth1 import OAuth1Credential
from hookgate_auth_oauth1.signatures import (
    header_parameters,
)

FORM = "application/x-www-form-urlencoded"
PHOTOS = {
    "consumer_key": "dpf43f3p2l4k3l03",
    "consumer_secret": "kd94hf93k423kf44",
    "token": "nnch734d00sl2jdk",
    "token_secret": "pfkkdhi9sl3r4s00",
}
PRIVATE_KEY = """\
-----BEGIN PRIVATE KEY-----
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBALRiMLAh9iimur8V
A7qVvdqxevEuUkW4K+2KdMXmnQbG9Aa7k7eBjK1S+0LYmVjPKlJGNXHDGuy5Fw/d
7rjVJ0BLB+ubPK8iA/Tw3hLQgXMRRGRXXCn8ikfuQfjUS1uZSatdLB81mydBETlJ
hI6GH4twrbDJCR2Bwy/XWXgqgGRzAgMBAAECgYBYWVtleUzavkbrPjy0T5FMou8H
X9u2AC2ry8vD/l7cqedtwMPp9k7TubgNFo+NGvKsl2ynyprOZR1xjQ7WgrgVB+mm
uScOM/5HVceFuGRDhYTCObE+y1kxRloNYXnx3ei1zbeYLPCHdhxRYW7T0qcynNmw
rn05/KO2RLjgQNalsQJBANeA3Q4Nugqy4QBUCEC09SqylT2K9FrrItqL2QKc9v0Z
zO2uwllCbg0dwpVuYPYXYvikNHHg+aCWF+VXsb9rpPsCQQDWR9TT4ORdzoj+Nccn
qkMsDmzt0EfNaAOwHOmVJ2RVBspPcxt5iN4HI7HNeG6U5YsFBb+/GZbgfBT3kpNG
WPTpAkBI+gFhjfJvRw38n3g/+UeAkwMI2TJQS4n8+hid0uus3/zOjDySH3XHCUno
cn1xOJAyZODBo47E+67R4jV1/gzbAkEAklJaspRPXP877NssM5nAZMU0/O/NGCZ+
3jPgDUno6WbJn5cqm8MqWhW1xGkImgRk+fkDBquiq4gPiT898jusgQJAd5Zrr6Q8
AO/0isr/3aa6O6NLQxISLKcPDk2NOccAfS/xOtfOz4sJYM3+Bs4Io9+dZGSDCA54
Lw03eHTNQghS0A==
-----END PRIVATE KEY-----
"""
"""Of the test cases of the OAuth wiki (section 9.3); everybody knows it."""


def split(url):
    scheme, _, rest = url.partition("://")
    host, slash, resource = rest.partition("/")
    path, _, query = resource.partition("?")
    return scheme, host, slash + path, query


def credential(wall=1191242096, **options):
    made = build(OAuth1Credential, **{**PHOTOS, **options})
    made.startup(TestHost(clock=MovableClock(wall)))
    return made


def attempt(method="GET", url="http://photos.example.net/photos?file=vacation.jpg&size=original", body=b"", **headers):
    scheme, host, path, query = split(url)
    fields = Headers({"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}})
    return Outbound(method, Target(scheme, "192.0.2.7", 9999), path, query, fields, Body(body))


def signed(made, outbound, received=()):
    made.sign(Exchange(Request(headers=Headers([("authorization", line) for line in received]))), outbound)
    return outbound.headers.getall("authorization")


def parameters(made, outbound):
    return header_parameters(signed(made, outbound)[-1].removeprefix("OAuth "))


@pytest.fixture
def nonce(monkeypatch):
    def use(value):
        monkeypatch.setattr("hookgate_auth_oauth1.outbound.new_nonce", lambda: value)

    return use


def test_the_examples_of_the_row_come_out(nonce):
    nonce("kllo9940pd9333jh")
    first = signed(credential(realm="Photos"), attempt())
    nonce("chapoH")
    second = parameters(credential(137131202, version=False), attempt())

    assert first == [
        (
            'OAuth realm="Photos", oauth_consumer_key="dpf43f3p2l4k3l03", oauth_token="nnch734d00sl2jdk", '
            'oauth_signature_method="HMAC-SHA1", oauth_timestamp="1191242096", oauth_nonce="kllo9940pd9333jh", '
            'oauth_version="1.0", oauth_signature="tR3%2BTy81lMeYAr%2FFid0kMTYa%2FWM%3D"'
        )
    ]
    assert second["oauth_signature"] == "MdpQcU8iPSUjWoN/UDMsK2sui9I="
    assert "oauth_version" not in second


def test_a_form_is_signed_and_json_is_not(nonce):
    nonce("7d8f3e4a")
    made = credential(
        137131201,
        consumer_key="9djdj82h48djs9d2",
        consumer_secret="j49sk3j29djd",
        token="kkk9d7dh3k39sjv7",
        token_secret="dh893hdasih9",
        version=False,
    )
    url = "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b"
    form = f"{FORM}; charset=UTF-8"

    assert parameters(made, attempt("POST", url, b"c2&a3=2+q", content_type=form))["oauth_signature"] == (
        "r6/TJjbCOr97/+UU0NsvSne7s5g="
    )
    json = [parameters(made, attempt("POST", url, body, content_type="application/json")) for body in (b"{}", b"[1]")]
    assert json[0] == json[1]


def test_rsa_sha1_is_that_of_the_test_cases_of_the_wiki(nonce):
    nonce("13917289812797014437")
    made = credential(
        1196666512,
        consumer_secret=None,
        token=None,
        token_secret=None,
        signature_method="RSA-SHA1",
        private_key=PRIVATE_KEY,
    )
    given = parameters(made, attempt(url="http://photos.example.net/photos?file=vacaction.jpg&size=original"))

    assert given["oauth_signature"] == (
        "jvTp/wX1TYtByB1m+Pbyo0lnCOLIsyGCH7wke8AUs3BpnwZJtAuEJkvQL2/9n4s5wUmUl4aCI4BwpraNx4RtEXMe5qg5T1LVTGliMRpKasKsW//e"
        "+RinhejgCuzoH26dyF8iY2ZZ/5D1ilgeijhV/vBka5twt399mXwaYdCwFYE="
    )


def test_plaintext_sends_the_secrets_over_tls_only():
    made = credential(signature_method="PLAINTEXT", consumer_secret="a b", token_secret="c&d")

    assert made.reads == frozenset()
    assert parameters(made, attempt(url="https://a/"))["oauth_signature"] == "a%20b&c%26d"
    with pytest.raises(BadGateway) as refusal:
        signed(made, attempt())
    assert refusal.value.reason == "plaintext-without-tls"
    insecure = credential(signature_method="PLAINTEXT", token=None, token_secret=None, plaintext_over_http=True)
    assert parameters(insecure, attempt())["oauth_signature"] == "kd94hf93k423kf44&"


def test_each_attempt_has_a_nonce_of_its_own():
    made = credential()
    nonces = {parameters(made, attempt())["oauth_nonce"] for _ in "abc"}

    assert len(nonces) == 3
    assert all(len(nonce) == 24 and nonce.isalnum() for nonce in nonces)


def test_a_call_without_a_token_has_none():
    given = parameters(credential(token=None, token_secret=None), attempt())

    assert "oauth_token" not in given


def test_what_the_caller_sent_goes_and_what_others_wrote_stays():
    outbound = attempt(authorization="Bearer of-a-header-action")
    outbound.headers.add("authorization", "OAuth of-the-caller")
    lines = signed(credential(), outbound, received=["OAuth of-the-caller"])

    assert lines[0] == "Bearer of-a-header-action"
    assert len(lines) == 2
    assert lines[1].startswith("OAuth oauth_consumer_key")


def test_bodies_are_read_only_where_forms_or_hashes_are_signed():
    assert credential().reads == {"request.body"}
    assert credential(form_body=False).reads == frozenset()
    assert credential(form_body=False, body_hash=True).reads == {"request.body"}
    assert OAuth1Credential.signs_message


def test_a_form_is_left_alone_where_none_is_expected(nonce):
    nonce("n")
    made = credential(form_body=False)

    async def chunks():
        yield b"a=b"

    streamed = attempt("POST", content_type=FORM)
    streamed.body = Body(chunks())
    assert parameters(made, streamed) == parameters(made, attempt("POST"))


def test_a_body_that_is_no_form_may_be_hashed():
    made = credential(body_hash=True)
    sha256 = credential(body_hash=True, signature_method="HMAC-SHA256")
    post = {"method": "POST", "body": b"Hello World!", "content_type": "text/plain"}

    assert parameters(made, attempt(**post))["oauth_body_hash"] == "Lve95gjOVATpfV8EL5X4nxwjKHE=", "of the draft"
    assert parameters(sha256, attempt(**post))["oauth_body_hash"] == "f4OxZX/x/FO5LcGBSKHWXfwtSx+j1ncoSt3SABJtkGk="
    assert "oauth_body_hash" not in parameters(made, attempt("POST", body=b"a=b", content_type=FORM))
    assert "oauth_body_hash" not in parameters(made, attempt())


def test_a_form_that_is_too_long_to_be_signed_is_refused():
    made = credential(form_limit=10)
    signed(made, attempt("POST", body=b"a=23456789", content_type=FORM))

    with pytest.raises(ContentTooLarge, match="longer than 10 bytes"):
        signed(made, attempt("POST", body=b"a=234567890", content_type=FORM))
    with pytest.raises(ContentTooLarge, match="more than 10000 parameters"):
        signed(credential(), attempt("POST", body=b"a&" * 10_000, content_type=FORM))


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"consumer_key": ""}, "consumer_key: .*empty"),
        ({"consumer_secret": ""}, "HMAC-SHA1 needs a consumer_secret"),
        ({"token": None}, "token_secret and no token"),
        ({"signature_method": "RSA-SHA1"}, "signs with a private_key"),
        ({"signature_method": "RSA-SHA1", "private_key": "s3same"}, "private_key: .*no RSA private key"),
        (
            {"signature_method": "RSA-SHA1", "private_key": pem(ec.generate_private_key(ec.SECP256R1()))},
            "no RSA private key",
        ),
        ({"private_key": PRIVATE_KEY}, "no use for a private_key"),
        ({"signature_method": "MD5"}, "signature_method"),
        ({"signature_method": "PLAINTEXT", "body_hash": True}, "protect nothing"),
        ({"realm": 'a"b'}, "realm"),
        ({"header": "X Y"}, "header"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message) as refused:
        credential(**options)
    assert not any(secret in str(refused.value) for secret in ("s3same", "pfkkdhi9sl3r4s00", "MIIC"))


def test_no_secret_is_in_a_representation():
    made = credential(signature_method="RSA-SHA1", private_key=PRIVATE_KEY)
    text = repr(made) + repr(made.options) + made.options.model_dump_json()

    assert not any(secret in text for secret in ("kd94hf93k423kf44", "pfkkdhi9sl3r4s00", "MIIC"))
