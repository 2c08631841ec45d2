"""Which plugins there are: from the entry points of what is installed, and from a folder of this site.

Entry points are metadata: a class is imported when a document names it and not before, so one broken distribution takes
nothing else down. Every refusal is a :class:`LookupError` whose text is meant for the person who wrote the document.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from hookgate.contract.families import Family
from hookgate.contract.hooks import HookError, hooks_of
from hookgate.contract.plugin import Plugin
from hookgate.document.sitefolder import read_folder

FAMILIES = "hookgate.families"
DEFAULTS = "hookgate.defaults"
"""Entry points named after a family, for the plugin that serves where a document chooses none."""
ALWAYS = "hookgate.always"
"""Entry points named after sections that are there, with their defaults, in documents that leave them out."""
PARTS = "hookgate.parts"
"""Entry points for what core asks for by a name and a deployment may leave out, such as the client of the house."""
FORMATS = "hookgate.formats"
"""Entry points named after suffixes, such as ``toml``, for what reads documents of that kind."""
BUNDLE = "hookgate"


class PluginLookupError(LookupError):
    """A name that leads to no usable plugin."""


class NotInstalledError(PluginLookupError):
    """Nothing is installed under this name."""


class BrokenError(PluginLookupError):
    """Something is installed under this name and cannot be used; ``why`` says who and why."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} cannot be used: {why}")
        self.why = why


class AmbiguousError(PluginLookupError):
    """Several things are installed where one is needed."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of ``hookgate plugins``."""

    family: str
    name: str
    distribution: str
    """The distribution, or the file in the site's folder."""
    version: str
    plugin: type[Plugin[Any]] | None
    reason: str = ""
    """Why there is no ``plugin``."""


