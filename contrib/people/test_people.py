import asyncio
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text, update

from contrib.prepared import prepare
from hookgate_people import By, Denied, InUse, People, RoleChange, TooMany, UserChange, Wanted
from hookgate_people.granting import circle
from hookgate_people.limits import MOST
from hookgate_people.tables import audit, audit_head, logins, users
from hookgate_storage import Change, Database, Exists, Keys, Missing, Refused, Stale, open_store
from hookgate_storage.backup import backup, restore
from hookgate_storage.sealing import new_key
from hookgate_storage.upgrading import downgrade, upgrade, wanted

KEY = new_key()
ANN = By("ann", "192.0.2.1")
PASSWORD = "correct horse battery"


async def opened(url):
    await prepare(url)
    return await open_store(url, Keys.written(KEY))


@pytest.fixture
async def people(database_url):
    store = await opened(database_url)
    made = People(store)
    store.watchers["people"] = made.written
    yield made
    await store.close()


@pytest.fixture
async def bob(people):
    await people.roles.make(ANN, "routes", ["api_route"])
    await people.users.make(ANN, "bob", PASSWORD, "Bob", ["routes"])
    return people


async def test_a_user_logs_in_and_has_the_permissions_of_roles_and_of_roles_inside(people):
    await people.roles.make(ANN, "reader", ["read"])
    await people.roles.make(ANN, "routes", ["api_route"], ["reader"])
    await people.roles.make(ANN, "all", ["api_api-connection"], ["routes"])
    await people.users.make(ANN, "bob", PASSWORD, "Bob", ["all"])

    person = await people.login("bob", PASSWORD)
    assert (person.name, person.roles) == ("bob", {"all", "routes", "reader"})
    assert person.permissions == {"read", "api_route", "api_connection"} == await people.permissions("bob")
    assert await people.permissions("nobody") == frozenset()


@pytest.mark.passwords_as_they_are
async def test_passwords_are_argon2id_and_tokens_are_nowhere(bob):
    token, _ = await bob.tokens.make(ANN, "bob", "ci")
    async with bob.store.database.transaction() as connection:
        hashed = (await connection.execute(text("SELECT hash FROM hookgate_users"))).scalar()
        kept = (await connection.execute(text("SELECT hash FROM hookgate_tokens"))).scalar()

    assert hashed.startswith("$argon2id$")
    assert len(kept) == 32
    assert token.encode() not in kept


@pytest.mark.parametrize("who", ["wrong", "nobody", "disabled", "service", "strange"])
async def test_whoever_is_not_let_in_is_told_the_same(bob, who):
    await bob.users.make(ANN, "off", PASSWORD, disabled=True)
    await bob.users.make(ANN, "robot", None)
    name = {"wrong": "bob", "nobody": "carl", "disabled": "off", "service": "robot", "strange": "a\0b"}[who]
    password = "not the right one" if who == "wrong" else PASSWORD

    with pytest.raises(Denied) as caught:
        await bob.login(name, password)
    assert str(caught.value) == str(Denied())
    assert (await bob.audit.page(Wanted(action="login")))[0].outcome == "refused: wrong name or password"


@pytest.mark.passwords_as_they_are
async def test_a_name_that_nobody_has_takes_as_long(bob):
    async def seconds(name):
        begun = time.perf_counter()
        with pytest.raises(Denied):
            await bob.login(name, "not the right one")
        return time.perf_counter() - begun

    both = [(await seconds("bob"), await seconds("carl")) for _ in range(4)]
    known, unknown = (min(each) for each in zip(*both, strict=True))

    assert unknown > known / 3  # without the work of a hash it is less than a tenth


@pytest.mark.parametrize("name", ["bob", "nobody"])
async def test_ten_failures_lock_a_name_for_fifteen_minutes(bob, name, monkeypatch):
    async def wrong(password, known):
        return known is not None and password == PASSWORD

    monkeypatch.setattr(bob._passwords, "right", wrong)
    now = [1_000_000.0]
    bob._clock = lambda: now[0]
    for _ in range(10):
        with pytest.raises(Denied):
            await bob.login(name, "wrong")
    with pytest.raises(TooMany, match="locked") as caught:
        await bob.login(name, PASSWORD)
    assert caught.value.seconds == 900
    now[0] += 899
    with pytest.raises(TooMany):
        await bob.login(name, PASSWORD)
    now[0] += 2
    if name == "bob":
        assert (await bob.login(name, PASSWORD)).name == "bob"
    with pytest.raises(Denied):
        await bob.login(name, "wrong")


