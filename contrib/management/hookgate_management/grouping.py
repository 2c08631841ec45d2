"""Writes that come while one is worked on wait, and are then checked and stored together.

To check a change costs as much as to check many: what would go live is loaded as a whole. So does a transaction. Each
write stays a generation of its own, and one that cannot be is refused alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_apis import Effects
from hookgate_management.problems import Refusal
from hookgate_management.tenancy import Scope, current
from hookgate_storage import Generation, Made, Store, Writing

Within = Callable[[AsyncConnection], Awaitable[None]]
MOST_TOGETHER = 500
"""Changes that are checked and stored together; a write that has more is worked on alone."""
SHARED_FOR = 10.0
"""Seconds for which writers ask other processes for their turn, after one of these has come in between."""
LONGEST_TURN = 60.0
"""Seconds that a check may take while other processes wait for their turn."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write came to."""

    generation: Generation
    """The one that it made; on a rehearsal the one it was checked against."""
    written: bool
    effects: Effects | None = None
    """What it would change for calls; on a rehearsal only."""
    made: Made | None = None
    """What was stored; nothing on a rehearsal."""


class Settles(Protocol):
    """Checks and stores writes."""

    store: Store

    async def settle(self, group: Sequence[Waiting]) -> None:
        """Tell each write what it came to, or why it cannot be."""


class Waiting:
    """A write that waits for its turn."""

    def __init__(self, changer: Settles, writing: Writing, *, force: bool, ground: int | None) -> None:
        self.changer, self.writing, self.force, self.ground = changer, writing, force, ground
        self.scope: Scope | None = current.get()
        self.keys = {(change.kind, change.name) for change in writing.changes}
        self._done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    @property
    def alone(self) -> bool:
        """Whether it cannot be judged together with others: what it asks for or does is about all there is."""
        writing = self.writing
        special = self.force or self.ground is not None or writing.also or writing.within is not None
        return bool(special) or any(kind == "tenants" for kind, _ in self.keys)

    @property
    def is_over(self) -> bool:
        """Whether it has been told of, or nobody waits for it any more."""
        return self._done.done()

    def tell(self, outcome: Outcome) -> None:
        """Say what it came to."""
        if not self._done.done():
            self._done.set_result(outcome)

    def refuse(self, why: BaseException) -> None:
        """Say why it cannot be."""
        if self._done.done():
            return
        if isinstance(why, Refusal):  # each caller gets one of its own
            why = Refusal(why.status, str(why), why.kind, why.errors, **why.more)
        if isinstance(why, asyncio.CancelledError):
            self._done.cancel()
        else:
            self._done.set_exception(why)

    async def outcome(self) -> Outcome:
        """Wait for it."""
        return await self._done


class Turns:
    """Has the writers of this process take turns, as many at a time as can be judged together."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._shared_until = 0.0

    async def take(self, waiting: Waiting) -> Outcome:
        """Wait until a write is settled. Who stops waiting before its turn has not written.

        Raises:
            Refusal: it cannot be.
        """
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            # a task of its own: who came first may hang up, and others count on their turn
            self._worker = asyncio.create_task(self._work(), name="management: writes")
        return await waiting.outcome()

    async def _work(self) -> None:
        while self._waiting:
            group = self._next()
            try:
                if group:
                    await group[-1].changer.settle(group)  # that of the newest file
            except BaseException as error:
                if not isinstance(error, Exception):
                    group, self._waiting = [*group, *self._waiting], []
                    raise
            finally:
                for each in group:
                    each.refuse(RuntimeError("a write was left over"))

    def _next(self) -> list[Waiting]:
        """Take the first write, and those behind it that can be judged together with it: none of them touches what
        another one does, so what each expects is there or not, whatever becomes of the others.
        """
        group: list[Waiting] = []
        later: list[Waiting] = []
        taken: set[tuple[str, str]] = set()
        tenants: set[str] = set()
        for each in self._waiting:
            if each.is_over:
                continue
            tenant = "" if each.scope is None else each.scope.tenant
            fits = not group or (
                each.changer.store is group[0].changer.store
                and not each.alone
                and not group[0].alone
                and not taken & each.keys
                and tenant not in tenants
                and len(taken) + len(each.keys) <= MOST_TOGETHER
            )
            (group if fits else later).append(each)
            taken |= each.keys  # one that waits for its turn is not overtaken by another to the same object
            tenants |= {tenant} - {""}
        self._waiting = later
        return group

    def others_write(self) -> None:
        """Another process has written amid a turn."""
        self._shared_until = time.monotonic() + SHARED_FOR

    @asynccontextmanager
    async def among_processes(self, store: Store) -> AsyncIterator[None]:
        """Have the turn of this process be one among those of all that write to a store. Where there are several, each
        would else find after its check that another one was faster.

        Raises:
            Refusal: the store is away.
        """
        shared = time.monotonic() < self._shared_until
        turn: Any = store.turn(LONGEST_TURN) if shared else nullcontext()
        async with turn:
            yield


def parts(group: Sequence[Waiting], blamed: Collection[tuple[str, str]]) -> list[Sequence[Waiting]]:
    """Cut a group whose writes cannot be stored together: those that look bad apart from the others, or in halves."""
    bad = [each for each in group if not each.keys.isdisjoint(blamed)]
    if 0 < len(bad) < len(group):
        return [[each for each in group if each not in bad], bad]
    return [group[: len(group) // 2], group[len(group) // 2 :]]
