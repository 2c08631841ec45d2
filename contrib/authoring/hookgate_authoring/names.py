"""The names of a plugin: all of them derive from its family and its name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from hookgate import Family
from hookgate.commands import app

_KEBAB = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Names:
    """A plugin, as everything that belongs to it is called."""

    family: Family
    name: str
    """As in documents: ``ip-allow``."""

    @property
    def distribution(self) -> str:
        """As it is installed: ``hookgate-interceptor-ip-allow``."""
        return f"hookgate-{self.family.name}-{self.name}"

    @property
    def package(self) -> str:
        """As it is imported: ``hookgate_interceptor_ip_allow``."""
        return self.distribution.replace("-", "_")

    @property
    def camel(self) -> str:
        """The class: ``IpAllow``."""
        return camel(self.name)

    @property
    def test_file(self) -> str:
        """The test beside it: ``test_ip_allow.py``."""
        return f"test_{self.name.replace('-', '_')}.py"

    @property
    def taken(self) -> str:
        """Why nobody would find a plugin of this name; empty where somebody does."""
        if self.family.name == "section" and (self.name in ("secrets", "environments") or self.name.startswith("x-")):
            return f"what stands under {self.name!r} at the top of a document is not read as a section"
        if self.family.name == "command" and self.name in [each.name for each in app.registered_commands]:
            return f"`hookgate {self.name}` is a command of core's own"
        return ""

    def entry(self, family: Family) -> str:
        """What the entry point of a family says; a distribution may serve several, and its own comes without suffix. A
        command beside others has a module of its own."""
        if family.name == self.family.name:
            return f"{self.package}:{self.camel}"
        if family.name == "command":
            return f"{self.package}.command:{self.camel}"
        return f"{self.package}:{self.camel}{camel(family.name)}"

    def fits(self, family: Family, value: str) -> bool:
        """Whether an entry point may say this: capitals are its author's (``OAuth1``), and so is whether the family
        stands behind the name, as it must where two classes would be called alike."""
        module, _, cls = value.partition(":")
        plain, alone = self.camel.lower(), family.name == "command" and module == f"{self.package}.command"
        allowed = {plain + camel(family.name).lower()}
        if alone or family.name == self.family.name:
            allowed.add(plain)
        return (alone or module == self.package) and cls.lower() in allowed


def camel(name: str) -> str:
    """Write ``ip-allow`` as ``IpAllow``."""
    return "".join(word.capitalize() for word in name.split("-"))


def is_kebab(name: str) -> bool:
    """Whether a name is written as names of plugins are: lower case, digits, single hyphens."""
    return _KEBAB.fullmatch(name) is not None


def normalised(requirement: str) -> str:
    """The distribution that a requirement names, in its one spelling."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0]).lower()


def near(word: str, words: Iterable[str]) -> str:
    """`; did you mean …?` where one of the words is close, else nothing."""
    found = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
