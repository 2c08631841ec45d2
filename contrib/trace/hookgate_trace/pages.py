"""The app ``trace``: pages with lists of traces, single ones, and new ones as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from quart import Blueprint, Response, request

from hookgate import App, Host, Options, hookimpl
from hookgate_trace.file import find, search
from hookgate_trace.filters import Filters, filters_of
from hookgate_trace.followers import Follower
from hookgate_trace.keeper import Keeper, keeper_of
from hookgate_trace.rows import Row
from hookgate_trace.shown import as_lines
from hookgate_trace.writer import FAILURES, explained

PAGE, LARGEST_PAGE = 50, 500
"""Traces of a page, unless said otherwise and at most."""
PIECE = 20
"""Whole traces that are read at a time."""
EXPORT = 16 * 1024 * 1024
"""Bytes of a page with whole traces, about."""
CATCHING_UP = 5.0
"""Seconds that a page waits for traces that are being written."""
QUESTIONS = 4
"""Questions that are put to the file at a time; others wait."""
HEARTBEAT = 15.0
"""Seconds of silence after which followers get a sign of life."""
LOOK = 0.5
"""Seconds between two looks whether the gateway is stopping."""

NOT_PLACED = "There are no traces: add trace to gateway.observers, and say in the section trace which calls are traced."


class _Asked(Exception):
    """A question that cannot be answered: status and why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class TraceApp(App[Options]):
    """Shows the traces that the observer `trace` keeps: newest first, in JSON, never cached. Whoever may call the
    management listener sees what calls held; do not expose this app to everyone.

    * `traces`: what is known of each, page by page. Filters: `path` (with what is below it; `*` stands for anything),
      `status` (`404`, `5xx`, `none`), `method`, `route`, `api`, `version`, `application`, `environment`, `outcome`,
      `reason` (why it was traced), `fault` (the reason of the last one), `correlation` (the id of the trace,
      `X-Request-Id` or the trace id of `traceparent`), `slower` (milliseconds), `since` and `until` (`10m` ago, RFC
      3339 or Unix time). Values of one filter are alternatives; several filters have to hold all. `limit` traces are
      on a page, 50 unless said, 500 at most; the next page is asked for by `before`, with the number that `next` says.
      `full=true` gives whole traces, for export: 16 MB at most, then there is a next page.
    * `traces/ID`: one of them, the newest if a client has used an id twice (`number=` names another).
      `format=text` shows it to people, as `hookgate simulate` does.
    * `traces/follow`: new ones as they come, as server-sent events `trace`, with the same filters but for times and
      pages. An event `dropped` says how many were left out because they were not read fast enough.

    503 with a word of advice where that observer is not placed or its file cannot be read.
    """

    @hookimpl
    def blueprint(self, host: Host) -> Blueprint:
        """Return the pages."""
        return pages_of(host)


def pages_of(host: Host) -> Blueprint:
    """Make the pages of a gateway."""
    pages = Blueprint("trace", __name__)
    turns = asyncio.Semaphore(QUESTIONS)

    async def asked(question: Callable[[], Any]) -> Any:
        async with turns:
            try:
                return await asyncio.to_thread(question)
            except FAILURES as error:
                raise _Asked(503, f"The traces cannot be read: {explained(error)}.") from error

    def placed() -> Keeper:
        found = keeper_of(host)
        if found is None:
            raise _Asked(503, NOT_PLACED)
        return found

    @pages.errorhandler(_Asked)
    async def refused(error: _Asked) -> Response:
        document = {"type": "about:blank", "status": error.status, "detail": str(error)}
        return _answer(json.dumps(document), error.status, "application/problem+json")

    @pages.get("/traces")
    async def traces() -> Response:
        keeper = placed()
        limit, before = _natural("limit", LARGEST_PAGE) or PAGE, _natural("before", 2**63 - 1)
        whole = _one_of("full", ("false", "true")) == "true"
        filters = _filters(keeper, {"limit", "before", "full"})
        await keeper.caught_up(CATCHING_UP)
        if whole:
            return await _export(asked, keeper, filters, limit, before)
        rows = await asked(lambda: search(keeper.path, filters, most=limit + 1, before=before))
        shown = rows[:limit]
        following = shown[-1]["number"] if len(rows) > limit else None
        return _answer(json.dumps({"traces": shown, "next": following, **_state(keeper)}))

    @pages.get("/traces/<path:identifier>")
    async def trace(identifier: str) -> Response:
        keeper = placed()
        style = _one_of("format", ("json", "text"))
        number = _natural("number", 2**63 - 1)
        if unknown := set(request.args) - {"format", "number"}:
            raise _Asked(400, f"There is no parameter {min(unknown)!r}; write format= or number=.")
        await keeper.caught_up(CATCHING_UP)
        document = await asked(lambda: find(keeper.path, identifier, _oldest(keeper), number))
        if document is None:
            raise _Asked(404, f"There is no trace {identifier!r}; it was never made, or it is gone by now.")
        if style == "json":
            return _answer(document)
        text = "\n".join("".join(part for part, _ in line).rstrip() for line in as_lines(json.loads(document)))
        return _answer(text + "\n", 200, "text/plain; charset=utf-8")

    @pages.get("/traces/follow")
    async def follow() -> Response:
        keeper = placed()
        if wrong := set(request.args) & {"since", "until", "limit", "before", "full"}:
            raise _Asked(400, f"{min(wrong)!r} says nothing about traces that are still to come.")
        follower = keeper.followers.enter(_filters(keeper, set()))
        if follower is None:
            raise _Asked(503, "Too many are following; end one of them.")
        response = _answer(_events(host, keeper, follower), 200, "text/event-stream")
        response.timeout = None
        return response

    return pages


