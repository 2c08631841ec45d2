import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text, update

from contrib.prepared import prepare
from hookgate_storage import (
    Change,
    Exists,
    Keys,
    Missing,
    Moved,
    Refused,
    SealBroken,
    Stale,
    StoreError,
    open_store,
    snapshot,
)
from hookgate_storage import database as limits
from hookgate_storage import digest as digests
from hookgate_storage.backup import backup, restore
from hookgate_storage.database import Database
from hookgate_storage.sealing import new_key
from hookgate_storage.tables import objects
from hookgate_storage.upgrading import downgrade, upgrade, wanted

KEY = new_key()
SECRET = "the-password-of-crm"
CRM = {"targets": "http://crm", "auth": [{"basic": {"username": "ann", "password": SECRET}}]}


async def made(url, keys=KEY):
    await prepare(url)
    return await open_store(url, Keys.written(keys))


@pytest.fixture
async def store(database_url):
    store = await made(database_url)
    yield store
    await store.close()


async def test_what_was_written_is_there_with_a_version_and_a_generation(store):
    first = await store.write([Change("connections", "crm", CRM)], "ann", "the first")
    second = await store.write([Change("connections", "crm", {"targets": "http://other"})], "bob")
    held = await store.get("connections", "crm")

    assert (first.number, first.author, first.comment, first.count) == (1, "ann", "the first", 1)
    assert (held.body, held.version, held.generation) == ({"targets": "http://other"}, 2, second.number)
    assert await store.get("connections", "other") is None


async def test_what_a_write_expects_holds_or_nothing_is_stored(store):
    await store.write([Change("connections", "crm", CRM)], "ann")
    good = Change("connections", "good", CRM)

    for change, error in [
        (Change("connections", "crm", CRM, version=0), Exists),
        (Change("connections", "nobody", None), Missing),
        (Change("connections", "nobody", CRM, version=3), Missing),
        (Change("connections", "crm", CRM, version=7), Stale),
        (Change("connections", "crm", None, version=7), Stale),
    ]:
        with pytest.raises(error):
            await store.write([good, change], "ann")
    with pytest.raises(Moved):
        await store.write([good], "ann", ground=0)

    assert (await store.head()).number == 1
    assert await store.get("connections", "good") is None


@pytest.mark.parametrize("name", ["", " crm", "a\nb", "a\0b", "x" * 201])
async def test_a_name_that_is_none_is_refused(store, name):
    with pytest.raises(Refused, match="is no name"):
        await store.write([Change("connections", name, CRM)], "ann")


@pytest.mark.parametrize("body", [{"x": object()}, {"x": {1, 2}}, {"x": 2**70}, {"x": "y" * 2_000_000}])
async def test_a_body_that_is_no_json_or_too_long_is_refused(store, body):
    with pytest.raises(Refused, match="body"):
        await store.write([Change("connections", "crm", body)], "ann")


async def test_generations_have_no_gaps_whoever_writes_at_the_same_time(store, database_url):
    other = await open_store(database_url, Keys.written(KEY))
    try:
        done = await asyncio.gather(
            *(
                each.write([Change("routes", f"{n}-{i}", {"n": n})], "ann")
                for i in range(10)
                for n, each in enumerate((store, other))
            )
        )
    finally:
        await other.close()

    assert sorted(each.number for each in done) == list(range(1, 21))
    assert (await store.whole()).generation.count == 20


CHANGES = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.one_of(st.none(), st.dictionaries(st.text(max_size=3), st.integers(-(2**53), 2**53)))
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES)
def test_the_digest_is_that_of_what_is_held_whatever_was_written(tmp_path_factory, written):
    async def run():
        store = await made(f"sqlite:///{tmp_path_factory.mktemp('store') / 'store.db'}")
        held = {}
        try:
            for name, body in written:
                if body is None and name not in held:
                    with pytest.raises(Missing):
                        await store.write([Change("things", name, None)], "ann")
                    continue
                await store.write([Change("things", name, body)], "ann")
                held = {key: each for key, each in {**held, name: body}.items() if each is not None}
            whole = await store.whole()
            earlier = await store.at(whole.generation.number)
        finally:
            await store.close()
        assert {each.name: each.body for each in whole.objects} == held
        assert {each.name: each.body for each in earlier} == held
        total = sum(
            digests.share(store.secret, "things", each.name, each.version, digests.canonical(each.body))
            for each in whole.objects
        )
        assert whole.generation.digest == digests.shown(total)

    asyncio.run(run())


async def test_every_generation_can_be_looked_at(store):
    await store.write([Change("connections", "crm", {"n": 1}), Change("routes", "r", {"n": 1}, "list")], "ann")
    await store.write([Change("connections", "crm", {"n": 2})], "bob", "better")
    await store.write([Change("connections", "crm", None)], "ann")

    assert [{f"{o.kind}/{o.name}": o.body["n"] for o in await store.at(n)} for n in range(4)] == [
        {},
        {"connections/crm": 1, "routes/r": 1},
        {"connections/crm": 2, "routes/r": 1},
        {"routes/r": 1},
    ]
    told = await store.history("connections", "crm")
    assert [(head.number, head.author, [c.body for c in changes]) for head, changes in told] == [
        (3, "ann", [None]),
        (2, "bob", [{"n": 2}]),
        (1, "ann", [{"n": 1}]),
    ]
    with pytest.raises(Missing, match="there is no generation 4"):
        await store.at(4)


