"""What plugins put into the stream of a body: each part knows whose it is, so that its failure has a name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from inspect import isawaitable, iscoroutinefunction
from typing import Any, NamedTuple, Protocol

from hookgate.exchange.errors import Fault, PluginError
from hookgate.exchange.waiting import all_over, bounded

log = logging.getLogger("hookgate.flow")

Feed = Callable[[bytes], bytes | Awaitable[bytes]]
Flush = Callable[[], bytes | Awaitable[bytes]]


class Owner(NamedTuple):
    """Who is to be named when something fails that it has left."""

    plugin: str = ""
    hook: str = ""
    timeout: float | None = 30.0
    """Seconds that a chunk of it may take; ``None`` where others keep the time."""

    def failed(self, what: object) -> PluginError:
        """Make the fault of it."""
        detail = f"{type(what).__name__}: {what}" if isinstance(what, BaseException) else str(what)
        return PluginError(detail, plugin=self.plugin, hook=self.hook)


NOBODY = Owner()
"""Stands until the step is left that changed the body."""


class Change:
    """What :meth:`Body.map` was given."""

    __slots__ = ("_feed", "_flush", "owner")

    def __init__(self, feed: Feed, flush: Flush | None) -> None:
        self._feed = feed
        self._flush = flush
        self.owner = NOBODY

    @property
    def waits(self) -> bool:
        """Whether it is written as something to be waited for."""
        both = [each for each in (self._feed, self._flush) if each is not None]
        return any(iscoroutinefunction(each) or iscoroutinefunction(type(each).__call__) for each in both)

    def at_once(self, whole: bytes) -> bytes:
        """Change a body that is here; what fails is the hook's own."""
        fed = as_bytes(self._feed(whole))
        return fed + as_bytes(self._flush()) if self._flush is not None else fed

    async def fed(self, chunk: bytes) -> bytes:
        """Change a chunk."""
        return await self._asked(self._feed, chunk)

    async def flushed(self) -> bytes:
        """Return what it still holds."""
        return b"" if self._flush is None else await self._asked(self._flush)

    async def _asked(self, function: Callable[..., object], *given: bytes) -> bytes:
        try:
            result = function(*given)
            if result.__class__ is not bytes and isawaitable(result):
                result = await bounded(result, self.owner.timeout)
            return as_bytes(result)
        except Fault:
            raise
        except (Exception, SystemExit) as error:
            what = f"in a map of the body, {getattr(function, '__qualname__', function)}"
            raise self.owner.failed(f"{what}: {type(error).__name__}: {error}") from error


class Watched:
    """The chunks of a plugin's own stream. One that gives no byte for its time, or none at all, has failed."""

    __slots__ = ("_chunks", "_owner")

    def __init__(self, source: AsyncIterable[bytes], owner: Owner) -> None:
        self._chunks = aiter(source)
        self._owner = owner

    def __aiter__(self) -> Watched:
        return self

    async def __anext__(self) -> bytes:
        timeout = self._owner.timeout
        due = None if timeout is None else asyncio.get_running_loop().time() + timeout
        while True:
            try:
                async with asyncio.timeout_at(due) as bound:
                    chunk = as_bytes(await anext(self._chunks))
                    if chunk:
                        return chunk
                    await asyncio.sleep(0)  # or one that gives nothing for ever would hold up everybody
            except (StopAsyncIteration, Fault):
                raise
            except (Exception, SystemExit) as error:
                what = f"no byte came for {timeout:g} s" if bound.expired() else f"{type(error).__name__}: {error}"
                raise self._owner.failed(f"in the stream of a body: {what}") from error

    async def aclose(self) -> None:
        """Let go of the source."""
        close = getattr(self._chunks, "aclose", None) or getattr(self._chunks, "close", None)
        try:
            if close is not None and (waiting := close()) is not None:
                await bounded(waiting, self._owner.timeout)
        except (Exception, SystemExit):
            log.exception("plugin %s failed in %s: a body could not be closed", self._owner.plugin, self._owner.hook)


class Inner(Protocol):
    """The body inside of a :class:`Front`."""

    received: int

    def stream(self) -> AsyncGenerator[bytes, None]:
        """Walk over its chunks."""

    async def close(self) -> None:
        """Let go of its source."""


class Front:
    """A body as it stood when somebody looked at its beginning: what was taken of it comes first, then the rest."""

    inline = True

    def __init__(self, inner: Any) -> None:
        self._inner: Inner = inner
        self._chunks = inner.stream()
        self._taken = bytearray()

    @property
    def received(self) -> int:
        """Bytes that have come into it."""
        return self._inner.received

    async def look(self, most: int) -> bytes:
        """Return what is in front, up to so many bytes."""
        while len(self._taken) < most:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                break
            self._taken += chunk
        return bytes(self._taken[:most])

    def __aiter__(self) -> Front:
        return self

    async def __anext__(self) -> bytes:
        if self._taken:
            chunk = bytes(self._taken)
            self._taken.clear()
            return chunk
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Let go of the rest."""
        await all_over((self._chunks.aclose(), self._inner.close()))


def as_bytes(chunk: Any) -> bytes:
    """Return a chunk that a plugin has made.

    Raises:
        TypeError: it is none.
    """
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk)
    raise TypeError(f"a chunk is bytes, and this is {type(chunk).__name__}")
