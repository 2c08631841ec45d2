"""What a call looks like towards a backend: whom we call, one attempt at it, its bounds, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from hookgate.exchange.bodies import Body
from hookgate.exchange.messages import Headers, RawHeader

if TYPE_CHECKING:
    from hookgate.exchange.errors import Fault

DEFAULT_PORTS = {"http": 80, "https": 443}
"""Where a scheme is spoken unless a URL says otherwise (RFC 9110, 4.2)."""
OutcomeKind = Literal["ok", "connect-failed", "timeout", "broken", "aborted"]


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
        default = DEFAULT_PORTS.get(scheme)
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
        *("attempt", "body", "connection", "due", "headers", "interim", "method"),
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
        self.interim: Callable[[int, list[RawHeader]], None] | None = None
        """Takes status and fields of what the backend says before its answer (1xx), but for 100 and 101."""

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
    status: int | None = None
    """Of the response, from then on."""
    verdict: str = ""
    """Of one that failed: that another followed, or why none did."""
