"""How a connection of a client ends, and what it needs for that: the part of the lane that knows nothing of calls."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from hookgate.gateway.generation import Generation
from hookgate.gateway.record import LimitsSection
from hookgate.http.timers import NEVER
from hookgate.server.admission import Visitor
from hookgate.server.intake import sketch_of
from hookgate.server.lane import answers
from hookgate.server.lane.lane import LINGER, Lane
from hookgate.server.lane.upload import Upload
from hookgate.server.lane.writer import Writer

log = logging.getLogger("hookgate.lane")


class Ending(asyncio.Protocol):
    """A connection with a time limit that may be refused, closed, cut or given away; ``http1.py`` has the rest."""

    __slots__ = (
        *("_buffer", "_lane", "_state", "_transport", "_upload", "_visitor", "_writer"),
        *("deadline", "looked_at", "peer"),
    )

    def __init__(self, lane: Lane, visitor: Visitor) -> None:
        self._lane = lane
        self._visitor = visitor
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._writer: Writer = None  # type: ignore[assignment]
        self._state = "head"
        self.peer = visitor.ip
        """IP address of the client."""
        self._buffer = b""
        self._upload: Upload | None = None
        """The body of the request, while it is still to come."""
        self.deadline = NEVER
        self.looked_at = NEVER

    def expired(self, now: float) -> None:
        """The time limit of the state is reached (called by the wheel)."""
        self.abort()

    def _refuse(self, status: int, text: str, begun: bytes | None = None) -> None:
        """Answer something that is not a call; it began with what is in the buffer, or with other bytes."""
        log.info("%s: refused with %d: %s", self.peer, status, text)
        self._transport.write(answers.refusal(status, text))
        self._lane.gateway.refused(sketch_of(self._buffer if begun is None else begun, self.peer), status, text)
        self._linger()

    def _linger(self) -> None:
        self._state = "lingering"
        self._buffer = b""
        self._upload = None
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        self._until(LINGER)

    def close_if_idle(self) -> None:
        """Close between two calls, as the listener ends."""
        if self._state in ("head", "draining"):
            self._transport.close()
        elif self._state in ("busy", "body"):
            self._writer.keep = False

    def abort(self) -> None:
        """Close at once, what has not been sent is lost."""
        self._transport.abort()

    def _give_away(self, data: bytes) -> None:
        """Let Hypercorn have this connection."""
        self._state = "closed"
        self._lane.wheel.set(self, NEVER)
        self._lane.gone(self)
        self._lane.hand_over(self._transport, data, self._visitor)

    @property
    def _limits(self) -> LimitsSection:
        return cast("Generation", self._lane.gateway.live).limits

    def _until(self, seconds: float) -> None:
        self._lane.wheel.set(self, self._lane.loop.time() + seconds)
