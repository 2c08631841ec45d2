"""Backends that are none: a list of what to answer to which request."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from hookgate import BadGateway, ConfigError, ConnectFailed, Fault, GatewayTimeout, Headers, Options, Outbound, Problem
from hookgate.document import checked, yaml12

FAULTS: dict[str, Callable[[], Fault]] = {
    "connect-failed": lambda: ConnectFailed("No connection to the backend came about."),
    "connect-refused": lambda: ConnectFailed("The backend refused the connection.", reason="connect-refused"),
    "connect-timeout": lambda: ConnectFailed(
        "The backend did not accept a connection in time.", reason="connect-timeout"
    ),
    "dns-failed": lambda: ConnectFailed("The name of the backend cannot be resolved.", reason="dns-failed"),
    "tls-failed": lambda: ConnectFailed("No secure connection to the backend came about.", reason="tls-failed"),
    "timeout": lambda: GatewayTimeout("The backend did not answer in time.", reason="read-timeout"),
    "broken": lambda: BadGateway("The connection to the backend broke.", reason="upstream-closed"),
}
"""What a mock may do instead of answering, as the transports of core say it."""
UNSENT = frozenset({"connect-failed", "connect-refused", "connect-timeout", "dns-failed", "tls-failed"})
"""Those of them where nothing was sent."""
FaultName = Literal[
    "connect-failed", "connect-refused", "connect-timeout", "dns-failed", "tls-failed", "timeout", "broken"
]


def _headers(headers: dict[str, str]) -> dict[str, str]:
    Headers(headers)
    return headers


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"is no Base64: {error}") from None
    return text


class Match(Options):
    """Which requests a mock is for; what is left out matches anything. In `path`, `target` and `url`, `*` is any
    characters (`/` included), `?` is one, `[ab]` is one of these."""

    connection: str | None = None
    """Name of the connection."""
    method: str | None = None
    """Method, as it is sent."""
    path: str | None = None
    """Path as it is sent, without query."""
    query: str | None = None
    """Query as it is sent, without `?`; compared as it is."""
    target: str | None = None
    """Target that is called, such as `https://crm.example:8443`."""
    url: str | None = None
    """Absolute URL without query. Such a mock is for calls by URL that steps and other plugins make (`exchange.call`,
    `host.http`), and only such a mock is."""

    @model_validator(mode="after")
    def _agree(self) -> Match:
        if self.url is not None and (self.connection, self.path, self.target) != (None, None, None):
            raise ValueError("url says it all: it goes with method and query only")
        return self


class MockResponse(Options):
    """What a mocked backend answers."""

    # `json` is a method of pydantic's own, so the field has another name inside, which files cannot use.
    model_config = ConfigDict(populate_by_name=False)

    status: int = Field(default=200, ge=200, le=599)
    """Status code, 200 to 599."""
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(default_factory=dict)
    """Headers of the answer; `Content-Length` is added where it is missing."""
    body: str | None = None
    """Text of the body. At most one of `body`, `base64` and `json`."""
    base64: Annotated[str, AfterValidator(_base64)] | None = None
    """Bytes of the body in Base64."""
    json_value: Any = Field(default=None, alias="json")
    """Value of a JSON body, with its `Content-Type`."""
    chunked: bool = False
    """Whether the body comes without a `Content-Length`."""
    broken_after: int | None = Field(default=None, ge=0)
    """Bytes of the body after which the connection breaks."""

    @model_validator(mode="after")
    def _agree(self) -> MockResponse:
        given = [name for name in ("body", "base64", "json_value") if name in self.model_fields_set]
        if len(given) > 1:
            names = " and ".join(name.removesuffix("_value") for name in given)
            raise ValueError(f"{names} are both there; keep one of them")
        return self


class Mock(Options):
    """One entry of a mock file: whom it is for, and either what is answered or what goes wrong."""

    match: Match = Match()
    """Which requests it is for; every one to a connection unless given."""
    response: MockResponse | None = None
    """What is answered."""
    fault: FaultName | None = None
    """What goes wrong instead."""
    times: int | None = Field(default=None, ge=1)
    """How many requests it answers; after that the next one that fits does. Without a bound unless given."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Mock:
        if (self.response is None) == (self.fault is None):
            raise ValueError("a mock has either a response or a fault")
        return self

    def fits(self, outbound: Outbound) -> bool:
        """Whether a request is one that this mock is for; one by URL belongs to no connection."""
        match = self.match
        if match.method not in (None, outbound.method) or match.query not in (None, outbound.query):
            return False
        if not outbound.connection:
            return match.url is not None and fnmatchcase(outbound.target.url + outbound.path, match.url)
        return (
            match.url is None
            and match.connection in (None, outbound.connection)
            and (match.path is None or fnmatchcase(outbound.path, match.path))
            and (match.target is None or fnmatchcase(outbound.target.url, match.target))
        )


class Script:
    """Mocks in use: what answers which request, and how often each has answered."""

    def __init__(self, mocks: Sequence[Mock] | None) -> None:
        self.mocks = mocks
        """``None`` where nobody said what backends answer."""
        self._used = [0] * len(mocks or ())

    def take(self, outbound: Outbound) -> tuple[int, Mock] | None:
        """Return the first mock that fits a request and has not answered often enough, with its place in the list."""
        for index, mock in enumerate(self.mocks or ()):
            if (mock.times is None or self._used[index] < mock.times) and mock.fits(outbound):
                self._used[index] += 1
                return index, mock
        return None


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
