"""A flow as the linter sees it: both ways in the order they run, each step with what it does, branches inside.

What a step reads and writes is what it and the plugins in its options declare; the steps of contained flows stand for
themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from hookgate import AuthMethod, Branch, FlowOptions, Interceptor, Options, Plugin, Ways
from hookgate.contract import FlowSpec, hooks_of
from hookgate.document import plugins_in


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A step with its effects, the same at all its places."""

    step: Interceptor[Any]
    reads: frozenset[str]
    writes: frozenset[str]
    verifies: frozenset[str]
    """What its methods of authentication read of the request."""
    conditions: frozenset[str]
    """What its condition (``_: {when: …}``) looks at."""
    enters: bool
    """The way in decides if it takes part in a call."""
    leaves: bool
    """It has something to do on the way out."""
    branches: tuple[tuple[tuple[Seen, ...], tuple[Seen, ...]], ...] = ()
    """Contained flows, each as its two ways."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.step.entry.label or self.step.entry.name


class Position:
    """A step at a place of one way, with what runs before it and after it."""

    __slots__ = ("index", "line", "outer", "request", "seen", "way_in")

    def __init__(
        self, line: Sequence[Seen], index: int, outer: Position | None, *, request: bool, way_in: Sequence[Seen]
    ) -> None:
        self.line = line
        self.index = index
        self.outer = outer
        self.request = request
        """On the way in."""
        self.way_in = way_in
        """The whole way in."""
        self.seen = line[index]

    def before(self) -> Iterator[Seen]:
        """What may have run before, on this way."""
        if self.outer is not None:
            yield from self.outer.before()
            yield self.outer.seen
        yield from _flat(self.line[: self.index], request=self.request)

    def after(self) -> Iterator[Seen]:
        """What may run afterwards, on this way: the nearest first."""
        yield from _flat(self.line[self.index + 1 :], request=self.request)
        if self.outer is not None:
            yield from self.outer.after()

    def surely_before(self) -> Iterator[Seen]:
        """What runs before for every call that gets here: no steps of branches that may be passed by."""
        if self.outer is not None:
            yield from self.outer.surely_before()
        yield from self.line[: self.index]

    def earlier(self) -> Iterator[Seen]:
        """What may have run before, on this way or, seen from the way out, on the way in."""
        if not self.request:
            yield from _flat(self.way_in, request=True)
        yield from self.before()


def _flat(line: Sequence[Seen], *, request: bool) -> Iterator[Seen]:
    for seen in line:
        yield seen
        for branch in seen.branches:
            yield from _flat(branch[0 if request else 1], request=request)


def positions(line: Sequence[Seen], *, request: bool, way_in: Sequence[Seen]) -> Iterator[Position]:
    """Walk over a way and what its branches contain, in the order it runs."""
    yield from _positions(line, None, request, way_in)


def _positions(
    line: Sequence[Seen], outer: Position | None, request: bool, way_in: Sequence[Seen]
) -> Iterator[Position]:
    for index, seen in enumerate(line):
        at = Position(line, index, outer, request=request, way_in=way_in)
        yield at
        for branch in seen.branches:
            yield from _positions(branch[0 if request else 1], at, request, way_in)


class Steps:
    """Looks at steps, at each once."""

    def __init__(self) -> None:
        self._known: dict[int, Seen] = {}
        self._kept: list[Plugin[Any]] = []
        """Keeps alive what the numbers above stand for."""

    def ways(self, *parts: FlowOptions | Ways) -> tuple[tuple[Seen, ...], tuple[Seen, ...]]:
        """Return the way in and the way out of flows inside each other, outermost first, as they run."""
        inwards: list[Seen] = []
        outwards: list[Seen] = []
        for part in parts:
            ways = part.ways()
            come = [self.see(step) for _, step in ways.way_in]
            go = [self.see(step) for _, step in ways.way_out]
            inwards += [seen for seen in come if seen.enters]
            outwards += [seen for seen in go if seen.leaves]
        return tuple(inwards), tuple(reversed(outwards))

    def see(self, step: Interceptor[Any]) -> Seen:
        """Return a step with what it does."""
        if id(step) not in self._known:
            self._kept.append(step)
            self._known[id(step)] = self._look(step)
        return self._known[id(step)]

    def _look(self, step: Interceptor[Any]) -> Seen:
        if (facts := _FACTS.get(step)) is None:  # most steps of a document live on from the one before
            facts = _FACTS[step] = _facts(step)
        branches = tuple(self.ways(flow) for flow in step.branches.values()) if isinstance(step, Branch) else ()
        reads, writes, verifies, conditions, enters, leaves = facts
        return Seen(step, reads, writes, verifies, conditions, enters, leaves, branches)


_FACTS: WeakKeyDictionary[Interceptor[Any], tuple[Any, ...]] = WeakKeyDictionary()
"""What was found out about steps."""


def _facts(step: Interceptor[Any]) -> tuple[Any, ...]:
    """Return what a step reads, writes, verifies and asks for, and whether it does anything on the two ways."""
    hooks = hooks_of(type(step), FlowSpec)
    reads, writes = set(step.reads), set(step.writes)
    verifies: set[str] = set()
    for inner in () if isinstance(step, Branch) else _nested(step.options):
        reads |= inner.reads
        writes |= inner.writes
        if isinstance(inner, AuthMethod):
            verifies |= inner.reads
    when = step.entry.when
    return (
        frozenset(reads),
        frozenset(writes),
        frozenset(verifies),
        frozenset(when.roots) if when is not None else frozenset(),
        bool(hooks.keys() & {"on_request", "choose"}),
        bool(hooks.keys() & {"on_response", "on_fault", "choose"}),
    )


def _nested(options: Options) -> Iterator[Plugin[Any]]:
    """Walk over the plugins in options, and those in theirs."""
    for found in plugins_in(options, None, ()):
        if found.plugin is not None:
            yield found.plugin
            yield from _nested(found.plugin.options)
