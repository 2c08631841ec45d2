"""Waiting for a hook, and no longer than one wants to."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import Any

from hookgate.connections.asking import whole


class GivenUp(TimeoutError):
    """A hook has taken longer than it may."""

    def __init__(self, task: asyncio.Future[Any]) -> None:
        super().__init__()
        self.task = task
        """What was cancelled, and may go on all the same."""


async def bounded(result: Any, patience: float) -> Any:
    """Wait for what a hook gave, if it has to be awaited, for so many seconds; then it is cancelled and left behind,
    whatever it does about that.

    Raises:
        GivenUp: it takes longer.
        RuntimeError: it called ``sys.exit``, or was cancelled by itself.
    """
    if not isawaitable(result):
        return result
    task = asyncio.ensure_future(result if asyncio.isfuture(result) else whole(result))
    try:
        await asyncio.wait({task}, timeout=patience)
    except BaseException:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        task.add_done_callback(lambda each: each.cancelled() or each.exception())
        raise GivenUp(task)
    if task.cancelled():
        raise RuntimeError("it was cancelled by itself")
    return task.result()
