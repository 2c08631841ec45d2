"""The walk of a call through its interceptors: compiled at load, walked at run.

A flow is drawn with the client on the left and the backend on the right. Requests walk it left to right, responses and
faults right to left. Which of its hooks an interceptor has is found once (``hooks.py``, with pluggy checking every
signature); what remains at run is a tuple of steps with bound methods.

The fault rule: a fault turns into a response where it happened and then travels left like any other. Steps to the left
of the failure get ``on_fault``, right to left, until one answers; if none does, the client gets RFC 9457 problem
details. Then ``on_response`` goes on leftwards.

========================================  ===============================  ==========
interceptors a b c                        trace                            status
========================================  ===============================  ==========
all pass                                  ``>a >b >c <c <b <a``            200
b answers early                           ``>a >b <a``                     b's
c fails in on_request                     ``>a >b >c !b !a <b <a``         500
same, b claims the fault                  ``>a >b >c !b <b <a``            b's
c fails in on_response                    ``>a >b >c <c !b !a <b <a``      500
b early, x and y stand on the way out     ``>a >b <y <x <a``               b's
========================================  ===============================  ==========

A step without a way in sees every answer and every fault. If an ``on_request`` ran to its end and let the call pass,
its ``on_done`` runs exactly once.

The walk does no I/O of its own and is written once, as a coroutine: a flow whose hooks are all sync suspends nowhere
but in the backend it is given, so it can be driven without an event loop (:func:`drive`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from inspect import iscoroutine
from typing import Any, TypeVar

from hookgate.contract.steps import Branch, FlowOptions, Interceptor, Ways
from hookgate.exchange.errors import Fault, PluginError
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Response
from hookgate.exchange.outbound import OutcomeKind
from hookgate.flow.step import Step

log = logging.getLogger("hookgate.flow")

Backend = Callable[[Exchange], Awaitable[Response]]
"""What stands at the right end of a flow."""

HOOK_TIMEOUT = 30.0
"""Seconds an ``async`` hook may take unless the document says otherwise."""

T = TypeVar("T")


class Walk:
    """Where one call is in its flow."""

    __slots__ = ("chosen", "done", "flow", "passed")

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.passed = bytearray(flow.size)
        self.chosen: dict[int, Flow] = {}
        self.done = False


class Flow:
    """A compiled flow. ``parts`` are its scopes from the outside in: the gateway's, the route's (FL-4).

    A branch that stands on the way out only has no way in for what it contains either (``way_in``).
    """

    __slots__ = ("hears", "hook_timeout", "is_async", "parts", "size", "steps", "way_in", "way_out")

    def __init__(
        self, *parts: FlowOptions | Ways, hook_timeout: float = HOOK_TIMEOUT, first_index: int = 0, way_in: bool = True
    ) -> None:
        self.parts = parts
        self.hook_timeout = hook_timeout
        self.size = first_index
        inwards: list[Step] = []
        outwards: list[Step] = []
        self.steps: list[Step] = []
        for part in parts:
            self._place_ways(part.ways(way_in=way_in), inwards, outwards)
        self.way_in = tuple(inwards)
        """Steps of the way in, as drawn, which is also the order they run in."""
        self.way_out = tuple(outwards)
        """Steps of the way out, as drawn; they run from the right."""
        self.is_async: bool = any(
            any(step.is_async[name] for name in step.hooks())
            or any(flow.is_async for flow in (step.branches or {}).values())
            for step in self.steps
        )
        """Whether any hook needs an event loop; a flow of sync hooks can be driven inline."""
        self.hears: bool = any(
            step.on_message is not None or any(flow.hears for flow in (step.branches or {}).values())
            for step in self.steps
        )
        """Whether a step may see messages of a WebSocket."""

    def _place_ways(self, ways: Ways, inwards: list[Step], outwards: list[Step]) -> None:
        back = {key for key, _ in ways.way_out}
        placed: dict[str, Step] = {}
        for key, plugin in ways.way_in:
            placed[key] = step = self._place(plugin, way_in=True, way_out=key in back)
            inwards.append(step)
        for key, plugin in ways.way_out:
            outwards.append(placed.get(key) or self._place(plugin, way_in=False, way_out=True))

    def _place(self, plugin: Interceptor[Any], *, way_in: bool, way_out: bool) -> Step:
        step = Step(plugin, self.size, way_in=way_in, way_out=way_out)
        self.size += 1
        if isinstance(plugin, Branch):
            step.branches = {}
            for name, options in plugin.branches.items():
                nested = Flow(options, hook_timeout=self.hook_timeout, first_index=self.size, way_in=way_in)
                step.branches[name] = nested
                self.size = nested.size
        self.steps.append(step)
        return step

    # --- the walk ---------------------------------------------------------------------------------------------------

    async def run(self, exchange: Exchange, backend: Backend) -> Response:
        """Take a call through the flow and return what the client gets. Raises nothing but a cancellation.

        Whoever calls this calls :func:`finish` afterwards, in a ``finally``.
        """
        if not self.steps:
            try:
                exchange.response = await backend(exchange)
            except Exception as error:  # noqa: BLE001
                await self._failed(exchange, [], error)
            return exchange.response  # type: ignore[return-value]
        walk = exchange.walk = Walk(self)
        try:
            response = await self._inwards(exchange, walk)
            exchange.response = await backend(exchange) if response is None else response
            exits = _exits(self, walk)
        except Exception as error:  # noqa: BLE001
            exits = _exits(self, walk)
            await self._failed(exchange, exits, error)
        while exits:
            step = exits.pop()
            try:
                if step.condition is not None and not self._holds(step, exchange):
                    continue
                if step.branches is not None:
                    exits.extend(self._opened(step, exchange, walk))
                elif step.late_response:
                    await self._outwards(step, exchange)
                elif step.on_response is not None and (waiting := self._outwards_now(step, exchange)):
                    for each in waiting:
                        await each
            except Exception as error:  # noqa: BLE001
                await self._failed(exchange, exits, error)
        assert exchange.response is not None
        return exchange.response

    async def _inwards(self, exchange: Exchange, walk: Walk) -> Response | None:
        for step in self.way_in:
            if step.condition is not None:
                if step.condition_reads:
                    await exchange.request.body.read()
                if not self._ask(step, "when", step.condition, exchange):
                    continue
            if step.branches is not None:
                if step.keeps_request:
                    await exchange.request.body.read()
                nested = self._chosen(step, exchange)
                if nested is not None:
                    walk.passed[step.index] = 1
                    walk.chosen[step.index] = nested
                    response = await nested._inwards(exchange, walk)
                    if response is not None:
                        return response
                continue
            if step.on_request is not None:
                if step.late_request:
                    if step.keeps_request:
                        await exchange.request.body.read()
                    answer = await self._call(step, "on_request", exchange)
                else:
                    answer = self._call_now(step, "on_request", step.on_request, exchange)
                if answer is not None:
                    exchange.answered_by = step.id
                    return _response_of(step, "on_request", answer)
                exchange.passed.append(step.id)
            walk.passed[step.index] = 1
        return None

    async def _outwards(self, step: Step, exchange: Exchange) -> None:
        before = exchange.response
        assert before is not None
        body = before.body
        if step.keeps_response:
            await body.read()
        await self._call(step, "on_response", exchange)
        after = _response_of(step, "on_response", exchange.response)
        if after.body is not body:
            await body.close()

    def _outwards_now(self, step: Step, exchange: Exchange) -> Sequence[Awaitable[None]]:
        """As :meth:`_outwards`, for a hook that waits for nothing; return what has to be awaited afterwards."""
        before = exchange.response
        assert before is not None
        body = before.body
        self._call_now(step, "on_response", step.on_response, exchange)
        after = exchange.response
        if after is not before:
            after = _response_of(step, "on_response", after)
        return () if after.body is body else body.let_go()

    async def _failed(self, exchange: Exchange, exits: list[Step], error: Exception) -> None:
        """Turn a failure into a response: the first one that a step left of it gives, or problem details."""
        abandoned, exchange.response = exchange.response, None
        exchange.fault = as_fault(error)
        if isinstance(abandoned, Response):
            await abandoned.body.close(asyncio.CancelledError())  # the backend is not to blame
        position = len(exits) - 1
        while position >= 0:
            step = exits[position]
            try:
                if step.branches is not None and self._holds(step, exchange):
                    inside = self._opened(step, exchange, exchange.walk)
                    if inside:
                        exits[position : position + 1] = inside
                        position += len(inside) - 1
                        continue
                elif step.on_fault is not None and self._holds(step, exchange):
                    answer = await self._call(step, "on_fault", exchange)
                    if answer is not None:
                        exchange.response = _response_of(step, "on_fault", answer)
                        exchange.answered_by = step.id
                        return
            except Exception as replacement:  # noqa: BLE001
                exchange.fault = as_fault(replacement)
            position -= 1
        try:
            exchange.response = Response.problem(exchange.fault)
        except ValueError as unsendable:  # a fault with a header that would smuggle a line
            exchange.fault = as_fault(PluginError(str(unsendable)))
            exchange.response = Response.problem(exchange.fault)

    def _holds(self, step: Step, exchange: Exchange) -> bool:
        """Whether the condition of a step that stands on the way out only holds; others were settled on the way in."""
        return step.enters or step.condition is None or bool(self._ask(step, "when", step.condition, exchange))

    def _opened(self, step: Step, exchange: Exchange, walk: Walk) -> list[Step]:
        """Enter a branch that stands on the way out only."""
        nested = self._chosen(step, exchange)
        if nested is None:
            return []
        walk.chosen[step.index] = nested
        walk.passed[step.index] = 1
        return _exits(nested, walk)

    def _chosen(self, step: Step, exchange: Exchange) -> Flow | None:
        assert step.branches is not None
        name = self._ask(step, "choose", step.choose, exchange)
        if name is None:
            return None
        if name not in step.branches:
            raise _failure(step, "choose", f"named {name!r}, which is none of {sorted(step.branches)}")
        nested: Flow = step.branches[name]
        return nested

    @staticmethod
    def _ask(step: Step, hook: str, question: Any, exchange: Exchange) -> Any:
        try:
            return question(exchange)
        except Fault:
            raise
        except Exception as error:
            raise _failure(step, hook, error) from error

    @staticmethod
    def _call_now(step: Step, name: str, hook: Callable[[Exchange], Any], exchange: Exchange) -> Any:
        """Call a hook that waits for nothing."""
        try:
            result = hook(exchange)
        except Fault:
            raise
        except Exception as error:
            raise _failure(step, name, error) from error
        if result is not None and iscoroutine(result):
            result.close()
            raise _failure(step, name, "returned a coroutine; write it as `async def`")
        return result

    async def _call(self, step: Step, hook: str, exchange: Exchange) -> Any:
        try:
            result = getattr(step, hook)(exchange)
            if step.is_async[hook]:
                result = await self._bounded(step, hook, result)
        except Fault:
            raise
        except Exception as error:
            raise _failure(step, hook, error) from error
        if iscoroutine(result):
            result.close()
            raise _failure(step, hook, "returned a coroutine; write it as `async def`")
        return result

    async def _bounded(self, step: Step, hook: str, coroutine: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self.hook_timeout) as bound:
                return await coroutine
        except TimeoutError as error:
            if bound.expired():
                raise _failure(step, hook, f"took longer than {self.hook_timeout:g} s") from error
            raise


def finish(exchange: Exchange, outcome: OutcomeKind) -> None:
    """End a call: run ``on_done`` of every step that let it pass, right to left. A second call does nothing."""
    if exchange._started is not None:
        exchange.let_go()
    walk: Walk | None = exchange.walk
    if walk is None or walk.done:
        return
    walk.done = True
    exchange.outcome = outcome
    _done(walk.flow, walk, exchange)


def _done(flow: Flow, walk: Walk, exchange: Exchange) -> None:
    for step in reversed(flow.steps):
        if step.index in walk.chosen:
            _done(walk.chosen[step.index], walk, exchange)
        if step.on_done is not None and (not step.enters or walk.passed[step.index]):
            try:
                step.on_done(exchange)
            except Exception as error:  # noqa: BLE001
                as_fault(_failure(step, "on_done", error))


def _exits(flow: Flow, walk: Walk) -> list[Step]:
    """The steps that the way out of this call meets, as drawn, with entered branches opened up."""
    exits: list[Step] = []
    for step in flow.way_out:
        if not step.enters:
            exits.append(step)
        elif walk.passed[step.index]:
            if step.branches is not None:
                exits.extend(_exits(walk.chosen[step.index], walk))
            else:
                exits.append(step)
    return exits


def hearers(exchange: Exchange) -> tuple[Sequence[Step], Sequence[Step]]:
    """The steps that see the messages of this call's WebSocket: those from the client and those from the backend, each
    in the order of their way."""
    walk: Walk | None = exchange.walk
    if walk is None or not walk.flow.hears:
        return (), ()
    return list(_heard_in(walk.flow, walk)), list(_heard_out(walk.flow, walk, exchange))[::-1]


def _heard_in(flow: Flow, walk: Walk) -> Iterator[Step]:
    for step in flow.way_in:
        if not walk.passed[step.index]:
            continue
        if step.branches is not None:
            yield from _heard_in(walk.chosen[step.index], walk)
        elif step.on_message is not None:
            yield step


def _heard_out(flow: Flow, walk: Walk, exchange: Exchange) -> Iterator[Step]:
    for step in flow.way_out:
        if step.branches is not None:
            if step.index in walk.chosen:
                yield from _heard_out(walk.chosen[step.index], walk, exchange)
        elif step.on_message is not None and (walk.passed[step.index] if step.enters else flow._holds(step, exchange)):
            yield step


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never really waits, without an event loop.

    Raises:
        RuntimeError: it waited after all.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("this flow waits for something and needs an event loop")


def as_fault(error: BaseException) -> Fault:
    """Make any failure a fault; what a stranger must not read goes to the log, with the author's own frames only."""
    if isinstance(error, PluginError):
        cause = error.__cause__
        log.error(
            "plugin %s failed in %s: %s",
            error.plugin or "?",
            error.hook or "?",
            error.detail,
            exc_info=(type(cause), cause, _authors_frames(cause)) if cause is not None else None,
        )
        return error
    if isinstance(error, Fault):
        return error
    log.error("the gateway failed while it handled a call", exc_info=error)
    return PluginError(str(error))


