"""What steps count with: the counters of the live document, whichever these are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hookgate.contract.counters import Decision, Limit
from hookgate.contract.families import CounterStore
from hookgate.exchange.errors import PluginError
from hookgate.gateway.bounding import GivenUp, bounded

Wants = Sequence[tuple[str, int, Limit]]


class HouseCounters:
    """Counts by the counters of the live document; see :class:`hookgate.contract.counters.Counters`."""

    def __init__(self) -> None:
        self.take: Callable[[Wants], Decision | Awaitable[Decision]] = _nobody
        """One call, since it is on the way of every call that meets a limit."""

    def count_by(self, store: CounterStore[Any], hook_timeout: float) -> None:
        """Count by other counters from now on. What they give is looked at, and not waited for until the step that
        counts is given up: then it would be named for them.
        """
        patience = 0.9 * hook_timeout
        take: Callable[[Wants], Any] = store.take

        def taken(wants: Wants) -> Decision | Awaitable[Decision]:
            found = take(wants)
            return found if isinstance(found, Decision) else later(found)

        async def later(found: Any) -> Decision:
            try:
                decision = await bounded(found, patience)
            except GivenUp:
                raise PluginError(f"gave no decision in {patience:g} s", plugin=store.entry.id, hook="take") from None
            if not isinstance(decision, Decision):
                raise PluginError(
                    f"gave a {type(decision).__name__}, which is no Decision", plugin=store.entry.id, hook="take"
                )
            return decision

        self.take = taken


def _nobody(wants: object) -> Decision:
    raise LookupError("nothing is installed that counts limits: pip install hookgate-counters-local")
