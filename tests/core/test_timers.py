"""The wheel: nothing expires early, nothing expires late by more than a tick or two, and nothing runs for nobody."""

import asyncio
import heapq
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate.http.timers import NEVER, TICK, Wheel, wheel


class Hand:
    """An event loop as far as a wheel needs one: a clock that a test moves, and timers that ring on it."""

    def __init__(self, now=0.0, late=None):
        self.now = now
        self.late = late or itertools.repeat(0.0)
        """By how much each timer rings late, as those of a busy loop do."""
        self.timers = []
        self._order = itertools.count()

    def time(self):
        return self.now

    def call_later(self, seconds, callback, *arguments):
        timer = (self.now + seconds + next(self.late), next(self._order), callback, arguments)
        heapq.heappush(self.timers, timer)
        return timer

    def move(self, seconds):
        """Let time pass, and everything ring that is due meanwhile."""
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            at, _, callback, arguments = heapq.heappop(self.timers)
            self.now = max(self.now, at)
            callback(*arguments)
        self.now = max(self.now, end)


class Connection:
    """Something with a deadline, which notes when it expired and what the deadline had been."""

    def __init__(self, loop, *, again=None):
        self.deadline = self.looked_at = NEVER
        self.loop = loop
        self.wheel = None
        self.again = again
        """Seconds after which it wants to expire once more."""
        self.meant = NEVER
        self.expiries = []

    def until(self, deadline):
        self.meant = deadline
        self.wheel.set(self, deadline)

    def expired(self, now):
        assert now == self.loop.time()
        assert self.meant <= now, "never early, and never without a deadline"
        self.expiries.append((self.meant, now))
        self.meant = NEVER
        if self.again is not None:
            again, self.again = self.again, None
            self.until(now + again)


def made(count, now=0.0, late=None):
    loop = Hand(now, late)
    turning = Wheel(loop)
    connections = [Connection(loop) for _ in range(count)]
    for each in connections:
        each.wheel = turning
    return loop, connections


seconds = st.one_of(st.floats(0, 3), st.sampled_from([0.0, TICK, 2 * TICK, 0.3, 0.7, 1.0, 100.0]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 3), seconds),
        st.tuples(st.just("never"), st.integers(0, 3), st.just(0.0)),
        st.tuples(st.just("move"), st.just(0), seconds),
        st.tuples(st.just("again"), st.integers(0, 3), seconds),
    ),
    max_size=30,
)
starts = st.one_of(st.just(0.0), st.floats(0, 1e7))


@given(starts, steps)
def test_whatever_is_set_and_moved_expires_in_time_and_once(start, script):
    loop, connections = made(4, start)
    for word, number, amount in script:
        connection = connections[number]
        if word == "set":
            connection.until(loop.now + amount)
        elif word == "never":
            connection.until(NEVER)
        elif word == "again":
            connection.again = amount
        else:
            loop.move(amount)
        for each in connections:
            assert each.deadline == each.meant
            assert each.meant > loop.now - 2.01 * TICK, "at most two ticks late"
    for each in connections:
        assert all(now - meant < 2.01 * TICK for meant, now in each.expiries)
        each.again = None
    loop.move(200)
    assert all(each.meant == NEVER for each in connections)
    assert loop.timers == [], "with nothing to look after there is no timer"


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=20), steps)
def test_nothing_is_early_or_lost_where_the_loop_itself_is_late(lateness, script):
    loop, connections = made(4, 5.0, itertools.cycle(lateness))
    for word, number, amount in script:
        if word in ("set", "again"):
            connections[number].until(loop.now + amount)
        elif word == "move":
            loop.move(amount)
    loop.move(300)
    assert all(each.meant == NEVER for each in connections)
    assert loop.timers == []


def test_a_deadline_that_moves_on_with_each_byte_never_comes():
    loop, (connection,) = made(1)
    for _ in range(1000):
        connection.until(loop.now + 0.35)
        loop.move(0.25)
    assert connection.expiries == []
    loop.move(1)
    assert len(connection.expiries) == 1


def test_a_deadline_that_is_brought_forward_comes_then_and_not_again_at_the_old_time():
    loop, (connection,) = made(1)
    connection.until(75)
    connection.until(10)
    loop.move(12)
    ((meant, now),) = connection.expiries
    assert meant == 10
    assert 10 <= now < 10 + 2.01 * TICK
    loop.move(100)
    assert len(connection.expiries) == 1


def test_what_is_taken_back_does_not_expire_and_leaves_no_timer():
    loop, (connection,) = made(1)
    connection.until(0.5)
    connection.until(NEVER)
    loop.move(2)
    assert connection.expiries == []
    assert loop.timers == []
    connection.until(loop.now + 0.5)
    loop.move(2)
    assert len(connection.expiries) == 1, "and the wheel turns again for the next"


def test_a_thousand_connections_share_one_timer():
    loop, connections = made(1000)
    for number, each in enumerate(connections):
        each.until(number / 500)
    assert len(loop.timers) == 1
    loop.move(1)
    assert len(loop.timers) == 1
    loop.move(2)
    assert [len(each.expiries) for each in connections] == [1] * 1000


def test_one_that_takes_back_another_while_both_are_due_keeps_it_from_expiring():
    loop, (first, second) = made(2)
    second.until(0.55)

    class Takes(Connection):
        def expired(self, now):
            super().expired(now)
            second.until(NEVER)

    taker = Takes(loop)
    taker.wheel = first.wheel
    second.until(0.99)
    taker.until(0.5)
    loop.move(5)
    assert len(taker.expiries) == 1
    assert second.expiries == []


@pytest.mark.parametrize("how", ["asyncio", "ours"])
def test_on_a_real_loop_it_expires_and_each_loop_has_one_wheel(how):
    from hookgate.server.loop import new_event_loop

    class Waits(Connection):
        def expired(self, now):
            super().expired(now)
            self.event.set()

    async def main():
        loop = asyncio.get_running_loop()
        assert wheel(loop) is wheel(loop)
        connection = Waits(loop)
        connection.event = asyncio.Event()
        connection.wheel = wheel(loop)
        # What the wheel hands over is the time of its turn, which a real clock has left behind.
        connection.loop = type("Still", (), {"time": staticmethod(lambda: connection.now)})()
        connection.expired = lambda now: (setattr(connection, "now", now), Waits.expired(connection, now))
        connection.until(loop.time() + 0.05)
        await connection.event.wait()
        return connection.expiries

    with asyncio.Runner(loop_factory=asyncio.new_event_loop if how == "asyncio" else new_event_loop) as runner:
        ((meant, now),) = runner.run(main())
    assert meant <= now
