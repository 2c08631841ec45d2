"""The step ``bulk``: what ``workflow`` does, and for a body of many rows once for each (CR-29)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookgate import BadRequest, Exchange, Response, ServiceUnavailable, hookimpl
from hookgate_bulk.conversion import Unreadable
from hookgate_bulk.records import BulkRules
from hookgate_bulk.starting import receipt, rows_in, start
from hookgate_storage import StoreError
from hookgate_workflows import JournalAway, RunWorkflowOptions, Workflows, WorkflowStep, is_json, request_of


class RunBulkOptions(BulkRules, RunWorkflowOptions):
    """Options of `bulk`: those of `workflow`, and how rows are read and run."""


class RunBulk(WorkflowStep[RunBulkOptions]):
    """Runs a workflow once for each row of a body that is CSV or a JSON array, and answers with 202 and the id of the
    bulk, which is in the store by then. Any other body runs it once, as the step `workflow` does.
    """

    def longest(self, request: int) -> int:
        """Return how many bytes a body may have."""
        return max(request, self.options.max_bytes)

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response | None:
        """Run it.

        Raises:
            BadRequest: the body has no rows, or too many.
            ServiceUnavailable: the store is away.
        """
        section, options = self._let(exchange), self.options
        if section is None:
            return None
        media_type = exchange.request.headers.get("content-type") or ""
        is_csv = media_type.partition(";")[0].strip().lower() == "text/csv"
        body = await self._body(exchange, self.longest(section.record.limits.request))
        if not is_csv and not (is_json(media_type) and body.lstrip()[:1] == b"["):
            body = await self._body(exchange, section.record.limits.request)
            return await self._answered(exchange, section, body)
        host = self._host
        try:
            found = await rows_in(body, options, options.body_schema, is_csv=is_csv)
        except Unreadable as error:
            raise BadRequest(f"The body cannot be taken: {error}.", reason="bad-rows") from None
        identity = exchange.identity
        try:
            made = await start(
                host,
                host.section("workflows", Workflows).graphs[options.workflow],
                options,
                found,
                request=self._seen(exchange, media_type),
                owner=None if identity is None or not options.authenticated else identity.subject,
                route=exchange.request.path,
                method=exchange.request.method,
                handler=options.error_handler or "",
            )
        except (JournalAway, StoreError) as error:
            host.log.warning("a bulk of %s cannot be stored: %s", options.workflow, error)
            raise ServiceUnavailable("The store of bulks is away.", reason="journal-away") from None
        exchange.facts["bulk"] = {"id": made["id"], "guid": made["guid"]}
        return Response.json(receipt(made, found), 202)

    def _seen(self, exchange: Exchange, media_type: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = request_of(exchange, b"", self._prefix(exchange))
        return {**found, "content_type": media_type[:200]}
