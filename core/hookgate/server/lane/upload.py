"""The body of a request as it comes in on a connection."""

from __future__ import annotations

from typing import Protocol

from hookgate.exchange.bodies import Body
from hookgate.exchange.errors import Fault
from hookgate.http.framing import CHUNKED, Counted, FramingError, RequestHead, reader_of
from hookgate.http.incoming import Incoming

DISCARDED = 262144
"""Bytes of a request that are still read and thrown away after its answer, to keep the connection."""


class Malformed(Fault):
    """400: the framing of the request body is broken."""

    status = 400
    default_reason = "bad-framing"


class Client(Protocol):
    """The connection that the body comes in on."""

    def stop_reading(self) -> None:
        """Whoever reads the body is slow, so the client has to wait."""

    def read_on(self) -> None:
        """It has caught up."""

    def be_patient(self) -> None:
        """From now on it is the client who takes its time."""

    def let_come(self) -> None:
        """Tell a client that waits for leave to send its body that it may (RFC 9110, 10.1.1)."""


class Upload:
    """Cuts a body out of what the client sends and hands it on."""

    __slots__ = ("_client", "_expects", "_incoming", "_reader", "broken")

    def __init__(self, client: Client, head: RequestHead, *, expects: bool) -> None:
        self._client = client
        self._expects = expects
        """The client waits for 100 before it sends anything."""
        self._reader = reader_of(head.length)
        self._incoming = Incoming(self)
        self.broken = False
        """Its framing cannot be trusted, so the connection must end."""

    def body(self, length: int) -> Body:
        """Return the body for the request, of a length or ``CHUNKED``."""
        return Body(self._incoming, length=None if length == CHUNKED else length)

    @property
    def whole(self) -> bool:
        """Whether all of it has come."""
        return self._reader.done

    @property
    def client_is_slow(self) -> bool:
        """Whether somebody waits for the client, and not the other way round."""
        return self._incoming.begun and not self._incoming.holding

    @property
    def holds(self) -> bool:
        """Whether the client is held back."""
        return self._incoming.holding

    def cut(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Take what has come; return the chunks to :meth:`deliver` and what follows the body."""
        self._expects = False
        try:
            return self._reader.feed(data)
        except FramingError as error:
            self.broken = True
            self._incoming.end(Malformed(str(error)))
            return [], b""

    def deliver(self, chunks: list[bytes]) -> None:
        """Hand chunks on. Whoever waits for them goes on before this returns, so the connection has to be ready."""
        for chunk in chunks:
            self._incoming.feed(chunk)
        if self._reader.done:
            self._incoming.end()

    def fail(self, error: BaseException) -> None:
        """No more will come."""
        self._incoming.end(error)

    def worth_waiting(self) -> bool:
        """Whether so little is missing that it costs less than a new connection."""
        reader = self._reader
        return (
            isinstance(reader, Counted) and reader.left <= DISCARDED and not self._incoming.failed and not self._expects
        )

    # --- the valve of the body --------------------------------------------------------------------------------------

    def hold(self) -> None:
        """The reader is slow."""
        self._client.stop_reading()

    def go_on(self) -> None:
        """It has caught up."""
        self._client.read_on()

    def wanted(self, body: Incoming) -> None:
        """Somebody begins to read."""
        self._client.be_patient()
        if self._expects:
            self._expects = False
            self._client.let_come()

    def abandon(self, body: Incoming) -> None:
        """Nobody reads the rest."""
        if body.holding:
            self._client.read_on()
