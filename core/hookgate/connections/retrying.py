"""Whether an attempt that failed is followed by another one, and what to say if it is not."""

from __future__ import annotations

import asyncio
import random
from typing import Annotated

from pydantic import AfterValidator, Field

from hookgate.contract.backends import Failures
from hookgate.contract.duration import Duration
from hookgate.contract.plugin import Options
from hookgate.exchange.bodies import Body
from hookgate.exchange.outbound import Due, Outbound
from hookgate.exchange.waiting import Signal

AGAIN = "tried again"
"""What the record of an attempt says that was followed by another."""


class Retries:
    """The rules of one connection, with its budget.

    The budget is a bucket of ``burst`` tokens that each call fills by ``budget``; another attempt takes one. A failure
    to connect costs none.
    """

    def __init__(self, rules: RetrySection, max_tries: int) -> None:
        self.max_tries = max_tries
        self.after_sending = max_tries > 1 and set(rules.on) != {"connect-failed"}
        """Whether anything but a failure to connect is ever followed by another attempt."""
        self._rules = rules
        self._on = frozenset(rules.on)
        self._tokens = float(rules.burst)

    def begun(self) -> None:
        """A call begins: its share goes to the budget."""
        self._tokens = min(self._tokens + self._rules.budget, self._rules.burst)

    def keeps(self, body: Body) -> bool:
        """Whether a request body is to be kept whole, so that it can be sent again."""
        return body.held is None and body.length is not None and body.length <= self._rules.keep_body

    def wants(self, status: int) -> bool:
        """Whether an answer with this status counts as a failure."""
        return status in self._on

    def verdict(
        self, request: Outbound, kind: str | int, attempt: int, due: Due | None, *, unsure: bool = False
    ) -> str:
        """Return :data:`AGAIN`, which takes from the budget, or why there is no other attempt, in words.

        ``kind`` is the status of the answer, or how the attempt ended; ``aborted`` ones are nothing to try again. One
        is ``unsure`` where no connection seems to have come about, and nobody knows that nothing was done.
        """
        body = request.body
        if kind not in self._on:
            return f"not tried again: {kind} is not in retry.on" if kind != "aborted" else ""
        if attempt >= self.max_tries:
            return "not tried again: max_tries is reached" if self.max_tries > 1 else ""
        if due is not None and due.at <= asyncio.get_running_loop().time():
            return "not tried again: the time is up"
        rules = self._rules
        keyed = rules.idempotency_key and request.headers.get("idempotency-key")
        harmless = request.method in rules.methods or keyed
        if kind == "connect-failed" and (harmless or not unsure):
            return "not tried again: the body was not kept" if body.spent else AGAIN  # TLS 1.3 may tell it that late
        if not harmless:
            return f"not tried again: {request.method} may do harm twice"
        if not (body.replayable or body.empty):
            return "not tried again: the body was not kept"
        if self._tokens < 1:
            return "not tried again: the budget is used up"
        self._tokens -= 1
        return AGAIN

    async def pause(self, attempt: int, due: Due | None) -> None:
        """Wait before the attempt after this one; never longer than there is time."""
        seconds = self._rules.delay * 2 ** (attempt - 1)
        if seconds <= 0:
            return
        seconds *= random.uniform(0.5, 1.0)  # noqa: S311 - it only keeps callers from coming back all at once
        loop, signal = asyncio.get_running_loop(), Signal()
        if due is not None:
            seconds = min(seconds, max(due.at - loop.time(), 0.0))
        timer = loop.call_later(seconds, signal.set)
        try:
            await signal
        finally:
            timer.cancel()


IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")
"""Methods that may be sent twice (RFC 9110, 9.2.2)."""


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

    on: Failures = ("connect-failed",)
    """Failures (`connect-failed`, `timeout`, `broken`) and status codes of answers (`502`, `503`, …). Codes of
    transport errors, `101500` to `101510`, are taken for the failures that they stand for."""
    methods: Annotated[tuple[str, ...], AfterValidator(_methods)] = IDEMPOTENT
    """Methods that are sent again after something was sent."""
    idempotency_key: bool = True
    """Whether a call of any method that has an `Idempotency-Key` header may be sent again, too."""
    budget: float = Field(default=0.2, ge=0, le=1)
    """Share of the calls that may be sent again after something was sent, so that a backend in trouble does not get
    more calls than ever."""
    burst: int = Field(default=10, ge=1, le=10_000)
    """Calls that may be sent again at once, beyond that share."""
    delay: Duration = Field(default=0.0, ge=0, le=60)
    """Seconds before the second attempt, twice as many before each one after it; half of that is left to chance."""
    keep_body: int = Field(default=65_536, ge=0)
    """Bytes of a request body that are kept so that it can be sent again; a longer one is sent once."""
