"""Algorithms and keys. A key knows its one algorithm, so nothing that a message says can choose another."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

Standard = Literal["cavage", "rfc9421"]
Encoding = Literal["text", "base64"]
Algorithm = Literal[
    "hmac-sha256",
    "hmac-sha384",
    "hmac-sha512",
    "rsa-sha256",
    "rsa-sha384",
    "rsa-sha512",
    "rsa-pss-sha512",
    "rsa-v1_5-sha256",
    "ecdsa-sha256",
    "ecdsa-sha384",
    "ecdsa-sha512",
    "ecdsa-p256-sha256",
    "ecdsa-p384-sha384",
    "dsa-sha256",
    "ed25519",
    "hmac-sha1",
    "rsa-sha1",
]
"""Every algorithm by its name on the wire."""

RFC9421 = frozenset(
    {"rsa-pss-sha512", "rsa-v1_5-sha256", "hmac-sha256", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "ed25519"}
)
"""What RFC 9421 has registered (section 6.2)."""
ONLY_RFC9421 = frozenset({"rsa-v1_5-sha256", "ecdsa-p256-sha256", "ecdsa-p384-sha384"})
"""Names that draft-cavage has other names or another encoding for."""
WEAK = frozenset({"hmac-sha1", "rsa-sha1"})
_SMALLEST = 2048
"""Bits of an RSA or DSA key."""
SHORTEST = 8
"""Bytes of a secret that lets callers in."""
_LARGEST = 64 * 1024
"""Characters of a key."""
_HASHES: dict[str, Any] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - refused unless the deployer says allow_weak
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_CURVES = {"ecdsa-p256-sha256": ("P-256", ec.SECP256R1, 32), "ecdsa-p384-sha384": ("P-384", ec.SECP384R1, 48)}
_Sign = Callable[[bytes], bytes]
_Verify = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Key:
    """One key with the one algorithm it is for."""

    algorithm: str
    sign: _Sign | None
    """Makes the signature of a text; ``None`` for a public key."""
    verify: _Verify
    """Tells whether a text (first) has this signature (second)."""


def check_algorithm(algorithm: str, standard: Standard, *, allow_weak: bool) -> None:
    """Check that a standard has the algorithm.

    Raises:
        ValueError: it has not, or the algorithm is broken and not explicitly allowed.
    """
    if standard == "rfc9421" and algorithm not in RFC9421:
        raise ValueError(f"RFC 9421 has no {algorithm}; use one of {', '.join(sorted(RFC9421))}")
    if standard == "cavage" and algorithm in ONLY_RFC9421:
        raise ValueError(f"{algorithm} is a name of RFC 9421; write standard: rfc9421, or rsa-sha256 or ecdsa-sha256")
    if algorithm in WEAK and not allow_weak:
        raise ValueError(f"{algorithm} rests on SHA-1, which is broken; use SHA-256, or set allow_weak: true")


def secret_key(algorithm: str, secret: str, encoding: Encoding = "text", shortest: int = 1) -> Key:
    """Make an HMAC key, of the text in UTF-8 or of the bytes that the Base64 stands for.

    Raises:
        ValueError: the algorithm takes no secret, or the secret is too short or not Base64.
    """
    kind, _, digest = algorithm.partition("-")
    if kind != "hmac":
        raise ValueError(f"{algorithm} needs a key in PEM, not a shared secret")
    raw = _unpacked(secret, encoding)
    if not raw:
        raise ValueError("the key is empty; write one, best of 32 random bytes")
    if len(raw) < shortest:
        raise ValueError(
            f"the key has {len(raw)} bytes and can be guessed; write {shortest} or more, best 32 random ones"
        )

    def sign(text: bytes) -> bytes:
        return hmac.digest(raw, text, digest)

    return Key(algorithm, sign, lambda text, signature: hmac.compare_digest(sign(text), signature))


def nobody() -> Key:
    """Make a key that verifies nothing and takes its time over it, for callers nobody knows."""
    return secret_key("hmac-sha256", secrets.token_hex(32))


def private_key(algorithm: str, pem: str, password: str | None = None) -> Key:
    """Load a private key in PEM.

    Raises:
        ValueError: it cannot be read, or is not of the kind or the size that the algorithm takes.
    """
    _check_pem(algorithm, pem)
    try:
        key = load_pem_private_key(pem.encode(), None if password is None else password.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):  # their texts are about ASN.1
        raise ValueError(
            "the key cannot be read; it is a private key in PEM (PKCS #8, PKCS #1 or SEC 1), "
            "with its key_password if it is encrypted"
        ) from None
    public = _checked(algorithm, key.public_key())
    return Key(algorithm, _signer(algorithm, key), _verifier(algorithm, public))


def public_key(algorithm: str, pem: str) -> Key:
    """Load a public key in PEM.

    Raises:
        ValueError: it cannot be read, or is not of the kind or the size that the algorithm takes.
    """
    _check_pem(algorithm, pem)
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the key cannot be read; it is a public key in PEM (-----BEGIN PUBLIC KEY-----)") from None
    return Key(algorithm, None, _verifier(algorithm, _checked(algorithm, key)))


def _unpacked(secret: str, encoding: Encoding) -> bytes:
    if len(secret) > _LARGEST:
        raise ValueError(f"the key is longer than {_LARGEST} characters")
    if encoding == "text":
        return secret.encode()
    try:
        return base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the key is not Base64, as its encoding says; leave the encoding out for plain text") from None


def _check_pem(algorithm: str, pem: str) -> None:
    if algorithm.startswith("hmac"):
        raise ValueError(f"{algorithm} takes a shared secret, not a key in PEM")
    if len(pem) > _LARGEST:
        raise ValueError(f"the key is longer than {_LARGEST} characters")


def _checked(algorithm: str, key: Any) -> Any:
    """Refuse a key of another kind: what a key is for follows from the key (no algorithm confusion)."""
    kind = algorithm.partition("-")[0]
    wanted: Any = {
        "rsa": rsa.RSAPublicKey,
        "ecdsa": ec.EllipticCurvePublicKey,
        "dsa": dsa.DSAPublicKey,
        "ed25519": ed25519.Ed25519PublicKey,
    }[kind]
    if not isinstance(key, wanted):
        raise ValueError(f"the key is not of the kind that {algorithm} takes")  # noqa: TRY004 - pydantic shows it
    if kind in ("rsa", "dsa") and key.key_size < _SMALLEST:
        raise ValueError(f"the key has {key.key_size} bits; {algorithm} needs {_SMALLEST} or more")
    if algorithm in _CURVES and not isinstance(key.curve, _CURVES[algorithm][1]):
        raise ValueError(f"the key is on the curve {key.curve.name}; {algorithm} needs {_CURVES[algorithm][0]}")
    return key


def _arguments(algorithm: str) -> tuple[Any, ...]:
    """Return what ``sign`` and ``verify`` of cryptography take behind the text."""
    kind, _, rest = algorithm.partition("-")
    if kind == "ed25519":
        return ()
    digest = _HASHES[rest.rpartition("-")[2]]
    if algorithm == "rsa-pss-sha512":
        return padding.PSS(mgf=padding.MGF1(digest), salt_length=64), digest
    if kind == "rsa":
        return padding.PKCS1v15(), digest
    return (ec.ECDSA(digest),) if kind == "ecdsa" else (digest,)


def _signer(algorithm: str, key: Any) -> _Sign:
    arguments, sign = _arguments(algorithm), key.sign
    if algorithm not in _CURVES:
        return lambda text: sign(text, *arguments)
    size = _CURVES[algorithm][2]

    def plain(text: bytes) -> bytes:
        r, s = decode_dss_signature(sign(text, *arguments))
        return r.to_bytes(size) + s.to_bytes(size)  # RFC 9421, 3.3.4: not the DER of everybody else

    return plain


def _verifier(algorithm: str, key: Any) -> _Verify:
    arguments = _arguments(algorithm)
    size = _CURVES[algorithm][2] if algorithm in _CURVES else 0

    def verify(text: bytes, signature: bytes) -> bool:
        if size:
            if len(signature) != 2 * size:
                return False
            signature = encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
        try:
            key.verify(signature, text, *arguments)
        except InvalidSignature:
            return False
        return True

    return verify


def fingerprint(text: bytes) -> bytes:
    """Return 32 bytes that stand for a text."""
    return hashlib.sha256(text).digest()
