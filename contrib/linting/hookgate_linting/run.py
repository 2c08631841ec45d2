"""Linting a whole configuration: every route with the flow that calls really pass, each finding once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from hookgate import FlowOptions, Problem, Ways
from hookgate.exchange import Path
from hookgate_linting.family import Rule
from hookgate_linting.guests import Guests
from hookgate_linting.rules import ALL, Finding
from hookgate_linting.sequence import Position, Steps, positions


@dataclass(slots=True)
class _Found:
    message: str
    path: Path
    routes: dict[str, None] = field(default_factory=dict)
    """Names of routes, in order."""


class Linter:
    """Looks at one flow after the other and keeps what it finds.

    A step that many flows share, since they inherit it or place the same instance, is one place in the document, and
    what is wrong with it is one finding.
    """

    def __init__(
        self,
        placed: Mapping[str, Path],
        accepts: Mapping[str, Mapping[str, str]],
        rules: Sequence[Rule[Any]] = (),
    ) -> None:
        self._placed = placed
        """Where entries stand, by id."""
        self._accepts = accepts
        """Rules that entries accept, by id; the very mapping of the document, so that copies count as one."""
        self._guests = Guests(rules, placed)
        self._steps = Steps()
        self._flows: dict[tuple[Any, ...], list[_Found]] = {}
        self._found: dict[tuple[str, Path, str], _Found] = {}
        """By rule, place and, of the rules of others, message."""
        self._visited: dict[int, tuple[Mapping[str, str], Path]] = {}
        self._used: set[tuple[int, str]] = set()

    def look(self, name: str, *parts: FlowOptions | Ways) -> None:
        """Look at the flow of a route: its parts from the outside in."""
        way_in, way_out = self._steps.ways(*parts)
        flow = (tuple(map(id, way_in)), tuple(map(id, way_out)))
        if flow in self._flows:  # an operation that says nothing of its own, a route on another host
            for found in self._flows[flow]:
                found.routes[name] = None
            return
        here = self._flows[flow] = []
        for request, line in ((True, way_in), (False, way_out)):
            for at in positions(line, request=request, way_in=way_in):
                self._visit(at)
                for finding in chain.from_iterable(rule(at) for rule in ALL):
                    here += self._note(name, at, finding)
                for finding in self._guests.look(at):
                    here += self._note(name, at, finding, finding.message)

    def warnings(self) -> Iterator[Problem]:
        """Give what was found, and what was accepted without need."""
        yield from self._guests.failed.values()
        for (rule, *_), found in self._found.items():
            others = len(found.routes) - 1
            where = f"in {next(iter(found.routes))}" + (f" and {others} more" if others else "")
            yield Problem(found.path, f"{found.message} ({where}) [{rule}]")
        for number, (accepted, path) in self._visited.items():
            for rule in accepted:
                if (number, rule) not in self._used and rule not in self._guests.failed:
                    message = f"{rule} is accepted here, and there is nothing to accept: take it out [accepted-in-vain]"
                    yield Problem((*path, rule), message, at_key=True)

    def _visit(self, at: Position) -> None:
        entry = at.seen.step.entry
        accepted = self._accepts.get(entry.id)
        if accepted is not None and id(accepted) not in self._visited:
            place = self._place(at)
            self._visited[id(accepted)] = accepted, (*place, entry.name, "_", "accept")

    def _note(self, name: str, at: Position, finding: Finding, message: str = "") -> Iterator[_Found]:
        rule = finding.rule
        accepted = self._accepts.get(at.seen.step.entry.id)
        if accepted is not None and rule in accepted:
            self._used.add((id(accepted), rule))
            return
        place = self._place(at)
        found = self._found.setdefault((rule, place, message), _Found(finding.message, place))
        found.routes[name] = None
        yield found

    def _place(self, at: Position) -> Path:
        """Return where a step stands."""
        return self._placed.get(at.seen.step.entry.id, ())
