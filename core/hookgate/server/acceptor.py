"""Listeners that have something to do before a protocol gets a connection: read a PROXY header, shake hands for TLS.

Connections are accepted here and not by ``loop.create_server``, so that one that is too many costs no handshake, and so
that a PROXY header can be taken off the socket byte for byte: what follows it is TLS, whose reader begins with the
socket.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, cast

from hookgate.exchange.waiting import ended
from hookgate.server.intake import is_trusted

if TYPE_CHECKING:
    import ssl

    from hookgate.gateway.gateway import Gateway
    from hookgate.gateway.generation import Generation
    from hookgate.server.admission import Reason, Visitor
    from hookgate.server.reception import Reception

log = logging.getLogger("hookgate.listener")

AT_ONCE = 100
"""Connections that are accepted before others get a turn."""
PAUSE = 1.0
"""Seconds to wait when the system has no descriptor for one more connection."""


class Turned(Exception):
    """A connection is not wanted."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason: Reason = reason


class Acceptor:
    """One listening socket, from :meth:`start` to :meth:`close`."""

    def __init__(
        self,
        opened: socket.socket,
        gateway: Gateway,
        reception: Reception,
        *,
        context: ssl.SSLContext | None,
        proxied: bool | Literal["required"],
    ) -> None:
        self._opened = opened
        self._gateway = gateway
        self._reception = reception
        self._loop = reception.loop
        self._context = context
        """``None`` for plain HTTP."""
        self._proxied = proxied
        self._take_header: Any = gateway.catalogue.part("proxyprotocol") if proxied else None
        """Takes a PROXY header off a connection, and not one byte more; raises a `ValueError` where there is none."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._pause = None
        self._loop.add_reader(self._opened.fileno(), self._ready)

    async def close(self) -> None:
        """Accept no more, and let go of connections that no protocol has yet."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._opened.fileno())
        self._opened.close()
        await ended(*self._tasks)

    def _ready(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = self._opened.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no more connections can be accepted for %g s: %s", PAUSE, error)  # noqa: TRY400
                self._loop.remove_reader(self._opened.fileno())
                self._pause = self._loop.call_later(PAUSE, self.start)
                return
            connection.setblocking(False)
            visitor = self._reception.admission.enter(*address[:2])
            task = self._loop.create_task(self._welcome(connection, visitor), name="new connection")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _welcome(self, connection: socket.socket, visitor: Visitor | None) -> None:
        """Take a connection to its protocol."""
        try:
            if visitor is not None and self._proxied:
                visitor = await self._named(connection, visitor)
        except BaseException as error:
            connection.close()
            if visitor is not None:
                visitor.leave()
                if isinstance(error, Turned):
                    log.info("%s: %s", visitor.ip, error)
                    self._reception.admission.refuse(error.reason, visitor.ip)
            if not isinstance(error, Turned | OSError):
                raise
            return
        if visitor is not None:
            await self._admit(connection, visitor)
        elif self._context is None:
            with suppress(OSError):  # it has gone
                await self._loop.connect_accepted_socket(self._reception.refusal, connection)
        else:
            connection.close()

    async def _named(self, connection: socket.socket, visitor: Visitor) -> Visitor | None:
        """Read who the client is, where a proxy says so; ``None`` if it has too many connections.

        Raises:
            Turned: it does not say so, or nobody may who is no trusted proxy.
            OSError: the connection broke.
        """
        live = cast("Generation", self._gateway.live)
        if not is_trusted(visitor.ip, live.config.gateway.trusted_proxies):
            if self._proxied == "required":
                raise Turned("proxy_protocol", "is no trusted proxy, and nobody else may connect")
            return visitor
        try:
            async with asyncio.timeout(live.limits.head):
                header = await self._take_header(connection, self._loop)
        except TimeoutError:
            raise Turned("proxy_protocol", f"no PROXY header came within {live.limits.head:g} s") from None
        except ValueError as error:
            raise Turned("proxy_protocol", str(error)) from None
        if header.ip is None or self._reception.admission.rename(visitor, header.ip, header.port):
            return visitor
        visitor.leave()
        return None

    async def _admit(self, connection: socket.socket, visitor: Visitor) -> None:
        """Shake hands, if this is a listener for TLS, and give the connection to its protocol."""
        limits = cast("Generation", self._gateway.live).limits
        arrival, admission = self._reception.arrival, self._reception.admission
        try:
            if self._context is None:
                await self._loop.connect_accepted_socket(lambda: arrival(visitor), connection)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: arrival(visitor), connection, ssl=self._context, ssl_handshake_timeout=limits.handshake
                )
        except OSError as error:  # an SSLError and a TimeoutError are such
            visitor.leave()
            log.debug("%s: no handshake: %s", visitor.ip, error)
            admission.refuse("handshake", visitor.ip)
        except BaseException:
            visitor.leave()
            raise
