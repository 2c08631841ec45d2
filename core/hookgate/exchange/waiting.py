"""Coroutines that wait without a task.

A call is walked by one coroutine. Where every hook on its way is sync, the only things it waits for are sockets, so the
protocol that hears from the socket can resume it on the spot: no task, no future, no turn of the event loop. A task
costs five times as much as the walk itself. A call with an ``async`` hook runs the same coroutine in a task.

What is waited for cannot tell the difference either: it makes a :class:`Signal`, hands it out to be awaited, and sets
it. A signal awaited under a :class:`Walker` resumes the walker; one awaited in a task resumes the task.

A walk that meets anything else to wait for (a hook that returned a coroutine, a body of a plugin) becomes a task there
and then: the task goes on with the coroutine where it stands.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Awaitable, Coroutine, Generator, Iterable
from inspect import iscoroutine
from typing import Any

log = logging.getLogger("hookgate")

_tasks: set[asyncio.Task[None]] = set()
"""Walks that became tasks: the loop itself holds a task only weakly."""

_walking: Walker | None = None
"""The walker whose coroutine runs right now. A step is never interrupted before its next wait, so one place will do."""


class Signal:
    """One event that one coroutine waits for, with a value or an error."""

    __slots__ = ("_error", "_waiter", "is_set", "value")

    def __init__(self) -> None:
        self.is_set = False
        self.value: Any = None
        self._error: BaseException | None = None
        self._waiter: Walker | asyncio.Future[None] | None = None

    def set(self, value: Any = None, error: BaseException | None = None) -> None:
        """Let it happen: who waits goes on, a walker before this returns. Only the first time counts."""
        if self.is_set:
            return
        self.is_set = True
        self.value, self._error = value, error
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        if isinstance(waiter, Walker):
            waiter.step()
        elif not waiter.done():
            waiter.set_result(None)

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.is_set:
            if _walking is not None:
                try:
                    yield self
                finally:
                    self._waiter = None
            else:
                self._waiter = future = asyncio.get_running_loop().create_future()
                yield from future
        if self._error is not None:
            raise self._error
        return self.value


@types.coroutine
def in_task() -> Generator[Any, None, None]:
    """Go on in a task, for what asks which task it runs in (``asyncio.timeout``); nothing happens within one."""
    if _walking is not None:
        yield


class Overdue(TimeoutError):
    """What was waited for took longer than it may."""


async def bounded(waiting: Awaitable[Any], seconds: float | None) -> Any:
    """Wait for something in a task, no longer than so many seconds.

    Raises:
        Overdue: they are over.
    """
    if _walking is not None:
        try:
            await in_task()
        except BaseException:
            if iscoroutine(waiting):
                waiting.close()  # or Python would complain that nobody waited for it
            raise
    try:
        async with asyncio.timeout(seconds) as bound:
            return await waiting
    except TimeoutError as error:
        if bound.expired():
            raise Overdue(f"took longer than {seconds:g} s") from error
        raise


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def all_over(waiting: Iterable[Awaitable[Any]]) -> None:
    """Wait for one after the other, the rest too where one fails or this is cancelled: what ends a call is never
    left out.

    Raises:
        BaseException: the first that was met on the way.
    """
    failure: BaseException | None = None
    for each in waiting:
        try:
            await each
        except BaseException as error:  # noqa: BLE001 - raised again below, once all are over
            failure = failure or error
    if failure is not None:
        raise failure


class Walker:
    """Drives one coroutine from signal to signal. It logs what the coroutine raises, as nobody awaits it."""

    __slots__ = ("_coroutine", "_task", "done")

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[None] | None = None
        self.done = False

    def step(self, error: BaseException | None = None) -> None:
        """Go on to the next wait, or to the end; with an error, raise it where the coroutine waits."""
        global _walking  # noqa: PLW0603 - read at each wait; a context variable would cost more than the wait
        if self.done:
            return
        before, _walking = _walking, self
        try:
            met = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration:
            self.done = True
            return
        except BaseException as failure:
            self._ended_in(failure)
            if not isinstance(failure, Exception | asyncio.CancelledError):
                raise
            return
        finally:
            _walking = before
        if isinstance(met, Signal):
            met._waiter = self
        else:
            self._become_task(met)

    def _become_task(self, met: Any) -> None:
        """Have a task go on, which waits for what the coroutine has met."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.step(RuntimeError("this flow waits for something and needs an event loop"))
            return
        self._task = task = loop.create_task(self._rest(met))
        _tasks.add(task)
        task.add_done_callback(self._left)

    async def _rest(self, met: Any) -> None:
        try:
            await _resumed(self._coroutine, met)
        except BaseException as failure:
            self._ended_in(failure)
            if not isinstance(failure, Exception):
                raise
        else:
            self.done = True

    def _ended_in(self, failure: BaseException) -> None:
        self.done = True
        if not isinstance(failure, asyncio.CancelledError):
            log.error("a call could not be served", exc_info=failure)

    def _left(self, task: asyncio.Task[None]) -> None:
        """The task is over; one that was cancelled before it began has told the coroutine nothing of it."""
        _tasks.discard(task)
        self._task = None
        if not self.done:
            self.step(asyncio.CancelledError())

    def cancel(self) -> None:
        """Raise :class:`asyncio.CancelledError` where the coroutine waits."""
        if self._task is not None:
            self._task.cancel()
        else:
            self.step(asyncio.CancelledError())


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, None], met: Any) -> Generator[Any, None, None]:
    """Go on with a coroutine that has met something to wait for."""
    while True:
        error: BaseException | None = None
        try:
            yield met
        except BaseException as raised:  # noqa: BLE001 - it is the coroutine's to deal with
            error = raised
        try:
            met = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration:
            return
