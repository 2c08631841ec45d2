"""What travels through the house with one call: the exchange, who calls, whom we call, and how it went."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hookgate.apiinfo import ApiInfo, Application, Callout
from hookgate.bodies import Body
from hookgate.messages import Headers, Request, Response

if TYPE_CHECKING:
    from hookgate.errors import Fault

OutcomeKind = Literal["ok", "connect-failed", "timeout", "broken", "aborted"]


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


@dataclass(frozen=True, slots=True)
class Health:
    """What a monitor found."""

    healthy: bool
    reason: str = ""
    lasts: float | None = None
    """Seconds after which an unhealthy finding no longer counts, for monitors that do not check: the target is then
    back in rotation, on trial. ``None`` lets it stand until the next finding."""


class Outcome(NamedTuple):
    """How one attempt at a target ended; given to balancers and monitors when the body is through."""

    kind: OutcomeKind
    status: int | None = None
    seconds: float = 0.0
    """From the start of the attempt until the last byte of the answer, or the failure."""
    error: str = ""
    head_seconds: float | None = None
    """From the start of the attempt until the head of the answer; ``None`` if none came."""


class Target:
    """One address of a connection: scheme, host and port, never a path (AC-2).

    Weight and active come from the document; health, last seen and the counts change as the gateway runs.
    """

    __slots__ = (
        "active",
        "authority",
        "failures",
        "health",
        "host",
        "host_name",
        "in_flight",
        "last_seen",
        "origin",
        "port",
        "scheme",
        "weight",
    )

    def __init__(
        self, scheme: str, host: str, port: int, *, weight: int = 1, active: bool = True, host_name: str = ""
    ) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.origin = (scheme, host, port)
        self.weight = weight
        self.active = active
        self.health = Health(healthy=True, reason="not checked yet")
        self.last_seen: float | None = None
        """Unix time of the last successful check (AC-8), or ``None``."""
        self.failures = 0
        """Failed checks in a row."""
        self.in_flight = 0
        literal = f"[{host}]" if ":" in host else host
        default = {"http": 80, "https": 443}.get(scheme)
        self.authority = literal if port == default else f"{literal}:{port}"
        self.host_name = host_name or self.authority
        """What the backend is told in ``Host``: the name an address was found by, else the address."""

    @property
    def url(self) -> str:
        """``scheme://host[:port]``, without a path."""
        return f"{self.scheme}://{self.authority}"

    def __repr__(self) -> str:
        return f"<Target {self.url}>"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of one attempt, in seconds; ``None`` for no bound (AC-31 to AC-33)."""

    connect: float | None = 5.0
    read: float | None = 30.0
    request: float | None = 60.0


class Due:
    """When the whole response of an attempt must be there, and what it means if it is not."""

    __slots__ = ("at", "fault")

    def __init__(self, at: float, fault: Callable[[], Fault]) -> None:
        self.at = at
        """Time of the event loop."""
        self.fault = fault
        """Makes what is raised then."""


class Outbound:
    """One attempt at a target. Target, Host and framing are final before header actions and credentials see it."""

    __slots__ = (
        *("attempt", "body", "connection", "due", "headers", "method"),
        *("path", "query", "target", "timeouts", "upgrade"),
    )

    def __init__(
        self,
        method: str,
        target: Target,
        path: str,
        query: str = "",
        headers: Headers | None = None,
        body: Body | None = None,
        timeouts: Timeouts | None = None,
        connection: str = "",
        attempt: int = 1,
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.headers = headers if headers is not None else Headers()
        self.body = body if body is not None else Body()
        self.timeouts = timeouts or Timeouts()
        self.connection = connection
        self.attempt = attempt
        self.upgrade = ""
        """What the backend is asked to speak instead: ``websocket``, or nothing."""
        self.due: Due | None = None
        """The bound on the whole response, which an ``inline`` transport keeps; ``None`` for none, or none any more."""

    @property
    def url(self) -> str:
        """The whole URL of this attempt."""
        return f"{self.target.url}{self.path}" + (f"?{self.query}" if self.query else "")


@dataclass(slots=True)
class Attempt:
    """A line in the record of tries: which target, how it ended."""

    target: Target
    outcome: Outcome | None = None
    connection: str = ""
    """Name of the connection it went through."""
    started: float = 0.0
    """When it began, before header actions and credentials."""
    head_at: float | None = None
    """When the head of the response was there; ``None`` if none came."""
    verdict: str = ""
    """Of one that failed: that another followed, or why none did."""


class Towards(NamedTuple):
    """Where else than its route says a call goes; see :meth:`Exchange.send_to`."""

    connection: str = ""
    path: str | None = None
    prefix: str = ""


class Exchange:
    """One call on its way through a flow.

    Hooks read and change ``request`` on the way in and ``response`` on the way out, leave notes for each other in
    ``variables``, and tell who calls in ``identity``. All times are seconds of the monotonic clock.
    """

    # Defaults of the class and no slots: a call has few of these, and one exchange is made for each.
    response: Response | None = None
    fault: Fault | None = None
    """The failure being dealt with, and afterwards the last one that happened."""
    identity: Identity | None = None
    id = ""
    """The request id; the ``request-id`` interceptor fills it."""
    route: Any = None
    """The :class:`~hookgate.router.Route` that matched, or ``None`` on 404 and 405."""
    target: Target | None = None
    """The target of the last attempt."""
    connection: Any = None
    """The :class:`~hookgate.connection.Connection` the call goes through, once it does: ``name`` and ``tags``."""
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
    trace: Any = None
    """The record of a traced call, else ``None``; see :meth:`note`."""
    home: Any = None
    """The generation that serves the call; not for plugins."""
    walk: Any = None
    """Where the flow keeps its place; not for plugins."""
    _variables: dict[str, Any] | None = None
    _hidden: tuple[str, ...] = ()
    _facts: dict[str, Any] | None = None
    _callouts: list[Callout] | None = None
    _started: dict[str, asyncio.Task[Any]] | None = None

    def __init__(self, request: Request, *, started: float | None = None) -> None:
        self.request = request
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

    @property
    def callouts(self) -> Sequence[Callout]:
        """Calls to others amid this one, in the order in which they began."""
        return self._callouts or ()

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

    # --- amid the call ----------------------------------------------------------------------------------------------

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

    async def call(
        self,
        method: str,
        url: str,
        *,
        connection: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Response:
        """Call somebody else amid this call and return the answer with its body read (FL-54).

        With a ``connection`` the URL is a path on it (HC-3), else an absolute URL. ``timeout`` is in seconds.

        Raises:
            LookupError: there is no such connection.
            ValueError: the URL is not of the kind it should be.
            Fault: as ``TransportSpec.send``.
        """
        house = self._house()
        with self._noted(method, url, connection) as callout:
            if connection:
                through = house.connection(connection)
                response: Response = await through.request(method, url, headers=headers, body=body, timeout=timeout)
            else:
                response = await house.http.request(method, url, headers=headers, body=body, timeout=timeout)
            callout.status = response.status
        return response

    async def visit(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """Call another route of this gateway without the network, through its whole flow (FL-53); ``target`` is
        ``/path?query``, ``headers`` may name the ``Host``. Return the answer with its body read.

        Raises:
            LoopDetected: calls to itself led to this one too often.
        """
        with self._noted(method, target, "(gateway)") as callout:
            response: Response = await self._house().visit(self, method, target, headers or {}, body)
            callout.status = response.status
        return response

    def start(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Begin something that goes on while the flow does; :meth:`join` waits for it. It ends with the call.

        Raises:
            ValueError: something of that name was started already.
        """
        started = self._started = {} if self._started is None else self._started
        if name in started:
            coroutine.close()
            raise ValueError(f"{name!r} was started already in this call")
        started[name] = asyncio.get_running_loop().create_task(coroutine, name=name)

    async def join(self, name: str) -> Any:
        """Wait for what was started under a name; return its result, or raise what it raised.

        Raises:
            LookupError: nothing of that name was started.
        """
        if self._started is None or name not in self._started:
            raise LookupError(f"nothing was started as {name!r} in this call")
        return await asyncio.shield(self._started[name])

    def let_go(self) -> None:
        """End what was started and is still under way; the house calls this when the call is over."""
        for task in (self._started or {}).values():
            if task.done():
                if not task.cancelled():
                    task.exception()  # nobody joined it, and nobody is to be told
            else:
                task.cancel()

    def _house(self) -> Any:
        if self.home is None:
            raise RuntimeError("this exchange is not served by a gateway, so it can call nobody")
        return self.home.house

    @contextmanager
    def _noted(self, method: str, url: str, connection: str) -> Iterator[Callout]:
        if self._callouts is None:
            self._callouts = []
        callout = Callout(method, url, connection, time.monotonic())
        self._callouts.append(callout)
        try:
            yield callout
        except Exception as error:
            callout.error = getattr(error, "reason", "") or type(error).__name__
            raise
        finally:
            callout.seconds = time.monotonic() - callout.started

    def __repr__(self) -> str:
        return f"<Exchange {self.request.method} {self.request.target}>"
