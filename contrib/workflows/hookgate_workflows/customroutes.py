"""The section ``custom_routes``: workflows that are calls of an API of their own (CR-1 to CR-23)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field

from hookgate import Item, Loaded, Options, PositiveDuration, Problem, Route, Section, Site, Ways, hookimpl
from hookgate_workflows.schemas import Schema
from hookgate_workflows.step import TIMEOUT, RunWorkflowOptions, WorkflowName

Method = Annotated[
    Literal["get", "post", "put", "delete", "patch", "head", "options"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]
_OF_A_ROUTE = {each.alias or name for name, each in RunWorkflowOptions.model_fields.items()}
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)(?::((?:[^{}]|\{[0-9,]*\})*))?\}")


class CustomRouteSection(Options):
    """A route that runs a workflow."""

    route: Annotated[str, Field(min_length=4, max_length=1000, pattern=r"^/")]
    """Its path, behind `/api/v01/custom` or, of a public one, `/api/v01/public`. `{name}` is a path parameter, and
    `{name:regex}` one that matches a regular expression of RE2; `{name:.*}` at the end is everything behind."""
    method: Method
    """Its method."""
    workflow: WorkflowName = Field(validation_alias=AliasChoices("workflow", "activity_id"))
    """The workflow that is run."""
    error_handler: WorkflowName | None = Field(
        default=None, validation_alias=AliasChoices("error_handler", "err_activity_id")
    )
    """The workflow that is run when it fails."""
    group: str = Field(default="", max_length=200)
    """The group that it belongs to."""
    body_schema: Schema | None = Field(default=None, alias="schema")
    """A JSON Schema that bodies have to be as, before anything starts."""
    output_schema: Schema | None = None
    """A JSON Schema of its answers, for the OpenAPI document."""
    validate_response: Literal["off", "warn", "fail"] = "off"
    """Whether answers below 300 are compared with `output_schema`: `warn` sends one that differs, and says so in the
    log; `fail` answers with 500 in its place."""
    sync: bool = False
    """Whether a call waits for what the workflow answers."""
    enabled: bool = True
    """Whether it is there. Switched off, calls are answered with 404, and instances that run go on."""
    public: bool = False
    """Whether it is called without authentication."""
    accepted: Literal[200, 202] = 202
    """The status of the answer where a call does not wait."""
    timeout: PositiveDuration = TIMEOUT
    """Seconds that a call waits at most; then it is answered with 504, and the instance goes on. `gateway.hook_timeout`
    has to be longer."""
    on_missing_response: Literal[500, 204] = 500
    """The status where the workflow is over and has set no `*response*`."""
    bulk: dict[str, Any] | None = None
    """That a body may be many: a JSON array or CSV runs the workflow once for each row, and is answered with the id of
    the bulk. Options as the step `bulk` has them, such as `max_rows` and `parallel`, or `{}`; it comes with
    `hookgate-bulk`."""


def prefix_of(record: CustomRouteSection, settings: Any) -> str:
    """Return what a route stands behind."""
    return f"{settings.prefix}/{'public' if record.public else 'custom'}"


def path_of(route: str) -> tuple[str, dict[str, str]]:
    """Return a path as the gateway writes it, and the regular expressions of its parameters.

    Raises:
        ValueError: it has a regular expression elsewhere than in a parameter.
    """
    patterns: dict[str, str] = {}

    def variable(found: re.Match[str]) -> str:
        name, expression = found[1], found[2]
        if expression is None:
            return f"{{{name}}}"
        if expression in (".*", ".+") and found.end() == len(route):
            if expression == ".+":
                patterns[name] = expression
            return f"{{{name}...}}"
        patterns[name] = expression
        return f"{{{name}}}"

    path = _VARIABLE.sub(variable, route)
    if wrong := re.search(r"[\\^$*+?()|\[\]]", _VARIABLE.sub("", route)):
        message = f"{wrong[0]!r} is of a regular expression: write it in a parameter"
        raise ValueError(f"{message}, like {{name:[0-9]+}}, or {{rest:.*}} for everything behind")
    return path, patterns


class CustomRoutes(Section[CustomRouteSection]):
    """Routes that run workflows; each becomes a route of the gateway, whose flow ends in the step `workflow`."""

    shape, kind, plural, key = "list", "custom route", "custom routes", ("route", "method")

    @classmethod
    def name_of(cls, written: Mapping[str, Any]) -> str:
        """Return what a route is called: `get users:{id}` for `/users/{id}`, as names of objects have no slashes."""
        method, route = written.get("method"), written.get("route")
        if not isinstance(method, str) or not isinstance(route, str):
            return ""
        return f"{method.lower()} {route.removeprefix('/').replace(':', '::').replace('/', ':')}"

    @hookimpl
    def routes(self, site: Site) -> Iterator[Route | None]:
        """Make the routes."""
        for item in self.items:
            yield self._route(site, item)

    def _route(self, site: Site, item: Item[CustomRouteSection]) -> Route | None:
        record = item.record
        engine: Any = site.section("workflow_engine")
        settings = engine.record
        try:
            path, patterns = path_of(record.route)
        except ValueError as error:
            site.problem((*item.path, "route"), str(error))
            return None
        if "timeout" in record.model_fields_set and record.timeout >= site.gateway.hook_timeout:
            message = f"gateway.hook_timeout ends it after {site.gateway.hook_timeout:g} s; write more there"
            site.problem((*item.path, "timeout"), message)
        if record.validate_response != "off" and (record.output_schema is None or not record.sync):
            site.problem((*item.path, "validate_response"), "needs an output_schema, and a route that says sync: true")
        prefix = prefix_of(record, settings)
        prefixes = [prefix, *([settings.public_alias] if record.public and settings.public_alias else ())]
        owner = f"custom_routes.{item.name}"
        auth = () if record.public else self._auth(site, item, engine, owner)
        options: dict[str, Any] = {
            "workflow": record.workflow,
            "sync": record.sync,
            "accepted": record.accepted,
            "authenticated": not record.public,
            "timeout": record.timeout,
            "on_missing_response": record.on_missing_response,
            "patterns": patterns,
            "prefixes": prefixes,
        }
        if record.error_handler is not None:
            options["error_handler"] = record.error_handler
        if record.body_schema is not None:
            options["schema"] = record.body_schema.written
        if record.output_schema is not None and record.validate_response != "off":
            options |= {"output_schema": record.output_schema.written, "validate_response": record.validate_response}
        kind = "workflow" if record.bulk is None else "bulk"
        for name in sorted({*(record.bulk or ())} & _OF_A_ROUTE):
            site.problem((*item.path, "bulk", name), "is a field of the route itself")
        step: Any = site.step({kind: {**(record.bulk or {}), **options}}, item.path, owner)
        if step is None or not record.enabled:
            return None
        most = step.longest(settings.limits.request)
        written = {
            "name": f"{record.method.upper()} {prefix}{record.route}",
            "match": {"path": [f"{each}{path}" for each in prefixes], "methods": [record.method.upper()]},
            "limits": {"request_body": most, "buffered_body": most},
            "labels": {"group": record.group} if record.group else {},
        }
        made_of = {"match.path": "route", "match.methods": "method"}
        return site.route(written, item.path, made_of, steps=Ways((*auth, (kind, step)), auth))

    def _auth(self, site: Site, item: Item[CustomRouteSection], engine: Any, owner: str) -> Any:
        """Build the steps that find out who calls."""
        entries, path = engine.auth(site)
        if not entries:
            message = "a call needs to be authenticated, and nothing says how: write keymanager, or"
            site.problem(item.path, f"{message} workflow_engine: {{auth: […]}}, or make the route public")
        made = []
        for index, entry in enumerate(entries):
            step = site.step(entry, (*path, index), owner)
            if step is not None:
                made.append((f"auth/{index}", step))
        return tuple(made)

    @hookimpl
    def review(self, configuration: Loaded) -> Iterator[Problem]:
        """Warn of synchronous routes whose workflow may pause (CR-6)."""
        workflows: Any = configuration.sections.get("workflows")
        for item in self.items:
            graph = None if workflows is None else workflows.graphs.get(item.record.workflow)
            if graph is not None and item.record.sync and graph.pauses:
                message = f"the cell {graph.pauses[0]!r} of {graph.name!r} may pause, and a call that waits is then"
                yield Problem((*item.path, "sync"), f"{message} answered with 504 [workflow-pauses]")
