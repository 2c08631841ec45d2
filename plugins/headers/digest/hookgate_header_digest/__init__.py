"""A digest of the body for a header action (RFC 3230, RFC 9530)."""

import hashlib
from base64 import b64encode
from typing import Literal

from hookgate import Exchange, HeaderProvider, Options, Outbound, hookimpl


class DigestOptions(Options):
    """Options of `digest`."""

    algorithm: Literal["sha-256", "sha-512"] = "sha-256"
    """The hash function."""
    format: Literal["digest", "content-digest"] = "digest"
    """How it is written: `digest` for the header `Digest`, `SHA-256=…` (RFC 3230), or `content-digest` for the headers
    `Content-Digest` and `Repr-Digest`, `sha-256=:…:` (RFC 9530). Which header it goes to, the action says."""


class Digest(HeaderProvider[DigestOptions]):
    """Gives the digest of the body as it goes out, after all that the steps of the flow have made of it (AC-22).

    A call without a body has the digest of no bytes. The whole body is kept before the backend is called, so a call
    with more than `limits.buffered_body` bytes is answered with 413.
    """

    reads = {"request.body"}

    def __init__(self, options: DigestOptions) -> None:
        super().__init__(options)
        self._hash = options.algorithm.replace("-", "")
        self._form = "{}=:{}:" if options.format == "content-digest" else "{}={}"
        self._name = options.algorithm if options.format == "content-digest" else options.algorithm.upper()

    @hookimpl
    def value(self, exchange: Exchange, outbound: Outbound) -> str:
        """Return the digest of the body of this attempt."""
        digest = hashlib.new(self._hash, outbound.body.data, usedforsecurity=True).digest()
        return self._form.format(self._name, b64encode(digest).decode())
