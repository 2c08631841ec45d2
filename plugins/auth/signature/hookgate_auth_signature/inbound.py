"""Who is calling, told by a signature."""

import re
import time
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from hookgate import AuthMethod, Duration, Exchange, Headers, Host, Identity, Options, Request, Unauthorized, hookimpl
from hookgate.workshop import HeaderName, Prefix
from hookgate_auth_signature import cavage, rfc9421
from hookgate_auth_signature.callers import CallerKeyOptions, KeyId, Memory, identity_of, load_caller_key
from hookgate_auth_signature.digests import holds
from hookgate_auth_signature.keys import Key, Standard, check_algorithm, fingerprint, nobody
from hookgate_auth_signature.outbound import quotable

_REQUIRED: dict[Standard, tuple[str, ...]] = {
    "cavage": ("(request-target)", "host", "date"),
    "rfc9421": ("@method", "@authority", "@path", "@query"),
}
_IMPLIED = {
    "date": {"(created)"},
    "@authority": {"@target-uri"},
    "@scheme": {"@target-uri"},
    "@path": {"@target-uri", "@request-target"},
    "@query": {"@target-uri", "@request-target"},
}
"""What covers as much as the component it stands for, or more."""
_DIGESTS = ("content-digest", "digest")


class SignatureOptions(Options):
    """Options of `signature` for callers."""

    keys: dict[KeyId, CallerKeyOptions] = Field(min_length=1)
    """Keys of callers by key id."""
    standard: Standard = "cavage"
    """`cavage` is draft-cavage-http-signatures-12, `rfc9421` is RFC 9421. For both, place the method twice."""
    required: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=64)
    """What a signature must cover at least. By default `(request-target) host date` with `cavage`, where `(created)`
    does for `date`, and `@method @authority @path @query` with `rfc9421`, where `@target-uri` does for the last three
    and `@request-target` for the last two."""
    body: Literal["digest", "unprotected"] = "digest"
    """With `digest`, a call with a body needs a digest of it that the signature covers (`Digest` or `Content-Digest`,
    SHA-256 or SHA-512). With `unprotected`, a body may be any; digests that the signature covers are checked still."""
    require_time: bool = True
    """Whether the message must say when it was signed: a covered `date`, or `created`."""
    max_age: Duration = Field(default=60.0, gt=0, le=86400)
    """Seconds after signing for which a message is good."""
    clock_skew: Duration = Field(default=60.0, ge=0, le=3600)
    """Seconds that the clock of a caller may be ahead, and grace after its `expires`."""
    replay: Literal["allow", "refuse"] = "allow"
    """With `refuse`, a message is good once; each worker process remembers for itself. Callers that send the same
    request twice within a second need something in it that differs, such as a nonce."""
    replay_size: int = Field(default=100_000, ge=1, le=10_000_000)
    """Messages remembered at most; when there are more within `max_age`, calls are refused with 503."""
    header: HeaderName = "Authorization"
    """With `cavage`, the header that carries the signature (AC-44)."""
    prefix: Prefix = "Signature"
    """With `cavage`, the word in the place of the scheme; empty for none, as in a header of its own."""
    tag: str | None = None
    """With `rfc9421`, the application that a signature must be for; others are passed over."""
    realm: Annotated[str, AfterValidator(quotable)] = "hookgate"
    """What the challenge says the caller wants to reach."""
    allow_weak: bool = False
    """Whether algorithms with SHA-1 may be used."""

    @model_validator(mode="after")
    def _fit_together(self) -> "SignatureOptions":
        for key_id, key in self.keys.items():
            try:
                check_algorithm(key.algorithm, self.standard, allow_weak=self.allow_weak)
            except ValueError as error:
                raise ValueError(f"keys: {key_id}: {error}") from None
        for name in ("header", "prefix") if self.standard == "rfc9421" else ("tag",):
            if name in self.model_fields_set:
                raise ValueError(f"{name} is not for the standard {self.standard}; take it out or change the standard")
        if self.replay == "refuse" and not self.require_time:
            raise ValueError("replay: what is refused is forgotten after max_age, so require_time must stay true")
        required_of(self)
        return self


def required_of(options: SignatureOptions) -> tuple[str, ...]:
    """Return what must be covered, as it is written. Raises ValueError for something that cannot be."""
    if options.required is None:
        return _REQUIRED[options.standard]
    if options.standard == "cavage":
        return tuple(map(cavage.covered_name, options.required))
    return tuple(_plain(rfc9421.component(name)) for name in options.required)


