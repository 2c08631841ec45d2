"""The section ``tiers``: which tiers there are, who may choose which, and which one is in force."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hookgate import Host, Item, Limit, Problem, Section, Site, hookimpl
from hookgate_throttling.records import LENGTHS, PRESETS, Level, TierSection

MOST = 100_000
"""Applications whose tier of this window is remembered."""
MOST_MISSED = 100
"""Tiers that are not there of which is told."""
MISSED = 300.0
"""Seconds for which it is told that calls had them."""
_FIRST_MONDAY = 4 * 86_400
"""Unix time of 1970-01-05, since weeks begin on Mondays (ISO 8601)."""


class Tiers(Section[TierSection]):
    """Limits with names, chosen for APIs, resources, subscriptions and applications. The section is there without being
    written, and then has the tiers of the preset `classic`."""

    def __init__(self, items: Sequence[Item[TierSection]] = ()) -> None:
        super().__init__(items)
        chosen = [item.record.preset for item in self.items if item.record.preset is not None] or ["classic"]
        written = {item.name: item.record for item in self.items if item.record.preset is None}
        every = {**PRESETS[chosen[0]], **written}
        self.tiers: Mapping[str, TierSection] = {name: tier for name, tier in every.items() if tier.enabled}
        """Those that may be used, by name."""
        self.limits: Mapping[str, Limit | None] = {name: tier.counted for name, tier in self.tiers.items()}
        """What they allow, in the words of counters; none where calls are not counted."""
        self.bursts: Mapping[str, Limit | None] = {name: tier.bursting for name, tier in self.tiers.items()}
        """What they allow in a shorter time."""
        self.seen = OrderedDict[str, tuple[str, float]]()
        """Which tier an application has, and the window in which it was seen with it."""
        self._missed: dict[str, float] = {}
        """Tiers that calls had and that are not there, and when the last one had it, in Unix time."""
        self._host: Host

    @hookimpl
    def take_over(self, old: Tiers) -> None:
        """Go on with what is in force."""
        self.seen = old.seen

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the clock."""
        self._host = host

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say which tiers are not there that calls have had lately."""
        if not self._missed:
            return None
        now = self._host.clock.wall()
        names = sorted(name for name, at in self._missed.items() if at > now - MISSED)
        told = f"calls are refused whose tier is not there: {', '.join(map(repr, names))}; put it back, or give another"
        return {"problems": [told]} if names else None

    def miss(self, name: str, wall: float) -> bool:
        """Note a tier that a call has and that is not there; return whether it is the first call."""
        first = name not in self._missed
        if not first or len(self._missed) < MOST_MISSED:
            self._missed[name] = wall
        return first and name in self._missed

    def names(self) -> Collection[str]:
        """Return the names of the tiers that may be used."""
        return list(self.tiers)

    @classmethod
    def names_in(cls, written: object) -> Collection[str]:
        """Return the names of tiers as they are written, with those of the preset."""
        items = (
            {name: raw for name, raw in written.items() if isinstance(raw, Mapping)}
            if isinstance(written, Mapping)
            else {}
        )
        presets = [raw["preset"] for raw in items.values() if isinstance(raw.get("preset"), str)] or ["classic"]
        every = {**dict.fromkeys(PRESETS.get(presets[0], {}), True)}
        every.update({name: raw.get("enabled") is not False for name, raw in items.items() if "preset" not in raw})
        return [name for name, enabled in every.items() if enabled]

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse two presets, and taking away what is not there."""
        presets = [item for item in self.items if item.record.preset is not None]
        for item in presets[1:]:
            yield Problem(
                (*item.path, "preset"), f"{presets[0].name!r} has chosen a preset already; take one of them out"
            )
        there = PRESETS[presets[0].record.preset or "classic"] if presets else PRESETS["classic"]
        for item in self.items:
            tier = item.record
            if not tier.enabled and tier.limit is None and item.name not in there:
                yield Problem(
                    (*item.path, "limit"), "no tier of the preset has this name: write how many calls it allows"
                )

    def offered(self, roles: Collection[str], level: Level) -> list[str]:
        """Return the names of the tiers that somebody with these roles may choose at a level (KC-36)."""
        return [name for name in self.tiers if self.may_choose(name, roles, level)]

    def may_choose(self, name: str, roles: Collection[str], level: Level) -> bool:
        """Whether somebody with these roles may choose a tier at a level; not one that is not there."""
        tier = self.tiers.get(name)
        return tier is not None and level in tier.levels and tier.may_be_chosen(frozenset(roles))

    def in_force(self, key: str, name: str, wall: float) -> str:
        """Return the tier that counts for a key: the one it had when its window began, if that is of the calendar and
        the tier is still there. A tier that was changed counts from the next window (KC-33).
        """
        before = self.seen.get(key)
        if before is not None:
            limit = self.limits.get(before[0])
            if limit is not None and before[0] != name and _begun(limit, wall) == before[1]:
                return before[0]
            del self.seen[key]
        limit = self.limits.get(name)
        if limit is not None and isinstance(limit.window, str):
            self.seen[key] = (name, _begun(limit, wall))
            if len(self.seen) > MOST:
                self.seen.popitem(last=False)
        return name


def _begun(limit: Limit, wall: float) -> float:
    """Return a number that differs from one window of the calendar to the next."""
    window = limit.window
    if not isinstance(window, str):
        return -1.0
    if window == "month":
        at = datetime.fromtimestamp(wall, UTC)
        return float(at.year * 12 + at.month)
    return (wall - (_FIRST_MONDAY if window == "week" else 0)) // LENGTHS[window]
