"""Who records: a flow compiled from the steps of another one, whose hooks write into the trace of each call.

A traced call takes it in the place of the flow of its route. A call that is not traced runs none of this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from hookgate import Exchange, Fault, Response
from hookgate.flow import Backend, Flow, Step
from hookgate_trace.difference import HookRun, Phase, Recorded, State
from hookgate_trace.trace import ASKED, Trace

ID = "X-Hookgate-Trace-Id"
"""Header that names the trace to whoever asked for it."""
_PHASES: dict[str, Phase] = {
    "on_request": "request",
    "on_response": "response",
    "on_fault": "fault",
    "on_done": "done",
}


class TracedFlow(Flow):
    """A flow whose hooks write traces."""

    __slots__ = ()

    def __init__(self, flow: Flow) -> None:
        super().__init__(*flow.parts, hook_timeout=flow.hook_timeout)
        _record(self, 0)

    async def run(self, exchange: Exchange, backend: Backend) -> Response:
        """As :meth:`Flow.run`; who asked for the trace by token is told its id."""
        response = await super().run(exchange, backend)
        trace: Trace = exchange.trace
        trace.name(exchange)
        if trace.reason == ASKED:
            response.headers.set(ID, trace.id)
        return response


def _record(flow: Flow, depth: int) -> None:
    """Put something around the hooks of a flow that nothing else uses, and of the branches in it."""
    for step in flow.steps:
        for hook in list(step.hooks()):
            setattr(step, hook, _around(step, hook, depth))
        if step.condition is not None:
            step.condition = _around_condition(step, step.condition, depth)
        for nested in (step.branches or {}).values():
            _record(nested, depth + 1)


def _around(step: Step, hook: str, depth: int) -> Callable[[Exchange], Any]:
    original = getattr(step, hook)

    def sync(exchange: Exchange) -> Any:
        run = _Run(step, hook, depth, exchange)
        try:
            result = original(exchange)
        except BaseException as error:
            run.raised(error)
            raise
        if isawaitable(result):  # it has to wait this time
            return followed(run, result)
        run.returned(result)
        return result

    async def followed(run: _Run, waiting: Awaitable[Any]) -> Any:
        try:
            result = await waiting
        except BaseException as error:
            run.raised(error)
            raise
        run.returned(result)
        return result

    async def asynchronous(exchange: Exchange) -> Any:
        return await followed(_Run(step, hook, depth, exchange), original(exchange))

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


class _Run:
    """A hook that is running."""

    def __init__(self, step: Step, hook: str, depth: int, exchange: Exchange) -> None:
        self._step, self._hook, self._depth, self._exchange = step, hook, depth, exchange
        self._phase = _PHASES.get(hook) or _phase_of_question(step, exchange)
        self._before = State(exchange, exchange.response)
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
        exchange.trace.hooks.append(Recorded(run, self._before, State(exchange, answer or exchange.response)))


def _phase_of_question(step: Step, exchange: Exchange) -> Phase:
    """Tell on which way a condition or a branch is asked: there is no response on the way in, nor amid a fault."""
    if step.enters:
        return "request"
    return "fault" if exchange.response is None else "response"
