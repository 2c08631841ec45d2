"""YAML as YAML 1.2 has it, read with libyaml: JSON's types and nothing else, and every value with its place.

``no``, ``yes``, ``on`` and ``off`` are strings, ``012`` is twelve, ``0o14`` too, and dates are strings (YAML 1.2.2,
10.3, the core schema). Merge keys (``<<``) are understood. A key is always a string, as written, so that YAML, JSON and
TOML make the same document.

Everything is built from libyaml's events, scalars without a node of their own: PyYAML's composer asks a resolver in
Python for every scalar, which takes three times as long, and it recurses in C, where a deep document ends the process.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

import yaml

from hookgate.exchange.errors import ConfigError, Path, Problem

MAX_NODES = 2_000_000
"""Values in a document, each use of an anchor counted with all that is in it."""
MAX_DEPTH = 100
"""Lists and mappings inside each other."""

_TAG = "tag:yaml.org,2002:"
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (float, int), "bool": (bool,), "null": (type(None),)}
_MAY_BE_NO_STRING = frozenset("-+.0123456789~nNtTfF")

_PLAIN_WORDS = {
    "mapping values are not allowed in this context": (
        "a ':' does not fit here; check the indentation, and quote a value that holds ': '"
    ),
    "did not find expected key": "this line does not fit those above; check the indentation",
    "did not find expected '-' indicator": "this line does not fit the list above; check the indentation",
    "did not find expected ',' or ']'": "a ',' or ']' is missing before this",
    "did not find expected ',' or '}'": "a ',' or '}' is missing before this",
    "did not find expected node content": "a value is missing before this",
    "found unexpected end of stream": "the document ends inside a quoted value",
    "found unknown escape character": "this escape is not known; in single quotes a backslash is just a backslash",
    "could not find expected ':'": "a ':' is missing after the key",
}


class Node:
    """A list or mapping: its plain value, and where it and everything in it begins (line and column, 1-based)."""

    __slots__ = ("column", "line", "nested", "places", "size", "value")

    def __init__(self, value: Any, line: int, column: int) -> None:
        self.value = value
        self.line = line
        self.column = column
        self.size = 1
        """Values in it, itself included."""
        self.nested: dict[str | int, Node] = {}
        """The lists and mappings among its values."""
        self.places: dict[str | int, tuple[int, int, int, int]] = {}
        """Place of the key (in a list: of the item) and of the value."""


def compose(data: bytes, file: str) -> Node | None:
    """Read the one document of a text; ``None`` when there is none. A scalar at the top makes a node without places.

    Raises:
        ConfigError: it is not YAML, or more than a configuration may be.
    """
    try:
        return _Composer(data, file).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        raise ConfigError([Problem((), _in_plain_words(error, data), file, line, column)]) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError([Problem((), f"this is not UTF-8 text: {error.reason}", file)]) from None


def place(node: Node | None, path: Path, *, at_key: bool = False) -> tuple[int, int]:
    """Return line and column of the value under a path, or of its key; the longest known part of the path counts."""
    where = (node.line, node.column) if node is not None else (0, 0)
    for step in path:
        if node is None or step not in node.places:
            break
        places = node.places[step]
        where = places[:2] if at_key else places[2:]
        node = node.nested.get(step)
    return where


def resolve(text: str) -> Any:
    """Give a plain scalar its type (YAML 1.2.2, 10.3.2).

    Raises:
        ValueError: a number of more digits than Python reads.
    """
    if text and text[0] not in _MAY_BE_NO_STRING:
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1) if text[-1] in "fFnN" else text)
    return text


_OPEN = object()


def _put(node: Node, key: str | int, places: tuple[int, int, int, int], value: Any) -> None:
    """Put a node or a plain value into a list (at its end) or a mapping."""
    node.places[key] = places
    node.size += 1
    if isinstance(value, Node):
        node.nested[key] = value
        node.size += value.size
        value = value.value
    if isinstance(key, int):
        node.value.append(value)
    else:
        node.value[key] = value


class _Composer:
    """Turns events into nodes."""

    def __init__(self, data: bytes, file: str) -> None:
        self._next: Callable[[], Any] = yaml.CSafeLoader(data).get_event
        self._file = file
        self._count = 0
        self._anchors: dict[str, Any] = {}
        """Nodes and plain values, or ``_OPEN`` for what is still being read."""

    def document(self) -> Node | None:
        self._next()  # the stream starts
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        event = self._next()
        root = self._any(event, 0)
        if not isinstance(root, Node):
            root = Node(root, event.start_mark.line + 1, event.start_mark.column + 1)
        self._next()  # the document ends
        more = self._next()
        if not isinstance(more, yaml.StreamEndEvent):
            self._refuse(more.start_mark, "a second document begins here; a configuration is one document")
        return root

    def _any(self, event: Any, depth: int) -> Any:
        """Return a node, or the plain value of a scalar."""
        self._count += 1
        if self._count > MAX_NODES:
            self._refuse(event.start_mark, f"the document has more than {MAX_NODES:,} values, anchors written out")
        kind = type(event)
        if kind is yaml.ScalarEvent:
            value = self._scalar(event)
            if event.anchor is not None:
                self._anchors[event.anchor] = value
            return value
        if kind is yaml.AliasEvent:
            return self._known(event)
        mark = event.start_mark
        if depth == MAX_DEPTH:
            self._refuse(mark, f"lists and mappings stand more than {MAX_DEPTH} deep in each other here")
        if event.anchor is not None:
            self._anchors[event.anchor] = _OPEN
        is_list = kind is yaml.SequenceStartEvent
        self._check_tag(event, "seq" if is_list else "map")
        node = Node([] if is_list else {}, mark.line + 1, mark.column + 1)
        (self._items if is_list else self._pairs)(node, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _items(self, node: Node, depth: int) -> None:
        items = node.value
        while type(event := self._next()) is not yaml.SequenceEndEvent:
            mark = event.start_mark
            where = (mark.line + 1, mark.column + 1)
            _put(node, len(items), where + where, self._any(event, depth))

    def _pairs(self, node: Node, depth: int) -> None:
        mapping = node.value
        merged: Any = None
        while type(event := self._next()) is not yaml.MappingEndEvent:
            mark = event.start_mark
            if type(event) is not yaml.ScalarEvent:
                self._refuse(mark, "a key is a plain word or a quoted text, nothing else")
            key = event.value
            content = self._next()
            value = self._any(content, depth)
            is_merge = key == "<<" and event.implicit[0]
            if is_merge and merged is None:
                merged = value
                self._check_merge(content.start_mark, value)
                continue
            if is_merge or key in mapping:
                first = f", first in line {node.places[key][0]}" if key in mapping else ""
                self._refuse(mark, f"the key {key!r} stands here twice{first}")
            begins = content.start_mark
            _put(node, key, (mark.line + 1, mark.column + 1, begins.line + 1, begins.column + 1), value)
        if merged is not None:
            self._merge(node, merged)

    def _check_merge(self, mark: Any, value: Any) -> None:
        sources = value.nested.values() if isinstance(value, Node) and isinstance(value.value, list) else [value]
        if not all(isinstance(source, Node) and isinstance(source.value, dict) for source in sources):
            self._refuse(mark, "'<<' takes a mapping, or a list of mappings")

    @staticmethod
    def _merge(node: Node, merged: Node) -> None:
        """Bring in what a merge key names: own keys win, then those of the first mapping that has them."""
        for source in merged.nested.values() if isinstance(merged.value, list) else [merged]:
            for key, value in source.value.items():
                if key not in node.value:
                    _put(node, key, source.places[key], source.nested.get(key, value))

    def _known(self, event: Any) -> Any:
        """Return what an alias stands for; it is used as it is, never copied."""
        name = event.anchor
        if name not in self._anchors:
            self._refuse(event.start_mark, f"there is no anchor &{name}")
        value = self._anchors[name]
        if value is _OPEN:
            self._refuse(event.start_mark, f"the anchor &{name} is used inside itself")
        if isinstance(value, Node):
            self._count += value.size
        return value

    def _scalar(self, event: Any) -> Any:
        tag, text = event.tag, event.value
        if tag is None or tag == "!":
            if tag == "!" or not event.implicit[0]:
                return text
            try:
                return resolve(text)
            except ValueError:
                self._refuse(event.start_mark, "this number has too many digits")
        if tag == _TAG + "str":
            return text
        wanted = _TYPES.get(tag.removeprefix(_TAG))
        value = resolve(text)
        if wanted is None or type(value) not in wanted:
            self._refuse(event.start_mark, f"the tag {_shown(tag)} does not fit here; leave it out")
        return wanted[0](value) if value is not None else None

    def _check_tag(self, event: Any, wanted: str) -> None:
        if event.tag not in (None, "!", _TAG + wanted):
            self._refuse(event.start_mark, f"the tag {_shown(event.tag)} does not fit here; leave it out")

    def _refuse(self, mark: Any, message: str) -> NoReturn:
        self._refuse_at(mark.line + 1, mark.column + 1, message)

    def _refuse_at(self, line: int, column: int, message: str) -> NoReturn:
        raise ConfigError([Problem((), message, self._file, line, column)])


def _shown(tag: str) -> str:
    return "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag


def _in_plain_words(error: yaml.MarkedYAMLError, data: bytes) -> str:
    problem, mark = error.problem or "this is not YAML", error.problem_mark
    if problem == "found character that cannot start any token" and mark is not None:
        line = data.decode("utf-8", "replace").splitlines()[mark.line]
        if "\t" in line[: mark.column + 1]:
            return "a tab does not indent in YAML; use spaces"
        return f"a value that begins with {line[mark.column : mark.column + 1]!r} must be quoted"
    words = _PLAIN_WORDS.get(problem, problem)
    opened = error.context_mark
    if opened is not None and mark is not None and opened.line != mark.line:
        words += f" ({error.context} that begins in line {opened.line + 1})"
    return words
