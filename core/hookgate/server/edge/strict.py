"""HTTP/1.1 in front of Hypercorn, read by the rules of the lane.

h11 takes what two implementations might read in two ways, so it sees a head when :mod:`hookgate.http.framing` has read
it, written anew, then the chunks of its body, and the next head when the call before it is answered.
"""

from __future__ import annotations

import logging
from typing import Any, cast

import h11

from hookgate.exchange.errors import Fault
from hookgate.exchange.messages import RawHeader
from hookgate.gateway.gateway import Gateway
from hookgate.gateway.generation import Generation
from hookgate.http.framing import CHUNKED, END_OF_HEAD, H2_PREFACE, BodyReader, FramingError, read_request, reader_of
from hookgate.server.intake import check_sizes, overlong, sketch, sketch_of, split, wants_websocket

log = logging.getLogger("hookgate.edge")

_REWRITTEN = frozenset({b"upgrade", b"http2-settings"})
"""What Hypercorn would change the protocol for: that is done for WebSockets and nothing else, such as h2c."""


class Strict(h11.Connection):
    """A connection of h11 that is fed what the lane would take."""

    def __init__(self, gateway: Gateway, peer: str) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=1 << 30)  # a head was measured before
        self._gateway, self._peer, self._held, self._line = gateway, peer, b"", b""
        self._ended = self._begun = self._chunked = False
        self._body: BodyReader | None = None
        self.told = True
        """Observers are told what is refused: they watch the data path."""
        self.refusal: FramingError | None = None
        """Why the connection ends."""
        self.trailers: list[RawHeader] = []
        """What goes out behind the last chunk."""

    @property
    def trailing_data(self) -> tuple[bytes, bool]:
        """What follows a handshake, or the first line of HTTP/2: bytes of another protocol."""
        return self._held, self._ended

    def refused(self, method: bytes, target: bytes, status: int, version: str = "2") -> None:
        """Tell of a request of HTTP/2, or a handshake, that is none."""
        request = sketch(method, target, self._peer, version)
        log.info("%s: refused with %d: %s", request.client, status, request.path)
        if self.told:
            self._gateway.refused(request, status, "The request cannot be taken.")

    def receive_data(self, data: bytes) -> None:
        """Take what has come; nothing is the end."""
        self._held, self._ended = self._held + data, not data

    def next_event(self) -> Any:
        """As h11 does, raising ``RemoteProtocolError`` with the status that the lane would answer."""
        state = self.their_state
        if self.refusal is not None:
            return h11.NEED_DATA
        try:
            if state is h11.IDLE:
                self._line = self._held[:8192]
                self._read_head()
            elif state is h11.SEND_BODY and self._held and self._body is not None and not self._body.done:
                self._read_body(self._body)
            elif state is h11.DONE and self._held:
                return h11.PAUSED
            elif state in (h11.MUST_CLOSE, h11.CLOSED):
                self._held = b""  # nothing behind the last request is one
        except (FramingError, Fault) as error:
            known = error if isinstance(error, FramingError) else FramingError(error.detail, error.status)
            self._refuse(known)
            raise h11.RemoteProtocolError(str(known), known.status) from None
        if self._ended and not self._held:
            super().receive_data(b"")
        return super().next_event()

    def _refuse(self, refusal: FramingError) -> None:
        self.refusal = refusal
        self._process_error(self.their_role)  # so that nobody wonders if an app answers after all
        log.info("%s: refused with %d: %s", self._peer, refusal.status, refusal)
        if self.told:
            self._gateway.refused(sketch_of(self._line, self._peer), refusal.status, str(refusal))

    def too_late(self) -> bytes:
        """Return what is answered where a head has begun and its time is over; else nothing."""
        if self.their_state is not h11.IDLE or not self._held:
            return b""
        self._refuse(FramingError("The head of the request took too long.", 408))
        return bytes(self.send(h11.Response(status_code=408, headers=[])))

    def send(self, event: Any) -> Any:
        """As h11 does; Hypercorn's answer to what was refused gets a text."""
        if self.trailers and isinstance(event, h11.EndOfMessage):
            event, self.trailers = h11.EndOfMessage(headers=self.trailers), []
        if self.refusal is None or not isinstance(event, h11.Response):
            return super().send(event)
        text = b"" if self._request_method == b"HEAD" else str(self.refusal).encode()
        fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
        event = h11.Response(status_code=event.status_code, headers=[*fields, ("Connection", "close")])
        return super().send(event) + super().send(h11.Data(text))

    def _read_head(self) -> None:
        if self._held.startswith(b"\r\n"):  # one empty line before a request is nothing (RFC 9112, 2.2)
            self._held = self._held[2:]
            if self._held.startswith(b"\r\n"):
                raise FramingError("The request line is empty.")
        held = self._held
        if held.startswith(b"PRI "):
            if self._begun or not H2_PREFACE.startswith(held[: len(H2_PREFACE)]):
                raise FramingError("This connection speaks HTTP/1.1.", 505)
            if len(held) >= len(H2_PREFACE):
                super().receive_data(held[:18])
                self._held = held[18:]
            return
        limits = cast("Generation", self._gateway.live).limits
        end = held.find(END_OF_HEAD)
        if end < 0 or end > limits.url + limits.header_bytes:
            overlong(held, limits)
            self._held = b"" if self._ended else held
            return
        raw, self._held = held[: end + 4], held[end + 4 :]
        head = read_request(raw)
        check_sizes(limits, head.fields, len(head.target), len(raw))
        split(head.target)
        self._begun, self._body, self._chunked = True, reader_of(head.length), head.length == CHUNKED
        unwanted, instead = _REWRITTEN, b""
        if wants_websocket(head):
            unwanted = _REWRITTEN | {b"connection"}
            instead = b"Connection: %b\r\nUpgrade: websocket\r\n" % b", ".join(head.named or ())
        lines = [b"%b: %b\r\n" % field for field in head.fields if field[0].lower() not in unwanted]
        start = b"%b %b HTTP/%b\r\n" % (head.method.encode(), head.target, head.version.encode())
        super().receive_data(b"".join([start, *lines, instead, b"\r\n"]))

    def _read_body(self, reader: BodyReader) -> None:
        chunks, self._held = reader.feed(self._held)
        if self._chunked:
            chunks = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks] + [b"0\r\n\r\n"] * reader.done
        if chunks:
            super().receive_data(b"".join(chunks))
