"""Bodies: which are looked into, and how they become values."""

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from hookgate import Headers
from hookgate_interceptor_schema.checking import Check
from hookgate_interceptor_schema.parameters import Parameter, pairs, values_of

FORM = "application/x-www-form-urlencoded"


class Unreadable(Exception):
    """A body that cannot be made a value; the text says why."""


class Unknown(Exception):
    """A body in a coding that is not known; the text says which."""


class TooLong(Exception):
    """A body that is longer than what is looked into."""


class Media(NamedTuple):
    """What bodies of one content type are checked against."""

    pattern: str
    """`application/json`, `application/*+json`, `text/*`, `*/*`, in lower case."""
    check: Check | None = None
    """``None`` for a type that is let through unseen."""
    fields: tuple[Parameter, ...] = ()
    """How the fields of a form are written."""

    def matches(self, media: str) -> bool:
        """Whether a content type is of this kind."""
        if self.pattern in (media, "*/*"):
            return True
        kind, _, rest = self.pattern.partition("/*")
        return "/*" in self.pattern and media.startswith(kind + "/") and media.endswith(rest)

    @property
    def precision(self) -> int:
        """Larger for a pattern that says more."""
        return 0 if self.pattern == "*/*" else 1 if self.pattern.endswith("/*") else 2 if "*" in self.pattern else 3


class Bodies:
    """The content types that a message may have, each with what it is checked against."""

    def __init__(self, medias: Iterable[Media]) -> None:
        self.medias = sorted(medias, key=lambda media: -media.precision)
        self.looks = any(media.check is not None for media in self.medias)
        """Whether any body has to be read."""

    def of(self, headers: Headers) -> Media | None:
        """Find the kind that a message says it is; ``None`` if it is none of them."""
        said = (headers.get("content-type") or "").partition(";")[0].strip().lower()
        return next((media for media in self.medias if media.matches(said)), None)

    def __str__(self) -> str:
        return ", ".join(media.pattern for media in self.medias)


def value_of(media: Media, data: bytes, headers: Headers, longest: int) -> Any:
    """Make a value of a body.

    Raises:
        Unreadable: it is not what its content type says.
        Unknown: its content coding is not known.
        TooLong: it is longer than ``longest`` bytes, as sent or unpacked.
    """
    if len(data) > longest:
        raise TooLong
    data = _unpacked(data, headers, longest)
    said = (headers.get("content-type") or "").partition(";")[0].strip().lower()
    if said == FORM:
        try:
            return values_of(pairs(data.decode()), media.fields, others=True)
        except ValueError:
            raise Unreadable("is no form in UTF-8, or has too many fields") from None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"is not JSON: {error.msg.partition(':')[0]} at line {error.lineno}") from None


def _unpacked(data: bytes, headers: Headers, longest: int) -> bytes:
    for coding in reversed(headers.tokens("content-encoding")):
        if coding == "identity":
            continue
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise Unknown(coding[:40])
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # of both kinds, as their heads say
        try:
            data = unpacker.decompress(data, longest + 1)
        except zlib.error:
            raise Unreadable(f"is not {coding}, as its content coding says") from None
        if len(data) > longest:
            raise TooLong
        if not unpacker.eof or unpacker.unused_data:
            raise Unreadable(f"is not one whole {coding} stream")
    return data


def is_json(media: str) -> bool:
    """Whether a content type is JSON, or stands for types that may be."""
    kind = media.partition(";")[0].strip().lower()
    return kind in ("*/*", "application/*") or kind.endswith(("/json", "+json"))


def encodings(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how the fields of a form are written, where a contract says it."""
    found = content.get("encoding")
    return found if isinstance(found, Mapping) else {}
