"""The project file of a plugin: whether its names derive from each other, and its dependencies are what they may be."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hookgate import Family
from hookgate.document import ALWAYS, DEFAULTS, FAMILIES, FORMATS
from hookgate.toml import find, nearest
from hookgate_authoring.findings import Finding
from hookgate_authoring.names import Names, near, normalised

CORE = "hookgate-core"
SHARED = {CORE, "hookgate-client", "hookgate-commands", "hookgate-jose", "hookgate-metrics", "hookgate-workshop"}
"""What a plugin may depend on of ours: core, and what plugins and what commands have in common."""
SECTIONS = "hookgate.sections"


class Project:
    """A project file that has been looked at."""

    def __init__(self, folder: Path, families: Mapping[str, Family]) -> None:
        self.folder = folder
        self.file = folder / "pyproject.toml"
        self.findings: list[Finding] = []
        self.names: Names | None = None
        """``None`` where neither the distribution nor an entry point tells them."""
        self.classes: list[tuple[Family, str, int]] = []
        """The family, the value and the line of each entry point of a plugin."""
        self._places: dict[Any, tuple[int, int]] = {}
        self._groups = {family.group: family for family in families.values()}
        metadata = self._read()
        if metadata is not None:
            self._look_at(metadata, families)

    def _read(self) -> Mapping[str, Any] | None:
        try:
            text = self.file.read_text(encoding="utf-8")
            metadata = tomllib.loads(text)
        except (OSError, UnicodeDecodeError) as error:
            self._note((), f"cannot be read ({type(error).__name__}); `hookgate plugin new` writes one")
            return None
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            self.findings.append(Finding(self.file, int(line[1]) if line else 1, f"is not TOML: {error}"))
            return None
        self._places = find(text)
        project = metadata.get("project")
        if not isinstance(project, dict):
            self._note((), "has no [project] table; `hookgate plugin new` writes one")
            return None
        return project

    def _look_at(self, project: Mapping[str, Any], families: Mapping[str, Family]) -> None:
        given = str(project.get("name", ""))
        points = project.get("entry-points")
        groups: dict[str, Any] = {
            group: entries
            for group, entries in (points.items() if isinstance(points, dict) else ())
            if group.startswith("hookgate.") and isinstance(entries, dict)
        }
        self.names = names = _from_distribution(given, families) or self._from_entry_points(groups)
        if names is None:
            families_known = ", ".join(sorted(families))
            self._note(
                ("name",),
                f"the distribution {given!r} tells no family and no name; hookgate-FAMILY-NAME would be right, "
                f"with one of the families {families_known}",
            )
            return
        if given != names.distribution:
            self._note(("name",), f"the distribution is called {given!r}; {names.distribution!r} would be right")
        if not (self.folder / names.package / "__init__.py").is_file():
            self._note(
                ("name",), f"there is no package {names.package}/__init__.py beside this file; put the class there"
            )
        if not any(group in self._groups for group in groups):
            self._note(
                ("entry-points",),
                f'nobody finds the plugin: [project.entry-points."{names.family.group}"] with '
                f'{names.name} = "{names.entry(names.family)}" would be right',
            )
        for group, entries in groups.items():
            self._check_group(names, group, entries)
        self._check_dependencies(project)

    def _from_entry_points(self, groups: Mapping[str, Any]) -> Names | None:
        for group, entries in groups.items():
            if group in self._groups and entries:
                return Names(self._groups[group], next(iter(entries)))
        return None

    def _check_group(self, names: Names, group: str, entries: Mapping[str, Any]) -> None:
        where = ("entry-points", group)
        if group == DEFAULTS:
            right = names.entry(names.family)
            for name, value in entries.items():
                if name.rpartition("-")[2] != names.family.name or not names.fits(names.family, str(value)):
                    message = f'claims {name} = "{value}"; {names.family.name} = "{right}" would be right'
                    self._note((*where, name), message)
            return
        family = self._groups.get(SECTIONS if group == ALWAYS else group)
        if family is None:
            if group not in (FAMILIES, FORMATS):
                self._note(where, f"no family has the entry-point group {group!r}{near(group, self._groups)}")
            return
        for name, value in entries.items():
            right = names.entry(family)
            if name != names.name:
                self._note((*where, name), f"the entry point is called {name!r}; {names.name!r} would be right")
            elif taken := Names(family, name).taken:
                self._note((*where, name), f"nobody finds the plugin: {taken}")
            if not names.fits(family, str(value)):
                self._note((*where, name), f"the entry point leads to {value!r}; {right!r} would be right")
            if group != ALWAYS:
                self.classes.append((family, str(value), self._line((*where, name))))

    def _check_dependencies(self, project: Mapping[str, Any]) -> None:
        listed = project.get("dependencies")
        wanted = {normalised(str(each)) for each in (listed if isinstance(listed, list) else ())}
        if CORE not in wanted:
            self._note(("dependencies",), f'does not depend on core; dependencies = ["{CORE}"] would be right')
        for other in sorted(wanted):
            if other == "hookgate" or (other.startswith("hookgate-") and other not in SHARED):
                message = f"depends on {other}; a plugin depends on {CORE} and on no other plugin"
                self._note(("dependencies",), message)

    def _line(self, path: tuple[str, ...]) -> int:
        return max(1, nearest(self._places, ("project", *path))[0])

    def _note(self, path: tuple[str, ...], message: str) -> None:
        self.findings.append(Finding(self.file, self._line(path), message))


def _from_distribution(distribution: str, families: Mapping[str, Family]) -> Names | None:
    """Take family and name from `hookgate-FAMILY-NAME`; a family's own name may have hyphens."""
    for family in sorted(families.values(), key=lambda family: -len(family.name)):
        start = f"hookgate-{family.name}-"
        name = distribution.removeprefix(start)
        if distribution.startswith(start) and Names(family, name).camel.isidentifier() and name == name.lower():
            return Names(family, name)
    return None
