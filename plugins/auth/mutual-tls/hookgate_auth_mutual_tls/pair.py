"""A certificate and its key: whether they can be used, before anybody connects with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from hookgate import Certificate, Secret


class Pair(NamedTuple):
    """What is shown to a backend, and until when it holds."""

    certificate: Certificate
    begins: float
    """Unix time from which all of the chain holds."""
    expires: float
    """Unix time at which the first of the chain ends to hold."""


def pair_of(chain: str, key: Secret, password: Secret | None, *, chain_name: str, key_name: str) -> Pair:
    """Check a chain and a key, both PEM; the names say in messages which of them is meant.

    Raises:
        ValueError: one of them cannot be used or they do not belong together; the text says what to do, and shows
            nothing of the key or its password.
    """
    try:
        certificates = x509.load_pem_x509_certificates(chain.encode())
    except ValueError:
        raise ValueError(
            f"{chain_name} holds no certificate in PEM that can be read; write the client's certificate, and the "
            "intermediate authorities after it"
        ) from None
    public = _public(key, password, key_name)
    shown = [_der(certificate) for certificate in certificates]
    if public != shown[0]:
        if public in shown:
            raise ValueError(f"{key_name} is the key of another certificate in {chain_name}; put that one first")
        raise ValueError(f"{key_name} is not the key of {chain_name}; give the two that were made together")
    # Without a password that it needs not, it is equal to the one before, whatever is written.
    return Pair(Certificate(chain, key, password), *_times(certificates))


def _times(chain: Sequence[x509.Certificate]) -> tuple[float, float]:
    begins = max(certificate.not_valid_before_utc for certificate in chain)
    expires = min(certificate.not_valid_after_utc for certificate in chain)
    return begins.timestamp(), expires.timestamp()


def _der(certificate: x509.Certificate) -> bytes | None:
    """Return the public key; ``None`` for one of a kind that is not known here."""
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return None
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _public(key: Secret, password: Secret | None, name: str) -> bytes:
    """Return the public half of a key.

    Raises:
        ValueError: it is none, or the password does not open it.
    """
    pem = key.reveal().encode()
    if b"PRIVATE KEY-----" not in pem:
        raise ValueError(f"{name} holds no private key in PEM: there is no line ending in PRIVATE KEY-----")
    given = password.reveal().encode() if password is not None else None
    try:
        try:
            private = serialization.load_pem_private_key(pem, given, unsafe_skip_rsa_key_validation=True)
        except TypeError:
            if given is None:
                raise ValueError(f"{name} is encrypted; write its password, such as ${{env:KEY_PASSWORD}}") from None
            # A password for a key that is not encrypted does no harm.
            private = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm:
        raise ValueError(f"{name} is a key of a kind that is not known here; use RSA, ECDSA or Ed25519") from None
    except ValueError as error:
        if "is encrypted; write" in str(error):
            raise
        what = "the password does not open it, or it" if given is not None else "it"
        raise ValueError(f"{name} cannot be used: {what} is no private key in PEM that can be read") from None
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
