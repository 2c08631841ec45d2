"""The step ``throttle``: a call has to keep all of its limits, and one that refuses costs the others nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from hookgate import Decision, Exchange, Host, Interceptor, hookimpl
from hookgate.workshop import note_standing, read_by, refused_for, tell_standing
from hookgate_throttling.levels import Level, Levels
from hookgate_throttling.options import ThrottleOptions
from hookgate_throttling.store import Counting

FACT = "throttle"
"""Under which a trace tells of the levels that a call has met."""


class Throttle(Interceptor[ThrottleOptions]):
    """Holds calls to the limits of their API or resource, address, subscription, application and backend: all of them
    are taken in one step, or none (KC-32).

    Place it right of the steps that find out who calls, so that only calls that are let in count (KC-29). A call is
    looked for in the section `blocks` first. What subscription and application it belongs to it takes from
    `vars.subscription`, or from its own options. APIs are counted by name and version, so that all flows of an API
    share a count, and subscriptions and applications by what identifies them, over all of their APIs.

    The first limit that refuses says how, each with a `code` of its own: 900800 API or address, 900802 resource, 900804
    subscription, 900807 its burst, 900803 application, 900806 condition, all 429; 900805 blocked, 429; 900801 backend,
    503. With `Retry-After` (seconds), and `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`, which every
    answer has, of the tightest limit.
    """

    category = "traffic"
    scopes = {"route", "api", "resource", "operation", "plan"}
    sides = {"request"}
    paired = True
    writes = {"response.headers", "variables", "limit"}

    def __init__(self, options: ThrottleOptions) -> None:
        super().__init__(options)
        expressions = [expression for each in options.conditions for expression in (each.by, each.when)]
        for level in (options.subscription, options.application):
            expressions += [] if level is None else [level.by, level.tier]
        self.reads = frozenset().union(*map(read_by, expressions), {"identity"} if options.per_user else ())

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of tiers, block lists and counters."""
        self._levels = Levels(self.options, host)
        self._counting = Counting(host, self.options.when_store_fails, self.options.patience)
        self._refused = host.metrics.counter("throttle_refused_total", "Calls that a limit has refused.", ("reason",))

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Tell of counters that do not answer."""
        return self._counting.health()

    @hookimpl
    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        """Count the call.

        Raises:
            Blocked: the section `blocks` has it.
            TooManyRequests: a limit is used up.
            ServiceUnavailable: the backend has got what it may get, or limits cannot be counted.
        """
        met = self._levels.of(exchange)
        if exchange.trace is not None:
            exchange.facts[FACT] = [*exchange.facts.get(FACT, ()), *(level.noted() for level in met)]
        levels, wants = [], []
        for level in met:
            if level.limit is not None:
                levels.append(level)
                wants.append((level.key, 1, level.limit))
        if not wants:
            return None
        decision = self._counting.take(wants)
        if decision is None:
            exchange.note("passes uncounted: the counters cannot be asked")
            return None
        if isinstance(decision, Decision):
            self._decide(exchange, levels, decision)
            return None
        return self._later(exchange, levels, decision)

    async def _later(self, exchange: Exchange, levels: list[Level], coming: Awaitable[Decision | None]) -> None:
        decision = await coming
        if decision is None:
            exchange.note("passes uncounted: the counters cannot be asked")
        else:
            self._decide(exchange, levels, decision)

    def _decide(self, exchange: Exchange, levels: list[Level], decision: Decision) -> None:
        limit = decision.limit
        note_standing(exchange, limit.burst or limit.amount, decision.remaining, decision.reset)
        if decision.allowed:
            self._levels.counted(exchange, levels)
            return
        level = next(each for each in levels if each.key == decision.key)
        wait, fields = refused_for(exchange, decision, told=self.options.headers)
        self._refused.add(1, level.fault.default_reason)
        raise level.fault(f"The limit of {level.whose} is used up; try again in {wait} s.", headers=fields)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Tell the client how it stands."""
        tell_standing(exchange, told=self.options.headers)
