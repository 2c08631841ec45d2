"""Which hook ran when, what it decided, and the difference it made: recorded around the hooks of a compiled flow.

A traced call takes a flow of its own, compiled from the same steps, whose hooks write into ``exchange.trace``. A call
that is not traced runs none of this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hookgate import Body, Exchange, Fault, Headers, Response
from hookgate.flow import Flow, Step
from hookgate_trace.masking import masked

if TYPE_CHECKING:
    from hookgate_trace.trace import Trace

Phase = Literal["request", "response", "fault", "done"]
Fact = str | int | None

_PHASES: dict[str, Phase] = {
    "on_request": "request",
    "on_response": "response",
    "on_fault": "fault",
    "on_done": "done",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference that a hook made; secrets are masked."""

    what: str
    """``request.method``, ``request.headers.accept``, ``request.body``, ``identity``, ``response.status`` and so on."""
    before: Fact
    """``None`` for what was not there."""
    after: Fact
    """``None`` for what is there no more."""


@dataclass(frozen=True, slots=True)
class HookRun:
    """One hook that ran, or that was skipped by a condition."""

    phase: Phase
    hook: str
    """``on_request``, ``choose`` and so on; ``when`` for a condition."""
    step: str
    """Id of the step."""
    plugin: str
    """Name of the plugin, as in the document."""
    depth: int
    """How many branches the step stands in."""
    microseconds: int
    decision: str
    """``passed``, ``answered 429``, ``raised rate-limited``, ``skipped: condition false`` or ``branch: then``."""
    changes: list[Change] = field(default_factory=list)
    origin: str = ""
    """The scope that the step comes from, where it is one of an API's (FL-32)."""
    at: float = 0.0
    """Seconds from the beginning of the trace until the hook began."""
    callouts: int = 0
    """Calls to others that it began."""


def attach(flow: Flow, depth: int = 0) -> Flow:
    """Have the hooks of a flow, and of the branches in it, write into the trace of each call; return the flow, which
    must be one that nothing else uses.
    """
    for step in flow.steps:
        for hook in list(step.hooks()):
            setattr(step, hook, _around(step, hook, depth))
        if step.condition is not None:
            step.condition = _around_condition(step, step.condition, depth)
        for nested in (step.branches or {}).values():
            attach(nested, depth + 1)
    return flow


def _around(step: Step, hook: str, depth: int) -> Callable[[Exchange], Any]:
    original = getattr(step, hook)

    def sync(exchange: Exchange) -> Any:
        run = _Run(step, hook, depth, exchange)
        try:
            result = original(exchange)
        except BaseException as error:
            run.raised(error)
            raise
        run.returned(result)
        return result

    async def asynchronous(exchange: Exchange) -> Any:
        run = _Run(step, hook, depth, exchange)
        try:
            result = await original(exchange)
        except BaseException as error:
            run.raised(error)
            raise
        run.returned(result)
        return result

    return asynchronous if step.is_async.get(hook) else sync


def _around_condition(step: Step, condition: Callable[[Exchange], Any], depth: int) -> Any:
    """Record a condition where it is news: when it keeps the step from running."""

    def asked(exchange: Exchange) -> Any:
        run = _Run(step, "when", depth, exchange)
        try:
            holds = condition(exchange)
        except BaseException as error:
            run.raised(error)
            raise
        if not holds:
            run.ended("skipped: condition false")
        return holds

    return asked


@dataclass(slots=True)
class Raw:
    """One hook that ran, with what there was before and after it, unmasked."""

    run: HookRun
    before: _State
    after: _State

    def shown(self, trace: Trace) -> HookRun:
        """Return it with the differences, as they may be shown."""
        self.run.changes[:] = _changes(self.before, self.after, trace)
        return self.run