class Catalogue:
    """The plugins of this installation, as they are when it is made: a new one sees what was installed since."""

    def __init__(self, plugins_dir: Path | None = None) -> None:
        self._groups = _entry_points()
        self.families: dict[str, Family] = {}
        """By name; a family that cannot be imported is in :attr:`broken_families`."""
        self.broken_families: dict[str, str] = {}
        for entry_point in self._groups.get(FAMILIES, ()):
            self._add_family(entry_point)
        bases = {family.base: family.name for family in self.families.values()}
        self._found, self._broken_files = read_folder(plugins_dir, bases) if plugins_dir is not None else ([], {})
        self._known: dict[tuple[str, str], type[Plugin[Any]] | PluginLookupError] = {}

    def _add_family(self, entry_point: metadata.EntryPoint) -> None:
        try:
            family = entry_point.load()
            if not isinstance(family, Family):
                raise TypeError(f"{entry_point.value} is not a hookgate.Family")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - another distribution's import may raise anything
            self.broken_families[entry_point.name] = _why(entry_point, error)
        else:
            self.families[entry_point.name] = family

    def family(self, name: str) -> Family:
        """Return a family.

        Raises:
            LookupError: there is none of that name, or it is broken.
        """
        if name in self.broken_families:
            raise BrokenError(f"the family {name!r}", self.broken_families[name])
        if name not in self.families:
            raise NotInstalledError(f"there is no family of plugins named {name!r}{_near(name, self.families)}")
        return self.families[name]

    def names(self, family: str) -> list[str]:
        """Return the names that are installed in a family, sorted, broken ones too."""
        installed = {entry_point.name for entry_point in self._groups.get(self.family(family).group, ())}
        return sorted(installed | {found.name for found in self._found if found.family == family})

    def get(self, family: str, name: str) -> type[Plugin[Any]]:
        """Return a plugin's class, imported and its hooks checked.

        Raises:
            LookupError: there is none of that name, it is broken, or there are two; the text says what to do.
        """
        known = self._known.get((family, name))
        if known is None:
            try:
                known = self._load(self.family(family), name)
            except PluginLookupError as error:
                known = error
            self._known[family, name] = known
        if isinstance(known, PluginLookupError):
            raise known
        return known

    def default(self, family: str, where: str = "") -> str | None:
        """Return the name of the plugin that serves where a document chooses none; ``None`` if none is installed.

        ``where`` asks for one that claims to be it in a certain case only (``weighted-balancer``).

        Raises:
            LookupError: several claim to be it.
        """
        claimed = where or family
        claimants = [entry_point for entry_point in self._groups.get(DEFAULTS, ()) if entry_point.name == claimed]
        if not claimants:
            return None
        if len(claimants) > 1:
            who = ", ".join(sorted(_distribution(claimant) for claimant in claimants))
            raise AmbiguousError(
                f"several distributions want to be the default {family} ({who}); name one in the document"
            )
        value = claimants[0].value
        for entry_point in self._groups.get(self.family(family).group, ()):
            if entry_point.value == value:
                return entry_point.name
        raise BrokenError(f"the default {family}", f"{_distribution(claimants[0])} registers no {family} for {value}")

    def part(self, name: str, missing: Any = None) -> Any:
        """Return what is installed as that part of the house, or else what stands in its place.

        Raises:
            LookupError: there are two, it is broken, or it is missing and nothing stands in its place.
        """
        found = _only(self._groups.get(PARTS, ()), name, f"the part {name!r}")
        if found is None and missing is None:
            raise NotInstalledError(f"nothing is installed for it: pip install {BUNDLE}-{name}")
        return missing if found is None else found

    def always(self) -> list[str]:
        """Return the names of sections that need not be written to be there."""
        return sorted({entry_point.name for entry_point in self._groups.get(ALWAYS, ())})

    def listing(self) -> list[Listed]:
        """Return every plugin there is, by family and name; a broken one with the reason.

        A file of the site's folder that cannot be imported has no family.
        """
        listed = [Listed("", Path(file).stem, file, "", None, why) for file, why in self._broken_files.items()]
        for family in self.families.values():
            for name in self.names(family.name):
                try:
                    plugin, reason = self.get(family.name, name), ""
                except PluginLookupError as error:
                    plugin, reason = None, getattr(error, "why", str(error))
                listed += [
                    Listed(family.name, name, distribution, version, plugin, reason)
                    for distribution, version in self._providers(family, name)
                ]
        return sorted(listed, key=lambda line: (line.family, line.name, line.distribution))

    def providers(self, family: str, name: str) -> list[str]:
        """Return the distributions and files that bring a plugin; where there are several, none can be used."""
        return [provider for provider, _ in self._providers(self.family(family), name)]

    def _providers(self, family: Family, name: str) -> list[tuple[str, str]]:
        providers = sorted(
            (_distribution(entry_point), entry_point.dist.version if entry_point.dist is not None else "")
            for entry_point in self._groups.get(family.group, ())
            if entry_point.name == name
        )
        return providers + [
            (found.file, "") for found in self._found if (found.family, found.name) == (family.name, name)
        ]

    def _load(self, family: Family, name: str) -> type[Plugin[Any]]:
        providers = self._providers(family, name)
        if not providers:
            raise NotInstalledError(self._missing(family, name))
        if len(providers) > 1:
            who = " and ".join(provider for provider, _ in providers)
            raise AmbiguousError(f"the {family.name} {name!r} is provided by {who}; only one of them may stay")
        what = f"the {family.name} {name!r}"
        for found in self._found:
            if (found.family, found.name) == (family.name, name):
                return self._checked(family, found.plugin, what, found.file)
        entry_point = next(each for each in self._groups[family.group] if each.name == name)
        return self._checked(family, _import(entry_point, what), what, _distribution(entry_point))

    def _missing(self, family: Family, name: str) -> str:
        names = self.names(family.name)
        said = self.hint(family.name, name)
        if not said:
            said = f"; installed: {', '.join(names)}" if names else f", nor any other {family.name}"
        return f"no {family.name} is installed under the name {name!r}{said}{self.unread()}"

    def hint(self, family: str, name: str, beside: Iterable[str] = ()) -> str:
        """Return the end of a message about a name that leads nowhere: what to install, or what may have been meant.

        It is empty where neither is known. ``beside`` are names that are no plugins and could be meant, too.
        """
        meant = _to_install(f"{BUNDLE}-{family}-{name}", f"{BUNDLE}-{name}")
        return meant or _near(name, [*beside, *self.names(family)])

    def unread(self) -> str:
        """Return the end of a message about a name that leads nowhere: the files it could have stood in, each with the
        reason why nobody can tell.
        """
        return "".join(f"; {file} cannot be imported: {why}" for file, why in self._broken_files.items())

    @staticmethod
    def _checked(family: Family, plugin: Any, what: str, where: str) -> type[Plugin[Any]]:
        if not (isinstance(plugin, type) and issubclass(plugin, family.base)):
            raise BrokenError(what, f"{where}: its class does not inherit from hookgate.{family.base.__name__}")
        try:
            hooks_of(plugin, family.spec)
        except HookError as error:
            raise BrokenError(what, f"{where}: {error}") from error
        return plugin


