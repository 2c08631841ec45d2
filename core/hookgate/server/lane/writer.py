"""What goes out on a connection of a client: heads, bodies, and waiting for a client that reads slowly."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import struct
import sys
import termios
from contextlib import aclosing

from hookgate.connections.attempts import outcome_of
from hookgate.exchange.errors import Fault
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Response
from hookgate.exchange.outbound import OutcomeKind
from hookgate.exchange.waiting import Signal
from hookgate.flow.failing import as_fault
from hookgate.server.lane import answers

log = logging.getLogger("hookgate.lane")

TOGETHER = 65536
"""Bytes of a body up to which it is joined with its head for one write."""


class BrokenBody(Fault):
    """502: a body of another length than was said."""

    status = 502
    default_reason = "bad-length"


class Writer:
    """Writes the answers of one connection."""

    __slots__ = ("_drained", "_last", "_left", "_open_ended", "_transport", "keep")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._drained: Signal | None = None
        self._last = answers.Last()
        self._left = 0
        self._open_ended = False
        """The end of the connection is the end of the body."""
        self.keep = True
        """The connection stays open after this answer."""

    @property
    def waits(self) -> bool:
        """Whether the client does not read what has been written."""
        return self._drained is not None

    def pause(self) -> None:
        """The client reads slowly."""
        self._drained = Signal()
        self._left = self._unread()

    def moves(self) -> bool:
        """Whether the client has read something since the last look, however little."""
        before, self._left = self._left, self._unread()
        return self._left < before

    def _unread(self) -> int:
        """Bytes that have not reached the client, those in the system's buffer included where it tells."""
        waiting = self._transport.get_write_buffer_size()
        sock = self._transport.get_extra_info("socket")
        try:
            told = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, AttributeError, ValueError):
            return waiting
        return waiting + int.from_bytes(told, sys.byteorder)

    def abort(self) -> None:
        """Break the connection off such that the client does not take what it has got for the whole."""
        sock = self._transport.get_extra_info("socket")
        if self._open_ended and sock is not None:  # a proper end of the connection would end the body properly
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def resume(self) -> None:
        """It has caught up."""
        signal, self._drained = self._drained, None
        if signal is not None:
            signal.set()

    async def send(self, exchange: Exchange, response: Response) -> OutcomeKind:
        """Send an answer; return how that went. What it says about the connection follows ``keep``, which may end."""
        head, has_body, chunked, self.keep = self._last.head_of(response, exchange.request, self.keep)
        write, body = self._transport.write, response.body
        self._open_ended = has_body and not chunked and body.length is None
        if self._transport.is_closing():
            return "aborted"
        if not has_body:
            write(head)
        elif (data := body.held) is not None and not body.copied:
            exchange.bytes_sent = len(data)
            if len(data) <= TOGETHER:
                write(head + data)
            else:
                write(head)
                write(data)
                if self._drained is not None:
                    await self._drained
        else:
            write(head)
            return await self._stream(exchange, response, chunked=chunked)
        return "ok"

    async def _stream(self, exchange: Exchange, response: Response, *, chunked: bool) -> OutcomeKind:
        body, write, sent = response.body, self._transport.write, 0
        length = body.length
        try:
            async with aclosing(body.stream()) as chunks:
                async for chunk in chunks:
                    if self._transport.is_closing():
                        return "aborted"
                    sent += len(chunk)
                    if length is not None and sent > length:
                        raise BrokenBody("The body is longer than its head says.")
                    write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                    exchange.bytes_sent = sent
                    if self._drained is not None:
                        await self._drained
            if length is not None and sent != length:
                raise BrokenBody("The body is shorter than its head says.")
        except Exception as error:  # noqa: BLE001
            # The head is out, so nothing can be said any more: a connection that breaks is how the client learns that
            # the body is not whole.
            exchange.fault = as_fault(error) if isinstance(error, Fault) else None
            log.warning("the response to %s broke off: %s", exchange.request.path, error)
            return outcome_of(error)
        if chunked:
            write(answers.last_chunk(response, exchange.request))
        return "ok"
