"""Give every call an id, take over a trusted one, and show it to backend and client."""

import os
import re
import time
from typing import Annotated, Literal

from pydantic import AfterValidator

from hookgate import Exchange, Headers, Interceptor, Options, hookimpl

_ACCEPTED = re.compile(r"[A-Za-z0-9._~:/+=-]{1,200}")
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""A digit of chance -> the digit that says "laid out as in RFC 9562" in its upper two bits."""
_STOCK: list[str] = []
"""Chance in store, 32 digits for one id each: asking the system for every id would cost more than all the rest."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_STOCK.clear)  # or parent and child would hand out the same ids


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
        chance = _chance()
        if self.options.format == "uuid4":
            return _uuid(chance[:12], "4", chance)
        return _uuid(f"{time.time_ns() // 1_000_000:012x}", "7", chance)  # 48 bits of Unix milliseconds in front


def _uuid(first: str, version: str, chance: str) -> str:
    """Write an id of RFC 9562: its first 12 digits, the version, and chance in the rest."""
    return f"{first[:8]}-{first[8:]}-{version}{chance[13:16]}-{_VARIANT[chance[16]]}{chance[17:20]}-{chance[20:]}"


def _chance() -> str:
    """Return 32 hexadecimal digits that nobody can guess and nobody else gets."""
    try:
        return _STOCK.pop()
    except IndexError:
        digits = os.urandom(4096).hex()
        _STOCK.extend(digits[start : start + 32] for start in range(32, len(digits), 32))
        return digits[:32]
