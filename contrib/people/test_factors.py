"""Second factors in a store, on both databases."""

import asyncio
import re

import pyotp
import pytest
from sqlalchemy import text

from hookgate_people import By, CodeNeeded, Denied, InUse, People, TooMany, Wanted, hashing
from hookgate_storage import Missing, Refused

PASSWORD = "correct horse battery"
BOB = By("bob", "192.0.2.1")


class Clock:
    """Unix time that a test moves."""

    now = 1_800_000_010.0

    def __call__(self):
        return self.now


@pytest.fixture
async def people(stored):
    made = People(stored, Clock())
    made.clock = made.audit.clock
    stored.watchers["people"] = made.written
    await made.users.make(BOB, "bob", PASSWORD)
    return made


async def enrolled(people):
    secret, _ = await people.factors.enrol(BOB, "bob")
    totp = pyotp.TOTP(secret)
    codes = await people.factors.confirm(BOB, "bob", totp.at(people.clock.now))
    people.clock.now += 30
    return totp, codes


async def test_a_factor_counts_when_it_is_confirmed_and_is_asked_for_from_then_on(people):
    secret, uri = await people.factors.enrol(BOB, "bob")
    assert re.fullmatch(rf"otpauth://totp/hookgate:bob\?secret={secret}&issuer=hookgate", uri)
    assert (await people.login("bob", PASSWORD)).name == "bob"
    with pytest.raises(Refused, match="not the code"):
        await people.factors.confirm(BOB, "bob", "000000")
    totp = pyotp.TOTP(secret)
    assert len(await people.factors.confirm(BOB, "bob", totp.at(people.clock.now))) == 10
    with pytest.raises(InUse):
        await people.factors.enrol(BOB, "bob")
    with pytest.raises(CodeNeeded):
        await people.login("bob", PASSWORD)
    people.clock.now += 30
    assert (await people.login("bob", PASSWORD, code=totp.at(people.clock.now))).name == "bob"
    assert (await people.users.get("bob")).factor
    await people.factors.remove(BOB, "bob")
    assert (await people.login("bob", PASSWORD)).name == "bob"
    with pytest.raises(Missing):
        await people.factors.remove(BOB, "bob")


async def test_a_code_is_taken_once_also_of_many_at_a_time_and_no_older_one_after_it(people):
    totp, _ = await enrolled(people)
    now = people.clock.now
    tries = [people.factors.take("bob", totp.at(now)) for _ in range(8)]
    assert sorted(await asyncio.gather(*tries)) == [False] * 7 + [True]
    for at in (now, now - 30):  # replayed, and one that was on the screen before
        with pytest.raises(Denied):
            await people.login("bob", PASSWORD, code=totp.at(at))
    with pytest.raises(Denied):
        await people.login("bob", PASSWORD, code=totp.at(now + 90))
    code = totp.at(now + 30)  # a clock that is half a minute ahead
    assert (await people.login("bob", PASSWORD, code=f" {code[:3]} {code[3:]} ")).name == "bob"


async def test_a_recovery_code_stands_in_for_one_code_once(people):
    _, codes = await enrolled(people)
    assert len(set(codes)) == 10
    assert (await people.login("bob", PASSWORD, code=codes[0].upper().replace("-", " "))).name == "bob"
    assert (await people.factors.get("bob")).recovery == 9
    with pytest.raises(Denied):
        await people.login("bob", PASSWORD, code=codes[0])
    new = await people.factors.renew(BOB, "bob")
    with pytest.raises(Denied):
        await people.login("bob", PASSWORD, code=codes[1])
    assert (await people.login("bob", PASSWORD, code=new[0])).name == "bob"


async def test_wrong_codes_lock_the_name_and_a_password_alone_gives_no_more_of_them(people, monkeypatch):
    monkeypatch.setattr(hashing, "REMEMBERED", -1.0)
    totp, _ = await enrolled(people)
    for _ in range(10):
        with pytest.raises(CodeNeeded):
            await people.login("bob", PASSWORD)
        with pytest.raises(Denied):
            await people.login("bob", PASSWORD, code="000000")
    with pytest.raises(TooMany):
        await people.login("bob", PASSWORD, code=totp.at(people.clock.now))
    people.clock.now += 901
    for _ in range(10):
        with pytest.raises(Denied):
            await people.check_code(BOB, "000000")
    with pytest.raises(TooMany):
        await people.login("bob", PASSWORD, code=totp.at(people.clock.now))
    outcomes = {each.outcome for each in await people.audit.page(Wanted(action="login"))}
    assert outcomes == {"asked for a code", "refused: wrong code"}


async def test_a_wrong_password_is_answered_alike_whatever_code_is_shown(people):
    totp, _ = await enrolled(people)
    for code in ("", totp.at(people.clock.now)):
        with pytest.raises(Denied):
            await people.login("bob", "another " + PASSWORD, code=code)
    assert (await people.login("bob", PASSWORD, code=totp.at(people.clock.now))).name == "bob"  # it was not taken


async def test_neither_secret_nor_codes_are_in_the_database_or_in_the_audit(people):
    totp, codes = await enrolled(people)
    async with people.store.database.transaction() as connection:
        rows = [
            str((await connection.execute(text(f"SELECT * FROM hookgate_{name}"))).all())
            for name in ("factors", "recovery", "audit")
        ]
    rows.append(str([each async for each in people.audit.every(Wanted())]))
    for each in (totp.secret, *codes, *(code.replace("-", "") for code in codes)):
        assert not [row for row in rows if each in row]
    await people.users.remove(By("ann"), "bob")
    await people.users.make(By("ann"), "bob", PASSWORD)
    assert (await people.login("bob", PASSWORD)).name == "bob"  # what is gone has left no factor


async def test_a_service_account_has_none_and_sessions_that_began_without_it_end(people):
    await people.users.make(BOB, "robot", None)
    with pytest.raises(Refused, match="service account"):
        await people.factors.enrol(BOB, "robot")
    with pytest.raises(Missing):
        await people.factors.enrol(BOB, "nobody")
    here, session = await people.sessions.begin(BOB, "password")
    there, _ = await people.sessions.begin(BOB, "password")
    secret, _ = await people.factors.enrol(BOB, "bob")
    await people.factors.confirm(BOB, "bob", pyotp.TOTP(secret).at(people.clock.now), session.id)
    assert await people.sessions.held(here) is not None
    assert await people.sessions.held(there) is None
