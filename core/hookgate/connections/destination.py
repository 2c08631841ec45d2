"""Where a route sends its calls: a path on a connection, with the route's own bounds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from hookgate.exchange.errors import Fault, GatewayTimeout


class Bounds(NamedTuple):
    """Sizes of the bodies on a route, in bytes."""

    request: int = sys.maxsize
    response: int = sys.maxsize
    kept: int = 8 * 1024 * 1024
    """What a hook may read whole."""


UNBOUNDED = Bounds()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a route sends its calls: a path on a connection, with the route's own time limit."""

    path: Callable[[dict[str, str]], str] | None = None
    """Makes the path from the path parameters; ``None`` keeps the path of the request."""
    method: str = ""
    """What the backend is asked for, whatever the client asked for; empty for the same. GET answers HEAD as well."""
    timeout: float | None = None
    """Seconds from sending until the response is complete, over all tries (FL-15)."""
    timeout_status: int = 502
    """What the client gets then: 502 by FL-15, or 504 (X1)."""
    preserve_host: bool = False
    stream: bool = False
    """The time limit ends at the response head."""
    bounds: Bounds = UNBOUNDED
    """Sizes of bodies."""
    cut: int = 0
    """Characters that are taken off the front of the path, where ``path`` makes no other."""
    prefix: str = ""
    """What is put in front of the path."""

    def out_of_time(self) -> Fault:
        """Make what is raised when the time limit runs out."""
        kind = GatewayTimeout if self.timeout_status == 504 else DestinationTimeout
        return kind("The destination did not answer in time.", reason="destination-timeout")


class DestinationTimeout(GatewayTimeout):
    """The destination's time limit ran out, answered 502 where FL-15 speaks."""

    status = 502
    default_reason = "destination-timeout"
