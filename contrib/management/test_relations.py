"""What uses an object, other names for it, and generations: compared, and gone back to."""

import itertools

import pytest

from .served import DOCUMENT, serving

SECRET = "the-password-of-crm"
CRM = {"targets": "http://127.0.0.1:9", "auth": [{"basic": {"username": "gate", "password": SECRET}}]}
PROFILE = {"outbound": {"basic": {"username": "gate", "password": "x"}}}
_numbers = itertools.count(1)


def route(name, **to):
    return {"name": name, "match": {"path": f"/{name}"}, **(to or {"flow": [{"respond": {"body": name}}]})}


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    written = DOCUMENT + "  - {name: older, match: {path: /older}, to: {connection: old}}\n"
    with serving(folder, f"sqlite:///{folder / 'store.db'}", written) as served:
        yield served


@pytest.fixture
def name():
    return f"n{next(_numbers)}"


def put(gate, kind, name, body):
    answer = gate.call("PUT", f"/objects/{kind}/{name}", body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["generation"]


def users(gate, kind, name):
    return {
        (each["from"], f"{each['kind']}/{each['name']}"): each["pointers"]
        for each in gate.call("GET", f"/objects/{kind}/{name}/used-by").json()["users"]
    }


def test_what_uses_an_object_is_listed_with_its_places(gate, name):
    put(gate, "connections", name, CRM)
    assert users(gate, "connections", name) == {}
    put(gate, "routes", name, route(name, to={"connection": name}))
    put(gate, "profiles", name, PROFILE)
    put(gate, "connections", f"{name}b", {"targets": "http://127.0.0.1:9", "auth": [name]})

    assert users(gate, "connections", name) == {("store", f"routes/{name}"): ["/to/connection"]}
    assert users(gate, "connections", "old") == {("file", "routes/older"): ["/to/connection"]}
    assert list(users(gate, "profiles", name)) == [("store", f"connections/{name}b")]  # which no schema knows
    assert gate.call("GET", "/objects/connections/nobody/used-by").status_code == 404


def test_a_rename_is_one_generation_with_all_that_refers_to_it(gate, name):
    put(gate, "connections", name, CRM)
    for index in range(2):
        put(gate, "routes", f"{name}-{index}", route(f"{name}-{index}", to={"connection": name}))
    rehearsed = gate.call("POST", f"/objects/connections/{name}/rename?dry_run=true", {"to": f"{name}-new"})
    done = gate.call("POST", f"/objects/connections/{name}/rename?wait=live", {"to": f"{name}-new"})

    assert (rehearsed.status_code, rehearsed.json()["written"]) == (200, False)
    assert (done.status_code, done.json()["live"]) == (200, True)
    changed = [f"{each['kind']}/{each['name']}" for each in done.json()["changes"]]
    assert changed == [f"connections/{name}", f"connections/{name}-new", f"routes/{name}-0", f"routes/{name}-1"]
    newest = gate.call("GET", "/generations?limit=1").json()["generations"][0]
    assert newest["generation"] == done.json()["generation"]
    assert gate.call("GET", f"/objects/connections/{name}").status_code == 404
    assert gate.call("GET", f"/objects/routes/{name}-1").json()["body"]["to"] == {"connection": f"{name}-new"}
    assert gate.call("GET", f"/objects/connections/{name}-new").json()["body"]["auth"][0]["basic"]["username"] == "gate"
    assert gate.get(f"/{name}-0").status_code == 502  # nobody listens there; a route that lost its connection is 404


def test_a_route_says_its_own_new_name_and_an_api_its_own_with_the_version(gate, name):
    put(gate, "routes", name, route(name))
    put(
        gate,
        "apis",
        f"{name} 2.0",
        {"name": name, "version": "2.0", "base_path": f"/{name}-api", "to": {"connection": "old"}},
    )
    assert gate.call("POST", f"/objects/routes/{name}/rename", {"to": f"{name}x"}).status_code == 200
    assert gate.call("GET", f"/objects/routes/{name}x").json()["body"]["name"] == f"{name}x"
    bad = gate.call("POST", f"/objects/apis/{name} 2.0/rename", {"to": f"{name}x"})
    good = gate.call("POST", f"/objects/apis/{name} 2.0/rename", {"to": f"{name}x 2.0"})
    assert (bad.status_code, good.status_code) == (422, 200)
    assert gate.call("GET", f"/objects/apis/{name}x 2.0").json()["body"]["name"] == f"{name}x"


def test_a_rename_that_would_break_what_no_schema_knows_is_refused_unless_forced(gate, name):
    put(gate, "profiles", name, PROFILE)
    put(gate, "connections", f"{name}b", {"targets": "http://127.0.0.1:9", "auth": [name]})
    told = gate.call("POST", f"/objects/profiles/{name}/rename", {"to": f"{name}x"})
    assert (told.status_code, told.json()["type"]) == (409, "urn:hookgate:problem:in-use")
    assert told.json()["errors"][0]["object"] == f"connections/{name}b"
    assert gate.call("GET", f"/objects/profiles/{name}").status_code == 200

    forced = gate.call("POST", f"/objects/profiles/{name}/rename?force=true&wait=live", {"to": f"{name}x"})
    assert (forced.status_code, forced.json()["live"]) == (200, True)
    rejected = [f"{each['kind']}/{each['name']}" for each in gate.health()["plugins"]["sections.storage"]["rejected"]]
    assert rejected == [f"connections/{name}b"]
    gate.call("DELETE", f"/objects/connections/{name}b")


def test_a_rename_that_cannot_be_is_refused(gate, name):
    put(gate, "connections", name, CRM)
    put(gate, "connections", f"{name}b", CRM)
    put(gate, "routes", name, route(name, to={"connection": name}))

    def asked(path, to, **more):
        return gate.call("POST", f"/objects/{path}/rename", {"to": to}, **more).status_code

    assert asked(f"connections/{name}", f"{name}b") == 409
    assert asked(f"connections/{name}", "old") == 409  # the file has it
    assert asked("connections/old", "x") == 409
    assert asked("connections/nobody", "x") == 404
    assert asked(f"connections/{name}", name) == 422
    for nonsense in ("", "a/b", "a\nb", "x" * 300, 5, None):
        assert asked(f"connections/{name}", nonsense) == 422
    assert asked(f"connections/{name}", "x", If_Match='"7"') == 412
    assert asked(f"connections/{name}", "x", token="token-of-eve") == 403
    assert asked(f"connections/{name}", "x", token="token-of-bob") == 403  # a route would be changed, too
    assert asked(f"connections/{name}b", f"{name}c", token="token-of-bob") == 200


def test_a_generation_is_shown_with_its_changes(gate, name):
    number = put(gate, "connections", name, CRM)
    told = gate.call("GET", f"/generations/{number}").json()

    assert (told["generation"], told["author"]) == (number, "ann")
    assert told["changes"][0]["body"]["auth"][0]["basic"]["password"] == "********"
    for nobody in (0, number + 1, 10**30, "x", "-1", "%C2%B2"):
        assert gate.call("GET", f"/generations/{nobody}").status_code == 404


def test_two_generations_are_compared_and_no_secret_is_shown(gate, name):
    first = put(gate, "connections", name, CRM)
    put(gate, "routes", name, route(name, to={"connection": name}))
    other = {**CRM, "auth": [{"basic": {"username": "gate", "password": SECRET + "2"}}], "tags": ["eu"]}
    last = put(gate, "connections", name, other)
    told = gate.call("GET", f"/diff?from={first}&to={last}")
    shown = {f"{each['kind']}/{each['name']}": each for each in told.json()["differences"]}

    assert {place: each["change"] for place, each in shown.items()} == {
        f"connections/{name}": "changed",
        f"routes/{name}": "added",
    }
    assert shown[f"connections/{name}"]["pointers"] == ["/auth/0/basic/password", "/tags"]
    assert shown[f"connections/{name}"]["before"]["auth"] == shown[f"connections/{name}"]["after"]["auth"]
    assert SECRET not in told.text
    back = gate.call("GET", f"/diff?from={last}&to={first}").json()["differences"]
    assert {each["change"] for each in back} == {"changed", "removed"}
    assert gate.call("GET", "/diff").json()["to"] == last
    assert gate.call("GET", f"/diff?from={last}&to={last}").json()["differences"] == []
    assert gate.call("GET", f"/diff?to={last + 1}").status_code == 404
    assert gate.call("GET", "/diff?to=x").status_code == 400


def test_a_rollback_is_a_new_generation_with_the_state_of_an_older_one(gate, name):
    first = put(gate, "connections", name, CRM)
    put(gate, "routes", name, route(name, to={"connection": name}))
    put(gate, "connections", name, {"targets": "http://127.0.0.1:10"})
    last = put(gate, "connections", f"{name}b", CRM)
    rehearsed = gate.call("POST", "/rollback?dry_run=true", {"to": first})
    done = gate.call("POST", "/rollback?wait=live", {"to": first})

    assert (rehearsed.status_code, rehearsed.json()["written"]) == (200, False)
    assert (done.status_code, done.json()["generation"], done.json()["live"]) == (200, last + 1, True)
    assert gate.call("GET", f"/diff?from={first}&to={last + 1}").json()["differences"] == []
    assert gate.call("GET", f"/objects/routes/{name}").status_code == 404
    newest = gate.call("GET", f"/generations/{last + 1}").json()
    assert newest["comment"] == f"back to generation {first}"
    again = gate.call("POST", "/rollback", {"to": last})
    assert again.status_code == 200
    assert gate.call("GET", f"/diff?from={last}").json()["differences"] == []
    nothing = gate.call("POST", "/rollback", {"to": last})
    assert (nothing.status_code, nothing.json()["written"]) == (200, False)


def test_a_rollback_that_cannot_be_is_refused(gate, name):
    first = put(gate, "connections", name, CRM)
    last = put(gate, "routes", name, route(name))

    for nonsense in ("x", True, None, 1.5, -1, 2**60):
        assert gate.call("POST", "/rollback", {"to": nonsense}).status_code == 422
    assert gate.call("POST", "/rollback", {"to": last + 1}).status_code == 404
    assert gate.call("POST", "/rollback", {"to": first}, token="token-of-bob").status_code == 403  # a route would go
    assert gate.call("POST", "/rollback", {"to": first}, token="token-of-eve").status_code == 403
    assert gate.call("GET", "/generations?limit=1").json()["generations"][0]["generation"] == last
