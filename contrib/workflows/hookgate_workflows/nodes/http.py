"""The cell that calls somebody by HTTP (HC-18, HC-19)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

import orjson
from pydantic import AliasChoices, BeforeValidator, Field, field_validator, model_validator

from hookgate import ConnectionName, Duration, Options, PositiveDuration, hookimpl
from hookgate_workflows.family import ERROR, Called, Cell, Done, Node, NodeFailed, Pause
from hookgate_workflows.nodes.setting import ContextKey
from hookgate_workflows.templating import Template, Templated

REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
"""Methods that do the same when they are done twice (RFC 9110, 9.2.2)."""
_CODE = re.compile(r"[1-5][0-9*]{2}|\*{3}")
_FIXED = re.compile(r"https?://[^/?#{}@\\\s]+(?:[/?]|\Z)")


def _codes(value: object) -> object:
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        return [str(value)]
    return [str(each).strip() for each in listed]


def _code(value: str) -> str:
    if not _CODE.fullmatch(value):
        raise ValueError(f"{value[:20]!r} is no status: write 404, or 4** for all from 400 to 499")
    return value


Code = Annotated[str, Field(max_length=3)]
Codes = Annotated[
    tuple[Code, ...], BeforeValidator(_codes, json_schema_input_type=str | tuple[str | int, ...]), Field(max_length=100)
]


def matching(status: int, codes: Sequence[str]) -> str | None:
    """Return the code that a status counts under: the one with the fewest wildcards, and of those the first."""
    text = str(status)
    found = [each for each in codes if all(mark in ("*", digit) for mark, digit in zip(each, text, strict=True))]
    return min(found, key=lambda each: each.count("*"), default=None)


def needs_place(template: Template, connection: str | None) -> None:
    """See that a URL fits to its connection, or names its host where there is none.

    Raises:
        ValueError: it does not.
    """
    url = template.compiled.source
    if connection is None and not _FIXED.match(url.partition("{{")[0].partition("{%")[0]):
        raise ValueError("url: without a connection it is absolute and names its host itself: https://host/path")
    if connection is not None and not url.startswith(("/", "{{", "{%")):
        raise ValueError("url: with a connection it is a path that begins with '/'")


class RetryOptions(Options):
    """When and how often a call is made again."""

    on: Codes = ("5**",)
    """Statuses that it is made again for."""
    no_answer: bool = True
    """Whether it is made again where there is no answer."""
    delay: Duration | Literal["immediate"] = "immediate"
    """Seconds until it is made again. With anything but `immediate` the instance is put down meanwhile, which does not
    suit synchronous routes."""
    max_attempts: int = Field(default=3, ge=1, le=100)
    """How often the call is made at most, the first time included."""

    @field_validator("on")
    @classmethod
    def _on(cls, on: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_code, on))


class AnswerOptions(Options):
    """Parameters of all cells that make a call: what becomes of the answer."""

    headers: dict[Annotated[str, Field(min_length=1, max_length=200)], Template] = Field(
        default_factory=dict, max_length=100
    )
    """More headers."""
    output_context_key: ContextKey | None = None
    """The key of the context that the result is put under: `status`, `headers` and `body`."""
    http_codes: Codes = ()
    """Statuses that are outputs of the cell, such as 404 or `2**`; with none, every answer is `ok`. Any other status is
    a failure: the output `error`, if it is connected."""
    timeout: PositiveDuration = Field(default=30.0, le=600)
    """Seconds until the answer is complete."""
    retry: RetryOptions | None = None
    """Whether the call is made again."""
    may_repeat: bool | None = None
    """Whether the call may be made again where nobody knows if it was made, since the process was killed. Left out, the
    method says it: a POST may not. It has an `Idempotency-Key` of its own, which stays the same."""

    @field_validator("http_codes")
    @classmethod
    def _http_codes(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_code, codes))


class CallOptions(AnswerOptions):
    """Parameters of cells that say what they call."""

    method: Annotated[str, Field(pattern=r"^[A-Za-z]{1,20}$")] = "GET"
    """The method."""
    url: Template
    """A path on the connection, or an absolute URL whose host is written and not rendered."""
    body: Templated | None = None
    """The body. An object or a list is sent as JSON, anything else as text."""


class HttpCallOptions(CallOptions):
    """Parameters of `http_call`."""

    connection: ConnectionName | None = Field(
        default=None, validation_alias=AliasChoices("connection", "session_holder")
    )
    """The connection to call, with its credentials, targets and checks; then `url` is a path on it."""
    cache_key: Template | None = None
    """A key that answers to GET are kept under, and taken from. Any other method forgets them."""
    cache_ttl: PositiveDuration = 60.0
    """Seconds for which an answer is kept."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        needs_place(self.url, self.connection)
        return self


