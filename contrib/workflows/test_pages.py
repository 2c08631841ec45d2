"""Custom routes and transactions over the management API, in a process of its own, over each kind of database."""

import json

import httpx
import pytest

from contrib.management.served import serving

from .served import setter, workflow

DOCUMENT = {
    "gateway": {"listen": ["127.0.0.1:0"], "lame_duck": 0},
    "management": {
        "listen": ["127.0.0.1:0"],
        "apps": [
            "health",
            {
                "management": {
                    "callers": {
                        "ann": {"token": "token-of-ann"},
                        "bob": {"token": "token-of-bob", "permissions": ["transactions"]},
                        "eve": {"token": "token-of-eve", "permissions": ["read"]},
                    }
                }
            },
        ],
    },
}
HELLO = workflow(("set", setter("*response*", {"body": {"message": "hello, world"}})))


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, store_in(folder), json.dumps(DOCUMENT)) as served:
        made = served.call("POST", "/objects/workflows", {"name": "hello", "body": HELLO})
        assert made.status_code == 201, made.text
        yield served


def route(path, **more):
    return {"route": path, "method": "get", "activity_id": "hello", "sync": True, "public": True, **more}


@pytest.mark.stores
@pytest.mark.row("CR-1")
def test_a_route_is_made_and_then_called(gate):
    made = gate.call("POST", "/custom_routes?wait=live", route("/demo"))
    assert (made.status_code, made.json()["route_id"]) == (201, "get demo")
    assert gate.get("/api/v01/public/demo").json() == {"message": "hello, world"}

    again = gate.call("POST", "/custom_routes", route("/demo"))
    assert again.status_code == 409
    for wrong in ({"extra": 1}, {"route": "/a"}, {"method": "brew"}, {"activity_id": "helo"}):
        told = gate.call("POST", "/custom_routes", route("/other") | wrong)
        assert told.status_code == 400, told.text
    assert gate.call("POST", "/custom_routes", route("/other"), token="token-of-eve").status_code == 403


@pytest.mark.row("CR-2")
def test_a_group_is_renamed_in_one_call(gate):
    for name in ("one", "two"):
        gate.call("POST", "/custom_routes", route(f"/grouped/{name}", group="a"))
    gate.call("POST", "/custom_routes", route("/grouped/three", group="c"))

    done = gate.call("PUT", "/custom_routes/groups/a", {"name": "b"})
    assert (done.status_code, len(done.json()["changes"])) == (200, 2)
    told = {name: gate.call("GET", f"/custom_routes?group={name}").json()["routes"] for name in "abc"}
    assert [each["route_id"] for each in told["b"]] == ["get grouped:one", "get grouped:two"]
    assert (told["a"], len(told["c"])) == ([], 1)
    assert gate.call("PUT", "/custom_routes/groups/a", {"name": "b"}).status_code == 404


@pytest.mark.stores
@pytest.mark.row("CR-32")
def test_every_call_appears_in_the_history(gate):
    gate.call("POST", "/custom_routes?wait=live", route("/kept", group="kept"))
    with httpx.Client(base_url=gate.public, trust_env=False) as client:
        for _ in range(3):
            assert client.get("/api/v01/public/kept").status_code == 200

    told = gate.call("GET", "/transactions?route=/api/v01/public/kept&limit=2", token="token-of-bob").json()
    first, second = told["transactions"]
    assert first["id"] > second["id"] == told["next"]
    assert (first["status"], first["owner"], first["method"]) == ("CLOSED_IN_SUCCESS", None, "GET")
    rest = gate.call("GET", f"/transactions?route=/api/v01/public/kept&before={told['next']}").json()
    assert len(rest["transactions"]) == 1
    assert "next" not in rest

    whole = gate.call("GET", f"/transactions/{first['guid']}").json()
    assert [task["cell"] for task in whole["tasks"]] == ["start", "set", "end"]
    assert whole["context"] == {"*response*": {"body": {"message": "hello, world"}}}
    assert gate.call("GET", f"/transactions/{first['id']}").json() == whole
    assert gate.call("GET", "/transactions/999999").status_code == 404
    for path in ("/transactions", f"/transactions/{first['id']}"):
        assert gate.call("GET", path, token="token-of-eve").status_code == 403


@pytest.mark.row("CR-24")
def test_a_proxy_is_an_object_whose_secret_is_not_shown(gate):
    body = {"connection": "up", "check": {"path": "/me"}, "system_session": "session-of-the-system"}
    for kind, name, written in (
        ("connections", "up", {"targets": ["http://127.0.0.1:9"]}),
        (
            "workflow_engine",
            "workflow_engine",
            {"auth": [{"auth": {"methods": [{"basic": {"users": {"ann": "p" * 20}}}]}}]},
        ),
        ("proxies", "p1", body),
    ):
        made = gate.call("POST", f"/objects/{kind}", {"name": name, "body": written})
        assert made.status_code == 201, made.text
    told = gate.call("GET", "/objects/proxies/p1")
    assert told.json()["body"]["system_session"] == "********"
    assert "session-of-the-system" not in told.text
    made = gate.call("POST", "/custom_routes?wait=live", {**route("/tenants/"), "proxy": "p1", "public": False})
    assert (made.status_code, made.json()["route_id"]) == (201, "get p1 tenants:")
    wrong = gate.call("POST", "/custom_routes", {**route("/others/"), "proxy": "p1"})
    assert (wrong.status_code, "leave public out" in wrong.text) == (400, True)


def test_a_workflow_that_is_live_is_drawn(gate):
    told = gate.call("GET", "/workflows/hello/diagram")
    assert (told.status_code, told.headers["content-type"]) == (200, "image/svg+xml")
    assert "default-src 'none'" in told.headers["content-security-policy"]
    assert "<title" in told.text
    assert gate.call("GET", "/workflows/helo/diagram").status_code == 404
    assert gate.call("GET", "/workflows/hello/diagram", token="token-of-bob").status_code == 403
