"""Old entries of the audit go, and what is left can be checked; tokens that have ended and sessions go with them."""

from collections import Counter

import pytest
from sqlalchemy import delete, func, select

from hookgate_people import By, People, Wanted
from hookgate_people.tables import audit, sessions, tokens
from hookgate_storage import Keep, prune
from hookgate_storage.tables import facts

DAY = 86400.0
ANN = By("ann", "192.0.2.1")


class Clock:
    now = 1e9

    def __call__(self):
        return self.now


@pytest.fixture
async def people(stored):
    clock = stored.clock = Clock()
    return People(stored, clock)


async def pruned(people, **keep):
    counts = Counter()
    async for what, count in prune(people.store, Keep(**keep)):
        counts[what] += count
    return counts


async def noted(people, *numbers):
    for number in numbers:
        await people.audit.noted(ANN, "try", f"things/{number}", "refused: 403")


async def test_the_chain_of_the_audit_is_whole_behind_what_was_removed(people):
    await noted(people, *range(1, 7))
    told = await people.audit.check()
    people.store.clock.now += 900 * DAY
    await noted(people, 7, 8)

    assert await pruned(people) == {"entries of the audit": 6}
    assert [each.number for each in await people.audit.page(Wanted())] == [8, 7]
    found = await people.audit.check()
    assert (found.number, found.broken) == (8, "")
    assert await people.audit.hash_of(told.number) == told.hash  # what was noted then can still be compared
    assert await people.audit.oldest() == 6
    assert not await pruned(people)
    await noted(people, 9)
    assert (await people.audit.check()).broken == ""


async def test_a_beginning_that_somebody_else_has_removed_shows(people):
    await noted(people, 1, 2, 3)
    people.store.clock.now += 900 * DAY
    await noted(people, 4, 5, 6)
    await pruned(people)
    async with people.store.database.transaction(writes=True) as connection:
        await connection.execute(delete(audit).where(audit.c.number == 4))
    assert (await people.audit.check()).broken == "entry 4 is missing"
    async with people.store.database.transaction(writes=True) as connection:
        await connection.execute(delete(facts).where(facts.c.name == "audit/start"))
    assert (await people.audit.check()).broken == "entries 1 to 4 are missing"


async def test_the_last_entry_stays_whatever_its_age(people):
    await noted(people, 1, 2, 3)
    people.store.clock.now += 9000 * DAY
    assert await pruned(people) == {"entries of the audit": 2}
    assert (await people.audit.check()).broken == ""


async def test_tokens_go_some_time_after_their_end_and_sessions_at_it(people):
    await people.users.make(ANN, "bob", "correct horse battery")
    await people.tokens.make(ANN, "bob", "short", seconds=DAY)
    await people.tokens.make(ANN, "bob", "long")
    await people.sessions.begin(By("bob"), "password")

    async def left():
        async with people.store.database.transaction() as connection:
            return [
                (await connection.execute(select(func.count()).select_from(t))).scalar() for t in (tokens, sessions)
            ]

    people.store.clock.now += 30 * DAY
    assert await pruned(people) == {"sessions that are over": 1}
    assert await left() == [2, 0]
    people.store.clock.now += 2 * DAY
    assert await pruned(people) == {"tokens that have ended": 1}
    assert await left() == [1, 0]
