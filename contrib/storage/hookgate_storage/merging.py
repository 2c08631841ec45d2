"""One document of two parts: what stands in the file, and what is stored.

What stands in the file is read-only and wins. A stored object that is bad is left out together with what refers to it,
and never a part of one: a route that lost its step `auth` would be open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from inspect import isawaitable
from typing import Any

from hookgate import Problem
from hookgate.document import Catalogue, Document, Kept
from hookgate.gateway import Configuration, load
from hookgate.server import Settings
from hookgate_storage.fencing import NOTHING, OWN_SECTION, Allowed, folder_of
from hookgate_storage.things import Object
from hookgate_storage.variables import FILLED, FOLLOWED, VARIABLES, filled, substituted

WHERE = "store"
"""What messages call the file of an object that is stored."""
AS_WRITTEN = frozenset({VARIABLES, "environments", "secrets"})
"""Sections that no variable is written into: those that say values, whose references are resolved in their turn."""


@cache
def installed() -> Catalogue:
    """Return the plugins of this installation, found once as a gateway does it: to look for them costs as much as to
    check several writes.
    """
    return Catalogue(Settings().plugins_dir)


@dataclass
class Merged:
    """A document, with what is stored in it, and what had to be left out."""

    document: Document
    places: dict[tuple[str | int, ...], Object]
    """Stored objects, by where they are."""
    rejected: list[dict[str, str]] = field(default_factory=list)
    """Kind, name and reason of each object that was left out."""


class StoredDocument(Document):
    """A document whose mistakes in stored objects are told by kind and name."""

    __slots__ = ("_allowed", "_places", "_rest")

    def __init__(
        self, value: dict[str, Any], rest: Document, places: Mapping[tuple[str | int, ...], Object], allowed: Allowed
    ) -> None:
        super().__init__(value, rest.file)
        self._rest = rest
        self._places = places
        self._allowed = allowed

    def folder_of(self, path: tuple[str | int, ...]) -> Any:
        """Return from where relative paths count; stored objects have none, unless they are allowed to."""
        return folder_of(self._rest, self._places, self._allowed, path)

    def locate(self, problem: Problem) -> Problem:
        """Name the object, or give the place in the file."""
        if problem.file:
            return problem
        held = self._places.get(problem.path[:2]) or self._places.get(problem.path[:1])
        if held is None:
            return self._rest.locate(problem)
        return replace(problem, file=f"{WHERE}: {held.kind}/{held.name} (version {held.version})")


def merge(
    file: Document, stored: tuple[Object, ...], refused: Mapping[tuple[str, str], str], allowed: Allowed = NOTHING
) -> Merged:
    """Put stored objects beside those of a file, but for those that are refused, for a reason."""
    value = dict(file.value)
    merged = Merged(file, {})
    for each in stored:
        why = refused.get((each.kind, each.name)) or _place(value, file, each, merged.places)
        if why:
            merged.rejected.append({"kind": each.kind, "name": each.name, "why": why})
    if plain := filled(value, file.value):
        for name in value.keys() - AS_WRITTEN:
            value[name] = substituted(value[name], plain)
    value[OWN_SECTION] = {"served": FOLLOWED if allowed.followed else FILLED}
    merged.document = StoredDocument(value, file, merged.places, allowed)
    return merged


def _place(value: dict[str, Any], file: Document, each: Object, places: dict[tuple[str | int, ...], Object]) -> str:
    """Put one object into its section; return why it cannot be."""
    own = file.value.get(each.kind)
    if each.shape == "record":
        if own is not None:
            return f"{file.file} has the section {each.kind}, and wins"
        value[each.kind] = each.body
        places[each.kind,] = each
        return ""
    if own is not None and not isinstance(own, list if each.shape == "list" else dict):
        return f"{file.file} has something else under {each.kind}"
    if value.get(each.kind) is own:  # never changed in place: the file's own value may be kept by others
        value[each.kind] = (list if each.shape == "list" else dict)(own or ())
    section = value[each.kind]
    if each.shape == "list":
        places[each.kind, len(section)] = each
        section.append(each.body)
        return ""
    if each.name in section:
        return f"{file.file} has {each.kind}.{each.name}, and wins"
    section[each.name] = each.body
    places[each.kind, each.name] = each
    return ""


async def tried(document: Document, catalogue: Catalogue, kept: Kept | None = None) -> Configuration:
    """Load a document, let go of what was started for it, and return what it comes to. Records that were good in
    another one that was tried, and never served, are not checked again."""
    config = await load(document, catalogue, kept=kept, review=False)
    for provider in config.secrets:
        if hasattr(provider, "shutdown"):
            done: Any = provider.shutdown()
            if isawaitable(done):
                await done
    return config
