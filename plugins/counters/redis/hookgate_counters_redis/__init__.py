"""Counts limits in Valkey or Redis, shared by every gateway that names it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from hookgate import CounterStore, Decision, Duration, Host, Limit, Options, ServiceUnavailable, hookimpl
from hookgate.workshop import decided, slot_of, spread_of, tightest
from hookgate_counters_redis.leases import Given, Leases
from hookgate_counters_redis.script import TAKE
from hookgate_counters_redis.server import RedisUrl, Server

PAUSE = 0.5
"""Seconds after a failure in which nobody waits for the server again."""


class RedisOptions(Options):
    """Options of `redis`."""

    url: RedisUrl
    """`redis://user:password@host:6379/0`, `rediss://` with TLS, or `unix:///run/valkey/valkey.sock`. Nothing is asked
    before a limit is first met."""
    ca_file: Path | None = None
    """Authorities that the server's certificate is trusted by, as PEM; those of this machine unless given."""
    prefix: str = Field(default="hookgate", pattern=r"^[A-Za-z0-9._:-]{1,64}$")
    """What keys begin with: gateways that name one server and one prefix share their limits."""
    connections: int = Field(default=20, ge=1, le=1000)
    """Connections at most; who finds none free waits for one."""
    patience: Duration = Field(default=0.5, gt=0, le=10)
    """Seconds that a call waits for the server before it is refused."""
    lease: int = Field(default=1, ge=1, le=1000)
    """Units of a hot limit that are taken at once at most, and given out without asking the server again. With 1 each
    call asks, and limits are exact."""


class Redis(CounterStore[RedisOptions]):
    """Counts limits in Valkey, or in Redis from version 5 on: a limit of 100 over any number of gateways lets exactly
    100 through, and a restart of a gateway forgets nothing.

    Each call that meets a limit asks the server once; one script takes all limits of the call, or none of them, by the
    clock of the server, so those of the gateways may differ. While the server is away, or does not answer within
    `patience`, nobody is let in: calls that meet a limit are answered 503, and `/-/health` says why; the step
    `throttle` can do otherwise by `when_store_fails`. In a cluster all keys of a prefix lie on one shard. Give the
    server memory enough and no policy that evicts keys, for what it drops is not counted; each key ends by itself.

    With `lease` above 1 a process takes several units of a limit that is asked for often, twice as many each time they
    are used up within a second, and never more than a quarter of what is left. A calendar window then still never lets
    more through than its amount; a process that stops asking leaves at most `lease - 1` units of it unused. With a
    window in seconds each process may let at most `lease - 1` more through than the limit says, within one window.
    Units that were given out belong to a process and end with it.
    """

    def __init__(self, options: RedisOptions) -> None:
        super().__init__(options)
        self._server = Server(
            options.url, options.ca_file, TAKE, options.connections, options.patience, self._unanswered
        )
        self._begin = f"{{{options.prefix}}}:".encode()  # in braces: one script wants all of its keys on one shard
        self._paused_until = 0.0
        self._leases: Leases | None = None
        self._time: float | None = None
        """Time that the script goes by in tests; otherwise by that of the server."""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of clock and log. No connection is opened yet."""
        self._clock = host.clock
        self._server.log, self._server.name = host.log, self.entry.id
        if self.options.lease > 1:
            self._leases = Leases(self.options.lease, host.clock.now)

    @hookimpl
    async def shutdown(self) -> None:
        """Close the connections."""
        await self._server.close()

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Tell of the server, once it has been asked."""
        if not self._server.is_open:
            return None
        facts: dict[str, Any] = {"server": self._server.place}
        return facts | {"problems": [self._server.trouble]} if self._server.trouble else facts

    @hookimpl
    def take(self, wants: Sequence[tuple[str, int, Limit]]) -> Decision | Awaitable[Decision]:
        """Take units from every (key, cost, limit) or, when one refuses, from none of them (KC-32).

        Raises:
            ValueError: nothing is wanted, or a cost is below 0.
            ServiceUnavailable: the server cannot be asked (`counters-away`).
        """
        if not wants or any(cost < 0 for _, cost, _ in wants):
            raise ValueError("a take wants at least one limit, and costs 0 or more")
        if self._leases is None:
            return self._asked(wants, None)
        given = self._leases.take(wants)
        if not given.asked:
            return tightest(given.decisions)
        return self._leased(self._leases, given)

    async def _leased(self, leases: Leases, given: Given) -> Decision:
        try:
            found = await self._asked(given.asked, leases)
        except BaseException:
            given.back()
            raise
        if not found.allowed:
            given.back()
            return found
        return tightest([*given.decisions, found])

    async def _asked(self, wants: Sequence[tuple[str, int, Limit]], leases: Leases | None) -> Decision:
        if time.monotonic() < self._paused_until:
            raise self._away()
        arguments: list[object] = ["" if self._time is None else repr(self._time)]
        more = [0 if leases is None else leases.wanted(want) for want in wants]
        for (_, cost, limit), units in zip(wants, more, strict=True):
            window = limit.window if isinstance(limit.window, str) else ""
            arguments += (min(cost, 2**53), *map(repr, spread_of(limit)), window, units)
        sent = self._clock.now()
        try:
            found = await self._server.run([self._begin + slot_of(key, limit) for key, _, limit in wants], arguments)
        finally:
            if leases is not None:
                leases.arrived([want for want, units in zip(wants, more, strict=True) if units])
        if refused := int(found[0]):
            return decided(wants[refused - 1], float(found[1]), float(found[2]), allowed=False)
        decisions = []
        for at, want in enumerate(wants):
            before, rest, units = found[1 + 3 * at : 4 + 3 * at]
            decision = decided(want, float(before), float(rest), allowed=True)
            if leases is not None:
                leases.keep(want, int(units), decision, sent)
            decisions.append(decision)
        return tightest(decisions)

    def _unanswered(self, _trouble: str) -> Exception:
        self._paused_until = time.monotonic() + PAUSE
        return self._away()

    @staticmethod
    def _away() -> ServiceUnavailable:
        return ServiceUnavailable(
            "Limits cannot be counted at the moment: the counters redis do not answer.", reason="counters-away"
        )
