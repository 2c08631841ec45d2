"""Asking the plugins of a connection: one that fails, gives nonsense, hangs or calls sys.exit is named."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from inspect import isawaitable, iscoroutine
from typing import Any, TypeVar

from hookgate.exchange.errors import Fault, PluginError, outside
from hookgate.exchange.messages import Headers, Response
from hookgate.exchange.outbound import Due, Health, Outbound
from hookgate.exchange.waiting import Signal

log = logging.getLogger("hookgate.connection")

T = TypeVar("T")


def failed(plugin: Any, hook: str, what: object) -> PluginError:
    """Make the fault of a plugin that raised something, or of which something is to be said."""
    detail = f"{type(what).__name__}: {what}" if isinstance(what, BaseException) else str(what)
    return PluginError(detail, plugin=plugin.entry.id, hook=hook)


def nonsense(plugin: Any, hook: str, given: object, wanted: str) -> PluginError:
    """Make the fault of a plugin that gave something else than it should."""
    if iscoroutine(given):
        given.close()
    return failed(plugin, hook, f"gave a {type(given).__name__} where {wanted} should be")


async def asked(plugin: Any, hook: str, *arguments: Any, patience: float, due: Due | None = None) -> Any:
    """Ask a hook that may wait: for ``patience`` seconds, and no longer than the call may take.

    Raises:
        PluginError: it failed, or took longer.
        Fault: what it raises, or the time of the call is up.
    """
    try:
        result = getattr(plugin, hook)(*arguments)
        if result is None or result.__class__ is str or not isawaitable(result):
            return result
        if not isinstance(result, Signal) and asyncio.current_task() is not None:
            return await _in_task(plugin, hook, result, patience, due)
        return await _in_time(plugin, hook, result, patience, due)
    except Fault:
        raise
    except (Exception, SystemExit) as error:
        raise failed(plugin, hook, error) from error


async def _in_task(plugin: Any, hook: str, work: Awaitable[Any], patience: float, due: Due | None) -> Any:
    at = asyncio.get_running_loop().time() + patience
    try:
        async with asyncio.timeout_at(at if due is None else min(at, due.at)) as bound:
            return await work
    except TimeoutError:
        if bound.expired():
            raise _late(plugin, hook, patience, due) from None
        raise
    except asyncio.CancelledError:
        if bound.expired():  # the time of the call is up, too, and whoever keeps it answers
            _late(plugin, hook, patience, due)
        raise


async def _in_time(plugin: Any, hook: str, work: Awaitable[Any], patience: float, due: Due | None) -> Any:
    """Wait where there may be no task: for a signal, or for something else in a task of its own."""
    loop, task, signal = asyncio.get_running_loop(), None, work
    if not isinstance(signal, Signal):
        signal = Signal()
        task = asyncio.ensure_future(whole(work))
        task.add_done_callback(lambda done: None if done.cancelled() else _pass_on(done, signal))
    at = loop.time() + patience
    at = at if due is None else min(at, due.at)
    timer = loop.call_at(at, lambda: signal.set(error=_late(plugin, hook, patience, due)))
    try:
        return await signal
    finally:
        timer.cancel()
        if task is not None:
            task.cancel()


def _pass_on(done: asyncio.Future[Any], signal: Signal) -> None:
    error = done.exception()
    signal.set(None if error is not None else done.result(), error)


def _late(plugin: Any, hook: str, patience: float, due: Due | None) -> Fault:
    """Name who has used up the time, and make what is raised for it."""
    if due is not None and due.at <= asyncio.get_running_loop().time() + 0.001:
        log.warning("%s did not come to an end in %s before the time of the call was up", plugin.entry.id, hook)
        return due.fault()
    return failed(plugin, hook, f"took longer than {patience:g} s")


async def whole(work: Awaitable[T]) -> T:
    """Wait for what a plugin gave. Out of a task, ``sys.exit`` would end the loop, and so the process.

    Raises:
        RuntimeError: it called that.
    """
    try:
        return await work
    except SystemExit as error:
        raise RuntimeError(f"called sys.exit({error.code!r})") from error


def checked_response(transport: Any, given: Any) -> Response:
    """Return what a transport gave for one attempt.

    Raises:
        PluginError: it is no response.
    """
    if not isinstance(given, Response):
        raise nonsense(transport, "send", given, "a Response")
    return given


def checked_health(monitor: Any, hook: str, given: Any) -> Health:
    """Return what a monitor found.

    Raises:
        PluginError: it is no health.
    """
    if not isinstance(given, Health):
        raise nonsense(monitor, hook, given, "Health")
    if not isinstance(given.healthy, bool) or not isinstance(given.reason, str):
        raise failed(monitor, hook, "gave Health whose healthy is no bool, or whose reason is no text")
    if given.lasts is not None and not (isinstance(given.lasts, int | float) and given.lasts >= 0):
        raise failed(monitor, hook, "gave Health that lasts no number of seconds")
    return given


def check_signed(credential: Any, outbound: Outbound, given: Any) -> None:
    """Refuse what a credential left behind, if nobody could send it.

    Raises:
        PluginError: it returned something, or put nonsense into the attempt.
    """
    if given is not None:
        raise nonsense(credential, "sign", given, "None (a credential changes the attempt)")
    if not isinstance(outbound.headers, Headers) or type(outbound.path) is not str or type(outbound.query) is not str:
        raise failed(credential, "sign", "left an attempt whose headers are no Headers, or whose URL is no text")


class Failing:
    """What plugins of a connection fail in where no call tells of it, until it works again."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self.known: dict[tuple[str, str], str] = {}
        """What to show, by id and hook of who was asked."""

    @property
    def problems(self) -> list[str]:
        """What ``/-/health`` shows."""
        return list(self.known.values())

    def note(self, plugin: Any, hook: str, error: BaseException) -> None:
        """A plugin failed: log it when that is news. The text of an error stays in the log, as it may hold secrets."""
        name, where, what = plugin.entry.id, hook, type(error).__name__
        if isinstance(error, PluginError):
            name, where = error.plugin or name, error.hook or hook
            what = error.detail if error.__cause__ is None else type(error.__cause__).__name__
        text = f"{name}: its hook {where} failed: {what}"
        if self.known.get((plugin.entry.id, hook)) != text:
            self.known[plugin.entry.id, hook] = text
            shown = None if outside(error) or type(error) is LookupError else error  # these are no fault of a program
            log.error("connection %s: %s failed in %s: %s", self._connection, name, where, what, exc_info=shown)

    def over(self, plugin: Any, hook: str) -> None:
        """A plugin did what it should."""
        self.known.pop((plugin.entry.id, hook), None)
