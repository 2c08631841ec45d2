"""Asking the counters, in bounded time, and what is done where they do not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from hookgate import CounterStore, Decision, Host, Limit
from hookgate_throttling.faults import CountersAway

Wants = Sequence[tuple[str, int, Limit]]
PAUSE = 1.0
"""Seconds after a failure in which nobody waits for the counters again."""


class Counting:
    """Takes from the counters of the house or, while these are away, does what the document says."""

    def __init__(self, host: Host, when_store_fails: object, patience: float) -> None:
        self._host = host
        self._counters = host.counters
        self._otherwise = when_store_fails
        self._patience = patience
        self._until: float | None = None
        """When they are asked again, by the clock of the house."""
        self._failures = host.metrics.counter(
            "throttle_store_failures_total", "Calls for which shared counters gave no answer in time."
        )
        self.trouble = ""
        """Why they cannot be asked."""

    def take(self, wants: Wants) -> Decision | Awaitable[Decision | None] | None:
        """Take from all limits or from none; ``None`` where a call passes uncounted.

        Raises:
            CountersAway: the counters do not answer, and nobody is to be let in then.
        """
        if self._until is not None and self._host.clock.now() < self._until:
            return self._without(wants)
        try:
            found = self._counters.take(wants)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call is counted elsewhere or refused
            return self._failed(wants, error)
        if isinstance(found, Decision):
            self._works()
            return found
        return self._later(wants, found)

    async def _later(self, wants: Wants, coming: Awaitable[Decision]) -> Decision | None:
        try:
            async with asyncio.timeout(self._patience):
                decision = await coming
        except Exception as error:  # noqa: BLE001
            without = self._failed(wants, error)
            return without if without is None or isinstance(without, Decision) else await without
        self._works()
        return decision

    def _works(self) -> None:
        self._until = None
        if self.trouble:
            self.trouble = ""
            self._host.log.warning("the counters %s answer again", self._store())

    def _failed(self, wants: Wants, error: Exception) -> Decision | Awaitable[Decision | None] | None:
        self._failures.add(1)
        self._until = self._host.clock.now() + PAUSE
        if not self.trouble:
            late = isinstance(error, TimeoutError)
            why = f"no answer within {self._patience:g} s" if late else f"{type(error).__name__}: {error}"
            self.trouble = f"the counters {self._store()} cannot be asked: {why}"
            self._host.log.error("%s; %s", self.trouble, self._said())
        return self._without(wants)

    def _without(self, wants: Wants) -> Decision | Awaitable[Decision | None] | None:
        otherwise: Any = self._otherwise
        if otherwise == "open":
            return None
        if isinstance(otherwise, CounterStore):
            taken: Decision | Awaitable[Decision | None] = otherwise.take(wants)
            return taken
        raise CountersAway(f"Limits cannot be counted at the moment: the counters {self._store()} do not answer.")

    def _said(self) -> str:
        if isinstance(self._otherwise, CounterStore):
            return f"calls are counted by {self._otherwise.entry.name} meanwhile"
        return "calls pass uncounted meanwhile" if self._otherwise == "open" else "calls are refused meanwhile"

    def _store(self) -> str:
        """Name the plugin that counts, and nothing of where it is."""
        found = [each for each in self._host.find(CounterStore) if each is not self._otherwise]
        return found[0].entry.name if found else "of the house"

    def health(self) -> Mapping[str, Any] | None:
        """Tell of trouble."""
        return {"problems": [f"{self.trouble}; {self._said()}"]} if self.trouble else None
