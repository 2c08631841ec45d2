"""The hook `on_message`: what steps make of one message of a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from inspect import iscoroutine

from hookgate.exchange.errors import Fault, PluginError
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Message
from hookgate.flow.step import Step

REASON = 123
"""Bytes of a reason that a closing has room for (RFC 6455, 5.5)."""


async def told(exchange: Exchange, steps: Sequence[Step], message: Message) -> str | bytes | None:
    """Take a message through steps, and return what goes on; ``None`` if one of them drops it.

    Raises:
        Fault: a step refuses it, or fails: :class:`PluginError`.
    """
    for step in steps:
        try:
            result = step.on_message(exchange, message)
            if step.is_async["on_message"]:
                result = await _bounded(step, result, exchange.walk.flow.hook_timeout)
            if result is None:
                return None
            message = _checked(step, result)
        except Fault:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise _failure(step, "waited for something that was cancelled") from error
        except (Exception, SystemExit) as error:
            raise _failure(step, f"{type(error).__name__}: {error}") from error
    return message.data


async def _bounded(step: Step, coroutine: Awaitable[object], seconds: float) -> object:
    try:
        async with asyncio.timeout(seconds) as bound:
            return await coroutine
    except TimeoutError as error:
        if bound.expired():
            raise _failure(step, f"took longer than {seconds:g} s") from error
        raise


def _checked(step: Step, result: object) -> Message:
    if iscoroutine(result):
        result.close()
        raise _failure(step, "returned a coroutine; write it as `async def`")
    if not isinstance(result, Message):
        raise _failure(step, f"returned a {type(result).__name__} where a Message or None was expected")
    data: object = result.data
    if isinstance(data, str):
        data.encode()  # half a surrogate pair is no text
    elif not isinstance(data, bytes):
        raise _failure(step, f"returned a Message of {type(data).__name__}, which is neither str nor bytes")
    return result


def _failure(step: Step, what: str) -> PluginError:
    return PluginError(what, plugin=step.id, hook="on_message")


def reason_of(fault: Fault) -> str:
    """Return what who sent a message is told of why it was refused: the word of the fault, as far as there is room."""
    return str(fault.reason).encode("utf-8", "replace")[:REASON].decode("utf-8", "ignore")
