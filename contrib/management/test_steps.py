"""Steps are added, moved and removed by their position, over the API and the command line."""

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hookgate.testing import upstream

from .served import serving

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("gate")
    with upstream() as backend, serving(folder, store_in(folder)) as served:
        served.folder, served.backend = folder, backend
        served.call("PUT", "/objects/connections/crm", {"targets": backend.url})
        yield served


@pytest.fixture
def name(gate):
    name = f"n{next(_numbers)}"
    gate.call("DELETE", "/objects/apis/fixed")  # ids of steps are unique over all of the document
    yield name
    for kind in ("apis", "routes", "plans"):
        gate.call("DELETE", f"/objects/{kind}/{name}")


def step(name, *sides):
    """A step that tells of itself on the way in and on the way out, or on one of them."""
    both = {"request": {"add": {"x-way": name}}, "response": {"add": {"x-back": name}}}
    return {"headers": {**{side: both[side] for side in sides or both}, "_": {"id": name}}}


def api(name):
    items = {"path": "/items", "operations": {"GET": {"flow": [step("own")]}, "POST": {}}}
    rest = {"path": "/rest"}
    flow = [step("a"), step("b")]
    return {
        "name": name,
        "base_path": f"/{name}",
        "to": {"connection": "crm"},
        "flow": flow,
        "resources": [items, rest],
    }


