"""The queue by itself; what it does for workflows stands in the contract of executors, in `contrib/workflows`."""

import asyncio

import pytest
from sqlalchemy import text

from contrib.workflows.served import document, refused, workflow
from hookgate_procrastinate.queue import SCHEMA, Queue
from hookgate_storage import Database
from hookgate_storage.upgrading import downgrade, upgrade

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
async def database(postgres_url):
    """A database with tables."""
    made = Database(postgres_url)
    await upgrade(made)
    yield made
    await made.close()


class Node:
    """A worker, and what it has run."""

    def __init__(self, database, at_once=10):
        self.ran, self.changed = [], asyncio.Event()
        self.queue = Queue(database.plain_url, lease=1, poll=0.1, at_once=at_once, run=self.run)
        self.opened, self.free = asyncio.Event(), asyncio.Event()
        self.free.set()

    async def run(self, instance):
        self.ran.append(instance)
        self.changed.set()
        await self.free.wait()

    async def __aenter__(self):
        self.working = asyncio.create_task(self.queue.work(self.opened.set))
        async with asyncio.timeout(10):
            await self.opened.wait()
        return self

    async def __aexit__(self, *_):
        self.working.cancel()
        await asyncio.gather(self.working, return_exceptions=True)

    async def until(self, instances):
        async with asyncio.timeout(10):
            while set(instances) - set(self.ran):
                self.changed.clear()
                await self.changed.wait()


async def count(database):
    async with database.transaction() as connection:
        return (await connection.execute(text(f"SELECT count(*) FROM {SCHEMA}.procrastinate_jobs"))).scalar_one()


async def test_each_instance_is_taken_by_one_node_and_nothing_is_left(database):
    async with Node(database) as first, Node(database) as second:
        await asyncio.gather(*(each.queue.put(range(40)) for each in (first, second)))
        async with asyncio.timeout(10):
            while await count(database):
                await asyncio.sleep(0.02)

    assert set(first.ran) | set(second.ran) == set(range(40))


async def test_what_waits_is_not_put_in_twice(database):
    async with Node(database, at_once=1) as node:
        node.free.clear()
        await node.queue.put([99])
        await node.until([99])
        await asyncio.gather(*(node.queue.put([1, 2, 3]) for _ in range(3)))
        await node.queue.put([3, 4])
        node.free.set()
        await node.until([1, 2, 3, 4])

    assert sorted(node.ran) == [1, 2, 3, 4, 99]


async def test_a_worker_that_is_cut_off_says_so_and_the_next_one_goes_on(database):
    async with Node(database) as node:
        async with database.transaction() as connection:
            await connection.execute(text(CUT))
        done, _ = await asyncio.wait([node.working], timeout=10)
    assert done
    assert node.working.exception() is not None

    async with Node(database) as again:
        await again.queue.put([7])
        await again.until([7])


async def test_jobs_of_a_worker_that_has_ended_are_removed(database):
    dead = text(
        f"INSERT INTO {SCHEMA}.procrastinate_jobs (queue_name, task_name, status) VALUES ('workflows', 'run', 'doing')"
    )
    async with database.transaction(writes=True) as connection:
        await connection.execute(dead)
    async with Node(database) as node:
        await node.queue.tidy()
        assert await count(database) == 0


async def test_its_tables_go_and_come_again(database):
    await downgrade(database, "procrastinate@base")
    async with database.transaction() as connection:
        found = await connection.execute(text(f"SELECT 1 FROM pg_namespace WHERE nspname = '{SCHEMA}'"))
        assert found.all() == []
    await upgrade(database)
    assert await count(database) == 0


def test_a_store_in_sqlite_has_no_queue(tmp_path):
    routes = [{"route": "/none", "method": "get", "workflow": "a", "public": True}]
    made = document({"a": workflow()}, routes, workflow_engine={"executor": "procrastinate"})

    assert "needs a store in PostgreSQL" in refused(tmp_path, made)
