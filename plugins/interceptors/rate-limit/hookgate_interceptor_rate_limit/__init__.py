"""Bound how often callers may call, evenly spread or per calendar window."""

from collections.abc import Awaitable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hookgate import Decision, Exchange, Expression, Host, Interceptor, Limit, Options, TooManyRequests, hookimpl
from hookgate.workshop import LimitKey, Seconds, in_one_message, note_standing, read_by, refused_for, tell_standing

Window = Annotated[
    Seconds | Literal["second", "minute", "hour", "day", "week", "month"],
    in_one_message("window", "a window is a number of seconds above 0, or second, minute, hour, day, week or month"),
]


class RateLimitOptions(Options):
    """Options of `rate-limit`."""

    moved = {
        **dict.fromkeys(("requests", "calls", "rate", "count"), "how many calls may come is written limit"),
        **dict.fromkeys(("per", "period", "interval", "seconds"), "the time in which so many calls may come is window"),
    }
    limit: int = Field(ge=1)
    """Calls allowed in one window."""
    window: Window
    """Seconds, for calls spread evenly: `limit` (or `burst`) may come at once, and each gives its place back after
    `window / limit` seconds, so that no window ever sees more than `limit` plus `burst`. Or the name of a calendar
    window (`second`, `minute`, `hour`, `day`, `week`, `month`), which starts and ends by the clock in UTC: a minute
    that a call opens at 11:55:55 begins anew at 11:56:00."""
    burst: int | None = Field(default=None, ge=1)
    """Calls that may come at once, for a window in seconds; `limit` unless given. With 1, calls keep a distance of
    `window / limit` seconds."""
    by: Expression | None = None
    """What to count by, each value on its own: `request.client`, `identity.subject`, `identity.application`,
    `request.headers['x-key']`, or several as a list, `"{request.client, route.name}"`. Calls for which it is null are
    counted together, as one unknown caller. Without it everybody is counted together, or in the flow of a plan each
    application on its own."""
    ipv6_prefix: int = Field(default=64, ge=1, le=128)
    """Bits of an IPv6 address that tell callers apart where `by` reads `request.client`: who has a line has a whole
    /64. With 128 each address counts on its own."""
    soft: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Percentage over the limit that is still served, while the headers tell of the limit itself: with 10, a limit of
    100 serves 110 calls."""
    headers: bool = True
    """Whether answers tell the client how it stands: `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset`."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        Limit(self.limit, self.window, self.burst)
        return self


class RateLimit(Interceptor[RateLimitOptions]):
    """Answers 429 with `Retry-After` (seconds, RFC 9110) to a caller who has used up the limit.

    Each entry counts for itself; routes share a count by placing one named instance. Place it after the step that
    identifies the caller if it counts by `identity`. Every call that gets here is counted, whatever becomes of it; one
    that is refused is not.

    Answers carry three headers, on errors too: `RateLimit-Limit` (calls that may come at once), `RateLimit-Remaining`
    (calls left now) and `RateLimit-Reset` (seconds until all of them are there again). Where a call meets several
    limits, they tell of the tightest. The same three stand in `vars.rate_limit`, as `limit`, `remaining` and `reset`.
    """

    category = "traffic"
    sides = {"request"}
    paired = True
    writes = {"response.headers", "variables", "limit"}

    def __init__(self, options: RateLimitOptions) -> None:
        super().__init__(options)
        size = options.burst or options.limit
        self._size = size
        """Calls that may come at once, as the client is told."""
        self._extra = _share(size, options.soft)
        """Calls more than these that are served all the same."""
        self._limit = Limit(
            options.limit + _share(options.limit, options.soft),
            options.window,
            options.burst and options.burst + self._extra,
        )
        self.reads = read_by(options.by)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of the counters, which outlive configurations."""
        self._counters = host.counters
        window = self.options.window
        strategy = window if isinstance(window, str) else "spread"
        self._key = LimitKey(self.entry, strategy, self.options.by, self.options.ipv6_prefix)

    @hookimpl
    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        """Count the call.

        Raises:
            TooManyRequests: the limit is used up.
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
        note_standing(exchange, self._size, max(0, decision.remaining - self._extra), decision.reset)
        if not decision.allowed:
            wait, fields = refused_for(exchange, decision, told=self.options.headers)
            raise TooManyRequests(f"More calls came than are served here; try again in {wait} s.", headers=fields)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Tell the client how it stands."""
        tell_standing(exchange, told=self.options.headers)


def _share(amount: int, percentage: float) -> int:
    return int(amount * percentage / 100)
