"""Applications and subscriptions in each kind of database: at the same time, and with whom they go."""

import asyncio

import pytest

from hookgate_apimanager.applications import ApplicationChange, Applications
from hookgate_apimanager.keys import ApiKeys, Clients
from hookgate_apimanager.pruning import old_changes
from hookgate_apimanager.register import Register
from hookgate_apimanager.standing import standing, whose
from hookgate_apimanager.subscriptions import Subscriptions, Wanted
from hookgate_people import By, InUse
from hookgate_storage import Exists, Keep, Missing, Stale

BY = By("the test")


@pytest.fixture
async def register(stored):
    made = Register(stored)
    for name in ("ann", "bob"):
        await made.people.users.make(BY, name, None)
    return made


async def both(register, owner="ann", name="shop", api="orders 1.0"):
    application = await Applications(register).make(BY, owner, name, "Gold")
    made = await Subscriptions(register).make(BY, application.id, api, "Silver", most=10)
    return application, made


async def test_of_many_at_a_time_one_is_made(register):
    applications, subscriptions = Applications(register), Subscriptions(register)
    application, _ = await both(register)

    made = await asyncio.gather(
        *(subscriptions.make(BY, application.id, "news", "Gold", most=10) for _ in range(5)),
        *(applications.make(BY, "ann", "twice", "Gold") for _ in range(5)),
        return_exceptions=True,
    )
    wrong = [each for each in made if isinstance(each, Exception)]
    assert [type(each) for each in wrong] == [Exists] * 8
    found = await asyncio.gather(*(applications.default_of(BY, "bob", "Default", "Gold", "") for _ in range(5)))
    assert len({each.id for each in found}) == 1
    few = await asyncio.gather(
        *(applications.make(BY, "bob", f"n{number}", "Gold", most=3) for number in range(5)), return_exceptions=True
    )
    assert [type(each) for each in few if isinstance(each, Exception)] == [InUse] * 3
    assert (await register.people.audit.check()).broken == ""


async def test_how_a_client_stands_is_what_was_written_last(register):
    application, made = await both(register)
    subscriptions, clients = Subscriptions(register), Clients(register)

    async def now(client="a-client", api="orders 1.0"):
        found = await standing(register, client, api)
        return found.value.refused and found.value.refused.code

    assert await now() == 900908
    await clients.keep(BY, application, "a-client", "production", mapped=False)
    assert (await now(), await now(api="news"), await now("another")) == (None, 900908, 900908)
    told = (await standing(register, "a-client", "orders 1.0")).value.told
    assert (told["id"], told["tier"], told["application_tier"], told["owner"]) == (made.id, "Silver", "Gold", "ann")
    for status, code in (("PROD_ONLY_BLOCKED", 900907), ("PENDING", 900909), ("REJECTED", 900909), ("ACTIVE", None)):
        await subscriptions.change(BY, made.id, status=status)
        assert await now() == code
    changed = await Applications(register).change(BY, application.id, ApplicationChange(blocked=True), 1)
    assert (changed.version, await now()) == (2, 900907)
    with pytest.raises(Stale):
        await Applications(register).change(BY, application.id, ApplicationChange(blocked=False), 1)
    with pytest.raises(Exists):
        await clients.keep(BY, application, "second", "production", mapped=False)


async def test_what_is_a_users_goes_with_the_user_and_clients_are_left_for_the_key_manager(register):
    application, made = await both(register)
    await both(register, "bob")
    await Clients(register).keep(BY, application, "a-client", "production", mapped=False)
    key, _ = await ApiKeys(register).make(BY, application, "sandbox", "a key")
    assert (await whose(register, key)).value.application == application.id

    await register.people.users.remove(BY, "ann")
    assert [each.owner for each in await Subscriptions(register).page(Wanted())] == ["bob"]
    assert await Applications(register).get(application.id) is None
    assert (await whose(register, key)).value is False
    assert (await standing(register, "a-client", "orders 1.0")).value.refused.code == 900908
    assert [each.client_id for each in await Clients(register).left_over()] == ["a-client"]
    await Clients(register).forget("a-client")
    assert await Clients(register).left_over() == []
    with pytest.raises(Missing):
        await Applications(register).make(BY, "ann", "shop", "Gold")
    with pytest.raises(Missing):
        await Subscriptions(register).change(BY, made.id, tier="Gold")


async def test_numbers_of_changes_go_on_after_those_that_are_old_are_removed(register):
    application, _ = await both(register)
    told = []
    register.listeners.append(lambda kind, value: told.append((kind, value)))
    for tier in ("Bronze", "Silver", "Gold"):
        await Applications(register).change(BY, application.id, ApplicationChange(tier=tier))
    register.store.clock = lambda: 10**10
    assert [count async for _, count in old_changes(register.store, Keep(), False)] == [3]
    told.clear()
    await Applications(register).change(BY, application.id, ApplicationChange(tier="Silver"))
    assert told == [("application", application.id)]
