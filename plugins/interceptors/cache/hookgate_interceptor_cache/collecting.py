"""Keeping a copy of a body while it streams by, for as long as it is short enough."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, NamedTuple

from hookgate_interceptor_cache.store import Store

Whole = Callable[[bytes], None]


class Bounds(NamedTuple):
    """Octets that may be kept on the side."""

    body: int
    together: int
    """Of all bodies that are coming in."""


class Collecting:
    """The chunks of a source, which are kept on the side. Once they are as many as was said, or have come to their
    proper end, and only then, ``whole`` gets them together; ``over`` is called where they get too many.
    """

    __slots__ = ("_chunks", "_kept", "_length", "_most", "_over", "_size", "_source", "_store", "_whole", "inline")

    def __init__(
        self,
        source: AsyncIterable[bytes],
        store: Store,
        length: int | None,
        most: Bounds,
        whole: Whole,
        over: Callable[[], None],
    ) -> None:
        self.inline = getattr(source, "inline", False)
        self._source: Any = source
        self._chunks: AsyncIterator[bytes] = aiter(source)
        self._store = store
        self._length = length
        self._most = most
        self._whole: Whole | None = whole
        self._over = over
        self._kept: list[bytes] = []
        self._size = 0

    def __aiter__(self) -> Collecting:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            if self._length in (None, self._size):
                self._end()
            raise
        except BaseException:
            self._let_go()
            raise
        if self._whole is not None:
            self._keep(bytes(chunk))
        return chunk

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._store.under_way += len(chunk)
        self._kept.append(chunk)
        if self._size > self._most.body or self._store.under_way > self._most.together:
            self._let_go()
            self._over()
        elif self._size == self._length:  # before the client has it all, and asks again
            self._end()

    def _end(self) -> None:
        whole, data = self._whole, b"".join(self._kept)
        self._let_go()
        if whole is not None:
            whole(data)

    def _let_go(self) -> None:
        self._store.under_way -= self._size
        self._whole, self._size = None, 0
        self._kept.clear()

    async def aclose(self) -> None:
        """Let go of the source; what came so far is nothing whole."""
        self._let_go()
        for each in (self._chunks, self._source):
            close = getattr(each, "aclose", None)
            if close is not None:
                await close()
                return
            if (close := getattr(each, "close", None)) is not None:
                close()
                return
