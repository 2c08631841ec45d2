"""APIs, applications and plans as they stand in a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, field_validator, model_validator
from typing_extensions import TypeAliasType

from hookgate import ConnectionName, Options, PositiveDuration
from hookgate.contract import Described
from hookgate.document import Interceptors
from hookgate.flow import Method, Name, RouteLimitsSection, parse

PLACES = ("path", "query", "header", "cookie", "querystring")
"""Where parameters of an operation are."""


def _empty_mapping(value: object) -> object:
    """Let `GET:` with nothing behind it be an operation that says nothing."""
    return {} if value is None else value


def _base(value: str) -> str:
    if value != "/" and (not value.startswith("/") or value.endswith("/") or parse(value).kind != "exact"):
        raise ValueError(f"{value!r} is no base path: write /orders, without variables and without '/' at the end")
    return "" if value == "/" else value


def _pattern(value: str) -> str:
    parse(value)
    return value


class InheritSection(Options):
    """Which lists of a scope are its parent's and its own, and which are broken: whole lists of their own (FL-28)."""

    request: bool = True
    """The way in."""
    response: bool = True
    """The way out."""


StepOptions = Annotated[dict[str, Any], Field(json_schema_extra={"x-hookgate-options-of": "interceptor"})]
"""Options of a step that stands elsewhere. What is a secret among them its own options say."""
Hidden = Annotated[str, Field(json_schema_extra={"writeOnly": True})]
Kept = TypeAliasType(
    "Kept",
    "Hidden | int | float | bool | list[Kept] | dict[str, Kept] | None",
)
"""A value that may be a secret: nobody knows of which step it is."""


def _inherit(value: object) -> object:
    return {"request": value, "response": value} if isinstance(value, bool) else value


class ScopeDestination(Options):
    """Where calls go; what a scope does not say comes from the scope above it (FL-12, FL-17)."""

    connection: ConnectionName | None = Field(
        default=None, validation_alias=AliasChoices("connection", "session_holder")
    )
    """Name of a connection."""
    prefix: Annotated[str, AfterValidator(_base)] | None = None
    """Put in front of the path that is left when base path and version are taken off."""
    path: str | None = None
    """Path on the backend with variables, in place of the one the client asked for (FL-18 to FL-21), with a method in
    front of it where the backend is asked for another one: `GET /path/{id}`."""
    by_name: bool | None = None
    """Whether variables of `path` are filled by their names and not in the order received (FL-21)."""
    keep_base_path: bool | None = None
    """Pass base path and version on to the backend."""
    timeout: PositiveDuration | None = None
    """Seconds until the response is complete (FL-15), at most `gateway.timeout_cap`."""
    preserve_host: bool | None = None
    """Pass on the Host of the client instead of that of the target."""
    stream: bool | None = None
    """Answers may go on for as long as they like: time limits end at the response head."""


class ScopeSection(Described):
    """What an API, a resource and an operation may all say."""

    description: str = ""
    """What it is for."""
    flow: Interceptors = ()
    """Steps of its own, right of those of its parent: the client on the left, the backend on the right."""
    request: Interceptors = ()
    """Steps of its own on the way in only, right of those in `flow`."""
    response: Interceptors = ()
    """Steps of its own on the way out only, right of those in `flow`."""
    inherit: Annotated[InheritSection, BeforeValidator(_inherit, json_schema_input_type=bool | InheritSection)] = (
        InheritSection()
    )
    """`false` for a broken flow: the lists then hold every step, and `{from: ID}` stands for one of the parent's."""
    overrides: dict[str, StepOptions] = Field(default_factory=dict, repr=False)
    """Options of inherited steps that are different here and below, by the step's id (FL-27)."""
    inherited: dict[str, dict[str, Kept]] = Field(default_factory=dict, repr=False)
    """Options of inherited steps as they were when the scope was made or its parent changed them, by the step's id. The
    management API writes it, with `value_inheritance: snapshot` (FL-27). Values are shown as secrets are."""
    to: ScopeDestination = ScopeDestination()
    """Where calls go; each part that is left out comes from above."""
    limits: RouteLimitsSection = RouteLimitsSection()
    """What differs from `gateway.limits`; each that is left out comes from above."""


