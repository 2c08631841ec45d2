"""When an attempt that failed is followed by another, as it stands in a document."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hookgate.plugin import Options

IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")
"""Methods that may be sent twice (RFC 9110, 9.2.2)."""

Status = Annotated[int, Field(ge=400, le=599)]
Kind = Literal["connect-failed", "timeout", "broken"]


def _methods(methods: tuple[str, ...]) -> tuple[str, ...]:
    for method in methods:
        if not method.isascii() or not method.isalpha():
            raise ValueError(f"{method!r} is no method; write GET, PUT, …")
    return tuple(method.upper() for method in methods)


class RetrySection(Options):
    """Which failures are followed by another attempt, within `max_tries`.

    A failure to connect always may be: nothing was sent. After that a backend may have done what it was asked to, so
    the request must be one that does no harm twice, and its body must be at hand.
    """

    on: tuple[Kind | Status, ...] = ("connect-failed",)
    """Failures (`connect-failed`, `timeout`, `broken`) and status codes of answers (`502`, `503`, …)."""
    methods: Annotated[tuple[str, ...], AfterValidator(_methods)] = IDEMPOTENT
    """Methods that are sent again after something was sent."""
    idempotency_key: bool = True
    """Whether a call of any method that has an `Idempotency-Key` header may be sent again, too."""
    budget: float = Field(default=0.2, ge=0, le=1)
    """Share of the calls that may be sent again after something was sent, so that a backend in trouble does not get
    more calls than ever."""
    burst: int = Field(default=10, ge=1, le=10_000)
    """Calls that may be sent again at once, beyond that share."""
    delay: float = Field(default=0.0, ge=0, le=60)
    """Seconds before the second attempt, twice as many before each one after it; half of that is left to chance."""
    keep_body: int = Field(default=65_536, ge=0)
    """Bytes of a request body that are kept so that it can be sent again; a longer one is sent once."""
