"""Signed tokens: keys and algorithms, key sets of issuers, and what a token has to say (RFC 7515 to 7519, RFC 8725).

Signatures are joserfc's; which keys and algorithms may be used for what, and what a token must say, is decided here.
"""

from hookgate.jose.claims import BadToken, Expected, check, claim, parsed
from hookgate.jose.keys import (
    ASYMMETRIC,
    SYMMETRIC,
    Algorithm,
    Asymmetric,
    KeyStore,
    Registry,
    algorithms_of,
    key_set,
    private_key,
    public_key,
    secret_key,
)
from hookgate.jose.remote import RemoteKeys, http_url, key_url
from hookgate.jose.signatures import signed

__all__ = [
    "ASYMMETRIC",
    "SYMMETRIC",
    "Algorithm",
    "Asymmetric",
    "BadToken",
    "Expected",
    "KeyStore",
    "Registry",
    "RemoteKeys",
    "algorithms_of",
    "check",
    "claim",
    "http_url",
    "key_set",
    "key_url",
    "parsed",
    "private_key",
    "public_key",
    "secret_key",
    "signed",
]
