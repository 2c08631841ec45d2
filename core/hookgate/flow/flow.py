"""The walk of a call through its interceptors: compiled at load, walked at run.

A flow is drawn with the client on the left and the backend on the right. Requests walk it left to right, responses and
faults right to left. Which of its hooks an interceptor has is found once (``hooks.py``, with pluggy checking every
signature); what remains at run is a tuple of steps with bound methods.

The fault rule: a fault turns into a response where it happened and then travels left like any other. Steps to the left
of the failure get ``on_fault``, right to left, until one answers; if none does, the client gets RFC 9457 problem
details. Then ``on_response`` goes on leftwards.

What a hook returns and leaves behind is looked at when the step is left (``standing.py``): nonsense is the failure of
the step that made it, and the next one finds a whole exchange.

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
but in the backend it is given, so it can be driven without an event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from inspect import isawaitable, iscoroutine
from typing import Any

from hookgate.contract.steps import Branch, FlowOptions, Interceptor, Ways
from hookgate.exchange.bodies import MARKS, Body
from hookgate.exchange.errors import Fault
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Response
from hookgate.exchange.outbound import OutcomeKind
from hookgate.exchange.streams import Owner
from hookgate.exchange.waiting import bounded
from hookgate.flow.failing import as_fault, named
from hookgate.flow.standing import checked, mended, settle, told
from hookgate.flow.step import Step

Backend = Callable[[Exchange], Awaitable[Response]]
"""What stands at the right end of a flow."""

HOOK_TIMEOUT = 30.0
"""Seconds a hook that waits may take unless the document says otherwise."""

ENDED = 2
"""Its hook ran to its end, so that its ``on_done`` runs, and the call came no further."""


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

    __slots__ = ("ends", "hears", "hook_timeout", "is_async", "parts", "size", "steps", "way_in", "way_out")

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
        self.ends: bool = any(
            step.on_done is not None or any(flow.ends for flow in (step.branches or {}).values()) for step in self.steps
        )
        """Whether a step is to be told that a call is over."""
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
            except (Exception, SystemExit) as error:  # noqa: BLE001
                await self._failed(exchange, [], error)
            return exchange.response  # type: ignore[return-value]
        walk = exchange.walk = Walk(self)
        try:
            response = await self._inwards(exchange, walk)
            exchange.response = await backend(exchange) if response is None else response
            exits = _exits(self, walk)
        except (Exception, SystemExit) as error:  # noqa: BLE001
            exits = _exits(self, walk)
            await self._failed(exchange, exits, error)
        while exits:
            step = exits.pop()
            try:
                if step.condition is not None and not self._holds(step, exchange):
                    continue
                if step.branches is not None:
                    exits.extend(self._opened(step, exchange, walk))
                elif step.on_response is not None:
                    if step.keeps_response:
                        await exchange.response.body.read()  # type: ignore[union-attr]
                    if (waiting := self._outwards(step, exchange)) is not None:
                        await waiting
            except (Exception, SystemExit) as error:  # noqa: BLE001
                await self._failed(exchange, exits, error)
        return exchange.response  # type: ignore[return-value]

    async def _inwards(self, exchange: Exchange, walk: Walk) -> Response | None:
        request, identity, marks = exchange.request, exchange.identity, MARKS[0]
        for step in self.way_in:
            if step.condition is not None:
                if step.condition_reads:
                    await exchange.request.body.read()
                if not self._ask(step, "when", step.condition, exchange):
                    continue
            if step.keeps_request:
                await exchange.request.body.read()
            nested = answer = None
            try:
                if step.branches is not None:
                    nested = self._chosen(step, exchange)
                elif step.on_request is not None:
                    answer = step.on_request(exchange)
                    if answer is not None and not isinstance(answer, Response):
                        answer = await self._awaited(answer)
            except BaseException as error:  # noqa: BLE001
                mended(exchange, request, identity)
                raise named(step, "on_request", error)  # noqa: B904 - it brings its cause
            if exchange.request is not request or exchange.identity is not identity or MARKS[0] is not marks:
                if answer is None:
                    walk.passed[step.index] = ENDED
                hook = "on_request" if step.branches is None else "choose"
                settle(exchange, request, identity, None, step, hook, self.hook_timeout)
                request, identity, marks = exchange.request, exchange.identity, MARKS[0]
            if step.branches is None:
                if answer is not None:
                    exchange.answered_by = step.id
                    return checked(answer, step, "on_request", self.hook_timeout)
                if step.on_request is not None:
                    exchange.passed.append(step.id)
                walk.passed[step.index] = 1
            elif nested is not None:
                walk.passed[step.index] = 1
                walk.chosen[step.index] = nested
                response = await nested._inwards(exchange, walk)
                if response is not None:
                    return response
                request, identity, marks = exchange.request, exchange.identity, MARKS[0]
        return None

    def _outwards(self, step: Step, exchange: Exchange) -> Awaitable[None] | None:
        """Call ``on_response``; return what has to be awaited, if anything has."""
        request, identity, marks = exchange.request, exchange.identity, MARKS[0]
        response: Response = exchange.response  # type: ignore[assignment]
        body = response.body
        try:
            result = step.on_response(exchange)
        except BaseException as error:  # noqa: BLE001
            _undo(exchange, request, identity, response, body)
            raise named(step, "on_response", error)  # noqa: B904 - it brings its cause
        if (
            result is None
            and exchange.response is response
            and exchange.request is request
            and exchange.identity is identity
            and MARKS[0] is marks
        ):
            return None
        return self._left(step, exchange, request, identity, response, body, result)

    async def _left(
        self, step: Step, exchange: Exchange, request: Any, identity: Any, response: Response, body: Body, result: Any
    ) -> None:
        """Wait for an ``on_response`` that waits, and look at what it has left."""
        try:
            if result is not None and (result := await self._awaited(result)) is not None:
                what = f"it returned a {type(result).__name__}; it changes exchange.response, and returns nothing"
                raise TypeError(what)
            settle(exchange, request, identity, response, step, "on_response", self.hook_timeout)
        except BaseException as error:  # noqa: BLE001
            _undo(exchange, request, identity, response, body)
            raise named(step, "on_response", error)  # noqa: B904 - it brings its cause
        if exchange.response.body is not body:  # type: ignore[union-attr]
            await body.close()

    async def _failed(self, exchange: Exchange, exits: list[Step], error: BaseException) -> None:
        """Turn a failure into a response: the first one that a step left of it gives, or problem details."""
        abandoned, exchange.response = exchange.response, None
        exchange.fault = as_fault(error)
        if abandoned is not None:
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
                    answer = await self._asked(step, exchange)
                    if answer is not None:
                        exchange.response = answer
                        exchange.answered_by = step.id
                        return
            except (Exception, SystemExit) as replacement:  # noqa: BLE001
                exchange.fault = as_fault(replacement)
            position -= 1
        fault, exchange.response = told(exchange.fault)
        if fault is not exchange.fault:
            exchange.fault = as_fault(fault)

    async def _asked(self, step: Step, exchange: Exchange) -> Response | None:
        """Call ``on_fault``, and look at what it has left."""
        request, identity, fault = exchange.request, exchange.identity, exchange.fault
        try:
            answer = step.on_fault(exchange)
            if answer is not None and not isinstance(answer, Response):
                answer = await self._awaited(answer)
            settle(exchange, request, identity, None, step, "on_fault", self.hook_timeout)
            if not isinstance(exchange.fault, Fault):
                raise TypeError(f"it left a {type(exchange.fault).__name__} as exchange.fault")
        except BaseException as error:  # noqa: BLE001
            mended(exchange, request, identity)
            exchange.fault, exchange.response = fault, None
            raise named(step, "on_fault", error)  # noqa: B904 - it brings its cause
        exchange.response = None
        return None if answer is None else checked(answer, step, "on_fault", self.hook_timeout)

    def _holds(self, step: Step, exchange: Exchange) -> bool:
        """Whether the condition of a step that stands on the way out only holds; others were settled on the way in."""
        return step.enters or step.condition is None or bool(self._ask(step, "when", step.condition, exchange))

    def _opened(self, step: Step, exchange: Exchange, walk: Walk) -> list[Step]:
        """Enter a branch that stands on the way out only."""
        request, identity, response = exchange.request, exchange.identity, exchange.response
        try:
            nested = self._chosen(step, exchange)
        except BaseException:
            mended(exchange, request, identity, response)
            raise
        settle(exchange, request, identity, response, step, "choose", self.hook_timeout)
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
        if iscoroutine(name):
            name.close()
        if not isinstance(name, str) or name not in step.branches:
            raise Owner(step.id, "choose").failed(f"named {name!r}, which is none of {sorted(step.branches)}")
        nested: Flow = step.branches[name]
        return nested

    @staticmethod
    def _ask(step: Step, hook: str, question: Any, exchange: Exchange) -> Any:
        try:
            return question(exchange)
        except BaseException as error:  # noqa: BLE001
            raise named(step, hook, error)  # noqa: B904 - it brings its cause

    async def _awaited(self, result: Any) -> Any:
        """Wait for what a hook returned, be it an ``async`` one or one that has something to wait for this time."""
        if isawaitable(result):
            result = await bounded(result, self.hook_timeout)
            if iscoroutine(result):
                result.close()
                raise TypeError("it returned a coroutine that returned another one")
        return result


def finish(exchange: Exchange, outcome: OutcomeKind) -> None:
    """End a call: run ``on_done`` of every step that let it pass, right to left. A second call does nothing."""
    if exchange._started is not None:
        exchange.let_go()
    walk: Walk | None = exchange.walk
    if walk is None or walk.done:
        return
    walk.done = True
    exchange.outcome = outcome
    if walk.flow.ends:
        _done(walk.flow, walk, exchange)


def _done(flow: Flow, walk: Walk, exchange: Exchange) -> None:
    request, identity, response = exchange.request, exchange.identity, exchange.response
    for step in reversed(flow.steps):
        if step.index in walk.chosen:
            _done(walk.chosen[step.index], walk, exchange)
        if step.on_done is not None and (not step.enters or walk.passed[step.index]):
            try:
                result = step.on_done(exchange)
                if result is not None and iscoroutine(result):
                    result.close()
                    raise TypeError("it returned a coroutine, and nothing waits for it")
            except (Exception, SystemExit) as error:  # noqa: BLE001
                as_fault(named(step, "on_done", error))
            other = exchange.request is not request or exchange.response is not response
            if other and (wrong := mended(exchange, request, identity, response)):
                as_fault(Owner(step.id, "on_done").failed(wrong))


def _undo(exchange: Exchange, request: Any, identity: Any, response: Response, body: Body) -> None:
    """A hook has failed on the way out: what it put in the place of the response counts no more."""
    mended(exchange, request, identity, response)
    exchange.response = response
    if response.body is not body:
        response.body = body


def _exits(flow: Flow, walk: Walk) -> list[Step]:
    """The steps that the way out of this call meets, as drawn, with entered branches opened up."""
    exits: list[Step] = []
    for step in flow.way_out:
        if not step.enters:
            exits.append(step)
        elif walk.passed[step.index] == 1:
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


def order(flow: Flow, phase: str) -> Sequence[tuple[Step, int]]:
    """The steps in the order in which a phase runs them, each with the depth of its branch: what ``routes`` shows."""
    way = flow.way_in if phase == "request" else tuple(reversed(flow.way_out))
    found: list[tuple[Step, int]] = []
    for step in way:
        if step.branches is not None:
            found.append((step, 0))
            for nested in step.branches.values():
                found.extend((inner, depth + 1) for inner, depth in order(nested, phase))
        elif step.on_message or (step.on_request if phase == "request" else step.on_response or step.on_fault):
            found.append((step, 0))
    return found
