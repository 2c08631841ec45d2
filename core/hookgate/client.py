"""httpx, in one place: a pool for connections that call backends through it, and a small client for everything else.

No other module imports httpx, so that its successor is a change of one line. The pool works below
``httpx.AsyncClient``: no redirects, no cookies, no decoding, no headers but those of the attempt. HTTP/1.1 only.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import httpx

from hookgate.errors import BadGateway, ConnectFailed, GatewayTimeout, ServiceUnavailable
from hookgate.exchange import Outbound, Target, Timeouts
from hookgate.messages import Body, Headers, RawHeader, Response
from hookgate.plugin import Pool

READ_AHEAD = 2
"""Chunks (of at most 64 KiB) of a response that are held for a reader that is slower than the backend."""

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_EXPECT_A_BODY = frozenset({"POST", "PUT", "PATCH"})
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class HttpxPool:
    """Open connections to the targets of one connection, over httpx.

    ``max_connections`` bounds them over all targets; a call that finds none free waits as long as it may take to
    connect (AC-27). An idle connection is kept for ``keep_alive`` seconds. One that the backend has closed in the
    meantime is noticed before it is used; where the backend closes it at the very moment the request goes out, a
    request that is idempotent and has no body is sent once more on another connection (RFC 9112, 9.3.1), any other ends
    in 502: keep ``keep_alive`` below what the backend keeps.

    httpx reads the answer only when it has sent the whole request. A backend that answers early must still take the
    rest of the request: if it hangs up instead the call ends in 502, if it stops reading in 504.

    The pool of httpx itself looks at every connection and every waiting call for each event, which at a thousand calls
    is a standstill; and it loses a place for good when a call that waits for one is cancelled (encode/httpcore#1093).
    So each connection here is an httpx transport of its own with room for one, and this class is the pool.

    ``context`` says what to trust and what to show over TLS; without one it is what this machine trusts.
    """

    def __init__(self, pool: Pool, context: ssl.SSLContext | None = None) -> None:
        self._context = context or _default_context()
        self._limit = pool.max_connections
        self._keep_alive = pool.keep_alive
        self._places = None if pool.max_connections is None else asyncio.Semaphore(pool.max_connections)
        self._idle: dict[httpx.URL, deque[_Idle]] = {}
        """Kept connections by origin, the one used last at the right end."""
        self._closing: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._calls: set[_Call] = set()

    async def send(self, outbound: Outbound) -> Response:
        """Send an attempt; return when the head of the response is there. The body streams and must be read or closed.

        The target goes out byte for byte and so do the headers, except those of framing, which follow the body. Of the
        time-outs, ``connect`` and ``read`` (which also bounds each write) are kept here; ``request`` is the caller's.

        Raises:
            ConnectFailed: nothing was sent (``connect-refused``, ``connect-timeout``, ``dns-failed``, ``tls-failed``).
            GatewayTimeout: the backend took too long to read or to answer. The body may raise it, too.
            BadGateway: the backend broke off or answered nonsense. The body may raise it, too.
            ServiceUnavailable: all connections stayed in use (``pool-exhausted``).
        """
        request = _request(outbound)
        await self._take_place(outbound.timeouts.connect)
        origin = request.url
        repeatable = outbound.body.empty and outbound.method in _IDEMPOTENT
        call = _Call(self._taken(origin), request, repeatable=repeatable, ended=lambda call: self._ended(call, origin))
        self._calls.add(call)
        response = _response(await call.head(), call, outbound.method)
        if response.body.empty:
            await asyncio.wait([call.task])  # so that the next call finds the connection free
        return response

    async def _take_place(self, wait: float | None) -> None:
        if self._places is None:
            return
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(wait):
                await self._places.acquire()
        except TimeoutError:
            detail = "All connections to the backend are in use."
            raise ServiceUnavailable(detail, reason="pool-exhausted") from None

    def _taken(self, origin: httpx.URL) -> httpx.AsyncHTTPTransport:
        """Take the connection to an origin that was used last, or make a new one, at the cost of an idle one."""
        if kept := self._idle.get(origin):
            return kept.pop().transport
        if self._limit is not None and len(self._calls) + sum(map(len, self._idle.values())) >= self._limit:
            oldest = min((kept for kept in self._idle.values() if kept), key=lambda kept: kept[0].since, default=None)
            if oldest is not None:
                self._close(oldest.popleft().transport)
        limits = httpx.Limits(max_connections=1, keepalive_expiry=self._keep_alive)
        return httpx.AsyncHTTPTransport(verify=self._context, trust_env=False, limits=limits)

    def _ended(self, call: _Call, origin: httpx.URL) -> None:
        self._calls.discard(call)
        if call.whole:
            now = asyncio.get_running_loop().time()
            self._idle.setdefault(origin, deque()).append(_Idle(now, call.transport))
            if self._sweep is None:
                self._sweep = asyncio.get_running_loop().call_later(self._keep_alive, self._close_old)
        else:
            self._close(call.transport)
        if self._places is not None:
            self._places.release()

    def _close_old(self) -> None:
        """Close what has been idle for too long; come back when the next one will have been."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        for origin, kept in list(self._idle.items()):
            while kept and loop.time() - kept[0].since >= self._keep_alive:
                self._close(kept.popleft().transport)
            if not kept:
                del self._idle[origin]
        if self._idle:
            oldest = min(kept[0].since for kept in self._idle.values())
            self._sweep = loop.call_at(oldest + self._keep_alive, self._close_old)

    def _close(self, transport: httpx.AsyncHTTPTransport) -> None:
        task = asyncio.get_running_loop().create_task(transport.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Break off the calls that are still under way, and close every connection."""
        tasks = [call.task for call in self._calls]
        for call in list(self._calls):
            call.abandon()
        if tasks:
            await asyncio.wait(tasks)
        if self._sweep is not None:
            self._sweep.cancel()
        for kept in self._idle.values():
            for idle in kept:
                self._close(idle.transport)
        self._idle.clear()
        if self._closing:
            await asyncio.wait(self._closing)


class _Idle(NamedTuple):
    """A connection that waits for its next call."""

    since: float
    """Time of the event loop."""
    transport: httpx.AsyncHTTPTransport


class _Call:
    """One request and its response, carried by a task of its own, which hands the chunks of the body over.

    So httpcore is never cancelled while it cleans up, whatever happens to those who wait: a cancellation of theirs
    abandons the call, and an abandoned call is cancelled once and its connection closed.
    """

    def __init__(
        self,
        transport: httpx.AsyncHTTPTransport,
        request: httpx.Request,
        *,
        repeatable: bool,
        ended: Callable[[_Call], None],
    ) -> None:
        self.transport = transport
        self.whole = False
        """The response came to its proper end, so the connection can serve another call."""
        self._repeatable = repeatable
        self._ended: Callable[[_Call], None] | None = ended
        """Told once that the connection is free, before whoever reads the response can know that it is over."""
        self._reused = True
        self._opening: Any = None
        """The socket, while it is ours and no connection of httpcore has it yet."""
        self._abandoned = False
        self._chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._room = asyncio.Event()
        request.extensions["trace"] = self._trace
        loop = asyncio.get_running_loop()
        self._head: asyncio.Future[httpx.Response] = loop.create_future()
        self.task = loop.create_task(self._run(request), name=f"call {request.url.host}")
        self.task.add_done_callback(self._over)

    async def head(self) -> httpx.Response:
        """Wait for the head of the response; a cancellation meanwhile abandons the call."""
        try:
            return await self._head
        except asyncio.CancelledError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Have the call break off."""
        if not self._abandoned:
            self._abandoned = True
            self.task.cancel()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._chunks.get()
        self._room.set()
        if isinstance(chunk, bytes):
            return chunk
        self._chunks.put_nowait(None)
        if chunk is None:
            raise StopAsyncIteration
        raise chunk

    async def aclose(self) -> None:
        """Close the response; the connection is kept only if the response had come to its end."""
        self.abandon()
        if not self.task.done():
            await asyncio.wait([self.task])

    async def _run(self, request: httpx.Request) -> None:
        try:
            response = await self._answer(request)
            assert isinstance(request.stream, httpx.AsyncByteStream)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            try:
                await request.stream.aclose()  # what is left of the body, where the backend answered before its end
                if not self._head.done():
                    self._head.set_result(response)
                last = await self._stream(response)
            finally:
                await response.stream.aclose()
        except Exception as error:  # noqa: BLE001  whoever waits for the call gets it
            self._free()
            self._fail(_fault(error))
            return
        self.whole = True
        self._free()
        if last is not None:
            self._chunks.put_nowait(last)
        self._chunks.put_nowait(None)

    def _over(self, task: asyncio.Task[None]) -> None:
        """Clean up after a call that was cancelled, perhaps before its first step."""
        if task.cancelled():
            self._free()
            self._fail(BadGateway("The call to the backend was broken off."))

    def _free(self) -> None:
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended(self)

    async def _stream(self, response: httpx.Response) -> bytes | None:
        """Hand the chunks over, all but the one that is known to be the last.

        That one follows when the connection is free again: whoever gets the end of a response may call at once.
        """
        assert isinstance(response.stream, httpx.AsyncByteStream)
        left = _length(Headers.of(list(response.headers.raw)))
        last = None
        async for chunk in response.stream:
            if left is not None and len(chunk) == left:
                last = chunk
                continue
            left = None if left is None else left - len(chunk)
            await self._hand_over(chunk)
        return last

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        try:
            try:
                return await self.transport.handle_async_request(request)
            except (httpx.ReadError, httpx.RemoteProtocolError):
                if not (self._reused and self._repeatable):
                    raise
            return await self.transport.handle_async_request(request)
        except BaseException:
            await request.stream.aclose()
            if self._opening is not None:  # cancelled during the TLS handshake, where httpcore forgets the socket
                await self._opening.aclose()
            raise

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn from httpcore whether a connection is opened, and when it has the socket in its care."""
        if event == "connection.connect_tcp.complete":
            self._reused = False
            self._opening = info["return_value"]
        elif event == "http11.send_request_headers.started":
            self._opening = None

    async def _hand_over(self, chunk: bytes) -> None:
        self._chunks.put_nowait(chunk)
        if self._chunks.qsize() >= READ_AHEAD:
            self._room.clear()
            await self._room.wait()

    def _fail(self, error: Exception) -> None:
        if self._head.done():
            self._chunks.put_nowait(error)
        else:
            self._head.set_exception(error)


class _Upload(httpx.AsyncByteStream):
    """The body of a request, as httpx wants it."""

    def __init__(self, body: Body) -> None:
        self._chunks = body.stream()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        await self._chunks.aclose()


@lru_cache(maxsize=4096)
def _origin(scheme: str, host: str, port: int) -> httpx.URL:
    return httpx.URL(scheme=scheme, host=host, port=port)


def _request(outbound: Outbound) -> httpx.Request:
    target, limits = outbound.target, outbound.timeouts
    request = httpx.Request(
        outbound.method,
        _origin(target.scheme, target.host, target.port),
        headers=_framed(outbound),
        stream=_Upload(outbound.body),
        extensions={
            # As it is: httpx would quote and normalise a path in the URL.
            "target": (f"{outbound.path}?{outbound.query}" if outbound.query else outbound.path).encode(),
            "timeout": {"connect": limits.connect, "pool": limits.connect, "read": limits.read, "write": limits.read},
        },
    )
    request.method = outbound.method  # httpx writes it in capitals; methods are case-sensitive (RFC 9110, 9.1)
    return request


def _framed(outbound: Outbound) -> list[RawHeader]:
    """Return the headers with the framing that the body needs (RFC 9112, 6); what says so already stays in place."""
    raw, length = outbound.headers.raw, outbound.body.length
    declared = [(name.lower(), value.strip().lower()) for name, value in raw if name.lower() in _FRAMING]
    needed = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
    if declared == [needed]:
        return raw
    rest = [field for field in raw if field[0].lower() not in _FRAMING]
    if length == 0 and outbound.method not in _EXPECT_A_BODY:
        return rest
    return [*rest, needed]


def _response(head: httpx.Response, call: _Call, method: str) -> Response:
    headers = Headers.of(list(head.headers.raw))
    if head.status_code == 101:
        call.abandon()
        raise BadGateway("The backend changed the protocol without being asked.")
    length = _length(headers)
    if method == "HEAD" or head.status_code in {204, 304} or length == 0:
        return Response(head.status_code, headers)  # the call reads to the end by itself
    return Response(head.status_code, headers, Body(call, length=length, too_large=BadGateway))


def _length(headers: Headers) -> int | None:
    if "transfer-encoding" in headers:
        return None
    values = set(headers.tokens("content-length"))
    value = values.pop() if len(values) == 1 else ""
    return int(value) if value.isascii() and value.isdigit() else None


def _fault(error: Exception) -> Exception:
    """Turn an error of httpx into a fault whose text says nothing internal; anything else stays what it is."""
    fault: Exception
    match error:
        case httpx.ConnectTimeout():
            fault = ConnectFailed("The backend did not accept a connection in time.", reason="connect-timeout")
        case httpx.ConnectError():
            fault = _connect_failed(error)
        case httpx.PoolTimeout():
            fault = ServiceUnavailable("All connections to the backend are in use.", reason="pool-exhausted")
        case httpx.TimeoutException():
            fault = GatewayTimeout("The backend did not answer in time.")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            fault = BadGateway("The request cannot be put into HTTP/1.1 as it is.")
        case httpx.RemoteProtocolError():
            fault = BadGateway("The backend gave no proper answer.")
        case httpx.TransportError():
            fault = BadGateway("The connection to the backend broke.")
        case _:
            return error
    fault.__cause__ = error
    return fault


def _connect_failed(error: Exception) -> ConnectFailed:
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return ConnectFailed("The name of the backend cannot be resolved.", reason="dns-failed")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return ConnectFailed("No secure connection to the backend came about.", reason="tls-failed")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return ConnectFailed("The backend refused the connection.", reason="connect-refused")
    return ConnectFailed("No connection to the backend came about.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk over what led to an error, the members of groups (one for each address tried) included."""
    yield error
    for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _causes(member)
    earlier = error.__cause__ or error.__context__
    if earlier is not None:
        yield from _causes(earlier)


@lru_cache(maxsize=1)
def _default_context() -> ssl.SSLContext:
    """Trust what this machine trusts. Reading its authorities takes a tenth of a second, so all pools share one."""
    return ssl.create_default_context()


class Client:
    """A small HTTP client for what is off the data path: probes, callouts, token endpoints (``Host.http``).

    It follows no redirects and keeps no cookies, so that what a plugin asks for is what is sent.
    """

    answer_limit = 8 * 1024 * 1024
    """Bytes of an answer that are read at most."""

    @cached_property
    def _pool(self) -> HttpxPool:
        return HttpxPool(Pool(name="client"))

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Response:
        """Send a request and return the answer with its body read.

        ``timeout`` bounds the whole call in seconds, from looking up the name to the last byte.

        Raises:
            ValueError: the URL is not an absolute http or https URL without user name and password.
            ConnectFailed: nothing was sent.
            GatewayTimeout: the time is up.
            BadGateway: the server broke off, answered nonsense or sent more than ``answer_limit`` bytes.
        """
        place = _parsed(url)
        path, _, query = place.raw_path.decode("ascii").partition("?")
        fields = Headers(headers or {})
        fields.setdefault("Host", place.netloc.decode("ascii"))
        port = place.port or {"http": 80, "https": 443}[place.scheme]
        outbound = Outbound(
            method,
            Target(place.scheme, place.host, port),
            path,
            query,
            headers=fields,
            body=Body(body),
            timeouts=Timeouts(connect=None, read=None, request=timeout),  # the bound on the whole call is below
        )
        try:
            async with asyncio.timeout(timeout):
                response = await self._pool.send(outbound)
                try:
                    await response.body.read(self.answer_limit)
                finally:
                    await response.body.close()
        except TimeoutError:
            raise GatewayTimeout(f"No answer within {timeout:g} seconds.") from None
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        if "_pool" in self.__dict__:
            await self._pool.aclose()


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{url!r} cannot be called: write an absolute http or https URL")
    if parsed.userinfo:
        raise ValueError(f"a URL with user name or password is refused ({parsed.host}): put them into a header")
    return parsed


def blocking_client(base_url: str) -> httpx.Client:
    """Make a keep-alive client for tests that are not ``async``, without redirects and without proxies."""
    return httpx.Client(base_url=base_url, timeout=30.0, trust_env=False)
