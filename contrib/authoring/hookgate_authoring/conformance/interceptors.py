"""The checks of interceptors, through a real flow between two neighbours."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from inspect import isawaitable
from typing import Any

from hookgate import Exchange, Fault, Forbidden, Interceptor, Options, Plugin, PluginError, Response, hookimpl
from hookgate.contract import FlowSpec, hooks_of
from hookgate.flow import finish
from hookgate_authoring.conformance import bench
from hookgate_authoring.conformance.guards import Picture, check_result, compare, stale_length
from hookgate_authoring.conformance.messages import Call
from hookgate_authoring.conformance.report import Report
from hookgate_authoring.conformance.watching import Stepped, endless, stretch

HOOKS = ("on_request", "choose", "on_response", "on_fault", "on_done")
ROUNDS = 6
"""Calls after which something that grew with each of them counts as kept."""
POINTS = 8
"""Places of one hook at which it is cancelled, at most."""


class Neighbour(Interceptor[Options]):
    """Stands beside the plugin: refuses when told to, and counts what reaches it."""

    def __init__(self) -> None:
        super().__init__(Options())
        self.refuses = False
        self.seen: Counter[str] = Counter()

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Let pass or refuse."""
        if self.refuses:
            raise Forbidden("A step to the right refuses this call.")

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Count."""
        self.seen["on_response"] += 1

    @hookimpl
    def on_done(self, exchange: Exchange) -> None:
        """Count."""
        self.seen["on_done"] += 1


class Watch:
    """Judges every hook of an instance while calls go through it."""

    def __init__(self, plugin: Plugin[Any], report: Report) -> None:
        self.plugin, self.report = plugin, report
        self.call: Call | None = None
        self.counts: Counter[str] = Counter()
        for name, waits in hooks_of(type(plugin), FlowSpec).items():
            if name in HOOKS:
                setattr(plugin, name, self._around(name, getattr(plugin, name), waits=waits))

    def _around(self, name: str, hook: Any, *, waits: bool) -> Any:
        def begun(exchange: Exchange) -> Picture:
            self.counts[name] += 1
            before = Picture(exchange)
            before.begin()
            return before

        def ended(exchange: Exchange, before: Picture, answer: object, error: BaseException | None = None) -> None:
            if name == "on_request" and error is None and answer is None:
                self.counts["passes"] += 1
            compare(self.plugin, name, before, exchange, self.report, self.call, waits=waits)
            check_result(name, answer, error, self.report, self.call)

        async def later(exchange: Exchange, before: Picture, given: Any) -> Any:
            try:
                answer = await Stepped(given, name)
            except BaseException as error:
                ended(exchange, before, None, error)
                raise
            ended(exchange, before, answer)
            return answer

        def sync(exchange: Exchange) -> Any:
            before = begun(exchange)
            try:
                with stretch(name):
                    given = hook(exchange)
            except BaseException as error:
                ended(exchange, before, None, error)
                raise
            if isawaitable(given):
                return later(exchange, before, given)
            ended(exchange, before, given)
            return given

        async def waiting(exchange: Exchange) -> Any:
            return await later(exchange, begun(exchange), hook(exchange))

        return waiting if waits else sync


async def watched_calls(
    cls: type[Plugin[Any]], options: Mapping[str, Any], calls: Sequence[Call], report: Report
) -> None:
    """Injection, framing, effects, faults and the balance of on_done."""
    async with bench.live(cls, options) as plugin:
        watch = Watch(plugin, report)
        left, right = Neighbour(), Neighbour()
        flow = bench.flow_of(left, plugin, right)
        hooks = hooks_of(cls, FlowSpec)
        for call in calls:
            watch.call, right.refuses = call, call.refused
            watch.counts.clear()
            left.seen.clear()
            exchange = await perform(flow, call, report)
            fault = exchange.fault
            if isinstance(fault, PluginError) and fault.plugin == plugin.entry.id:
                seen = f"ended the call in a 500: {fault.detail}"
                report.add(
                    "faults", fault.hook, seen, "raise a Fault such as BadRequest for input that cannot be used", call
                )
            passes = watch.counts["passes"] if "on_request" in hooks else 1
            if "on_done" in hooks and "choose" not in hooks and watch.counts["on_done"] != passes:
                seen = f"ran {watch.counts['on_done']} times for {passes} calls let pass"
                report.add("pairing", "on_done", seen, "leave calling hooks to the gateway", call)
            if left.seen != Counter(on_response=1, on_done=1):
                seen = f"the step to the left saw {dict(left.seen)}"
                report.add("pairing", cls.__name__, seen, "leave exchange.walk and the flow alone", call)


async def perform(flow: Any, call: Call, report: Report) -> Exchange:
    """Take one call through a flow to its end, and judge the lengths of what leaves it on both sides."""
    exchange = call.exchange()

    async def drained(side: str, headers: Any, body: Any, *, judged: bool = True) -> None:
        promised = body.length
        size = 0
        try:
            async for chunk in body.stream():
                size += len(chunk)
        except Fault:
            return
        except Exception as error:  # noqa: BLE001 - whatever a map of the plugin raises
            seen = f"broke off with {type(error).__name__}: {error}"
            report.add("faults", f"{side}.body", seen, "a map, a sink or a stream that copes with any bytes", call)
            return
        body.length, actual = promised, body.length
        if judged and (wrong := stale_length(headers, body, size)) is not None:
            right = "use body.set or body.map, or make a Body that knows its length or says None"
            report.add("framing", f"{side}.body", wrong, right, call)
        body.length = actual

    async def backend(exchange: Exchange) -> Response:
        if call.fault is not None:
            raise call.fault("The backend is away.")
        await drained("request", exchange.request.headers, exchange.request.body)
        return call.response()

    try:
        response = await asyncio.wait_for(Stepped(flow.run(exchange, backend)), 2 * bench.PATIENCE)
        bodied = call.method != "HEAD" and response.status not in (204, 304)
        await drained("response", response.headers, response.body, judged=bodied)
    except TimeoutError:
        endless("flow", 2 * bench.PATIENCE)
    finally:
        with stretch(""):
            finish(exchange, "ok")
    if isinstance(exchange.fault, PluginError) and f"longer than {bench.PATIENCE:g} s" in str(exchange.fault):
        endless(exchange.fault.hook, bench.PATIENCE)
    return exchange


async def kept_calls(cls: type[Plugin[Any]], options: Mapping[str, Any], calls: Sequence[Call], report: Report) -> None:
    """Nothing is kept of calls that are over, however they ended."""
    grown: dict[str, dict[str, int]] = {}
    call = next((call for call in calls if call.fault is None and not call.refused), Call())
    async with bench.live(cls, options) as plugin:
        flow = bench.flow_of(plugin)
        for kind in ("completed", "aborted before the answer", "aborted in the body"):
            tasks = asyncio.all_tasks()
            sizes: dict[str, int] = {}
            for turn in range(ROUNDS + 2):
                if turn == 2:
                    sizes = bench.kept(plugin)
                if kind == "completed":
                    await perform(flow, call, report)
                else:
                    await bench.stopped(flow, call, in_body=kind == "aborted in the body")
            if left := await bench.left_over(tasks):
                report.add(
                    "pairing", "tasks", f"{kind} calls leave {len(left)} tasks: {left[0]}", "end them in on_done", call
                )
            after = bench.kept(plugin)
            grown[kind] = {name: after[name] - sizes.get(name, 0) for name in after}
    for kind, sizes in grown.items():
        for name, growth in sizes.items():
            if name.endswith("(number)") and growth <= -ROUNDS:
                seen = f"fell by {-growth} in {ROUNDS} {kind} calls"
                report.add("pairing", name, seen, "give back once what on_request took, and only in on_done", call)
            # A number may count calls; one that only aborted calls move is something not given back.
            counts = name.endswith("(number)") and (kind == "completed" or grown["completed"].get(name, 0) != 0)
            if growth >= ROUNDS and not counts:
                seen = f"grew by {growth} in {ROUNDS} {kind} calls"
                report.add("pairing", name, seen, "give back in on_done what on_request took, and bound the rest", call)


async def cancelled_calls(
    cls: type[Plugin[Any]], options: Mapping[str, Any], calls: Sequence[Call], report: Report
) -> None:
    """Each async hook is cancelled wherever it waits."""
    hooks = hooks_of(cls, FlowSpec)
    for name in (hook for hook in HOOKS if hooks.get(hook)):
        async with bench.live(cls, options) as plugin:
            original = getattr(plugin, name)
            left, right = Neighbour(), Neighbour()
            for call in [*calls[:3], *[call for call in calls if call.refused or call.fault][:1]]:
                right.refuses = call.refused
                for point in range(1, POINTS + 1):
                    if any("(lock)" in what and size for what, size in bench.kept(plugin).items()):
                        return
                    if not await _cancelled_at(plugin, name, original, point, call, (left, right), report):
                        break


async def _cancelled_at(
    plugin: Any,
    name: str,
    original: Any,
    point: int,
    call: Call,
    neighbours: tuple[Neighbour, Neighbour],
    report: Report,
) -> bool:
    """Cancel a hook three times at one place; return whether it ever came there."""
    runs: list[bench.Interrupted] = []

    async def interrupted(exchange: Exchange) -> Any:
        runs.append(bench.Interrupted(original(exchange), point))
        return await runs[-1]

    async def backend(exchange: Exchange) -> Response:
        if call.fault is not None:
            raise call.fault("The backend is away.")
        return call.response()

    left, right = neighbours
    before, tasks = bench.kept(plugin), asyncio.all_tasks()
    setattr(plugin, name, interrupted)
    flow = bench.flow_of(left, plugin, right)
    for _ in range(3):
        if runs and any("(lock)" in what and size for what, size in bench.kept(plugin).items()):
            break  # the next call would only wait for it
        exchange = call.exchange()
        task = asyncio.ensure_future(flow.run(exchange, backend))
        await asyncio.wait({task}, timeout=bench.PATIENCE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        finish(exchange, "aborted")
    setattr(plugin, name, original)
    where = f"{name}, cancelled where it waits for the {point}. time"
    if left_tasks := await bench.left_over(tasks):
        right_way = "cancel in a finally the tasks the hook has started, or use asyncio.TaskGroup"
        report.add("cancel", where, f"left tasks running: {left_tasks[0]}", right_way, call)
    if any(run.swallowed for run in runs):
        report.add("cancel", where, "went on although it was cancelled", "let CancelledError through", call)
    for what, size in bench.kept(plugin).items():
        growth = size - before.get(what, 0)
        if "(number)" not in what and (growth >= 3 or ("(lock)" in what and growth > 0)):
            right_way = "hold it in an `async with` or give it back in a finally"
            report.add("cancel", where, f"{what} is held", right_way, call)
            if "(lock)" in what:
                return False
    return any(run.reached for run in runs)


async def isolated(cls: type[Plugin[Any]], options: Mapping[str, Any], calls: Sequence[Call], report: Report) -> None:
    """What a second instance answers does not depend on what the first one has seen."""
    first, second = bench.House(), bench.House()
    async with bench.live(cls, options, first) as alone:
        expected = await _answers(alone, calls)
    async with bench.live(cls, options, second) as other, bench.live(cls, options, second) as plugin:
        await _answers(other, calls)
        answers = await _answers(plugin, calls)
    for call, one, two in zip(calls, expected, answers, strict=True):
        if one != two:
            seen = f"answered {two} after another instance was called, and {one} otherwise"
            report.add("isolation", cls.__name__, seen, "keep state in self; name counters by self.entry.id", call)


async def _answers(plugin: Any, calls: Sequence[Call]) -> list[tuple[Any, ...]]:
    right = Neighbour()
    flow = bench.flow_of(plugin, right)
    unheard = Report({})
    state = random.getstate()
    random.seed(0)
    answers: list[tuple[Any, ...]] = []
    try:
        for call in calls:
            right.refuses = call.refused
            exchange = await perform(flow, call, unheard)
            answer, fault = exchange.response, exchange.fault
            answers.append(
                (
                    answer and answer.status,
                    type(fault).__name__ if fault else None,
                    sorted(answer.headers) if answer else None,
                    exchange.request.target,
                    sorted(exchange.request.headers),
                    exchange.identity and exchange.identity.subject,
                )
            )
    finally:
        random.setstate(state)
    return answers


def check(cls: type[Plugin[Any]], options: Mapping[str, Any], calls: Sequence[Call], report: Report) -> None:
    """Run every check of interceptors. Isolation comes first, while the class has no past."""
    for part in (isolated, watched_calls, kept_calls, cancelled_calls):
        asyncio.run(part(cls, options, calls, report))
