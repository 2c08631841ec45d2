"""Keys and algorithms: which belong together, and which are strong enough (RFC 7515 to 7518, RFC 8725)."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal
from warnings import catch_warnings, simplefilter

from joserfc.errors import JoseError, SecurityWarning, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry

Asymmetric = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"
]
"""As the type of an option: how a token is signed by one and checked by others."""
Symmetric = Literal["HS256", "HS384", "HS512"]
Algorithm = Literal[Asymmetric, Symmetric]
"""As the type of an option: how a token is signed (RFC 7518, 3.1)."""
ASYMMETRIC: tuple[str, ...] = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519", "EdDSA"),
)
"""Algorithms of key pairs."""
SYMMETRIC: tuple[str, ...] = ("HS256", "HS384", "HS512")
"""Algorithms of secrets that both sides have."""

SMALLEST_RSA = 2048
"""Bits an RSA key must have (RFC 7518, 3.3)."""
LARGEST_RSA = 8192
"""Bits it may have: checking takes longer with the square of them."""
MOST_KEYS = 100
"""Keys of a set that are looked at."""
MOST_TRIED = 8
"""Keys that a token without `kid` is tried with."""

_ELLIPTIC = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_WRONG = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What joserfc raises for input that is not what it should be."""


class Registry(JWSRegistry):
    """The algorithms of an allow-list, without joserfc's own opinion of them: `none` is on no list of ours, and `EdDSA`
    is what most issuers still call Ed25519 (RFC 9864)."""

    max_header_length = 8192  # certificates may stand there

    def __init__(self, algorithms: Collection[str]) -> None:
        super().__init__(algorithms=frozenset(algorithms), strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        """Return an algorithm of the list.

        Raises:
            UnsupportedAlgorithmError: it is none of them.
        """
        if not isinstance(name, str) or self.allowed is None or name not in self.allowed:
            raise UnsupportedAlgorithmError("the algorithm is not allowed")
        return self.algorithms[name]


def public_key(pem: str) -> Key:
    """Read the public key, or the certificate, that signatures are checked with.

    Raises:
        ValueError: it is none, is a private one, or is too weak.
    """
    if "PRIVATE KEY" in pem:
        raise ValueError("this is a private key; whoever checks signatures needs the public one only")
    key = _from_pem(pem, "a PEM public key or certificate")
    _strong(key)
    return key


def private_key(pem: str, password: str | None = None) -> Key:
    """Read the private key that tokens are signed with.

    Raises:
        ValueError: it is none, the password is not right, or it is too weak.
    """
    key = _from_pem(pem, "a PEM private key that opens with the password given", password)
    if not key.is_private:
        raise ValueError("this is a public key; signing needs the private one")
    _strong(key)
    return key


def secret_key(secret: str, algorithms: Collection[str]) -> Key:
    """Make the key of HMAC signatures from a secret, in UTF-8.

    Raises:
        ValueError: it is shorter than the hash (RFC 7518, 3.2), or the public half of a key pair.
    """
    raw = secret.encode()
    needed = max(int(name[2:]) for name in algorithms) // 8
    if len(raw) < needed:
        raise ValueError(f"the secret has {len(raw)} bytes; {max(algorithms)} needs {needed} or more (RFC 7518, 3.2)")
    if raw.lstrip().startswith((b"-----BEGIN", b"ssh-", b"ecdsa-")):
        raise ValueError("this is a key of a key pair, which others may know; write it as public_key or key")
    return OctKey.import_key(raw)


def algorithms_of(key: Key) -> tuple[str, ...]:
    """Return the algorithms that fit a key of a key pair, the usual one first."""
    if isinstance(key, RSAKey):
        return ASYMMETRIC[:6]
    if isinstance(key, ECKey):
        return (_ELLIPTIC[key.curve_name],)
    return ("EdDSA", "Ed25519")


def fits(key: Key, algorithm: str) -> bool:
    """Whether a key may be used with an algorithm: its type, its curve, and what it says itself."""
    try:
        JWSRegistry.algorithms[algorithm].check_key(key)
    except _WRONG:
        return False
    return True


def _from_pem(pem: str, wanted: str, password: str | None = None) -> Key:
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            with _quiet():
                return kind.import_key(pem, password=password)
        except _WRONG:
            continue
    raise ValueError(f"this is not {wanted}, of RSA, P-256, P-384, P-521 or Ed25519")


@contextmanager
def _quiet() -> Iterator[None]:
    """Have no warnings of weak keys: what is too weak is refused here."""
    with catch_warnings():
        simplefilter("ignore", SecurityWarning)
        yield


def _strong(key: Key) -> None:
    """Check the size or the curve of a key.

    Raises:
        ValueError: it is not one of those that are used here.
    """
    if isinstance(key, RSAKey):
        bits = key.raw_value.key_size
        if not SMALLEST_RSA <= bits <= LARGEST_RSA:
            raise ValueError(f"an RSA key has {SMALLEST_RSA} to {LARGEST_RSA} bits, this one has {bits}")
    elif isinstance(key, ECKey):
        if key.curve_name not in _ELLIPTIC:
            raise ValueError(f"the curve {key.curve_name} is not used here; take P-256, P-384 or P-521")
    elif not isinstance(key, OKPKey) or key.curve_name != "Ed25519":
        raise ValueError("a key of this kind is not used here; take RSA, P-256, P-384, P-521 or Ed25519")


class KeyStore:
    """Public keys to choose from."""

    def __init__(self, keys: Iterable[Key], *, named: bool) -> None:
        self._keys = list(keys)
        self._named = named
        """The `kid` of a token names one of them; otherwise it says nothing to us."""

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys that a token may have been signed with."""
        keys = [key for key in self._keys if fits(key, algorithm)]
        if self._named and kid is not None:
            keys = [key for key in keys if key.kid == kid]
        return keys[:MOST_TRIED]


def key_set(document: Mapping[str, Any]) -> KeyStore:
    """Take the keys for checking signatures out of a JWK set; what is for something else, weak or unknown is left out.

    Raises:
        ValueError: it is no JWK set, or no key is left.
    """
    members = document.get("keys")
    if not isinstance(members, list | tuple):
        raise ValueError('a JWK set has a list "keys" (RFC 7517, 5)')  # noqa: TRY004 - pydantic reports this one
    keys = [key for member in members[:MOST_KEYS] if (key := _usable(member)) is not None]
    if not keys:
        raise ValueError("the JWK set has no public key for signatures of RSA, P-256, P-384, P-521 or Ed25519")
    return KeyStore(keys, named=True)


def _usable(member: object) -> Key | None:
    # A secret in a set that others may read is none, and a private key in it is no longer one.
    try:
        if not isinstance(member, dict) or member.get("kty") not in {"RSA", "EC", "OKP"} or "d" in member:
            return None
        if member.get("use", "sig") != "sig" or len(str(member.get("n", ""))) > LARGEST_RSA // 4:
            return None
        with _quiet():
            key = import_key(member)
        key.check_key_op("verify")
        _strong(key)
    except Exception:  # noqa: BLE001 - a set of somebody else's, of which one key must not spoil the others
        return None
    return key
