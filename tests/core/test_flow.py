"""The walk: order, the fault rule, branches, and the invariant about on_done."""

import asyncio
from collections import Counter
from contextlib import aclosing
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import (
    Body,
    Exchange,
    Expression,
    Fault,
    FlowOptions,
    Forbidden,
    Interceptor,
    Options,
    Request,
    Response,
    hookimpl,
)
from hookgate.contract.steps import Branch
from hookgate.exchange.waiting import Walker
from hookgate.flow.flow import Flow, finish
from hookgate.testing import build, place, through
from hookgate.testing.driving import drive


class StepOptions(Options):
    name: str
    answers: bool = False
    fails: str = ""
    claims: bool = False


class Noting(Interceptor[StepOptions]):
    def note(self, exchange, sign):
        exchange.variables.setdefault("trace", []).append(sign + self.options.name)

    def fail_in(self, hook):
        if self.options.fails == hook:
            raise RuntimeError(f"{self.options.name} fails in {hook}")


class Full(Noting):
    @hookimpl
    def on_request(self, exchange):
        self.note(exchange, ">")
        self.fail_in("on_request")
        return Response(201, body=self.options.name) if self.options.answers else None

    @hookimpl
    def on_response(self, exchange):
        self.note(exchange, "<")
        self.fail_in("on_response")

    @hookimpl
    def on_fault(self, exchange):
        self.note(exchange, "!")
        self.fail_in("on_fault")
        return Response(299, body=self.options.name) if self.options.claims else None

    @hookimpl
    def on_done(self, exchange):
        exchange.variables.setdefault("done", []).append(self.options.name)


class Slow(Noting):
    @hookimpl
    async def on_request(self, exchange):
        await asyncio.sleep(0)
        self.note(exchange, ">")
        await asyncio.sleep(0)
        self.fail_in("on_request")
        return Response(201) if self.options.answers else None

    @hookimpl
    async def on_response(self, exchange):
        await asyncio.sleep(0)
        self.note(exchange, "<")
        self.fail_in("on_response")

    @hookimpl
    def on_done(self, exchange):
        exchange.variables.setdefault("done", []).append(self.options.name)


class Seldom(Noting):
    """A step of ``def`` hooks that return what is to be waited for."""

    async def later(self, exchange, sign, hook):
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        self.note(exchange, sign)
        await asyncio.sleep(0)
        self.fail_in(hook)
        if hook == "on_request":
            return Response(201, body=Body(self.body())) if self.options.answers else None
        return Response(299) if hook == "on_fault" and self.options.claims else None

    async def body(self):
        for chunk in (b"one", b"two"):
            await asyncio.sleep(0)
            yield chunk

    @hookimpl
    def on_request(self, exchange):
        return self.later(exchange, ">", "on_request")

    @hookimpl
    def on_response(self, exchange):
        exchange.response.body.map(self.feed)
        return self.later(exchange, "<", "on_response")

    async def feed(self, chunk):
        await asyncio.sleep(0)
        return chunk

    @hookimpl
    def on_fault(self, exchange):
        return self.later(exchange, "!", "on_fault")

    @hookimpl
    def on_done(self, exchange):
        exchange.variables.setdefault("done", []).append(self.options.name)


class WayOut(Noting):
    @hookimpl
    def on_response(self, exchange):
        self.note(exchange, "<")

    @hookimpl
    def on_fault(self, exchange):
        self.note(exchange, "!")


def full(name, **options):
    return build(Full, name=name, **options)


def trace(exchange):
    return " ".join(exchange.variables["trace"])


