"""Give every call an id, take over a trusted one, and show it to backend and client."""

import os
import re
import time
from typing import Annotated, Literal
from uuid import UUID, uuid4

from pydantic import AfterValidator

from hookgate import Exchange, Headers, Interceptor, Options, hookimpl

_ACCEPTED = re.compile(r"[A-Za-z0-9._~:/+=-]{1,200}")


def _header_name(name: str) -> str:
    Headers({name: ""})
    return name


class RequestIdOptions(Options):
    """Options of `request-id`."""

    header: Annotated[str, AfterValidator(_header_name)] = "X-Request-Id"
    """Header that carries the id, in the request to the backend and in the answer to the client."""
    trust: Literal["always", "never"] = "always"
    """Whether the id a client sends is taken over. Even then it must be one line of 1 to 200 characters out of letters,
    digits and `._~:/+=-`; anything else is replaced by a new id, so that it is safe in logs and URLs."""
    format: Literal["uuid7", "uuid4"] = "uuid7"
    """Shape of a new id (RFC 9562): `uuid7` sorts by time, `uuid4` says nothing about when it was made."""
    respond: bool = True
    """Whether the answer shows the id, error answers included."""


class RequestId(Interceptor[RequestIdOptions]):
    """Gives the call an id: in `exchange.id`, towards the backend and on the answer.

    Place it first, so that whatever happens further right is answered with the id. A call has one id: a second
    `request-id` step shows the same one under its own header.
    """

    category = "tracing"
    sides = {"request"}
    paired = True
    writes = {"request.headers", "response.headers"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Settle the id and put it on the way to the backend, in the place of whatever the client sent."""
        if not exchange.id:
            exchange.id = self._received(exchange.request.headers) or self._new()
        exchange.request.headers.set(self.options.header, exchange.id)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Show the id to the client, in the place of whatever the backend said."""
        if self.options.respond and exchange.response is not None:
            exchange.response.headers.set(self.options.header, exchange.id)

    def _received(self, headers: Headers) -> str:
        if self.options.trust == "never":
            return ""
        values = headers.getall(self.options.header)
        return values[0] if len(values) == 1 and _ACCEPTED.fullmatch(values[0]) else ""

    def _new(self) -> str:
        return str(uuid4()) if self.options.format == "uuid4" else _uuid7()


def _uuid7() -> str:
    """Make an id of version 7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, then chance."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))
