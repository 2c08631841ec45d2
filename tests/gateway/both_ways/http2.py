"""A client of HTTP/2, in clear text and by prior knowledge, that sends whatever it is given."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events


@dataclass
class Reply:
    """What came on a stream."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    before: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """The interim answers, with their fields."""
    trailers: list[tuple[str, str]] | None = None
    reset: bool = False

    @property
    def interim(self) -> list[int]:
        """Status of each."""
        return [status for status, _ in self.before]

    def __getitem__(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class Http2:
    """One connection; one call after the other."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), 60)
        unchecked = {"validate_outbound_headers": False, "normalize_outbound_headers": False}
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1", **unchecked))
        self._http.initiate_connection()
        self._flush()

    def __enter__(self) -> Http2:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(
        self,
        path: str,
        *fields: tuple[str, str],
        method: str = "GET",
        authority: str | None = "a",
        body: bytes = b"",
        trailers: list[tuple[str, str]] | None = None,
        unfinished: bool = False,
    ) -> Reply:
        """Send a request and wait for the end of its answer. An unfinished one never says that its body is over."""
        stream = self._http.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":path", path)]
        if authority is not None:
            pseudo.append((":authority", authority))
        self._http.send_headers(stream, [*pseudo, *fields], end_stream=not body and not unfinished)
        if body:
            self._http.send_data(stream, body, end_stream=not unfinished and trailers is None)
        if trailers is not None:
            self._http.send_headers(stream, trailers, end_stream=True)
        self._flush()
        reply = Reply()
        while not self._read(stream, reply):
            pass
        return reply

    def _flush(self) -> None:
        self._socket.sendall(self._http.data_to_send())

    def _read(self, stream: int, reply: Reply) -> bool:
        data = self._socket.recv(65536)
        assert data, "the server has closed the connection"
        over = False
        for event in self._http.receive_data(data):
            if getattr(event, "stream_id", stream) != stream:
                continue
            if isinstance(event, h2.events.ResponseReceived):
                reply.headers = [(name, value) for name, value in event.headers if not name.startswith(":")]
                reply.status = int(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.InformationalResponseReceived):
                told = dict(event.headers)
                reply.before.append((int(told.pop(":status")), told))
            elif isinstance(event, h2.events.DataReceived):
                reply.body += event.data
                self._http.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.TrailersReceived):
                reply.trailers = [(name, value) for name, value in event.headers]
            elif isinstance(event, h2.events.StreamReset):
                reply.reset = over = True
            elif isinstance(event, h2.events.StreamEnded):
                over = True
        self._flush()
        return over
