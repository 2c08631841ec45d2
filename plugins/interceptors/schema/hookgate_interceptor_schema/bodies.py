"""Bodies: which are looked into, and how they become values."""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import orjson

from hookgate import Headers
from hookgate.workshop import CannotUnpack, CodingUnknown, TooLongUnpacked, unpacked
from hookgate_interceptor_schema.checking import Check
from hookgate_interceptor_schema.parameters import Others, Parameter, Read, pairs, values_of

FORM = "application/x-www-form-urlencoded"
_KIND = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")
_PIECES = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+|^')


class Unreadable(Exception):
    """A body that cannot be made a value; the text says why."""


class Unknown(Exception):
    """A body in a coding that is not known; the text says which."""


class TooLong(Exception):
    """A body that is longer than what is looked into."""


class ContentType(NamedTuple):
    """A content type, taken apart (RFC 9110, 8.3.1)."""

    kind: str
    """`application/json`, `application/*+json`, `text/*`, `*/*`, in lower case; empty where a message says nothing."""
    parameters: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, text: str) -> "ContentType":
        """Take a header apart, or the key of a contract."""
        kind, *rest = _PIECES.findall(text)
        found = {}
        for piece in rest:
            name, _, value = piece.partition("=")
            name, value = name.strip().lower(), value.strip()
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            found[name] = value.lower() if name == "charset" else value
        return cls(kind.strip().lower(), frozenset((name, value) for name, value in found.items() if name))

    @property
    def is_range(self) -> bool:
        """Whether it stands for any type, or for any of one kind: what a body is, only its message says."""
        return self.kind.endswith("/*")

    @property
    def precision(self) -> int:
        """Larger for one that says more."""
        return 0 if self.kind == "*/*" else 1 if self.is_range else 2 if "*" in self.kind else 3

    def covers(self, kind: str) -> bool:
        """Whether a type is of this kind, whatever its parameters."""
        if self.kind in (kind, "*/*"):
            return True
        head, _, tail = self.kind.partition("/*")
        return "/*" in self.kind and kind.startswith(head + "/") and kind.endswith(tail)

    def __str__(self) -> str:
        said = (f'; {name}="{value}"' for name, value in sorted(self.parameters) if name != "charset")
        return self.kind + "".join(said)

    def contradicts(self, other: "ContentType") -> bool:
        """Whether both have a parameter with different values."""
        said = dict(other.parameters)
        return any(name != "charset" and said.get(name, value) != value for name, value in self.parameters)


class Media(NamedTuple):
    """What bodies of one content type are checked against."""

    type: ContentType
    check: Check | None = None
    """``None`` for a type that is let through unseen."""
    fields: tuple[Parameter, ...] = ()
    """How the fields of a form are written."""
    others: Others | None = None
    """How fields are that are not among them."""

    def looks_into(self, kind: str) -> bool:
        """Whether a body of a type is looked into. Of a range these are JSON and forms, and what says nothing."""
        return self.check is not None and (not self.type.is_range or kind in ("", FORM) or is_json(kind))


class Bodies:
    """The content types that a message may have, each with what it is checked against."""

    def __init__(self, medias: Iterable[Media]) -> None:
        by_precision = sorted(medias, key=lambda media: (-media.type.precision, -len(media.type.parameters)))
        self.medias = by_precision
        self._groups = [list(each) for _, each in groupby(by_precision, key=lambda media: media.type.precision)]
        self.looks = any(media.check is not None for media in self.medias)
        """Whether any body has to be read."""

    def of(self, headers: Headers) -> Media | None:
        """Find the kind that a message says it is; ``None`` if it is none of them.

        One whose parameters are all there goes before one with less; one that has more than the message says counts
        where it is the only one of its type.

        Raises:
            BadRequest: the message says it more than once.
        """
        said = ContentType.of(headers.single("content-type") or "")
        if said.kind and not _KIND.fullmatch(said.kind):
            return None  # such as two types with a comma: others may take either of them
        for group in self._groups:
            covering = [media for media in group if media.type.covers(said.kind)]
            for media in covering:
                if media.type.parameters <= said.parameters:
                    return media
            if len({media.type.parameters for media in covering}) == 1 and not covering[0].type.contradicts(said):
                return covering[0]
        return None

    def __str__(self) -> str:
        return ", ".join(dict.fromkeys(str(media.type) for media in self.medias))


def kind_of(headers: Headers) -> str:
    """Return the content type of a message without its parameters; empty if there is none."""
    return (headers.get("content-type") or "").partition(";")[0].strip().lower()


def read(media: Media, data: bytes, headers: Headers, longest: int) -> Read:
    """Make a value of a body.

    Raises:
        Unreadable: it is not what its content type says.
        Unknown: its content coding is not known.
        TooLong: it is longer than ``longest`` bytes, as sent or unpacked.
    """
    if len(data) > longest:
        raise TooLong
    data = _unpacked(data, headers, longest)
    if kind_of(headers) == FORM:
        try:
            found = Read()
            texts = [(name, unquote_plus(text)) for name, text in pairs(data.decode())]
            found.value = values_of(texts, media.fields, others=media.others, into=found)
            return found
        except ValueError:
            raise Unreadable("is no form in UTF-8, or has too many fields") from None
    try:
        found = Read()
        found.value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"is not JSON: {error.msg.partition(':')[0]} at line {error.lineno}") from None
    return found


def _unpacked(data: bytes, headers: Headers, longest: int) -> bytes:
    for coding in reversed(headers.tokens("content-encoding")):
        try:
            data = unpacked(data, coding, longest)
        except CodingUnknown:
            raise Unknown(coding[:40]) from None
        except TooLongUnpacked:
            raise TooLong from None
        except CannotUnpack as error:
            raise Unreadable(str(error).removeprefix("it ")) from None
    return data


def is_json(kind: str) -> bool:
    """Whether a content type is JSON."""
    return kind.endswith(("/json", "+json"))


def encodings(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how the fields of a form are written, where a contract says it."""
    found = content.get("encoding")
    return found if isinstance(found, Mapping) else {}
