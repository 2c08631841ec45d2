"""Asking the rules of others: one that fails is named once, asked no more, and stops nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hookgate import Problem
from hookgate.exchange import Path
from hookgate_linting.family import Rule
from hookgate_linting.rules import Finding
from hookgate_linting.sequence import Position

log = logging.getLogger("hookgate.linting")

LONGEST = 1000
"""Characters of what a rule finds."""
MOST = 20
"""Findings of a rule in one step at one place."""


class Guests:
    """The rules that a document names."""

    def __init__(self, rules: Sequence[Rule[Any]], placed: Mapping[str, Path]) -> None:
        self._rules = list(rules)
        self._placed = placed
        self.failed: dict[str, Problem] = {}
        """By the names of rules that cannot be asked: why."""

    def look(self, at: Position) -> Iterator[Finding]:
        """Ask all of them about a step."""
        for rule in list(self._rules):
            try:
                said = self._asked(rule, at)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - another distribution's code may raise anything
                self._rules.remove(rule)
                self._fail(rule, error)
            else:
                yield from said

    def _asked(self, rule: Rule[Any], at: Position) -> list[Finding]:
        told = rule.look(at)
        if told is None:
            return []
        if isinstance(told, str | bytes):
            raise _Nonsense(f"gave {type(told).__name__}, where a list of texts should be")
        found = []
        for text in told:
            if not isinstance(text, str) or not text.strip():
                raise _Nonsense(f"gave {type(text).__name__}, where a text should be")
            found.append(Finding(rule.entry.name, at.seen, " ".join(text[:LONGEST].split())))
            if len(found) == MOST:
                break
        return found

    def _fail(self, rule: Rule[Any], error: BaseException) -> None:
        name = rule.entry.name
        if isinstance(error, _Nonsense):
            why = str(error)
        else:
            why = f"raised {type(error).__name__}"
            log.error("the rule %s failed", name, exc_info=error)
        message = f"the rule {name} looks no further, since it {why} [{name}]"
        self.failed[name] = Problem(self._placed.get(rule.entry.id, ("linting",)), message)


class _Nonsense(Exception):
    """A rule has given something that is no finding."""
