"""`host.cache`: what many want at once is made once, and what went wrong is not kept."""

import asyncio

import pytest

from hookgate.testing import MovableClock, TestHost


class Making:
    """Makes values when it is told to, and counts."""

    def __init__(self):
        self.begun = 0
        self.go = asyncio.Event()
        self.fails = None

    async def __call__(self):
        self.begun += 1
        number = self.begun
        await self.go.wait()
        if self.fails is not None:
            raise self.fails
        return number


async def waiting(cache, make, count=1, key="a"):
    """So many who wait for one value."""
    tasks = [asyncio.create_task(cache.get(key, make)) for _ in range(count)]
    await asyncio.sleep(0.01)
    return tasks


def cache_of(ttl=60.0, most=10):
    clock = MovableClock()
    return clock, TestHost(clock=clock).cache(ttl, most)


async def made(value):
    return value


async def test_what_many_want_at_once_is_made_once():
    _, cache = cache_of()
    make = Making()
    tasks = await waiting(cache, make, 100)
    assert cache.peek("a") is None
    make.go.set()

    assert await asyncio.gather(*tasks) == [1] * 100
    assert (await cache.get("a", make), cache.peek("a"), make.begun) == (1, 1, 1)


async def test_a_failure_reaches_all_who_wait_and_is_not_kept():
    _, cache = cache_of()
    make = Making()
    make.fails = LookupError("away")
    tasks = await waiting(cache, make, 3)
    make.go.set()

    assert [str(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == ["away"] * 3
    assert cache.peek("a") is None
    make.fails = None
    assert (await cache.get("a", make), make.begun) == (2, 2)


async def test_an_exit_of_what_makes_a_value_is_a_failure_and_the_loop_goes_on():
    _, cache = cache_of()

    async def leave():
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match=r"called sys\.exit"):
        await cache.get("a", leave)
    assert await cache.get("a", lambda: made(1)) == 1


async def test_who_leaves_ends_nothing_for_the_others():
    _, cache = cache_of()
    make = Making()
    first, second = await waiting(cache, make, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    make.go.set()

    assert (await second, make.begun, cache.peek("a")) == (1, 1, 1)


async def test_what_nobody_waits_for_any_more_is_made_all_the_same():
    _, cache = cache_of()
    make = Making()
    (only,) = await waiting(cache, make)
    only.cancel()
    make.go.set()
    await asyncio.sleep(0.01)

    assert (cache.peek("a"), make.begun) == (1, 1)


async def test_a_failure_that_nobody_is_left_to_hear_of_is_no_news(caplog):
    _, cache = cache_of()
    make = Making()
    make.fails = LookupError("away")
    (only,) = await waiting(cache, make)
    only.cancel()
    make.go.set()
    await asyncio.sleep(0.01)
    del only

    assert [record.getMessage() for record in caplog.records] == []


async def test_a_value_is_good_for_its_time_from_when_it_was_there():
    clock, cache = cache_of(ttl=10)
    make = Making()
    tasks = await waiting(cache, make)
    await clock.advance(100)  # it takes its time
    make.go.set()
    await tasks[0]
    await clock.advance(9.9)
    assert await cache.get("a", make) == 1
    await clock.advance(0.2)

    assert cache.peek("a") is None
    assert await cache.get("a", make) == 2


async def test_of_too_many_those_go_that_nobody_asked_for_longest():
    _, cache = cache_of(most=3)
    for key in "abc":
        await cache.get(key, lambda: made(1))
    cache.peek("a")
    await cache.get("b", lambda: made(2))
    for key in "de":
        await cache.get(key, lambda: made(1))

    assert [key for key in "abcde" if cache.peek(key)] == ["b", "d", "e"]


async def test_what_is_forgotten_while_it_is_made_is_not_kept_and_made_anew_for_whoever_asks():
    for key in ("a", None):
        _, cache = cache_of()
        make, again = Making(), Making()
        (old,) = await waiting(cache, make)
        cache.forget(key)
        (new,) = await waiting(cache, again)
        make.go.set()
        assert (await old, cache.peek("a")) == (1, None)
        again.begun = 10
        (joined,) = await waiting(cache, make)
        again.go.set()
        assert (await new, await joined, cache.peek("a"), make.begun) == (1, 1, 1, 1)


async def test_forgetting_takes_out_one_or_all():
    _, cache = cache_of()
    for key in ("", "a", "b"):
        await cache.get(key, lambda: made(1))
    cache.forget("a")
    cache.forget("never there")
    assert [key for key in ("", "a", "b") if cache.peek(key)] == ["", "b"]
    cache.forget("")
    assert [key for key in ("", "a", "b") if cache.peek(key)] == ["b"]
    cache.forget()
    assert cache.peek("b") is None


async def test_nothing_is_a_value_too():
    _, cache = cache_of()
    make = Making()
    make.go.set()
    await cache.get("a", lambda: made(None))

    assert (await cache.get("a", make), make.begun) == (None, 0)


@pytest.mark.parametrize(("ttl", "most"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_a_cache_that_keeps_nothing_is_a_mistake(ttl, most):
    with pytest.raises(ValueError, match="keeps at least 1 value for more than 0 seconds"):
        TestHost().cache(ttl, most)
