"""Counting kept traces again, by other tiers: who would have been refused (U10)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

from hookgate import MASK, Limit
from hookgate.document import Catalogue
from hookgate_throttling.tiers import Tiers

COUNTERS = 1_000_000
"""Callers that are told apart."""
REASONS = frozenset(
    f"{level}-throttled"
    for level in ("api", "backend", "resource", "application", "subscription", "condition", "burst")
)


class Whose(NamedTuple):
    """A line of the report."""

    level: str
    who: str
    tier: str


@dataclass
class Report:
    """What came of it."""

    traces: int = 0
    """Calls that were looked at."""
    unknown: int = 0
    """Of these, traces that tell nothing of limits: the call met none, or was traced by an older version."""
    before: int = 0
    """Calls that a limit has refused."""
    now: int = 0
    """Calls that a limit would refuse."""
    calls: Counter[Whose] = field(default_factory=Counter)
    """Calls that met a limit."""
    refused: Counter[Whose] = field(default_factory=Counter)
    """Calls that the limit would refuse."""
    first: dict[Whose, float] = field(default_factory=dict)
    """When it would have refused the first one, in Unix time."""

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        lines = [
            {
                "level": whose.level,
                "who": whose.who,
                "tier": whose.tier,
                "calls": calls,
                "refused": self.refused[whose],
                "first": self.first.get(whose),
            }
            for whose, calls in sorted(self.calls.items())
        ]
        return {
            "traces": self.traces,
            "without_limits": self.unknown,
            "refused_before": self.before,
            "refused_now": self.now,
            "limits": lines,
        }


class UnknownTiers(LookupError):
    """Traces name tiers that the document does not have."""


def traces_in(text: str) -> Iterator[Mapping[str, Any]]:
    """Walk over the traces in a text: one JSON document after the other, each a trace, a list of them, or a page of
    ``hookgate trace --json --full``.

    Raises:
        ValueError: it is something else, with where.
    """
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        begun = at
        found, at = decoder.raw_decode(text, at)
        items = found.get("traces", [found]) if isinstance(found, dict) else found
        for item in items if isinstance(items, list) else [items]:
            trace = item.get("trace", item) if isinstance(item, dict) else item
            if not isinstance(trace, dict) or not isinstance(trace.get("time"), int | float) or "hooks" not in trace:
                line = text.count("\n", 0, begun) + 1
                raise ValueError(
                    f"line {line}: what begins here has no whole traces; write them with hookgate trace --json --full"
                )
            yield trace


def tried(traces: Iterable[Mapping[str, Any]], tiers: Tiers, moved: Mapping[str, str]) -> Report:
    """Count traces in the order of their times, by the tiers of a document; ``moved`` gives other tiers for some.

    Raises:
        UnknownTiers: traces or ``moved`` name tiers that are not there.
        LookupError: nothing is installed that counts limits in the process.
    """
    report, clock = Report(), SimpleNamespace(at=0.0)
    clock.now = clock.wall = lambda: clock.at
    local: Any = Catalogue().get("counters", "local")
    counters = local(local.options_type(max_keys=COUNTERS))
    counters.startup(SimpleNamespace(clock=clock))
    ordered = sorted(traces, key=lambda trace: float(trace["time"]))
    _check(ordered, tiers, moved)
    for trace in ordered:
        clock.at = float(trace["time"])
        report.traces += 1
        noted = _noted(trace)
        report.before += (trace.get("fault") or {}).get("reason") in REASONS
        if not noted:
            report.unknown += 1
            continue
        wants = dict[str, tuple[Whose, Limit]]()
        for each in noted:
            for key, tier, limit in _limits(each, tiers, moved):
                if each["level"] == "resource" and any(whose.level == "api" for whose, _ in wants.values()):
                    continue
                who = str(each["who"]) if each["who"] != MASK else f"{MASK} {each['counter'][:6]}"
                wants.setdefault(key, (Whose(key.partition(" ")[0], who, tier), limit))
        report.calls.update(whose for whose, _ in wants.values())
        if not wants:
            continue
        decision = counters.take([(key, 1, limit) for key, (_, limit) in wants.items()])
        if not decision.allowed:
            whose, _ = wants[decision.key]
            report.now += 1
            report.refused[whose] += 1
            report.first.setdefault(whose, clock.at)
    return report


def _limits(each: Mapping[str, Any], tiers: Tiers, moved: Mapping[str, str]) -> Iterator[tuple[str, str, Limit]]:
    """Return what a level comes to: its counter, tier and limit. A burst comes of the tier of the subscription."""
    level, tier, counter = each["level"], each["tier"], each["counter"]
    if tier is None:
        if each["limit"] is not None:
            yield f"{level} {counter}", "", Limit(each["limit"], each["window"])
        return
    name = moved.get(tier, tier)
    if level == "subscription" and (burst := tiers.bursts[name]) is not None:
        yield f"burst {counter}", name, burst
    if level != "burst" and (limit := tiers.limits[name]) is not None:
        yield f"{level} {counter}", name, limit


def _check(traces: Iterable[Mapping[str, Any]], tiers: Tiers, moved: Mapping[str, str]) -> None:
    named = {each["tier"] for trace in traces for each in _noted(trace) if each["tier"] is not None}
    if unknown := ({moved.get(name, name) for name in named} | {*moved.values()}) - {*tiers.names()}:
        raise UnknownTiers(", ".join(sorted(unknown)))


def _noted(trace: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    facts = trace.get("facts")
    noted = facts.get("throttle") if isinstance(facts, Mapping) else None
    wanted = {"level", "who", "tier", "limit", "window", "counter"}
    return [each for each in noted or () if isinstance(each, Mapping) and wanted <= each.keys()]
