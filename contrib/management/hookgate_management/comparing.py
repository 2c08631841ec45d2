"""What differs between two states of the store, secrets shown as asterisks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hookgate_management.kinds import Kinds
from hookgate_management.problems import Path, pointer
from hookgate_storage import Object


def compared(before: Iterable[Object], after: Iterable[Object], kinds: Kinds) -> Iterator[dict[str, Any]]:
    """Tell each object that differs, in the order of kinds and names. A secret that differs is told by its place."""
    masker = kinds.masker
    olds, news = ({(each.kind, each.name): each.body for each in objects} for objects in (before, after))
    for kind, name in sorted(olds.keys() | news.keys()):
        old, new = olds.get((kind, name)), news.get((kind, name))
        if old == new:
            continue
        told: dict[str, Any] = {"kind": kind, "name": name, "change": "changed", "pointers": []}
        if old is None or new is None:
            told["change"] = "added" if old is None else "removed"
        else:
            told["pointers"] = [pointer(path) for path in differing(old, new)]
        if kind in kinds:  # of others nobody knows what is a secret
            schema = kinds[kind].schema
            shown = {"before": old, "after": new}
            told |= {side: masker.masked(body, schema) for side, body in shown.items() if body is not None}
        yield told


def differing(old: Any, new: Any, path: Path = ()) -> Iterator[Path]:
    """Give the places in which two bodies differ, as deep inside as they can be told."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in old or key not in new:
                yield (*path, key)
            else:
                yield from differing(old[key], new[key], (*path, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (here, there) in enumerate(zip(old, new, strict=True)):
            yield from differing(here, there, (*path, index))
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path
