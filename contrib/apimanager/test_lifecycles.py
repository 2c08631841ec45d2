"""The lifecycle of APIs over the API of a running gateway, and what each state means to who calls them."""

import itertools

import httpx
import pytest

from contrib.management.served import DOCUMENT, serving
from hookgate.testing import running, upstream
from hookgate_people.shipped import SHIPPED

MANAGED = DOCUMENT.replace("routes:", "lifecycle_machine: {unlisted: CREATED}\nroutes:")
PASSWORD = "correct horse battery"
STATES = ("CREATED", "PROTOTYPED", "PUBLISHED", "BLOCKED", "DEPRECATED", "RETIRED")
ALLOWED = {
    ("CREATED", "PUBLISHED"),
    ("CREATED", "PROTOTYPED"),
    ("PROTOTYPED", "PUBLISHED"),
    ("PROTOTYPED", "CREATED"),
    ("PROTOTYPED", "PROTOTYPED"),
    ("PUBLISHED", "BLOCKED"),
    ("PUBLISHED", "PROTOTYPED"),
    ("PUBLISHED", "CREATED"),
    ("PUBLISHED", "DEPRECATED"),
    ("PUBLISHED", "PUBLISHED"),
    ("BLOCKED", "DEPRECATED"),
    ("BLOCKED", "PUBLISHED"),
    ("DEPRECATED", "RETIRED"),
}
WAY = {
    "CREATED": [],
    "PROTOTYPED": ["Deploy as a Prototype"],
    "PUBLISHED": ["Publish"],
    "BLOCKED": ["Publish", "Block"],
    "DEPRECATED": ["Publish", "Deprecate"],
    "RETIRED": ["Publish", "Deprecate", "Retire"],
}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("gate")
    with upstream() as backend, serving(folder, store_in(folder), MANAGED) as served:
        served.folder, served.backend = folder, backend
        served.call("PUT", "/objects/connections/crm", {"targets": backend.url})
        yield served


@pytest.fixture
def name():
    return f"n{next(_numbers)}"


def api(name, version="1.0", **more):
    return {"name": name, "version": version, "base_path": f"/{name}", "to": {"connection": "crm"}, **more}


def make(gate, name, version="1.0", **more):
    answer = gate.call("POST", "/objects/apis?wait=live", {"body": api(name, version, **more)})
    assert answer.status_code == 201, answer.text
    return f"{name} {version}"


def happen(gate, api, event, query="?wait=live", **more):
    return gate.call("POST", f"/apis/{api}/lifecycle{query}", {"event": event, **more})


def brought(gate, name, state):
    """Make an API, and bring it into a state."""
    made = make(gate, name)
    for event in WAY[state]:
        assert happen(gate, made, event).status_code == 200
    return made


def state(gate, api):
    return gate.call("GET", f"/apis/{api}/lifecycle").json()["state"]


def person(gate, name, role):
    gate.call("POST", "/roles", {"name": role, "permissions": SHIPPED[role].permissions})
    told = gate.call("POST", "/users", {"name": name, "roles": [role], "password": PASSWORD})
    assert told.status_code == 201, told.text

    def call(method, path, body=None):
        url = f"{gate.management}/-/api{path}"
        return httpx.request(method, url, json=body, auth=(name, PASSWORD), timeout=60, trust_env=False)

    return call


@pytest.mark.row("KC-18")
@pytest.mark.stores
def test_of_the_36_pairs_of_states_13_are_done_and_23_refused(gate, name):
    made = {before: f"{name}{before.lower()} 1.0" for before in STATES}
    objects = [{"kind": "apis", "name": each, "body": api(each.split()[0])} for each in made.values()]
    objects += [{"kind": "lifecycles", "name": each, "body": {"state": before}} for before, each in made.items()]
    stored = gate.call("POST", "/apply", {"changes": objects})
    assert stored.status_code == 200, stored.text
    found = {}
    for before, after in itertools.product(STATES, repeat=2):
        answer = gate.call("POST", f"/apis/{made[before]}/lifecycle", {"to": after})
        found[before, after] = answer.status_code
        assert state(gate, made[before]) == (after if (before, after) in ALLOWED else before)
        if answer.status_code == 409:
            assert f"{made[before]} is {before}; what may happen to it is: " in answer.json()["detail"]
        elif before != after:
            gate.call("PUT", f"/objects/lifecycles/{made[before]}", {"state": before})
    assert found == {pair: 200 if pair in ALLOWED else 409 for pair in itertools.product(STATES, repeat=2)}
    assert sorted(found.values()) == [200] * 13 + [409] * 23