def met(gate, path, method="GET"):
    """Call, and return what the call met on its way in and, in the order of the list, on its way out."""
    import httpx

    answer = httpx.request(method, f"{gate.public}{path}", timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    there = [value for key, value in gate.backend.requests[-1].headers if key.lower() == "x-way"]
    return SimpleNamespace(inbound=there, outbound=answer.headers.get_list("x-back")[::-1])


def change(gate, verb, kind, name, query="?wait=live", **body):
    return gate.call("POST", f"/objects/{kind}/{name}/steps/{verb}{query}", body)


@pytest.mark.row("FL-56")
@pytest.mark.stores
def test_steps_are_placed_by_scope_direction_and_position(gate, name):
    gate.call("PUT", f"/objects/apis/{name}?wait=live", api(name))
    whole, get, post = f"/{name}/rest", f"/{name}/items", (f"/{name}/items", "POST")
    assert met(gate, get).inbound == ["a", "b", "own"]

    added = change(gate, "add", "apis", name, step=step("x"), position=1)
    assert added.status_code == 200, added.text
    assert met(gate, whole).inbound == met(gate, whole).outbound == ["a", "x", "b"]
    assert met(gate, get).inbound == ["a", "x", "b", "own"]
    change(gate, "add", "apis", name, step=step("in", "request"), flow="inbound", resource="/items", operation="GET")
    change(gate, "add", "apis", name, step=step("out", "response"), flow="outbound", resource="/items")
    assert met(gate, get).inbound == ["a", "x", "b", "own", "in"]
    assert met(gate, get).outbound == ["a", "x", "b", "out", "own"]
    assert met(gate, *post).outbound == ["a", "x", "b", "out"]
    assert met(gate, *post).inbound == ["a", "x", "b"]
    moved = change(gate, "move", "apis", name, step="x", position=0)
    assert moved.status_code == 200, moved.text
    assert met(gate, get).inbound == ["x", "a", "b", "own", "in"]
    assert change(gate, "remove", "apis", name, step="a").status_code == 200
    assert met(gate, whole).inbound == ["x", "b"]
    told = gate.call("GET", f"/objects/apis/{name}/steps").json()["scopes"]
    (listed,) = [each for each in told if each["scope"] == f"{name} /items GET"]
    assert [each["id"] for each in listed["inbound"]["steps"]] == ["x", "b", "own", "in"]


@pytest.mark.row("FL-56")
@pytest.mark.stores
def test_what_breaks_a_flow_is_told_and_done_only_if_it_is_wanted(gate, name):
    gate.call("PUT", f"/objects/apis/{name}?wait=live", api(name))
    place = {"flow": "inbound", "position": 1, "resource": "/items", "operation": "POST"}
    place["step"] = step("n", "request")

    dry = change(gate, "add", "apis", name, "?dry_run=true", **place)
    (told,) = dry.json()["preview"]
    assert (told["scope"], told["direction"], told["breaks_at"]) == (f"{name} /items POST", "request", 1)
    refused = change(gate, "add", "apis", name, **place)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:hookgate:problem:breaks")
    assert met(gate, f"/{name}/items", "POST").inbound == ["a", "b"]
    done = change(gate, "add", "apis", name, "?break=true&wait=live", **place)
    assert done.status_code == 200, done.text
    after = met(gate, f"/{name}/items", "POST")
    assert (after.inbound, after.outbound) == (["a", "n", "b"], ["a", "b"])
    later = change(gate, "add", "apis", name, step=step("late"))
    (missed,) = [each["missed"]["added"] for each in later.json()["preview"] if each["missed"]]
    assert missed == ["late"]
    assert met(gate, f"/{name}/items", "POST").inbound == ["a", "n", "b"]
    assert met(gate, f"/{name}/items", "POST").outbound == ["a", "b", "late"]


def test_steps_of_routes_and_plans_are_placed_too(gate, name):
    route = {"name": name, "match": {"path": f"/{name}"}, "to": {"connection": "crm"}, "flow": [step("a")]}
    gate.call("PUT", f"/objects/routes/{name}", route)
    gate.call("PUT", f"/objects/plans/{name}", {"flow": [step("p")]})
    assert change(gate, "add", "routes", name, step=step("first"), position=0).status_code == 200
    assert met(gate, f"/{name}").inbound == ["first", "a"]
    out = {"step": step("q", "response"), "flow": "outbound"}
    assert change(gate, "add", "plans", name, **out, position=0).status_code == 422
    assert change(gate, "add", "plans", name, **out, position=1).status_code == 200
    body = gate.call("GET", f"/objects/plans/{name}").json()["body"]
    assert [next(iter(each)) for each in (*body["flow"], *body["response"])] == ["headers", "headers"]
    assert gate.call("GET", "/objects/connections/crm/steps").status_code == 404


def test_steps_of_a_draft_change_nothing_that_is_served(gate, name):
    gate.call("PUT", f"/objects/apis/{name}?wait=live", api(name))
    saved = change(gate, "add", "apis", name, "?draft=true", step=step("x"), position=0)
    again = change(gate, "move", "apis", name, "?draft=true", step="x", position=2)
    assert (saved.status_code, again.status_code) == (201, 200)
    assert saved.json()["preview"][0]["added"] == ["x"]
    assert met(gate, f"/{name}/rest").inbound == ["a", "b"]
    gate.call("POST", f"/objects/apis/{name}/draft/deploy?wait=live")
    assert met(gate, f"/{name}/rest").inbound == ["a", "b", "x"]


@pytest.mark.parametrize(
    ("verb", "body", "word"),
    [
        ("add", {"step": step("x"), "position": 9}, "position 9"),
        ("add", {"step": step("x"), "position": -1}, "from 0 on"),
        ("add", {"step": step("x"), "position": True}, "from 0 on"),
        ("add", {"step": step("x"), "flow": "sideways"}, "inbound"),
        ("add", {"step": step("x"), "resource": "/nowhere"}, "/items, /rest"),
        ("add", {"step": step("x"), "resource": "/items", "operation": "PUT"}, "GET, POST"),
        ("add", {"step": step("x"), "operation": "GET"}, "name the resource"),
        ("add", {"step": {"nonsense": {}}}, "nonsense"),
        ("add", {"step": {"cors": {}, "log": {}}}, "one name"),
        ("add", {"step": "client-id", "flow": "outbound"}, "client-id"),
        ("add", {"step": step("x"), "flow": "inbound", "position": 0}, "goes both ways"),
        ("move", {"step": "zzz", "position": 0}, "there is a, b"),
        ("move", {"step": "a"}, "position"),
        ("remove", {"step": "a", "flow": "inbound", "position": 0}, "other members"),
    ],
)
def test_what_cannot_be_placed_is_refused_with_words(gate, verb, body, word):
    if gate.call("GET", "/objects/apis/fixed").status_code == 404:
        gate.call("PUT", "/objects/apis/fixed", api("fixed"))
    refused = change(gate, verb, "apis", "fixed", "", **body)
    assert refused.status_code == 422, refused.text
    assert word in refused.text


def test_a_name_that_scopes_refer_to_does_not_come_to_mean_another_step(gate, name):
    limit = {"rate-limit": {"limit": 10, "window": "minute"}}
    items = {"path": "/items", "overrides": {"rate-limit": {"limit": 5}}}
    body = {"name": name, "base_path": f"/{name}", "to": {"connection": "crm"}, "flow": [limit], "resources": [items]}
    assert gate.call("PUT", f"/objects/apis/{name}", body).status_code == 201
    refused = change(gate, "add", "apis", name, step=limit, position=0)
    assert refused.status_code == 422
    assert "_: {id: " in refused.json()["detail"]
    assert change(gate, "add", "apis", name, step=limit, position=1).status_code == 200
    stale = gate.call("POST", f"/objects/apis/{name}/steps/remove", {"step": "rate-limit#2"}, If_Match='"1"')
    assert stale.status_code == 412


def command(gate, *arguments):
    environment = {
        **os.environ,
        "HOOKGATE_MANAGEMENT_URL": gate.management,
        "HOOKGATE_MANAGEMENT_TOKEN": "token-of-ann",
    }
    told = [sys.executable, "-m", "hookgate", *arguments]
    return subprocess.run(
        told, env=environment, cwd=gate.folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.row("FL-56")
@pytest.mark.stores
def test_the_command_line_places_steps_and_works_on_drafts(gate, name):
    gate.call("PUT", f"/objects/apis/{name}?wait=live", api(name))
    entry = "headers: {request: {add: {x-way: cli}}, _: {id: cli}}"
    added = command(gate, "step", "add", "apis", name, entry, "--position", "1", "--flow", "both", "--draft")
    assert added.returncode == 0, added.stderr
    assert f"{name} inbound: + cli" in added.stdout
    assert f"hookgate draft deploy 'apis/{name}'" in added.stderr
    assert command(gate, "draft", "list", "--exit-code").returncode == 4
    assert "/flow" in command(gate, "draft", "diff", "apis", name).stdout
    assert met(gate, f"/{name}/rest").inbound == ["a", "b"]
    deployed = command(gate, "draft", "deploy", f"apis/{name}")
    assert (deployed.returncode, deployed.stdout.endswith("is live\n")) == (0, True)
    assert met(gate, f"/{name}/rest").inbound == ["a", "cli", "b"]
    place = ("--resource", "/items", "--operation", "POST")
    refused = command(gate, "step", "remove", "apis", name, "a", *place)
    assert (refused.returncode, "breaks" in refused.stderr) == (2, True)
    assert command(gate, "step", "remove", "apis", name, "cli").returncode == 0
    assert "cli" not in command(gate, "step", "list", "apis", name).stdout


@pytest.mark.row("FL-27")
@pytest.mark.stores
@pytest.mark.parametrize(("inheritance", "sibling"), [(None, "10"), ("snapshot", "10"), ("live", "20")])
def test_what_a_stored_api_changes_reaches_its_children_as_it_says(gate, name, inheritance, sibling):
    def limit(number):
        return {"headers": {"request": {"set": {"x-way": number}}, "_": {"id": "limit"}}}

    def wanted(number, *more):
        own = {"path": "/own", "overrides": {"limit": {"request": {"set": {"x-way": "5"}}}}, "operations": {"GET": {}}}
        body = {"name": name, "base_path": f"/{name}", "to": {"connection": "crm"}, "flow": [limit(number)]}
        said = {} if inheritance is None else {"value_inheritance": inheritance}
        return {**body, **said, "resources": [own, {"path": "/sibling", "operations": {"GET": {}}}, *more]}

    gate.call("PUT", f"/objects/apis/{name}?wait=live", wanted("10"))
    assert met(gate, f"/{name}/sibling").inbound == ["10"]
    document = {"apis": [wanted("20", {"path": "/late"})]}
    planned = gate.call("POST", "/plan", {"document": document, "owner": name}).json()
    applied = gate.call("POST", "/apply-plan?wait=live", {"plan": planned["plan"]})
    assert applied.status_code == 200, applied.text
    assert met(gate, f"/{name}/own").inbound == ["5"]
    assert met(gate, f"/{name}/sibling").inbound == [sibling]
    assert met(gate, f"/{name}/late").inbound == ["20"]
    again = gate.call("POST", "/plan", {"document": document, "owner": name}).json()
    assert again["differences"] == []
    exported = [each for each in gate.call("GET", "/export").json()["apis"] if each["name"] == name]
    assert gate.call("POST", "/plan", {"document": {"apis": exported}, "owner": name}).json()["differences"] == []
