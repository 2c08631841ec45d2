"""Signatures and claims, as whoever stands on them sees them."""

import json
import time

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from hookgate.jose import BadToken, Expected, Registry, check, key_set, key_url, parsed, signed

KEY = ECKey.generate_key("P-256", {"kid": "one"})
OTHER = ECKey.generate_key("P-256", {"kid": "two"})
STORE = key_set({"keys": [KEY.as_dict(private=False)]})
ONLY = Registry(("ES256",))


async def find(kid, algorithm):
    return STORE.find(kid, algorithm)


def token(key=KEY, payload=b'{"sub": "anna"}', **header):
    registry = Registry((header.get("alg", "ES256"),))
    return jws.serialize_compact({"alg": "ES256", "kid": "one", **header}, payload, key, registry=registry)


async def test_a_token_that_is_signed_says_what_its_header_and_its_payload_are():
    found = await signed(token(typ="AT+JWT"), ONLY, find, "at+jwt")

    assert (found.header["kid"], parsed(found.payload)) == ("one", {"sub": "anna"})


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (token(OTHER), "signature"),
        (token(kid="two"), "signature"),
        (token(OctKey.import_key("x" * 64), alg="HS256"), "algorithm"),
        ("eyJhbGciOiJub25lIn0.e30.", "algorithm"),
        (token()[:-2] + "AA", "signature"),
        ("a.b", "malformed"),
        ("ü.b.c", "malformed"),
        (token(typ="JWT"), "another type"),
    ],
)
async def test_a_token_that_is_not_signed_by_such_a_key_is_none(made, why):
    with pytest.raises(BadToken, match=why):
        await signed(made, ONLY, find, "at+jwt" if why == "another type" else None)


@pytest.mark.parametrize(
    "payload", [b"[]", b"{", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[" * 100_000, b"\xff", json.dumps("x").encode()]
)
def test_claims_are_one_object_in_which_no_name_stands_twice(payload):
    with pytest.raises(BadToken, match="malformed"):
        parsed(payload)


def test_claims_are_for_here_and_now():
    now = time.time()
    expected = Expected("https://login.example", frozenset({"news"}), ("exp",), 10)
    good = {"iss": "https://login.example", "aud": ["other", "news"], "exp": now + 5}
    check(good, expected, now)
    for wrong in ({"iss": "x"}, {"aud": "other"}, {"exp": now - 11}, {"exp": None}, {"exp": True}, {"nbf": now + 11}):
        with pytest.raises(BadToken):
            check(good | wrong, expected, now)


def test_keys_come_over_tls_or_from_this_machine():
    for url in ("https://login.example/keys", "http://127.0.0.1:8080/keys"):
        assert key_url(url, allow_http=False) == url
    assert key_url("http://login.example/keys", allow_http=True)
    for url in ("http://login.example/keys", "ftp://login.example", "https://a:b@login.example", "/keys"):
        with pytest.raises(ValueError, match=r"URL|answered"):
            key_url(url, allow_http=False)
