"""The mathematics of OAuth 1.0a, held against published values and `oauthlib`."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from oauthlib.oauth1.rfc5849 import signature as reference

from hookgate import Secret
from hookgate_auth_oauth1.signatures import (
    base_string,
    base_uri,
    is_form,
    pairs,
    rsa_signature,
    rsa_verified,
    shared_signature,
)

FORM = "application/x-www-form-urlencoded"
PUBLISHED = [
    pytest.param(
        ("POST", "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b", b"c2&a3=2+q"),
        {"oauth_consumer_key": "9djdj82h48djs9d2", "oauth_token": "kkk9d7dh3k39sjv7", "oauth_timestamp": "137131201"}
        | {"oauth_nonce": "7d8f3e4a"},
        ("j49sk3j29djd", "dh893hdasih9"),
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26"
        "c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26"
        "oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7",
        "r6/TJjbCOr97/+UU0NsvSne7s5g=",
        id="rfc-3.4.1.1",
    ),
    pytest.param(
        ("POST", "https://photos.example.net/initiate", b""),
        {"oauth_consumer_key": "dpf43f3p2l4k3l03", "oauth_timestamp": "137131200", "oauth_nonce": "wIjqoS"}
        | {"oauth_callback": "http://printer.example.com/ready"},
        ("kd94hf93k423kf44", ""),
        "POST&https%3A%2F%2Fphotos.example.net%2Finitiate&oauth_callback%3Dhttp%253A%252F%252Fprinter.example.com%252F"
        "ready%26oauth_consumer_key%3Ddpf43f3p2l4k3l03%26oauth_nonce%3DwIjqoS%26oauth_signature_method%3DHMAC-SHA1%26"
        "oauth_timestamp%3D137131200",
        "74KNZJeDHnMBp0EMJ9ZHt/XKycU=",
        id="rfc-1.2-temporary",
    ),
    pytest.param(
        ("GET", "http://photos.example.net/photos?file=vacation.jpg&size=original", b""),
        {"oauth_consumer_key": "dpf43f3p2l4k3l03", "oauth_token": "nnch734d00sl2jdk", "oauth_timestamp": "137131202"}
        | {"oauth_nonce": "chapoH"},
        ("kd94hf93k423kf44", "pfkkdhi9sl3r4s00"),
        "GET&http%3A%2F%2Fphotos.example.net%2Fphotos&file%3Dvacation.jpg%26oauth_consumer_key%3Ddpf43f3p2l4k3l03%26"
        "oauth_nonce%3DchapoH%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131202%26oauth_token%3D"
        "nnch734d00sl2jdk%26size%3Doriginal",
        "MdpQcU8iPSUjWoN/UDMsK2sui9I=",
        id="rfc-1.2-resource",
    ),
    pytest.param(
        ("GET", "http://photos.example.net/photos?file=vacation.jpg&size=original", b""),
        {"oauth_consumer_key": "dpf43f3p2l4k3l03", "oauth_token": "nnch734d00sl2jdk", "oauth_timestamp": "1191242096"}
        | {"oauth_nonce": "kllo9940pd9333jh", "oauth_version": "1.0"},
        ("kd94hf93k423kf44", "pfkkdhi9sl3r4s00"),
        "GET&http%3A%2F%2Fphotos.example.net%2Fphotos&file%3Dvacation.jpg%26oauth_consumer_key%3Ddpf43f3p2l4k3l03%26"
        "oauth_nonce%3Dkllo9940pd9333jh%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D1191242096%26"
        "oauth_token%3Dnnch734d00sl2jdk%26oauth_version%3D1.0%26size%3Doriginal",
        "tR3+Ty81lMeYAr/Fid0kMTYa/WM=",
        id="oauth-core-a.5",
    ),
    pytest.param(
        (
            "POST",
            "https://api.twitter.com/1.1/statuses/update.json?include_entities=true",
            b"status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21",
        ),
        {"oauth_consumer_key": "xvz1evFS4wEEPTGEFPHBog", "oauth_timestamp": "1318622958", "oauth_version": "1.0"}
        | {"oauth_nonce": "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"}
        | {"oauth_token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"},
        ("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"),
        "POST&https%3A%2F%2Fapi.twitter.com%2F1.1%2Fstatuses%2Fupdate.json&include_entities%3Dtrue%26"
        "oauth_consumer_key%3Dxvz1evFS4wEEPTGEFPHBog%26oauth_nonce%3DkYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg%26"
        "oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D1318622958%26oauth_token%3D370773112-"
        "GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb%26oauth_version%3D1.0%26status%3DHello%2520Ladies%2520%252B%2520"
        "Gentlemen%252C%2520a%2520signed%2520OAuth%2520request%2521",
        "hCtSmYh+iHYCEqBWrE7C7hYmtUk=",
        id="twitter",
    ),
]


def split(url):
    scheme, _, rest = url.partition("://")
    host, slash, resource = rest.partition("/")
    path, _, query = resource.partition("?")
    return scheme, host, slash + path, query


@pytest.mark.parametrize(("call", "protocol", "secrets", "base", "signature"), PUBLISHED)
def test_published_base_strings_and_signatures_come_out(call, protocol, secrets, base, signature):
    method, url, body = call
    scheme, host, path, query = split(url)
    parameters = [*pairs(query), *pairs(body), *protocol.items(), ("oauth_signature_method", "HMAC-SHA1")]
    made = base_string(method, base_uri(scheme, host, path), parameters)

    assert made == base
    assert shared_signature("HMAC-SHA1", made, Secret(secrets[0]), Secret(secrets[1])) == signature


def test_rsa_is_verified_with_the_public_half_only():
    key, other = (rsa.generate_private_key(65537, 2048) for _ in "ab")
    signature = rsa_signature("text", key)

    assert rsa_verified(signature, "text", key.public_key())
    assert not rsa_verified(signature, "texts", key.public_key())
    assert not rsa_verified(signature, "text", other.public_key())
    assert not rsa_verified("no base64", "text", key.public_key())


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "https://A.example:443/x/",
        "http://a.example:443/x",
        "https://a.example:8443/a%20b/%C3%BC;p=1",
        "http://a.example/?realm=a&b=%20&c=+&d=%2B&e",
        "http://a.example/?%C3%BC=%E2%82%AC&a=b&a=a&a=&z=1&b%3D=c%26",
        "http://[2001:db8::1]:81/?a=b",
        "http://a.example/~x?a=~-._*'()!",
        "http://a.example/?&&a=b&",
    ],
)
def test_oauthlib_signs_the_same(url):
    scheme, host, path, query = split(url)
    protocol = {"oauth_nonce": "n ü&=", "oauth_timestamp": "1", "oauth_token": "€"}
    mine = base_string("get", base_uri(scheme, host, path), [*pairs(query), *protocol.items()])
    collected = reference.collect_parameters(uri_query=query) + list(protocol.items())
    wanted = reference.signature_base_string(
        "GET", reference.base_string_uri(url), reference.normalize_parameters(collected)
    )

    assert mine == wanted


def test_parameters_in_other_encodings_are_signed_as_they_are():
    """Bytes that are no UTF-8 have no characters; RFC 5849 escapes bytes."""
    assert pairs("a=%FF&%fe") == [(b"a", b"\xff"), (b"\xfe", b"")]
    assert base_string("GET", "http://a/", pairs("a=%FF&%fe")) == "GET&http%3A%2F%2Fa%2F&%25FE%3D%26a%3D%25FF"


def test_a_signature_is_never_signed():
    assert base_string("GET", "http://a/", [("oauth_signature", "x"), ("a", "b")]) == "GET&http%3A%2F%2Fa%2F&a%3Db"


@pytest.mark.parametrize(
    ("content_type", "form"),
    [(FORM, True), (f" {FORM.upper()} ;charset=x", True), ("multipart/form-data", False), (None, False), ("", False)],
)
def test_only_forms_are_forms(content_type, form):
    assert is_form(content_type) is form