class _Run:
    """A hook that is running."""

    def __init__(self, step: Step, hook: str, depth: int, exchange: Exchange) -> None:
        self._step, self._hook, self._depth, self._exchange = step, hook, depth, exchange
        self._phase = _PHASES.get(hook) or _phase_of_question(step, exchange)
        self._before = _State(exchange, exchange.response)
        self._callouts = len(exchange.callouts)
        self._at = exchange.trace.now()
        self._began = time.perf_counter_ns()

    def raised(self, error: BaseException) -> None:
        if isinstance(error, Fault):
            self.ended(f"raised {error.reason}")
        elif isinstance(error, asyncio.CancelledError):
            self.ended("cancelled")
        else:
            self.ended(f"raised {type(error).__name__}")

    def returned(self, result: Any) -> None:
        if self._hook == "choose":
            self.ended("no branch" if result is None else f"branch: {result}")
        elif isinstance(result, Response) and self._hook in ("on_request", "on_fault"):
            self.ended(f"answered {result.status}", result)
        else:
            self.ended("passed")

    def ended(self, decision: str, answer: Response | None = None) -> None:
        elapsed = (time.perf_counter_ns() - self._began) // 1000
        exchange, entry = self._exchange, self._step.plugin.entry
        run = HookRun(
            self._phase,
            self._hook,
            self._step.id,
            entry.name,
            self._depth,
            elapsed,
            decision,
            origin=entry.origin,
            at=self._at,
            callouts=len(exchange.callouts) - self._callouts,
        )
        exchange.trace.hooks.append(Raw(run, self._before, _State(exchange, answer or exchange.response)))


def _phase_of_question(step: Step, exchange: Exchange) -> Phase:
    """Tell on which way a condition or a branch is asked: there is no response on the way in, nor amid a fault."""
    if step.enters:
        return "request"
    return "fault" if exchange.response is None else "response"


class _State:
    """What a hook may change, as it is at one moment."""

    def __init__(self, exchange: Exchange, response: Response | None) -> None:
        request, identity = exchange.request, exchange.identity
        self.facts: dict[str, Fact] = {
            "request.method": request.method,
            "request.path": request.path,
            "request.query": request.query or None,
            "request.host": request.host or None,
            "request.scheme": request.scheme,
            "request.client": request.client,
            **_head("request", request.headers),
        }
        self.bodies = {"request.body": _BodyState(request.body)}
        if identity is not None:
            self.facts["identity"] = f"{identity.subject} ({identity.method})" if identity.method else identity.subject
        if response is not None:
            self.facts["response.status"] = response.status
            self.facts.update(_head("response", response.headers))
            self.bodies["response.body"] = _BodyState(response.body)


class _BodyState:
    """A body at one moment. It holds on to the objects, so that a new one is never taken for the old one."""

    def __init__(self, body: Body) -> None:
        self.body = body
        # Whether a body came whole with its head is chance, so one that nobody has asked for is told as a stream.
        self.held = body.held if body.arrived else None
        self.data = body.held if not body.arrived else None
        self.changed = body.changed
        self.maps = len(body._feeds)
        if self.data is not None or (body.length is not None and not self.maps and not (body.arrived and body.changed)):
            self.size = f"{body.length} bytes"
        else:
            self.size = "a stream of unknown length"

    def told(self, what: str, trace: Trace) -> str:
        """Say how long it is, and where it is there as text, how it begins."""
        text = trace.body(what, self.data) if self.data else None
        return self.size if text is None else f"{self.size}: {text}"

    def became(self, other: _BodyState) -> bool:
        """Whether a hook put something else here; reading a body whole changes nothing."""
        if self.body is not other.body:
            return not (self.body.empty and other.body.empty)
        if self.data is not None and other.data is not None:
            return self.data != other.data
        if self.held is not None:
            return self.held is not other.held if other.data is None else self.held != other.data
        return self.maps != other.maps or self.changed != other.changed


def _head(side: str, headers: Headers) -> dict[str, Fact]:
    """Return the fields of a head by name, lines of one name together."""
    found: dict[str, Fact] = {}
    for name, value in headers.items():
        key = f"{side}.headers.{name}"
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _changes(before: _State, after: _State, trace: Trace) -> Iterator[Change]:
    for what in dict.fromkeys([*before.facts, *after.facts]):
        old, new = before.facts.get(what), after.facts.get(what)
        if old != new:
            yield Change(what, _shown(what, old, trace), _shown(what, new, trace))
    for what, body in after.bodies.items():
        was = before.bodies.get(what)
        if was is None:
            if not body.body.empty:
                yield Change(what, None, body.told(what, trace))
        elif was.became(body):
            yield Change(what, was.told(what, trace), body.told(what, trace))


def _shown(what: str, fact: Fact, trace: Trace) -> Fact:
    if not isinstance(fact, str):
        return fact
    if what == "request.query":
        return trace.query(fact)
    shown: Fact = trace.fact(what, fact)
    return masked(what.rpartition(".")[2], fact) if ".headers." in what and shown == fact else shown
