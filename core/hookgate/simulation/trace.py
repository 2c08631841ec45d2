"""Which hook ran when, what it decided, and the difference it made: recorded around the hooks of a compiled flow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from hookgate.bodies import Body
from hookgate.errors import Fault
from hookgate.exchange import Exchange
from hookgate.flow import Flow
from hookgate.messages import Headers, Response
from hookgate.simulation.masking import masked, masked_query
from hookgate.step import Step

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


class Recorder:
    """Puts itself around the hooks of flows and keeps what happened, in order."""

    def __init__(self) -> None:
        self.runs: list[HookRun] = []

    def attach(self, flow: Flow, depth: int = 0) -> None:
        """Record the hooks of a flow and of the branches in it. The flow must be one that nothing else uses."""
        for step in flow.steps:
            for hook in step.hooks():
                setattr(step, hook, self._around(step, hook, depth))
            if step.condition is not None:
                step.condition = self._around_condition(step, step.condition, depth)
            for nested in (step.branches or {}).values():
                self.attach(nested, depth + 1)

    def _around(self, step: Step, hook: str, depth: int) -> Callable[[Exchange], Any]:
        original = getattr(step, hook)

        def sync(exchange: Exchange) -> Any:
            run = _Run(step, hook, depth, exchange)
            try:
                result = original(exchange)
            except BaseException as error:
                self.runs.append(run.raised(error))
                raise
            self.runs.append(run.returned(result))
            return result

        async def asynchronous(exchange: Exchange) -> Any:
            run = _Run(step, hook, depth, exchange)
            try:
                result = await original(exchange)
            except BaseException as error:
                self.runs.append(run.raised(error))
                raise
            self.runs.append(run.returned(result))
            return result

        return asynchronous if step.is_async.get(hook) else sync

    def _around_condition(self, step: Step, condition: Callable[[Exchange], Any], depth: int) -> Any:
        """Record a condition where it is news: when it keeps the step from running."""

        def asked(exchange: Exchange) -> Any:
            run = _Run(step, "when", depth, exchange)
            try:
                holds = condition(exchange)
            except BaseException as error:
                self.runs.append(run.raised(error))
                raise
            if not holds:
                self.runs.append(run.ended("skipped: condition false"))
            return holds

        return asked


class _Run:
    """A hook that is running."""

    def __init__(self, step: Step, hook: str, depth: int, exchange: Exchange) -> None:
        self._step, self._hook, self._depth, self._exchange = step, hook, depth, exchange
        self._phase = _PHASES.get(hook) or _phase_of_question(step, exchange)
        self._before = _State(exchange, exchange.response)
        self._began = time.perf_counter_ns()

    def raised(self, error: BaseException) -> HookRun:
        if isinstance(error, Fault):
            return self.ended(f"raised {error.reason}")
        if isinstance(error, asyncio.CancelledError):
            return self.ended("cancelled")
        return self.ended(f"raised {type(error).__name__}")

    def returned(self, result: Any) -> HookRun:
        if self._hook == "choose":
            return self.ended("no branch" if result is None else f"branch: {result}")
        if isinstance(result, Response) and self._hook in ("on_request", "on_fault"):
            return self.ended(f"answered {result.status}", result)
        return self.ended("passed")

    def ended(self, decision: str, answer: Response | None = None) -> HookRun:
        elapsed = (time.perf_counter_ns() - self._began) // 1000
        after = _State(self._exchange, answer or self._exchange.response)
        return HookRun(
            self._phase,
            self._hook,
            self._step.id,
            self._step.plugin.entry.name,
            self._depth,
            elapsed,
            decision,
            list(_changes(self._before, after)),
        )


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
        self.data = body.data if body.replayable else None
        self.changed = body.changed
        self.maps = len(body._feeds)
        if body.replayable or (body.length is not None and not self.maps):
            self.size = f"{body.length} bytes"
        else:
            self.size = "a stream of unknown length"

    def became(self, other: _BodyState) -> bool:
        """Whether a hook put something else here; reading a body whole changes nothing."""
        if self.body is not other.body:
            return not (self.body.empty and other.body.empty)
        if self.data is not None and other.data is not None:
            return self.data != other.data
        return self.maps != other.maps or self.changed != other.changed


def _head(side: str, headers: Headers) -> dict[str, Fact]:
    """Return the fields of a head by name, lines of one name together."""
    found: dict[str, Fact] = {}
    for name, value in headers.items():
        key = f"{side}.headers.{name}"
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _changes(before: _State, after: _State) -> Iterator[Change]:
    for what in dict.fromkeys([*before.facts, *after.facts]):
        old, new = before.facts.get(what), after.facts.get(what)
        if old != new:
            yield Change(what, _shown(what, old), _shown(what, new))
    for what, body in after.bodies.items():
        was = before.bodies.get(what)
        if was is None:
            if not body.body.empty:
                yield Change(what, None, body.size)
        elif was.became(body):
            yield Change(what, was.size, body.size)


def _shown(what: str, fact: Fact) -> Fact:
    if not isinstance(fact, str):
        return fact
    if what == "request.query":
        return masked_query(fact)
    return masked(what.rpartition(".")[2], fact) if ".headers." in what else fact
