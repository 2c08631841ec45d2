"""The endpoint ``POST /api/v01/transactions/callbacks/{id}``: what others answer to an instance that waits (WF-1)."""

from __future__ import annotations

import re
from typing import Any

from hookgate import (
    ContentTooLarge,
    Entry,
    Exchange,
    Host,
    Interceptor,
    NotFound,
    Options,
    Response,
    ServiceUnavailable,
    hookimpl,
)
from hookgate_storage import StoreError
from hookgate_workflows.answers import written
from hookgate_workflows.executors import JournalAway
from hookgate_workflows.requests import request_of
from hookgate_workflows.resuming import deliver, mail, resume

_KEY = re.compile(r"[A-Za-z0-9_-]{20,60}")


class Callbacks(Interceptor[Options]):
    """Takes what a callback brings, and has the instance go on. The id is the secret: nobody can guess it."""

    category = "mediation"
    sides = {"request"}
    reads = {"request.body"}
    writes = {"answer"}
    path_params = frozenset({"id"})

    def __init__(self) -> None:
        super().__init__(Options())
        self.entry = Entry("workflow_engine.callbacks", "workflow-callbacks", "interceptor")
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        """Take it.

        Raises:
            NotFound: nobody waits for such a callback.
            ContentTooLarge: it is longer than ``workflow_engine.limits.request``.
            ServiceUnavailable: the journal is away; the callback may be sent again.
        """
        section: Any = self._host.section("workflow_engine")
        key, most = exchange.params["id"], section.record.limits.request
        body = bytes(await exchange.request.body.read())
        if len(body) > most:
            raise ContentTooLarge(f"A body here has at most {most} bytes.")
        request = request_of(exchange, body, "")
        value: Any = {name: request[name] for name in ("body", "content_type", "params")}
        try:
            engine = section.engine
            now = self._host.clock.wall()
            came, instance, run, answer = (
                await deliver(engine.journal, key, value, now) if _KEY.fullmatch(key) else ("unknown", 0, 0, None)
            )
            if came == "again":  # its first copy counts, and may have found the instance busy
                value = (await mail(engine.journal, instance)).get(run)
            if came in ("taken", "again"):
                await resume(engine, instance, [(run, value)])  # one that still runs looks for itself
        except (JournalAway, StoreError) as error:
            self._host.log.warning("a callback cannot be journalled: %s", error)
            raise ServiceUnavailable("The journal of workflows is away.", reason="journal-away") from None
        if came == "unknown":
            raise NotFound("Nobody waits for such a callback.", reason="no-callback")
        if came == "over":
            told = {"title": "Gone", "status": 410, "reason": "callback-over"}
            told["detail"] = "What waited for this callback is over; nothing was changed."
            return Response.json({"type": "about:blank", **told}, 410, "application/problem+json")
        exchange.facts["workflow"] = {"id": instance}
        if answer is None:
            return Response.json({"result": "accepted"}, 202)
        return written(exchange, f"the *cb_response* of the instance {instance}", answer)
