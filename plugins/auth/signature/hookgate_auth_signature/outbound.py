"""How a backend is called with a signature."""

import secrets
import time
from email.utils import formatdate
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import http_sf
from pydantic import AfterValidator, Field, model_validator

from hookgate import BadGateway, Credential, Exchange, Headers, Host, Options, Outbound, Secret, WholeSeconds, hookimpl
from hookgate.workshop import HeaderName, Prefix, drop_received
from hookgate_auth_signature import cavage, rfc9421
from hookgate_auth_signature.digests import DigestAlgorithm, digest_value, holds
from hookgate_auth_signature.keys import Algorithm, Encoding, Key, Standard, check_algorithm, private_key, secret_key

ONLY_CAVAGE = ("signed_headers", "request_target", "prefix", "header")
ONLY_RFC9421 = ("components", "label", "created", "nonce", "tag")


def quotable(text: str) -> str:
    """Return text that can stand in quotation marks. Raises ValueError for anything else."""
    if not (text.isascii() and text.isprintable()) or '"' in text or "\\" in text or not text:
        raise ValueError("write printable ASCII without quotation marks and backslashes")
    return text


def _label(text: str) -> str:
    try:
        http_sf.ser({text: 1})
    except ValueError:
        raise ValueError(f"{text!r} is no label; write lower-case letters, digits, - and _ (RFC 9651)") from None
    return text


def _target(text: str) -> str:
    """Take path and query out of the URL that is written."""
    url = urlsplit(text)
    if not (text.isascii() and text.isprintable()) or " " in text or not (url.path.startswith("/") or url.netloc):
        raise ValueError(f"{text!r} is no URL and no path; write /path?query or https://host/path?query")
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


CoveredName = Annotated[str, AfterValidator(cavage.covered_name)]
ComponentName = Annotated[str, AfterValidator(lambda text: rfc9421.identifier(rfc9421.component(text)))]


class SignatureCredentialOptions(Options):
    """Options of `signature` towards a backend."""

    algorithm: Algorithm
    """How to sign (AC-18). RFC 9421 has `hmac-sha256`, `rsa-pss-sha512`, `rsa-v1_5-sha256`, `ecdsa-p256-sha256`,
    `ecdsa-p384-sha384` and `ed25519`; the others are for `cavage`."""
    key: Secret
    """The shared secret of an HMAC algorithm, or a private key in PEM."""
    key_encoding: Encoding = "text"
    """What a shared secret is: the `text` itself, or bytes in `base64`."""
    key_password: Secret | None = None
    """What a private key is encrypted with, if it is."""
    key_id: Annotated[str, AfterValidator(quotable)] | None = None
    """Tells the backend which key this is; the name of the connection unless given (X8)."""
    standard: Standard = "cavage"
    """`cavage` is draft-cavage-http-signatures-12, `rfc9421` is RFC 9421."""
    announce: Literal["algorithm", "hs2019", "nothing"] | None = None
    """What the message says of the algorithm. By default its name with `cavage`, and nothing with `rfc9421`."""
    allow_weak: bool = False
    """Whether algorithms with SHA-1 may be used."""
    digest: DigestAlgorithm | Literal["none"] = "sha-256"
    """Algorithm of the `Digest` (`cavage`) or `Content-Digest` (`rfc9421`) that is added for a body and signed with the
    rest; `none` leaves bodies without the protection of the signature."""
    expires: Annotated[WholeSeconds, Field(gt=0)] | None = None
    """Seconds from signing until the backend shall no longer take the message; with `cavage` list `(expires)` too."""

    signed_headers: tuple[CoveredName, ...] | None = Field(default=None, min_length=1, max_length=cavage.MOST_NAMES)
    """With `cavage`, what is signed, in this order (AC-26). By default `(request-target) host date`, and with a body
    `digest content-length`. `date` and `digest` are added to the message if they
    are listed and missing; without any other one that is listed the call fails."""
    request_target: Annotated[str, AfterValidator(_target)] | None = None
    """With `cavage`, the URL or path that is signed as `(request-target)` in place of the real one (AC-18), for a
    backend behind something that changes paths."""
    prefix: Prefix = "Signature"
    """With `cavage`, the word in the place of the scheme; empty for none."""
    header: HeaderName = "Authorization"
    """With `cavage`, the header that carries the signature. RFC 9421 has `Signature` and `Signature-Input`."""

    components: tuple[ComponentName, ...] | None = Field(default=None, max_length=rfc9421.MOST_COMPONENTS)
    """With `rfc9421`, what is signed, in this order: `@method`, `content-type`, `"@query-param";name="id"`. By default
    `@method @authority @path @query`, and with a body `content-digest` and, where there is one, `content-type`."""
    label: Annotated[str, AfterValidator(_label)] = "sig1"
    """With `rfc9421`, the name of the signature in the message."""
    created: bool = True
    """With `rfc9421`, whether the message says when it was signed."""
    nonce: bool = False
    """With `rfc9421`, whether each message gets 128 random bits of its own."""
    tag: Annotated[str, AfterValidator(quotable)] | None = None
    """With `rfc9421`, the application the signature is for."""

    @model_validator(mode="after")
    def _fit_together(self) -> "SignatureCredentialOptions":
        check_algorithm(self.algorithm, self.standard, allow_weak=self.allow_weak)
        foreign = ONLY_RFC9421 if self.standard == "cavage" else ONLY_CAVAGE
        for name in foreign:
            if name in self.model_fields_set:
                raise ValueError(f"{name} is not for the standard {self.standard}; take it out or change the standard")
        listed = self.signed_headers or ()
        if len(set(listed)) != len(listed):
            raise ValueError("signed_headers: a header is listed twice")
        if len(set(self.components or ())) != len(self.components or ()):
            raise ValueError("components: a component is listed twice")
        if self.header.lower() in listed:
            raise ValueError(f"signed_headers: the signature itself goes into {self.header}, so it cannot be signed")
        if {'"signature"', '"signature-input"'} & set(self.components or ()):
            raise ValueError('components: the signature changes this header; sign another one as "signature";key="…"')
        if "(expires)" in listed and self.expires is None:
            raise ValueError("signed_headers: (expires) is listed; say in `expires` after how many seconds")
        if self.standard == "cavage" and self.expires is not None and "(expires)" not in listed:
            raise ValueError("expires: an end that is not signed protects nothing; list (expires) in signed_headers")
        said = self.algorithm if self.announce in (None, "algorithm") else ""
        if {"(created)", "(expires)"} & set(listed) and said.startswith(("hmac", "rsa", "ecdsa")):
            raise ValueError("signed_headers: (created) and (expires) need announce: hs2019 (draft-cavage-12, 2.1.4)")
        if self.standard == "rfc9421" and self.announce == "hs2019":
            raise ValueError("announce: hs2019 is a name of draft-cavage; write algorithm or nothing")
        load_key(self)
        return self


