"""The first target, and the next ones while it cannot be reached."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from pydantic import Field

from hookgate import Balancer, Duration, Exchange, Host, Options, Outcome, Response, Target, hookimpl


class FailoverOptions(Options):
    """Options of `failover`."""

    failback_after: Duration = Field(default=60.0, gt=0)
    """Seconds after which the first target is tried again, with one call at a time, where no health check has found it
    well before that (HC-17)."""


class _Failure(NamedTuple):
    """What is kept of a target that could not be reached."""

    seen: float | None
    """Its last good check back then: another one since means that it is well again."""
    again: float
    """When it may be tried again without one, in seconds of the monotonic clock."""


class Failover(Balancer[FailoverOptions]):
    """Sends every call to one target: the first in the list, or the one after it that took over.

    **Unavailability moves on.** If the target in use cannot be reached (refused, no such name, a time-out while
    connecting, TLS), the calls that follow go to the next one, and after the last one to the first again (HC-14). An
    answer moves nothing, be it 500 or 503, nor does a time-out after the request was sent (HC-15). The call that found
    it out fails (HC-16); with `max_tries` above 1 it tries the next target itself.

    **Health informs.** A target that a monitor has found unhealthy is passed over while there is a healthy one (HC-6).
    If there is none, the target in use is called all the same (HC-5). A target that was not checked yet, or that nobody
    checks, counts as healthy.

    **The way back.** Calls return to the first target as soon as a check finds it well that ran after the failure.
    Where no such check comes, one call tries it every `failback_after` seconds, unless its monitor says that it is
    unhealthy; calls return when it has answered, and stay where they are when it has not (HC-17).

    Weights play no part, except that a target with weight 0 is not called.
    """

    ranks_health: ClassVar[bool] = True
    _now: Callable[[], float] = staticmethod(time.monotonic)
    _log: logging.Logger = logging.getLogger(__name__)

    def __init__(self, options: FailoverOptions) -> None:
        super().__init__(options)
        self._current: str | None = None
        """URL of the target in use; `None` for the first one."""
        self._moved = float("-inf")
        """When that changed last."""
        self._trial: str | None = None
        """URL of the target that one call tries."""
        self._order: tuple[str, ...] = ()
        """URLs as they stand in the list, whatever part of it was offered last."""
        self._offered: Sequence[Target] = ()
        self._failures: dict[str, _Failure] = {}

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take over clock and log."""
        self._now, self._log = host.clock.now, host.log

    @hookimpl
    def pick(self, exchange: Exchange, targets: Sequence[Target]) -> Target | None:
        """Return the target in use, or the healthy one that comes next after it."""
        if not targets:
            return None
        self._offered = targets
        start = 0
        if self._current is not None:
            if not exchange.attempts and self._goes_to(targets[0]):
                return targets[0]
            start = self._start(targets)
        for place in range(len(targets)):
            target = targets[(start + place) % len(targets)]
            if target.health.healthy:
                return target
        return targets[start]

    @hookimpl
    def chosen(self, exchange: Exchange, target: Target, response: Response) -> None:
        """Let all calls follow one that has tried the first target and was answered."""
        if self._trial is not None and target.url == self._trial:
            self._return(target)

    @hookimpl
    def release(self, target: Target, outcome: Outcome) -> None:
        """Move on from a target that could not be reached."""
        url = target.url
        on_trial = url == self._trial
        if on_trial:
            self._trial = None
        if outcome.kind == "connect-failed":
            now, before = self._now(), self._failures.get(url)
            self._learn(self._offered)
            self._failures[url] = _Failure(target.last_seen, now + self.options.failback_after)
            # Many calls find out together. Those that began before the first of them moved on tell nothing new.
            if not on_trial and now - outcome.seconds >= self._moved and url in self._order:
                self._move(url, now, quietly=before is not None and now < before.again)

    @property
    def current(self) -> str | None:
        """URL of the target in use, for those who show it; ``None`` before the first call."""
        return self._current or (self._order[0] if self._order else None)

    def _move(self, url: str, now: float, *, quietly: bool) -> None:
        following = self._order[(self._order.index(url) + 1) % len(self._order)]
        self._current = None if following == self._order[0] else following
        self._moved, self._trial = now, None
        if following != url and not quietly:
            self._log.warning("%s: %s cannot be reached; calls go to %s", self.entry.id, url, following)

    def _goes_to(self, first: Target) -> bool:
        """Whether this call goes to the first target although another one is in use."""
        if not first.health.healthy or first.url == self._current:
            return False
        failure = self._failures.get(first.url)
        if failure is None or failure.seen != first.last_seen:  # it was passed over while ill, or a check went well
            self._return(first)
            return True
        now = self._now()
        if now < failure.again:
            return False
        self._failures[first.url] = failure._replace(again=now + self.options.failback_after)
        self._trial = first.url
        return True

    def _return(self, first: Target) -> None:
        self._current, self._trial, self._moved = None, None, self._now()
        self._failures.clear()
        self._log.warning("%s: calls go to %s again", self.entry.id, first.url)

    def _start(self, targets: Sequence[Target]) -> int:
        """Where the target in use stands, or the next one after it that is offered."""
        self._learn(targets)
        if self._current is None:
            return 0
        current = self._order.index(self._current)
        return next((place for place, each in enumerate(targets) if self._order.index(each.url) >= current), 0)

    def _learn(self, targets: Sequence[Target]) -> None:
        """Keep the order of the list, also while some of it is not offered: tried by this call, or not admitted."""
        urls = tuple(target.url for target in targets)
        remaining = iter(self._order)
        if all(url in remaining for url in urls) and len(self._order) <= 2 * len(urls) + 16:
            return  # a part of what is known, in the same order
        self._order = urls
        self._failures = {url: failure for url, failure in self._failures.items() if url in urls}
        if self._current not in urls[1:]:
            self._current = None
