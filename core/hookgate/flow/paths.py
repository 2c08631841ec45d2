"""Paths: how a document writes them (templates, destinations) and the one spelling of those that arrive.

A template is one of five kinds, which differ in how they match:

* *exact*, ``/a/b``: this path; slashes at its end do not matter (KC-50).
* *prefix*, ``/a/*``: ``/a`` and everything under it, by whole segments; ``/*`` is every path (KC-50).
* *extension*, ``*.html``: every path whose last segment ends so (KC-50).
* *template*, ``/{state}/{town}``, ``/v{version}/x``, ``/{file}.json``: a variable stands for one character or more,
  never for a slash (KC-51). Of two variables in a segment the left one takes as little as it can. A slash at the end
  counts.
* *catch-all*, ``/orders/{rest...}``: ``/orders`` and everything under it, the rest in a variable, without the slash
  before it; the rest may be empty.
"""

import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Literal
from urllib.parse import quote

from hookgate.exchange.errors import BadRequest

Segment = tuple[str, ...]
"""The literals around the variables of a segment: ``("a",)`` has none, ``("", "")`` is one, ``("v", "")`` is mixed."""

WHOLE: Segment = ("", "")
"""The segment that is one variable and nothing else."""

Kind = Literal["exact", "prefix", "extension", "template", "catch-all"]

_PRECEDENCE: tuple[Kind, ...] = ("exact", "prefix", "extension", "template", "catch-all")

_PLAIN = re.compile(r"/[^%\\?#\x00-\x20\x7f]*")
_NEVER = re.compile(r"[\\?#\x00-\x20\x7f]")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_DOT_SEGMENT = re.compile(r"/\.\.?(?=[/;]|\Z)")
_HIDDEN_DOTS = re.compile(r"(?:/|%2F|%5C)\.\.?(?:%2F|%5C|%3B)|(?:%2F|%5C)\.\.?(?=[/;]|\Z)")
"""Dot segments to whoever decodes before it resolves."""
_UNRESERVED = {f"{ord(letter):02X}": letter for letter in string.ascii_letters + string.digits + "-._~"}

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_CATCH_ALL = re.compile(r"\{([^{}]*)\.\.\.\}")
_NAME = re.compile(r"[A-Za-z0-9_-]+")

_ELSEWHERE = (
    (r"=\s*(/\S*)", "an exact path is written without more: write '{0}'"),
    (r"[a-z]+://[^/]+(/.*)?", "a path has no host: hosts stand in match.host, and here only '{0}'"),
    (r".*\{(\w+):.*", "a variable has no pattern and no type: write {{{0}}}"),
    (r"[\^~].*|.*(?:\.[*+]|\[.*\][*+]).*", "a path is no regular expression: write /a/*, *.html or /a/{{id}}"),
    (r"(/.*)/\*\*", "everything under a path is written '*': write '{0}/*'"),
    (r".*/:(\w+)(?:/.*)?", "':{0}' is no variable: write {{{0}}}"),
    (r".*<(?:\w+:)?(\w+)>.*", "a variable is written in braces: write {{{0}}}"),
)
"""Paths as others write them, and what is to be written here."""


def normalise(path: str) -> str:
    """Give a path the one spelling that routes are matched on and steps see (RFC 3986, 6.2.2).

    Escapes of unreserved characters are decoded, the others get upper-case digits, and dot segments are resolved,
    encoded ones too, so that ``/x/%2e%2e/admin`` is ``/admin`` to everybody. What may mean something else to a backend
    stays as it is: ``%2F``, doubled slashes, the case of letters. An empty path is ``/`` (RFC 9110, 4.2.3).

    Raises:
        BadRequest: no slash at the beginning, a broken escape, ``%00``, a control character, a space, or something that
            makes some backends see another path than the one that was matched: a backslash, ``#``, ``?``, and beside a
            dot segment ``;``, ``%2F``, ``%5C`` or ``%3B``.
    """
    if _PLAIN.fullmatch(path) and "/." not in path:
        return path
    if not path:
        return "/"
    try:
        if not path.startswith("/"):
            raise ValueError("The path does not begin with a slash.")
        path = _respelt(path)
        if _HIDDEN_DOTS.search(path):
            raise ValueError("The path holds a dot segment beside an encoded slash, backslash or semicolon.")
        return _resolved(path) if _DOT_SEGMENT.search(path) else path
    except ValueError as error:
        raise BadRequest(str(error), reason="malformed-path") from None


