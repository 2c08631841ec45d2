"""The credential that signs with AWS Signature Version 4."""

import hashlib
import hmac
import time
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from hookgate import BadGateway, Credential, Exchange, Headers, Host, Options, Outbound, Secret, hookimpl
from hookgate.workshop import drop_received
from hookgate_auth_aws_sigv4.sigv4 import ALGORITHM, UNSIGNED, canonical_request, signing_key, string_to_sign

_S3 = frozenset({"s3", "s3express", "s3-object-lambda", "s3-outposts"})
_OURS = ("x-amz-date", "x-amz-content-sha256", "x-amz-security-token")
_ALWAYS = frozenset({"host", "content-type", "content-md5"})
_NEVER = frozenset({"authorization", "connection", "content-length", "transfer-encoding", "expect", "user-agent"})
"""What is written or changed after signing."""


def _lower(name: str) -> str:
    Headers({name: ""})
    return name.lower()


def _signable(name: str) -> str:
    if (lower := _lower(name)) in _NEVER:
        raise ValueError(f"{name} is written or changed after the signature, so it cannot be signed")
    return lower


def _filled(secret: Secret) -> Secret:
    if not secret:
        raise ValueError("it is empty; write one")
    return secret


class AwsSigV4CredentialOptions(Options):
    """Options of `aws-sigv4` towards a backend."""

    region: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    """Region, such as `eu-central-1`."""
    service: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    """Name of the service in signatures, such as `s3`, `execute-api`, `lambda`, `es` or `dynamodb`."""
    access_key: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")
    """Id of the access key; it is sent with each call and no secret."""
    secret_key: Annotated[Secret, AfterValidator(_filled)]
    """The secret access key."""
    session_token: Annotated[Secret, AfterValidator(_filled)] | None = None
    """The session token that belongs to temporary keys."""
    payload: Literal["sign", "unsigned"] = "sign"
    """`sign` reads the body whole and signs its SHA-256. `unsigned` lets it stream, which S3 takes over https only."""
    s3: bool | None = None
    """Whether paths are signed by the rules of S3, for services that speak its protocol under another name. By default
    for the services `s3`, `s3express`, `s3-object-lambda` and `s3-outposts`."""
    signed_headers: tuple[Annotated[str, AfterValidator(_signable)], ...] = Field(default=(), max_length=64)
    """Headers to sign beside `Host`, `Content-Type`, `Content-MD5` and all of `X-Amz-…`; without one of these the call
    fails."""
    caller_headers: tuple[Annotated[str, AfterValidator(str.lower)], ...] = Field(default=(), max_length=64)
    """Which `X-Amz-…` headers of callers are passed on and signed: names such as `x-amz-target`, or `x-amz-meta-*`. All
    others are taken out, since a caller could do with them what only the gateway may do (`X-Amz-Copy-Source` reads any
    object). What header actions write is not touched."""

    @field_validator("session_token")
    @classmethod
    def _fit_into_a_header(cls, token: Secret | None) -> Secret | None:
        if token is not None and not (token.reveal().isascii() and token.reveal().isprintable()):
            raise ValueError("a session token is printable ASCII text")
        return token


class AwsSigV4Credential(Credential[AwsSigV4CredentialOptions]):
    """Signs calls with AWS Signature Version 4, for Amazon Web Services and whatever else takes it.

    It signs what header actions and other credentials wrote, so it stands last (AC-15). `Authorization`, the date and
    the token that a caller sent are taken out. The clock must be right to five minutes.
    """

    signs_message = True

    def __init__(self, options: AwsSigV4CredentialOptions) -> None:
        super().__init__(options)
        self._s3 = options.service in _S3 if options.s3 is None else options.s3
        self._wall = time.time
        self._key = ("", b"")
        if options.payload == "sign":
            self.reads = frozenset({"request.body"})

    @property
    def header(self) -> str:
        """It writes `Authorization`."""
        return "Authorization"

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the clock of the house."""
        self._wall = host.clock.wall

    @hookimpl
    def sign(self, exchange: Exchange, outbound: Outbound) -> None:
        """Add the date, the token and the signature.

        Raises:
            BadGateway: with reason `signature-failed`, when a header that is to be signed is missing.
        """
        options, headers = self.options, outbound.headers
        self._drop_what_callers_sent(exchange, outbound)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._wall()))
        payload = hashlib.sha256(outbound.body.data).hexdigest() if options.payload == "sign" else UNSIGNED
        headers.set("X-Amz-Date", stamp)
        if options.session_token is not None:
            headers.set("X-Amz-Security-Token", options.session_token.reveal())
        if self._s3 or payload == UNSIGNED:
            headers.set("X-Amz-Content-Sha256", payload)
        signed = self._signed(headers)
        scope = f"{stamp[:8]}/{options.region}/{options.service}/aws4_request"
        request = canonical_request(
            outbound.method, outbound.path, outbound.query, headers, signed, payload, s3=self._s3
        )
        signature = hmac.digest(self._key_of(stamp[:8]), string_to_sign(request, stamp, scope), "sha256").hex()
        headers.add(
            "Authorization",
            f"{ALGORITHM} Credential={options.access_key}/{scope}, "
            f"SignedHeaders={';'.join(signed)}, Signature={signature}",
        )

    def _drop_what_callers_sent(self, exchange: Exchange, outbound: Outbound) -> None:
        outbound.headers.remove(*_OURS)
        for name in outbound.headers:
            allowed = any(fnmatchcase(name, pattern) for pattern in self.options.caller_headers)
            if name == "authorization" or (name.startswith("x-amz-") and not allowed):
                drop_received(exchange, outbound, name)

    def _signed(self, headers: Headers) -> list[str]:
        names = {name for name in headers if name in _ALWAYS or name.startswith("x-amz-")}
        for name in self.options.signed_headers:
            if name not in headers:
                raise BadGateway(
                    f"The call was not sent: the signature for this connection covers {name}, which is missing.",
                    reason="signature-failed",
                )
            names.add(name)
        return sorted(names)

    def _key_of(self, day: str) -> bytes:
        if self._key[0] != day:
            secret = self.options.secret_key.reveal()
            self._key = (day, signing_key(secret, day, self.options.region, self.options.service))
        return self._key[1]
