"""Coroutines that wait without a task.

A call is walked by one coroutine. Where every hook on its way is sync, the only things it waits for are sockets, so the
protocol that hears from the socket can resume it on the spot: no task, no future, no turn of the event loop. A task
costs five times as much as the walk itself. A call with an ``async`` hook runs the same coroutine in a task.

What is waited for cannot tell the difference either: it makes a :class:`Signal`, hands it out to be awaited, and sets
it. A signal awaited under a :class:`Walker` resumes the walker; one awaited in a task resumes the task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Generator
from typing import Any

log = logging.getLogger("hookgate")

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


class Walker:
    """Drives one coroutine from signal to signal. It logs what the coroutine raises, as nobody awaits it."""

    __slots__ = ("_coroutine", "done")

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self.done = False

    def step(self, error: BaseException | None = None) -> None:
        """Go on to the next wait, or to the end; with an error, raise it where the coroutine waits.

        Raises:
            RuntimeError: the coroutine waits for something that only a task can wait for.
        """
        global _walking  # noqa: PLW0603 - read at each wait; a context variable would cost more than the wait
        if self.done:
            return
        before, _walking = _walking, self
        try:
            signal = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration:
            self.done = True
            return
        except BaseException as failure:
            self.done = True
            if not isinstance(failure, asyncio.CancelledError):
                log.exception("a call could not be served")
            if not isinstance(failure, Exception | asyncio.CancelledError):
                raise
            return
        finally:
            _walking = before
        if isinstance(signal, Signal):
            signal._waiter = self
        else:
            self.step(RuntimeError("this flow waits for something and needs a task"))

    def cancel(self) -> None:
        """Raise :class:`asyncio.CancelledError` where the coroutine waits."""
        self.step(asyncio.CancelledError())