@pytest.mark.row("KC-11")
@pytest.mark.row("KC-21")
@pytest.mark.stores
def test_a_creator_makes_an_api_and_only_a_publisher_changes_its_state(gate, name):
    creator, publisher = person(gate, f"kim-{name}", "creator"), person(gate, f"pat-{name}", "publisher")
    subscriber = person(gate, f"sue-{name}", "subscriber")
    assert creator("POST", "/objects/apis?wait=live", {"body": api(name)}).status_code == 201
    made, place = f"{name} 1.0", f"/apis/{name} 1.0/lifecycle"
    refused = creator("POST", place, {"event": "Publish"})
    assert (refused.status_code, "lifecycle" in refused.json()["detail"]) == (403, True)
    assert subscriber("POST", place, {"event": "Publish"}).status_code == 403
    assert subscriber("GET", place).status_code == 403
    assert creator("PUT", f"/objects/lifecycles/{made}", {"state": "PUBLISHED"}).status_code == 403
    assert publisher("PUT", f"/objects/lifecycles/{made}", {"state": "RETIRED"}).status_code == 403
    assert creator("GET", place).json()["state"] == "CREATED"
    assert gate.get(f"/{name}/1.0/x").status_code == 404
    assert publisher("POST", f"{place}?wait=live", {"event": "Publish"}).status_code == 200
    assert gate.get(f"/{name}/1.0/x").status_code == 200
    # whoever has made it cannot take away, under another's hands, what others have published
    assert creator("DELETE", f"/objects/apis/{made}").status_code == 409
    assert gate.get(f"/{name}/1.0/x").status_code == 200


@pytest.mark.row("KC-16")
@pytest.mark.stores
@pytest.mark.parametrize("at", ["CREATED", "RETIRED"])
def test_what_is_created_or_retired_is_not_there_for_who_calls(gate, name, at):
    made = brought(gate, name, at)
    before = len(gate.backend.requests)
    assert gate.get(f"/{name}/1.0/x").status_code == 404
    assert len(gate.backend.requests) == before
    assert state(gate, made) == at
    assert [each["name"] for each in gate.call("GET", "/objects/apis?limit=1000").json()["objects"]].count(made) == 1


@pytest.mark.row("KC-17")
@pytest.mark.stores
def test_what_is_blocked_is_refused_with_its_code_and_comes_back(gate, name):
    made = brought(gate, name, "BLOCKED")
    before = len(gate.backend.requests)
    refused = gate.get(f"/{name}/1.0/x")
    assert (refused.status_code, refused.json()["code"]) == (503, 700700)
    assert refused.json()["detail"] == "This API is not served at the moment."
    assert len(gate.backend.requests) == before
    assert happen(gate, made, "Re-Publish").status_code == 200
    assert gate.get(f"/{name}/1.0/x").status_code == 200


@pytest.mark.stores
def test_what_is_deprecated_goes_on_being_served_until_it_is_retired(gate, name):
    made = brought(gate, name, "DEPRECATED")
    assert gate.get(f"/{name}/1.0/x").status_code == 200
    assert happen(gate, made, "Retire").status_code == 200
    assert gate.get(f"/{name}/1.0/x").status_code == 404


@pytest.mark.row("KC-13")
@pytest.mark.stores
def test_a_prototype_is_called_without_a_token_that_it_asks_for_when_it_is_published(gate, name):
    asks = {"auth": {"methods": [{"basic": {"users": {"ann": "secret-of-ann"}}}]}}
    asks["auth"]["_"] = {"when": "vars.lifecycle != 'PROTOTYPED'", "id": f"asks-{name}"}
    made = make(gate, name, flow=[asks])
    assert happen(gate, made, "Deploy as a Prototype").status_code == 200
    assert gate.get(f"/{name}/1.0/x").status_code == 200
    assert happen(gate, made, "Publish").status_code == 200
    assert gate.get(f"/{name}/1.0/x").status_code == 401


@pytest.mark.row("KC-19")
@pytest.mark.stores
def test_the_versions_before_are_deprecated_when_that_is_ticked(gate, name):
    versions = ("0.8", "0.9", "1.0-beta", "1.0", "1.9", "1.10", "2.0")
    made = {version: make(gate, name, version) for version in versions}
    other = brought(gate, f"{name}x", "PUBLISHED")
    for version in ("0.8", "1.0-beta", "1.0", "1.9", "2.0"):
        happen(gate, made[version], "Publish")
    happen(gate, made["0.8"], "Block")
    told = gate.call("GET", f"/apis/{made['1.10']}/lifecycle").json()
    assert told["check_items"] == ["deprecate-old-versions", "require-resubscription"]
    done = happen(gate, made["1.10"], "Publish", check_items=["deprecate-old-versions"])
    assert done.status_code == 200, done.text
    assert done.json()["deprecated"] == [f"{name} {each}" for each in ("1.0", "1.0-beta", "1.9")]
    assert {version: state(gate, each) for version, each in made.items()} == {
        "0.8": "BLOCKED",
        "0.9": "CREATED",
        "1.0-beta": "DEPRECATED",
        "1.0": "DEPRECATED",
        "1.9": "DEPRECATED",
        "1.10": "PUBLISHED",
        "2.0": "PUBLISHED",
    }
    assert state(gate, other) == "PUBLISHED"
    assert gate.get(f"/{name}/1.0/x").status_code == 200
    (generation,) = gate.call("GET", f"/generations/{done.json()['generation']}").json()["changes"][:1]
    assert generation["kind"] == "lifecycles"


