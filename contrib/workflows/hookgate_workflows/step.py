"""The step ``workflow``: runs a workflow for a call, and answers with what it has made (CR-1, CR-6, CR-7)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, TypeVar
from urllib.parse import unquote

from pydantic import Field, ValidationInfo, model_validator

from hookgate import (
    ContentTooLarge,
    Exchange,
    Forbidden,
    GatewayTimeout,
    Host,
    Interceptor,
    NotFound,
    Options,
    PositiveDuration,
    Response,
    ServiceUnavailable,
    Unauthorized,
    hookimpl,
)
from hookgate_storage import StoreError, ask_store
from hookgate_workflows.answers import answer_of, mistakes_of, none
from hookgate_workflows.definitions import Workflows
from hookgate_workflows.executors import JournalAway
from hookgate_workflows.filters import pattern
from hookgate_workflows.graph import Graph
from hookgate_workflows.instance import Document, Instance
from hookgate_workflows.journal import ACTIVE
from hookgate_workflows.requests import is_json, multipart_of, request_of
from hookgate_workflows.routerecord import TIMEOUT, WorkflowName
from hookgate_workflows.schemas import Schema, refused
from hookgate_workflows.section import WorkflowEngine
from hookgate_workflows.sessions import UpstreamUser, sealed

MARGIN = 0.9
"""Of `gateway.hook_timeout`, for which this step waits at most: its own answer comes first."""


class RunWorkflowOptions(Options):
    """Options of `workflow`."""

    workflow: WorkflowName
    """The workflow that is run."""
    error_handler: WorkflowName | None = None
    """The workflow that is run when this one fails; what it answers is answered."""
    sync: bool = False
    """Whether the call waits for what the workflow answers. If not, it is answered at once with the `id` and the `guid`
    of the instance, which is journalled by then."""
    accepted: Literal[200, 202] = 202
    """The status of the answer where the call does not wait."""
    authenticated: bool = True
    """Whether calls are refused that no step to the left has found out the caller of."""
    body_schema: Schema | None = Field(default=None, alias="schema")
    """A JSON Schema that the body has to be as, before anything starts."""
    timeout: PositiveDuration = TIMEOUT
    """Seconds that a call waits; then it is answered with 504, and the instance goes on. It is never longer than nine
    tenths of `gateway.hook_timeout`."""
    on_missing_response: Literal[500, 204] = 500
    """The status where the workflow is over and has set no `*response*`."""
    output_schema: Schema | None = None
    """A JSON Schema that what is answered has to be as."""
    validate_response: Literal["off", "warn", "fail"] = "off"
    """What becomes of an answer below 300 that is not: `warn` sends it, and says so in the log; `fail` answers with
    500."""
    patterns: dict[str, str] = Field(default_factory=dict)
    """Regular expressions of RE2 that whole path parameters have to match; other calls are answered with 404."""
    otherwise: Literal["refuse", "pass"] = "refuse"
    """What becomes of a call whose path parameters do not match: it is refused, or goes on along its route."""
    prefixes: tuple[str, ...] = ()
    """What is taken off the path for `request.tail`, the first that fits."""

    @model_validator(mode="after")
    def _right(self, info: ValidationInfo) -> Self:
        for each in self.patterns.values():
            pattern(each)
        ask_store(info, "a workflow keeps its instances in the journal")
        return self


StepOptionsT = TypeVar("StepOptionsT", bound=RunWorkflowOptions)


class WorkflowStep(Interceptor[StepOptionsT]):
    """Runs a workflow for a call; what takes bodies of many rows stands on it, too."""

    category = "mediation"
    sides = {"request"}
    reads = {"request.body"}
    writes = {"answer"}

    def __init__(self, options: StepOptionsT) -> None:
        super().__init__(options)
        self.path_params = frozenset(options.patterns)
        self._patterns = {name: pattern(each) for name, each in options.patterns.items()}
        self._host: Host

    def longest(self, request: int) -> int:
        """Return how many bytes a body may have, where a plain one may have so many."""
        return request

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response | None:
        """Run it.

        Raises:
            NotFound: a path parameter is not as its pattern says.
            Unauthorized: nobody knows who calls.
            Forbidden: the profiles of the caller do not allow it.
            BadRequest: the query or the form is none.
            GatewayTimeout: it takes too long; the instance goes on.
            ServiceUnavailable: the journal is away.
            NoAnswer: there is nothing that could be answered.
        """
        section = self._let(exchange)
        if section is None:
            return None
        return await self._answered(exchange, section, await self._body(exchange, section.record.limits.request))

    async def _body(self, exchange: Exchange, most: int) -> bytes:
        body = bytes(await exchange.request.body.read())
        if len(body) > most:
            raise ContentTooLarge(f"A body here has at most {most} bytes.")
        return body

    async def _answered(self, exchange: Exchange, section: WorkflowEngine, body: bytes) -> Response:
        options, host = self.options, self._host
        parts = multipart_of(body, exchange.request.headers.get("content-type") or "")
        request = request_of(exchange, b"" if parts else body, self._prefix(exchange))
        files: list[Document] = []
        if parts is not None:
            request["body"], files = parts
        if options.body_schema is not None:
            media_type = exchange.request.headers.get("content-type") or ""
            if isinstance(request["body"], str) and (is_json(media_type) or not media_type):
                return refused([{"pointer": "", "detail": "is no JSON"}])
            if found := options.body_schema.mistakes(request["body"]):
                return refused(found)
        graph = host.section("workflows", Workflows).graphs[options.workflow]
        try:
            return await self._run(exchange, section, graph, request, files)
        except (JournalAway, StoreError) as error:
            host.log.warning("the workflow %s cannot be journalled: %s", options.workflow, error)
            raise ServiceUnavailable("The journal of workflows is away.", reason="journal-away") from None

    def _let(self, exchange: Exchange) -> WorkflowEngine | None:
        """Return what runs it for a call that is let in; ``None`` for one that goes on along its route."""
        for name, expression in self._patterns.items():
            if not expression.fullmatch(unquote(exchange.params.get(name, ""))):
                if self.options.otherwise == "pass":
                    return None
                raise NotFound("There is no such route.")
        section, identity = self._host.section("workflow_engine", WorkflowEngine), exchange.identity
        if not self.options.authenticated:
            return section
        if identity is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="hookgate"'}
            raise Unauthorized("This route needs a caller who is known.", headers=challenge)
        if isinstance(identity, UpstreamUser):
            return section  # the upstream gateway says what its users may
        if not section.profiles.allow(identity, exchange.request.method, exchange.request.path):
            raise Forbidden("No profile of the caller allows this call.", reason="profile")
        return section

    def _prefix(self, exchange: Exchange) -> str:
        return next((each for each in self.options.prefixes if exchange.request.path.startswith(f"{each}/")), "")

    async def _run(
        self,
        exchange: Exchange,
        section: WorkflowEngine,
        graph: Graph,
        request: Mapping[str, Any],
        files: Sequence[Document],
    ) -> Response:
        options, engine = self.options, section.engine
        if engine.leaving:
            raise ServiceUnavailable("The gateway is about to stop.", reason="leaving")
        owner = exchange.identity.subject if exchange.identity is not None and options.authenticated else None
        instance = await engine.make(
            graph,
            request,
            owner=None if owner is None else owner[:200],
            route=exchange.request.path[:300],
            method=exchange.request.method[:20],
            handler=options.error_handler or "",
            session=sealed(exchange.identity, self._host) if options.authenticated else None,
        )
        for each in files:
            instance.documents[each.name] = each
            instance.new_documents.add(each.name)
        exchange.facts["workflow"] = {"id": instance.id, "guid": instance.guid}
        if not options.sync:
            await engine.store(instance, hold=section.executor.holds)
            if (waiting := section.executor.ready(instance.id)) is not None:
                await waiting
            return Response.json({"id": instance.id, "guid": instance.guid}, options.accepted)
        engine.go(instance)
        assert instance.answered is not None
        patience = min(options.timeout, self._host.section("gateway").record.hook_timeout * MARGIN)
        try:
            async with asyncio.timeout(patience):
                await asyncio.shield(instance.answered)  # the instance goes on when the client is gone
        except TimeoutError:
            await engine.save(instance)  # so that it is found while it goes on
            raise GatewayTimeout("The workflow takes too long.", reason="workflow-timeout") from None
        return self._answer(exchange, instance)

    def _answer(self, exchange: Exchange, instance: Instance) -> Response:
        if instance.waits:
            exchange.note(f"workflow: the instance {instance.guid} waits: {instance.reason}")
            raise GatewayTimeout("The workflow waits for something.", reason="workflow-waits")
        if instance.status == ACTIVE and not instance.ended_at:
            raise ServiceUnavailable("The workflow cannot be journalled.", reason="journal-away")
        response = answer_of(exchange, instance, self.options.on_missing_response)
        schema, what = self.options.output_schema, self.options.validate_response
        if schema is None or what == "off" or response.status >= 300:
            return response
        if found := mistakes_of(response, schema):
            told = f"{self.options.workflow}: the answer of {instance.guid} is not as output_schema says: {found}"
            if what == "fail":
                raise none(exchange, "response-schema", told)
            self._host.log.warning("%s", told)
            exchange.note(told)
        return response


class RunWorkflow(WorkflowStep[RunWorkflowOptions]):
    """Runs a workflow, and answers with what it has made.

    A synchronous one answers with the context key `*response*`, or with the file that `*doc_response*` names, once an
    end is reached. What leaves no response that can be sent is answered with 500, and the trace of the call says why.
    """