def _parameter(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(value.get("name"), str) or value.get("in") not in PLACES:
        raise ValueError(f"a parameter has a name, and in: {', '.join(PLACES)}")
    return value


class OperationSection(ScopeSection):
    """A method of a resource."""

    parameters: tuple[Annotated[Mapping[str, Any], AfterValidator(_parameter)], ...] = ()
    """Parameters, for documentation (KC-57), as OpenAPI writes them: `name`, `in`, `required`, `description` and a
    `schema`, or only its `type`. `hookgate openapi export` shows them."""
    produces: tuple[str, ...] = ()
    """Content types of the answers, for documentation: nothing is converted (KC-56)."""


class ResourceSection(ScopeSection):
    """Paths of an API that belong together."""

    path: Annotated[str, AfterValidator(_pattern)] = "/{rest...}"
    """Below base path and version: `/exact`, `/prefix/*`, `*.ext`, or a template such as `/items/{id}` (KC-50 to
    KC-52). One without a path takes what no other takes."""
    operations: dict[Method, Annotated[OperationSection, BeforeValidator(_empty_mapping)]] = Field(default_factory=dict)
    """By method; any method if there is none. A method that is not listed is answered with 405 (KC-49)."""


class ApiSection(ScopeSection):
    """An API in one version: its resources, their operations, and the flow that comes down to them."""

    name: Name
    """What it is called; together with the version it is unique."""
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,30}$")] = ""
    """Its version, which stands in the path behind the base path: `/orders/1.2/items`."""
    base_path: Annotated[str, AfterValidator(_base)] = Field(default="/", validate_default=True)
    """In front of every path of the API."""
    value_inheritance: Literal["snapshot", "live"] | None = None
    """What a change of a step's options does to the scopes below: `live` passes it on; with `snapshot`, the default of
    an API that is stored, a scope keeps what it inherited when it was made (FL-27). In a file values are live."""
    default_version: bool = False
    """It can also be called without a version in the path."""
    template: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The template it is made with: `managed` follows its highest version, `managed 2` keeps to one, `none` is for an
    API without. Left out, it is the one that is the default, if there is one."""
    hosts: tuple[str, ...] = ()
    """Hosts it answers on, any if there is none."""
    environments: tuple[str, ...] = ()
    """Environments it is deployed in, every one if there is none."""
    resources: tuple[ResourceSection, ...] = ()
    """Its resources; one of all paths and methods if there is none."""

    @model_validator(mode="after")
    def _reachable(self) -> ApiSection:
        if self.default_version and not self.version:
            raise ValueError("default_version: there is no version that could be left out; write version")
        return self

    @field_validator("resources")
    @classmethod
    def _apart(cls, resources: tuple[ResourceSection, ...]) -> tuple[ResourceSection, ...]:
        seen: set[str] = set()
        for resource in resources:
            if resource.path in seen:
                raise ValueError(f"the path {resource.path} is there twice; put the operations together")
            seen.add(resource.path)
        return resources


class ApplicationSection(Options):
    """An application that calls APIs, known by its client ids."""

    client_ids: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    """What identifies it; no two applications have one in common."""
    plans: dict[str, str] = Field(default_factory=dict)
    """The plan by which it calls each API: API to plan. An API that is not here it may not call."""
    fields: dict[str, str] = Field(default_factory=dict)
    """Extra fields, for steps that use them."""


class PlanSection(Options):
    """What calls under a plan pass beside the flow of the API."""

    description: str = ""
    """What it is for."""
    flow: Interceptors = ()
    """Steps, entered right after the one that identifies the application (FL-24)."""
    request: Interceptors = ()
    """Steps on the way in only."""
    response: Interceptors = ()
    """Steps on the way out only."""
