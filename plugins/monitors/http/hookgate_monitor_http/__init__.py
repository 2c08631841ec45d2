"""Check targets with an HTTP request and an expected status code."""

import re
from contextlib import aclosing
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from hookgate import (
    Fault,
    Headers,
    Health,
    Monitor,
    MonitorOptions,
    Outbound,
    Response,
    Send,
    Target,
    Timeouts,
    hookimpl,
)

DRAIN = 64 * 1024
"""Bytes of an answer that are read so that its connection can be used again; longer answers close it."""

_RANGE = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?", re.ASCII)


def _ranges(value: object) -> tuple[tuple[int, int], ...]:
    """Turn a code, a range or a list of these into (lowest, highest) pairs."""
    found = []
    for item in value if isinstance(value, list | tuple) else (value,):
        match = _RANGE.fullmatch(str(item))
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if low > high:
            raise ValueError(f"{item!r} is no status code: write 204, a range such as '200-299', or a list of these")
        found.append((low, high))
    if not found:
        raise ValueError("name at least one status code")
    return tuple(found)


_CODE = {
    "anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 599},
        {"type": "string", "pattern": r"^[1-5]\d\d(-[1-5]\d\d)?$"},
    ],
}
Codes = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(_ranges),
    WithJsonSchema({"anyOf": [*_CODE["anyOf"], {"type": "array", "items": _CODE, "minItems": 1}]}),
]


class HttpOptions(MonitorOptions):
    """Options of `http`, beside when to check and what to conclude."""

    path: str = Field(default="/", pattern=r"^/[!-~]*$")
    """What to ask for: a path, with a query if need be, percent-encoded. The `base_path` of the connection is not put
    before it."""
    method: Literal["GET", "HEAD"] = "GET"
    """How to ask."""
    expect: Codes = Field(default="200-399", validate_default=True)
    """Status codes of a target that is well (AC-12): a code, a range such as `200-299`, or a list of these; any below
    400 if left out (HC-4). Redirects are not followed."""
    headers: dict[str, str] = {}
    """Headers of the request, beside those of the connection."""
    host: str | None = Field(default=None, pattern=r"^[!-~]+$")
    """The `Host` header, for backends that serve several names; the target's own unless given."""

    @field_validator("headers")
    @classmethod
    def _sendable(cls, value: dict[str, str]) -> dict[str, str]:
        Headers(value)
        return value


class Http(Monitor[HttpOptions]):
    """A target is well if it answers a request with an expected status code (AC-12).

    Any other code, and any failure to connect, to answer in time or to finish the answer, is a failed check.
    """

    @hookimpl
    async def probe(self, target: Target, send: Send) -> Health:
        """Ask once."""
        try:
            response = await send(self._request(target))
            await _drain(response)
        except Fault as fault:
            return Health(healthy=False, reason=fault.reason)
        if any(low <= response.status <= high for low, high in self.options.expect):
            return Health(healthy=True, reason=f"answered {response.status}")
        wanted = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in self.options.expect)
        return Health(healthy=False, reason=f"answered {response.status}, expected {wanted}")

    def _request(self, target: Target) -> Outbound:
        options = self.options
        path, _, query = options.path.partition("?")
        headers = Headers({"host": options.host or target.host_name, "user-agent": "hookgate-monitor"})
        for name, value in options.headers.items():
            headers.set(name, value)
        bounds = Timeouts(connect=options.timeout, read=options.timeout, request=options.timeout)
        return Outbound(options.method, target, path, query, headers=headers, timeouts=bounds)


async def _drain(response: Response) -> None:
    """Read a short answer to its end and let go of any."""
    seen = 0
    async with aclosing(response.body.stream()) as chunks:
        async for chunk in chunks:
            seen += len(chunk)
            if seen > DRAIN:
                break