def as_received(received: str, path: str, cut: int = 0) -> str:
    """Return the spelling in which a path came, where the two differ in that only; else the path.

    Of a target whose dot segments were resolved, or that is spelt otherwise in the first ``cut`` characters, and of a
    path that a step has changed, nothing is left to keep.
    """
    came = received.partition("?")[0]
    return came if came[:cut] == path[:cut] and _respelt(came) == path else path


def _respelt(text: str) -> str:
    """Decode escapes of unreserved characters, upper-case the others; raise ``ValueError`` for what no path holds."""
    if wrong := _NEVER.search(text):
        raise ValueError(f"The path holds the character {wrong[0]!r}, which is written %{ord(wrong[0]):02X} in a path.")
    return _ESCAPE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    if match[1] is None:
        raise ValueError("The path holds a '%' without two hexadecimal digits after it; a plain one is written %25.")
    digits = match[1].upper()
    if digits == "00":
        raise ValueError("The path holds %00, which no path may.")
    return _UNRESERVED.get(digits, "%" + digits)


def _resolved(path: str) -> str:
    """Remove dot segments (RFC 3986, 5.2.4). One with a ``;`` after it is refused: some backends resolve it as well."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment.startswith((".;", "..;")):
            raise ValueError("The path holds a dot segment with parameters.")
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


@dataclass(frozen=True, slots=True)
class Template:
    """The path of a route, taken apart. Made by :func:`parse`."""

    kind: Kind
    segments: tuple[Segment, ...]
    """Without the ``*`` of a prefix and the variable of a catch-all; an extension is one literal, its dot included."""
    names: tuple[str, ...]
    """The variables, in order."""

    @property
    def shape(self) -> tuple[Kind, tuple[Segment, ...]]:
        """What the template matches: two templates that differ only in the names of variables have the same shape."""
        return self.kind, self.segments

    @property
    def rank(self) -> tuple[int, int, int]:
        """Smaller for what is tried earlier: by kind, then most literal segments, then most literal characters."""
        literal_segments = sum(len(segment) == 1 for segment in self.segments)
        literal_characters = sum(len(literal) for segment in self.segments for literal in segment)
        return _PRECEDENCE.index(self.kind), -literal_segments, -literal_characters


@lru_cache(maxsize=32768)
def parse(text: str) -> Template:
    """Take the path of a route apart.

    Raises:
        ValueError: it is none of the five kinds; the message says what is wrong and what would be right.
    """
    for foreign, words in _ELSEWHERE:
        if (known := re.fullmatch(foreign, text, re.IGNORECASE)) is not None:
            raise ValueError(words.format(*(each or "/" for each in known.groups())))
    if text.startswith("*"):
        literals, names = _pieces(text[1:])
        if names or not re.fullmatch(r"\.[^/]+", literals[0]):
            raise ValueError("after '*' comes an extension and nothing else, as in '*.html'; every path is '/*'")
        return Template("extension", (tuple(literals),), ())
    if not text.startswith("/"):
        raise ValueError(f"a path begins with '/': write '/{text}'")
    kind: Kind = "template"
    parts = text.split("/")[1:]
    tail: list[str] = []
    if parts[-1] == "*":
        kind = "prefix"
        parts.pop()
    elif rest := _CATCH_ALL.fullmatch(parts[-1]):
        kind = "catch-all"
        parts.pop()
        tail.append(_checked_name(rest[1]))
    segments: list[Segment] = []
    names = []
    for part in parts:
        literals, found = _pieces(part)
        if "" in literals[1:-1]:
            raise ValueError(f"two variables touch in {part!r}; put a character between them")
        segments.append(tuple(literals))
        names += found
    if kind == "prefix" and names:
        raise ValueError("'*' does not go with variables; write '{rest...}' in its place")
    names += tail
    _refuse_dots(segments)
    _refuse_repetition(names)
    if kind == "template" and not names:
        kind = "exact"
        while segments and segments[-1] == ("",):
            segments.pop()
    return Template(kind, tuple(segments), tuple(names))


def take(segment: Segment, text: str) -> tuple[str, ...] | None:
    """Return what the variables of a segment stand for in ``text``, or ``None`` where it does not match.

    No regular expression on purpose: with several variables it takes time by a power of the length of what was sent.
    """
    first, *between, last = segment
    if not (text.startswith(first) and text.endswith(last)):
        return None
    start, end = len(first), len(text) - len(last)
    values = []
    for literal in between:
        found = text.find(literal, start + 1, end)
        if found < 0:
            return None
        values.append(text[start:found])
        start = found + len(literal)
    return None if start >= end else (*values, text[start:end])


def asked(text: str) -> tuple[str, str]:
    """Take the path of a destination apart, ``GET /path``: the method, empty where none is named, and the path."""
    method, _, path = text.partition(" ")
    return (method.upper(), path.lstrip()) if path and method.isalpha() and method.isascii() else ("", text)


def compile_destination(
    template: str, names: Sequence[str], mode: Literal["positional", "by_name"]
) -> Callable[[Mapping[str, str]], str]:
    """Compile the path of a destination to a function of the path parameters of a call (FL-18 to FL-21).

    ``names`` are the parameters of the route, in order. ``positional``: the k-th distinct name of the destination
    stands for the k-th received value, whatever the names are, and a name seen before repeats its value; surplus values
    are dropped (FL-20). ``by_name``: a name stands for the parameter of that name (FL-21). Values go in as they are in
    ``exchange.params``: percent-encoded.

    The function raises :class:`BadRequest` when the values make a dot segment (``/{a}`` with ``..``), which the backend
    would resolve to a path that nobody has matched.

    Raises:
        ValueError: the destination is not a path, or wants a parameter that the route does not have.
    """
    if not template.startswith("/"):
        raise ValueError(f"the path of a destination begins with '/': write '/{template}'")
    literals, variables = _pieces(template)
    _refuse_dots(_pieces(part)[0] for part in template.split("/"))
    wanted = list(dict.fromkeys(variables))
    received = ", ".join(names) or "none"
    if mode == "by_name":
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise ValueError(f"the route has no path parameter {{{unknown[0]}}}; it has: {received}")
        source = {name: name for name in wanted}
    else:
        if len(wanted) > len(names):
            raise ValueError(
                f"the destination wants {len(wanted)} path parameters ({', '.join(wanted)}) "
                f"and the route has {len(names)} ({received}); a repeated name repeats its value"
            )
        source = dict(zip(wanted, names, strict=False))
    if not variables:
        return lambda _: literals[0]
    values = itemgetter(*(source[name] for name in variables))
    pattern = "%s".join(literal.replace("%", "%%") for literal in literals)

    def destination(parameters: Mapping[str, str]) -> str:
        path: str = pattern % values(parameters)
        if "/." in path and _DOT_SEGMENT.search(path):
            raise BadRequest("A path parameter makes a dot segment.", reason="malformed-path")
        return path

    return destination


def _pieces(text: str) -> tuple[list[str], list[str]]:
    """Split into the literals around the variables (one more than there are of these) and their names, both checked."""
    pieces = _VARIABLE.split(text)
    return [_checked_literal(piece) for piece in pieces[::2]], [_checked_name(piece) for piece in pieces[1::2]]


def _checked_literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(f"a brace without its partner in {text!r}; a variable is written {{id}}")
    if "*" in text:
        raise ValueError("'*' stands only for the end of a route's path ('/a/*') or before an extension ('*.html')")
    if "?" in text or "#" in text:
        raise ValueError("a path has no query and no fragment; a route asks for a query in `when`")
    if not text.isascii():
        raise ValueError(f"{text!r} is not how it arrives; write it percent-encoded: {quote(text, safe='/%')!r}")
    return _respelt(text)


def _checked_name(name: str) -> str:
    if name.endswith("..."):
        raise ValueError(
            f"'{{{name}}}' can only be the whole last segment of a route's path; elsewhere write {{{name[:-3]}}}"
        )
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"'{{{name}}}' is not a variable: a name is made of letters, digits, '-' and '_', as in {{id}}, "
            "and the rest of a path is {rest...}"
        )
    return name


def _refuse_dots(segments: Iterable[Sequence[str]]) -> None:
    if any(segment[0] in {".", ".."} for segment in segments if len(segment) == 1):
        raise ValueError("the segments '.' and '..' never arrive in a path; write the path without them")


def _refuse_repetition(names: Sequence[str]) -> None:
    repeated = [name for index, name in enumerate(names) if name in names[:index]]
    if repeated:
        raise ValueError(f"the variable {{{repeated[0]}}} stands twice; give each its own name")
