"""Documents and the store: plans, their application, differences, export, and who owns what."""

import itertools
import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookgate_management.client import ApiError, Client, Unreachable

from .served import serving

SECRET = "the-password-of-crm"
CRM = {"targets": "http://127.0.0.1:9", "auth": [{"basic": {"username": "gate", "password": SECRET}}]}
_numbers = itertools.count(1)


def route(name, **more):
    return {"name": name, "match": {"path": f"/{name}"}, "flow": [{"respond": {"body": name}}], **more}


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("gate")
    with (
        serving(folder, store_in(folder)) as served,
        Client(served.management, "token-of-ann") as api,
    ):
        served.folder, served.api = folder, api
        yield served


@pytest.fixture
def name():
    return f"n{next(_numbers)}"


def command(gate, *arguments, token="token-of-ann"):
    environment = {**os.environ, "HOOKGATE_MANAGEMENT_URL": gate.management, "HOOKGATE_MANAGEMENT_TOKEN": token}
    return subprocess.run(
        [sys.executable, "-m", "hookgate", *map(str, arguments)],
        env=environment,
        cwd=gate.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def differing(planned):
    return {f"{each['kind']}/{each['name']}": each["change"] for each in planned.differences}


NAMES = st.sampled_from(["a", "b", "c d", "é", "e.f"])
CONNECTIONS = st.dictionaries(
    NAMES,
    st.fixed_dictionaries(
        {"targets": st.integers(1, 65535).map(lambda port: f"http://127.0.0.1:{port}")},
        optional={
            "auth": st.just([{"basic": {"username": "gate", "password": SECRET}}]),
            "tags": st.lists(st.sampled_from(["eu", "us"]), unique=True, min_size=1),
            "timeouts": st.just({"read": "20s"}),
        },
    ),
    max_size=4,
)
DOCUMENTS = st.tuples(CONNECTIONS, st.lists(NAMES, unique=True, max_size=4), st.randoms(use_true_random=False))


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(drawn=DOCUMENTS, owner=st.sampled_from(["left", "right"]))
def test_what_is_applied_differs_in_nothing_and_the_export_neither(gate, drawn, owner):
    connections, routes, choice = drawn
    connections = {f"{owner}-{name}": body for name, body in connections.items()}
    written = []
    for index, name in enumerate(routes):
        path = {"name": f"{owner}-{name}", "match": {"path": f"/{owner}-{index}"}}
        to = {"to": {"connection": choice.choice(sorted(connections))}} if connections else {"flow": [{"respond": {}}]}
        written.append(path | to)
    document = {"connections": connections, "routes": written}
    other = differing(gate.api.plan({"connections": {}}, "nobody"))
    gate.api.apply(gate.api.plan(document, owner).plan)

    assert gate.api.plan(document, owner).differences == ()
    exported = gate.api.export()
    ours = {
        "connections": {n: body for n, body in exported.get("connections", {}).items() if n.startswith(f"{owner}-")},
        "routes": [each for each in exported.get("routes", ()) if each["name"].startswith(f"{owner}-")],
    }
    assert ours["connections"].keys() == connections.keys()
    assert len(ours["routes"]) == len(written)
    assert gate.api.plan(ours, owner).differences == ()
    assert other == {}


@pytest.mark.stores
def test_owners_leave_the_objects_of_others_alone(gate, name):
    left, right = f"{name}-left", f"{name}-right"
    gate.api.put("routes", f"{name}-by-hand", route(f"{name}-by-hand"))
    gate.api.apply(gate.api.plan({"routes": [route(f"{name}-1"), route(f"{name}-2")]}, left).plan)
    gate.api.apply(gate.api.plan({"routes": [route(f"{name}-3")]}, right).plan)

    assert differing(gate.api.plan({"routes": [route(f"{name}-1")]}, left)) == {f"routes/{name}-2": "removed"}
    assert differing(gate.api.plan({"routes": []}, right)) == {f"routes/{name}-3": "removed"}
    with pytest.raises(ApiError, match=f"routes/{name}-1 is owned by {left}") as refused:
        gate.api.plan({"routes": [route(f"{name}-1"), route(f"{name}-3")]}, right)
    assert (refused.value.status, refused.value.kind) == (409, "owned")
    gate.api.apply(gate.api.plan({"routes": [route(f"{name}-by-hand")]}, right).plan)  # adopted, and 3 is removed
    assert differing(gate.api.plan({"routes": []}, right)) == {f"routes/{name}-by-hand": "removed"}


def test_what_is_equal_already_is_owned_after_an_apply_that_writes_nothing(gate, name):
    before = gate.api.put("routes", name, route(name)).generation
    done = gate.api.apply(gate.api.plan({"routes": [route(name)]}, name).plan)

    assert (done.written, done.generation) == (False, before)
    assert differing(gate.api.plan({"routes": []}, name)) == {f"routes/{name}": "removed"}


def test_what_others_have_changed_since_is_told(gate, name):
    document = {"routes": [route(name), route(f"{name}-2")]}
    gate.api.apply(gate.api.plan(document, name).plan)
    gate.api.put("routes", name, route(name, labels={"x": "1"}))
    (found,) = gate.api.plan(document, name).differences

    assert (found["name"], found["change"], found["pointers"], found["drifted"]) == (name, "changed", ["/labels"], True)
    (mine,) = gate.api.plan({"routes": [route(name, labels={"x": "1"})]}, name).differences[:1]
    assert (mine["name"], mine["change"]) == (f"{name}-2", "removed")
    assert "drifted" not in mine


@pytest.mark.stores
def test_a_plan_is_carried_out_exactly_or_not_at_all(gate, name):
    planned = gate.api.plan({"routes": [route(name)]}, name)
    gate.api.put("routes", f"{name}-x", route(f"{name}-x"))
    with pytest.raises(ApiError) as refused:
        gate.api.apply(planned.plan)
    assert (refused.value.status, refused.value.kind) == (409, "moved")
    again = gate.api.plan({"routes": [route(name)]}, name)
    assert gate.api.apply(again.plan, wait="live").live
    with pytest.raises(ApiError, match="plan anew"):
        gate.api.apply(again.plan)
    for nonsense in ("", "x", again.plan[:-8] + "AAAAAAA=", again.plan[8:]):
        with pytest.raises(ApiError, match="no plan"):
            gate.api.apply(nonsense)


def test_a_plan_takes_the_permissions_of_what_it_changes(gate, name):
    planned = gate.api.plan({"routes": [route(name)]}, name)
    for token in ("token-of-bob", "token-of-eve"):
        with Client(gate.management, token) as other, pytest.raises(ApiError) as refused:
            other.apply(planned.plan)
        assert refused.value.status == 403


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"nonsense": {}}, "/nonsense"),
        ({"routes": {}}, "/routes"),
        ({"routes": [5]}, "/routes/0"),
        ({"connections": []}, "/connections"),
        ({"connections": {"x": {"targets": 5}}}, "/targets"),
        ({"connections": {"x": CRM | {"auth": [{"basic": {"username": "u", "password": "********"}}]}}}, None),
        ({"connections": {"x": None}}, None),
        ({"routes": [route("x"), route("x")]}, None),
        ({"routes": [route("hello", labels={"a": "b"})]}, None),
    ],
)
def test_a_document_with_a_mistake_makes_no_plan(gate, document, pointer):
    with pytest.raises(ApiError) as refused:
        gate.api.plan(document)
    assert refused.value.status in (409, 422)
    if pointer is not None:
        assert refused.value.errors[0]["pointer"] == pointer


