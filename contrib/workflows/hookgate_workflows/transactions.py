"""The endpoint ``/api/v01/transactions/{id}``: what became of an instance, by its number or GUID (CR-8, CR-32)."""

from __future__ import annotations

import re
from typing import Any

from hookgate import (
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
from hookgate_storage import StoreError
from hookgate_workflows.executors import JournalAway
from hookgate_workflows.repairing import offers
from hookgate_workflows.telling import shown

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Transactions(Interceptor[Options]):
    """Answers with what the journal has of an instance, to those who have started it and to operators."""

    category = "mediation"
    sides = {"request"}
    writes = {"answer"}
    path_params = frozenset({"id"})

    def __init__(self, entry_id: str = "workflow_engine.transactions") -> None:
        super().__init__(Options())
        self.entry = Entry(entry_id, "workflow-transactions", "interceptor")
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        """Answer.

        Raises:
            Unauthorized: nobody knows who calls.
            NotFound: there is no such instance.
            Forbidden: it is of somebody else.
            ServiceUnavailable: the journal is away.
        """
        identity = exchange.identity
        if identity is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="hookgate"'}
            raise Unauthorized("This route needs a caller who is known.", headers=challenge)
        section: Any = self._host.section("workflow_engine")
        written = exchange.params["id"].lower()
        wanted = int(written) if _NUMBER.fullmatch(written) else written if _GUID.fullmatch(written) else None
        try:
            found = None if wanted is None else await section.engine.journal.read(wanted)
            if found is None:
                raise NotFound("There is no such transaction.", reason="no-transaction")
            if found["owner"] != identity.subject and not section.profiles.is_operator(identity):
                raise Forbidden("This transaction is of somebody else.", reason="not-owner")
            return Response.json(await told_with_offers(section.engine, found))
        except (JournalAway, StoreError) as error:
            self._host.log.warning("the journal of workflows cannot be read: %s", error)
            raise ServiceUnavailable("The journal of workflows is away.", reason="journal-away") from None


async def told_with_offers(engine: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return what people see of an instance, with what each task offers them (WF-2)."""
    told = shown(row)
    try:
        found = offers(row, await engine.graph_of(row["workflow"], row["digest"]))
    except LookupError:
        found = {}
    for task in told["tasks"]:
        task["offers"] = found.get(task["number"], [])
    return told
