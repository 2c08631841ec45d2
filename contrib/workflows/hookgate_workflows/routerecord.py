"""The record of a custom route, and where it stands (CR-1, CR-24)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field

from hookgate import Options, PositiveDuration, Refers
from hookgate_workflows.schemas import Schema

TIMEOUT = 60.0
WorkflowName = Annotated[str, Refers("workflows")]
Method = Annotated[
    Literal["get", "post", "put", "delete", "patch", "head", "options"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)(?::((?:[^{}]|\{[0-9,]*\})*))?\}")


class CustomRouteSection(Options):
    """A route that runs a workflow."""

    route: Annotated[str, Field(min_length=4, max_length=1000, pattern=r"^/")]
    """Its path, behind `/api/v01/custom` or, of a public one, `/api/v01/public`. `{name}` is a path parameter, and
    `{name:regex}` one that matches a regular expression of RE2; `{name:.*}` at the end is everything behind."""
    method: Method
    """Its method."""
    proxy: Annotated[str, Refers("proxies")] | None = None
    """The proxy that it belongs to, such as `p1`: it then stands at `/api/v01/p1` and its `route`, and takes calls that
    would go to the upstream gateway."""
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
    return f"{settings.prefix}/{record.proxy or ('public' if record.public else 'custom')}"


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