def test_commands_of_a_pipeline(gate, name):
    file, plan = gate.folder / f"{name}.yaml", gate.folder / f"{name}.plan"
    file.write_text(
        f"routes:\n  - name: {name}\n    match: {{path: /{name}}}\n    flow: [{{respond: {{body: new}}}}]\n"
    )
    different = command(gate, "diff", file, "--owner", name, "--exit-code")
    planned = command(gate, "plan", file, "-o", plan, "--owner", name)
    applied = command(gate, "apply", plan)

    assert (different.returncode, different.stdout) == (4, f"+ routes/{name}\n")
    assert (planned.returncode, planned.stdout) == (0, f"+ routes/{name}\n")
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.endswith("is live\n")
    assert gate.get(f"/{name}").text == "new"
    assert command(gate, "diff", file, "--owner", name, "--exit-code").returncode == 0
    again = command(gate, "apply", plan)
    assert again.returncode == 1
    assert "plan anew" in again.stderr

    exported = command(gate, "export")
    whole = gate.folder / f"{name}.json"
    whole.write_text(json.dumps({"routes": [e for e in json.loads(exported.stdout)["routes"] if e["name"] == name]}))
    assert command(gate, "diff", whole, "--owner", name, "--exit-code").returncode == 0


def test_commands_say_what_is_wrong_and_where(gate, name):
    file = gate.folder / f"{name}.yaml"
    file.write_text(f"routes:\n  - name: {name}\n    match: {{path: /x}}\n    flow:\n      - respond: {{stat: 5}}\n")
    told = command(gate, "plan", file, "-o", gate.folder / "no.plan")
    assert told.returncode == 2
    assert f"{name}.yaml:5:" in told.stderr
    assert not (gate.folder / "no.plan").exists()
    assert command(gate, "apply", file).returncode == 2
    assert command(gate, "diff", gate.folder / "nowhere.yaml").returncode == 3
    assert command(gate, "export", token="nobody").returncode == 2
    assert command(gate, "export", token="").returncode == 2
    assert command(gate, "export", "--management", "http://127.0.0.1:9").returncode == 3


