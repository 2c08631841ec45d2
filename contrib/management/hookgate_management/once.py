"""Writes that are sent twice and done once: what was answered under an ``Idempotency-Key`` is answered again for a day
(draft-ietf-httpapi-idempotency-key-header).

A write that is refused has changed nothing and is not kept: send it again as it is, or better. One that was under way
when the process died is answered with 409 for :data:`UNDER_WAY` seconds, since nobody knows how far it had come.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any

import orjson
from quart import Response, request

from hookgate import Conflict, State, StateError
from hookgate_management.answers import as_json
from hookgate_management.calls import Calls
from hookgate_management.operations import Page
from hookgate_management.problems import Refusal

log = logging.getLogger("hookgate.management")

KEPT = 24 * 3600.0
"""Seconds for which an answer is kept."""
UNDER_WAY = 600.0
"""Seconds for which a write counts as under way; longer than any may wait."""
LONGEST = 255
HEADER = "Idempotency-Key"
_RETOLD = ("ETag", "Location")


class Once:
    """Keeps answers of writes in the state of the gateway."""

    def __init__(self, calls: Calls, state: Callable[[], State]) -> None:
        self._calls, self._state = calls, state
        self._tasks: set[asyncio.Task[Response]] = set()

    def page(self, page: Page) -> Page:
        """Return a page that carries out a write with a key once."""

        async def once(**names: Any) -> Response:
            key, author = request.headers.get(HEADER), self._calls.callers.let_in()
            rehearsed = self._calls.asked()
            if key is None:
                return await page(**names)
            if not (0 < len(key) <= LONGEST and key.isascii() and key.isprintable()):
                raise Refusal(400, f"{HEADER} has 1 to {LONGEST} printable characters of ASCII.", "query")
            if rehearsed:
                return await page(**names)
            # a caller who hangs up must not end a write between the store and the note that it was done
            task = asyncio.create_task(self._once(page, names, sha256(f"{author}\0{key}".encode()).hexdigest()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return await asyncio.shield(task)

        return once

    async def _once(self, page: Page, names: dict[str, Any], entry: str) -> Response:
        changer = await self._calls.changer()
        told = [request.method, request.full_path, *map(request.headers.get, ("If-Match", "If-None-Match"))]
        sent: Any = await request.get_data()
        # bodies have secrets, and the state is not sealed: a bare hash could be guessed
        what = hmac.digest(changer.store.secret, orjson.dumps(told) + sent, "sha256").hex()
        state = self._state()
        try:
            version = await state.put(entry, {"what": what}, ttl=UNDER_WAY, version=0)
        except Conflict:
            return await self._again(state, entry, what)
        except StateError as error:
            raise Refusal(503, f"{HEADER} cannot be kept, and nothing was changed: {error}.", "state-away") from None
        try:
            answer = await page(**names)
        except BaseException:
            with suppress(StateError):  # it is forgotten by itself
                await state.delete(entry, version=version)
            raise
        await self._keep(state, entry, what, answer)
        return answer

    async def _again(self, state: State, entry: str, what: str) -> Response:
        try:
            kept = await state.get(entry)
        except StateError as error:
            raise Refusal(503, f"{HEADER} cannot be looked up: {error}.", "state-away") from None
        if kept is None:
            raise Refusal(409, "The same write has just ended; send it again.", "under-way")
        if kept.value["what"] != what:
            detail = f"This {HEADER} was sent with another write; each takes a key of its own."
            raise Refusal(422, detail, "idempotency-key")
        if "answer" not in kept.value:
            raise Refusal(409, "The same write is under way; ask again for its answer.", "under-way")
        return as_json(kept.value["answer"], kept.value["status"], kept.value["headers"])

    async def _keep(self, state: State, entry: str, what: str, answer: Response) -> None:
        told = orjson.loads(await answer.get_data())
        headers = {name: answer.headers[name] for name in _RETOLD if name in answer.headers}
        value = {"what": what, "status": answer.status_code, "headers": headers, "answer": told}
        for left_out in ((), ("changes", "nodes")):  # a value has a bound, and a write thousands of changes
            value["answer"] = {name: each for name, each in told.items() if name not in left_out}
            try:
                await state.put(entry, value, ttl=KEPT)
            except StateError as error:
                why = error
            else:
                return
        log.error("a write was stored, and its %s was not kept: %s", HEADER, why)
