"""Turns of processes that write to one PostgreSQL, one of which is cut off from it."""

import asyncio

import pytest

from hookgate_storage import Change, Keys, Stale, StoreError, open_store, turns
from hookgate_storage.database import Database
from hookgate_storage.sealing import new_key
from hookgate_storage.upgrading import upgrade

from .cut import way_to


@pytest.fixture
async def both(postgres_url):
    """Two processes' stores, the first one by a way that can be cut."""
    database, keys = Database(postgres_url), Keys.written(new_key())
    await upgrade(database)
    await database.close()
    with way_to(postgres_url) as (cut, url):
        stores = [await open_store(each, keys) for each in (url, postgres_url)]
        yield cut, *stores
        cut.set("dropped")
        for each in stores:
            await each.close()


@pytest.mark.parametrize("trouble", ["silent", "half", "dropped"])
async def test_who_is_cut_off_amid_a_turn_loses_it_and_nothing_else(both, monkeypatch, trouble):
    cut, one, two = both
    monkeypatch.setattr(turns, "BEAT", 0.1)
    monkeypatch.setattr(turns, "SILENT", 1.0)
    next_one = asyncio.Event()

    async def next_turn():
        async with two.turn(60):
            next_one.set()
            await two.write([Change("things", "second", {})], "bob")

    async with one.turn(60):
        waiting = asyncio.create_task(next_turn())
        with pytest.raises(TimeoutError):  # who is there keeps it, for longer than silence would be suffered
            await asyncio.wait_for(next_one.wait(), 1.5)
        await asyncio.to_thread(cut.set, trouble)
        await asyncio.wait_for(waiting, 8)  # a transaction would have ten seconds, and a turn a minute
    assert await two.get("things", "second")


async def test_what_fails_within_a_turn_is_told_and_the_turn_goes_on(both):
    _, one, two = both
    await one.write([Change("things", "first", {})], "ann")
    with pytest.raises(Stale):
        async with one.turn(60):
            await one.write([Change("things", "first", {}, version=7)], "ann")
    async with two.turn(60), asyncio.timeout(5):
        await two.write([Change("things", "second", {})], "ann")


async def test_a_turn_of_a_store_that_is_away_is_refused(both):
    cut, one, _ = both
    await asyncio.to_thread(cut.set, "dropped")
    with pytest.raises(StoreError, match=r"is away|cannot be used"):
        async with one.turn(60):
            pytest.fail("there is none")
