"""What a document says of a route. The words under the fields are what an editor shows while one writes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, Field, field_validator

from hookgate.contract.duration import PositiveDuration
from hookgate.contract.metadata import Described
from hookgate.contract.plugin import Options
from hookgate.contract.section import ConnectionName
from hookgate.contract.steps import FlowOptions, Interceptor
from hookgate.exchange.messages import TOKEN
from hookgate.expressions import Expression


def _method(value: str) -> str:
    if not TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is no method")
    return value.upper()


def _name(value: str) -> str:
    if not 0 < len(value) <= 200 or value != value.strip() or not value.isprintable() or "/" in value or "#" in value:
        raise ValueError(f"{value!r} is no name: up to 200 characters, without '/', '#' and spaces around it")
    return value


Method = Annotated[str, AfterValidator(_method)]

Name = Annotated[str, AfterValidator(_name)]
Several = Annotated[tuple[str, ...], Field(min_length=1)]


class RouteLimitsSection(Options):
    """What a route sets differently from `gateway.limits`, in bytes."""

    request_body: int | None = Field(default=None, ge=0)
    """Longest request body that is passed on."""
    response_body: int | None = Field(default=None, ge=0)
    """Longest response body that is passed on."""
    buffered_body: int | None = Field(default=None, ge=0)
    """Longest body that a step may read whole."""


class MatchSection(Options):
    """Which calls a route takes."""

    host: str | Several | None = None
    """A host, or `*.example.org`; any if left out. Or a list of them."""
    path: str | Several = "/{rest...}"
    """`/exact`, `/prefix/*`, `*.ext`, or a template with `{variables}` and a `{catch-all...}` at the end. Or a list."""
    methods: tuple[Method, ...] | None = Field(default=None, min_length=1)
    """Methods, any if left out; HEAD comes with GET."""
    when: Expression | None = None
    """A condition on the request, such as `request.headers['x-env'] == 'test'`."""

    @field_validator("when")
    @classmethod
    def _without_body(cls, when: Expression | None) -> Expression | None:
        if when is not None and when.reads_body:
            raise ValueError("a route is chosen before the body is read: ask `request.body` in a `when` step instead")
        return when


class DestinationSection(Options):
    """Where a route's calls go."""

    connection: ConnectionName = Field(validation_alias=AliasChoices("connection", "session_holder"))
    """Name of a connection."""
    path: str | None = None
    """Path on the backend, with the variables of the match; the path of the request if left out. A method in front of
    it, as in `GET /path/{id}`, is what the backend is asked for; one that has no body sends none."""
    path_params: Literal["positional", "by_name"] = "positional"
    """Whether variables are filled in the order received (FL-20) or by their names (FL-21)."""
    timeout: PositiveDuration | None = None
    """Seconds until the response is complete, over all tries."""
    preserve_host: bool = False
    """Pass on the Host of the client instead of that of the target."""
    stream: bool = False
    """Answers may go on for as long as they like: time limits end at the response head, the idle limit goes on."""


class RouteSection(FlowOptions, Described):
    """Calls that match, the steps they pass, and where they go."""

    flow_scope = "route"
    moved = {
        **dict.fromkeys(
            ("host", "path", "methods"), "which calls a route takes stands in match: {host, path, methods}"
        ),
        **dict.fromkeys(
            ("destination", "timeout"), "where calls go, and for how long, stands in to: {connection, timeout}"
        ),
    }

    name: Name
    """A name of its own; it stands in logs, traces and the ids of its steps."""
    description: str = ""
    """What the route is for."""
    match: MatchSection = MatchSection()
    """Which calls it takes; all if left out."""
    flow: tuple[Interceptor[Any], ...] = ()
    """Steps as drawn: the client on the left, the backend on the right."""
    request: tuple[Interceptor[Any], ...] = ()
    """Steps on the way in only, right of those in `flow`."""
    response: tuple[Interceptor[Any], ...] = ()
    """Steps on the way out only, right of those in `flow`."""
    to: DestinationSection | None = None
    """Where the calls go; left out where a step always answers."""
    limits: RouteLimitsSection = RouteLimitsSection()
    """What differs from `gateway.limits`."""
