"""Where every connection arrives: it is counted, the client is made known, and the lane or Hypercorn gets it."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from hookgate.server.admission import Admission, Visitor
from hookgate.server.edge.handover import HandOver
from hookgate.server.lane import answers
from hookgate.server.lane.http1 import Http1
from hookgate.server.lane.lane import Lane
from hookgate.server.tls import tls_facts

log = logging.getLogger("hookgate.listener")

LINGER = 2.0
"""Seconds that a refused client has to read why: closing at once would reset the connection under the answer."""
LINGERING = 100
"""Refused connections that get so much attention; further ones are closed without a word."""


class Reception:
    """What the connections of all listeners share. ``loop.create_server(reception)`` is a listener for plain HTTP."""

    def __init__(
        self, admission: Admission, lane: Lane | None, hand_over: HandOver, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.admission = admission
        self.lane = lane
        """``None`` if all are for Hypercorn."""
        self.hand_over = hand_over
        self.loop = loop
        self.refused: set[asyncio.Transport] = set()
        """Connections that are only still there for their answer to be read."""

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of a connection that nobody has counted yet."""
        return _Arrival(self, None)

    def arrival(self, visitor: Visitor) -> asyncio.Protocol:
        """Make the protocol of a connection that is counted."""
        return _Arrival(self, visitor)

    def refusal(self) -> asyncio.Protocol:
        """Make the protocol of a plain connection that is one too many."""
        return _Refused(self)

    def enter(self, transport: asyncio.Transport) -> Visitor | None:
        """Count a connection."""
        peer = transport.get_extra_info("peername")
        ip, port = peer[:2] if isinstance(peer, tuple) else ("127.0.0.1", 0)
        return self.admission.enter(ip, port)

    def receive(self, transport: asyncio.Transport, visitor: Visitor) -> None:
        """Give a connection to whom it is for. HTTP/2 is Hypercorn's; over TLS, ALPN says what it is (RFC 7301)."""
        connection = transport.get_extra_info("ssl_object")
        if connection is not None:
            try:
                visitor.tls = tls_facts(connection)
            except ValueError as error:
                log.warning("%s: %s, so the connection is closed", visitor.ip, error)
                self.admission.refuse("certificate", visitor.ip)
                visitor.leave()
                transport.abort()
                return
        if self.lane is None or (connection is not None and connection.selected_alpn_protocol() == "h2"):
            self.hand_over(transport, b"", visitor)
            return
        protocol = Http1(self.lane, visitor)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def close(self) -> None:
        """End what is left when the listeners are closed."""
        self.admission.close()
        for transport in list(self.refused):
            transport.abort()


class _Arrival(asyncio.Protocol):
    """A connection in its first moment."""

    def __init__(self, reception: Reception, visitor: Visitor | None) -> None:
        self._reception = reception
        self._visitor = visitor

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        found = cast("asyncio.Transport", transport)
        visitor = self._visitor or self._reception.enter(found)
        if visitor is not None:
            self._reception.receive(found, visitor)
        else:
            protocol = _Refused(self._reception)
            found.set_protocol(protocol)
            protocol.connection_made(found)


class _Refused(asyncio.Protocol):
    """A plain connection that is one too many: it is told so, and what it sends is thrown away."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say why, and wait for the client to go."""
        self._transport = cast("asyncio.Transport", transport)
        refused = self._reception.refused
        if len(refused) >= LINGERING:
            self._transport.abort()
            return
        refused.add(self._transport)
        self._transport.write(answers.refusal(503, "Too many connections are open; try again later."))
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._timer = self._reception.loop.call_later(LINGER, self._transport.abort)

    def connection_lost(self, error: Exception | None) -> None:
        """It has gone."""
        self._reception.refused.discard(self._transport)
        if self._timer is not None:
            self._timer.cancel()
