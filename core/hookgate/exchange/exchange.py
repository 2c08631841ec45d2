"""One call on its way through the house: who calls, what was asked and answered, and what is known of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hookgate.exchange.amid import Amid
from hookgate.exchange.belonging import ApiInfo, Application
from hookgate.exchange.messages import RawHeader, Request, Response
from hookgate.exchange.outbound import Attempt, OutcomeKind, Target

if TYPE_CHECKING:
    from hookgate.exchange.errors import Fault


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling, as an authentication method established it."""

    subject: str
    method: str = ""
    """Name of the plugin that vouches for it."""
    roles: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    application: str | None = None
    """The calling application, known only where something identified it (FL-34)."""


class Scoped(Protocol):
    """A request of Quart, or of another framework over ASGI."""

    @property
    def scope(self) -> Any:
        """What the server tells of the call."""


class Towards(NamedTuple):
    """Where else than its route says a call goes; see :meth:`Exchange.send_to`."""

    connection: str = ""
    path: str | None = None
    prefix: str = ""


class Exchange(Amid):
    """One call on its way through a flow.

    Hooks read and change ``request`` on the way in and ``response`` on the way out, leave notes for each other in
    ``variables``, and tell who calls in ``identity``. All times are seconds of the monotonic clock.
    """

    # Defaults of the class and no slots: a call has few of these, and one exchange is made for each.
    response: Response | None = None
    fault: Fault | None = None
    """The failure being dealt with, and afterwards the last one that happened."""
    id = ""
    """The request id; the ``request-id`` interceptor fills it."""
    route: Any = None
    """The :class:`~hookgate.flow.router.Route` that matched, or ``None`` on 404 and 405: ``name``, ``labels``, and as
    ``extensions`` what the document says of it under ``x-…``."""
    target: Target | None = None
    """The target of the last attempt."""
    connection: Any = None
    """The live connection that the call goes through, once it does: ``name``, ``tags``, ``labels``, ``extensions``."""
    generation = 0
    """Number of the configuration generation that serves this call."""
    answered_by = ""
    """Id of the step that answered in place of the backend, or empty."""
    outcome: OutcomeKind = "ok"
    bytes_received: int | None = None
    """Bytes of request body that came from the client and were read; ``None`` if nobody has counted."""
    bytes_sent = 0
    """Bytes of response body handed to the client."""
    head_at: float | None = None
    """When the head of the response was ready to leave."""
    finished: float | None = None
    application: Application | None = None
    """The calling application, once a step has identified it (FL-34)."""
    plan = ""
    """Name of the plan by which the application calls this API."""
    to: Towards | None = None
    """Where the call goes instead of where its route says, if a step has changed that."""
    depth = 0
    """How many calls of the gateway to itself led to this one."""
    teller: Any = None
    """Who can tell the client something before its answer, by ``inform(exchange, status, fields)``; not for plugins."""
    trace: Any = None
    """The record of a traced call, else ``None``; see :meth:`note`."""
    walk: Any = None
    """Where the flow keeps its place; not for plugins."""
    _variables: dict[str, Any] | None = None
    _hidden: tuple[str, ...] = ()
    _facts: dict[str, Any] | None = None

    def __init__(self, request: Request, *, started: float | None = None) -> None:
        self.request = request
        self.identity: Identity | None = None  # its own, and no default of the class: each step is looked at for it
        self.params: dict[str, str] = {}
        """Path parameters by name, percent-encoded as received, in the order of the template."""
        self.attempts: list[Attempt] = []
        self.passed: list[str] = []
        """Ids of the steps that let the call pass on its way in, in order."""
        self.started = time.monotonic() if started is None else started

    @property
    def variables(self) -> dict[str, Any]:
        """Notes that steps leave for each other during this call."""
        if self._variables is None:
            self._variables = {}
        return self._variables

    @property
    def facts(self) -> dict[str, Any]:
        """What is to be known of this call afterwards, by name: plain values, shown in its trace (FL-49)."""
        if self._facts is None:
            self._facts = {}
        return self._facts

    @property
    def api(self) -> ApiInfo | None:
        """What the route stands for, where it comes from an API."""
        return None if self.route is None else self.route.api

    @property
    def environment(self) -> str:
        """Name of the environment this gateway serves, from the document; empty if it says none."""
        return "" if self.home is None else str(self.home.environment)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Places that no log and no trace may show, as :meth:`hide` was told."""
        return self._hidden

    def send_to(self, connection: str = "", *, path: str | None = None, prefix: str = "") -> None:
        """Have the backend called by another connection, with another path or with something in front of it (FL-52).

        What is left out stays as an earlier step or the route says, its time limit in any case. A path goes behind the
        ``base_path`` of the connection; it begins with a slash and is percent-encoded, as is a prefix. Only on routes
        with a step that says ``writes = {"target"}``. A connection that is not there ends in 502 ``config-error``.
        """
        before = self.to or Towards()
        self.to = Towards(
            connection or before.connection, before.path if path is None else path, prefix + before.prefix
        )

    def inform(self, status: int, fields: list[RawHeader]) -> None:
        """Pass on what a backend says before its answer (RFC 9110, 15.2), where there is a client that may be told."""
        if self.teller is not None and self.head_at is None and self.request.http_version != "1.0":
            self.teller.inform(self, status, fields)

    def note(self, message: str) -> None:
        """Write a line into the trace of this call; nothing happens where it has none (FL-50)."""
        if self.trace is not None:
            self.trace.note(message)

    def hide(self, *places: str) -> None:
        """Have the trace of this call show none of these, not even as they were before now (FL-22); logs neither.

        A place is ``request.headers.NAME``, ``request.query.NAME``, ``request.body`` or ``request.body.a.b`` for a
        member of a JSON body, and likewise for ``response``. A ``*`` is every member, a number an item of a list.
        """
        self._hidden = (*self._hidden, *places)
        if self.trace is not None:
            self.trace.hide(*places)

    def __repr__(self) -> str:
        return f"<Exchange {self.request.method} {self.request.target}>"


def exchange_of(request: Scoped) -> Exchange | None:
    """Return the call that a page answers, given ``quart.request``: its ``identity`` is who calls. ``None`` where the
    app is exposed without a flow, or stands under ``/-/``.
    """
    found: Exchange | None = request.scope.get("hookgate.exchange")
    return found
