"""Signed calls of the tests, written by hand as a caller would."""

import asyncio
import base64
import hmac
from email.utils import formatdate
from inspect import isawaitable

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hookgate import Body, Exchange, Headers, Request, Unauthorized
from hookgate.testing import MovableClock, TestHost, build
from hookgate_auth_signature import Signature

NOW = 1_700_000_000
KEYS = {"ann": {"algorithm": "hmac-sha256", "secret": "s3same-as-ours", "roles": ["clerk"], "application": "shop"}}
HELLO = b'{"hello": "world"}'
HELLO_SHA_256 = "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="
EDWARDS = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)


def public_pem(key):
    """Return the public half of a private key."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key):
    """Return a private key as a document has it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def method(house=None, **options):
    """Make the method that is tested, started."""
    made = build(Signature, **{"keys": KEYS, **options})
    made.startup(house or TestHost(clock=MovableClock(NOW)))
    return made


def line(
    headers,
    *,
    secret=b"s3same-as-ours",
    key_id="ann",
    algorithm="hmac-sha256",
    target="get /a?x=1",
    given="headers",
    extra="",
):
    """Write what a caller sends, by hand: ``headers`` are (name, value) pairs in the order of the signing string."""
    text = "\n".join(f"{name}: {target if name == '(request-target)' else value}" for name, value in headers)
    signature = base64.b64encode(hmac.digest(secret, text.encode(), "sha256")).decode()
    said = f'keyId="{key_id}",' + (f'algorithm="{algorithm}",' if algorithm else "") + extra
    return f'Signature {said}{given}="{" ".join(name for name, _ in headers)}",signature="{signature}"'


def usual(at=NOW, *more):
    """Return what is signed by default, and more."""
    return [("(request-target)", ""), ("host", "api.example.org"), ("date", formatdate(at, usegmt=True)), *more]


def call(authorization, *, at=NOW, verb="GET", path="/a", query="x=1", body=b"", headers=()):
    """Make the call that :func:`usual` speaks of."""
    fields = Headers([("Host", "api.example.org"), ("Date", formatdate(at, usegmt=True)), *headers])
    if authorization:
        fields.add("Authorization", authorization)
    return Exchange(
        Request(
            verb,
            path,
            query,
            host="api.example.org",
            headers=fields,
            body=body if isinstance(body, Body) else Body(body),
        )
    )


def identify(made, exchange):
    """Ask a method who calls."""

    async def whole():
        found = made.identify(exchange)
        return await found if isawaitable(found) else found

    return asyncio.run(whole())


def refused(made, exchange):
    """Return the reason for which a method refuses a call."""
    with pytest.raises(Unauthorized) as fault:
        identify(made, exchange)
    assert "s3same-as-ours" not in fault.value.detail
    return fault.value.reason