class TestTheFaultRule:
    def test_requests_go_left_to_right_and_responses_right_to_left(self):
        exchange = through(full("a"), full("b"), full("c"))

        assert trace(exchange) == ">a >b >c <c <b <a"
        assert exchange.response.status == 200

    def test_an_early_answer_turns_round_where_it_was_given(self):
        exchange = through(full("a"), full("b", answers=True), full("c"))

        assert trace(exchange) == ">a >b <a"
        assert exchange.response.body.data == b"b"
        assert exchange.variables["done"] == ["a"]

    def test_a_failure_on_the_way_in_is_offered_to_everyone_left_of_it(self):
        exchange = through(full("a"), full("b"), full("c", fails="on_request"))

        assert trace(exchange) == ">a >b >c !b !a <b <a"
        assert exchange.response.status == 500

    def test_the_first_step_that_claims_a_fault_wins(self):
        exchange = through(full("a"), full("b", claims=True), full("c", fails="on_request"))

        assert trace(exchange) == ">a >b >c !b <b <a"
        assert exchange.response.status == 299

    def test_a_failure_on_the_way_out_goes_on_leftwards(self):
        exchange = through(full("a"), full("b"), full("c", fails="on_response"))

        assert trace(exchange) == ">a >b >c <c !b !a <b <a"
        assert exchange.response.status == 500

    def test_steps_of_the_way_out_see_an_early_answer(self):
        exchange = through(
            full("a"),
            full("b", answers=True),
            response=(build(WayOut, name="x"), build(WayOut, name="y")),
        )

        assert trace(exchange) == ">a >b <y <x <a"

    def test_a_failing_on_fault_replaces_the_fault_and_the_walk_goes_on(self):
        exchange = through(full("a", claims=True), full("b", fails="on_fault"), full("c", fails="on_request"))

        assert trace(exchange) == ">a >b >c !b !a <b <a"
        assert exchange.response.status == 299

    def test_a_fault_of_the_backend_is_offered_to_every_step(self):
        def broken(exchange):
            raise Forbidden("no", headers={"x-why": "because"})

        exchange = through(full("a"), full("b"), upstream=broken)

        assert trace(exchange) == ">a >b !b !a <b <a"
        assert exchange.response.status == 403
        assert exchange.response.headers["x-why"] == "because"
        assert exchange.response.headers["content-type"] == "application/problem+json"

    def test_what_went_wrong_inside_stays_inside(self, caplog):
        exchange = through(full("a", fails="on_request"))

        assert b"fails in" not in exchange.response.body.data
        assert "a fails in on_request" in caplog.text
        assert 'hookgate/flow.py", line' not in caplog.text


class TestNonsense:
    def test_an_answer_that_is_no_response_is_a_plugin_error(self):
        class Odd(Interceptor[Options]):
            @hookimpl
            def on_request(self, exchange):
                return "hello"

        exchange = through(build(Odd))

        assert exchange.response.status == 500
        assert exchange.fault.hook == "on_request"
        assert "str where a Response was expected" in exchange.fault.detail

    def test_an_async_hook_has_a_time_limit(self):
        class Endless(Interceptor[Options]):
            @hookimpl
            async def on_request(self, exchange):
                await asyncio.Event().wait()

        async def main():
            flow = Flow(FlowOptions(flow=(build(Endless),)), hook_timeout=0.01)
            exchange = Exchange(Request())
            return await flow.run(exchange, never), exchange

        response, exchange = asyncio.run(main())

        assert response.status == 500
        assert "took longer than 0.01 s" in exchange.fault.detail

    def test_a_fault_cannot_smuggle_a_header_line_either(self):
        class Smuggler(Interceptor[Options]):
            @hookimpl
            def on_request(self, exchange):
                raise Forbidden("no", headers={"x-a": "1\r\nx-b: 2"})

        exchange = through(build(Smuggler))

        assert exchange.response.status == 500
        assert "x-a" not in exchange.response.headers

    def test_a_header_line_cannot_be_smuggled_in(self):
        class Smuggler(Interceptor[Options]):
            @hookimpl
            def on_response(self, exchange):
                exchange.response.headers.set("x-a", "1\r\nx-b: 2")

        assert through(build(Smuggler)).response.status == 500


class Fork(Branch[StepOptions]):
    inside = FlowOptions()
    taken = "yes"

    @property
    def branches(self):
        return {"yes": self.inside}

    @hookimpl
    def choose(self, exchange):
        return self.taken


def fork(*steps, taken="yes", response=()):
    branch = build(Fork, name="fork")
    branch.inside = FlowOptions(flow=steps, response=response)
    branch.taken = taken
    return branch


class TestBranches:
    def test_the_steps_of_a_branch_stand_in_its_place(self):
        exchange = through(full("a"), fork(full("b"), full("c")), full("d"))

        assert trace(exchange) == ">a >b >c >d <d <c <b <a"
        assert exchange.variables["done"] == ["d", "c", "b", "a"]

    def test_a_branch_that_is_not_taken_does_nothing(self):
        exchange = through(full("a"), fork(full("b"), taken=None), full("d"))

        assert trace(exchange) == ">a >d <d <a"

    def test_a_fault_leaves_a_branch_like_any_other_steps(self):
        exchange = through(full("a"), fork(full("b", claims=True), full("c", fails="on_request"), full("x")), full("d"))

        assert trace(exchange) == ">a >b >c !b <b <a"

    def test_a_branch_on_the_way_out_is_chosen_on_the_way_out(self):
        exchange = through(full("a"), response=(fork(full("b"), full("c")),))

        assert trace(exchange) == ">a <c <b <a"

    def test_an_unknown_choice_is_a_plugin_error(self):
        exchange = through(fork(full("b"), taken="maybe"))

        assert exchange.response.status == 500

    def test_a_step_is_skipped_both_ways_when_its_condition_is_false(self):
        step = place(full("b"), when=Expression("request.method == 'POST'"))

        assert trace(through(full("a"), step)) == ">a <a"
        assert trace(through(full("a"), step, method="POST")) == ">a >b <b <a"