@dataclass(frozen=True, slots=True)
class Claim:
    """A signature and what it says, in the terms of neither standard."""

    key_id: str
    base: bytes
    signature: bytes
    covered: frozenset[str]
    algorithm: str
    created: int | None
    expires: int | None
    nonce: str = ""


_ASCTIME = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}")


class Signature(AuthMethod[SignatureOptions]):
    """Recognises callers by a signature over their message.

    The key decides the algorithm, whatever the message says. Unless options say otherwise the signature covers method,
    target and host, is a minute old at most, and a body counts only with a digest that the signature covers. The body
    is read after the signature has proved good, never before.
    """

    reads = {"request.body"}

    def __init__(self, options: SignatureOptions) -> None:
        super().__init__(options)
        self._keys = {key_id: load_caller_key(key) for key_id, key in options.keys.items()}
        self._nobody = nobody()
        self._required = required_of(options)
        self._prefix = options.prefix.lower()
        self._wall = time.time
        self._memory: Memory | None = None
        self._challenge = f'Signature realm="{options.realm}"'
        if options.standard == "cavage":
            self._challenge += f',headers="{" ".join(self._required)}"'

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the clock of the house."""
        self._wall = host.clock.wall
        if self.options.replay == "refuse":
            self._memory = Memory(self.options.replay_size, self.options.max_age + self.options.clock_skew)

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for a signature."""
        return self._challenge

    @hookimpl
    async def identify(self, exchange: Exchange) -> Identity | None:
        """Return the owner of the key, or `None` when the message has no signature of this kind.

        Raises:
            Unauthorized: the signature is malformed, wrong, too old, covers too little, or does not fit the body.
            ServiceUnavailable: with `replay: refuse`, when the memory is full.
        """
        try:
            claims = self._cavage(exchange) if self.options.standard == "cavage" else self._rfc9421(exchange)
        except (cavage.Malformed, rfc9421.Malformed) as error:
            raise Unauthorized(str(error), reason="malformed-credentials") from None
        except (cavage.Missing, rfc9421.Missing) as missing:
            raise Unauthorized(
                f"The signature covers {missing}, which the message does not have.", reason="malformed-credentials"
            ) from None
        if not claims:
            return None
        claim = self._proved(claims)
        self._check_time(claim, exchange)
        await self._check_body(claim, exchange)
        if self._memory is not None:
            once = f"nonce {claim.nonce}".encode() if claim.nonce else claim.base
            if not self._memory.first_time(fingerprint(f"{claim.key_id}\n".encode() + once), self._wall()):
                raise Unauthorized("This message has been received before.", reason="replayed")
        return identity_of(claim.key_id, self.options.keys[claim.key_id])

    def _cavage(self, exchange: Exchange) -> list[Claim]:
        request = exchange.request
        value = request.headers.single(self.options.header)
        if value is None:
            return []
        word, _, text = value.partition(" ") if self._prefix else ("", "", value)
        if word.lower() != self._prefix:
            return []
        told = cavage.parse(text.strip())
        if told.algorithm.lower().startswith(("rsa", "hmac", "ecdsa")) and {"(created)", "(expires)"} & set(
            told.covered
        ):
            raise cavage.Malformed(f"(created) and (expires) do not go with {told.algorithm[:32]}; write hs2019.")
        base = cavage.signing_string(
            told.covered,
            method=request.method,
            target=request.received,
            headers=_headers(request),
            created=told.created,
            expires=told.expires,
        )
        algorithm = "" if told.algorithm.lower() == "hs2019" else told.algorithm.lower()
        covered = frozenset(told.covered)
        created = told.created if "(created)" in covered else None  # what is not signed is anybody's
        expires = told.expires if "(expires)" in covered else None
        return [Claim(told.key_id, base, told.signature, covered, algorithm, created, expires)]

    def _rfc9421(self, exchange: Exchange) -> list[Claim]:
        request, claims = exchange.request, []
        headers = _headers(request)
        if "signature" not in headers and "signature-input" not in headers:
            return []
        path, mark, query = request.received.partition("?")
        message = rfc9421.Message(request.method, request.scheme, request.host, path, query if mark else None, headers)
        for signed in rfc9421.signatures(headers):
            given = signed.parameters
            if self.options.tag is not None and given.get("tag") != self.options.tag:
                continue
            texts = {name: given.get(name, "") for name in ("keyid", "alg", "nonce")}
            times = {name: given.get(name) for name in ("created", "expires")}
            if not all(isinstance(text, str) for text in texts.values()):
                raise rfc9421.Malformed("keyid, alg and nonce are strings.")
            if any(isinstance(at, bool) or not isinstance(at, int | None) for at in times.values()):
                raise rfc9421.Malformed("created and expires are whole numbers.")
            if not texts["keyid"]:
                continue
            try:
                base = rfc9421.signature_base(message, signed.components, given)
            except rfc9421.Missing:
                if texts["keyid"] in self._keys:
                    raise
                continue  # a signature for somebody else, over what did not get here
            covered = frozenset(map(_plain, signed.components))
            told = (texts["alg"], times["created"], times["expires"], texts["nonce"])
            claims.append(Claim(texts["keyid"], base, signed.signature, covered, *told))
        ours = [claim for claim in claims if claim.key_id in self._keys]
        return ours or claims

    def _proved(self, claims: list[Claim]) -> Claim:
        """Return the first signature that is good and covers enough; say of the last one what is wrong."""
        wrong = Unauthorized("The signature is not good.", reason="wrong-credentials")
        for claim in claims:
            key = self._keys.get(claim.key_id, self._nobody)
            if not self._good(key, claim):
                continue
            missing = [name for name in self._required if not ({name} | _IMPLIED.get(name, set())) & claim.covered]
            if not missing:
                return claim
            wrong = Unauthorized(f"The signature does not cover {', '.join(missing)}.", reason="insufficient-signature")
        raise wrong

    @staticmethod
    def _good(key: Key, claim: Claim) -> bool:
        good = key.verify(claim.base, claim.signature)  # first, so that it takes as long whatever the message says
        return good and claim.algorithm in ("", key.algorithm)

    def _check_time(self, claim: Claim, exchange: Exchange) -> None:
        now, options = self._wall(), self.options
        times: list[float] = [] if claim.created is None else [claim.created]
        if "date" in claim.covered:
            times.append(_unix_time(exchange.request.headers.getall("date")))
        if options.require_time and not times:
            raise Unauthorized("The signature does not say when it was made.", reason="insufficient-signature")
        if any(at < now - options.max_age for at in times):
            raise Unauthorized("The signature is too old.", reason="expired-credentials")
        if any(at > now + options.clock_skew for at in times):
            raise Unauthorized("The signature is from the future; check the clock.", reason="expired-credentials")
        if claim.expires is not None and claim.expires < now - options.clock_skew:
            raise Unauthorized("The signature has expired.", reason="expired-credentials")

    async def _check_body(self, claim: Claim, exchange: Exchange) -> None:
        body = exchange.request.body
        covered = [name for name in _DIGESTS if name in claim.covered]
        if not covered and (body.empty or self.options.body == "unprotected"):
            return
        data = await body.read()
        if not covered and data:
            raise Unauthorized("The signature does not cover a digest of the body.", reason="insufficient-signature")
        for name in covered:
            if not holds(name, exchange.request.headers, data):
                raise Unauthorized(f"The header {name} does not fit the body.", reason="wrong-digest")


def _headers(request: Request) -> Headers:
    """Return the headers with the host that the call is for, should the request line name another than Host does."""
    if request.headers.get("host") == request.host or not request.host:
        return request.headers
    headers = request.headers.copy()
    headers.set("host", request.host)
    return headers


def _plain(found: rfc9421.Component) -> str:
    """Write a component without parameters as its name, so that ``date;sf`` does not pass for ``date``."""
    return found[0] if not found[1] else rfc9421.identifier(found)


def _unix_time(values: list[str]) -> float:
    try:
        (value,) = values
        if _ASCTIME.fullmatch(value):
            value += " GMT"  # which it always means and never says (RFC 9110, 5.6.7)
        found: datetime = parsedate_to_datetime(value[:64])
        if found.tzinfo is None:
            raise ValueError("no time zone")
        return found.timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        raise Unauthorized(
            "The header date is no date of HTTP (RFC 9110, 5.6.7).", reason="malformed-credentials"
        ) from None