async def test_many_attempts_at_a_time_are_no_more_than_ten(bob, monkeypatch):
    asked = []

    async def wrong(password, known):
        asked.append(password)
        await asyncio.sleep(0)
        return False

    monkeypatch.setattr(bob._passwords, "right", wrong)
    guesses = (bob.login("bob", f"guess {n}", f"192.0.2.{n}") for n in range(30))
    done = await asyncio.gather(*guesses, return_exceptions=True)

    assert len(asked) == 10
    assert sorted({type(each).__name__ for each in done}) == ["Denied", "TooMany"]


async def test_attempts_through_several_gateways_are_no_more_than_ten(bob, monkeypatch):
    asked = []

    async def wrong(password, known):
        asked.append(password)
        await asyncio.sleep(0)
        return False

    gates = [People(bob.store) for _ in range(15)]
    for each in gates:
        monkeypatch.setattr(each._passwords, "right", wrong)
    await asyncio.gather(*(each.login("bob", "a guess") for each in gates), return_exceptions=True)

    assert len(asked) == 10


async def test_many_calls_at_a_time_with_the_right_password_lock_nobody_out(bob):
    done = await asyncio.gather(*(bob.login("bob", PASSWORD) for _ in range(20)))

    assert {each.name for each in done} == {"bob"}
    async with bob.store.database.transaction() as connection:
        assert (await connection.execute(logins.select())).all() == []


async def test_an_address_from_which_too_many_logins_fail_is_refused(people, monkeypatch):
    async def wrong(password, known):
        return False

    monkeypatch.setattr(people._passwords, "right", wrong)
    for n in range(MOST):
        with pytest.raises(Denied):
            await people.login(f"n{n}", "x", "2001:db8::1")
    with pytest.raises(TooMany, match="address"):
        await people.login("other", "x", "2001:db8::2")
    with pytest.raises(Denied):
        await people.login("other", "x", "2001:db8:1::2")


async def test_a_password_that_was_changed_or_a_user_that_was_disabled_is_out_at_once(bob):
    await bob.login("bob", PASSWORD)
    await bob.users.change(ANN, "bob", UserChange(password="another password"))
    with pytest.raises(Denied):
        await bob.login("bob", PASSWORD)
    await bob.login("bob", "another password")
    token, _ = await bob.tokens.make(ANN, "bob", "ci")
    await bob.users.change(ANN, "bob", UserChange(disabled=True))
    with pytest.raises(Denied):
        await bob.login("bob", "another password")
    with pytest.raises(Denied):
        await bob.authenticate(token)


async def test_a_token_gives_what_its_scopes_and_its_user_allow_until_it_ends(bob):
    whole, _ = await bob.tokens.make(ANN, "bob", "whole")
    narrow, kept = await bob.tokens.make(ANN, "bob", "narrow", [], seconds=60)
    with pytest.raises(Refused, match="no permission api_connection"):
        await bob.tokens.make(ANN, "bob", "wide", ["api_connection"])
    with pytest.raises(Exists):
        await bob.tokens.make(ANN, "bob", "whole")

    assert (await bob.authenticate(whole)).permissions == {"api_route"}
    assert (await bob.authenticate(narrow)).permissions == frozenset()
    assert (await bob.tokens.get(kept.id)).used is not None
    bob.tokens._clock = lambda: kept.ends
    with pytest.raises(Denied):
        await bob.authenticate(narrow)
    await bob.roles.change(ANN, "routes", RoleChange(permissions=()))
    assert (await bob.authenticate(whole)).permissions == frozenset()
    for nonsense in ("", "hgt_", "hgt_ä", "x" * 1000):
        with pytest.raises(Denied):
            await bob.authenticate(nonsense)


