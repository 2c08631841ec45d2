"""The operations of the API: each is a page and its description, so that one cannot be without the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from quart import Blueprint, Response

Page = Callable[..., Awaitable[Response]]
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something in the query or in the headers."""

    name: str
    about: str
    schema: Schema = field(default_factory=lambda: {"type": "string"})
    place: str = "query"
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be called."""

    method: str
    path: str
    """In the way of Quart: `<section>` stands for each kind, `<name>` for the name of an object, `<key>` for that of
    something in it."""
    name: str
    about: str
    answers: Mapping[int, str]
    """Statuses that are no problem, with the component that describes the answer."""
    problems: frozenset[int]
    """Statuses with a problem document."""
    takes: tuple[Parameter, ...] = ()
    sends: Schema | None = None
    """Schema of the body; what stands for `{"$ref": "kind"}` is the schema of an object of the kind."""
    media: tuple[str, ...] = ("application/json",)
    answer_media: str = "application/json"
    other_media: tuple[str, ...] = ()
    """What else the answer may be, where the caller asks for it."""
    headers: tuple[str, ...] = ()
    """Headers of the answers that are no problem."""
    of_flows: bool = False
    """Only for kinds whose objects have a flow."""
    of_tenants: bool = False
    """Whether the page knows of tenants: their people may call it. Ours stand in :data:`tenancy.OPEN`."""
    anonymous: bool = False
    """Whether it is answered to who does not say who they are, too."""


KIND: Schema = {"$ref": "kind"}
LIMIT = Parameter("limit", "Most of them in one answer.", {"type": "integer", "minimum": 1, "maximum": 1000})
DRY_RUN = Parameter("dry_run", "Check, and store nothing.", {"type": "boolean"})
COMMENT = Parameter("comment", "What the ledger says about it.", {"type": "string", "maxLength": 2000})
WAIT = Parameter(
    "wait",
    "`live`, or a time such as `10s`, at most 300 s: answer when every gateway that is alive serves it.",
    {"type": "string", "minLength": 1},
)
FORCE = Parameter("force", "Write though other stored objects break, which are left out then.", {"type": "boolean"})
IF_MATCH = Parameter(
    "If-Match",
    "The ETag that was read: refuse a write over somebody else's.",
    {"type": "string", "pattern": r'^(\*|"[0-9]{1,18}")$'},
    place="header",
)
IF_NONE_MATCH = Parameter("If-None-Match", "`*` refuses to replace anything.", {"const": "*"}, place="header")
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "Of the caller's own making: the same write with the same key is done once, and answered again for a day.",
    {"type": "string", "minLength": 1, "maxLength": 255},
    place="header",
)
WRITES = (DRY_RUN, COMMENT, WAIT, IDEMPOTENCY_KEY)

ASKS = frozenset({401, 403, 429, 503})
"""Problems of every call: nobody whom we know, and somebody who may not, also who comes from a web page; too many
logins that failed, and a store that is away where it has to be asked who calls."""
READS = ASKS | {409}
"""Problems of what asks the store: there is none, or it is away."""
CHANGES = READS | {400, 404, 412, 413, 415, 422}


class Operations:
    """Puts pages onto a blueprint, and knows what they are."""

    def __init__(self, blueprint: Blueprint, once: Callable[[Page], Page]) -> None:
        self.blueprint = blueprint
        self.once = once
        """Makes of a page one that does a write with a key once."""
        self.all: list[Operation] = []
        self.schemas: dict[str, Schema] = {}
        """Schemas of answers that pages of other distributions add, as components of the OpenAPI document."""

    def add(self, operation: Operation) -> Callable[[Page], Page]:
        """Take the function below as the page of an operation."""

        def take(page: Page) -> Page:
            self.all.append(operation)
            rule = f"/api{operation.path}"
            done = self.once(page) if IDEMPOTENCY_KEY in operation.takes else page
            # two slashes are a name with a slash, and a redirect would be to another object
            self.blueprint.add_url_rule(rule, operation.name, done, methods=[operation.method], merge_slashes=False)
            return page

        return take


def phrase(status: int) -> str:
    """Say what a status means."""
    return HTTPStatus(status).phrase