AnswerOptionsT = TypeVar("AnswerOptionsT", bound=AnswerOptions)


class Calling(Node[AnswerOptionsT]):
    """A node that makes a call, and goes on by its status."""

    outside = True

    @property
    def outputs(self) -> Sequence[str]:
        """The codes, or `ok`."""
        return (*self.options.http_codes, ERROR) if self.options.http_codes else ("ok", ERROR)

    @property
    def may_repeat(self) -> bool:
        """Whether the method says so."""
        said = self.options.may_repeat
        return getattr(self.options, "method", "").upper() in REPEATABLE if said is None else said

    @property
    def pauses(self) -> bool:
        """Whether it may wait before it calls again."""
        return self.options.retry is not None and self.options.retry.delay != "immediate"

    async def asked(self, cell: Cell) -> Called | Pause:
        """Make the call that the parameters say.

        Raises:
            NodeFailed: there is no answer.
        """
        options: Any = self.options
        method, url = options.method.upper(), await cell.text(options.url)
        headers = {name: await cell.text(value) for name, value in options.headers.items()}
        body = b""
        if options.body is not None:
            body = _sent(await cell.value(options.body), headers)
        return await self.made(cell, method, url, headers, body)

    async def made(self, cell: Cell, method: str, url: str, headers: dict[str, str], body: bytes) -> Called | Pause:
        """Make a call, and make it again as `retry` says.

        Raises:
            NodeFailed: there is no answer.
        """
        if method not in REPEATABLE and not any(name.lower() == "idempotency-key" for name in headers):
            headers["Idempotency-Key"] = cell.key
        cell.given(method=method, url=url)
        tried = (cell.kept or {}).get("tried", 0) if isinstance(cell.kept, Mapping) else 0
        retry = self.options.retry
        while True:
            tried += 1
            again = retry is not None and tried < retry.max_attempts
            try:
                found = await self.call(cell, method, url, headers, body)
                if retry is None or not again or matching(found.status, retry.on) is None:
                    return found
                what = f"the answer was {found.status}"
            except NodeFailed as error:
                if retry is None or not again or not retry.no_answer:
                    raise
                what = str(error)
            cell.message(f"attempt {tried}: {what}; it is called again")
            if retry.delay != "immediate":
                return Pause(
                    cell.host.clock.wall() + retry.delay, reason=f"{what}; it is called again", keep={"tried": tried}
                )

    async def call(self, cell: Cell, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Called:
        """Make the call once.

        Raises:
            NodeFailed: there is no answer.
        """
        raise NotImplementedError

    def ended(self, cell: Cell, found: Called) -> Done:
        """Put an answer into the context, and go on by its status.

        Raises:
            NodeFailed: it has another status than `http_codes` has.
        """
        options = self.options
        if options.output_context_key is not None:
            cell.set(options.output_context_key, found.told())
        if not options.http_codes:
            return Done()
        output = matching(found.status, options.http_codes)
        if output is None:
            raise NodeFailed(f"the answer has the status {found.status}, which is not in http_codes")
        return Done(output)


class HttpCall(Calling[HttpCallOptions]):
    """Calls somebody by HTTP, on a named connection or at a URL, and puts what comes of it into the context.

    The result has `status`, `headers` and `body`, as a `*response*` has, so that one can be the other. A body that is
    JSON is parsed, any other is a text.
    """

    @hookimpl
    async def run(self, cell: Cell) -> Done | Pause:
        """Make the call.

        Raises:
            NodeFailed: there is no answer, or one of another status than `http_codes` has.
        """
        options, method = self.options, self.options.method.upper()
        key = None if options.cache_key is None else await cell.text(options.cache_key)
        held = cell.cached(key) if key is not None and method == "GET" else None
        if held is not None:
            cell.message("taken from the cache")
            return self.ended(cell, Called(held["status"], held["headers"], held["body"]))
        found = await self.asked(cell)
        if isinstance(found, Pause):
            return found
        if key is not None:
            good = method == "GET" and found.status < 400
            cell.keep(key, found.told(), options.cache_ttl if good else 0 if method != "GET" else -1)
        return self.ended(cell, found)

    async def call(self, cell: Cell, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Called:
        """Make the call once."""
        connection, timeout = self.options.connection or "", self.options.timeout
        return await cell.call(method, url, connection=connection, headers=headers, body=body, timeout=timeout)


def _sent(value: Any, headers: dict[str, str]) -> bytes:
    if value is None:
        return b""
    names = {name.lower() for name in headers}
    if isinstance(value, str):
        if "content-type" not in names:
            headers["Content-Type"] = "text/plain; charset=utf-8"
        return value.encode()
    if "content-type" not in names:
        headers["Content-Type"] = "application/json"
    return orjson.dumps(value)
