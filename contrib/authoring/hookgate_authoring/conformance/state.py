"""What an instance holds, down to the last list in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from types import FunctionType, MethodType, ModuleType
from typing import Any

from hookgate import Plugin

MOST = 20_000
"""Values that are looked at."""
_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_WHOLE = (type, FunctionType, MethodType, ModuleType)


def held(plugin: Plugin[Any]) -> dict[str, object]:
    """Return what an instance and its classes hold, by the way to it: ``self.index['a'].hits``."""
    package = type(plugin).__module__.partition(".")[0]
    atoms: dict[str, object] = {}
    seen: set[int] = set()
    for cls in type(plugin).__mro__:
        if cls.__module__.partition(".")[0] == package and package != "hookgate":
            for name, value in list(vars(cls).items()):
                if not name.startswith("__") and isinstance(value, Mapping | list | Set):
                    _look(f"{cls.__name__}.{name}", value, atoms, seen)
    for name, value in _parts(plugin):
        _look(f"self.{name}", value, atoms, seen)
    return atoms


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """Return the way to what is not as it was, the shortest of them; empty where all is."""
    ways = before.keys() | after.keys()
    different = [way for way in ways if way not in before or way not in after or before[way] != after[way]]
    return min(different, key=lambda way: (len(way), way), default="")


def _look(way: str, value: object, atoms: dict[str, object], seen: set[int]) -> None:
    if len(atoms) > MOST:
        return
    if isinstance(value, _PLAIN):
        atoms[way] = value
        return
    if isinstance(value, _WHOLE) or id(value) in seen:
        atoms[way] = id(value)
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        atoms[way] = len(value)
        for key, inner in list(value.items()):
            _look(f"{way}[{key!r:.60}]", inner, atoms, seen)
    elif isinstance(value, Set):
        atoms[way] = frozenset(map(id, value))
    elif hasattr(type(value), "__iter__") and hasattr(type(value), "__len__"):  # a list, a tuple, a deque, …
        atoms[way] = len(value)  # type: ignore[arg-type]
        with suppress(TypeError):
            for index, inner in enumerate(list(value)):  # type: ignore[call-overload]
                _look(f"{way}[{index}]", inner, atoms, seen)
    else:
        atoms[way] = id(value)
        if type(value).__module__.partition(".")[0] not in sys.stdlib_module_names:
            for name, inner in _parts(value):
                _look(f"{way}.{name}", inner, atoms, seen)


def _parts(value: object) -> Iterator[tuple[str, object]]:
    yield from list(getattr(value, "__dict__", {}).items())
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            with suppress(AttributeError):
                if name not in ("__dict__", "__weakref__"):
                    yield name, getattr(value, name)