def test_the_client_reads_and_writes_objects(gate, name):
    made = gate.api.put("connections", name, CRM, version=0, wait="live")
    assert (made.written, made.live) == (True, True)
    held = gate.api.get("connections", name)
    assert (held.name, held.version, held.source) == (name, 1, "store")
    assert name in {each.name for each in gate.api.objects("connections")}
    gate.api.rename("connections", name, f"{name} x")
    gate.api.remove("connections", f"{name} x")
    with pytest.raises(ApiError):
        gate.api.get("connections", f"{name} x")
    gate.api.rollback(made.generation)
    assert gate.api.get("connections", name).body["targets"] == CRM["targets"]
    with Client("http://127.0.0.1:9", "x") as nobody, pytest.raises(Unreachable):
        nobody.export()


@pytest.mark.stores
def test_a_plan_names_the_routes_and_operations_that_calls_meet_something_else_on(gate, name):
    limit = {"rate-limit": {"limit": 10, "window": "minute"}}
    items = {"path": "/items", "operations": {"GET": {}, "PUT": {"flow": ["request-id"]}}}
    api = {"name": name, "base_path": f"/{name}", "to": {"connection": name}, "flow": [limit], "resources": [items]}
    api["value_inheritance"] = "live"
    plain = route(f"{name}-plain", limits={"request_body": 1000})
    document = {"connections": {name: CRM}, "apis": [api], "routes": [plain, route(f"{name}-same")]}
    first = gate.api.plan(document, name)
    assert {each["change"] for each in first.effects} == {"added"}
    gate.api.apply(first.plan)
    again = gate.api.plan(document, name)
    assert (again.effects, again.effects_total) == ((), 0)

    document["apis"] = [api | {"flow": [{"rate-limit": {"limit": 20, "window": "minute"}}]}]
    document["routes"] = [
        plain | {"limits": {"request_body": 2000}, "flow": ["request-id", *plain["flow"]]},
        route(f"{name}-same"),
    ]
    changed = {each["route"]: each for each in gate.api.plan(document, name).effects}
    values = {"added": [], "removed": [], "moved": False, "values": {"rate-limit": ["limit"]}}
    assert changed.keys() == {f"{name} /items GET", f"{name} /items PUT", f"{name}-plain"}
    assert changed[f"{name} /items PUT"]["flow"]["inbound"] == values
    assert changed[f"{name}-plain"]["limits"] == ["request_body"]
    assert changed[f"{name}-plain"]["flow"]["inbound"]["added"] == ["request-id"]
    assert "destination" not in changed[f"{name}-plain"]
    dry = gate.call("PUT", f"/objects/connections/{name}?dry_run=true", CRM | {"targets": "http://127.0.0.1:10"})
    assert [each["route"] for each in dry.json()["effects"]] == [f"{name} /items GET", f"{name} /items PUT"]
    assert dry.json()["effects"][0]["destination"][0].startswith(f"connections.{name}.targets")
    assert SECRET not in dry.text
    file, planned = gate.folder / f"{name}.json", gate.folder / f"{name}.plan"
    file.write_text(json.dumps(document))
    told = command(gate, "plan", file, "-o", planned, "--owner", name)
    assert f"~ {name} /items GET: inbound ~rate-limit (limit)" in told.stderr


def test_the_effects_of_a_huge_plan_are_counted_and_not_all_told(gate, name):
    document = {"routes": [route(f"{name}-{index}") for index in range(210)]}
    found = gate.api.plan(document, name)
    assert (len(found.effects), found.effects_total) == (200, 210)
