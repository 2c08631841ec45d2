"""Takes a target out of rotation for a while when calls to it fail."""

from pydantic import Field

from hookgate import Duration, Failures, Health, Monitor, MonitorOptions, Outcome, Target, hookimpl


class PassiveOptions(MonitorOptions):
    """Options of `passive`. Nothing is checked, so `interval`, `timeout` and `healthy_after` mean nothing here."""

    on: Failures = ("connect-failed", "timeout", "broken", 502, 503, 504)
    """What counts as a failure: ways in which a call ends, and status codes."""
    unhealthy_after: int = Field(default=5, ge=1)
    """Failures in a row that take a target out."""
    eject_for: Duration = Field(default=30.0, gt=0)
    """Seconds a target stays out the first time; `backoff` times as long each time after it, up to `at_most`."""
    at_most: Duration = Field(default=300.0, gt=0)
    """Longest time a target stays out, in seconds. One that was well for as long begins with `eject_for` again."""
    floor: float = Field(default=0.5, ge=0, le=1)
    """Share of the targets that stay in rotation whatever happens, from 0 to 1."""


class Passive(Monitor[PassiveOptions]):
    """Judges targets by the calls that go to them, and sends no checks of its own.

    A target that fails `unhealthy_after` times in a row leaves the rotation for a while. Then it is back on trial: one
    more failure takes it out again, for longer. A call that the client broke off says nothing.
    """

    @hookimpl
    def observe(self, target: Target, outcome: Outcome) -> Health | None:
        """Judge by one call."""
        if outcome.kind == "aborted":
            return None
        on = self.options.on
        if outcome.kind in on:
            return Health(healthy=False, reason=f"calls end in {outcome.kind}", lasts=self.options.eject_for)
        if outcome.status in on:
            return Health(healthy=False, reason=f"calls end in {outcome.status}", lasts=self.options.eject_for)
        return Health(healthy=True, reason="calls succeed")
