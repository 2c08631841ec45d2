"""Counters that gateways share: exact over all of them, whole or not at all, and closed while the database is away."""

import asyncio
import logging
import math
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from hookgate import Limit, ServiceUnavailable
from hookgate.testing import LocalCounters, MovableClock, build, postgresql, running
from hookgate_counters_postgresql import KEPT, Postgresql


class House:
    log = logging.getLogger("hookgate.test")

    def __init__(self):
        self.clock = MovableClock()

    def start(self, name, coroutine):
        coroutine.close()


@pytest.fixture(scope="module")
def url():
    with postgresql() as url:
        yield url


@pytest.fixture
async def store(url):
    made = build(Postgresql, url=url, patience=10)
    made.startup(House())
    yield made
    await made.shutdown()


def document(url, **limit):
    return {
        "gateway": {"counters": {"postgresql": {"url": url, "patience": 10}}},
        "routes": [
            {"name": "all", "match": {"path": "/all"}, "flow": [{"rate-limit": limit}, {"respond": {"body": "ok"}}]},
            {"name": "free", "match": {"path": "/free"}, "flow": [{"respond": {"body": "ok"}}]},
        ],
    }


@pytest.mark.parametrize("window", ["month", 86400])
def test_a_limit_over_two_gateways_lets_exactly_so_many_through_and_outlives_them(url, window):
    document_ = document(url, limit=37, window=window, by=f"'{window}'")
    with running(document_) as one, running(document_) as two, ThreadPoolExecutor(8) as pool:
        gates = [one, two] * 40
        found = list(pool.map(lambda gate: gate.request("GET", "/all").status_code, gates))
    with running(document_) as later:
        found.append(later.request("GET", "/all").status_code)

    assert (found.count(200), found.count(429)) == (37, 44)
    assert found[-1] == 429


async def test_it_decides_as_the_counters_in_memory_do(url, store):
    house, chance = House(), random.Random(11)
    local = LocalCounters(house.clock)
    store._clock = house.clock
    limits = [
        ("a", Limit(5, 10)),
        ("b", Limit(3, 7.5, burst=9)),
        ("c", Limit(4, "minute")),
        ("a", Limit(6, "hour")),
        ("d", Limit(1, "month")),
        ("e", Limit(2, "week")),
    ]
    for _ in range(150):
        wants = [
            (key, chance.choice((0, 1, 1, 2, 7)), limit)
            for key, limit in chance.sample(limits, chance.choice((1, 1, 2, 3)))
        ]
        mine, its = await store.take(wants), local.take(wants)
        assert (mine.allowed, mine.limit, mine.remaining, mine.key) == (
            its.allowed,
            its.limit,
            its.remaining,
            its.key,
        ), wants
        assert mine.reset == pytest.approx(its.reset, abs=0.01)
        assert (
            mine.retry_after == pytest.approx(its.retry_after, abs=0.01)
            or mine.retry_after == its.retry_after == math.inf
        )
        await house.clock.advance(chance.choice((0, 0.5, 3, 40)))


async def test_of_several_limits_all_are_taken_or_none_also_where_one_stands_twice(store):
    wide, narrow = Limit(10, "month"), Limit(1, "month")
    first = await store.take([("w", 1, wide), ("w", 1, wide), ("n", 1, narrow)])
    second = await store.take([("w", 1, wide), ("w", 1, wide), ("n", 1, narrow)])
    left = await store.take([("w", 0, wide)])

    assert (first.allowed, second.allowed, second.key) == (True, False, "n")
    assert left.remaining == 8


async def test_takers_in_any_order_never_wait_for_each_other_in_a_circle(url):
    stores = [build(Postgresql, url=url, connections=8, patience=10) for _ in range(2)]
    for each in stores:
        each.startup(House())
    limits = [(f"circle-{n}", 1, Limit(50, "month")) for n in range(4)]
    chance = random.Random(3)
    try:
        found = await asyncio.gather(
            *(each.take(chance.sample(limits, 4)) for _ in range(30) for each in stores), return_exceptions=True
        )
    finally:
        for each in stores:
            await each.shutdown()
    assert [each for each in found if isinstance(each, Exception)] == []
    assert sum(each.allowed for each in found) == 50


async def test_what_is_whole_again_is_taken_out_and_what_counts_stays(store):
    await store.take([("soon", 1, Limit(1, 10))])
    await store.take([("kept", 1, Limit(1, 10 * KEPT))])
    await store._clock.advance(KEPT + 20)
    await store.clean()
    async with store._pool.connection() as connection:
        left = await connection.fetchval(
            "SELECT count(*) FROM hookgate_counters WHERE until < $1", store._clock.wall() - KEPT
        )
    kept = await store.take([("kept", 1, Limit(1, 10 * KEPT))])

    assert left == 0
    assert not kept.allowed


def test_while_the_database_is_away_nobody_who_is_limited_gets_in():
    with running(document("postgresql://ann:password-of-ann@127.0.0.1:9/x", limit=5, window="hour")) as gate:
        refused, free = gate.request("GET", "/all"), gate.request("GET", "/free")
        again = gate.request("GET", "/all")
        said = " ".join(record.getMessage() for record in gate.log)

    assert (refused.status_code, again.status_code, free.status_code) == (503, 503, 200)
    assert refused.json()["reason"] == "counters-away"
    assert "127.0.0.1" not in refused.text
    assert "127.0.0.1/x cannot be used" in said
    assert "password-of-ann" not in said


async def test_it_goes_on_when_connections_were_cut(store, monkeypatch):
    monkeypatch.setattr("hookgate_counters_postgresql.PAUSE", 0)
    wants = [("cut", 1, Limit(1000, "month"))]
    await store.take(wants)
    other = build(Postgresql, url=store.options.url.reveal())
    other.startup(House())
    async with other._pool.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    for _ in range(20):
        try:
            assert (await store.take(wants)).allowed
            break
        except ServiceUnavailable:
            continue
    assert "problems" not in store.health()
    await other.shutdown()