def formats() -> list[str]:
    """Return the suffixes, without their dot, of the formats that are installed."""
    return sorted({entry_point.name for entry_point in _entry_points().get(FORMATS, ())})


@cache
def format_reader(suffix: str) -> Any:
    """Return what reads documents of a suffix, which is given without its dot. What was found once stays.

    Raises:
        LookupError: there is none, there are two, or it is broken.
    """
    found = _only(_entry_points().get(FORMATS, ()), suffix, f"the format {suffix!r}")
    if found is None:
        raise NotInstalledError(f"nothing that is installed reads {suffix!r}")
    return found


def _only(entry_points: Iterable[metadata.EntryPoint], name: str, what: str) -> Any:
    """Import what has a name; ``None`` if nothing has."""
    found = [entry_point for entry_point in entry_points if entry_point.name == name]
    if len(found) > 1:
        who = " and ".join(sorted(map(_distribution, found)))
        raise AmbiguousError(f"{what} is provided by {who}; only one of them may stay")
    return _import(found[0], what) if found else None


def _import(entry_point: metadata.EntryPoint, what: str) -> Any:
    try:
        return entry_point.load()
    except (Exception, SystemExit) as error:
        raise BrokenError(what, _why(entry_point, error)) from error


def _entry_points() -> dict[str, list[metadata.EntryPoint]]:
    """Return the entry points of hookgate by group, read in one go; of a distribution found twice the first counts."""
    importlib.invalidate_caches()
    groups: dict[str, list[metadata.EntryPoint]] = {}
    seen: set[str] = set()
    for distribution in metadata.distributions():
        ours = [entry_point for entry_point in distribution.entry_points if entry_point.group.startswith("hookgate.")]
        if ours and (name := _normalised(distribution.name)) not in seen:
            seen.add(name)
            for entry_point in ours:
                groups.setdefault(entry_point.group, []).append(entry_point)
    return groups


def _normalised(distribution: str) -> str:
    """The one spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _distribution(entry_point: metadata.EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else entry_point.value


def _why(entry_point: metadata.EntryPoint, error: BaseException) -> str:
    lacking = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    hint = _to_install(_normalised(lacking), _normalised(lacking.partition(".")[0]))
    return f"{_distribution(entry_point)}: {entry_point.value}: {type(error).__name__}: {error}{hint}"


def _to_install(*distributions: str) -> str:
    """Return the end of a message about what is missing: how to install the first of these that the bundle has."""
    bundled = _bundled()
    return next((f": pip install {name}" for name in distributions if name in bundled), "")


def _bundled() -> set[str]:
    """Names of the distributions that the bundle asks for."""
    try:
        wanted = metadata.requires(BUNDLE) or []
    except metadata.PackageNotFoundError:
        return set()
    return {_normalised(match[0]) for line in wanted if (match := re.match(r"[A-Za-z0-9._-]+", line)) is not None}


def _near(name: str, names: Mapping[str, Any] | list[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
