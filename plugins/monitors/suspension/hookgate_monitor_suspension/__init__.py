"""Leaves a target alone for a while after it has failed, longer each time."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hookgate import Clock, Duration, Failures, Health, Host, Monitor, MonitorOptions, Outcome, Target, hookimpl

REASON = "endpoint-suspended"
"""Reason of the 503 that a call gets while every target is suspended; the step `faults` writes 303001."""
MOST_TARGETS = 1_000
"""Targets that are remembered; discovery may bring ever new ones."""


class SuspensionOptions(MonitorOptions):
    """Options of `suspension`. It sends no checks, so `interval` and `timeout` mean nothing here."""

    moved = {
        **dict.fromkeys(("error_codes", "codes", "errors"), "what counts as a failure is written on"),
        **dict.fromkeys(("initial_duration", "duration"), "how long the first suspension lasts is written initial"),
        "progression_factor": "by what suspensions grow is written factor",
        **dict.fromkeys(("maximum_duration", "max_duration"), "how long a suspension lasts at most is written maximum"),
        **dict.fromkeys(
            ("retries_before_suspension", "retries"), "failures in a row that suspend are written failures"
        ),
    }
    on: Failures = ("connect-failed", "timeout", "broken")
    """What counts as a failure: ways in which a call ends, status codes, and codes of transport errors, `101500` to
    `101510`, which are taken for the ways that they stand for."""
    failures: int = Field(default=1, ge=1)
    """Failures in a row that suspend a target that is well. One that was suspended is so again after the next."""
    initial: Literal[-1] | Duration = Field(default=30.0, ge=-1)
    """Seconds of the first suspension; with 0 or -1 a target is never suspended."""
    factor: float = Field(default=1.0, ge=1, le=1000, allow_inf_nan=False)
    """How many times as long each suspension is as the one before, while the target has not answered well between."""
    maximum: Duration = Field(default=3600.0, gt=0)
    """Seconds that a suspension lasts at most."""
    unhealthy_after: int = Field(default=1, ge=1, le=1)
    """Always 1: a suspended target is out of rotation at once."""
    backoff: float = Field(default=1.0, ge=1, le=1)
    """Always 1: it is `factor` by which suspensions grow."""


class _State:
    """What is known of one target."""

    __slots__ = ("row", "since", "times", "until")

    def __init__(self) -> None:
        self.row = 0
        """Failures since it was well."""
        self.times = 0
        """Suspensions in a row."""
        self.since = float("-inf")
        """When it was suspended last: calls that began before tell nothing new."""
        self.until = float("-inf")


class Suspension(Monitor[SuspensionOptions]):
    """Suspends a target that fails (KC-68): for `initial` seconds, then for `initial * factor ** n`, at most `maximum`,
    until it answers well.

    Where every target is suspended, calls get 503 with the reason `endpoint-suspended`, which the step `faults` writes
    as 303001, also with a single target. When its time is over, calls go to the target again: the first failure
    suspends it anew, and a good answer makes it well. A call that the client broke off says nothing, and neither does
    one that began before the suspension. Whether the call itself is tried on another target is said by `retry.on` and
    `max_tries` of the connection.
    """

    def __init__(self, options: SuspensionOptions) -> None:
        super().__init__(options)
        self._states: dict[str, _State] = {}
        """By URL, so that a reload changes nothing."""
        self._clock: Clock | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the time from the clock of the house."""
        self._clock = host.clock

    @hookimpl
    def admit(self, target: Target) -> str | None:
        """Refuse while the target is suspended."""
        state = self._states.get(target.url)
        return REASON if state is not None and self._now() < state.until else None

    @hookimpl
    def observe(self, target: Target, outcome: Outcome) -> Health | None:
        """Count how a call ended; suspend the target, or find it well."""
        if outcome.kind == "aborted" or self.options.initial <= 0:
            return None
        now, state = self._now(), self._states.get(target.url)
        if state is not None and now - outcome.seconds < state.since:
            return None
        if outcome.kind not in self.options.on and outcome.status not in self.options.on:
            self._states.pop(target.url, None)
            return Health(healthy=True, reason="calls succeed")
        if state is None:
            if len(self._states) >= MOST_TARGETS:
                self._states = {url: each for url, each in self._states.items() if each.until > now}
            state = self._states[target.url] = _State()
        state.row += 1
        if state.row < self.options.failures:  # the row of one that was suspended goes on
            return None
        seconds = self._seconds(state.times)
        state.times += 1
        state.since, state.until = now, now + seconds
        what = outcome.status if outcome.kind == "ok" else outcome.kind
        return Health(healthy=False, reason=f"suspended for {seconds:g} s: {what}", lasts=seconds)

    def _seconds(self, times: int) -> float:
        """Return how long a suspension lasts that comes after so many others."""
        options, seconds = self.options, float(self.options.initial)
        for _ in range(times):
            seconds *= options.factor
            if seconds >= options.maximum or options.factor == 1:
                break
        return min(seconds, options.maximum)

    def _now(self) -> float:
        assert self._clock is not None, "startup comes first"
        return self._clock.now()
