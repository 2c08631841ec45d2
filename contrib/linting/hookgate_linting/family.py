"""The family ``rule``: what others may find in flows, beside the rules that are built in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from hookgate import Family, Interceptor, Plugin, hookspec
from hookgate.contract import OptionsT

# mypy: disable-error-code="empty-body"


class SeenStep(Protocol):
    """A step with its effects: what it and the plugins in its options declare."""

    @property
    def step(self) -> Interceptor[Any]:
        """The step itself, with its ``options``; its ``entry`` says how the document names it."""

    @property
    def name(self) -> str:
        """What people call it: its label, or the name of the plugin."""

    @property
    def reads(self) -> frozenset[str]:
        """What it looks at: ``request.body``, ``identity``, …"""

    @property
    def writes(self) -> frozenset[str]:
        """What it changes or does: ``identity``, ``limit``, ``cache``, ``answer``, …"""

    @property
    def conditions(self) -> frozenset[str]:
        """The parts of a call that its condition (``_: {when: …}``) looks at."""


class Place(Protocol):
    """A step where it stands in the flow of a route. A step that many routes share has a place in each, and is looked
    at once where all around it is the same.
    """

    @property
    def request(self) -> bool:
        """Whether this is the way in; a step of both ways is looked at on each."""

    @property
    def seen(self) -> SeenStep:
        """The step."""

    def before(self) -> Iterator[SeenStep]:
        """Give what may have run before it on this way, the first one first; what branches contain, too."""

    def surely_before(self) -> Iterator[SeenStep]:
        """Give what runs before it whenever it runs: nothing of branches that a call may pass by."""

    def after(self) -> Iterator[SeenStep]:
        """Give what may run after it on this way, the nearest one first."""

    def earlier(self) -> Iterator[SeenStep]:
        """Give what may have run before it in the whole call: on the way out all of the way in, too."""


class RuleSpec:
    """``hookgate.rules``: what is written correctly in a flow and hardly meant so. Named in ``linting.rules``."""

    @hookspec(firstresult=True)
    def look(self, place: Place) -> Iterable[str] | None:
        """Return what is wrong with a step at its place, and what to do about it: a list of texts, or nothing.

        `hookgate check` shows each with the name of the rule, which an entry may accept.
        """


if TYPE_CHECKING:
    _Spec = RuleSpec
else:
    _Spec = object


class Rule(Plugin[OptionsT], _Spec):
    """Finds something in flows; see :class:`RuleSpec`."""

    family = "rule"


RULES = Family("rule", "rules", RuleSpec, Rule, "What is hardly meant so in a flow.")
