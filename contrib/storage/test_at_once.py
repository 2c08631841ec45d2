"""Writes that go to the database in one piece: all or none, one after the other, and bounded."""

import asyncio
import time

import pytest
from sqlalchemy import text

from hookgate_storage import Database, StoreError
from hookgate_storage import database as limits

pytestmark = pytest.mark.stores


@pytest.fixture
async def database(database_url):
    made = Database(database_url)
    async with made.transaction(writes=True) as connection:
        await connection.execute(text("CREATE TABLE counts (n INTEGER NOT NULL)"))
        await connection.execute(text("INSERT INTO counts VALUES (0)"))
    yield made
    await made.close()


def one_more(connection):
    count = connection.execute(text("SELECT n FROM counts")).scalar_one() + 1
    connection.execute(text("UPDATE counts SET n = :n"), {"n": count})
    return count


async def count_in(database):
    async with database.transaction() as connection:
        return (await connection.execute(text("SELECT n FROM counts"))).scalar_one()


async def test_all_of_it_is_written_or_nothing(database):
    def fails(connection):
        one_more(connection)
        raise LookupError("half way")

    assert await database.at_once(one_more) == 1
    with pytest.raises(LookupError, match="half way"):
        await database.at_once(fails)
    with pytest.raises(StoreError, match="nothing_like_this"):
        await database.at_once(lambda connection: connection.execute(text("DELETE FROM nothing_like_this")))

    assert await count_in(database) == 1
    assert await database.at_once(one_more) == 2


async def test_nothing_is_lost_between_both_ways_of_writing(database):
    async def the_other_way():
        async with database.transaction(writes=True) as connection:
            await connection.run_sync(one_more)

    def slowly(connection):
        connection.execute(text("SELECT n FROM counts"))
        time.sleep(0.01)  # others write now, if they may
        return one_more(connection)

    await asyncio.gather(*(database.at_once(slowly) if n % 2 else the_other_way() for n in range(20)))

    assert await count_in(database) == 20


async def test_who_waits_too_long_hears_so_and_what_came_of_it_is_whole(database, monkeypatch):
    async with database.transaction(writes=True) as connection:
        monkeypatch.setattr(limits, "PATIENCE", 0.3)
        with pytest.raises(StoreError, match=r"within 0\.3 s|is locked"):
            await database.at_once(one_more)
        monkeypatch.undo()
        await connection.run_sync(one_more)

    assert await database.at_once(one_more) in (2, 3), "the write that nobody waited for is there, or is not"
    assert await count_in(database) in (2, 3)


async def test_a_database_that_is_gone_is_away(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'store.db'}")
    (tmp_path / "store.db").unlink()
    try:
        with pytest.raises(StoreError, match="is away: there is no such file"):
            await made.at_once(one_more)
    finally:
        await made.close()
