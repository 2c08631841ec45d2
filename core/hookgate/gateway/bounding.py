"""Waiting for a hook, and no longer than one wants to."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import Any


async def bounded(result: Any, patience: float) -> Any:
    """Wait for what a hook gave, if it has to be awaited, for so many seconds; then it is cancelled and left behind,
    whatever it does about that.

    Raises:
        TimeoutError: it takes longer.
    """
    if not isawaitable(result):
        return result
    task = asyncio.ensure_future(result if asyncio.isfuture(result) else _whole(result))
    try:
        await asyncio.wait({task}, timeout=patience)
    except BaseException:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        task.add_done_callback(lambda each: each.cancelled() or each.exception())
        raise TimeoutError
    return task.result()


async def _whole(result: Any) -> Any:
    try:
        return await result
    except SystemExit as error:  # it would end the loop
        raise RuntimeError(f"called sys.exit({error.code!r})") from error
