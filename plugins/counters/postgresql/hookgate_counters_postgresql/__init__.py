"""Counts limits in a PostgreSQL database, shared by every gateway that names it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from hookgate import CounterStore, Decision, Duration, Host, Limit, Options, ServiceUnavailable, hookimpl
from hookgate.workshop import PostgresqlPool, PostgresqlUrl, decided, slot_of, spread_of, tightest
from hookgate_counters_postgresql.statements import CLEAN, LOCK, TABLES, TAKE

AT_ONCE = 10_000
"""Counters that are taken out at a time."""
CLEANING = 60.0
"""Seconds between two looks for counters that are whole again."""
KEPT = 3600.0
"""Seconds that they stay: clocks of gateways differ."""
PAUSE = 0.5
"""Seconds after a failure in which nobody waits for the database again."""
_LENGTHS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_FIRST_MONDAY = 4 * 86_400
"""Unix time of 1970-01-05, since weeks begin on Mondays (ISO 8601)."""


class PostgresqlOptions(Options):
    """Options of `postgresql`."""

    url: PostgresqlUrl
    """`postgresql://user:password@host/database`. The table is made when a limit is first met."""
    connections: int = Field(default=10, ge=1, le=100)
    """Connections at most."""
    patience: Duration = Field(default=2.0, gt=0, le=10)
    """Seconds that a call waits for the database before it is refused."""


class Postgresql(CounterStore[PostgresqlOptions]):
    """Counts limits in a PostgreSQL database: a limit of 100 over any number of gateways lets exactly 100 through, and
    a restart forgets nothing.

    Each call that meets a limit asks the database once, which takes a millisecond or two; all limits of the call are
    taken in one step, or none of them. While the database is away nobody is let in: calls that meet a limit are
    answered 503, and `/-/health` says why. Counters go by the clocks of the gateways, so keep these in step. The
    database is not made to wait for its disk: where it crashes, what was counted in its last second may be forgotten.
    Counters that are whole again are taken out after an hour.
    """

    def __init__(self, options: PostgresqlOptions) -> None:
        super().__init__(options)
        self._pool = PostgresqlPool(options.url, TABLES, LOCK, options.connections, options.patience, self._away)
        self._failed_at = -math.inf

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of clock and log. No connection is opened yet."""
        self._clock = host.clock
        self._pool.log, self._pool.name = host.log, self.entry.id
        host.start("counters that are whole again", self._clean())

    @hookimpl
    async def shutdown(self) -> None:
        """Close the connections."""
        await self._pool.close()

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Tell of the database, once it has been asked for."""
        if not self._pool.is_open and not self._pool.trouble:
            return None
        facts: dict[str, Any] = {"database": self._pool.place}
        return facts | {"problems": [self._pool.trouble]} if self._pool.trouble else facts

    @hookimpl
    async def take(self, wants: Sequence[tuple[str, int, Limit]]) -> Decision:
        """Take units from every (key, cost, limit) or, when one refuses, from none of them (KC-32).

        Raises:
            ValueError: nothing is wanted, or a cost is below 0.
            ServiceUnavailable: the database cannot be asked.
        """
        if not wants or any(cost < 0 for _, cost, _ in wants):
            raise ValueError("a take wants at least one limit, and costs 0 or more")
        if time.monotonic() < self._failed_at + PAUSE:
            raise ServiceUnavailable("Limits cannot be counted at the moment.", reason="counters-away")
        now = self._clock.wall()
        ways = [(*spread_of(limit), _ends(limit, now)) for _, _, limit in wants]
        slots = [slot_of(key, limit) for key, _, limit in wants]
        costs = [min(cost, 2**53) for _, cost, _ in wants]
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = off")
            row = await connection.fetchrow(TAKE, now, slots, costs, *map(list, zip(*ways, strict=True)))
        if refused := row["refused"]:
            return decided(wants[refused - 1], row["before"][-1], row["until"][-1] - now, allowed=False)
        return tightest(
            decided(want, before, until - now, allowed=True)
            for want, before, until in zip(wants, row["before"], row["until"], strict=True)
        )

    def _away(self, trouble: str) -> Exception:
        self._failed_at = time.monotonic()
        return ServiceUnavailable("Limits cannot be counted at the moment.", reason="counters-away")

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(CLEANING)
            if self._pool.is_open:
                await self.clean()

    async def clean(self) -> None:
        """Take out counters that are whole again; what is wrong with the database is told by whoever counts."""
        try:
            async with self._pool.connection() as connection:
                await connection.execute(CLEAN, self._clock.wall() - KEPT, AT_ONCE)
        except ServiceUnavailable:
            pass


def _ends(limit: Limit, now: float) -> float:
    """Return when the calendar window of a limit ends; 0 where it is evenly spread."""
    return _end(limit.window, now) if isinstance(limit.window, str) else 0.0


def _end(window: str, wall: float) -> float:
    """Return when the calendar window ends that a moment lies in, in Unix time and by UTC (FL-40)."""
    if window == "month":
        at = datetime.fromtimestamp(wall, UTC)
        return datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC).timestamp()
    length = _LENGTHS[window]
    offset = _FIRST_MONDAY if window == "week" else 0
    return (wall - offset) // length * length + offset + length
