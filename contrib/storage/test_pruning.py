"""What is old goes, and nothing that is kept misses it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter

import pytest
from sqlalchemy import select

from contrib.prepared import prepare
from hookgate_storage import Change, Keep, Keys, Missing, open_store, prune
from hookgate_storage.sealing import new_key
from hookgate_storage.section import in_background
from hookgate_storage.tables import nodes

KEY, DAY = new_key(), 86400.0


async def opened(url, keys=None):
    await prepare(url)
    return await open_store(url, keys or Keys.written(KEY))


@pytest.fixture
async def store(database_url):
    store = await opened(database_url)
    yield store
    await store.close()


async def written(store, *changes):
    """Write each change as a generation: at first long ago, those behind ``None`` today."""
    store.clock = lambda: 1e9
    for each in changes:
        if each is None:
            store.clock = lambda: 1e9 + 500 * DAY
            continue
        name, body = each
        await store.write([Change("things", name, body)], "ann")


HISTORY = [
    *[("a", {"n": 1}), ("b", {"n": 1}), ("a", {"n": 2}), ("gone", {"n": 1}), ("gone", None), ("back", {"n": 1})],
    *[("back", None), ("back", {"n": 2}), ("c", {"n": 1}), None, ("a", {"n": 3}), ("c", None), ("b", {"n": 2})],
]


async def pruned(store, *, dry=False, **keep):
    counts = Counter()
    async for what, count in prune(store, Keep(**keep), dry=dry):
        counts[what] += count
    return counts


async def test_old_generations_go_and_those_that_are_kept_look_as_before(store, database_url):
    await written(store, *HISTORY)
    before = {number: await store.at(number) for number in range(9, 13)}
    versions = {each.name: each.version for each in (await store.whole()).objects}

    told = await pruned(store, dry=True, generations=1)
    assert len(await store.history()) == 12
    assert await pruned(store, generations=1) == told == {"generations": 8, "changes": 5}
    assert {number: await store.at(number) for number in range(9, 13)} == before
    assert [head.number for head, _ in await store.history()] == [12, 11, 10, 9]
    for number in range(1, 9):
        with pytest.raises(Missing, match=f"generation {number} is not kept any more; 9 is the oldest"):
            await store.at(number)
    assert {each.name: each.version for each in (await store.whole()).objects} == versions
    assert not await pruned(store, generations=1)
    made = await store.write([Change("things", "a", {"n": 4})], "ann")
    assert (made.number, (await store.get("things", "a")).version) == (13, 4)


@pytest.mark.parametrize(("keep", "left"), [({"generations": 5}, 6), ({}, 12), ({"changes": 600 * DAY}, 12)])
async def test_the_newest_generations_stay_however_old_they_are(store, keep, left):
    await written(store, *HISTORY)
    await pruned(store, **keep)
    assert len(await store.history()) == left


async def test_who_is_further_behind_than_what_is_kept_reads_everything_anew(store, database_url):
    await written(store, *HISTORY[:5])
    other = await open_store(database_url, Keys.written(KEY))
    try:
        assert (await other.current()).generation.number == 5
        await written(store, ("back", {"n": 1}), ("gone", {"n": 2}), ("b", None), None, ("c", {"n": 1}))
        assert (await pruned(store, generations=1))["changes"]
        assert await other.current() == await store.whole()
    finally:
        await other.close()


async def names(store):
    async with store.database.transaction() as connection:
        return (await connection.execute(select(nodes.c.node).order_by(nodes.c.node))).scalars().all()


async def test_what_is_old_goes_in_the_background_and_a_node_that_is_gone_goes_too(store):
    await written(store, *HISTORY)
    head = await store.head()
    store.clock = lambda: 1e9
    await store.acknowledge("gone", head)
    store.clock = lambda: 1e9 + 500 * DAY
    await store.acknowledge("here", head)
    store.prune_at = time.monotonic()
    task = asyncio.create_task(in_background(store, Keep(generations=1)))
    try:
        async with asyncio.timeout(60):
            while len(await store.history()) > 4 or len(await store.nodes()) > 1:
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nobody_who_writes_waits_for_what_is_removed(postgres_url):
    store = await opened(postgres_url)
    try:
        async with store.aside():
            async with asyncio.timeout(30):
                assert (await store.write([Change("things", "a", {"n": 1})], "ann")).number == 1
    finally:
        await store.close()


def hookgate(folder, *words):
    options = {"keep": {"changes": "1ms", "generations": 2}}
    environ = {**os.environ, "HOOKGATE_SOURCE": "store", "HOOKGATE_SOURCE_OPTIONS": json.dumps(options)}
    command = [sys.executable, "-m", "hookgate", *words]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_command_removes_what_is_old_and_says_so_before(tmp_path):
    (tmp_path / "gateway.yaml").write_text("{}")
    hookgate(tmp_path, "storage", "upgrade", "gateway.yaml")

    async def write():
        store = await open_store(
            f"sqlite:///{tmp_path / 'hookgate-store.db'}", Keys.in_file(tmp_path / "hookgate-store.key")
        )
        try:
            for number in range(6):
                await store.write([Change("things", "a", {"n": number})], "ann")
        finally:
            await store.close()

    asyncio.run(write())
    said = "3 generations, 3 changes"
    assert f"{said} would be removed" in hookgate(tmp_path, "storage", "prune", "gateway.yaml", "--dry-run")
    assert f"{said} were removed" in hookgate(tmp_path, "storage", "prune", "gateway.yaml")