async def test_an_ended_token_and_one_of_a_removed_user_let_nobody_in(bob):
    one, kept = await bob.tokens.make(ANN, "bob", "one")
    other, _ = await bob.tokens.make(ANN, "bob", "other")
    await bob.tokens.end(ANN, kept.id)
    with pytest.raises(Denied):
        await bob.authenticate(one)
    await bob.users.remove(ANN, "bob")
    with pytest.raises(Denied):
        await bob.authenticate(other)
    with pytest.raises(Missing):
        await bob.tokens.end(ANN, kept.id)


async def test_a_narrow_token_of_an_administrator_is_narrow(people):
    await people.first("root", PASSWORD)
    token, _ = await people.tokens.make(ANN, "root", "ci", ["api_api-connection"])

    assert (await people.authenticate(token)).permissions == {"api_connection"}
    with pytest.raises(Exists):
        await people.first("other", PASSWORD)


async def test_a_role_that_would_contain_itself_is_refused(people):
    await people.roles.make(ANN, "a")
    await people.roles.make(ANN, "b", inside=["a"])
    await people.roles.make(ANN, "c", inside=["b"])

    for inside, path in (["c"], "a > c > b > a"), (["a"], "a > a"):
        with pytest.raises(Refused, match=path):
            await people.roles.change(ANN, "a", RoleChange(roles=tuple(inside)))
    assert (await people.roles.get("a")).roles == ()


NAMES = st.sampled_from("abcde")


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.sets(NAMES)), NAMES)
def test_a_circle_is_found_exactly_if_there_is_one(inside, role):
    reached, waiting = set(), [role]
    while waiting:
        for each in inside.get(waiting.pop(), ()):
            if each not in reached:
                reached.add(each)
                waiting.append(each)
    path = circle(inside, role)

    assert bool(path) == (role in reached)
    assert all(after in inside[before] for before, after in itertools.pairwise(path))


async def test_a_role_that_somebody_holds_stays(bob):
    await bob.roles.make(ANN, "outer", inside=["routes"])
    with pytest.raises(InUse, match="users/bob, roles/outer"):
        await bob.roles.remove(ANN, "routes")
    await bob.users.change(ANN, "bob", UserChange(roles=()))
    await bob.roles.remove(ANN, "outer")
    await bob.roles.remove(ANN, "routes")
    assert await bob.roles.page() == []


async def test_the_last_administrator_stays_one(people):
    await people.first("root", PASSWORD)
    for harm in (
        people.users.change(ANN, "root", UserChange(disabled=True)),
        people.users.change(ANN, "root", UserChange(roles=())),
        people.users.remove(ANN, "root"),
        people.roles.change(ANN, "administrators", RoleChange(permissions=("read",))),
    ):
        with pytest.raises(Refused, match="nobody would be left"):
            await harm
    await people.roles.make(ANN, "outer", inside=["administrators"])
    await people.users.make(ANN, "other", PASSWORD, roles=["outer"])
    await people.users.remove(ANN, "root")
    assert "admin" in await people.permissions("other")


@pytest.mark.parametrize("name", ["", " a", "a:b", "a/b", "a\nb", "x" * 101, "e\u0301"])
async def test_a_name_that_is_none_is_refused(people, name):
    with pytest.raises(Refused, match="is no name"):
        await people.users.make(ANN, name, PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "x" * 501, "Long-enough-name"])
async def test_a_password_that_is_none_is_refused(people, password):
    with pytest.raises(Refused, match="a password"):
        await people.users.make(ANN, "long-enough-name", password)


