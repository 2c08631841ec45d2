"""Calls of the API on connections that are kept, hundreds at a time: what the caller itself costs must not count."""

from __future__ import annotations

import asyncio

TOKEN = "token-of-ann"  # noqa: S105 - of the document of the tests


class Caller:
    """A connection that is kept: what the writer itself costs must not count."""

    def __init__(self, url: str) -> None:
        self.host, _, port = url.removeprefix("http://").partition(":")
        self.port = int(port)
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: bytes = b"", token: str = TOKEN) -> tuple[int, bytes]:
        """Call, and return status and body.

        Raises:
            OSError, EOFError: there is no connection any more; the next call makes one.
        """
        try:
            return await self._call(method, path, body, token)
        except BaseException:  # whatever was on its way would be taken for the answer to the next call
            self.close()
            raise

    async def _call(self, method: str, path: str, body: bytes, token: str) -> tuple[int, bytes]:
        if self._open is not None and self._open[0].at_eof():
            self.close()  # it had been idle for too long
        if self._open is None:
            self._open = await asyncio.open_connection(self.host, self.port)
        reader, writer = self._open
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        told = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(told.partition("content-length:")[2].partition("\r\n")[0])
        found = await reader.readexactly(length)
        if "\r\nconnection: close\r\n" in told:
            self.close()
        return int(told[9:12]), found

    def close(self) -> None:
        """Let go."""
        if self._open is not None:
            self._open[1].close()
            self._open = None
