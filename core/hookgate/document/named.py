"""The sections `plugins` and `profiles`: instances that have a name of their own, and what these names stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, model_validator

from hookgate.contract.hookspecs import hookimpl
from hookgate.contract.plugin import Options
from hookgate.contract.section import Definition, Section
from hookgate.document.catalogue import Catalogue, NotInstalledError
from hookgate.document.entries import ANY, PROFILE_SIDES, Rejected, Written, entry, written
from hookgate.exchange.errors import Path, Problem, near

Named = tuple[str, str]
"""Family and name of an instance that has a name of its own."""
Defined = tuple[object, Path]
"""The entry that a name stands for, with its place."""
NEVER_PLACED = frozenset({"section", "command", "source", "secret"})
"""Families of which no entry stands anywhere."""


class ProfileSection(Options):
    """A security profile: what stands for its name in the `methods` of `auth`, and in the `auth` of connections."""

    inbound: Annotated[Any, entry("auth"), Field(repr=False)] = None
    """How callers authenticate."""
    outbound: Annotated[Any, entry("credential"), Field(repr=False)] = None
    """How the gateway authenticates itself to backends."""

    @model_validator(mode="after")
    def _either(self) -> ProfileSection:
        if self.inbound is None and self.outbound is None:
            raise ValueError("write inbound, outbound or both")
        return self


class Shared(Options):
    """An instance with a name of its own: an entry of any family, with the family in front where that is needed."""

    entry: Any = Field(repr=False)

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return {"entry": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"x-hookgate-family": ANY}


class Plugins(Section[Shared]):
    """Instances with a name of their own, of any family; placing that name in several places shares one instance."""

    @hookimpl
    def instances(self) -> Iterable[Definition]:
        """Let them be placed by the names."""
        return [Definition(item.name, item.record.entry, item.path) for item in self.items]


class Profiles(Section[ProfileSection]):
    """Security profiles with a name of their own, placed by it on routes and connections."""

    @hookimpl
    def instances(self) -> Iterator[Definition]:
        """Let credentials and ways to authenticate be placed by the names."""
        for item in self.items:
            for side, family in PROFILE_SIDES.items():
                if (entry := getattr(item.record, side)) is not None:
                    yield Definition(item.name, entry, (*item.path, side), family)


class Names:
    """What the names of instances in one document stand for."""

    def __init__(self, catalogue: Catalogue, problems: list[Problem], broken: set[str]) -> None:
        self._catalogue = catalogue
        self._problems = problems
        self._broken = broken
        self._known: dict[Named, Defined] = {}
        self._others: list[tuple[str, Written, Path]] = []
        """Names that stand for other names, so that their families follow from those."""

    def define(self, family: str, name: str, value: object, path: Path) -> None:
        """Let a name stand for one instance; one that is taken already is a mistake. Without a family the entry says
        it, or its name does.
        """
        if family:
            self._add(family, name, value, path)
            return
        try:
            given = written(value)
            family = self._family_of(given)
        except Rejected as rejected:
            self._refuse(name, rejected, path)
            return
        given = replace(given, name=given.name.rpartition("/")[2])
        if family:
            self._add(family, name, given, path)
        else:
            self._others.append((name, given, path))

    def get(self, family: str, name: str) -> Defined | None:
        """Return what a name stands for, with its place."""
        return self.all().get((family, name))

    def all(self) -> Mapping[Named, Defined]:
        """Return every name with its family, and what it stands for."""
        if self._others:
            self._settle()
        return self._known

    def unknown(self, family: str, name: str, error: LookupError) -> str:
        """Say what is wrong where a name leads nowhere in a family."""
        if not isinstance(error, NotInstalledError):
            return str(error)
        for (other, known), (_, path) in self._known.items():
            if known == name:
                return f"{name!r} in `{path[0]}:` is {_a(other)}, and here stands {_a(family)}"
        meant = near(name, [known for other, known in self._known if other == family], listed=False)
        return f"there is no {family} {name!r}{meant}" if meant else str(error)

    def _add(self, family: str, name: str, value: object, path: Path) -> None:
        if (family, name) in self._known:
            self._problems.append(Problem(path, f"the name {name!r} is taken by another {family}", at_key=True))
        elif name in self._catalogue.names(family):
            message = f"{name!r} is the name of an installed plugin; give the instance a name of its own"
            self._problems.append(Problem(path[:2], message, at_key=True))
        else:
            self._known[family, name] = value, path

    def _refuse(self, name: str, rejected: Rejected, path: Path) -> None:
        self._problems += [problem.under(path) for problem in rejected.problems]
        self._broken.add(name)

    def _families(self) -> list[str]:
        return [family for family in self._catalogue.families if family not in NEVER_PLACED]

    def _family_of(self, given: Written) -> str:
        """Return the family of an entry that may be of any; empty where no plugin has that name.

        Raises:
            Rejected: there is no such family, or several have a plugin of that name.
        """
        family, slash, name = given.name.rpartition("/")
        families = self._families()
        if not slash:
            return _one_of([each for each in families if name in self._catalogue.names(each)], given)
        if family not in families:
            raise _wrong(given, f"there is no family {family!r} that may stand here{near(family, families)}")
        return family

    def _settle(self) -> None:
        """Find the families of names that stand for other names."""
        left, self._others = self._others, []
        more = True
        while more:
            now, left, more = left, [], False
            for each in now:
                name, given, path = each
                try:
                    family = _one_of([family for family, known in self._known if known == given.name], given)
                except Rejected as rejected:
                    self._refuse(name, rejected, path)
                    continue
                if family:
                    self._add(family, name, given, path)
                    more = True
                else:
                    left.append(each)
        waiting = {name for name, _, _ in left}
        for name, given, path in left:
            if given.name in waiting:  # in a circle, or behind one: whoever builds it sees that
                self._add("interceptor", name, given, path)
            else:
                why = f"no plugin is installed under the name {given.name!r}{self._meant(given.name)}"
                self._refuse(name, _wrong(given, why), path)

    def _meant(self, name: str) -> str:
        families = self._families()
        hints = [self._catalogue.hint(family, name) for family in families]
        names = {each for family in families for each in self._catalogue.names(family)}
        names.update(known for _, known in self._known)
        said = next((hint for hint in hints if hint.startswith(":")), "") or near(name, names, listed=False)
        return said + self._catalogue.unread()


def _one_of(families: list[str], given: Written) -> str:
    if len(families) < 2 or "interceptor" in families:
        return "interceptor" if "interceptor" in families else "".join(families)
    forms = " or ".join(f"{family}/{given.name}" for family in families)
    raise _wrong(given, f"{given.name!r} is {' and '.join(map(_a, families))}; write {forms}")


def _wrong(given: Written, message: str) -> Rejected:
    return Rejected([Problem(given.prefix, message, at_key=bool(given.prefix))])


def _a(family: str) -> str:
    return f"{'an' if family[0] in 'aeiou' else 'a'} {family}"
