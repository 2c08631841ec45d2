"""A client that sends exactly the bytes it is given and reads answers to the letter."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_HEAD = re.compile(
    rb"HTTP/1\.1 ([0-9]{3}) [\t\x20-\x7e]*\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
)


class Ended(Exception):
    """The connection ended where more was to come; ``data`` is what came."""

    def __init__(self, data: bytes) -> None:
        super().__init__(f"the connection ended after {data[:200]!r}")
        self.data = data


@dataclass
class Answer:
    """One response as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)
    """The 1xx responses before it."""
    chunks: list[bytes] = field(default_factory=list)

    def __getitem__(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name} is there {len(found)} times"
        return found[0] if found else None

    @property
    def closes(self) -> bool:
        """Whether it says that the connection ends."""
        return any(key == "connection" and "close" in value for key, value in self.headers)


class Wire:
    """One connection to a gateway."""

    def __init__(self, url: str, *, receive_buffer: int | None = None) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect((parts.hostname, parts.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> Wire:
        """Send bytes."""
        self.socket.sendall(data)
        return self

    def send_if_open(self, data: bytes) -> Wire:
        """Send bytes to somebody who may have left already."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)
        return self

    def reset(self) -> None:
        """Go away without a word."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def more(self) -> bool:
        """Receive something; return whether there was something."""
        part = self.socket.recv(65536)
        self.buffer += part
        return bool(part)

    def take(self, count: int) -> bytes:
        """Return so many bytes."""
        while len(self.buffer) < count:
            if not self.more():
                raise Ended(self.buffer)
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def line(self) -> bytes:
        """Return a line without its CRLF."""
        while b"\r\n" not in self.buffer:
            if not self.more():
                raise Ended(self.buffer)
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def head(self) -> Answer:
        """Read one head, final or not."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                raise Ended(self.buffer)
        match = _HEAD.match(self.buffer)
        assert match is not None, f"no head of a response: {self.buffer[:200]!r}"
        self.buffer = self.buffer[match.end() :]
        lines = [line.split(":", 1) for line in match[2].decode("latin-1").split("\r\n")[:-1]]
        return Answer(int(match[1]), [(name.lower(), value.strip()) for name, value in lines])

    def answer(self, method: str = "GET") -> Answer:
        """Read a whole response, with the interim ones before it."""
        interim: list[int] = []
        while (answer := self.head()).status < 200:
            interim.append(answer.status)
        answer.interim = interim
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if answer["transfer-encoding"] is not None:
            assert answer["transfer-encoding"] == "chunked"
            assert answer["content-length"] is None
            while chunk := self.chunk():
                answer.chunks.append(chunk)
            answer.body = b"".join(answer.chunks)
        elif answer["content-length"] is not None:
            answer.body = self.take(int(answer["content-length"]))
        else:
            answer.body = self.rest()
        return answer

    def chunk(self) -> bytes:
        """Read one chunk; the last one is empty."""
        chunk = self.take(int(self.line(), 16))
        assert self.take(2) == b"\r\n"
        return chunk

    def rest(self) -> bytes:
        """Read up to the end of the connection."""
        while self.more():
            pass
        rest, self.buffer = self.buffer, b""
        return rest
