"""Backends that are none: a list of what to answer to which attempt, and the transport that answers so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from hookgate import yaml12
from hookgate.bodies import Body
from hookgate.errors import BadGateway, ConfigError, ConnectFailed, Fault, GatewayTimeout, Problem
from hookgate.exchange import Outbound
from hookgate.hookspecs import hookimpl
from hookgate.messages import Headers, Response
from hookgate.plugin import Options, Transport
from hookgate.simulation.masking import masked_head, masked_query
from hookgate.validation import checked

FAULTS: dict[str, Callable[[], Fault]] = {
    "connect-failed": lambda: ConnectFailed("No connection to the backend came about."),
    "timeout": lambda: GatewayTimeout("The backend did not answer in time."),
    "broken": lambda: BadGateway("The connection to the backend broke.", reason="upstream-closed"),
}
"""What a mock may do instead of answering, as the transports of core say it."""


def _headers(headers: dict[str, str]) -> dict[str, str]:
    Headers(headers)
    return headers


class Match(Options):
    """Which attempts a mock is for; what is left out matches anything."""

    connection: str | None = None
    """Name of the connection."""
    method: str | None = None
    """Method, as it is sent."""
    path: str | None = None
    """Path as it is sent, without query: `*` is any characters (`/` included), `?` is one, `[ab]` is one of these."""


class MockResponse(Options):
    """What a mocked backend answers."""

    # `json` is a method of pydantic's own, so the field has another name inside, which files cannot use.
    model_config = ConfigDict(populate_by_name=False)

    status: int = Field(default=200, ge=200, le=599)
    """Status code, 200 to 599."""
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(default_factory=dict)
    """Headers of the answer; `Content-Length` is added where it is missing."""
    body: str | None = None
    """Text of the body. At most one of `body` and `json`."""
    json_value: Any = Field(default=None, alias="json")
    """Value of a JSON body, with its `Content-Type`."""

    @model_validator(mode="after")
    def _agree(self) -> MockResponse:
        if self.body is not None and "json_value" in self.model_fields_set:
            raise ValueError("body and json are both there; keep one of them")
        return self


class Mock(Options):
    """One entry of a mock file: whom it is for, and either what is answered or what goes wrong."""

    match: Match = Match()
    """Which attempts it is for; every one unless given."""
    response: MockResponse | None = None
    """What is answered."""
    fault: Literal["connect-failed", "timeout", "broken"] | None = None
    """What goes wrong instead."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Mock:
        if (self.response is None) == (self.fault is None):
            raise ValueError("a mock has either a response or a fault")
        return self

    def fits(self, outbound: Outbound) -> bool:
        """Whether an attempt is one that this mock is for."""
        match = self.match
        return (
            match.connection in (None, outbound.connection)
            and match.method in (None, outbound.method)
            and (match.path is None or fnmatchcase(outbound.path, match.path))
        )


def mocks_in(data: bytes, file: str) -> list[Mock]:
    """Read a mock file: a list in JSON or YAML, of which the first that fits an attempt answers it.

    Raises:
        ConfigError: every mistake in it, with line and column.
    """
    root = yaml12.compose(data, file)
    if root is None or not isinstance(root.value, list):
        shape = "a mock file is a list of entries such as {match: {path: /orders/*}, response: {status: 200}}"
        raise ConfigError([Problem((), shape, file, 1, 1)])
    problems: list[Problem] = []
    mocks = [checked(Mock, raw, (index,), problems) for index, raw in enumerate(root.value)]
    if problems:
        places = [yaml12.place(root, problem.path, at_key=problem.at_key) for problem in problems]
        raise ConfigError(
            replace(problem, file=file, line=line, column=column)
            for problem, (line, column) in zip(problems, places, strict=True)
        )
    return [mock for mock in mocks if mock is not None]


@dataclass(slots=True)
class Sent:
    """An attempt as the backend would have received it."""

    method: str
    url: str
    headers: list[tuple[str, str]] = field(repr=False)
    """Secrets masked."""
    body_bytes: int = 0
    """Bytes of body."""


class MockTransport(Transport[Options]):
    """Answers attempts from mocks; without any it answers 200 and tells what it received."""

    def __init__(self, mocks: Sequence[Mock] | None, note: Callable[[Sent], None], secrets: Collection[str]) -> None:
        super().__init__(Options())
        self._mocks = mocks
        self._note = note
        self._secrets = secrets
        """Headers and query parameters whose values are never shown."""

    @hookimpl
    async def send(self, outbound: Outbound) -> Response:
        """Read the body as a backend would, note the attempt, and answer.

        Raises:
            Fault: the one that the mock names, or ``no-mock`` (502) when none fits.
        """
        head = masked_head(outbound.headers.items(), self._secrets)
        query = masked_query(outbound.query, self._secrets)
        url = outbound.target.url + outbound.path + (f"?{query}" if query else "")
        sent = Sent(outbound.method, url, head)
        mock = None
        if self._mocks is not None:
            mock = next((mock for mock in self._mocks if mock.fits(outbound)), None)
        if mock is not None and mock.fault == "connect-failed":
            raise FAULTS[mock.fault]()
        self._note(sent)
        async with aclosing(outbound.body.stream()) as chunks:
            async for chunk in chunks:
                sent.body_bytes += len(chunk)
        if mock is not None:
            if mock.response is None:
                raise FAULTS[mock.fault or "broken"]()
            return _response(mock.response, outbound.method)
        if self._mocks is not None:
            raise BadGateway(
                f"No mock fits {outbound.method} {outbound.path} on the connection {outbound.connection!r}.",
                reason="no-mock",
            )
        echo = {"method": outbound.method, "path": outbound.path, "query": query, "headers": head}
        return _response(MockResponse.model_validate({"json": echo}), outbound.method)


def _response(mock: MockResponse, method: str) -> Response:
    """Make the answer as a transport does: a body that streams, none where HTTP has none (RFC 9110, 6.4.1)."""
    headers = Headers(mock.headers)
    data = (mock.body or "").encode()
    if "json_value" in mock.model_fields_set:
        data = json.dumps(mock.json_value, ensure_ascii=False).encode()
        headers.setdefault("content-type", "application/json")
    if mock.status not in (204, 304):
        headers.setdefault("content-length", str(len(data)))
    if method == "HEAD" or mock.status in (204, 304) or not data:
        return Response(mock.status, headers)
    return Response(mock.status, headers, Body(_streamed(data), length=len(data), too_large=BadGateway))


async def _streamed(data: bytes) -> AsyncIterator[bytes]:
    yield data