async def _events(host: Host, keeper: Keeper, follower: Follower) -> AsyncIterator[bytes]:
    """Write events until the client is gone, the observer is shut down or the gateway stops."""
    silence = 0.0
    try:
        yield b": following\n\n"
        while not host.is_leaving:
            try:
                row = await asyncio.wait_for(follower.queue.get(), LOOK)
            except TimeoutError:
                silence += LOOK
                if silence >= HEARTBEAT:
                    silence = 0.0
                    yield b": alive\n\n"
                continue
            if row is None:
                return
            silence = 0.0
            if follower.dropped:
                left_out, follower.dropped = follower.dropped, 0
                yield _event("dropped", {"dropped": left_out})
            yield _event("trace", row)
    finally:
        keeper.followers.leave(follower)


def _event(kind: str, data: Mapping[str, Any]) -> bytes:
    number = data.get("number")
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


async def _export(
    asked: Callable[[Callable[[], Any]], Any], keeper: Keeper, filters: Filters, limit: int, before: int | None
) -> Response:
    """Answer with whole traces, as many as fit."""
    written: list[str] = []
    size, following = 0, before
    more = True
    while more and len(written) < limit and size < EXPORT:
        most = min(PIECE, limit - len(written))
        piece = partial(search, keeper.path, filters, most=most + 1, before=following, whole=True)
        found: list[Row] = await asked(piece)
        more = len(found) > most
        for row in found[:most]:
            written.append(f'{{"number": {row["number"]}, "trace": {row["document"]}}}')
            size, following = size + len(row["document"]), row["number"]
    tail = json.dumps({"next": following if more else None, **_state(keeper)})
    return _answer(f'{{"traces": [{", ".join(written)}], {tail[1:]}')


def _state(keeper: Keeper) -> dict[str, Any]:
    return {"lost": keeper.lost, "trouble": keeper.trouble or None}


def _oldest(keeper: Keeper) -> float:
    """Return the time before which traces are gone, even while the file still has them."""
    return keeper.clock.wall() - keeper.options.keep


def _filters(keeper: Keeper, others: set[str]) -> Filters:
    given = {name: request.args.getlist(name) for name in request.args if name not in others}
    try:
        asked = filters_of(given, keeper.clock.wall())
    except ValueError as error:
        raise _Asked(400, str(error)) from error
    since = max(_oldest(keeper), asked.since if asked.since is not None else 0.0)
    return replace(asked, since=since)


def _natural(name: str, most: int) -> int | None:
    value = request.args.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 20 and 1 <= int(value) <= most):
        raise _Asked(400, f"{name}: write a number from 1 to {most}.")
    return int(value)


def _one_of(name: str, words: tuple[str, ...]) -> str:
    value = request.args.get(name, words[0])
    if value not in words:
        raise _Asked(400, f"{name}: write {' or '.join(words)}.")
    return value


def _answer(body: Any, status: int = 200, content_type: str = "application/json") -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(body, status, headers=headers, content_type=content_type)
