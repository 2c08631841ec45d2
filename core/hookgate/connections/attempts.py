"""How one attempt at a target ends, and what that says of the target."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable

from hookgate.contract.clock import Clock
from hookgate.exchange.errors import BadGateway, ConnectFailed, Fault, GatewayTimeout
from hookgate.exchange.outbound import Attempt, Due, Outcome, OutcomeKind, Target


class Closing:
    """Told once how an attempt ended: when it failed, or when the body of its response is through."""

    __slots__ = ("_clock", "_record", "_tell", "is_sent")

    def __init__(self, record: Attempt, clock: Clock, tell: Callable[[Target, Outcome], None]) -> None:
        self._record = record
        self._clock = clock
        self._tell = tell
        self.is_sent = False
        """Whether the attempt was ready to be sent: nothing before that is the fault of the target."""

    def __call__(self, error: BaseException | None) -> None:
        """Take down the end; only the first one counts."""
        record = self._record
        if record.outcome is None:
            seconds = self._clock.now() - record.started
            kind: OutcomeKind = "ok" if error is None else self._kind(error)
            head = None if record.head_at is None else record.head_at - record.started
            record.outcome = Outcome(kind, record.status, seconds, "" if error is None else str(error), head)
            self._tell(record.target, record.outcome)

    def _kind(self, error: BaseException) -> OutcomeKind:
        """Name a failure: ``aborted`` for whatever is not the target's."""
        kind = outcome_of(error)
        spared = not self.is_sent or getattr(error, "spares_target", False)
        if spared or (kind == "broken" and isinstance(error, Fault) and not isinstance(error, BadGateway)):
            return "aborted"  # no place in the pool, a body of the client that is too long, a plugin that failed
        return kind


def outcome_of(error: BaseException | None) -> OutcomeKind:
    """Name the way an attempt ended by what it ended with."""
    if error is None:
        return "ok"
    if isinstance(error, ConnectFailed):
        return "connect-failed"
    if isinstance(error, GatewayTimeout | TimeoutError):
        return "timeout"
    return "aborted" if isinstance(error, asyncio.CancelledError | GeneratorExit) else "broken"


class Silence(Due):
    """Falls due again and again: so many seconds after somebody has begun to wait for the next chunk."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.fault = lambda: GatewayTimeout("The backend did not answer in time.", reason="read-timeout")

    @property
    def at(self) -> float:  # type: ignore[override]
        """Time of the event loop."""
        return asyncio.get_running_loop().time() + self._seconds


class Until:
    """Passes chunks on until they are due. A class, since closing a generator that was never started would leave the
    source open."""

    __slots__ = ("_began", "_chunks", "_due", "_read", "_since")

    def __init__(self, source: AsyncIterable[bytes], due: Due, before: float = 0.0) -> None:
        """``before`` says how many seconds the attempt has taken up to here."""
        self._chunks = aiter(source)
        self._due = due
        self._since = asyncio.get_running_loop().time()
        self._began = self._since - before
        self._read = 0.0
        """Seconds in which the client read what it had got."""

    def __aiter__(self) -> Until:
        return self

    async def __anext__(self) -> bytes:
        now = asyncio.get_running_loop().time
        asked = now()
        self._read += asked - self._since
        try:
            async with asyncio.timeout_at(self._due.at) as bound:
                return await anext(self._chunks)
        except TimeoutError:
            fault = self._due.fault() if bound.expired() else BadGateway("The backend stopped answering.")
            fault.spares_target = asked >= self._due.at or 2 * self._read >= now() - self._began
            raise fault from None
        finally:
            self._since = now()

    async def aclose(self) -> None:
        """Let go of the source."""
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()
