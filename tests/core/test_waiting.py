"""Coroutines that wait without a task do what they would do in a task.

A program is a little coroutine written as data: what it waits for, what it lets happen, what it catches. It runs once
under a :class:`Walker` and once in a task, and the same things happen to both from outside, one after the other. Where
it waits for what only a task can wait for, the walk becomes one.
"""

import asyncio
import gc
import logging
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate.exchange.waiting import Overdue, Signal, Walker, bounded, in_task

SIGNALS = 4


class Expected(Exception):
    """An error that programs raise and signals carry."""


numbers = st.integers(0, SIGNALS - 1)
simple = st.one_of(
    st.tuples(st.just("wait"), numbers),
    st.tuples(st.just("wait"), numbers),
    st.tuples(st.just("set"), numbers),
    st.tuples(st.just("fail"), numbers),
    st.just(("raise",)),
    st.just(("sleep",)),
    st.just(("timeout",)),
)
programs = st.recursive(
    st.lists(simple, max_size=3),
    lambda inner: st.lists(
        st.one_of(
            simple,
            st.tuples(st.sampled_from(["call", "catch", "finally", "uncancel", "iterate"]), inner),
        ),
        max_size=4,
    ),
    max_leaves=12,
)
events = st.lists(
    st.one_of(st.tuples(st.sampled_from(["set", "set", "fail"]), numbers), st.just(("cancel",))), max_size=SIGNALS + 3
)


class Run:
    """One run of a program: its signals, and what it noted."""

    def __init__(self):
        self.signals = [Signal() for _ in range(SIGNALS)]
        self.notes = []

    async def whole(self, program):
        try:
            await self.block(program)
        except Expected as error:
            self.notes.append(f"ends in {error}")
        except asyncio.CancelledError:
            self.notes.append("ends cancelled")
            raise
        else:
            self.notes.append("ends")

    async def block(self, program):
        for word, *more in program:
            await getattr(self, f"do_{word}")(*more)

    async def do_wait(self, number):
        self.notes.append(f"waits for {number}")
        self.notes.append(f"{number} gave {await self.signals[number]}")

    async def do_set(self, number):
        self.signals[number].set(f"inside {number}")

    async def do_fail(self, number):
        self.signals[number].set(error=Expected(f"inside {number}"))

    async def do_raise(self):
        raise Expected("raised")

    async def do_sleep(self):
        await asyncio.sleep(0)
        self.notes.append("slept")

    async def do_timeout(self):
        await in_task()
        async with asyncio.timeout(100):
            await asyncio.sleep(0)
        self.notes.append("had a time limit")

    async def do_call(self, program):
        await self.block(program)

    async def do_catch(self, program):
        try:
            await self.block(program)
        except Expected as error:
            self.notes.append(f"caught {error}")

    async def do_finally(self, program):
        try:
            await self.block(program)
        finally:
            self.notes.append("finally")

    async def do_uncancel(self, program):
        try:
            await self.block(program)
        except asyncio.CancelledError:
            self.notes.append("was cancelled and goes on")

    async def do_iterate(self, program):
        async def steps():
            try:
                for step in program:
                    await self.block([step])
                    yield
            finally:
                self.notes.append("generator closed")

        async with aclosing(steps()) as taken:
            async for _ in taken:
                self.notes.append("next")

    def happens(self, event):
        """What comes from outside; a cancellation is the driver's to deliver."""
        word, number = event
        if word == "set":
            self.signals[number].set(f"outside {number}")
        else:
            self.signals[number].set(error=Expected(f"outside {number}"))


async def inline(program, happening):
    run, seen = Run(), []
    walker = Walker(run.whole(program))
    walker.step()
    await settled()
    seen.append(tuple(run.notes))
    for event in happening:
        walker.cancel() if event == ("cancel",) else run.happens(event)
        await settled()
        seen.append(tuple(run.notes))
    finished = walker.done
    while not walker.done:
        walker.cancel()
        await settled()
    return seen, finished