async def test_a_version_is_never_used_twice(store):
    await store.write([Change("connections", "crm", {"n": 1})], "ann")
    await store.write([Change("connections", "crm", None)], "ann")
    await store.write([Change("connections", "crm", {"n": 2})], "ann")

    assert (await store.get("connections", "crm")).version == 3


@pytest.mark.parametrize("how", ["removed", "older", "moved"])
async def test_what_was_changed_behind_its_back_is_noticed(store, how):
    await store.write([Change("connections", "crm", {"n": 1}), Change("connections", "other", {"n": 1})], "ann")
    async with store.database.transaction(writes=True) as connection:
        here = objects.c.name == "crm"
        if how == "removed":
            await connection.execute(delete(objects).where(here))
        elif how == "older":
            await connection.execute(update(objects).where(here).values(version=7))
        else:
            sealed = (
                await connection.execute(text("SELECT sealed FROM hookgate_objects WHERE name = 'other'"))
            ).scalar()
            await connection.execute(update(objects).where(here).values(sealed=sealed))

    with pytest.raises(StoreError, match=r"does not hold what generation 1 says|is damaged, or was put there"):
        await store.whole()


async def test_a_copy_of_the_database_shows_no_secret_and_no_body(tmp_path):
    store = await made(f"sqlite:///{tmp_path / 'store.db'}")
    await store.write([Change("connections", "crm", CRM)], "ann")
    await backup(store.database, tmp_path / "backup.gz")
    await store.close()

    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file
        assert b"http://crm" not in file.read_bytes(), file


async def test_another_key_opens_nothing(store, database_url):
    with pytest.raises(SealBroken, match="is not the key of the store"):
        await open_store(database_url, Keys.written(new_key()))


async def test_a_new_key_seals_everything_anew_and_the_old_one_opens_nothing_then(store, database_url):
    await store.write([Change("connections", f"c{n}", CRM) for n in range(20)], "ann")
    new = new_key()
    both = await open_store(database_url, Keys.written(f"{new}\n{KEY}"))
    done = [count async for count in both.reseal()]
    await both.close()
    alone = await open_store(database_url, Keys.written(new))
    whole = await alone.whole()
    await alone.close()

    assert sum(done) == 41  # twenty objects, their changes, and the key of the digest
    assert len(whole.objects) == 20
    with pytest.raises(SealBroken):
        await open_store(database_url, Keys.written(KEY))


async def test_a_backup_makes_the_same_store_in_another_database(store, tmp_path):
    await store.write([Change("connections", "crm", CRM)], "ann", "one")
    await store.write([Change("routes", "r", {"n": 1}, "list")], "bob")
    await backup(store.database, tmp_path / "backup.gz")
    other = await made(f"sqlite:///{tmp_path / 'other.db'}")
    await other.close()
    database = Database(f"sqlite:///{tmp_path / 'other.db'}")
    await restore(database, tmp_path / "backup.gz")
    with pytest.raises(StoreError, match="is not empty"):
        await restore(database, tmp_path / "backup.gz")
    await database.close()
    other = await open_store(f"sqlite:///{tmp_path / 'other.db'}", Keys.written(KEY))
    whole = await other.whole()
    await other.close()

    assert whole == await store.whole()


@pytest.mark.parametrize("harm", ["cut", "nonsense", "nothing", "gone"])
async def test_a_backup_that_is_not_all_there_restores_nothing(store, tmp_path, harm):
    await store.write([Change("connections", f"c{n}", CRM) for n in range(200)], "ann")
    file = tmp_path / "backup.gz"
    await backup(store.database, file)
    data = file.read_bytes()
    file.write_bytes({"cut": data[: len(data) // 2], "nonsense": b"x" * 100, "nothing": b"", "gone": b""}[harm])
    if harm == "gone":
        file.unlink()
    await (await made(f"sqlite:///{tmp_path / 'other.db'}")).close()
    database = Database(f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(StoreError, match=r"backup\.gz"):
        await restore(database, file)
    async with database.transaction() as connection:
        count = (await connection.execute(text("SELECT count(*) FROM hookgate_generations"))).scalar()
    await database.close()

    assert count == 0


async def test_tables_go_up_and_down(database_url):
    database = Database(database_url)
    try:
        await upgrade(database)
        assert await database.revision() == wanted() >= {"s0001"}
        await downgrade(database, "base")
        assert await database.revision() == set()
        await upgrade(database)
    finally:
        await database.close()


async def test_tables_that_take_longer_than_a_transaction_may_go_up(database_url, monkeypatch):
    def slowly(told, revision, way=command.upgrade):
        for _ in range(2):
            told.attributes["connection"].execute(text("SELECT 1"))
            time.sleep(0.3)
        way(told, revision)

    monkeypatch.setattr(command, "upgrade", slowly)
    monkeypatch.setattr(limits, "PATIENCE", 0.2)
    monkeypatch.setattr(limits, "IDLE", 0.2)
    database = Database(database_url)
    try:
        await upgrade(database)
        monkeypatch.undo()
        assert await database.revision() == wanted()
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE alembic_version SET version_num = 'zzz' WHERE version_num = 's0001'", "is of a newer version"),
        ("DELETE FROM alembic_version", "has no tables; run hookgate storage upgrade"),
    ],
)
async def test_tables_of_another_version_are_named(store, database_url, statement, said):
    async with store.database.transaction(writes=True) as connection:
        await connection.execute(text(statement))

    with pytest.raises(StoreError, match=said):
        await open_store(database_url, Keys.written(KEY))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "is none"),
        ("mysql://x/y", "not in 'mysql'"),
        ("sqlite://", "has a file"),
        ("sqlite:////nowhere/at/all.db", "is away"),
        ("postgresql://ann:pw-of-ann@127.0.0.1:9/x", "is away"),
    ],
)
async def test_a_database_that_cannot_be_reached_is_named_without_its_password(url, said):
    with pytest.raises(StoreError, match=said) as caught:
        await open_store(url, Keys.written(KEY))

    assert "pw-of-ann" not in str(caught.value)


