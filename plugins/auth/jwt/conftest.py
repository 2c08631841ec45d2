"""Keys and tokens of the tests, made with `cryptography` alone: an opinion of its own of what a token is."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import cache
from types import SimpleNamespace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
NOW = 1_700_000_000
"""What a movable clock says at the start, in Unix time."""


def b64(data):
    """Encode as a token does."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    """Decode what a token has."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key(kind="RSA", number=0):
    """Return a key pair, the same for the same number."""
    return _made(kind, number)


@cache
def _made(kind, number):
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "EdDSA" else ec.generate_private_key(CURVES[kind]())


def kind(algorithm):
    """Say which kind of key goes with an algorithm."""
    return {"RS": "RSA", "PS": "RSA", "Ed": "EdDSA"}.get(algorithm[:2], algorithm)


def digest(algorithm):
    """Return the hash of an algorithm."""
    return {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[algorithm[2:]]()


def pss(algorithm):
    """Return the padding of an algorithm."""
    if algorithm.startswith("RS"):
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(digest(algorithm)), digest(algorithm).digest_size)


def signature(algorithm, signer, message):
    """Sign a message; the signer is a key pair, or bytes for HMAC."""
    if algorithm == "none":
        return b""
    if algorithm.startswith("HS"):
        return hmac.new(signer, message, getattr(hashlib, f"sha{algorithm[2:]}")).digest()
    if algorithm.startswith("Ed"):
        return signer.sign(message)
    if algorithm.startswith("ES"):
        size = (signer.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(signer.sign(message, ec.ECDSA(digest(algorithm))))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return signer.sign(message, pss(algorithm), digest(algorithm))


def token(claims=None, *, algorithm="RS256", signer=None, payload=None, **header):
    """Make a token; claims go over the usual ones, and those that are None are left out."""
    claims = {"sub": "anna", "exp": NOW + 300, **(claims or {})}
    if payload is None:
        payload = json.dumps({name: value for name, value in claims.items() if value is not None}).encode()
    head = json.dumps({"alg": algorithm, "typ": "JWT", **header}).encode()
    message = f"{b64(head)}.{b64(payload)}"
    signer = key(kind(algorithm)) if signer is None and algorithm != "none" else signer
    return f"{message}.{b64(signature(algorithm, signer, message.encode()))}"


def verified(text, algorithm, pair):
    """Return header and claims of a token whose signature is right."""
    head, payload, signed = text.split(".")
    message, signed = f"{head}.{payload}".encode(), unb64(signed)
    if algorithm.startswith("HS"):
        assert hmac.compare_digest(signed, signature(algorithm, pair, message))
    elif algorithm.startswith("Ed"):
        pair.public_key().verify(signed, message)
    elif algorithm.startswith("ES"):
        half = len(signed) // 2
        pair_of = int.from_bytes(signed[:half], "big"), int.from_bytes(signed[half:], "big")
        pair.public_key().verify(utils.encode_dss_signature(*pair_of), message, ec.ECDSA(digest(algorithm)))
    else:
        pair.public_key().verify(signed, message, pss(algorithm), digest(algorithm))
    return json.loads(unb64(head)), json.loads(unb64(payload))


def public_pem(pair):
    """Write the public half."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return pair.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def private_pem(pair, password=None):
    """Write the private half."""
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return pair.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden).decode()


def jwk(pair, **more):
    """Write the public half as a JWK."""
    public = pair.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        values = {"kty": "RSA", "n": b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")), "e": "AQAB"}
    elif isinstance(public, ed25519.Ed25519PublicKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        values = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    else:
        numbers, size = public.public_numbers(), (public.curve.key_size + 7) // 8
        name = {256: "P-256", 384: "P-384", 521: "P-521"}[public.curve.key_size]
        values = {"kty": "EC", "crv": name}
        values |= {"x": b64(numbers.x.to_bytes(size, "big")), "y": b64(numbers.y.to_bytes(size, "big"))}
    return {**values, **more}


@pytest.fixture
def maker():
    """Give the tests all of this."""
    names = ("b64", "unb64", "key", "kind", "token", "verified", "public_pem", "private_pem", "jwk", "signature")
    return SimpleNamespace(**{name: globals()[name] for name in names}, NOW=NOW, InvalidSignature=InvalidSignature)
