"""Counts in a database of either kind: added once, summed over gateways, kept for a time, bounded in number."""

import asyncio

import pytest

from hookgate_statistics.cells import Cell, Key
from hookgate_statistics.keeping import add, ask, forget
from hookgate_statistics.questions import Question
from hookgate_storage import Database, upgrade

DAY = 86400
NOON = 20_000 * DAY + DAY // 2


def cell(calls=1, bucket=-50):
    made = Cell()
    made.calls, made.sketch = calls, {bucket: calls}
    return made


def minutes(start=NOON, calls=1, **names):
    return {start: {Key(**names): cell(calls)}}


@pytest.fixture
async def database(database_url):
    opened = Database(database_url)
    await upgrade(opened, "statistics@head")
    yield opened
    await opened.close()


async def total(database, resolution=60, since=0, until=NOON * 2, **more):
    found = await ask(database, Question(since, until, resolution=resolution, **more))
    return [(each.group, each.start, each.cell.calls) for each in found]


async def test_counts_are_added_once_to_minutes_hours_and_days_and_sum_up_over_gateways(database):
    both = minutes(api="shop", user="joe") | minutes(NOON + 3600, 2, api="shop")
    same = await asyncio.gather(*(add(database, "one", 1, NOON, both, 100) for _ in range(2)))  # the answer was lost
    assert sorted(same) == [False, True]
    assert await add(database, "two", 1, NOON, both, 100)
    assert not await add(database, "one", 1, NOON, minutes(), 100)
    late = minutes(NOON - 60, 5, api="shop", user="joe")  # a clock that was set back, or data that waited
    assert await add(database, "one", 2, NOON, late, 100)

    for resolution in (60, 3600, DAY):
        assert await total(database, resolution) == [((), None, 11)]
    assert await total(database, 3600, series=True) == [
        ((), NOON - 3600, 5),
        ((), NOON, 2),
        ((), NOON + 3600, 4),
    ]
    assert await total(database, since=NOON, until=NOON + 1) == [((), None, 2)]
    assert await total(database, by=("user",)) == [(("joe",), None, 7), (("",), None, 4)]
    assert await total(database, where={"user": ["joe", "x"]}) == [((), None, 7)]
    (answer,) = await ask(database, Question(0, NOON * 2), own="joe")
    assert (answer.cell.calls, answer.cell.sketch) == (7, {-50: 7})


async def test_of_too_many_names_those_with_most_calls_stay_and_no_call_is_lost(database):
    many = {NOON: {Key(api="shop", user=f"user-{n}"): cell(n) for n in range(1, 22)}}
    many[NOON][Key(api="shop", user="nul\0 \ud800")] = cell(1)
    await add(database, "one", 1, NOON, many, 5)
    found = {group[0]: calls for group, _, calls in await total(database, DAY, by=("user",))}
    assert found == {"user-21": 21, "user-20": 20, "user-19": 19, "user-18": 18, "user-17": 17, "(other)": 137}
    assert await total(database, by=("api",)) == [(("shop",), None, 232)]


async def test_what_is_too_old_goes_by_its_resolution(database):
    await add(database, "one", 1, NOON, minutes() | minutes(NOON - 10 * DAY), 100)
    assert await forget(database, NOON, {60: DAY, 3600: 20 * DAY, DAY: 20 * DAY}) == 1
    assert await total(database) == [((), None, 1)]
    assert await total(database, DAY) == [((), None, 2)]
