"""Units of hot limits that a process has taken from the store at once, and gives out without asking it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hookgate import Decision, Limit
from hookgate.workshop import slot_of, spread_of

Want = tuple[str, int, Limit]
"""Key, cost and limit."""
HOT = 1.0
"""Seconds within which the units of a lease have to be used up for the next one to be twice as large."""
MOST_LEASES = 10_000
"""Leases that are kept at most; the one not asked for longest goes first, and its units are lost."""


@dataclass(slots=True)
class Lease:
    """Units of one limit."""

    left: int
    """Units that can be given out."""
    size: int
    """Units that there were."""
    made: float
    ends: float
    """Until when they can be given out, by the clock of the process."""
    remaining: int
    """What the store had left when it gave them."""
    reset: float
    """Seconds until the limit was whole again, when it gave them."""


@dataclass(slots=True)
class Given:
    """What a take got here, and what it has to ask the store for."""

    decisions: list[Decision] = field(default_factory=list)
    asked: list[Want] = field(default_factory=list)
    _taken: list[tuple[Lease, int]] = field(default_factory=list)

    def back(self) -> None:
        """Give back what was got: another limit has refused, or nobody answered."""
        for lease, cost in self._taken:
            lease.left += cost  # for nobody any more where another lease is in its place


class Leases:
    """Finds what can be given out here. For one thread; nothing waits."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[bytes, Lease] = OrderedDict()
        self._coming: set[bytes] = set()
        """Limits for which a lease is on its way: whoever asks for them meanwhile asks for no more than it needs."""

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, wants: Sequence[Want]) -> Given:
        """Take what is here; the rest has to be asked for."""
        now = self._clock()
        given = Given()
        for want in wants:
            key, cost, limit = want
            slot = slot_of(key, limit)
            lease = self._kept.get(slot)
            if lease is None or lease.left < max(cost, 1) or now >= lease.ends:
                given.asked.append(want)
                continue
            lease.left -= cost
            self._kept.move_to_end(slot)
            given._taken.append((lease, cost))
            reset = max(lease.reset - (now - lease.made) - lease.left * spread_of(limit)[0], 0.0)
            given.decisions.append(Decision(True, limit, lease.remaining + lease.left, reset, 0.0, key))
        return given

    def wanted(self, want: Want) -> int:
        """Return how many units beyond its cost are to be asked for; 0 for a limit that is not hot."""
        key, cost, limit = want
        slot = slot_of(key, limit)
        lease = self._kept.get(slot)
        if not cost or lease is None or lease.left or slot in self._coming or self._clock() >= lease.made + HOT:
            return 0
        self._coming.add(slot)
        return min(2 * lease.size + 1, self._most - 1)

    def keep(self, want: Want, units: int, decision: Decision, sent: float) -> None:
        """Keep what the store has given beyond the cost.

        Args:
            want: What it was asked for.
            units: What it gave beyond the cost.
            decision: What it decided.
            sent: When it was asked, by our clock: its window ends no earlier than so long after that as it says.
        """
        key, cost, limit = want
        slot = slot_of(key, limit)
        before = self._kept.get(slot)
        if not cost or (not units and before is not None and before.left and sent < before.ends):
            return
        # An evenly spread limit gives units back in its window, whoever has them; a calendar window ends with its own.
        ends = sent + (decision.reset if isinstance(limit.window, str) else limit.window)
        remaining = max(decision.remaining - units, 0)
        reset = decision.reset + units * spread_of(limit)[0]
        self._kept[slot] = Lease(units, units, self._clock(), ends, remaining, reset)
        self._kept.move_to_end(slot)
        if len(self._kept) > MOST_LEASES:
            self._kept.popitem(last=False)

    def arrived(self, wants: Sequence[Want]) -> None:
        """Note that nothing is on its way any more."""
        self._coming.difference_update(slot_of(key, limit) for key, _, limit in wants)
