"""The endpoint ``POST /api/v01/transactions/{id}/repairs``: owners and operators repair an instance (WF-2)."""

from __future__ import annotations

import re
from typing import Any

import orjson

from hookgate import (
    BadRequest,
    Entry,
    Exchange,
    Forbidden,
    Host,
    Interceptor,
    NotFound,
    Options,
    Response,
    ServiceUnavailable,
    Unauthorized,
    hookimpl,
)
from hookgate_people import By
from hookgate_storage import StoreError
from hookgate_workflows.asking import Unclear, repaired
from hookgate_workflows.deciding import Undecidable
from hookgate_workflows.executors import JournalAway

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Repairs(Interceptor[Options]):
    """Replays, skips or rolls back a task, or closes an instance, for those who have started it and for operators."""

    category = "mediation"
    sides = {"request"}
    reads = {"request.body"}
    writes = {"answer"}
    path_params = frozenset({"id"})

    def __init__(self) -> None:
        super().__init__(Options())
        self.entry = Entry("workflow_engine.repairs", "workflow-repairs", "interceptor")
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        """Do it; where the instance does not offer that, or somebody else was faster, the answer is 409.

        Raises:
            Unauthorized: nobody knows who calls.
            NotFound: there is no such instance.
            Forbidden: it is of somebody else.
            BadRequest: the body does not say what to do.
                ServiceUnavailable: the journal is away.
        """
        identity = exchange.identity
        if identity is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="hookgate"'}
            raise Unauthorized("This route needs a caller who is known.", headers=challenge)
        section: Any = self._host.section("workflow_engine")
        written = exchange.params["id"].lower()
        wanted = int(written) if _NUMBER.fullmatch(written) else written if _GUID.fullmatch(written) else None
        body = bytes(await exchange.request.body.read())
        try:
            found = None if wanted is None else await section.engine.journal.read(wanted)
            if found is None:
                raise NotFound("There is no such transaction.", reason="no-transaction")
            if found["owner"] != identity.subject and not section.profiles.is_operator(identity):
                raise Forbidden("This transaction is of somebody else.", reason="not-owner")
            by = By(identity.subject, exchange.request.client)
            return Response.json(await repaired(self._host, found, _object(body), by), 202)
        except Unclear as error:
            raise BadRequest(f"{error}.", reason="unclear") from None
        except Undecidable as error:
            told = {"title": "Conflict", "status": 409, "reason": "undecidable", "detail": f"{error}."}
            return Response.json({"type": "about:blank", **told}, 409, "application/problem+json")
        except (JournalAway, StoreError) as error:
            self._host.log.warning("the journal of workflows is away: %s", error)
            raise ServiceUnavailable("The journal of workflows is away.", reason="journal-away") from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unclear('write a JSON object, such as {"action": "replay"}')
    return found
