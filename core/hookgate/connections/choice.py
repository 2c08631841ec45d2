"""The targets of a connection, and which of them the next attempt goes to (AC-4 to AC-6, AC-14, HC-5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from hookgate.connections.asking import failed, nonsense
from hookgate.contract.backends import Balancer, Monitor
from hookgate.contract.clock import Clock
from hookgate.exchange.errors import Fault, ServiceUnavailable
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.outbound import Target

Admit = Callable[[Target], str | None]

LEAST_SHARE = 0.1
"""What a target gets at the beginning of its slow start, as a share of what it will get."""


class TargetChoice:
    """Offers a balancer the targets that may be called now.

    These are active, weigh more than 0, and are admitted by every monitor that has a say; where several are balanced
    they are healthy, too. With one target, or a balancer that looks at health itself, health informs and keeps nothing
    out (HC-5).
    """

    def __init__(
        self,
        targets: Sequence[Target],
        balancer: Balancer[Any] | None,
        monitors: Sequence[Monitor[Any]],
        *,
        on_all_unhealthy: Literal["fail", "use_all"] = "fail",
        slow_start: float = 0.0,
        clock: Clock,
    ) -> None:
        self.targets = list(targets)
        self.balancer = balancer
        self.on_all_unhealthy = on_all_unhealthy
        self._slow_start = slow_start
        self._clock = clock
        self._ramps: dict[Target, list[float]] = {}
        """When the slow start of a target began, and the part of a call it has saved up."""
        self._admits: list[tuple[Monitor[Any], Admit]] = [(m, m.admit) for m in monitors if hasattr(m, "admit")]
        self._informs = balancer is not None and balancer.ranks_health
        self._careful = bool(self._admits or self._informs)
        """There is more to look at than the targets themselves."""

    def pick(self, exchange: Exchange, tried: set[Target]) -> Target:
        """Return the target of the next attempt; one that was tried before only where no other is left.

        Raises:
            ServiceUnavailable: none may be called.
            PluginError: the balancer picked something else or failed, or a monitor did when it was asked to admit.
        """
        targets = self.targets
        if len(targets) == 1 and not self._admits:
            if not targets[0].active or not targets[0].weight:
                raise _unavailable("no-active-target", "No target of this connection is active.")
            offered = targets
        elif tried or self._careful:
            offered = self._offered(tried)
        else:
            offered = [each for each in targets if each.health.healthy and each.active and each.weight > 0]
            if not offered:
                offered = self._offered(tried)
        if self.balancer is None:
            return offered[0]
        try:
            target: Target | None = self.balancer.pick(exchange, offered)
        except Fault:
            raise
        except (Exception, SystemExit) as error:
            raise failed(self.balancer, "pick", error) from error
        if target is None:
            raise _unavailable("balancer-refused", "No target takes this call now.")
        if target not in offered:
            if isinstance(target, Target):
                raise failed(self.balancer, "pick", "picked a target it was not offered")
            raise nonsense(self.balancer, "pick", target, "one of the targets it was offered")
        return target

    def arrived(self, target: Target) -> None:
        """A target came into rotation while calls were running, or came back: give it its share little by little."""
        if self._slow_start > 0:
            self._ramps[target] = [self._clock.now(), 0.0]
            self._careful = True

    def _offered(self, tried: set[Target]) -> list[Target]:
        usable = [target for target in self.targets if target.active and target.weight > 0]
        if not usable:
            raise _unavailable("no-active-target", "No target of this connection is active.")
        if self._admits:
            usable = self._admitted(usable)
        if len(self.targets) > 1 and not self._informs:
            healthy = [target for target in usable if target.health.healthy]
            if not healthy and self.on_all_unhealthy == "fail":
                raise _unavailable("all-targets-unhealthy", "No target of this connection is healthy.")
            usable = healthy or usable
        if tried:
            usable = [target for target in usable if target not in tried] or usable
        return self._eased(usable) if self._ramps and len(usable) > 1 else usable

    def _admitted(self, targets: list[Target]) -> list[Target]:
        admitted, reason = [], ""
        for target in targets:
            for monitor, admit in self._admits:
                if (refused := _asked(monitor, admit, target)) is not None:
                    reason = refused
                    break
            else:
                admitted.append(target)
        if not admitted:
            raise _unavailable(reason, "No target of this connection may be called now.")
        return admitted

    def _eased(self, targets: list[Target]) -> list[Target]:
        """Leave targets in their slow start out of most turns, whatever the balancer: the share grows with time."""
        now, offered = self._clock.now(), []
        for target in targets:
            ramp = self._ramps.get(target)
            if ramp is not None:
                share = (now - ramp[0]) / self._slow_start
                if share >= 1:
                    del self._ramps[target]
                    self._careful = bool(self._ramps or self._admits or self._informs)
                else:
                    ramp[1] += max(share, LEAST_SHARE)
                    if ramp[1] < 1:
                        continue
                    ramp[1] -= 1
            offered.append(target)
        return offered or targets


def _asked(monitor: Monitor[Any], admit: Admit, target: Target) -> str | None:
    """Ask a monitor why a target may not be called. Only ``None`` lets a call pass."""
    try:
        reason = admit(target)
    except Fault:
        raise
    except (Exception, SystemExit) as error:
        raise failed(monitor, "admit", error) from error
    if reason is not None:
        if not isinstance(reason, str):
            raise nonsense(monitor, "admit", reason, "a text or None")
        if not reason or not (reason.isascii() and reason.isprintable()):
            raise failed(monitor, "admit", "gave a reason that is no printable ASCII text")
    return reason


def _unavailable(reason: str, detail: str) -> ServiceUnavailable:
    return ServiceUnavailable(detail, reason=reason, headers={"x-hookgate-reason": reason})