async def test_a_file_that_is_no_database_is_damaged(tmp_path):
    (tmp_path / "store.db").write_bytes(b"nonsense" * 1000)

    with pytest.raises(StoreError, match="is damaged"):
        await open_store(f"sqlite:///{tmp_path / 'store.db'}", Keys.written(KEY))


@pytest.mark.parametrize("written", ["", "c2hvcnQ=", "no base64!"])
def test_a_key_that_is_none_is_refused(written):
    with pytest.raises(StoreError, match="32 bytes, written in base64"):
        Keys.written(written)


def test_a_key_that_others_may_read_is_refused(tmp_path):
    Keys.in_file(tmp_path / "key", make=True)
    (tmp_path / "key").chmod(0o644)

    with pytest.raises(StoreError, match="chmod 600"):
        Keys.in_file(tmp_path / "key")


async def test_nodes_say_how_far_they_are(store):
    first = await store.write([Change("routes", "r", {"n": 1})], "ann")
    second = await store.write([Change("routes", "r", {"n": 2})], "ann")
    await store.acknowledge("one", second)
    await store.acknowledge("two", first, [{"kind": "routes", "name": "r", "why": "bad"}])

    late = await store.live(second.number, 0.2)
    assert [(node.node, node.generation) for node in late] == [("one", 2), ("two", 1)]
    assert late[1].rejected == ({"kind": "routes", "name": "r", "why": "bad"},)
    await store.acknowledge("two", second)
    assert {node.generation for node in await store.live(second.number, 30)} == {2}
    store.clock = lambda: 2e9
    assert await store.nodes() == []


WRITER = """
import asyncio, sys
from hookgate_storage import Change, Keys, open_store

async def main():
    store = await open_store(sys.argv[1], Keys.written(sys.argv[2]))
    async def write(n):
        for i in range(1000):
            made = await store.write([Change("things", f"{n}-{i}", {"n": n, "i": i})], "ann")
            print(made.number, f"{n}-{i}", flush=True)
    await asyncio.gather(*(write(n) for n in range(8)))

asyncio.run(main())
"""


async def test_a_killed_writer_has_lost_nothing_that_was_acknowledged(store, database_url):
    process = subprocess.Popen([sys.executable, "-c", WRITER, database_url, KEY], stdout=subprocess.PIPE, text=True)
    try:
        told = [process.stdout.readline() for _ in range(random.Random(7).randint(20, 60))]
    finally:
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().splitlines(keepends=True)
        process.wait(60)
        process.stdout.close()
    acknowledged = [line.split() for line in told if line.endswith("\n")]
    whole = await store.whole()
    held = {each.name: each for each in whole.objects}

    assert len(acknowledged) >= 20
    for number, name in acknowledged:
        assert held[name].generation == int(number)
    assert whole.generation.number == len(held) == whole.generation.count  # none is half there
    assert json.dumps(sorted(each.generation for each in held.values())) == json.dumps([*range(1, len(held) + 1)])


async def test_a_snapshot_that_does_not_hold_what_its_generation_says_is_refused(store, tmp_path):
    await store.write([Change("routes", "a", {"x": 1}), Change("routes", "b", {"x": 2})], "ann")
    whole, path = await store.whole(), tmp_path / "snapshot"
    snapshot.keep(path, whole, store.keys, store.secret)
    assert snapshot.kept(path, store.keys) == whole

    for objects_of_it in (whole.objects[:1], (*whole.objects, whole.objects[0]), ()):
        snapshot.keep(path, replace(whole, objects=objects_of_it), store.keys, store.secret)
        with pytest.raises(StoreError, match="does not hold what generation 1 says"):
            snapshot.kept(path, store.keys)
