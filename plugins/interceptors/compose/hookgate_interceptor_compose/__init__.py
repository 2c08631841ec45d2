"""Answer with one JSON object made of the answers to several calls."""

import asyncio
import json
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, model_validator

from hookgate import (
    BadGateway,
    ConnectionName,
    Duration,
    Exchange,
    Fault,
    GatewayTimeout,
    Headers,
    Interceptor,
    Options,
    Response,
    hookimpl,
)
from hookgate.workshop import Asked, CallOptions, UrlTemplate


def _word(value: object) -> object:
    return "null" if value is None else value  # which is what YAML makes of the word


OnFailure = Annotated[Literal["fail", "omit", "null"], BeforeValidator(_word)]
ERRORS = "errors"
_OURS = frozenset({"connection", "content-length", "content-type", "keep-alive", "te", "trailer", "transfer-encoding"})


def _path(template: UrlTemplate) -> UrlTemplate:
    if not template.start.startswith("/") or template.start.startswith("//"):
        raise ValueError("a path begins with one '/': write it like '/users/{identity.subject}'")
    return template


def _headers(headers: dict[str, str]) -> dict[str, str]:
    Headers(headers)
    for name in headers:
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise ValueError(f"leave out {name}: it is written by the gateway itself")
    return headers


class Part(CallOptions):
    """One call, whose answer becomes one member of the object."""

    connection: ConnectionName | None = Field(
        default=None, validation_alias=AliasChoices("connection", "session_holder")
    )
    """The connection to call; another route of this gateway is called unless given."""
    path: Annotated[UrlTemplate, AfterValidator(_path)]
    """Path on it, with a query if need be. Expressions in braces are put in percent-encoded, as in
    `/users/{identity.subject}`."""
    on_failure: Annotated[OnFailure | None, BeforeValidator(_word)] = None
    """What comes of a failure of this part, where it is something else than for the others."""


class ComposeOptions(Options):
    """Options of `compose`."""

    parts: Annotated[dict[str, Part], Field(min_length=1, max_length=50)]
    """The calls, by the name of the member that has the answer."""
    on_failure: OnFailure = "fail"
    """What comes of a part that fails or has another status than it should. `fail`: the whole call fails with it.
    `omit`: its member is left out; `null`: its member is null. Either way the member `errors` has its `status` and
    `reason` by name. If all parts fail, the call does."""
    parallel: int = Field(default=8, ge=1, le=50)
    """Calls that are under way at the same time."""
    timeout: Duration = Field(default=10.0, gt=0, le=600)
    """Seconds for all of it; parts that are not there by then have failed. `hook_timeout` is a bound, too."""
    status: int = Field(default=200, ge=200, le=299)
    """Status of the answer."""
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(default_factory=dict)
    """Headers of the answer."""

    @model_validator(mode="after")
    def _no_part_is_called_errors(self) -> "ComposeOptions":
        if ERRORS in self.parts:
            raise ValueError("a part cannot be called 'errors': that member tells which parts have failed")
        return self


class _Piece(NamedTuple):
    """What came of a part: the JSON text of its member, or the fault it ended in."""

    text: str = "null"
    fault: Fault | None = None
    status: int | None = None


class Compose(Interceptor[ComposeOptions]):
    """Answers with one JSON object made of several calls, in the place of the backend (FL-22).

    The calls run side by side, to connections or to other routes of this gateway, through their whole flows. Members
    stand in the order of the document, whichever answer comes first: JSON as it came, other text as a string. Where a
    part that may not fail does, all are waited for, and the first one in the document says with what the call ends, so
    that the answer does not depend on chance.
    """

    category = "mediation"
    sides = {"request"}
    writes = {"response.status", "response.headers", "response.body", "answer"}

    def __init__(self, options: ComposeOptions) -> None:
        super().__init__(options)
        parts = options.parts.values()
        self.reads = {"request.body"} if any(p.reads_body or p.path.reads_body for p in parts) else set()

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        """Make the calls and the answer.

        Raises:
            Fault: what a part that may not fail ended in, or the first one where all failed.
            ExpressionError: an expression cannot be evaluated.
        """
        if self.reads:
            await exchange.request.body.read()
        return self._composed(await self._pieces(exchange))

    async def _pieces(self, exchange: Exchange) -> dict[str, _Piece]:
        pieces: dict[str, _Piece] = {}
        places = asyncio.Semaphore(self.options.parallel)
        tasks: dict[str, asyncio.Task[_Piece]] = {}
        asked: dict[str, Asked] = {}
        for name, part in self.options.parts.items():
            try:
                asked[name] = part.asked(exchange, part.path(exchange))
            except Fault as fault:
                pieces[name] = _Piece(fault=fault)
        try:
            for name, request in asked.items():
                part = self.options.parts[name]
                tasks[name] = asyncio.create_task(self._piece(exchange, part, request, places), name=f"compose {name}")
            if tasks:
                await asyncio.wait(tasks.values(), timeout=self.options.timeout)
            late = GatewayTimeout("A part of the answer did not come in time.", reason="compose-timeout")
            for name, task in tasks.items():
                pieces[name] = task.result() if task.done() else _Piece(fault=late)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        for name, piece in pieces.items():
            if piece.fault is not None:
                exchange.note(f"{self.entry.name} {name}: {piece.fault.reason}")
        return pieces

    async def _piece(self, exchange: Exchange, part: Part, asked: Asked, places: asyncio.Semaphore) -> _Piece:
        status = None
        async with places:
            try:
                response = await self._answer(exchange, part, asked)
                status = response.status
                return _Piece(_json(part.result(response)["body"], response), None, status)
            except Fault as fault:
                return _Piece(fault=fault, status=status)
            except (LookupError, ValueError):
                return _Piece(fault=BadGateway("A part of the answer cannot be had.", reason="config-error"))

    async def _answer(self, exchange: Exchange, part: Part, asked: Asked) -> Response:
        if part.connection is None:
            return await exchange.visit(asked.method, asked.url, headers=asked.headers, body=asked.body)
        return await exchange.call(
            asked.method,
            asked.url,
            connection=part.connection,
            headers=asked.headers,
            body=asked.body,
            timeout=self.options.timeout,
        )

    def _composed(self, pieces: dict[str, _Piece]) -> Response:
        options = self.options
        members: list[str] = []
        errors: dict[str, Any] = {}
        first: Fault | None = None
        for name, part in options.parts.items():  # not in the order in which they came
            piece = pieces[name]
            rule = part.on_failure or options.on_failure
            if piece.fault is not None:
                first = first or piece.fault
                if rule == "fail":
                    raise piece.fault
                errors[name] = {"status": piece.status, "reason": piece.fault.reason}
            if piece.fault is None or rule == "null":
                members.append(f"{json.dumps(name, ensure_ascii=False)}: {piece.text}")
        if first is not None and len(errors) == len(pieces):
            raise first
        if errors:
            members.append(f'"{ERRORS}": {json.dumps(errors, ensure_ascii=False)}')
        headers = {**options.headers, "content-type": "application/json"}
        return Response(options.status, headers, "{" + ", ".join(members) + "}")


def _json(value: Any, response: Response) -> str:
    """Write the value of an answer as JSON: as it came where it is JSON, so that no digit of a number is lost."""
    if value is not None and not isinstance(value, str):
        try:
            return response.body.data.decode("utf-8-sig")
        except UnicodeDecodeError:
            pass
    return json.dumps(value, ensure_ascii=False)
