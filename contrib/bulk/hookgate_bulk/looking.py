"""The endpoint ``/api/v01/bulks/{id}``: what became of a bulk, for those who have started it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

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
from hookgate_bulk.shown import bulk_told, row_told
from hookgate_bulk.tables import ROW_STATUSES
from hookgate_storage import StoreError
from hookgate_workflows import JournalAway

NUMBER = re.compile(r"[1-9][0-9]{0,8}")
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOST_ROWS = 1000


def key_of(written: str) -> int | str | None:
    """Return the number or GUID that is written; ``None`` for what is neither."""
    lower = written.lower()
    return int(lower) if NUMBER.fullmatch(lower) else lower if GUID.fullmatch(lower) else None


class ShowBulk(Interceptor[Options]):
    """Answers with what is known of a bulk, or of its rows, to those who have started it and to operators."""

    category = "mediation"
    sides = {"request"}
    writes = {"answer"}
    path_params = frozenset({"id"})

    def __init__(self) -> None:
        super().__init__(Options())
        self.entry = Entry("bulk_engine.bulks", "workflow-bulks", "interceptor")
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
            NotFound: there is no such bulk.
            Forbidden: it is of somebody else.
            BadRequest: the query says nothing here.
            ServiceUnavailable: the store is away.
        """
        identity = exchange.identity
        if identity is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="hookgate"'}
            raise Unauthorized("This route needs a caller who is known.", headers=challenge)
        engine: Any = self._host.section("workflow_engine")
        section: Any = self._host.section("bulk_engine")
        wanted = key_of(exchange.params["id"])
        try:
            bulks = section.driver.bulks
            found = None if wanted is None else await bulks.read(wanted)
            if found is None:
                raise NotFound("There is no such bulk.", reason="no-bulk")
            if found["owner"] != identity.subject and not engine.profiles.is_operator(identity):
                raise Forbidden("This bulk is of somebody else.", reason="not-owner")
            if not exchange.request.path.endswith("/rows"):
                return Response.json(bulk_told(found))
            status, after, limit = _asked(exchange.request.query)
            listed = await bulks.rows(found["id"], status, after, limit)
        except (JournalAway, StoreError) as error:
            self._host.log.warning("bulks cannot be read: %s", error)
            raise ServiceUnavailable("The store of bulks is away.", reason="journal-away") from None
        more = {"next": listed[-1]["row"]} if len(listed) == limit else {}
        return Response.json({"rows": [row_told(each) for each in listed], **more})


def _asked(query: str) -> tuple[str | None, int, int]:
    given = dict(parse_qsl(query[:1000], keep_blank_values=True))
    status, after, limit = given.get("status"), given.get("after", "0"), given.get("limit", "100")
    if given.keys() - {"status", "after", "limit"} or (status is not None and status not in ROW_STATUSES):
        raise BadRequest(f"The query has status ({', '.join(ROW_STATUSES)}), after and limit.", reason="query")
    if not (after == "0" or NUMBER.fullmatch(after)) or not NUMBER.fullmatch(limit) or int(limit) > MOST_ROWS:
        raise BadRequest(f"after is the number of a row, and limit at most {MOST_ROWS}.", reason="query")
    return status, int(after), int(limit)
