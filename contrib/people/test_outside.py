"""Users of providers outside, on both databases."""

import pytest

from hookgate_people import By, Outsider, People, UserChange
from hookgate_storage import Refused

ANN = By("ann")
JANE = Outsider("corp", "1", "jane", "Jane", ("engineers",))


@pytest.fixture
async def people(stored):
    made = People(stored)
    await made.roles.make(ANN, "routers", ["api_route"])
    await made.roles.make(ANN, "kept", ["read"])
    return made


async def test_mapped_roles_come_and_go_and_others_stay(people):
    assert await people.outside.arrived(JANE, "", {"routers"}, {"routers"}, make=True) == "jane"
    assert await people.permissions("jane") == {"api_route"}
    token, _ = await people.tokens.make(ANN, "jane", "ci")
    assert (await people.authenticate(token)).roles == {"routers", "corp/engineers"}
    await people.users.change(ANN, "jane", UserChange(roles=("routers", "kept")))
    await people.outside.arrived(JANE, "", set(), {"routers"}, make=False)
    assert (await people.authenticate(token)).roles == {"kept", "corp/engineers"}


async def test_one_subject_is_one_user_whatever_it_is_called(people):
    await people.outside.arrived(JANE, "", (), (), make=True)
    assert await people.outside.arrived(Outsider("corp", "1", "jane2"), "", (), (), make=True) == "jane"
    for stranger in (Outsider("corp", "2", "jane"), Outsider("other", "1", "jane")):
        with pytest.raises(Refused, match="somebody else"):
            await people.outside.arrived(stranger, "", (), (), make=True)


async def test_a_login_that_would_leave_no_administrator_or_name_no_role_changes_nothing(people):
    await people.roles.make(ANN, "all", ["admin"])
    with pytest.raises(Refused, match="no role 'nothing'"):
        await people.outside.arrived(JANE, "", {"nothing"}, {"nothing"}, make=True)
    assert await people.users.get("jane") is None
    await people.outside.arrived(JANE, "", {"all"}, {"all"}, make=True)
    with pytest.raises(Refused, match="nobody would be left"):
        await people.outside.arrived(JANE, "", set(), {"all"}, make=True)
    assert await people.permissions("jane") == {"admin"}
    for bad in (Outsider("corp", "", "kim"), Outsider("corp", "x" * 256, "kim"), Outsider("corp", "3", "a/b")):
        with pytest.raises(Refused):
            await people.outside.arrived(bad, "", (), (), make=True)
