"""The method `people` on routes, where there is a store and where there is none."""

import os
import subprocess
import sys
from base64 import b64encode

import pytest

from contrib.prepared import prepare
from hookgate import ConfigError, Exchange, Headers, Request, ServiceUnavailable, TooManyRequests, Unauthorized
from hookgate.testing import build, running
from hookgate_authoring.conformance import conformance
from hookgate_people import By, UserChange, people_of
from hookgate_people.method import StorePeople
from hookgate_storage import Keys, StoreError, open_store
from hookgate_storage.sealing import new_key

ANN = By("ann")
PASSWORD = "correct horse battery"


class House:
    """What the method asks of a gateway."""

    def __init__(self, store):
        self.store = store

    def section(self, name, of):
        if self.store is None:
            raise LookupError(name)
        return self


def call(line):
    return Exchange(Request(headers=Headers([("authorization", line)] if line else [])))


def basic(name, password):
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


def method(store, **options):
    made = build(StorePeople, **options)
    made.startup(House(store))
    return made


@pytest.fixture
async def store(database_url):
    await prepare(database_url)
    store = await open_store(database_url, Keys.written(new_key()))
    people = people_of(store)
    await people.roles.make(ANN, "clerks")
    await people.users.make(ANN, "kim", PASSWORD, roles=["clerks"])
    yield store
    await store.close()


async def test_users_and_tokens_are_known_with_all_their_roles(store):
    people = people_of(store)
    await people.roles.make(ANN, "outer", inside=["clerks"])
    await people.users.change(ANN, "kim", UserChange(roles=("outer",)))
    token, _ = await people.tokens.make(ANN, "kim", "ci")

    for line in (basic("kim", PASSWORD), f"Bearer {token}", f"bearer  {token}"):
        identity = await method(store).identify(call(line))
        assert (identity.subject, identity.method, identity.roles) == ("kim", "people", ("clerks", "outer"))


@pytest.mark.parametrize("line", ["", "Bearer another-kind", "Digest x", "Basicx"])
async def test_what_is_of_another_kind_is_left_to_other_methods(store, line):
    assert await method(store).identify(call(line)) is None


@pytest.mark.parametrize(
    "line", ["Basic", "Basic !", "Basic YQ==", "Bearer hgt_x", basic("kim", "wrong"), basic("x", "y")]
)
async def test_what_is_nobodys_is_refused(store, line):
    with pytest.raises(Unauthorized, match="nobody"):
        await method(store).identify(call(line))


async def test_too_many_wrong_tokens_of_one_address_are_refused(store):
    asked = method(store)
    for _ in range(30):
        with pytest.raises(Unauthorized):
            await asked.identify(call("Bearer hgt_x"))
    with pytest.raises(TooManyRequests) as caught:
        await asked.identify(call("Bearer hgt_x"))
    assert "retry-after" in {name.lower() for name, _ in caught.value.headers}


async def test_who_is_disabled_is_out_once_nobody_remembers(store):
    remembers, asks = method(store), method(store, cache=0)
    line = basic("kim", PASSWORD)
    for each in (remembers, asks):
        await each.identify(call(line))
    await people_of(store).users.change(ANN, "kim", UserChange(disabled=True))

    assert (await remembers.identify(call(line))).subject == "kim"
    with pytest.raises(Unauthorized):
        await asks.identify(call(line))


async def test_while_the_store_is_away_nobody_else_gets_in(store):
    token, _ = await people_of(store).tokens.make(ANN, "kim", "ci")
    known = method(store)
    await known.identify(call(f"Bearer {token}"))
    await store.close()

    def away(*, writes=False, more=0.0):
        raise StoreError("the store is away")

    store.database.transaction = away
    assert (await known.identify(call(f"Bearer {token}"))).subject == "kim"
    for line in (basic("kim", PASSWORD), "Bearer hgt_x"):
        with pytest.raises(ServiceUnavailable):
            await known.identify(call(line))


PEOPLE = """\
profiles: {staff: {inbound: {people: {}}}}
routes:
  - name: desk
    match: {path: /desk}
    flow:
      - auth: {methods: [basic: {users: {a: "b"}}, people]}
      - respond: {body: ok}
"""
PROVIDERS = """\
management:
  apps:
    - management:
        callers: {ann: {token: ab}}
        providers: {corp: {issuer: "https://id.example", client_id: x}}
"""


@pytest.mark.parametrize(
    ("document", "places"),
    [
        (PEOPLE, ["1:38: profiles.staff.inbound.people: it recognises", "6:52: routes[0].flow[0].auth.methods[1]: it"]),
        ("management: {apps: [health, management]}\n", ["1:29: management.apps[1]: nobody stands in `callers`"]),
        (
            PROVIDERS,
            ["4:9: management.apps[0].management: who logs in at its providers is one of the users"],
        ),
    ],
    ids=["method", "app", "providers"],
)
def test_what_asks_a_store_is_refused_where_there_is_none_and_not_where_there_is_one(tmp_path, document, places):
    (tmp_path / "gateway.yaml").write_text(document)
    with pytest.raises(ConfigError, match="HOOKGATE_SOURCE=store"), running(document):
        pass

    def run(*command, **told):
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HOOKGATE_")}
        command = [sys.executable, "-m", "hookgate", *command, "gateway.yaml"]
        return subprocess.run(command, cwd=tmp_path, env=environ | told, capture_output=True, text=True, check=False)

    checked = run("check")
    assert checked.returncode == 2
    for place in places:
        assert f"gateway.yaml:{place}" in checked.stderr.replace("\n", " "), checked.stderr
    assert checked.stderr.count("set HOOKGATE_SOURCE=store, for `hookgate check` as for `hookgate serve`") == len(
        places
    )
    if "apps: [" in document:  # one is enough: each command takes a second to start
        assert run("storage", "upgrade").returncode == 0
        assert run("check", HOOKGATE_SOURCE="store").returncode == 0


def test_it_keeps_the_contract():
    conformance(StorePeople)