async def never(exchange):
    raise AssertionError("the backend is not called here")


def test_a_flow_of_sync_hooks_runs_without_an_event_loop():
    flow = Flow(FlowOptions(flow=(full("a"),)))

    async def backend(exchange):
        return Response.text("ok")

    assert not flow.is_async
    assert drive(flow.run(Exchange(Request()), backend)).status == 200


# --- the invariant --------------------------------------------------------------------------------------------------

kinds = st.builds(
    lambda cls, answers, fails, claims: (cls, {"answers": answers, "fails": fails, "claims": claims}),
    st.sampled_from([Full, Slow, Seldom]),
    st.booleans() | st.just(False),
    st.sampled_from(["", "", "", "on_request", "on_response", "on_fault"]),
    st.booleans(),
)
trees = st.recursive(kinds, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


def grown(tree, names):
    if isinstance(tree, list):
        return fork(*[grown(part, names) for part in tree])
    cls, options = tree
    plugin = build(cls, name=f"s{len(names)}", **options)
    names.append(plugin.options.name)
    return plugin


@settings(max_examples=300, deadline=None)
@given(
    st.lists(trees, max_size=4),
    st.integers(min_value=0, max_value=40),
    st.sampled_from(["ok", "fault", "slow", "stream"]),
    st.booleans(),
)
def test_on_done_runs_exactly_once_for_each_step_that_let_the_call_pass(drawn, hang_up_after, backend_kind, walked):
    names = []
    steps = [grown(tree, names) for tree in drawn]

    async def backend(exchange):
        if backend_kind == "slow":
            for _ in range(5):
                await asyncio.sleep(0)
        if backend_kind == "fault":
            raise Fault("down")
        return Response(200, body=Body(ticks())) if backend_kind == "stream" else Response.text("ok")

    async def ticks():
        for _ in range(3):
            await asyncio.sleep(0)
            yield b"tick"

    async def main():
        flow = Flow(FlowOptions(flow=tuple(steps)))
        exchange = Exchange(Request())
        exchange.variables.update(trace=[], done=[])
        answers = []

        async def whole():
            outcome = "aborted"
            try:
                response = await flow.run(exchange, backend)
                async with aclosing(response.body.stream()) as chunks:
                    async for _ in chunks:
                        await asyncio.sleep(0)
                outcome = "ok"
                answers.append(response)
            finally:
                finish(exchange, outcome)
                finish(exchange, "ok")

        if walked:  # as the lane does, which begins in a callback and not in a task
            running = Walker(whole())
            asyncio.get_running_loop().call_soon(running.step)
            is_over = lambda: running.done  # noqa: E731
        else:
            running = asyncio.ensure_future(whole())
            is_over = running.done
        for _ in range(hang_up_after):
            await asyncio.sleep(0)
        if not is_over():
            running.cancel()
        while not is_over():
            await asyncio.sleep(0)
        if not walked and not running.cancelled():
            running.result()
        return exchange, answers[0] if answers else None

    exchange, response = asyncio.run(main())
    seen, done = exchange.variables["trace"], Counter(exchange.variables["done"])
    options = {step.options.name: step.options for step in _leaves(steps)}
    passed = {
        name
        for name in names
        if ">" + name in seen and not options[name].answers and options[name].fails != "on_request"
    } & {name.removeprefix(">") for name in seen}

    assert all(count == 1 for count in done.values())
    if response is not None:
        assert set(done) == passed
        for name in passed:
            assert seen.count("<" + name) == 1
    else:
        assert set(done) <= passed
    assert all(name in passed for name in done)


def _leaves(steps):
    for step in steps:
        if isinstance(step, Fork):
            yield from _leaves(step.inside.flow)
        else:
            yield step


def test_pluggy_itself_would_walk_in_the_same_order():
    """The order of a flow is pluggy's: registered left to right, listed in request order, called in response order."""
    import pluggy

    from hookgate.contract.hookspecs import FlowSpec

    steps = [full("a"), full("b"), full("c")]
    manager = pluggy.PluginManager("hookgate")
    manager.add_hookspecs(FlowSpec)
    for step in steps:
        manager.register(step)
    exchange = Exchange(Request())
    exchange.response = Response.text("ok")
    manager.hook.on_response(exchange=exchange)

    assert [implementation.plugin for implementation in manager.hook.on_request.get_hookimpls()] == steps
    assert trace(exchange) == "<c <b <a"
    assert trace(through(*steps)).split()[3:] == ["<c", "<b", "<a"]
    assert replace(steps[0].entry, label="x").label == "x"