def test_nothing_is_deprecated_where_nothing_is_ticked(gate, name):
    first, second = brought(gate, name, "PUBLISHED"), make(gate, name, "2.0")
    happen(gate, second, "Publish")
    assert (state(gate, first), state(gate, second)) == ("PUBLISHED", "PUBLISHED")


def test_a_change_is_a_generation_with_who_made_it_and_what_it_was(gate, name):
    made = brought(gate, name, "PUBLISHED")
    number = happen(gate, made, "Block", "?wait=live&comment=an%20outage").json()["generation"]
    told = gate.call("GET", f"/generations/{number}").json()
    assert (told["author"], told["comment"]) == ("ann", f"{made}: Block, PUBLISHED to BLOCKED: an outage")
    assert [(each["kind"], each["name"], each["body"]) for each in told["changes"]] == [
        ("lifecycles", made, {"state": "BLOCKED"})
    ]
    diff = gate.call("GET", f"/diff?from={number - 1}&to={number}").json()["differences"]
    assert [each["name"] for each in diff] == [made]


def test_of_two_who_have_read_the_same_state_one_is_refused(gate, name):
    made = brought(gate, name, "PUBLISHED")
    tag = gate.call("GET", f"/apis/{made}/lifecycle").headers["ETag"]
    body = {"event": "Block"}
    assert gate.call("POST", f"/apis/{made}/lifecycle", body, If_Match=tag).status_code == 200
    again = {"event": "Deprecate"}
    assert gate.call("POST", f"/apis/{made}/lifecycle", again, If_Match=tag).status_code == 412
    assert state(gate, made) == "BLOCKED"


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({}, 422, '"event"'),
        ({"event": "Publish", "to": "PUBLISHED"}, 422, '"event"'),
        ({"event": "Explode"}, 422, "Publish, Deploy as a Prototype"),
        ({"event": 7}, 422, "no text"),
        ({"to": "NOWHERE"}, 422, "CREATED, PROTOTYPED"),
        ({"event": "Retire"}, 409, "Publish (PUBLISHED)"),
        ({"event": "Publish", "check_items": "all"}, 422, "no list"),
        ({"event": "Publish", "check_items": ["tidy-up"]}, 422, "tidy-up"),
        ({"event": "Deploy as a Prototype", "check_items": ["deprecate-old-versions"]}, 422, "to PROTOTYPED"),
        ({"event": "Publish", "more": 1}, 422, "check_items"),
        ([], 422, "event"),
    ],
)
def test_what_cannot_happen_is_refused_with_words_and_changes_nothing(gate, name, body, status, word):
    made = make(gate, name)
    refused = gate.call("POST", f"/apis/{made}/lifecycle", body)
    assert (refused.status_code, word in refused.text.replace('\\"', '"')) == (status, True), refused.text
    assert gate.call("GET", f"/objects/lifecycles/{made}").status_code == 404


def test_an_api_that_is_not_there_has_no_state(gate):
    for method, body in (("GET", None), ("POST", {"event": "Publish"})):
        assert gate.call(method, "/apis/nothing 1.0/lifecycle", body).status_code == 404
        assert gate.call(method, "/apis/nothing 1.0/lifecycle", body, token="").status_code == 401
    stored = gate.call("PUT", "/objects/lifecycles/nothing 1.0", {"state": "PUBLISHED"})
    assert (stored.status_code, "there is no API 'nothing 1.0'" in stored.text) == (422, True)