def _failure(step: Step, hook: str, what: object) -> PluginError:
    detail = f"{type(what).__name__}: {what}" if isinstance(what, BaseException) else str(what)
    return PluginError(detail, plugin=step.id, hook=hook)


def _response_of(step: Step, hook: str, value: object) -> Response:
    if not isinstance(value, Response):
        raise _failure(step, hook, f"left a {type(value).__name__} where a Response was expected")
    return value


def _authors_frames(error: BaseException) -> Any:
    """Leave out the frames of this module, so that a plugin's author sees only their own."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        if traceback.tb_frame.f_code.co_filename != __file__:
            break
        traceback = traceback.tb_next
    return traceback


def order(flow: Flow, phase: str) -> Sequence[tuple[Step, int]]:
    """The steps in the order in which a phase runs them, each with the depth of its branch: what ``routes`` shows."""
    way = flow.way_in if phase == "request" else tuple(reversed(flow.way_out))
    found: list[tuple[Step, int]] = []
    for step in way:
        if step.branches is not None:
            found.append((step, 0))
            for nested in step.branches.values():
                found.extend((inner, depth + 1) for inner, depth in order(nested, phase))
        elif (step.on_request if phase == "request" else step.on_response or step.on_fault) is not None:
            found.append((step, 0))
    return found
