"""The cell that talks to somebody by TCP: one message, one answer."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from typing import Annotated, Literal

from pydantic import Field

from hookgate import Options, PositiveDuration, hookimpl
from hookgate_workflows.family import Cell, Done, Node, NodeFailed
from hookgate_workflows.nodes.setting import ContextKey
from hookgate_workflows.templating import Template


class TcpCallOptions(Options):
    """Parameters of `tcp_call`."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")]
    """The name or address; it is written, and not rendered."""
    port: int = Field(ge=1, le=65535)
    """The port."""
    tls: bool = False
    """Whether it is called by TLS; the certificate is checked by the authorities of this machine."""
    message: Template
    """What is sent."""
    append: str = Field(default="", max_length=100)
    r"""What is sent behind it, such as `"\n"`: a template loses an end of line at its end."""
    encoding: Literal["text", "base64"] = "text"
    """How `message` and the answer are written in the workflow: as text (UTF-8), or in Base64."""
    read_until: str = Field(default="", max_length=100)
    r"""A text that ends the answer, such as `"\n"`; it is no part of what is put into the context. Left out, the answer
    ends when the other side closes."""
    limit: int = Field(default=65_536, ge=1, le=16_777_216)
    """Bytes of an answer at most; a longer one fails the cell."""
    timeout: PositiveDuration = Field(default=10.0, le=600)
    """Seconds for all of it."""
    output_context_key: ContextKey | None = None
    """The key that the answer is put under."""
    may_repeat: bool = False
    """Whether the message may be sent again where nobody knows if it was, since the process was killed."""


class TcpCall(Node[TcpCallOptions]):
    """Sends a message by TCP, and puts the answer into the context."""

    outside = True
    outputs = ("ok", "error")

    @property
    def may_repeat(self) -> bool:
        """Whether the parameters say so."""
        return self.options.may_repeat

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Send it.

        Raises:
            NodeFailed: there is no answer, or one that is too long.
        """
        options = self.options
        sent = (await cell.text(options.message)).encode()
        if options.encoding == "base64":
            try:
                sent = base64.b64decode(sent, validate=True)
            except binascii.Error:
                raise NodeFailed("message is no Base64") from None
        sent += options.append.encode()
        cell.given(host=options.host, port=options.port, bytes=len(sent))
        place = f"{options.host}:{options.port}"
        try:
            async with asyncio.timeout(options.timeout):
                answer = await self._talk(sent)
        except TimeoutError:
            raise NodeFailed(f"{place} has not answered within {options.timeout:g} s") from None
        except asyncio.IncompleteReadError:
            raise NodeFailed(f"{place} has closed before the answer was complete") from None
        except asyncio.LimitOverrunError:
            raise NodeFailed(f"the answer has more than {options.limit} bytes") from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise NodeFailed(f"{place} cannot be called: {why}") from None
        if options.output_context_key is not None:
            cell.set(options.output_context_key, self._read(answer))
        return Done()

    async def _talk(self, sent: bytes) -> bytes:
        options, end = self.options, self.options.read_until.encode()
        secured = ssl.create_default_context() if options.tls else None
        limit = options.limit + len(end)
        reader, writer = await asyncio.open_connection(options.host, options.port, ssl=secured, limit=limit)
        try:
            writer.write(sent)
            await writer.drain()
            if end:
                return (await reader.readuntil(end)).removesuffix(end)
            if not options.tls and writer.can_write_eof():
                writer.write_eof()
            answer = bytearray()
            while part := await reader.read(65_536):
                answer += part
                if len(answer) > options.limit:
                    raise asyncio.LimitOverrunError("too long", len(answer))
            return bytes(answer)
        finally:
            writer.transport.abort()

    def _read(self, answer: bytes) -> str:
        if self.options.encoding == "base64":
            return base64.b64encode(answer).decode()
        try:
            return answer.decode()
        except UnicodeDecodeError:
            raise NodeFailed("the answer is no UTF-8; say encoding: base64") from None
