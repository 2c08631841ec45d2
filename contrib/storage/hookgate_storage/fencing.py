"""What stored objects may not do: they run no code, name no file, and read no secret that nobody has allowed them.

They are written by people who may change a route, and who shall not get what the process of the gateway may do. What is
refused is found by what a plugin is and not by a list of ours: an option of type ``Path`` names a file, whoever wrote
the plugin, and the class of a plugin says what it :attr:`~hookgate.Plugin.needs`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path as FolderPath
from pathlib import PurePath
from typing import Any, Literal, NoReturn

from pydantic import BaseModel

from hookgate.document import Document, Fence
from hookgate_storage.things import Object
from hookgate_storage.variables import PATTERN, VARIABLES

Reach = Literal["code", "environment", "files"]
Place = tuple[str | int, ...]
OWN_SECTION = "storage"
"""The section in which the source says what it has read."""
_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}?")
_WHAT = {
    "code": "runs code of this machine",
    "environment": "reads variables of the process",
    "files": "names a file of this machine",
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What who runs the gateway allows stored objects; nothing, unless it is said."""

    references: Sequence[str] = ()
    """Patterns of references, such as ``env:CRM_*``."""
    reach: Collection[str] = ()
    """``code``, ``environment``, ``files``."""
    followed: bool = False
    """The store is that of another gateway: objects come from there, and nothing else of it can be asked here."""


NOTHING = Allowed()


class StoreFence(Fence):
    """Stands where the folder of a document would, from which paths count: every option that names a file asks for it,
    before anybody looks for the file.
    """

    def __init__(self, allowed: Allowed, folder: FolderPath | None) -> None:
        self._allowed, self._folder = allowed, folder

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoreFence) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self._folder)

    def __truediv__(self, path: Any) -> FolderPath:
        """Return where a path leads.

        Raises:
            ValueError: stored objects name no files here.
        """
        if "files" not in self._allowed.reach:
            raise ValueError(_said(_WHAT["files"], "files"))
        return FolderPath(path) if self._folder is None else self._folder / path

    def refused(self, needs: str, name: str) -> str:
        """Return why a plugin with such a need may not be used; nothing if it may."""
        if needs in self._allowed.reach:
            return ""
        return _said(f"{name} {_WHAT.get(needs, f'needs {needs}')}", needs)

    def found(self, checked: Any) -> Iterator[tuple[Place, str]]:
        """Give the places of paths in options or a record that did not ask for the folder: records of others may hold
        some in records that are none of ours.
        """
        if "files" not in self._allowed.reach:
            yield from ((place, _said(_WHAT["files"], "files")) for place in _paths(checked, ()))

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse to be used in a way that nobody has thought of: what cannot be decided is refused."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise ValueError(_said(_WHAT["files"], "files"))


def _paths(value: Any, place: Place) -> Iterator[Place]:
    """Give the places of the paths in what was checked; not in plugins, which are checked by themselves."""
    if isinstance(value, PurePath):
        yield place
    elif isinstance(value, BaseModel):
        for name in value.model_fields_set:  # what is not written names nothing that a stored object could choose
            yield from _paths(getattr(value, name, None), (*place, name))
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _paths(getattr(value, each.name, None), (*place, each.name))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _paths(key, (*place, str(key)))
            yield from _paths(each, (*place, str(key)))
    elif isinstance(value, list | tuple | set | frozenset):
        for index, each in enumerate(value):
            yield from _paths(each, (*place, index))


def _said(what: str, word: str) -> str:
    return (
        f"{what}, which stored objects may not; let who runs the gateway write it in the file, with a name under "
        f"`plugins` if it is to be shared, or put `{word}` into the option `allow` of the source"
    )


def folder_of(file: Document, places: Mapping[Place, Object], allowed: Allowed, path: Place) -> Any:
    """Return from where paths count under a path: the folder of the file for what stands in it, and the fence for
    everything else.
    """
    folder = file.folder_of(path)
    stored = path[:2] in places or path[:1] in places
    return folder if not stored and _stands_in(file.value, path[:2]) else StoreFence(allowed, folder)


def _stands_in(value: Any, path: Place) -> bool:
    for part in path:
        inside = isinstance(part, int) and part < len(value) if isinstance(value, list) else part in (value or ())
        if not inside:
            return False
        value = value[part]
    return bool(path)


def all_forbidden(
    stored: Sequence[Object], allowed: Allowed, sections: Collection[str] | None = None
) -> dict[tuple[str, str], str]:
    """Return why each of the objects that may not be stored may not, whatever is in the document beside."""
    found = {}
    for each in stored:
        if each.kind == OWN_SECTION or (sections is not None and each.kind not in sections):
            found[each.kind, each.name] = f"there is no section {each.kind!r} that objects are stored of"
        elif why := forbidden(each.body, allowed, each.kind):
            found[each.kind, each.name] = why[1]
    return found


def forbidden(body: Any, allowed: Allowed, kind: str = "") -> tuple[Place, str] | None:
    """Return where, and why, a body refers to what those who write to the store shall not read."""
    # variables of the store are there for all that is stored, and cannot stand on others themselves
    patterns = () if kind == VARIABLES else (PATTERN, *allowed.references)
    for path, text in texts(body):
        for found in _REFERENCE.finditer(text):
            reference = found[1]  # nothing for $${, which is no reference
            if reference is not None and not any(fnmatchcase(reference, each) for each in patterns):
                if kind == VARIABLES:
                    return path, f"it refers to {reference!r}, and a variable is a value: write it out"
                return path, f"it refers to {reference!r}, which the source does not allow stored objects"
    return None


def texts(body: Any) -> Iterator[tuple[Place, str]]:
    """Give every text in a body with its place, keys too."""
    waiting: list[tuple[Place, Any]] = [((), body)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            yield from ((path, key) for key in value)
            waiting += [((*path, key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, index), inner) for index, inner in enumerate(value)]
