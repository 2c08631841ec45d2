"""Recognise callers by the TLS client certificate of their connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from time import time
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hookgate import AuthMethod, ClientCertificate, Exchange, Host, Identity, Options, Unauthorized, hookimpl
from hookgate.workshop import Realm, challenge_of

By = Literal["subject", "common-name", "dns", "email", "uri", "ip", "fingerprint"]

_COMMON_NAME = re.compile(r"(?:^|(?<!\\)[,+])CN=((?:[^\\,+]|\\.)*)", re.DOTALL)
_ESCAPED = re.compile(r"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)


def _caller(value: object) -> object:
    """Let a name alone stand for a caller of whom nothing else is to be said, and nothing for the name itself."""
    if value is None:
        return {}
    return {"subject": value} if isinstance(value, str) else value


def _name(value: str) -> str:
    """Write a distinguished name without the blanks that people put behind commas."""
    return re.sub(r"(?<!\\),\s+", ",", value.strip())


class MutualTlsCaller(Options):
    """One caller and what is known of it."""

    subject: str | None = Field(default=None, min_length=1)
    """Subject of the identity; what the certificate was recognised by unless given."""
    roles: tuple[str, ...] = ()
    """Roles of the caller, for steps further right that ask for them."""
    application: str | None = None
    """The application that calls, for steps that count by application."""


Caller = Annotated[MutualTlsCaller, BeforeValidator(_caller, json_schema_input_type=str | MutualTlsCaller | None)]


class MutualTlsOptions(Options):
    """Options of `mutual-tls` for callers."""

    by: By = "subject"
    """What a caller is recognised by: the whole name of the subject as `CN=orders,O=Example` (RFC 4514), its common
    name, one of its alternative names of a kind, or the SHA-256 fingerprint of the certificate. A common name alone is
    unique only if there is one authority; `dns` and `uri` are what certificates of today have."""
    callers: dict[Annotated[str, Field(min_length=1)], Caller] | None = Field(default=None, min_length=1)
    """Who is let in, by what `by` names: each with a subject, or a mapping with `subject`, `roles` and `application`,
    or nothing. If left out, everybody is who has a certificate of the listener's authorities."""
    issuers: tuple[Annotated[str, AfterValidator(_name)], ...] = ()
    """Names of the authorities that certificates may come from, as `CN=Ours`; any of the listener's if left out."""
    realm: Realm = "hookgate"
    """What the challenge says the certificate is for."""

    @model_validator(mode="after")
    def _comparable(self) -> MutualTlsOptions:
        seen: dict[str, str] = {}
        for key in self.callers or ():
            if self.by == "fingerprint" and not re.fullmatch(r"[0-9a-f]{64}", self.comparable(key)):
                raise ValueError(f"callers: {key!r} is no fingerprint: SHA-256 has 64 hexadecimal digits")
            if (other := seen.setdefault(self.comparable(key), key)) != key:
                raise ValueError(f"callers: {other!r} and {key!r} are the same; leave one out")
        return self

    def comparable(self, value: str) -> str:
        """Return what is compared: hosts and fingerprints without case, names without blanks behind commas."""
        if self.by == "fingerprint":
            return value.replace(":", "").lower()
        if self.by == "subject":
            return _name(value)
        return value.lower() if self.by == "dns" else value


class MutualTls(AuthMethod[MutualTlsOptions]):
    """Recognises callers by the certificate they have shown in TLS, which an authority of the listener has signed.

    The listener must ask for it: `gateway.tls.client_certificates`. Nothing that a client writes in a header counts.
    The claims of the identity are `issuer`, `serial` and `fingerprint`. A certificate that expires while its connection
    stays open is refused from then on.

    There is no scheme for certificates in HTTP, but a 401 needs a challenge (RFC 9110, 11.6.1): it says
    `ClientCertificate realm="hookgate"`.
    """

    def __init__(self, options: MutualTlsOptions) -> None:
        super().__init__(options)
        callers = options.callers
        self._callers = (
            None
            if callers is None
            else {options.comparable(key): (caller.subject or key, caller) for key, caller in callers.items()}
        )
        self._wall: Callable[[], float] = time
        self._challenge = challenge_of("ClientCertificate", options.realm)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the house's clock."""
        self._wall = host.clock.wall

    @hookimpl
    def identify(self, exchange: Exchange) -> Identity | None:
        """Return whose certificate it is, or `None` when none was shown.

        Raises:
            Unauthorized: it is not one of those let in, comes from another authority, or has expired.
        """
        certificate = exchange.request.certificate
        if certificate is None:
            return None
        if self._wall() >= certificate.not_after.timestamp():
            raise Unauthorized("The client certificate has expired.", reason="expired-credentials")
        if self.options.issuers and certificate.issuer not in self.options.issuers:
            raise Unauthorized("The client certificate is of another authority.", reason="wrong-credentials")
        for value in _values(certificate, self.options.by):
            if self._callers is None:
                return self._identity(certificate, value, MutualTlsCaller())
            if (found := self._callers.get(self.options.comparable(value))) is not None:
                return self._identity(certificate, *found)
        raise Unauthorized("The client certificate is none of those let in here.", reason="wrong-credentials")

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for a certificate."""
        return self._challenge

    @staticmethod
    def _identity(certificate: ClientCertificate, subject: str, caller: MutualTlsCaller) -> Identity:
        claims = {
            "issuer": certificate.issuer,
            "serial": certificate.serial,
            "fingerprint": certificate.fingerprint,
        }
        return Identity(subject, "mutual-tls", caller.roles, claims, caller.application)


def _values(certificate: ClientCertificate, by: By) -> Iterable[str]:
    """Walk over what a certificate has of a kind, empty ones left out."""
    if by == "fingerprint":
        return [certificate.fingerprint]
    if by == "subject":
        return [certificate.subject] if certificate.subject else []
    if by == "common-name":
        found = [_ESCAPED.sub(_plain, value) for value in _COMMON_NAME.findall(certificate.subject)]
        return found[:1] if len(found) == 1 and found[0] else []
    return [value for kind, value in certificate.names if kind == by and value]


def _plain(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code, 16)) if len(code) == 2 else code
