"""Whatever is remembered is what somebody else says, as far as this node has been told."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate.gateway.caching import MemoryCache
from hookgate.testing import MovableClock
from hookgate.workshop import Answer, Remembering
from hookgate.workshop import remembering as module

MARKS = ("a", "b", "c")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(MARKS), st.booleans()),
        st.tuples(st.just("all"), st.just(""), st.booleans()),
        st.tuples(st.just("ask"), st.sampled_from(MARKS), st.booleans()),
    ),
    max_size=40,
)


class House:
    """What makes caches."""

    def __init__(self):
        self.clock = MovableClock()

    def cache(self, ttl, most):
        return MemoryCache(self.clock, ttl, most)


class Store:
    """What is asked, and may change while it is."""

    def __init__(self):
        self.values = dict.fromkeys(MARKS, (0, True))
        self.asked = 0
        self.meanwhile = None

    def answer(self, mark):
        async def ask():
            self.asked += 1
            value, good = self.values[mark]
            if self.meanwhile is not None:
                meanwhile, self.meanwhile = self.meanwhile, None
                meanwhile()
            return Answer((value, good), (("application", mark),), good=good)

        return ask


@settings(derandomize=True, max_examples=300, deadline=None)
@given(steps, st.integers(1, 3), st.integers(1, 3))
def test_what_is_told_is_what_the_store_says(written, most, most_bad):
    async def run():
        store, remembering = Store(), Remembering(House(), 60.0, most, 60.0, most_bad)

        def write(mark, good):
            store.values[mark] = (store.values[mark][0] + 1, good)
            remembering.forget("application", mark)

        for what, mark, flag in written:
            if what == "write":
                write(mark, flag)
            elif what == "all":
                for each in MARKS:
                    store.values[each] = (store.values[each][0] + 1, flag)
                remembering.forget("all", "")
            else:
                if flag:  # somebody else changes it just after the store has answered
                    store.meanwhile = lambda mark=mark: write(mark, store.values[mark][1])
                found = await remembering.get(mark, store.answer(mark))
                assert found == store.values[mark]
                assert remembering.peek(mark) in (None, store.values[mark])
                store.meanwhile = None

    asyncio.run(run())


def test_good_and_bad_answers_are_asked_for_once_and_bad_ones_push_out_no_good_ones():
    async def run():
        store, remembering = Store(), Remembering(House(), 60.0, 1, 60.0, 1)
        store.values |= {"b": (0, False), "c": (0, False)}
        for mark in ("a", "a", "b", "b", "c", "a"):
            await remembering.get(mark, store.answer(mark))
        assert store.asked == 3
        await asyncio.gather(*(remembering.get("b", store.answer("b")) for _ in range(10)))
        assert store.asked == 4

    asyncio.run(run())


def test_an_answer_is_asked_for_again_when_it_is_over_or_somebody_forgets_it():
    async def run():
        house, asked = House(), []
        remembering = Remembering(house, 60.0, 9, 5.0, 9)

        async def ask(value, good=True, ends=None):
            asked.append(value)
            return Answer(value, (), good=good, ends=ends)

        async def get(value, **more):
            return await remembering.get("a", lambda: ask(value, **more))

        assert await get("one", ends=house.clock.wall() + 9) == "one"
        await house.clock.advance(8)
        assert await get("two") == "one"
        await house.clock.advance(1)
        assert remembering.peek("a") is None
        assert await get("two", good=False) == "two"
        await house.clock.advance(4)
        assert await get("three") == "two"
        await house.clock.advance(1)  # one that refuses is kept for a shorter time
        assert await get("three") == "three"
        remembering.forget_one("a")
        assert await get("four") == "four"
        assert asked == ["one", "two", "three", "four"]

    asyncio.run(run())


def test_what_fails_is_not_kept_and_of_very_many_changes_everything_is_forgotten(monkeypatch):
    async def run():
        store, remembering = Store(), Remembering(House(), 60.0, 9, 60.0, 9)

        async def fail():
            raise OSError

        for _ in range(2):
            with pytest.raises(OSError):
                await remembering.get("a", fail)
        await remembering.get("a", store.answer("a"))
        for number in range(3):
            remembering.forget("user", str(number))
        assert remembering.peek("a") == store.values["a"]
        remembering.forget("user", "one more")
        assert remembering.peek("a") is None
        assert len(remembering._changed) == 1

    monkeypatch.setattr(module, "MOST_CHANGED", 3)
    asyncio.run(run())
