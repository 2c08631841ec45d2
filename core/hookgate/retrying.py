"""Whether an attempt that failed is followed by another one, and what to say if it is not."""

from __future__ import annotations

import asyncio
import random

from hookgate.bodies import Body
from hookgate.exchange import Due
from hookgate.messages import Request
from hookgate.retryconfig import RetrySection
from hookgate.waiting import Signal

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

    def verdict(self, request: Request, body: Body, kind: str | int, attempt: int, due: Due | None) -> str:
        """Return :data:`AGAIN`, which takes from the budget, or why there is no other attempt, in words.

        ``kind`` is the status of the answer, or how the attempt ended; ``aborted`` ones are nothing to try again.
        """
        if kind not in self._on:
            return f"not tried again: {kind} is not in retry.on" if kind != "aborted" else ""
        if attempt >= self.max_tries:
            return "not tried again: max_tries is reached" if self.max_tries > 1 else ""
        if due is not None and due.at <= asyncio.get_running_loop().time():
            return "not tried again: the time is up"
        if kind == "connect-failed":
            return AGAIN
        rules = self._rules
        if request.method not in rules.methods and not (
            rules.idempotency_key and request.headers.get("idempotency-key")
        ):
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
