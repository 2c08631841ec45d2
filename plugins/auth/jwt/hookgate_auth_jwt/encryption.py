"""Tokens that are encrypted (JWE, RFC 7516 and 7518), and what of them is decrypted here."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from typing import Any, Literal

from joserfc import jwe
from joserfc.jwk import ECKey, Key, OctKey, RSAKey
from pydantic import Field, model_validator

from hookgate import Options, Secret
from hookgate.jose import BadToken, parsed, private_key
from hookgate.workshop import FilledSecret
from hookgate_auth_jwt.pem import PemSecret

# fmt: off
KeyAlgorithm = Literal[
    "RSA-OAEP-256", "RSA-OAEP",
    "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW",
    "dir", "A128KW", "A192KW", "A256KW", "A128GCMKW", "A192GCMKW", "A256GCMKW",
    "PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW",
]
"""How the key of the content is told. RSA1_5 is none of them: who may ask often can find out what is encrypted so."""
# fmt: on
ContentAlgorithm = Literal["A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"]
CONTENT: Mapping[ContentAlgorithm, int] = {
    "A128CBC-HS256": 32,
    "A192CBC-HS384": 48,
    "A256CBC-HS512": 64,
    "A128GCM": 16,
    "A192GCM": 24,
    "A256GCM": 32,
}
"""Algorithms of the content, and the bytes of their keys."""
RSA = ("RSA-OAEP-256", "RSA-OAEP")
ELLIPTIC = ("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW")
PASSWORD = ("PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW")
WRAPS = {16: ("A128KW", "A128GCMKW"), 24: ("A192KW", "A192GCMKW"), 32: ("A256KW", "A256GCMKW")}
"""What wraps with a secret, by its bytes."""
LEAST_ROUNDS = 1000
"""Rounds that are asked of a key made of a password (RFC 7518, 4.8.1.2)."""
SHORTEST_PASSWORD = 16
MOST_KEYS = 4
_SHAPE = re.compile(rb"[\w-]+(?:\.[\w-]*){4}")
UNDECIPHERED = "The token cannot be decrypted."


class EncryptionOptions(Options):
    """How tokens are encrypted. One of `keys`, `secret` and `password` is needed."""

    keys: tuple[PemSecret, ...] = Field(default=(), max_length=MOST_KEYS)
    """Private keys in PEM that tokens are encrypted for: RSA of 2048 bits or more, P-256, P-384 or P-521. Several while
    a new one takes the place of an old one."""
    key_password: FilledSecret | None = None
    """What opens `keys`, if they are encrypted."""
    secret: Secret | None = None
    """A secret that both sides have, in base64url as the `k` of a JWK: 16, 24, 32, 48 or 64 bytes, as the algorithms
    need (RFC 7518, 6.4.1)."""
    password: Secret | None = None
    """A password that both sides have, of 16 bytes or more, from which a key is made for each token (PBES2)."""
    algorithms: tuple[KeyAlgorithm, ...] | None = None
    """Algorithms by which the key of the content is told (`alg`). Left out: those of the kind of keys that is written,
    and with `secret` only `dir`."""
    content_algorithms: tuple[ContentAlgorithm, ...] = Field(default=tuple(CONTENT), min_length=1)
    """Algorithms by which the content is encrypted (`enc`)."""
    signed: bool = True
    """Whether a signed token is inside. `false` for claims that are encrypted only, which goes with `secret` and
    `password`: with a key pair, whoever has the public key could make such a token."""
    required: bool = True
    """Whether a token that is not encrypted is refused."""
    max_p2c: int = Field(default=10_000, ge=LEAST_ROUNDS, le=300_000)
    """Rounds that a token may ask for with PBES2 (`p2c`), since each costs time before anything is checked."""

    @model_validator(mode="after")
    def _have_keys_that_fit(self) -> EncryptionOptions:
        given = [name for name in ("keys", "secret", "password") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"write one of keys, secret, password; there is {' and '.join(given) or 'nothing'}")
        if self.key_password is not None and not self.keys:
            raise ValueError("key_password: there is no key that it could open; write keys, or take it out")
        if not self.signed and self.keys:
            raise ValueError("signed: with a key pair, whoever has the public key can make a token; leave out signed")
        if not self.signed and not self.required:
            raise ValueError("required: claims that are neither encrypted nor signed are no token; leave it out")
        if self.algorithms is not None and not self.algorithms:
            raise ValueError("algorithms: the list is empty, so that no token would do; write some or leave it out")
        keys = self.opening()
        fitting = {name for key in keys for name in fitting_of(key, self.content_algorithms, given[0])}
        for name in self.allowed():
            if name not in fitting:
                raise ValueError(
                    f"algorithms: {name} does not go with {given[0]}; there is {', '.join(sorted(fitting))}"
                )
        return self

    def allowed(self) -> tuple[str, ...]:
        """Return the algorithms of keys, also where the document does not name them."""
        if self.algorithms is not None:
            return self.algorithms
        if self.secret is not None:
            return ("dir",)
        if self.password is not None:
            return PASSWORD
        kinds = {type(key) for key in self.opening()}
        return (*(RSA if RSAKey in kinds else ()), *(ELLIPTIC if ECKey in kinds else ()))

    def opening(self) -> list[Key]:
        """Return the keys.

        Raises:
            ValueError: one cannot be used.
        """
        if self.secret is not None:
            return [OctKey.import_key(_bytes_of(self.secret.reveal()))]
        if self.password is not None:
            raw = self.password.reveal().encode()
            if len(raw) < SHORTEST_PASSWORD:
                raise ValueError(f"password: it has {len(raw)} bytes; write {SHORTEST_PASSWORD} or more")
            return [OctKey.import_key(raw)]
        password = self.key_password
        found: list[Key] = []
        for index, key in enumerate(self.keys):
            try:
                made = private_key(key.reveal(), None if password is None else password.reveal())
                if not isinstance(made, RSAKey | ECKey):
                    raise ValueError("a key of this kind decrypts nothing; take RSA, P-256, P-384 or P-521")  # noqa: TRY004
            except ValueError as error:
                raise ValueError(f"keys.{index}: {error}") from None
            found.append(made)
        return found


def _bytes_of(secret: str) -> bytes:
    try:
        if re.fullmatch(r"[A-Za-z0-9_-]+=*", secret) is None:
            raise ValueError("this is not the alphabet of base64url")
        raw = urlsafe_b64decode(secret.rstrip("=") + "=" * (-len(secret.rstrip("=")) % 4))
    except ValueError:
        raise ValueError("secret: it is not base64url, as the k of a JWK is") from None
    if len(raw) not in {16, 24, 32, 48, 64}:
        raise ValueError(f"secret: it has {len(raw)} bytes; there are algorithms for 16, 24, 32, 48 and 64")
    return raw


def fitting_of(key: Key, content: Collection[ContentAlgorithm], given: str) -> tuple[str, ...]:
    """Return the algorithms that a key may be used with."""
    if isinstance(key, RSAKey):
        return RSA
    if isinstance(key, ECKey):
        return ELLIPTIC
    if given == "password":
        return PASSWORD
    assert isinstance(key, OctKey)
    size = len(key.raw_value)
    return (*(("dir",) if any(CONTENT[name] == size for name in content) else ()), *WRAPS.get(size, ()))


class Decryption:
    """Opens what the options say, and nothing else."""

    def __init__(self, options: EncryptionOptions) -> None:
        self.signed = options.signed
        self._required = options.required
        self._given = "password" if options.password is not None else "keys"
        self._keys = options.opening()
        self._algorithms = frozenset(options.allowed())
        self._content = frozenset(options.content_algorithms)
        self._most_rounds = options.max_p2c
        self._registry = jwe.JWERegistry(algorithms=[*self._algorithms, *self._content], strict_check_header=False)
        self._registry.max_protected_header_length = 8192  # certificates may stand there
        self._registry.max_encrypted_key_length = 2048

    def is_for(self, token: str) -> bool:
        """Whether a token is to be decrypted.

        Raises:
            BadToken: it is not encrypted, and has to be.
        """
        if token.count(".") == 4:
            return True
        if self._required:
            raise BadToken("The token is not encrypted.")
        return False

    def opened(self, token: str) -> tuple[Mapping[str, Any], bytes]:
        """Return the header of a token, and what was inside.

        Raises:
            BadToken: it cannot be decrypted, or not by one of the algorithms and keys of the document.
        """
        raw = token.encode("utf-8", "replace")
        header = self._header(raw)
        for key in self._keys:
            if header["alg"] in fitting_of(key, self._content, self._given):
                try:
                    inside = jwe.decrypt_compact(raw, key, registry=self._registry).plaintext
                except Exception:  # noqa: BLE001, S112 - whatever it is, this key does not open it
                    continue
                if inside is not None:
                    return header, inside
        raise BadToken(UNDECIPHERED)

    def _header(self, raw: bytes) -> Mapping[str, Any]:
        """Return the header of a token, before anything is done that costs time."""
        if _SHAPE.fullmatch(raw) is None:
            raise BadToken("The token is malformed.")
        try:
            header = parsed(urlsafe_b64decode(raw.partition(b".")[0] + b"=="))
        except ValueError:
            raise BadToken("The token is malformed.") from None
        algorithm, content = str(header.get("alg")), str(header.get("enc"))
        if algorithm not in self._algorithms or content not in self._content:
            raise BadToken("The algorithm of the token is not allowed.")
        if "zip" in header:
            raise BadToken("The token is compressed, and that is not taken here.")
        if "crit" in header:
            raise BadToken("The token needs an extension that is not known here.")
        rounds = header.get("p2c")
        if algorithm in PASSWORD and (type(rounds) is not int or not LEAST_ROUNDS <= rounds <= self._most_rounds):
            raise BadToken("The token asks for another number of rounds than is allowed.")
        nested = "cty" in header and type_of({"typ": header["cty"]}) == "jwt"
        if "cty" in header and nested != self.signed:
            raise BadToken("The token holds something else than what is expected.")
        return header


def type_of(header: Mapping[str, Any]) -> str:
    """Return the `typ` of a header in the form in which two of them are compared (RFC 7515, 4.1.9)."""
    value = header.get("typ")
    return value.lower().removeprefix("application/") if isinstance(value, str) else ""
