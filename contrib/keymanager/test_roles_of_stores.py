"""Scopes for roles of other stores, written `store/role` (KC-60)."""

import pytest

from hookgate_people import Outsider, People

from .town import BY, PASSWORD, serving

SCOPES = (
    "{own: {roles: [Editor]}, other: {roles: [corp/Manager]}, third: {roles: [club/Manager]}, both: {roles: [Editor, "
    "corp/Clerk]}}"
)
ALL = "own other third both"


@pytest.fixture(scope="module", params=["each letter counts", "in one store it does not", "nor in that of the gateway"])
def gate(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("roles")
    stores = {"each letter counts": "", "in one store it does not": "corp"}.get(request.param, "corp, PRIMARY")
    keymanager = f"any_case_roles: [{stores}]"
    with serving(folder, f"sqlite:///{folder / 'store.db'}", keymanager=keymanager, scopes=SCOPES) as made:
        made.store(people)
        made.any_case = stores
        yield made


async def people(store):
    known = People(store)
    await known.roles.make(BY, "EDITOR")
    for name, role, roles in (
        ("ann", "corp", ("Manager",)),
        ("bob", "corp", ("MANAGER", "clerk")),
        ("cid", "club", ("manager",)),
    ):
        await known.users.make(BY, name, None, provider=role)
        await known.outside.arrived(Outsider(role, f"sub {name}", name, roles=roles), "", (), (), make=False)
    await known.users.make(BY, "dan", PASSWORD, roles=["EDITOR"])


def scopes_of(gate, user):
    """Ask for all of them as an application of somebody."""
    client = gate.client("client_credentials", owner=user, callbacks=())
    return set(gate.token(client, grant_type="client_credentials", scope=ALL)["scope"].split())


@pytest.mark.row("KC-60")
def test_a_scope_is_for_roles_of_the_store_that_is_named_and_the_store_says_whether_case_counts(gate):
    got = {user: scopes_of(gate, user) for user in ("ann", "bob", "cid", "dan")}

    assert got["ann"] == {"other"}
    assert got["bob"] == ({"other", "both"} if "corp" in gate.any_case else {"default"})
    assert got["cid"] == {"default"}  # a manager of another store, written in another way
    assert got["dan"] == ({"own", "both"} if "PRIMARY" in gate.any_case else {"default"})