@pytest.mark.row("KC-20")
@pytest.mark.stores
def test_a_machine_of_ones_own_has_another_state_between_published_and_retired(tmp_path, database_url):
    with upstream() as backend, serving(tmp_path, database_url) as gate:
        gate.call("PUT", "/objects/connections/crm", {"targets": backend.url})
        states = {
            "CREATED": {"events": {"Publish": "PUBLISHED"}, "calls": "none"},
            "PROTOTYPED": {"events": {"Publish": "PUBLISHED"}, "calls": "open"},
            "PUBLISHED": {"events": {"Reject": "REJECTED"}},
            "REJECTED": {"events": {"Retire": "RETIRED"}, "calls": "refused"},
            "RETIRED": {"calls": "none"},
        }
        for gone in ("PUBLISHED", "PROTOTYPED"):
            less = {name: each for name, each in states.items() if name != gone}
            refused = gate.call("PUT", "/objects/lifecycle_machine/lifecycle_machine", {"states": less})
            assert (refused.status_code, f"{gone} has to stay" in refused.text) == (422, True)
        machine = {"states": states, "unlisted": "CREATED"}
        stored = gate.call("PUT", "/objects/lifecycle_machine/lifecycle_machine?wait=live", machine)
        assert (stored.status_code, stored.json()["live"]) == (201, True), stored.text
        made = make(gate, "orders")
        assert happen(gate, made, "Publish").status_code == 200
        assert happen(gate, made, "Block").status_code == 422
        assert gate.call("POST", f"/apis/{made}/lifecycle", {"to": "RETIRED"}).status_code == 409
        assert gate.get("/orders/1.0/x").status_code == 200
        assert happen(gate, made, "Reject").json()["lifecycle"]["events"] == {"Retire": "RETIRED"}
        assert (gate.get("/orders/1.0/x").status_code, state(gate, made)) == (503, "REJECTED")
        removed = gate.call("DELETE", "/objects/lifecycle_machine/lifecycle_machine")
        assert (removed.status_code, "REJECTED" in removed.text) == (409, True)
        assert happen(gate, made, "Retire").status_code == 200
        assert gate.get("/orders/1.0/x").status_code == 404


FILE = """\
gateway: {listen: ["127.0.0.1:0"]}
apis:
  - {name: old, base_path: /old, version: "1.0", flow: [{respond: {body: old}}]}
  - {name: new, base_path: /new, version: "1.0", flow: [{respond: {body: new}}]}
  - {name: off, base_path: /off, version: "1.0", flow: [{respond: {body: off}}]}
  - {name: gone, base_path: /shared, version: "1.0", default_version: true, flow: [{respond: {body: gone}}]}
  - {name: here, base_path: /shared, version: "2.0", default_version: true, flow: [{respond: {body: here}}]}
lifecycles:
  new 1.0: {state: CREATED}
  off 1.0: {state: BLOCKED}
  gone 1.0: {state: RETIRED}
"""


def test_states_may_stand_in_the_file_and_an_api_without_one_is_published():
    paths = {
        "/old/1.0/x": 200,
        "/new/1.0/x": 404,
        "/off/1.0/x": 503,
        "/shared/1.0/x": 404,
        "/shared/2.0/x": 200,
        "/shared/x": 200,
    }
    with running(FILE) as gate:
        found = {path: gate.client.get(path) for path in paths}
    assert {path: each.status_code for path, each in found.items()} == paths
    assert found["/shared/x"].text == "here"


def test_publishers_of_a_tenant_change_the_states_of_its_apis_and_of_no_others(gate):
    for tenant in ("acme.example", "bolt.example"):
        gate.call("PUT", f"/objects/tenants/{tenant}?wait=live", {})
        gate.call("POST", "/roles", {"name": f"publishers@{tenant}", "permissions": ["lifecycle", "read"]})
        said = {"name": f"pat@{tenant}", "roles": [f"publishers@{tenant}"], "password": PASSWORD}
        assert gate.call("POST", "/users", said).status_code == 201
    shop = {"name": "shop@acme.example", "version": "1.0", "base_path": "/shop", "hosts": ["acme.example"]}
    shop["flow"] = [{"respond": {"body": "shop"}}]
    assert gate.call("POST", "/objects/apis?wait=live", {"body": shop}).status_code == 201

    def called():
        return httpx.get(f"{gate.public}/shop/1.0", headers={"Host": "acme.example"}, trust_env=False, timeout=60)

    def moved(who, to):
        url = f"{gate.management}/-/api/apis/{shop['name']} 1.0/lifecycle?wait=live"
        return httpx.post(url, json={"to": to}, auth=(who, PASSWORD), trust_env=False, timeout=60)

    assert called().status_code == 404
    assert moved("pat@bolt.example", "PUBLISHED").status_code == 404
    assert called().status_code == 404
    told = moved("pat@acme.example", "PUBLISHED")
    assert told.status_code == 200, told.text
    assert (called().status_code, called().text) == (200, "shop")
    assert moved("pat@bolt.example", "BLOCKED").status_code == 404
    assert moved("pat@acme.example", "BLOCKED").status_code == 200
    assert called().status_code == 503