def load_key(options: SignatureCredentialOptions) -> Key:
    """Return the key of the options. Raises ValueError if it is none for the algorithm."""
    if options.algorithm.startswith("hmac"):
        return secret_key(options.algorithm, options.key.reveal(), options.key_encoding)
    password = options.key_password
    return private_key(options.algorithm, options.key.reveal(), None if password is None else password.reveal())


class SignatureCredential(Credential[SignatureCredentialOptions]):
    """Signs what goes to the backend, so that it can tell who sent it and that nobody has changed it.

    It signs what header actions and other credentials wrote, so it stands last (AC-15). Signatures of the caller are
    taken out; a digest that does not fit the body that is sent is replaced. An RSA signature takes about a millisecond
    of the gateway's time, the others a few microseconds.
    """

    signs_message = True

    def __init__(self, options: SignatureCredentialOptions) -> None:
        super().__init__(options)
        self._key = load_key(options)
        self._wall = time.time
        components = None if options.components is None else tuple(map(rfc9421.component, options.components))
        self._components = components
        if options.standard == "cavage":
            self._digest_name = "digest"
            self._carriers: tuple[str, ...] = (options.header,)
            listed: tuple[str, ...] | None = options.signed_headers
        else:
            self._digest_name, self._carriers = "content-digest", ("Signature-Input", "Signature")
            listed = None if components is None else tuple(name for name, _ in components)
        self._digests_always = options.digest != "none" and listed is not None and self._digest_name in listed
        self._digests_bodies = options.digest != "none" and listed is None
        self.reads = frozenset({"request.body"} if self._digests_always or self._digests_bodies else ())

    @property
    def header(self) -> str:
        """The header it writes: `Signature` with RFC 9421."""
        return self._carriers[-1]

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the clock of the house."""
        self._wall = host.clock.wall

    @hookimpl
    def sign(self, exchange: Exchange, outbound: Outbound) -> None:
        """Add the signature, and what it covers where that is the gateway's to add.

        Raises:
            BadGateway: with reason `signature-failed`, when something that is to be signed is missing.
        """
        for name in self._carriers:
            drop_received(exchange, outbound, name)
        with_body = self._add_digest(outbound)
        try:
            if self.options.standard == "cavage":
                self._sign_cavage(outbound, with_body)
            else:
                self._sign_rfc9421(outbound, with_body)
        except (cavage.Missing, rfc9421.Missing) as missing:
            raise _failed(f"the signature for this connection covers {missing}, which is missing") from None

    def _add_digest(self, outbound: Outbound) -> bool:
        """Write the digest where one is wanted; return whether there is a body."""
        body = outbound.body
        with_body = not body.empty
        if self._digests_always or (self._digests_bodies and with_body):
            name, algorithm = self._digest_name, self.options.digest
            if not holds(name, outbound.headers, body.data):
                outbound.headers.set(name.title(), digest_value(name, algorithm, body.data))  # type: ignore[arg-type]
        return with_body

    def _sign_cavage(self, outbound: Outbound, with_body: bool) -> None:
        options, headers = self.options, outbound.headers
        covered = options.signed_headers or self._default_headers(outbound, with_body)
        now = int(self._wall())
        if "date" in covered and "date" not in headers:
            headers.add("Date", formatdate(now, usegmt=True))
        target = options.request_target or _sent_target(outbound)
        created = now if "(created)" in covered else None
        expires = now + options.expires if options.expires is not None else None
        framed = _framed(outbound)
        text = cavage.signing_string(
            covered, method=outbound.method, target=target, headers=framed, created=created, expires=expires
        )
        said = {"hs2019": "hs2019", "nothing": ""}.get(options.announce or "algorithm", options.algorithm)
        assert self._key.sign is not None
        parameters = cavage.Parameters(self._key_id(outbound), self._key.sign(text), covered, said, created, expires)
        headers.add(options.header, cavage.header_value(parameters, options.prefix))

    def _default_headers(self, outbound: Outbound, with_body: bool) -> tuple[str, ...]:
        covered = ["(request-target)", "host", "date"]
        if with_body:
            covered += [name for name in ("digest", "content-length") if name in _framed(outbound)]
        return tuple(covered)

    def _sign_rfc9421(self, outbound: Outbound, with_body: bool) -> None:
        options, headers = self.options, outbound.headers
        components = self._components
        if components is None:
            names = ["@method", "@authority", "@path", "@query"]
            if with_body:
                names += [name for name in ("content-digest", "content-type") if name in headers]
            components = tuple((name, {}) for name in names)
        elif ("date", {}) in components and "date" not in headers:
            headers.add("Date", formatdate(self._wall(), usegmt=True))
        parameters = self._parameters(outbound)
        text = rfc9421.signature_base(_message(outbound), components, parameters)
        assert self._key.sign is not None
        written = rfc9421.signature_params(components, parameters)
        self._refuse_second(headers)
        headers.add("Signature-Input", f"{options.label}={written}")
        headers.add("Signature", http_sf.ser({options.label: self._key.sign(text)}))

    def _refuse_second(self, headers: Headers) -> None:
        """Keep two signatures from having one name, of which a verifier would see the last only."""
        try:
            taken = {signed.label for signed in rfc9421.signatures(headers)}
        except rfc9421.Malformed:
            taken = {self.options.label}
        if self.options.label in taken:
            raise _failed(f"it has a signature with the label {self.options.label} already")

    def _key_id(self, outbound: Outbound) -> str:
        if self.options.key_id is not None:
            return self.options.key_id
        try:
            return quotable(outbound.connection)
        except ValueError:
            raise _failed(
                "the name of the connection cannot be a key id; its signature needs the option key_id"
            ) from None

    def _parameters(self, outbound: Outbound) -> dict[str, Any]:
        options, now = self.options, int(self._wall())
        parameters: dict[str, Any] = {}
        if options.created:
            parameters["created"] = now
        if options.expires is not None:
            parameters["expires"] = now + options.expires
        parameters["keyid"] = self._key_id(outbound)
        if options.announce == "algorithm":
            parameters["alg"] = options.algorithm
        if options.nonce:
            parameters["nonce"] = secrets.token_urlsafe(16)
        if options.tag is not None:
            parameters["tag"] = options.tag
        return parameters


def _failed(why: str) -> BadGateway:
    return BadGateway(f"The call was not sent: {why}.", reason="signature-failed")


def _sent_target(outbound: Outbound) -> str:
    return f"{outbound.path}?{outbound.query}" if outbound.query else outbound.path


def _message(outbound: Outbound) -> rfc9421.Message:
    authority = outbound.headers.get("host") or outbound.target.authority
    scheme = outbound.target.scheme
    return rfc9421.Message(outbound.method, scheme, authority, outbound.path, outbound.query or None, _framed(outbound))


def _framed(outbound: Outbound) -> Headers:
    """Return the headers with the length that transports write for a body that came in chunks and is held now."""
    headers, length = outbound.headers, outbound.body.length
    if not length or "content-length" in headers:
        return headers
    headers = headers.copy()
    headers.set("Content-Length", str(length))
    return headers
