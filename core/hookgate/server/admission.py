"""Who is connected, and how many may be: counted for the lane and for Hypercorn in one place."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from hookgate.exchange.clientaddress import address_of, network_of, parsed
from hookgate.exchange.encryption import TlsFacts
from hookgate.gateway.gateway import Gateway
from hookgate.server.intake import is_trusted

log = logging.getLogger("hookgate.listener")

Reason = Literal["connections", "connections_per_client", "proxy_protocol", "handshake", "certificate"]
"""Why a connection was refused: a limit of that name, no right PROXY header, or what went wrong in TLS."""
LOOK = 0.5
"""Seconds between two looks whether a client is still there that is not read from."""
QUIET = 1.0
"""Seconds between two lines of the log about refused connections."""


def has_left(transport: asyncio.BaseTransport) -> bool:
    """Whether the other side has closed a connection that nobody reads from, as far as the system can tell."""
    sock = transport.get_extra_info("socket")
    if sock is None or not hasattr(socket, "TCP_INFO"):
        return False
    try:
        state: int = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return False
    return state in _LEFT


_LEFT = frozenset({7, 8})
"""States of TCP in Linux: CLOSE after a reset, CLOSE_WAIT after the other side's end."""


class Visitor:
    """One connection of a client, whoever serves it."""

    __slots__ = ("_admission", "_counted_as", "ip", "port", "tls")

    def __init__(self, admission: Admission, ip: str, port: int) -> None:
        self._admission: Admission | None = admission
        self._counted_as: str | None = None
        self.ip = ip
        """IP address of the client, or of whom a PROXY header names. One of IPv4 that is written as IPv6 is IPv4."""
        self.port = port
        """The port it came from."""
        self.tls: TlsFacts | None = None
        """What TLS has settled, if it speaks that; the client's certificate in it is verified."""

    def leave(self) -> None:
        """The connection is over; safe to call often."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.left(self._counted_as)


class Admission:
    """Lets connections in up to ``limits.connections`` and ``limits.connections_per_client`` of the live document."""

    def __init__(self, gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        self._gateway = gateway
        self._loop = loop
        self._clients: dict[str, int] = {}
        """Connections by client, where these are bounded."""
        self._unsaid: Counter[Reason] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self.connections = 0
        """Those that are open."""
        self.refused: Counter[Reason] = Counter()
        """Those that were refused since the start, by reason."""

    def enter(self, ip: str, port: int) -> Visitor | None:
        """Count a connection that was accepted; ``None``, and noted, if it is one too many."""
        live = self._gateway.live
        most = None if live is None else live.limits.connections
        if most is not None and self.connections >= most:
            self.refuse("connections", ip)
            return None
        visitor = Visitor(self, str(parsed(ip)), port)
        if not self._count(visitor):
            return None
        self.connections += 1
        return visitor

    def rename(self, visitor: Visitor, ip: str, port: int) -> bool:
        """The client is another one: a PROXY header says so. Return whether it may stay; if not, that is noted."""
        self._uncount(visitor._counted_as)
        visitor._counted_as = None
        visitor.ip, visitor.port = address_of(ip), port
        return self._count(visitor)

    def left(self, counted_as: str | None) -> None:
        """A connection is over (called by the visitor)."""
        self.connections -= 1
        self._uncount(counted_as)

    def refuse(self, reason: Reason, ip: str) -> None:
        """Note that a connection was refused. The log gets one line a second at most."""
        self.refused[reason] += 1
        self._unsaid[reason] += 1
        log.debug("%s: refused: %s", ip, reason)
        if self._timer is None:
            self._say()

    def status(self) -> Mapping[str, Any]:
        """What ``/-/health`` shows of the listeners."""
        return {"connections": self.connections, "refused": dict(self.refused)}

    def close(self) -> None:
        """Say what has not been said."""
        if self._timer is not None:
            self._timer.cancel()
            self._say(last=True)

    def _count(self, visitor: Visitor) -> bool:
        live = self._gateway.live
        most = None if live is None else live.limits.connections_per_client
        if live is None or most is None or is_trusted(visitor.ip, live.config.gateway.trusted_proxies):
            return True
        client = network_of(visitor.ip, live.limits.ipv6_prefix)
        count = self._clients.get(client, 0)
        if count >= most:
            self.refuse("connections_per_client", visitor.ip)
            return False
        self._clients[client] = count + 1
        visitor._counted_as = client
        return True

    def _uncount(self, client: str | None) -> None:
        if client is not None:
            count = self._clients.pop(client) - 1
            if count:
                self._clients[client] = count

    def _say(self, *, last: bool = False) -> None:
        self._timer = None
        if self._unsaid:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self._unsaid.items())
            log.warning("refused connections: %s; %d are open", reasons, self.connections)
            self._unsaid.clear()
            if not last:
                self._timer = self._loop.call_later(QUIET, self._say)
