"""Keep a least time between two calls."""

from collections.abc import Awaitable
from typing import Annotated, Literal

from pydantic import Field

from hookgate import Decision, Exchange, Expression, Host, Interceptor, Limit, Options, TooManyRequests, hookimpl
from hookgate.workshop import LimitKey, Seconds, in_one_message, read_by, refused_for

SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
Interval = Annotated[
    Seconds | Literal["second", "minute", "hour"],
    in_one_message("interval", "an interval is a number of seconds above 0, or second, minute or hour"),
]


class SpikeArrestOptions(Options):
    """Options of `spike-arrest`."""

    moved = {
        **dict.fromkeys(("requests", "calls", "rate", "count"), "how many calls may come is written limit"),
        **dict.fromkeys(("per", "period", "window", "seconds"), "the time in which so many calls may come is interval"),
    }
    limit: int = Field(ge=1)
    """Calls in one interval. They are kept apart by `interval / limit`: with 10 a minute, a call passes if the last one
    that passed did so 6 seconds ago or more."""
    interval: Interval = "second"
    """`second`, `minute`, `hour`, or a number of seconds."""
    by: Expression | None = None
    """Whose calls are kept apart, each value on its own: `request.client`, `identity.subject`,
    `request.headers['x-key']`, or several as a list, `"{request.client, route.name}"`. Calls for which it is null are
    taken together, as of one unknown caller. Without it all calls at this step are kept apart, or in the flow of a
    plan those of each application."""
    ipv6_prefix: int = Field(default=64, ge=1, le=128)
    """Bits of an IPv6 address that tell callers apart where `by` reads `request.client`: who has a line has a whole
    /64. With 128 each address counts on its own."""


class SpikeArrest(Interceptor[SpikeArrestOptions]):
    """Answers 429 with `Retry-After` (seconds, RFC 9110) to a call that comes too soon after the last one that passed.

    So calls reach the backend one by one, where `rate-limit` lets those of a whole window come at once. A call that was
    refused is no reason to refuse the next one. Each entry keeps apart what comes to itself, in this process; an API
    and all that is below it are one entry.
    """

    category = "traffic"
    sides = {"request"}
    writes = {"limit"}

    def __init__(self, options: SpikeArrestOptions) -> None:
        super().__init__(options)
        interval = options.interval
        seconds = SECONDS[interval] if isinstance(interval, str) else interval
        self._limit = Limit(options.limit, seconds, burst=1)  # GCRA without a burst: a distance, and nothing saved up
        self.reads = read_by(options.by)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of the counters, which go by the clock of the house, keep to a bound and outlive configurations."""
        self._counters = host.counters
        self._key = LimitKey(self.entry, "apart", self.options.by, self.options.ipv6_prefix)

    @hookimpl
    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        """Refuse a call that comes too soon.

        Raises:
            TooManyRequests: with the reason `spike-arrested`.
            Forbidden: `by` reads the address of a client that cannot be read (`address-unknown`).
            ExpressionError: `by` cannot be evaluated, which is answered as an error of the configuration, 500.
        """
        decision = self._counters.take([(self._key.of(exchange), 1, self._limit)])
        if isinstance(decision, Decision):
            self._decide(exchange, decision)
            return None
        return self._later(exchange, decision)

    async def _later(self, exchange: Exchange, decision: Awaitable[Decision]) -> None:
        """Decide by counters that others share."""
        self._decide(exchange, await decision)

    def _decide(self, exchange: Exchange, decision: Decision) -> None:
        if not decision.allowed:
            wait, fields = refused_for(exchange, decision, told=False)
            raise TooManyRequests(
                f"Calls came closer together than is served here; try again in {wait} s.",
                reason="spike-arrested",
                headers=fields,
            )
