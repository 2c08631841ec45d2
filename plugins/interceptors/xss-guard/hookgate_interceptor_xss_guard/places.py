"""What of a message is looked at: bodies taken apart where some of it is not."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote_plus

FORM = "application/x-www-form-urlencoded"
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE)
_READABLE = re.compile(
    r"utf-?8|(?:us-)?ascii|iso-?8859-?\d{1,2}|latin-?1|windows-?125\d|utf-?16(?:le|be)?|utf-?32(?:le|be)?|",
    re.IGNORECASE,
)
_RUN = re.compile(
    r"text/(?:html|css|(?:x-)?(?:java|ecma)script)|image/svg\+xml|application/(?:xhtml\+xml|(?:x-)?(?:java|ecma)script)"
)
_DEEPEST = 200


def kind_of(content_type: str) -> str:
    """Return a content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_run(kind: str) -> bool:
    """Whether bodies of a type are there to be run by a browser."""
    return _RUN.fullmatch(kind) is not None


def readable(content_type: str) -> bool:
    """Whether a body is in a charset in which the characters of ASCII have their numbers, also with zeros between."""
    return all(_READABLE.fullmatch(charset) for charset in _CHARSET.findall(content_type))


def parts(data: bytes, kind: str, skip: Sequence[tuple[str, ...]]) -> Iterator[bytes]:
    """Walk over what is looked at of a body: all of it, or what is left where members are skipped.

    What cannot be taken apart is looked at whole.
    """
    if kind == FORM:
        names = {each[0] for each in skip if len(each) == 1}
        for name, value in pairs(data.decode("latin-1")):
            yield name
            if unquote_plus(name.decode("latin-1")) not in names:
                yield value
        return
    found = _json(data) if skip else None
    if found is None:
        yield data
        return
    try:
        yield from _left(found, [list(each) for each in skip], 0)
    except _TooDeepError:
        yield data


def pairs(text: str) -> Iterator[tuple[bytes, bytes]]:
    """Walk over names and values of a query or form, encoded as they came."""
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        yield name.encode("latin-1"), value.encode("latin-1")


class _Members(list[tuple[str, Any]]):
    """An object of JSON, with every member that it says more than once."""


class _TooDeepError(Exception):
    """More levels than anybody needs."""


def _json(data: bytes) -> Any:
    try:
        return json.loads(data, object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        return None


def _left(value: Any, skip: list[list[str]], depth: int) -> Iterator[bytes]:
    if depth > _DEEPEST:
        raise _TooDeepError
    if isinstance(value, _Members):
        for name, member in value:
            yield name.encode("utf-8", "surrogatepass")
            yield from _member(name, member, skip, depth)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _member(str(index), member, skip, depth)
    elif isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")


def _member(name: str, member: Any, skip: list[list[str]], depth: int) -> Iterator[bytes]:
    inside = [each[1:] for each in skip if each[0] in ("*", name)]
    if [] not in inside:
        yield from _left(member, inside, depth + 1)