async def test_what_there_is_not_or_is_there_already_is_named(bob):
    for harm, error in [
        (bob.users.make(ANN, "bob", PASSWORD), Exists),
        (bob.users.make(ANN, "carl", PASSWORD, roles=["nope"]), Refused),
        (bob.users.change(ANN, "carl", UserChange()), Missing),
        (bob.users.change(ANN, "bob", UserChange(), version=7), Stale),
        (bob.users.remove(ANN, "carl"), Missing),
        (bob.roles.make(ANN, "routes"), Exists),
        (bob.roles.make(ANN, "x", ["nonsense"]), Refused),
        (bob.roles.make(ANN, "x", inside=["nope"]), Refused),
        (bob.roles.change(ANN, "x", RoleChange()), Missing),
        (bob.roles.change(ANN, "routes", RoleChange(), version=7), Stale),
        (bob.roles.remove(ANN, "x"), Missing),
        (bob.tokens.make(ANN, "carl", "x"), Missing),
        (bob.tokens.make(ANN, "bob", ""), Refused),
        (bob.tokens.make(ANN, "bob", "x", ["nonsense"]), Refused),
    ]:
        with pytest.raises(error):
            await harm
    assert [each.name for each in await bob.users.page()] == ["bob"]
    assert len(await bob.audit.page(Wanted())) == 2  # the role, and bob


async def test_every_change_is_in_the_audit_with_what_was_before(bob):
    await bob.users.change(ANN, "bob", UserChange(display="Robert", password="another password"))
    changed = (await bob.audit.page(Wanted()))[0]

    assert (changed.number, changed.who, changed.address, changed.action) == (3, "ann", "192.0.2.1", "change")
    assert (changed.object, changed.outcome) == ("users/bob", "done")
    assert (changed.before["display"], changed.after["display"]) == ("Bob", "Robert")
    assert "another" not in str(changed)
    assert [each.number for each in await bob.audit.page(Wanted(object="users/*"))] == [3, 2]
    assert [each.number for each in await bob.audit.page(Wanted(object="users/b"))] == []
    assert [each.number for each in await bob.audit.page(Wanted(action="create"), before=2)] == [1]
    assert [each.number async for each in bob.audit.every(Wanted(who="ann", since=changed.at))] == [3]
    assert await bob.audit.page(Wanted(until=0.0)) == []


async def test_what_is_written_to_the_store_is_in_the_audit_masked_and_in_one_transaction(people):
    people.mask = lambda kind, body: {"masked": sorted(body)}
    await people.store.write([Change("connections", "crm", {"password": "s3cret"})], "ann")
    await people.store.write([Change("connections", "crm", {"targets": "x"}), Change("routes", "r", {})], "bob")
    await people.store.write([Change("connections", "crm", None)], "ann")
    found = [
        (each.who, each.action, each.object, each.before, each.after) for each in await people.audit.page(Wanted())
    ]

    assert found == [
        ("ann", "remove", "connections/crm", {"masked": ["targets"]}, None),
        ("bob", "create", "routes/r", None, {"masked": []}),
        ("bob", "change", "connections/crm", {"masked": ["password"]}, {"masked": ["targets"]}),
        ("ann", "create", "connections/crm", None, {"masked": ["password"]}),
    ]

    def broken(kind, body):
        raise RuntimeError("no mask")

    people.mask = broken
    with pytest.raises(RuntimeError):
        await people.store.write([Change("routes", "x", {})], "ann")
    assert await people.store.get("routes", "x") is None


HARMS = {
    "changed": (update(audit).where(audit.c.number == 3).values(who="eve"), "entry 3 is not what was written"),
    "backdated": (update(audit).where(audit.c.number == 3).values(at=1.0), "entry 3 is not what was written"),
    "emptied": (update(audit).where(audit.c.number == 3).values(sealed=None), "entry 3 is not what was written"),
    "removed": (delete(audit).where(audit.c.number == 3), "entry 3 is missing"),
    "first": (delete(audit).where(audit.c.number <= 2), "entries 1 to 2 are missing"),
    "cut": (delete(audit).where(audit.c.number >= 4), "entries 4 to 5 are missing"),
    "all": (delete(audit), "entries 1 to 5 are missing"),
    "head": (text("DELETE FROM hookgate_audit_head"), "the end of the chain is missing"),
}


@pytest.mark.parametrize("harm", HARMS)
async def test_an_entry_that_was_changed_or_removed_shows(bob, harm):
    for n in range(3):
        await bob.users.change(ANN, "bob", UserChange(display=f"Bob {n}"))
    whole = await bob.audit.check()
    assert (whole.number, whole.broken) == (5, "")
    assert await bob.audit.hash_of(5) == whole.hash

    statement, said = HARMS[harm]
    async with bob.store.database.transaction(writes=True) as connection:
        await connection.execute(statement)
    assert (await bob.audit.check()).broken == said