async def in_a_task(program, happening):
    run, seen = Run(), []
    task = asyncio.create_task(run.whole(program))
    await settled()
    seen.append(tuple(run.notes))
    for event in happening:
        task.cancel() if event == ("cancel",) else run.happens(event)
        await settled()
        seen.append(tuple(run.notes))
    finished = task.done()
    while not task.done():
        task.cancel()
        await settled()
    return seen, finished


async def settled():
    """Let the loop turn until what can run has run."""
    for _ in range(40):
        await asyncio.sleep(0)


@given(programs, events)
def test_a_coroutine_does_the_same_with_a_walker_and_in_a_task(program, happening):
    async def both():
        return await inline(program, happening), await in_a_task(program, happening)

    walked, tasked = asyncio.run(both())
    assert walked == tasked


@pytest.mark.parametrize("error", [None, Expected("no")])
def test_what_has_happened_is_not_waited_for(error):
    signal = Signal()
    signal.set("first", error)
    signal.set("second")
    notes = []

    async def waits():
        notes.append(await signal)

    if error is None:
        walker = Walker(waits())
        walker.step()
        asyncio.run(waits())
        assert walker.done
        assert notes == ["first", "first"]
    else:
        for _ in range(2):
            with pytest.raises(Expected):
                asyncio.run(waits())


def test_a_walker_goes_on_before_set_returns_and_needs_no_loop():
    signal, notes = Signal(), []

    async def waits():
        notes.append(await signal)

    walker = Walker(waits())
    walker.step()
    assert notes == []
    signal.set(7)
    assert notes == [7]
    assert walker.done


def test_a_walker_that_resumes_another_keeps_its_own_place():
    """Each of two waits in turn for what the other lets happen; neither takes the other's waits for its own."""
    signals, notes = [Signal() for _ in range(10)], []

    async def takes(name, mine, theirs):
        for take, give in zip(mine, theirs, strict=True):
            await take
            notes.append(name)
            give.set()
        notes.append(f"{name} ends")

    ping = Walker(takes("ping", signals[0:8:2], signals[1:9:2]))
    pong = Walker(takes("pong", signals[1:9:2], signals[2:10:2]))
    ping.step()
    pong.step()
    signals[0].set()
    assert [note for note in notes if "ends" not in note] == ["ping", "pong"] * 4
    assert ping.done
    assert pong.done


async def test_a_task_woken_from_within_a_walker_is_a_task_all_the_same():
    first, second, notes = Signal(), Signal(), []

    async def walks():
        await first
        second.set("from the walker")
        notes.append("walker ends")

    async def runs():
        notes.append(await second)
        await asyncio.sleep(0)
        notes.append("task ends")

    task = asyncio.create_task(runs())
    walker = Walker(walks())
    walker.step()
    await settled()
    first.set()
    assert notes == ["walker ends"]
    await task
    assert notes == ["walker ends", "from the walker", "task ends"]


async def test_a_walker_within_a_task_waits_on_its_own():
    """The protocol that resumes a walker may itself be called from a task (an upload that fails)."""
    signal, notes = Signal(), []

    async def walks():
        notes.append(await signal)

    async def runs():
        Walker(walks()).step()
        await asyncio.sleep(0)
        signal.set("set in a task")
        other = Signal()
        asyncio.get_running_loop().call_soon(other.set, "and the task waits as a task")
        notes.append(await other)

    await asyncio.create_task(runs())
    assert notes == ["set in a task", "and the task waits as a task"]


