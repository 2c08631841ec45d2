"""Keys in PEM, as options."""

from typing import Annotated

from pydantic import AfterValidator

from hookgate import Secret


def _pem(value: str) -> str:
    if "-----BEGIN " not in value:
        raise ValueError("this is not PEM: it has no line that starts with -----BEGIN")
    return value


def _pem_secret(value: Secret) -> Secret:
    _pem(value.reveal())
    return value


Pem = Annotated[str, AfterValidator(_pem)]
"""A public key or certificate."""
PemSecret = Annotated[Secret, AfterValidator(_pem_secret)]
"""A private key."""
