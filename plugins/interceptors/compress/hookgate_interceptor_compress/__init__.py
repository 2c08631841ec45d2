"""Compress responses for clients that accept it."""

import re
import zlib
from typing import Annotated

from pydantic import AfterValidator, Field

from hookgate import Body, Exchange, Headers, Interceptor, Options, Response, hookimpl

_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/(?:\*|(?:\*\+)?[a-z0-9!#$&^_.+-]+)")
_WEIGHT = re.compile(r"q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
_WEAK = re.compile(r'(?:^|,)[ \t]*W/("[^"]*")')
_OF_OTHER_BYTES = ("content-length", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges")
"""What an answer without a body says of the one that is not compressed."""
_NEVER = frozenset({204, 205})
"""Statuses without a body."""
_GZIP_WRAPPER = zlib.MAX_WBITS | 16
_ACCEPTED = "compress.accepted"


def _media_type(text: str) -> str:
    if not _TYPE.fullmatch(text.lower()):
        raise ValueError(f"{text!r} is not a media type; write text/html, text/* or application/*+json")
    return text.lower()


class CompressOptions(Options):
    """Options of `compress`."""

    min_size: int = Field(default=1024, ge=0)
    """Bytes from which a body is compressed; small ones hardly shrink. One whose length is not known beforehand is
    compressed whatever it turns out to be."""
    level: int = Field(default=6, ge=1, le=9)
    """From 1, fast, to 9, small."""
    types: tuple[Annotated[str, AfterValidator(_media_type)], ...] = Field(
        default=(
            "text/*",
            "application/json",
            "application/javascript",
            "application/xml",
            "application/problem+json",
            "image/svg+xml",
        ),
        min_length=1,
    )
    """Media types of the bodies that are compressed: exact ones, `text/*` or `application/*+json`. Event streams
    (`text/event-stream`) never are."""


class Compress(Interceptor[CompressOptions]):
    """Compresses response bodies with gzip as they stream, where the client accepts it (RFC 9110, 12.5.3).

    Each chunk of the backend leaves at once, so nothing waits for the next. `Vary: Accept-Encoding` goes on every
    answer that is compressed for some clients. A body that is encoded already, a part of one, and one whose
    `Cache-Control` says `no-transform` pass as they are. `Accept-Ranges` and digests speak of the bytes the backend
    sent and are dropped from what is compressed; `ETag` becomes a weak one, and `If-Match` with a weak one asks the
    backend for the strong one as well. Answers to HEAD, and those with 304, say what the answer to GET would say. A 304
    that tells no type is taken for one of something that would be compressed.

    Place it left of the steps that read or change bodies. An answer that holds both a secret and something the caller
    chose should not be compressed over HTTPS: its length tells about the secret (BREACH).
    """

    category = "transformation"
    sides = {"request"}
    paired = True
    writes = {"response.headers", "response.body", "variables"}

    def __init__(self, options: CompressOptions) -> None:
        super().__init__(options)
        patterns = (re.escape(one).replace(r"\*", r"[^/;\s]+") for one in options.types)
        self._types = re.compile("|".join(patterns))

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Remember what the client accepts, which steps further right may take out."""
        headers = exchange.request.headers
        exchange.variables.setdefault(_ACCEPTED, _accepts_gzip(headers))
        if ours := [tag for line in headers.getall("if-match") for tag in _WEAK.findall(line)]:
            headers.set("If-Match", ", ".join([*headers.getall("if-match"), *ours]))

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Compress the answer, whoever gave it."""
        response = exchange.response
        if response is None or not self._is_fit(response):
            return
        if (
            response.status == 206
        ):  # its range speaks of the bytes the backend has; of Vary it says what the whole would
            _vary(response.headers)
            return
        told_only = exchange.request.method == "HEAD" or response.status == 304
        length = _length(response, told_only=told_only)
        if length is not None and (length == 0 or length < self.options.min_size):
            return
        headers = response.headers
        _vary(headers)
        if not exchange.variables.get(_ACCEPTED):
            return
        tag = headers.get("etag")
        if tag is not None and not tag.startswith("W/"):
            headers.set("ETag", f"W/{tag}")
        if told_only:
            headers.remove(*_OF_OTHER_BYTES)
        if response.status != 304:
            headers.set("Content-Encoding", "gzip")
        if not told_only:
            self._compress(response.body)

    def _is_fit(self, response: Response) -> bool:
        """Whether an answer is one to compress, from what its head says."""
        headers = response.headers
        strange = ("content-range" in headers) != (response.status == 206)
        if response.status in _NEVER or "content-encoding" in headers or strange:
            return False
        media_type = (headers.get("content-type") or "").partition(";")[0].strip().lower()
        if response.status == 304 and not media_type:
            return "no-transform" not in headers.tokens("cache-control")
        if media_type == "text/event-stream" or not self._types.fullmatch(media_type):
            return False
        return "no-transform" not in headers.tokens("cache-control")

    def _compress(self, body: Body) -> None:
        packer = zlib.compressobj(self.options.level, zlib.DEFLATED, _GZIP_WRAPPER)
        if body.replayable:
            body.map(packer.compress, packer.flush)
        else:
            body.map(lambda chunk: packer.compress(chunk) + packer.flush(zlib.Z_SYNC_FLUSH), packer.flush)


def _accepts_gzip(headers: Headers) -> bool:
    """Whether the client takes gzip, and does not like the plain body better. Without the header it gets that one."""
    weights: dict[str, float] = {}
    for member in headers.tokens("accept-encoding"):
        coding, semicolon, parameter = (part.strip() for part in member.partition(";"))
        weight = _WEIGHT.fullmatch(parameter)
        weights[coding] = float(weight[1]) if weight else 0.0 if semicolon else 1.0
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _length(response: Response, *, told_only: bool) -> int | None:
    """The length of the body; for HEAD and 304 that of the body which GET would get."""
    if not told_only:
        return response.body.length
    told = response.headers.get("content-length") or ""
    return int(told) if told.isascii() and told.isdigit() else None


def _vary(headers: Headers) -> None:
    """Add `Accept-Encoding` to `Vary`, in one line with what is there."""
    named = headers.tokens("vary")
    if "accept-encoding" not in named and "*" not in named:
        headers.set("Vary", ", ".join([*headers.getall("vary"), "Accept-Encoding"]))
