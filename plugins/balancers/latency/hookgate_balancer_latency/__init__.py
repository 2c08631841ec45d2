"""The faster of two random targets (peak EWMA)."""

import math
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import ClassVar

from pydantic import Field

from hookgate import Balancer, Duration, Exchange, Host, Options, Outcome, Target, hookimpl

REMEMBERED = 1024
"""Targets whose times are kept; the one that was not heard of for longest makes room."""


class LatencyOptions(Options):
    """Options of `latency`."""

    decay: Duration = Field(default=10.0, gt=0, le=3600)
    """Seconds after which what was measured counts for about a third (1/e). Shorter follows changes more quickly, and
    tries slow targets more often."""
    penalty: Duration = Field(default=5.0, ge=0)
    """Seconds that a failed attempt counts as having taken, if it took less: one that could not connect, ran into a
    time-out or broke off."""
    failing: frozenset[int] = frozenset({502, 503, 504})
    """Status codes that count as a failed attempt, so that a target which refuses quickly does not look fast."""


class Latency(Balancer[LatencyOptions]):
    """Draws two different targets and takes the one that will probably answer sooner for its weight.

    What is compared is the recent time to the head of an answer, times the calls in flight and one more, by weight. The
    recent time is a "peak EWMA": a slower answer than expected counts at once and in full, a quicker one little by
    little, and both fade with `decay`, so that a target which was slow is tried again now and then. Failures count as
    slow answers.

    A target that nothing is known of comes first, with one call: while that call is on its way, it counts as if it had
    failed, so that a new target which does not answer is not given many. A client that leaves before the head of an
    answer shows that the target takes at least as long as the client waited.

    Times are those of this gateway, from the beginning of the attempt, connecting included.
    """

    generator: ClassVar[Random] = Random()  # noqa: S311 - nothing secret hangs on it
    """Where chance comes from; a test puts another one here."""
    _now: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, options: LatencyOptions) -> None:
        super().__init__(options)
        self._times: dict[str, tuple[float, float]] = {}
        """By URL: the moving average in seconds, and when it was brought up to date."""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take over the clock."""
        self._now = host.clock.now

    @hookimpl
    def pick(self, exchange: Exchange, targets: Sequence[Target]) -> Target | None:
        """Return the quicker of two, or nothing where there is no target."""
        count = len(targets)
        if count < 2:
            return targets[0] if targets else None
        place = int(self.generator.random() * count)
        other = int(self.generator.random() * (count - 1))
        first, second = targets[place], targets[other + (other >= place)]
        now = self._now()
        return second if self._cost(second, now) < self._cost(first, now) else first

    @hookimpl
    def release(self, target: Target, outcome: Outcome) -> None:
        """Learn how long it took."""
        now, head = self._now(), outcome.head_seconds
        if outcome.kind == "aborted":
            if head is None and outcome.seconds > (self._expected(target, now) or 0.0):
                head = outcome.seconds
        elif outcome.kind != "ok" or outcome.status in self.options.failing:
            head = max(outcome.seconds, self.options.penalty)
        if head is not None:
            self._learn(target.url, head, now)

    def _learn(self, url: str, seconds: float, now: float) -> None:
        average, at = self._times.pop(url, (0.0, now))
        if seconds < average:
            kept = math.exp((at - now) / self.options.decay)
            seconds = average * kept + seconds * (1.0 - kept)
        self._times[url] = (seconds, now)  # the last one in the order is the one heard of last
        if len(self._times) > REMEMBERED:
            del self._times[next(iter(self._times))]

    def _expected(self, target: Target, now: float) -> float | None:
        """Return the recent time of a target, faded since; ``None`` if it is not known."""
        known = self._times.get(target.url)
        return None if known is None else known[0] * math.exp((known[1] - now) / self.options.decay)

    def _cost(self, target: Target, now: float) -> float:
        expected = self._expected(target, now)
        if expected is None:
            expected = self.options.penalty if target.in_flight else 0.0
        return expected * (target.in_flight + 1) / target.weight
