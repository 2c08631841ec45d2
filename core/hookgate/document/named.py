"""The sections `plugins` and `profiles`: instances that have a name of their own, and what these names stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
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

    def __init__(
        self, catalogue: Catalogue, problems: list[Problem], broken: set[str], sections: Mapping[str, set[str]]
    ) -> None:
        self.all: dict[Named, tuple[object, Path]] = {}
        """Entries, with their places."""
        self._catalogue = catalogue
        self._problems = problems
        self._broken = broken
        self._sections = sections
        """Names in sections, which may turn out to be those of instances."""

    def define(self, family: str, name: str, value: object, path: Path) -> None:
        """Let a name stand for one instance; one that is taken already is a mistake. Without a family the entry says
        it, or its name does.
        """
        try:
            if not family:
                given = written(value)
                family, value = self._family_of(given), replace(given, name=given.name.rpartition("/")[2])
        except Rejected as rejected:
            self._problems += [problem.under(path) for problem in rejected.problems]
            self._broken.add(name)
            return
        if (family, name) in self.all:
            self._problems.append(Problem(path, f"the name {name!r} is taken by another {family}", at_key=True))
        elif name in self._catalogue.names(family):
            message = f"{name!r} is the name of an installed plugin; give the instance a name of its own"
            self._problems.append(Problem(path[:2], message, at_key=True))
        else:
            self.all[family, name] = value, path

    def unknown(self, family: str, name: str, error: LookupError) -> str:
        """Say what is wrong where a name leads nowhere in a family."""
        if not isinstance(error, NotInstalledError):
            return str(error)
        for (other, known), (_, path) in self.all.items():
            if known == name:
                return f"{name!r} in `{path[0]}:` is {_a(other)}, and here stands {_a(family)}"
        meant = near(name, [known for other, known in self.all if other == family], listed=False)
        return f"there is no {family} {name!r}{meant}" if meant else str(error)

    def _family_of(self, given: Written) -> str:
        """Return the family of an entry that may be of any.

        Raises:
            Rejected: there is no such family, none has a plugin of that name, or several have.
        """
        family, slash, name = given.name.rpartition("/")
        families = [each for each in self._catalogue.families if each not in NEVER_PLACED]
        names = {each: self._catalogue.names(each) for each in families}
        having = [each for each in families if name in names[each]]
        if slash and family in families:
            return family
        if slash:
            message = f"there is no family {family!r} that may stand here{near(family, families)}"
        elif len(having) == 1:
            return having[0]
        elif "interceptor" in having or (not having and any(name in each for each in self._sections.values())):
            return "interceptor"
        elif having:
            forms = " or ".join(f"{each}/{name}" for each in having)
            message = f"{name!r} is {' and '.join(map(_a, having))}; write {forms}"
        else:
            hints = [self._catalogue.hint(each, name) for each in families]
            meant = next((hint for hint in hints if hint.startswith(":")), "")  # what to install
            meant = meant or near(name, chain.from_iterable(names.values()), listed=False)
            message = f"no plugin is installed under the name {name!r}{meant}{self._catalogue.unread()}"
        raise Rejected([Problem(given.prefix, message, at_key=bool(given.prefix))])


def _a(family: str) -> str:
    return f"{'an' if family[0] in 'aeiou' else 'a'} {family}"
