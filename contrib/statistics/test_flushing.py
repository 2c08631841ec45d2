"""What an answer is made of when a batch still waits from before."""

import asyncio

from hookgate.testing import TestHost
from hookgate_statistics import Flushing


class Counted:
    """Calls that were counted, one batch after the other."""

    lost = 0

    def __init__(self):
        self.now = []

    def take(self):
        taken, self.now = self.now, []
        return taken

    def drop(self, batch, waiting):
        raise AssertionError("nothing is dropped")


class Store:
    """Takes the place of the thread with the database, which stands still at first."""

    def __init__(self):
        self.going, self.asked = asyncio.Event(), asyncio.Event()
        self.written = []

    async def do(self, work):
        self.asked.set()
        await self.going.wait()
        return await work(self)


async def test_an_answer_has_what_was_counted_also_where_a_batch_of_before_still_waits():
    store, counts = Store(), Counted()

    async def add(database, name, number, at, batch):
        database.written.append((number, batch))

    async def forget(database, now):
        raise AssertionError("nothing is forgotten")

    flushing = Flushing(TestHost(), "counts", counts, store, add=add, forget=forget, pause=60, waiting=10)
    counts.now = ["a call"]
    writing = asyncio.create_task(flushing.flush())
    await store.asked.wait()
    writing.cancel()  # whoever asked for it waits no longer
    await asyncio.wait({writing})
    store.going.set()
    counts.now = ["another"]

    async def seen(database):
        return [batch for _, batch in database.written]

    assert await flushing.ask(seen) == [["a call"], ["another"]]
    assert [number for number, _ in store.written] == [1, 2]
