"""Taking a break back in the text of a document (FL-31): the lists that are concerned change, and not one byte beside.

A broken list names its parent's steps by ``from`` and says ``inherit: false``. Without both it is the parent's list as
it is now with the scope's own steps behind it, in their order. So restoring takes text out and never writes a step
anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import yaml

from hookgate import ConfigError, HookgateError
from hookgate.document import parse
from hookgate.exchange import Path
from hookgate_apis.tree import DIRECTIONS, FROM

_Edit = tuple[int, int, str]
"""From here to there the text becomes this one."""


class CannotEdit(HookgateError):
    """A text that cannot be changed without touching something else; the message says what to do by hand."""


def restored_text(data: bytes, file: str, path: Path, directions: Collection[str]) -> bytes:
    """Take back the break of the scope at a path, for one direction or both.

    What comes out has been read again: it is the old document but for the scope's lists.

    Raises:
        CannotEdit: the text is written in a way that does not allow it: TOML or the like, or anchors and merge keys.
    """
    if (suffix := PurePath(file).suffix.lower()) not in (".yaml", ".yml", ".json"):
        raise CannotEdit(_by_hand(f"{suffix[1:].upper()} is not edited by this command", directions))
    text = data.decode("utf-8")
    value = parse(data, file).value
    scope = _at(value, path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        edits = sorted(_edits(text, _node_at(root, path), scope, directions))
    except (CannotEdit, yaml.YAMLError) as error:
        raise CannotEdit(_by_hand(str(error), directions)) from None
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    changed = text.encode("utf-8")
    try:
        is_right = _plain(parse(changed, file).value, path) == _plain(_replaced(value, path, scope, directions), path)
    except ConfigError:
        is_right = False
    if not is_right:  # an anchor, a merge key: the same text is something else, too
        raise CannotEdit(_by_hand("this text is used elsewhere in the document, too", directions))
    return changed


def broken_directions(scope: Mapping[str, Any]) -> set[str]:
    """Return the directions in which a scope, as it is written, inherits nothing."""
    inherit = scope.get("inherit", True)
    if isinstance(inherit, Mapping):
        return {direction for direction in DIRECTIONS if inherit.get(direction) is False}
    return set(DIRECTIONS) if inherit is False else set()


def restored_scope(scope: Mapping[str, Any], directions: Collection[str]) -> dict[str, Any]:
    """Return a scope as it is written once its break is taken back."""
    left = broken_directions(scope) - set(directions)
    found = {key: value for key, value in scope.items() if key != "inherit"}
    for side in _sides(left, directions):
        if isinstance(found.get(side), list):
            found[side] = [entry for entry in found[side] if not _stands_for_another(entry)]
    if left:
        found["inherit"] = {direction: False for direction in DIRECTIONS if direction in left}
    return found


def _sides(left: set[str], directions: Collection[str]) -> list[str]:
    """The lists from which ``from`` goes: from ``flow`` when no direction is broken any more."""
    return [*(() if left else ("flow",)), *directions]


def _edits(text: str, node: Any, scope: Mapping[str, Any], directions: Collection[str]) -> Iterator[_Edit]:
    left = broken_directions(scope) - set(directions)
    pairs = {key.value: (key, value) for key, value in node.value}
    key, value = pairs.get("inherit", (None, None))
    if key is None:
        raise CannotEdit("`inherit` does not stand in this scope itself")
    if left:
        rest = ", ".join(f'"{direction}": false' for direction in DIRECTIONS if direction in left)
        yield value.start_mark.index, _end(value), "{" + rest + "}"
    else:
        line = None if node.flow_style else _lines(text, key.start_mark.index, _end(value), lead="")
        yield (*line, "") if line else (value.start_mark.index, _end(value), "true")
    for side in _sides(left, directions):
        entries = scope.get(side)
        if side in pairs and isinstance(entries, list):
            gone = [index for index, entry in enumerate(entries) if _stands_for_another(entry)]
            if gone:
                yield from _without(text, *pairs[side], gone)


def _without(text: str, key: Any, node: Any, gone: Sequence[int]) -> Iterator[_Edit]:
    """Take items out of a list."""
    items = node.value
    if node.flow_style:
        if len(gone) == len(items):
            yield items[0].start_mark.index, _end(items[-1]), ""
            return
        for first, last in _runs(gone):
            if last + 1 < len(items):
                yield items[first].start_mark.index, items[last + 1].start_mark.index, ""
            else:
                yield _end(items[first - 1]), _end(items[last]), ""
        return
    for index in gone:
        line = _lines(text, items[index].start_mark.index, _end(items[index]), lead="-")
        if line is None:
            raise CannotEdit(f"the entry in line {items[index].start_mark.line + 1} does not stand on lines of its own")
        yield (*line, "")
    if len(gone) == len(items):
        colon = text.index(":", _end(key)) + 1
        yield colon, colon, " []"


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Group numbers that follow each other."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last


def _lines(text: str, start: int, end: int, *, lead: str) -> tuple[int, int] | None:
    """Return the whole lines from start to end, if nothing else stands on them but a comment at the end."""
    begin = text.rfind("\n", 0, start) + 1
    newline = text.find("\n", end)
    stop = len(text) if newline < 0 else newline + 1
    rest = text[end:stop].strip()
    if text[begin:start].strip() != lead or (rest and not rest.startswith("#")):
        return None
    return begin, stop


def _end(node: Any) -> int:
    """Where a value ends; a list or mapping of indented lines ends with its last value."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(node, yaml.MappingNode) else last)


def _node_at(node: Any, path: Path) -> Any:
    for step in path:
        found = None
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            found = node.value[step]
        elif isinstance(node, yaml.MappingNode):
            found = next((value for key, value in node.value if key.value == step), None)
        if found is None:
            raise CannotEdit("this scope comes from a merge key")
        node = found
    if not isinstance(node, yaml.MappingNode):
        raise CannotEdit("this scope is not written as a mapping")
    return node


def _stands_for_another(entry: object) -> bool:
    return isinstance(entry, Mapping) and set(entry) == {FROM}


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _replaced(value: Any, path: Path, scope: Mapping[str, Any], directions: Collection[str]) -> Any:
    """Copy a document with another scope at a path."""
    if not path:
        return restored_scope(scope, directions)
    step, rest = path[0], path[1:]
    inner = _replaced(value[step], rest, scope, directions)
    if isinstance(value, list):
        return [inner if index == step else item for index, item in enumerate(value)]
    return {key: inner if key == step else item for key, item in value.items()}


def _plain(value: Any, path: Path) -> Any:
    """Copy a document so that ways to write the same scope are equal: an empty list, `inherit: true`, nothing."""
    if not path:
        return {k: v for k, v in (value or {}).items() if v != [] and not (k == "inherit" and v is True)}
    step, rest = path[0], path[1:]
    if isinstance(value, list):
        return [_plain(item, rest) if index == step else item for index, item in enumerate(value)]
    return {key: _plain(item, rest) if key == step else item for key, item in value.items()}


def _by_hand(why: str, directions: Collection[str]) -> str:
    lists = " and ".join(f"`{direction}`" for direction in directions)
    return f"{why}; by hand: take every `from` out of the lists for {lists}, and the false of `inherit`"
