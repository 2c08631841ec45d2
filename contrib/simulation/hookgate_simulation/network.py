"""The network of a simulation: the transport and the client that get their answers from mocks."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from hookgate import BadGateway, Body, ConnectFailed, Headers, Options, Outbound, Response, Transport, hookimpl
from hookgate.client import Client, parsed
from hookgate.exchange import Arrived
from hookgate.http import EXPECT_A_BODY
from hookgate_simulation.mocks import FAULTS, UNSENT, Mock, MockResponse, Script
from hookgate_trace import masked_head, masked_query

CHUNK = 65536
"""Bytes of a mocked body that come at once."""


@dataclass(slots=True)
class Sent:
    """A request as whoever was called would have received it. Secrets are masked."""

    method: str
    target: str
    """Scheme, host and port."""
    path: str
    query: str
    headers: list[tuple[str, str]] = field(repr=False)
    body_bytes: int = 0
    """Bytes of body."""
    whole: bool = False
    """Whether the body came to its end."""
    answered_by: str = ""
    """``mock 0`` for the first one, ``echo`` where nobody said what is answered, or empty if nobody answered."""

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.target}{self.path}" + (f"?{self.query}" if self.query else "")


class Register(Protocol):
    """Takes down what is sent."""

    def note(self, outbound: Outbound, sent: Sent) -> None:
        """A request goes out."""

    def shown(self, sent: Sent) -> Sent:
        """Mask what the trace of the call was told not to show, as far as is known by now."""


class MockTransport(Transport[Options]):
    """Answers attempts from mocks; without any it answers 200 and tells what it received."""

    def __init__(self, script: Script, register: Register, secrets: Collection[str]) -> None:
        super().__init__(Options())
        self._script = script
        self._register = register
        self._secrets = secrets
        """Headers and query parameters whose values are never shown."""

    @hookimpl
    async def send(self, outbound: Outbound) -> Response:
        """Read the body as a backend would, note the attempt, and answer.

        Raises:
            Fault: the one that the mock names, or ``no-mock`` (502) when none fits.
        """
        return await _answered(self._script, outbound, self._register, self._secrets, self._nobody)

    def _nobody(self, outbound: Outbound, sent: Sent) -> Response:
        if self._script.mocks is not None:
            raise BadGateway(
                f"No mock fits {outbound.method} {outbound.path} on the connection {outbound.connection!r}.",
                reason="no-mock",
            )
        sent.answered_by = "echo"
        shown = self._register.shown(sent)
        echo = {"method": shown.method, "path": shown.path, "query": shown.query, "headers": shown.headers}
        return _response(MockResponse.model_validate({"json": echo}), outbound.method)


class MockClient(Client):
    """The client of the house, answered from mocks that name a URL. It calls nobody."""

    def __init__(self, script: Script, register: Register) -> None:
        self._script = script
        self._register = register

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Response:
        """Answer as the mock for this URL says.

        Raises:
            ValueError: the URL is not an absolute http or https URL without user name and password.
            ConnectFailed: no mock is for it; ``simulated``.
            Fault: the one that the mock names.
        """
        target, path, query = parsed(url)
        fields = Headers({"host": target.authority, **(headers or {})})
        if body or method in EXPECT_A_BODY:
            fields.set("content-length", str(len(body)))
        outbound = Outbound(method, target, path, query, fields, Body(body))
        response = await _answered(self._script, outbound, self._register, (), self._nobody)
        async with aclosing(response.body.stream()) as chunks:
            data = b"".join([chunk async for chunk in chunks])
        return Response(response.status, response.headers, data)

    def _nobody(self, outbound: Outbound, sent: Sent) -> Response:
        where = outbound.target.url + outbound.path
        raise ConnectFailed(
            f"A simulation calls nobody, and no mock has a match.url for {outbound.method} {where}.", reason="simulated"
        )


async def _answered(
    script: Script,
    outbound: Outbound,
    register: Register,
    secrets: Collection[str],
    nobody: Callable[[Outbound, Sent], Response],
) -> Response:
    taken = script.take(outbound)
    index, mock = taken if taken is not None else (0, None)
    if mock is not None and mock.fault in UNSENT:
        raise FAULTS[mock.fault or ""]()
    sent = Sent(
        outbound.method,
        outbound.target.url,
        outbound.path,
        masked_query(outbound.query, secrets),
        masked_head(outbound.headers.items(), secrets),
        answered_by="" if mock is None else f"mock {index}",
    )
    register.note(outbound, sent)
    async with aclosing(outbound.body.stream()) as chunks:
        async for chunk in chunks:
            sent.body_bytes += len(chunk)
    sent.whole = True
    return nobody(outbound, sent) if mock is None else _of(mock, outbound.method)


def _of(mock: Mock, method: str) -> Response:
    if mock.response is None:
        raise FAULTS[mock.fault or "broken"]()
    return _response(mock.response, method)


def _response(mock: MockResponse, method: str) -> Response:
    """Make the answer as a transport does: a body that streams, none where HTTP has none (RFC 9110, 6.4.1)."""
    headers = Headers(mock.headers)
    data = (mock.body or "").encode() if mock.base64 is None else base64.b64decode(mock.base64)
    if "json_value" in mock.model_fields_set:
        data = json.dumps(mock.json_value, ensure_ascii=False).encode()
        headers.setdefault("content-type", "application/json")
    if mock.chunked:
        headers.remove("content-length")
    elif mock.status not in (204, 304):
        headers.setdefault("content-length", str(len(data)))
    whole = not data and not mock.chunked and mock.broken_after is None
    if method == "HEAD" or mock.status in (204, 304) or whole:
        return Response(mock.status, headers, Arrived(b""))
    stream = _streamed(data, mock.broken_after)
    return Response(
        mock.status, headers, Body(stream, length=None if mock.chunked else len(data), too_large=BadGateway)
    )


async def _streamed(data: bytes, broken_after: int | None) -> AsyncIterator[bytes]:
    end = len(data) if broken_after is None else min(broken_after, len(data))
    for start in range(0, end, CHUNK):
        yield data[start : min(start + CHUNK, end)]
    if broken_after is not None:
        raise FAULTS["broken"]()


def facts(sent: Sent) -> dict[str, Any]:
    """Return what a result shows of a request."""
    return {
        "method": sent.method,
        "url": sent.url,
        "headers": [list(each) for each in sent.headers],
        "body_bytes": sent.body_bytes,
        "whole": sent.whole,
        "answered_by": sent.answered_by,
    }