async def test_an_entry_of_another_history_shows(bob):
    async def rows(statement):
        async with bob.store.database.transaction(writes=True) as connection:
            return (await connection.execute(statement)).mappings().all()

    (head,) = await rows(audit_head.select())
    await bob.users.change(ANN, "bob", UserChange(display="One"))
    (other,) = await rows(audit.select().where(audit.c.number == 3))
    async with bob.store.database.transaction(writes=True) as connection:
        await connection.execute(delete(audit).where(audit.c.number == 3))
        await connection.execute(update(audit_head).values(**head))
    for name in ("Two", "Three"):
        await bob.users.change(ANN, "bob", UserChange(display=name))
    assert (await bob.audit.check()).broken == ""
    async with bob.store.database.transaction(writes=True) as connection:
        await connection.execute(update(audit).where(audit.c.number == 3).values(**other))

    assert (await bob.audit.check()).broken == "entry 4 is not what was written"


async def test_a_backup_has_people_and_the_audit(bob, tmp_path):
    token, _ = await bob.tokens.make(ANN, "bob", "ci", ["api_route"])
    await backup(bob.store.database, tmp_path / "backup.gz")
    store = await opened(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        await restore(store.database, tmp_path / "backup.gz")
    finally:
        await store.close()
    store = await opened(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        other = People(store)
        assert (await other.authenticate(token)).permissions == {"api_route"}
        assert (await other.login("bob", PASSWORD)).roles == {"routes"}
        found = await other.audit.check()
        assert (found.number, found.broken) == (4, "")
    finally:
        await store.close()


async def test_tables_go_up_and_down_apart_from_the_store(database_url):
    database = Database(database_url)
    try:
        await upgrade(database)
        assert await database.revision() == wanted() >= {"s0001", "p0003"}
        await downgrade(database, "people@base")
        assert await database.revision() == wanted() - {"p0001", "p0002", "p0003"}
        await upgrade(database)
        async with database.transaction() as connection:
            assert (await connection.execute(users.select())).all() == []
    finally:
        await database.close()


async def test_the_roles_of_a_community_are_made_with_the_first_administrator_and_combine(people):
    await people.roles.make(ANN, "creator", ["read"])  # one that is there stays as it is
    await people.first("root", PASSWORD)
    assert await people.ship(ANN) == []
    await people.roles.change(ANN, "creator", RoleChange(permissions=("api_api", "feedback")))
    await people.users.make(ANN, "cat", PASSWORD, roles=["creator"])
    await people.users.make(ANN, "both", PASSWORD, roles=["creator", "publisher"])
    await people.users.make(ANN, "sub", PASSWORD, roles=["subscriber"])

    assert await people.permissions("cat") == {"api_api", "feedback"}
    assert {"api_api", "lifecycle", "statistics", "subscriptions"} <= await people.permissions("both")
    assert await people.permissions("sub") == {"comment", "discover", "invoke", "subscribe"}
    with pytest.raises(Refused, match="is no permission"):
        await people.roles.make(ANN, "odd", ["lifecycles"])


async def test_a_session_is_that_of_one_store_and_of_at_most_so_many(bob):
    first, session = await bob.sessions.begin(By("bob"), "password", "x" * 500)
    assert (len(session.agent), (await bob.sessions.held(first)).permissions) == (200, {"api_route"})
    later = [(await bob.sessions.begin(By("bob"), "password"))[0] for _ in range(20)]
    assert await bob.sessions.held(first) is None
    assert len(await bob.sessions.page("bob")) == 20
    await bob.users.change(ANN, "bob", UserChange(roles=()))
    assert [await bob.sessions.held(each) for each in later] == [None] * 20
    await bob.users.change(ANN, "bob", UserChange(disabled=True))
    with pytest.raises(Missing):
        await bob.sessions.begin(By("bob"), "password")
