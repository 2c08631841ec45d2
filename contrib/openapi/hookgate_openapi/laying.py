"""An import laid under a document of one's own: what the description says, and over it what whoever runs it says.

The own document is written by hand and stays; the description comes anew with each version. The entry of the API in the
own document has a mapping ``operations``, by operation id, which no other document has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path as Folder
from typing import Any

from hookgate import ConfigError, Problem
from hookgate.document import Document
from hookgate.exchange import Path, near
from hookgate_openapi.importing import Imported, Wishes


class Own:
    """A document of one's own, and the entry in it that an import is laid under."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._problems: list[Problem] = []
        self._apis = self._listed(document.value.get("apis"), ("apis",))
        with_operations = [each for each in self._apis if isinstance(each, Mapping) and "operations" in each]
        self._only = with_operations[0] if len(with_operations) == 1 else {}

    def wishes(self, wishes: Wishes) -> Wishes:
        """Return wishes with what this document says already: the name of the API, and where its calls go."""
        to = self._only.get("to")
        connection = to.get("connection") if isinstance(to, Mapping) else None
        name = wishes.name or self._only.get("name")
        return replace(
            wishes,
            name=name if isinstance(name, str) else "",
            connection=wishes.connection or (connection if isinstance(connection, str) else ""),
        )

    def stay_in(self, folder: Folder, other: Folder) -> None:
        """Make sure that nothing changes its meaning where this document stands in a folder, and the result in another.

        Raises:
            ConfigError: it includes files, or names some that stand in its folder; each with its place.
        """
        if folder.resolve() != other.resolve():
            for place, text in _texts(self._document.value, ()):
                if place[0] == "include" or _names_a_file(folder, text):
                    self._refuse(
                        place,
                        f"{text!r} counts from the folder of the document, and the result goes into {other}; write it "
                        "beside this document, or the whole path here",
                    )
        self._settle()

    def over(self, found: Imported, description: str) -> dict[str, Any]:
        """Lay an import under this document.

        Raises:
            ConfigError: what this document speaks of and the description, called ``description``, does not have; each
                mistake with its file, line and column.
        """
        (api,) = found.document["apis"]
        index = next((at for at, each in enumerate(self._apis) if _name_of(each) == api["name"]), None)
        if index is None:
            there = ", ".join(repr(_name_of(each)) for each in self._apis) or "none"
            self._refuse(
                ("apis",),
                f"no entry is called {api['name']!r}, as the API of {description} is (there is: {there}); "
                "give an entry that name, or say with --name which one it is",
            )
            self._settle()
        assert index is not None
        place: Path = ("apis", index)
        mine = dict(self._apis[index])
        operations = self._mapped(mine.pop("operations", None), (*place, "operations"))
        resources = self._listed(mine.pop("resources", None), (*place, "resources"))
        whole = self._merged(mine, api, place)
        whole["resources"] = whole.pop("resources")  # the longest part comes last
        by_path = {resource["path"]: resource for resource in whole["resources"]}
        self._lay_resources(resources, by_path, (*place, "resources"), description)
        self._lay_operations(operations, by_path, found, (*place, "operations"), description)
        connections = self._mapped(self._document.value.get("connections"), ("connections",))
        self._settle()
        used = {name for scope in _scopes(whole) if (name := scope.get("to", {}).get("connection"))}
        given = {name: each for name, each in found.document.get("connections", {}).items() if name in used}
        document = {
            **self._document.value,
            "apis": [whole if at == index else each for at, each in enumerate(self._apis)],
        }
        if given or connections:
            document["connections"] = {**given, **connections}
        return document

    def _lay_resources(
        self, resources: list[Any], by_path: dict[str, dict[str, Any]], at: Path, description: str
    ) -> None:
        for index, each in enumerate(resources):
            said, place = dict(self._mapped(each, (*at, index))), (*at, index)
            path = said.get("path")
            if "operations" in said:
                self._refuse((*place, "operations"), "write operations into `operations` of the API, by their ids")
            elif path not in by_path:
                where = (*place, "path") if "path" in said else place
                hint = near(str(path), by_path, listed=False)
                self._refuse(where, f"there is no path {path!r} in {description}{hint}")
            else:
                by_path[path].update(self._merged(said, by_path[path], place))

    def _lay_operations(
        self,
        operations: Mapping[str, Any],
        by_path: dict[str, dict[str, Any]],
        found: Imported,
        at: Path,
        description: str,
    ) -> None:
        known = _places(found.contract)
        seen: dict[tuple[str, str], str] = {}
        for key, each in operations.items():
            place = (*at, key)
            targets = known.get(key, [])
            if len(targets) != 1:
                if targets:
                    written = " or ".join(f"'{method} {path}'" for path, method in targets)
                    message = f"several operations of {description} have the id {key!r}; write {written}"
                else:
                    hint = near(key, known, listed=False)
                    message = f"there is no operation {key!r} in {description}{hint}"
                self._refuse(place, message, at_key=True)
                continue
            path, method = targets[0]
            if (path, method) in seen:
                self._refuse(place, f"this is {seen[path, method]!r}, which is here already", at_key=True)
                continue
            seen[path, method] = key
            theirs = by_path[path]["operations"]
            theirs[method] = self._merged(self._mapped(each, place), theirs[method] or {}, place) or None

    def _merged(self, mine: Mapping[str, Any], theirs: Mapping[str, Any], place: Path) -> dict[str, Any]:
        """Lay what a scope of the import says under what is said of it here."""
        whole = {**theirs, **mine}
        if isinstance(mine.get("to"), Mapping):
            whole["to"] = {**theirs.get("to", {}), **mine["to"]}
        if "flow" in mine:
            whole["flow"] = self._flow(self._listed(mine["flow"], (*place, "flow")), theirs.get("flow", []))
        return whole

    @staticmethod
    def _flow(mine: list[Any], theirs: list[Any]) -> list[Any]:
        """Return own steps, and right of them those of the import; one of the same name stands where it is written."""
        left, steps = list(theirs), []
        for entry in mine:
            name = _step(entry)
            same = next((each for each in left if _step(each) == name), None)
            if same is not None:
                left.remove(same)
                options = entry[name] if isinstance(entry, Mapping) else None
                entry = {name: {**same[name], **(options or {})}}  # noqa: PLW2901
            steps.append(entry)
        return steps + left

    def _listed(self, value: Any, place: Path) -> list[Any]:
        if value is None or isinstance(value, list):
            return list(value or ())
        self._refuse(place, "should be a list")
        return []

    def _mapped(self, value: Any, place: Path) -> Mapping[str, Any]:
        if value is None or isinstance(value, Mapping):
            return value or {}
        self._refuse(place, "should be a mapping")
        return {}

    def _refuse(self, place: Path, message: str, *, at_key: bool = False) -> None:
        self._problems.append(Problem(place, message, at_key=at_key))

    def _settle(self) -> None:
        if self._problems:
            located = [self._document.locate(problem) for problem in self._problems]
            raise ConfigError(sorted(located, key=lambda problem: (problem.line, problem.column)))


def _texts(value: Any, place: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping | list | tuple):
        for key, each in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts(each, (*place, key))


def _names_a_file(folder: Folder, text: str) -> bool:
    if len(text) > 1000 or "\n" in text or not ("." in text or "/" in text):  # names of other things have neither
        return False
    try:
        return not Folder(text).is_absolute() and (folder / text).is_file()
    except (OSError, ValueError):
        return False


def _name_of(entry: Any) -> Any:
    return entry.get("name") if isinstance(entry, Mapping) else None


def _step(entry: Any) -> str:
    """Return the name of a step; empty for what is none."""
    if isinstance(entry, Mapping) and len(entry) == 1:
        return str(next(iter(entry)))
    return entry if isinstance(entry, str) else ""


def _places(contract: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return the operations of a contract by their ids, and by method and path."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, item in contract["paths"].items():
        for method, operation in item.items():
            place = (path, method.upper())
            said = operation.get("operationId")
            for key in {f"{method.upper()} {path}", *([said] if isinstance(said, str) else [])}:
                found.setdefault(key, []).append(place)
    return found


def _scopes(api: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    operations = [each or {} for resource in api["resources"] for each in resource["operations"].values()]
    return [api, *api["resources"], *operations]
