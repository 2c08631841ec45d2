"""Connections to backends that are kept and shared: who gets one, who waits, and how one is opened."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

from hookgate.client.keeper import Origin, Stale, Unsent
from hookgate.client.outgoing import IDEMPOTENT, request_bytes
from hookgate.client.refusing import connected_late, refuses
from hookgate.client.upstream import Upstream
from hookgate.contract.backends import Pool
from hookgate.exchange.errors import BadGateway, ConnectFailed, Fault, ServiceUnavailable
from hookgate.exchange.messages import Response
from hookgate.exchange.outbound import Outbound
from hookgate.exchange.waiting import Signal
from hookgate.http.tls import UpstreamTls

PROTOCOL = "http/1.1"
"""What is offered over TLS (ALPN), so that what speaks something else there does not take a call for it."""


class _Place(Signal):
    """A place among the connections that somebody waits for."""

    __slots__ = ("granted",)

    def __init__(self) -> None:
        super().__init__()
        self.granted = False


class UpstreamPool:
    """Open connections to the targets of one connection.

    ``max_connections`` bounds them over all targets; a call that finds none free waits ``queue_timeout`` seconds, or as
    long as it may take to connect (AC-27). An idle connection is kept for ``keep_alive`` seconds, and one that is older
    than ``max_age`` is closed when its call is over. One that the backend closes at the very moment a request goes out
    is answered by sending the request once more on a new connection if it is idempotent and its body is at hand (RFC
    9112, 9.3.1); any other ends in 502: keep ``keep_alive`` below what the backend keeps.

    What to trust and what to show over TLS, ``pool.tls`` says, and is asked for each connection. With a
    ``socket_path`` all calls go to that Unix socket, whatever the host of their target.
    """

    def __init__(self, pool: Pool, *, socket_path: str | None = None) -> None:
        self._keep_alive = pool.keep_alive
        self._max_age = pool.max_age
        self._limit = pool.max_connections
        self._patience = pool.queue_timeout
        self._tls = pool.tls or UpstreamTls(pool.name, certificates=pool.certificates)
        self._socket_path = socket_path
        self._chooses = pool.keep_alive <= 0 or pool.max_age is not None
        """Not every connection that is free is kept: one question in place of three for each call."""
        self._idle: dict[Origin, list[Upstream]] = {}
        """Kept connections by origin; the one used last stands at the end and goes first."""
        self._open: set[Upstream] = set()
        self._opening = 0
        """Connections that are being opened."""
        self._taken = 0
        """Places in use, where they are limited."""
        self._waiting: deque[_Place] = deque()
        self._closing = False

    async def send(self, outbound: Outbound) -> Response:
        """Send an attempt; return when the head of the response is there. The body streams and must be read or closed.

        The target goes out byte for byte and so do the headers, except those of framing, which follow the body.

        Raises:
            ConnectFailed: nobody got it (``connect-refused``, ``connect-timeout``, ``dns-failed``, ``tls-failed``).
            GatewayTimeout: the backend took too long to read or to answer. The body may raise it, too.
            BadGateway: the backend broke off or answered nonsense. The body may raise it, too.
            ServiceUnavailable: all connections stayed in use (``pool-exhausted``).
        """
        head = request_bytes(outbound)
        target = outbound.target
        origin = target.origin
        repeats = False
        while True:
            if self._limit is not None:
                await self._place(outbound)
            kept = None if repeats else self._idle.get(origin)
            fresh = not kept
            upstream = kept.pop() if kept else await self._connect(outbound, origin)
            signal = upstream.call(outbound, head)
            try:
                return cast("Response", await signal)
            except Stale as stale:
                repeatable = outbound.method in IDEMPOTENT and outbound.body.held is not None
                if fresh or not (repeatable or isinstance(stale, Unsent)):
                    fault = await self._broken(outbound, stale.__cause__, fresh=fresh)
                    fault.spares_target = stale.spares_target and fault.reason == "upstream-closed"
                    raise fault from None
                repeats = True
            except asyncio.CancelledError:
                upstream.give_up(signal)
                raise

    async def _broken(self, outbound: Outbound, error: BaseException | None, *, fresh: bool) -> Fault:
        """Say what it means that a connection ended before a byte of an answer: nobody has read a request before the
        handshake was through, and who refuses us there is not available. Behind it, and on a connection that had
        served others, it may have been read."""
        ended: Exception | None = error if isinstance(error, ssl.SSLError) else None
        refused, read = fresh and refuses(ended), False
        if fresh and not refused and outbound.target.scheme == "https":
            later = await self._refusal(outbound)
            refused = read = later is not None
            ended = later or ended
        if ended is None:
            return BadGateway("The connection to the backend broke.", reason="upstream-closed")
        self._tls.failed(outbound.target, ended)
        if not refused:
            return BadGateway("The backend ended the secure connection.", reason="tls-failed")
        fault = ConnectFailed("The backend ended the secure connection.", reason="tls-failed")
        fault.may_be_done = read
        return fault

    async def _refusal(self, outbound: Outbound) -> Exception | None:
        """Ask in a task of its own, since a walker cannot wait for anything but signals."""
        signal = Signal()
        asking = asyncio.get_running_loop().create_task(self._tls.refusal(outbound.target, PROTOCOL))
        asking.add_done_callback(lambda done: signal.set(None if done.cancelled() else done.result()))
        try:
            return cast("Exception | None", await signal)
        finally:
            asking.cancel()

    # --- opening ----------------------------------------------------------------------------------------------------

    async def _connect(self, outbound: Outbound, origin: Origin) -> Upstream:
        signal = Signal()
        opening = asyncio.get_running_loop().create_task(self._establish(outbound, origin, signal))
        try:
            return cast("Upstream", await signal)
        except BaseException:
            opening.cancel()
            if isinstance(signal.value, Upstream):  # it came about at the very moment that nobody wants it any more
                signal.value.abort()
            if self._limit is not None:
                self._leave()
            raise

    async def _establish(self, outbound: Outbound, origin: Origin, signal: Signal) -> None:
        """Open a connection: in a task of its own, since a walker cannot wait for anything but signals."""
        self._opening += 1
        if self._limit is not None and len(self._open) + self._opening > self._limit:
            self._close_one()
        target = outbound.target
        loop = asyncio.get_running_loop()
        upstream = Upstream(self, origin, loop)
        limit, due = outbound.timeouts.connect, outbound.due
        end = None if limit is None else loop.time() + limit
        if due is not None and (end is None or due.at < end):
            end = due.at
        else:
            due = None
        try:
            async with asyncio.timeout_at(end):
                if self._socket_path is not None:
                    await loop.create_unix_connection(lambda: upstream, self._socket_path)
                elif target.scheme == "https":
                    context, name = await self._tls.latest(PROTOCOL), self._tls.name_of(target)
                    transport, _ = await loop.create_connection(
                        lambda: upstream, target.host, target.port, ssl=context, server_hostname=name
                    )
                    self._tls.opened(target, transport.get_extra_info("ssl_object"))
                else:
                    await loop.create_connection(lambda: upstream, target.host, target.port)
        except Exception as error:  # noqa: BLE001
            upstream.abort()
            self._opening -= 1
            fault = _connect_failure(error, secure=target.scheme == "https")
            if due is not None and isinstance(error, TimeoutError):
                fault = connected_late(due.fault(), outbound.attempt)
            if fault.reason == "tls-failed" and fault is not error:
                self._tls.failed(target, error)
            signal.set(error=fault)
        except BaseException:
            upstream.abort()
            self._opening -= 1
            raise
        else:
            self._opening -= 1
            signal.set(upstream)

    async def _place(self, outbound: Outbound) -> None:
        assert self._limit is not None
        if self._taken < self._limit:
            self._taken += 1
            return
        place = _Place()
        self._waiting.append(place)
        full: Fault = ServiceUnavailable("All connections to the backend are in use.", reason="pool-exhausted")
        loop, due = asyncio.get_running_loop(), outbound.due
        wait = outbound.timeouts.connect if self._patience is None else self._patience
        end = None if wait is None else loop.time() + wait
        if due is not None and (end is None or due.at < end):
            end, full = due.at, due.fault()
            full.spares_target = True
        timer = None if end is None else loop.call_at(end, lambda: place.set(error=full))
        try:
            await place
        except BaseException:
            if place.granted:  # at the very moment that nobody wants it any more
                self._leave()
            else:
                self._waiting.remove(place)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _leave(self) -> None:
        """Give a place back: to the one that has waited longest, in a turn of its own."""
        if self._waiting:
            place = self._waiting.popleft()
            place.granted = True
            asyncio.get_running_loop().call_soon(place.set)
        else:
            self._taken -= 1

    # --- keeping ----------------------------------------------------------------------------------------------------

    def opened(self, upstream: Upstream) -> None:
        """A connection is there."""
        self._open.add(upstream)

    def free(self, upstream: Upstream, now: float) -> float | None:
        """A connection has done its call and can do another; return until when it is kept, if it is.

        Times are those of the event loop.
        """
        if self._limit is not None:
            self._leave()
        until = now + self._keep_alive
        if self._chooses:
            if self._max_age is not None:
                until = min(until, upstream.born + self._max_age)
            if self._closing or until <= now:
                return None
        kept = self._idle.get(upstream.origin)
        if kept is None:
            kept = self._idle[upstream.origin] = []
        kept.append(upstream)
        return until

    def gone(self, upstream: Upstream, *, idle: bool, busy: bool) -> None:
        """A connection is closed."""
        self._open.discard(upstream)
        kept = self._idle.get(upstream.origin)
        if kept is not None:
            if idle and upstream in kept:
                kept.remove(upstream)
            if not kept:  # who calls many origins once each would gather them for ever
                del self._idle[upstream.origin]
        if busy and self._limit is not None:
            self._leave()

    def _close_one(self) -> None:
        """Make room for a connection to another target."""
        for kept in self._idle.values():
            if kept:
                kept[0].abort()
                return

    async def aclose(self) -> None:
        """Break off the calls that are still under way, and close every connection."""
        self._closing = self._chooses = True
        for upstream in list(self._open):
            upstream.break_off()
        self._idle.clear()
        await asyncio.sleep(0)

    def facts(self) -> Mapping[str, Any]:
        """Return how many connections there are now: ``open`` ones, of which ``idle`` and ``in_use``, calls that are
        ``waiting`` for one, and the ``limit``; then what is known of certificates, in Unix time by origin.
        """
        idle = sum(map(len, self._idle.values()))
        counts = {"open": len(self._open), "idle": idle, "in_use": len(self._open) - idle}
        return {**counts, "waiting": len(self._waiting), "limit": self._limit, **self._tls.facts()}


def _connect_failure(error: BaseException, *, secure: bool) -> Fault:
    match error:
        case Fault():
            return error
        case TimeoutError():
            return ConnectFailed("The backend did not accept a connection in time.", reason="connect-timeout")
        case socket.gaierror():
            return ConnectFailed("The name of the backend cannot be resolved.", reason="dns-failed")
        case ssl.SSLError() | ssl.CertificateError():
            return ConnectFailed("No secure connection to the backend came about.", reason="tls-failed")
        case ConnectionRefusedError():
            return ConnectFailed("The backend refused the connection.", reason="connect-refused")
        case ConnectionError() if secure:  # it took the connection, and then hung up in the handshake
            return ConnectFailed("No secure connection to the backend came about.", reason="tls-failed")
        case _:
            return ConnectFailed("No connection to the backend came about.")