@pytest.mark.parametrize("wait", [lambda: asyncio.sleep(0), lambda: asyncio.sleep(0.01), in_task, lambda: a_future()])
async def test_a_walk_that_waits_for_what_needs_a_task_becomes_one(wait):
    notes, signal = [], Signal()

    async def walks():
        notes.append(asyncio.current_task())
        await wait()
        notes.append(asyncio.current_task())
        await signal
        notes.append("goes on")

    walker = Walker(walks())
    asyncio.get_running_loop().call_soon(walker.step)  # within a task it would see that one
    while len(notes) < 2:
        await asyncio.sleep(0.001)
    signal.set()
    while not walker.done:
        await asyncio.sleep(0.001)
    assert notes[0] is None
    assert isinstance(notes[1], asyncio.Task)
    assert notes[2] == "goes on"


def a_future():
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, future.set_result, None)
    return future


async def test_a_walk_that_is_cancelled_before_its_task_has_begun_is_cancelled_where_it_waits():
    notes = []

    async def walks():
        try:
            await in_task()
        except asyncio.CancelledError:
            notes.append("cancelled")
            raise

    walker = Walker(walks())
    walker.step()
    walker.cancel()
    await settled()
    assert notes == ["cancelled"]
    assert walker.done


async def test_the_task_of_a_walk_is_cancelled_with_it():
    notes = []

    async def walks():
        try:
            await asyncio.sleep(60)
        finally:
            notes.append("over")

    walker = Walker(walks())
    walker.step()
    await settled()
    walker.cancel()
    await settled()
    assert notes == ["over"]
    assert walker.done


def test_without_a_loop_it_is_an_error_where_it_is_waited_for():
    notes = []

    async def walks():
        try:
            await asyncio.sleep(0)
        except RuntimeError as error:
            notes.append(str(error))

    Walker(walks()).step()
    assert notes == ["this flow waits for something and needs an event loop"]


@pytest.mark.parametrize("begun", [True, False])
async def test_what_takes_too_long_is_overdue_and_what_is_cancelled_before_leaves_nothing_unawaited(begun):
    notes = []

    async def never():
        notes.append("begun")
        await asyncio.Event().wait()

    async def walks():
        try:
            await bounded(never(), 0.01)
        except Overdue as error:
            notes.append(str(error))

    walker = Walker(walks())
    walker.step()
    if not begun:
        walker.cancel()
    while not walker.done:
        await asyncio.sleep(0.001)
    assert notes == (["begun", "took longer than 0.01 s"] if begun else [])


def test_a_cancelled_wait_is_over_and_what_comes_later_wakes_nobody():
    signal, other, notes = Signal(), Signal(), []

    async def walks():
        try:
            await signal
        except asyncio.CancelledError:
            notes.append("cancelled")
        notes.append(await other)

    walker = Walker(walks())
    walker.step()
    walker.cancel()
    signal.set("late")
    assert notes == ["cancelled"]
    other.set("other")
    assert notes == ["cancelled", "other"]
    walker.cancel()
    walker.step()
    assert walker.done


def test_a_walker_that_was_never_started_can_be_cancelled():
    notes = []

    async def walks():
        notes.append("started")

    walker = Walker(walks())
    walker.cancel()
    assert walker.done
    assert notes == []


def test_an_error_that_nobody_catches_is_logged_and_a_cancellation_is_not(caplog):
    async def fails():
        raise Expected("nobody catches that")

    async def waits():
        await Signal()

    with caplog.at_level(logging.DEBUG, "hookgate"):
        for coroutine in (fails(), waits()):
            walker = Walker(coroutine)
            walker.step()
            walker.cancel()
            assert walker.done
    (record,) = caplog.records
    assert isinstance(record.exc_info[1], Expected)


def test_an_error_wakes_with_that_very_error():
    signal, error, caught = Signal(), Expected("this one"), []

    async def walks():
        try:
            await signal
        except Expected as found:
            caught.append(found)

    Walker(walks()).step()
    signal.set(error=error)
    assert caught == [error]


def test_a_walker_that_nobody_holds_is_let_go_of_with_its_signal():
    closed = []

    async def walks(signal):
        try:
            await signal
        finally:
            closed.append(True)

    signal = Signal()
    Walker(walks(signal)).step()
    del signal
    gc.collect()
    assert closed == [True]
