"""What holds up the event loop: hooks that sleep, wait for sockets, or never end."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from hookgate import Plugin
from hookgate_authoring.conformance.report import Report

WAITED = 0.2
"""Seconds that a hook may be off the processor by itself in one stretch; reading a file takes less."""
ENDLESS = 5.0
"""Seconds after which a hook that does not wait counts as one that never ends."""
EVENTS = {
    "socket.connect": "connects a socket and waits",
    "socket.getaddrinfo": "looks up a name",
}
CALLS = ("recv", "recv_into", "accept", "sendall")
"""Methods of sockets that wait, of which the interpreter tells nothing by itself."""
RIGHT = "await asyncio.sleep, host.http or asyncio's streams, or move it into asyncio.to_thread"

_watch: Watch | None = None
_listens = False


class Over(BaseException):
    """There is no use in going on: a hook does not come to its end. It has been reported."""


class _Endless(BaseException):
    """Raised in a hook by the thread that watches it."""


class Watch:
    """Watches every hook of a plugin that runs in this thread."""

    def __init__(self, cls: type[Plugin[Any]], hooks: frozenset[str], report: Report) -> None:
        self.cls, self.hooks, self.report = cls, hooks, report
        self.thread = threading.get_ident()
        self.waits: Counter[str] = Counter()
        self._deadline: float | None = None
        self._changed = threading.Condition()
        self._over = False

    def note(self, what: str) -> bool:
        """Report that something waits, if a hook is to blame; say whether one is."""
        if threading.get_ident() != self.thread or (hook := self._hook()) is None:
            return False
        self.report.add("blocking", hook, f"{what}, and no call goes on meanwhile", RIGHT)
        return True

    def _hook(self) -> str | None:
        """Return the hook that is running, the outermost of them."""
        frame, found = sys._current_frames().get(self.thread), None
        while frame is not None:
            if frame.f_code.co_name in self.hooks and isinstance(frame.f_locals.get("self"), self.cls):
                found = frame.f_code.co_name
            frame = frame.f_back
        return found

    def _named(self, trace: TracebackType | None) -> str:
        """Return the hook in which something was raised."""
        while trace is not None:
            if trace.tb_frame.f_code.co_name in self.hooks and isinstance(
                trace.tb_frame.f_locals.get("self"), self.cls
            ):
                return trace.tb_frame.f_code.co_name
            trace = trace.tb_next
        return ""

    @contextmanager
    def stretch(self, hook: str) -> Iterator[None]:
        """Watch what runs until the hook waits or ends.

        Raises:
            Over: it does neither.
        """
        began, worked, left, before = time.monotonic(), time.thread_time(), _left(), self._deadline
        self._set(began + ENDLESS)
        try:
            yield
        except _Endless as endless:
            seen = f"is still running after {ENDLESS:g} s, without waiting for anything"
            where = self._named(endless.__traceback__) or hook or self.cls.__name__
            self.report.add("ending", where, seen, "end every loop, whatever was sent")
            raise Over from None
        finally:
            self._set(before)
            off = time.monotonic() - began - (time.thread_time() - worked)
            if hook and off > WAITED and _left() > left:
                self.waits[hook] += 1
                if self.waits[hook] == 2:  # whatever is done once may have been an import
                    self.report.add("blocking", hook, f"waited {off:.1f} s, and no call goes on meanwhile", RIGHT)

    def _set(self, deadline: float | None) -> None:
        with self._changed:
            self._deadline = deadline
            self._changed.notify_all()

    def guard(self) -> None:
        """Interrupt a stretch that goes on for too long; runs in a thread of its own."""
        with self._changed:
            while not self._over:
                if self._deadline is None:
                    self._changed.wait()
                elif (left := self._deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    self._deadline = None
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread), ctypes.py_object(_Endless))

    def close(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._over = True
            self._changed.notify_all()


class Stepped:
    """Awaits what a hook gave, and watches each stretch of it between two waits."""

    def __init__(self, awaitable: Awaitable[Any], hook: str = "") -> None:
        self._awaitable, self._hook = awaitable, hook

    def __await__(self) -> Generator[Any, Any, Any]:
        waits = self._awaitable.__await__()
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                with stretch(self._hook):
                    future = waits.throw(thrown) if thrown is not None else waits.send(sent)
            except StopIteration as stop:
                return stop.value
            thrown = None
            try:
                sent = yield future
            except BaseException as error:  # noqa: BLE001 - handed on to the hook
                thrown = error


@contextmanager
def stretch(hook: str) -> Iterator[None]:
    """Watch what runs until a hook waits or ends, if anybody watches."""
    if _watch is None or threading.get_ident() != _watch.thread:
        yield
        return
    with _watch.stretch(hook):
        yield


async def in_time(awaitable: Awaitable[Any], hook: str, seconds: float) -> Any:
    """Await a hook.

    Raises:
        Over: it does not end.
    """
    try:
        async with asyncio.timeout(seconds) as bound:
            return await Stepped(awaitable, hook)
    except TimeoutError:
        if not bound.expired():
            raise
        endless(hook, seconds)


def endless(hook: str, seconds: float) -> None:
    """Report a hook that waits for ever.

    Raises:
        Over: always.
    """
    if _watch is not None:
        seen = f"did not end within {seconds:g} s"
        _watch.report.add("ending", hook, seen, "bound every wait with asyncio.timeout")
    raise Over


@contextmanager
def watched(cls: type[Plugin[Any]], hooks: frozenset[str], report: Report) -> Iterator[None]:
    """Watch the hooks of a plugin in this thread, for as long as the block lasts or until one never ends."""
    global _watch, _listens  # noqa: PLW0603 - what listens to the interpreter can never be taken away
    if not _listens:
        _listens = True
        sys.addaudithook(_listen)
    _watch = watch = Watch(cls, hooks, report)
    guard = threading.Thread(target=watch.guard, name="conformance", daemon=True)
    guard.start()
    sleep, own = time.sleep, {name: vars(socket.socket).get(name) for name in CALLS}
    for name in CALLS:
        setattr(socket.socket, name, _noted(name, getattr(socket.socket, name)))
    time.sleep = _slept(sleep)  # type: ignore[assignment]
    try:
        yield
    except Over:
        pass
    finally:
        time.sleep = sleep
        for name, original in own.items():
            if original is None:
                delattr(socket.socket, name)
            else:
                setattr(socket.socket, name, original)
        _watch = None
        watch.close()
        guard.join()


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch is None or event not in EVENTS:
        return
    waits = event != "socket.connect" or arguments[0].gettimeout() != 0
    if waits:
        _watch.note(EVENTS[event])


def _slept(original: Callable[[float], None]) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        noted = _watch is not None and _watch.note(f"sleeps {seconds:g} s")
        original(min(seconds, 0.01) if noted else seconds)  # what is known need not be waited for

    return sleep


def _noted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: socket.socket, *arguments: Any, **named: Any) -> Any:
        if _watch is None or (before := self.gettimeout()) == 0 or not _watch.note(f"waits in socket.{name}"):
            return original(self, *arguments, **named)
        self.settimeout(1.0 if before is None else min(before, 1.0))
        try:
            return original(self, *arguments, **named)
        finally:
            if self.fileno() >= 0:
                self.settimeout(before)

    return call


def _left() -> int:
    """Return how often this thread has left the processor of its own accord."""
    try:
        import resource

        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    except (ImportError, AttributeError):  # only Linux tells
        return int(time.monotonic() * 1000)
