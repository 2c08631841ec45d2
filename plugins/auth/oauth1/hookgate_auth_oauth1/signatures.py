"""What both ends of OAuth 1.0a compute: the signature base string, signatures, and the header line (RFC 5849, 3)."""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Annotated, Literal
from urllib.parse import quote, unquote_to_bytes

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from pydantic import AfterValidator

from hookgate import Secret

SignatureMethod = Literal["HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT"]
Shared = Literal["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT"]
LONGEST_LINE = 8192
"""Characters of a header line that are read; longer ones are refused."""
MOST_PARAMETERS = 10_000
"""Of a query or a form: sorting more of them would hold up other calls."""
FEWEST_BITS = 2048
"""Of an RSA key that callers sign with."""

_DIGESTS = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256", "RSA-SHA1": "sha1"}
_PARAMETER = re.compile(r'([A-Za-z0-9\-._~%]+)="([^"]*)"\s*(?:,\s*|$)')
_AUTHORITY = re.compile(r"(\[[^\]]+\]|[^:]*)(?::([0-9]*))?")


def _text(text: str) -> str:
    if not text:
        raise ValueError("this is empty; write a name")
    return text


def _realm(realm: str) -> str:
    if not (realm.isascii() and realm.isprintable()) or '"' in realm or "\\" in realm:
        raise ValueError("a realm is printable ASCII text without double quotes and backslashes")
    return realm


def private_key(pem: Secret) -> RSAPrivateKey:
    """Read the key that RSA-SHA1 signs with.

    Raises:
        ValueError: it is no RSA key in PEM, or a passphrase protects it.
    """
    try:
        key = load_pem_private_key(pem.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(  # noqa: TRY004 - pydantic reports a ValueError
            "this is no RSA private key in PEM without a passphrase"
        )
    return key


def public_key(pem: str) -> RSAPublicKey:
    """Read the key that RSA-SHA1 is checked with.

    Raises:
        ValueError: it is no RSA key in PEM, or has fewer than 2048 bits.
    """
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey):
        raise ValueError(  # noqa: TRY004 - pydantic reports a ValueError
            "this is no RSA public key in PEM (it begins with -----BEGIN PUBLIC KEY-----)"
        )
    if key.key_size < FEWEST_BITS:
        raise ValueError(f"the RSA key has {key.key_size} bits; ask the consumer for one of {FEWEST_BITS} at least")
    return key


def _private(pem: Secret) -> Secret:
    private_key(pem)
    return pem


def _public(pem: str) -> str:
    public_key(pem)
    return pem


Name = Annotated[str, AfterValidator(_text)]
Realm = Annotated[str, AfterValidator(_realm)]
PrivateKey = Annotated[Secret, AfterValidator(_private)]
PublicKey = Annotated[str, AfterValidator(_public)]


def escape(value: str | bytes) -> str:
    """Percent-encode everything but unreserved characters (section 3.6)."""
    return quote(value, safe="")


def pairs(form: str | bytes) -> list[tuple[bytes, bytes]]:
    """Return the decoded names and values of a query or of a form (3.4.1.3.1), in whatever encoding they are.

    Raises:
        ValueError: there are more than 10,000.
    """
    raw = form.encode("utf-8", "surrogateescape") if isinstance(form, str) else form
    if raw.count(b"&") >= MOST_PARAMETERS:
        raise ValueError(f"more than {MOST_PARAMETERS} parameters")
    found = []
    for part in raw.replace(b"+", b" ").split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            found.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return found


def base_uri(scheme: str, host: str, path: str) -> str:
    """Return the base string URI: host in lower case, port only if it is not that of the scheme (3.4.1.2)."""
    match = _AUTHORITY.fullmatch(host)
    if match is not None and (not match[2] or match[2] == {"http": "80", "https": "443"}.get(scheme)):
        host = match[1]
    return f"{scheme}://{host.lower()}{path or '/'}"


def base_string(method: str, uri: str, parameters: Iterable[tuple[str | bytes, str | bytes]]) -> str:
    """Return what is signed (3.4.1).

    `parameters` are decoded: those of the query, of a form in the body, and of the header without `realm`. A signature
    among them is left out.
    """
    encoded = sorted((escape(name), escape(value)) for name, value in parameters)
    normalized = "&".join(f"{name}={value}" for name, value in encoded if name != "oauth_signature")
    again = normalized.replace("%", "%25").replace("&", "%26").replace("=", "%3D")  # escape() takes its time
    return f"{escape(method.upper())}&{escape(uri)}&{again}"


def shared_signature(method: Shared, base: str, consumer_secret: Secret | None, token_secret: Secret | None) -> str:
    """Return the signature of a method whose secrets both ends know (3.4.2, 3.4.4)."""
    key = "&".join("" if secret is None else escape(secret.reveal()) for secret in (consumer_secret, token_secret))
    if method == "PLAINTEXT":
        return key
    return b64encode(hmac.digest(key.encode(), base.encode(), _DIGESTS[method])).decode("ascii")


def rsa_signature(base: str, key: RSAPrivateKey) -> str:
    """Return the signature of RSA-SHA1 (3.4.3)."""
    return b64encode(key.sign(base.encode(), PKCS1v15(), hashes.SHA1())).decode("ascii")  # noqa: S303 - of the RFC


def rsa_verified(signature: str, base: str, key: RSAPublicKey) -> bool:
    """Tell whether a signature of RSA-SHA1 is right."""
    try:
        key.verify(b64decode(signature, validate=True), base.encode(), PKCS1v15(), hashes.SHA1())  # noqa: S303
    except (InvalidSignature, ValueError):
        return False
    return True


def same(one: str, other: str) -> bool:
    """Compare in a time that does not tell where the two differ."""
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape"))


def is_form(content_type: str | None) -> bool:
    """Tell whether a body of this type has parameters that are signed (3.4.1.3.1)."""
    return (content_type or "").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"


def body_hash(body: bytes, method: SignatureMethod) -> str:
    """Return the `oauth_body_hash` of a body that is no form (draft-eaton-oauth-bodyhash-00)."""
    return b64encode(hashlib.new(_DIGESTS[method], body).digest()).decode("ascii")


def is_body_hash(given: str, body: bytes) -> bool:
    """Tell whether a hash is that of the body, made with SHA-1 as the draft has it or with SHA-256."""
    return any(same(given, body_hash(body, method)) for method in ("HMAC-SHA1", "HMAC-SHA256"))


def header_line(parameters: Iterable[tuple[str, str]], realm: str | None) -> str:
    """Return the header line (3.5.1). The realm stands first and is not percent-encoded."""
    parts = [] if realm is None else [f'realm="{realm}"']
    parts += [f'{escape(name)}="{escape(value)}"' for name, value in parameters]
    return "OAuth " + ", ".join(parts)


def header_parameters(text: str) -> dict[str, str]:
    """Return the decoded parameters behind the word `OAuth`, without `realm`.

    Raises:
        ValueError: the text is too long, or not a list of parameters, each of them once.
    """
    if len(text) > LONGEST_LINE:
        raise ValueError(f"longer than {LONGEST_LINE} characters")
    found: dict[str, str] = {}
    end = 0
    while end < len(text):
        match = _PARAMETER.match(text, end)
        if match is None:
            raise ValueError("not a list of parameters")
        name = match[1] if match[1].lower() == "realm" else unquote_to_bytes(match[1]).decode()
        if name in found:
            raise ValueError("a parameter twice")
        found[name] = match[2] if name.lower() == "realm" else unquote_to_bytes(match[2].encode("latin-1")).decode()
        end = match.end()
    return {name: value for name, value in found.items() if name.lower() != "realm"}
