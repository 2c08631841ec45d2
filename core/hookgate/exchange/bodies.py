"""The body of a message: a stream nobody reads unless a hook asks; then it is kept whole and can be sent again."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from hookgate.exchange.errors import BadRequest, ContentTooLarge, Fault
from hookgate.exchange.streams import NOBODY, Change, Feed, Flush, Front, Owner, Watched, as_bytes
from hookgate.exchange.waiting import all_over, in_task

log = logging.getLogger("hookgate")

MARKS = [0]
"""Counts up whenever a body is given something that knows no owner yet, so that a flow sees in one glance whether a
step has done that."""


class Sink(Protocol):
    """Receives a copy of a body that streams by."""

    def write(self, chunk: bytes) -> None:
        """Take one chunk; called in order."""

    def close(self, complete: bool) -> None:
        """Called once: ``complete`` says whether the stream came to its proper end."""


OnClose = Callable[[BaseException | None], Awaitable[None] | None]


class Body:
    """A message body: a stream that is passed through unless somebody asks for more.

    ``await body.read()`` keeps it whole (up to ``keep_limit`` bytes), after which ``body.data`` is there for sync
    hooks and the body can be sent again; ``await body.peek(100)`` looks at its beginning; ``body.set(data)`` replaces
    it; ``body.map(feed, flush)`` changes it chunk by chunk; ``body.tee(sink)`` copies it. A stream longer than
    ``limit`` bytes ends in the fault that ``too_large`` makes: 413 for a request, 502 for a response.
    """

    # Defaults of the class and no slots: most bodies never differ from them, and one is made for each message.
    held: bytes | None = None
    """The whole body where somebody holds it; then it can be sent (again)."""
    _source: AsyncIterable[bytes] | None = None
    _streaming: AsyncIterable[bytes] | None = None
    _feeds: Sequence[Change] = ()
    _wrapped = False
    _sinks: Sequence[Sink] = ()
    _on_close: Sequence[OnClose] = ()
    received = 0
    """Bytes that have come, as far as somebody has read them, before any hook changed them."""
    length: int | None = None
    """Bytes the stream will have, where that is known; ``None`` for a stream of unknown length."""
    limit: int | None = None
    keep_limit: int = 8 * 1024 * 1024
    too_large: Callable[[str], Fault] = ContentTooLarge
    trailers: Sequence[bytes] = ()
    """Fields that came behind the body (RFC 9110, 6.5), as lines, once it is through."""
    arrived = False
    """It came whole together with its head, and nobody has asked for it so far: whether that happens is chance."""
    changed = False
    """A hook replaced or maps the body, so validators and digests of the old bytes no longer hold."""

    def __init__(
        self,
        source: bytes | AsyncIterable[bytes] = b"",
        *,
        length: int | None = None,
        limit: int | None = None,
        keep_limit: int | None = None,
        too_large: Callable[[str], Fault] | None = None,
    ) -> None:
        if isinstance(source, bytes):
            self.held = source
            self.length = self.received = len(source)
        elif not hasattr(source, "__aiter__"):
            raise TypeError(f"a body is bytes or an asynchronous iterable of them, and this is {type(source).__name__}")
        else:
            self._source = source
            self.length = length
        if limit is not None:
            self.limit = limit
        if keep_limit is not None:
            self.keep_limit = keep_limit
        if too_large is not None:
            self.too_large = too_large

    @property
    def replayable(self) -> bool:
        """Whether the body is held whole and can be sent once more."""
        return self.held is not None

    @property
    def spent(self) -> bool:
        """Whether there was something in it that streamed, or streams now, and nobody holds."""
        return self.held is None and self._source is None and self.length != 0

    @property
    def copied(self) -> bool:
        """Whether somebody wants a copy of what is sent."""
        return bool(self._sinks)

    @property
    def maps(self) -> int:
        """How many changes wait for its stream; see :meth:`map`."""
        return len(self._feeds)

    @property
    def empty(self) -> bool:
        """Whether it is known that there is nothing in it."""
        return self.held == b"" if self.held is not None else self.length == 0

    @property
    def data(self) -> bytes:
        """The whole body, for a sync hook that declared ``reads = {"request.body"}``."""
        if self.held is None:
            raise RuntimeError("the body has not been read; declare it in `reads`, or await body.read()")
        return self.held

    async def read(self, limit: int | None = None) -> bytes:
        """Read the whole body and keep it.

        Raises:
            Fault: what ``too_large`` makes, when there are more bytes than ``limit`` (default: ``keep_limit``).
        """
        bound = self.keep_limit if limit is None else limit
        if self.held is not None:
            self.arrived = False
            if len(self.held) > bound and not self.changed:  # it came together with its head, and nobody asked so far
                raise self.too_large(
                    f"The body is {len(self.held)} bytes long; here at most {bound} bytes are accepted."
                )
        else:
            if self.length is not None and self.length > bound:
                refusal = self.too_large(
                    f"The body is {self.length} bytes long; here at most {bound} bytes are accepted."
                )
                await self.close(refusal)
                raise refusal
            kept = bytearray()
            async with aclosing(self.stream()) as chunks:
                async for chunk in chunks:
                    kept += chunk
                    if len(kept) > bound:
                        raise self.too_large(f"The body is longer than {bound} bytes.")
            self.held = bytes(kept)
            self.length = len(kept)
        return self.held

    async def json(self) -> Any:
        """Read the whole body as JSON.

        Raises:
            BadRequest: it is not JSON.
        """
        try:
            return json.loads(await self.read())
        except ValueError as error:
            raise BadRequest(f"The body is not JSON: {error}.", reason="not-json") from None

    def set(self, data: bytes) -> None:
        """Put other bytes in the place of the body. What was not read of the old one is dropped."""
        self.held = data
        self.arrived = False
        self._feeds = ()
        self.length = len(data)
        self.changed = True

    async def peek(self, most: int) -> bytes:
        """Return up to so many bytes from the front, fewer only where the body ends before; it streams on as before,
        whole.

        Raises:
            Fault: the body is longer than its limit, or broke off.
        """
        if self.held is not None:
            return self.held[:most]
        front = self._source
        if front is None:
            raise RuntimeError("the body has already been streamed; read() it first to use it twice")
        if self._feeds or not isinstance(front, Front):
            front = self._inside()
        try:
            found = await front.look(most)
        except BaseException as error:
            await self._through(error)
            raise
        self.received = front.received
        return found

    def map(self, feed: Feed, flush: Flush | None = None) -> None:
        """Change the body as it streams: ``feed(chunk)`` for each chunk, ``flush()`` for what is left at the end.

        Both may be asynchronous. The sender is held back meanwhile, and each may take as long as a hook.
        """
        change = Change(feed, flush)
        if self.held is not None and not change.waits:
            arrived = self.arrived
            self.set(change.at_once(self.held))
            self.arrived = arrived
            return
        if self.held is not None:
            self._inside()
        self._feeds = (*self._feeds, change)
        self.length = None
        self.changed = True
        self.arrived = False
        MARKS[0] += 1

    def tee(self, sink: Sink) -> None:
        """Copy what streams by (after the maps so far and to come) into a sink."""
        self._sinks = (*self._sinks, sink)

    def wrap(self, around: Callable[[AsyncIterable[bytes]], AsyncIterable[bytes]]) -> None:
        """Put something around the source that yields the same bytes: a time limit, a counter."""
        if self._source is not None:
            self._source = around(self._source)
            self._wrapped = True
            MARKS[0] += 1

    def belongs_to(self, owner: Owner) -> None:
        """Note who is to be named for its stream and its changes, as far as they are nobody's yet."""
        for change in self._feeds:
            if change.owner is NOBODY:
                change.owner = owner
        source = self._source
        if source is not None and not getattr(source, "inline", False) and not isinstance(source, Watched):
            # What was put around the stream of somebody else gives bytes when that one does.
            self._source = Watched(source, owner._replace(timeout=None) if self._wrapped else owner)
        self._wrapped = False

    def _inside(self) -> Front:
        """Put the body as it stands into a new source."""
        inner = Body()
        inner.held, inner._source, inner._feeds = self.held, self._source, self._feeds
        inner.received, inner.limit, inner.too_large = self.received, self.limit, self.too_large
        self.held, self._feeds = None, ()
        self._source = front = Front(inner)
        return front

    def on_close(self, callback: OnClose) -> None:
        """Have something called once when the source is used up, broken or abandoned, with the error if any."""
        self._on_close = (*self._on_close, callback)

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Walk over the chunks as they leave: from the source, through the maps, past the sinks.

        One generator on purpose: nested ones would not be closed when the reader stops early. Close it in any case
        (``contextlib.aclosing``), since closing is what lets go of the source.
        """
        try:
            if self.held is not None:
                if self.held:
                    yield self._copied(self.held)
            else:
                source, self._source = self._source, None
                if source is None:
                    raise RuntimeError("the body has already been streamed; read() it first to use it twice")
                self._streaming = source
                if not getattr(source, "inline", False):
                    await in_task()  # whatever a plugin waits for
                looked = source if isinstance(source, Front) else None
                async for chunk in source:
                    if chunk.__class__ is not bytes:
                        chunk = as_bytes(chunk)  # noqa: PLW2901
                    self.received = self.received + len(chunk) if looked is None else looked.received
                    if self.limit is not None and self.received > self.limit:
                        raise self.too_large(f"The body is longer than {self.limit} bytes.")
                    for change in self._feeds:
                        chunk = await change.fed(chunk)  # noqa: PLW2901
                    if chunk:
                        yield self._copied(chunk)
                if looked is not None:
                    self.received = looked.received  # of which maps may have made nothing
                if self._feeds and (rest := await self._flushed()):
                    yield self._copied(rest)
        except BaseException as error:
            await self._through(error)
            raise
        await self._through(None)

    async def _through(self, failure: BaseException | None) -> None:
        """The stream has come to its end, or broken off."""
        sinks, self._sinks = self._sinks, ()
        for sink in sinks:
            try:
                sink.close(failure is None)
            except (Exception, SystemExit):
                log.exception("%s.close failed", type(sink).__qualname__)
        await self.close(failure)

    def _copied(self, chunk: bytes) -> bytes:
        for sink in self._sinks:
            try:
                sink.write(chunk)
            except (Exception, SystemExit) as error:
                what = f"in {type(sink).__qualname__}.write: {type(error).__name__}: {error}"
                raise NOBODY.failed(what) from error
        return chunk

    async def _flushed(self) -> bytes:
        """What the maps still hold, each flushed through those after it."""
        rest = b""
        for change in self._feeds:
            rest = (await change.fed(rest) if rest else b"") + await change.flushed()
        return rest

    async def close(self, error: BaseException | None = None) -> None:
        """Let go of a source that nobody will read (any more). Safe to call often."""
        if waiting := self.let_go(error):
            await all_over(waiting)

    def let_go(self, error: BaseException | None = None) -> Sequence[Awaitable[None]]:
        """Close what can be closed at once, and return what has to be awaited for the rest (``all_over``)."""
        callbacks = self._on_close
        if self.held is not None and not callbacks:
            return ()
        self._on_close = ()
        waiting: list[Awaitable[None]] = []
        if self.held is None:
            for source in (self._source, self._streaming):
                close = getattr(source, "close", None)
                if close is not None:
                    close()
                elif (aclose := getattr(source, "aclose", None)) is not None:
                    waiting.append(aclose())
            self._source = self._streaming = None
        if waiting:
            waiting += [_later(callback, error) for callback in callbacks]
        else:
            for callback in callbacks:
                if (more := _called(callback, error)) is not None:
                    waiting.append(more)
        return waiting


class Arrived(Body):
    """A body of the network that is all here already."""

    arrived = True


async def _later(callback: OnClose, error: BaseException | None) -> None:
    """Call back when it is awaited, which is after the source has been closed."""
    done = _called(callback, error)
    if done is not None:
        await done


def _called(callback: OnClose, error: BaseException | None) -> Awaitable[None] | None:
    try:
        return callback(error)
    except (Exception, SystemExit):
        log.exception("what was to be called at the end of a body failed: %r", callback)
        return None
