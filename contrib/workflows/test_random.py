"""The same comes of every definition, whoever runs it, wherever its journal lies, and whenever processes end."""

import asyncio

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from hookgate_storage import Database
from hookgate_storage.upgrading import upgrade
from hookgate_workflows.engine import GONE

from .randomly import WHOLE, Clock, Made, process, run
from .served import tables

DEATHS = st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=3)

UNREPEATABLE = ("all", ("act", False, True, False))
"""A call that is under way when its process ends: a person decides, and somebody else runs it."""


def check(executing, examples):
    """Run so many definitions."""

    async def once(block, deaths):
        database = Database(executing.url)
        try:
            await run(database, executing.name, block, deaths)
        finally:
            await database.close()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # a definition is small, and to make it smaller takes minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(WHOLE, DEATHS)
    @example(UNREPEATABLE, [(3, True)])
    def each(block, deaths):
        asyncio.run(once(block, deaths))

    asyncio.run(tables(executing.url))
    each()


def test_the_same_comes_of_a_definition_wherever_it_runs_and_whoever_dies(executing):
    check(executing, 8)


async def test_an_instance_whose_definition_is_gone_says_so_and_is_tried_again(database_url):
    """What an installation cannot run any more is no riddle."""
    database, clock, made = Database(database_url), Clock(), Made(UNREPEATABLE)
    await upgrade(database)
    async with process(database, clock, "local", made.graph) as first:
        instance = await first.engine.make(made.graph, {})
        await first.engine.store(instance, hold=False)
    async with process(database, clock, "local", Made(("set",)).graph) as second:
        assert await second.engine.claim(instance.id) is None
        row = await second.engine.journal.read(instance.id)
    async with process(database, clock, "local", made.graph) as third:
        clock.ahead += GONE
        again = await third.engine.claim(instance.id)
    await database.close()

    assert (row["status"], row["waits"], row["lease"]) == ("ACTIVE", "time", None)
    assert row["reason"] == "its definition is not there any more; it is tried again each 60 s"
    assert (again.waits, again.reason) == ("", "")
