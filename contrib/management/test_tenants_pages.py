"""Every page for people of a tenant: what is theirs, and of another tenant nothing, whatever is called."""

import json

import httpx
import pytest

from .served import DOCUMENT, serving

A, B = "acme.example", "bolt.example"
PASSWORD = "correct horse battery"
HIDDEN = f"hidden-thing@{A}"
ABSENT = f"absent-thing@{A}"
STATISTICS = '{statistics: {url: "sqlite:///counts.db", flush: 1h}}'
TOLD = DOCUMENT.replace("lame_duck: 0", f"lame_duck: 0, observers: [{STATISTICS}]")


def route(name, host, **more):
    return {"name": name, "match": {"host": host, "path": "/"}, "flow": [{"respond": {"body": name}}], **more}


def api(name, host):
    flow = [{"respond": {"body": name, "_": {"id": name.partition("@")[0]}}}]
    return {"name": name, "base_path": "/shop", "hosts": [host], "flow": flow}


def call(gate, who, method, path, body=None):
    url = f"{gate.management}/-/api{path}"
    return httpx.request(method, url, json=body, auth=(who, PASSWORD), timeout=60, trust_env=False)


def made(gate, tenant):
    kinds = ["routes", "connections", "apis", "variables"]
    gate.call("PUT", f"/objects/tenants/{tenant}?wait=live", {"objects": 5, "kinds": kinds})
    gate.call("POST", "/roles", {"name": f"boss@{tenant}", "permissions": ["admin"]})
    for name in ("ann", "kim"):
        roles = [f"boss@{tenant}"] if name == "ann" else []
        told = gate.call("POST", "/users", {"name": f"{name}@{tenant}", "roles": roles, "password": PASSWORD})
        assert told.status_code == 201, told.text


def session(gate, who):
    told = httpx.post(
        f"{gate.management}/-/api/session", json={"name": who, "password": PASSWORD}, timeout=60, trust_env=False
    )
    return told.json()["id"]


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, f"sqlite:///{folder / 'store.db'}", TOLD) as served:
        made(served, A)
        made(served, B)
        a = f"ann@{A}"
        for path, body in (
            (f"/objects/connections/{HIDDEN}", {"targets": "http://127.0.0.1:9"}),
            (f"/objects/routes/{HIDDEN}", route(HIDDEN, A)),
            (f"/objects/apis/{HIDDEN}", api(HIDDEN, A)),
            (f"/objects/routes/{HIDDEN}/draft", route(HIDDEN, A, description="drafted")),
            (f"/objects/connections/{HIDDEN}/draft", {"targets": "http://127.0.0.1:10"}),
            (f"/objects/apis/{HIDDEN}/draft", api(HIDDEN, A) | {"description": "drafted"}),
        ):
            told = call(served, a, "PUT", path, body)
            assert told.status_code == 201, told.text
        # what is published is for everybody, unless it is said otherwise
        told = served.call("PUT", f"/objects/visibilities/{HIDDEN}", {"level": "domain"})
        assert told.status_code == 201, told.text
        call(served, a, "PUT", f"/objects/variables/{HIDDEN}?wait=live", {"value": "x"})
        served.session = session(served, f"kim@{A}")
        served.application = call(served, a, "POST", "/applications", {"name": "hidden-thing"}).json()["id"]
        given = {"api": HIDDEN, "application": served.application, "tier": "Gold"}
        told = call(served, a, "POST", "/subscriptions", given)
        assert told.status_code == 201, told.text
        served.subscription = told.json()["id"]
        served.token = call(served, f"kim@{A}", "POST", "/tokens", {"name": "hidden-thing"}).json()["id"]
        assert httpx.get(served.public, headers={"Host": A}, trust_env=False, timeout=60).text == HIDDEN
        yield served


def state(gate):
    """What there is of everybody, as an administrator of the house sees it."""
    pages = ("/export", "/drafts", "/users", "/roles", "/tokens", f"/sessions?user=kim@{A}")
    pages += ("/applications?owner=*", "/subscriptions", f"/applications/{gate.application}/api-keys")
    found = [gate.call("GET", page).json() for page in pages]
    for page in found:  # which ann calls changes no thing of hers
        if "applications" in page:  # everybody who looks for theirs gets the default one
            page["applications"] = [each for each in page["applications"] if each["owner"].endswith(A)]
        for each in page.get("users", []):
            each.pop("failed", None)
        for each in page.get("tokens", []) + page.get("sessions", []):
            each.pop("used", None)
    return found


def sent(operation, kind):
    """What an attacker of the other tenant sends, with NAME where the name stands."""
    given = {"connections": {"targets": "http://127.0.0.1:11"}, "routes": route("NAME", B), "apis": api("NAME", B)}
    own = {"body": given[kind], "name": "NAME"} if kind else None
    name = operation.removesuffix(f"-{kind}")
    return {
        "put": given.get(kind),
        "patch": {"tags": ["x"]},
        "save-draft": given.get(kind),
        "make": own,
        "rename": {"to": f"x@{B}"},
        "add-step": {"step": "log"},
        "move-step": {"step": "hidden-thing", "position": 0},
        "remove-step": {"step": "hidden-thing"},
        "deploy-drafts": {"drafts": [{"kind": "routes", "name": "NAME"}]},
        "apply": {"changes": [{"kind": "routes", "name": "NAME", "body": None}]},
        "plan": {"document": {"routes": [route("NAME", B)]}},
        "apply-plan": {"plan": "x"},
        "rollback": {"to": 0},
        "make-user": {"name": "NAME", "password": PASSWORD},
        "change-user": {"disabled": True},
        "make-role": {"name": "NAME", "permissions": ["admin"]},
        "change-role": {"permissions": []},
        "make-token": {"name": "t", "user": "NAME"},
        "renew-codes": {"code": "000000"},
        "end-factor": {"code": "000000"},
        "heard": {"generation": 0, "digest": "", "rejected": []},
        "change-lifecycle": {"to": "BLOCKED"},
        "copy-api": {"version": "9"},
        "make-application": {"name": "theirs", "owner": "NAME"},
        "change-application": {"description": "x"},
        "make-application-keys": {"key_type": "sandbox"},
        "change-application-keys": {"callbacks": []},
        "make-api-key": {"name": "x"},
        "subscribe": {"api": "NAME"},
        "change-subscription": {"tier": "Unlimited"},
        "make-document": {"name": "theirs", "type": "HOWTO", "text": "x"},
        "replace-document": {"name": "theirs", "type": "HOWTO", "text": "x"},
        "put-document-content": {"any": "thing"},
        "make-comment": {"text": "x"},
        "make-topic": {"title": "x", "text": "x"},
        "close-topic": {"closed": True},
        "make-post": {"text": "x"},
        "rate": {"rating": 5},
        "make-custom-route": {"route": "/theirs", "method": "get", "workflow": "NAME"},
        "rename-group": {"name": "theirs"},
        "decide": {"task": 1, "verdict": "done"},
        "check-bulk": {},
        "decide-call": {"decision": "approve"},
        "start-bulk": {},
        "replay-bulk": {},
        "repair": {"action": "replay"},
        "answer": {"answer": "approved"},
    }.get(name)


OF_ONESELF = {"log-in", "log-out", "password", "enrol-factor", "confirm-factor"}


def test_no_page_shows_or_changes_anything_of_another_tenant_and_none_says_that_there_is_any(gate):
    before, b = state(gate), f"ann@{B}"
    tried, opened = 0, set()
    for path, methods in gate.call("GET", "/openapi.json").json()["paths"].items():
        kind = path.split("/")[2] if path.startswith("/objects/") else ""
        if kind and kind not in ("routes", "connections", "apis"):
            continue
        pairs = [(HIDDEN, ABSENT)]
        for word, names in (("sessions", [gate.session]), ("tokens", [gate.token]), ("users", [f"kim@{A}"])):
            pairs = [(name, "0" * 16 if word != "users" else f"no@{A}") for name in names] if word in path else pairs
        pairs = [(f"boss@{A}", f"no@{A}")] if "roles" in path else pairs
        for word in ("application", "subscription"):
            if path.startswith(f"/{word}s/"):
                pairs = [(getattr(gate, word), "0" * 32)]
        for method, operation in methods.items():
            if operation["operationId"] in OF_ONESELF:
                continue
            if operation["operationId"] == "make-application":
                pairs = [(f"kim@{A}", f"no@{A}")]
            body = sent(operation["operationId"], kind)
            if "requestBody" in operation:
                assert body is not None, operation["operationId"]  # a new page has to be tried, too
            for pair in pairs:
                told = []
                for name in pair:
                    given = None if body is None else json.loads(json.dumps(body).replace("NAME", name))
                    place = path.replace("{number}", "3").replace("{key}", "production").replace("{name}", name)
                    answer = call(gate, b, method.upper(), place, given)
                    assert answer.status_code < 500, (method, path, answer.text)
                    named = name in place or name in json.dumps(given)  # what is only told again says nothing
                    told.append((answer.status_code, answer.text.replace(name, "SENT") if named else answer.text))
                    tried += 1
                    opened |= {operation["operationId"]} if answer.status_code < 300 else set()
                if "{name}" in path or "NAME" in json.dumps(body):
                    assert told[0] == told[1], (method, path)
                assert not [
                    each for each in ("hidden-thing", f"kim@{A}", gate.session, gate.application) if each in told[0][1]
                ], path
    assert tried > 100
    assert {"drafts", "sessions", "statistics", "export", "tokens"} <= opened
    assert state(gate) == before


def test_people_of_a_tenant_draft_deploy_and_change_steps_of_what_is_theirs(gate):
    b, own = f"ann@{B}", f"shop@{B}"
    place = f"/objects/apis/{own}"
    assert call(gate, b, "PUT", f"{place}/draft", api(own, B)).status_code == 201
    assert [each["name"] for each in call(gate, b, "GET", "/drafts").json()["drafts"]] == [own]
    assert call(gate, b, "PUT", f"/objects/apis/shop@{A}/draft", api(own, A)).status_code == 422
    assert call(gate, b, "PUT", "/objects/apis/shop/draft", api("shop", B)).status_code == 422
    hidden = {"to": {"connection": HIDDEN}}
    saved = call(gate, b, "PUT", f"{place}/draft", api(own, B) | hidden)
    assert [each["pointer"] for each in saved.json()["mistakes"]] == ["/to/connection"]
    assert call(gate, b, "POST", f"{place}/draft/deploy").status_code == 422  # a mistake goes nowhere
    call(gate, b, "PUT", f"{place}/draft", api(own, B))
    told = call(gate, b, "POST", "/drafts/deploy", {"drafts": [{"kind": "apis", "name": own}]})
    assert told.status_code == 201, told.text
    step = {"step": {"headers": {"request": {"set": {"x": "1"}}, "_": {"id": "mine"}}}, "position": 0}
    assert call(gate, b, "POST", f"{place}/steps/add", step).status_code == 200
    assert call(gate, b, "POST", f"{place}/steps/move", {"step": "mine", "position": 1}).status_code == 200
    assert "mine" in call(gate, b, "GET", f"{place}/steps").text
    assert call(gate, b, "GET", f"{place}/diff?from=1&to=live").status_code == 200
    assert call(gate, b, "POST", f"{place}/steps/remove", {"step": "mine"}).status_code == 200
    for number in range(6):
        last = call(gate, b, "PUT", f"/objects/connections/c{number}@{B}/draft", {"targets": "http://127.0.0.1:9"})
    assert (last.status_code, last.json()["type"]) == (409, "urn:hookgate:problem:quota")


def test_an_administrator_of_a_tenant_sees_and_ends_sessions_and_tokens_of_its_people(gate):
    b, kim = f"ann@{B}", f"kim@{B}"
    theirs = session(gate, kim)
    token = call(gate, b, "POST", "/tokens", {"name": "ci", "user": kim}).json()
    assert {each["user"] for each in call(gate, b, "GET", "/sessions").json()["sessions"]} <= {b, kim}
    assert [each["id"] for each in call(gate, b, "GET", f"/sessions?user={kim}").json()["sessions"]] == [theirs]
    assert call(gate, b, "GET", f"/sessions?user=kim@{A}").status_code == 403
    assert call(gate, b, "GET", "/tokens?user=nobody").status_code == 403
    assert [each["id"] for each in call(gate, b, "GET", "/tokens").json()["tokens"]] == [token["id"]]
    assert call(gate, kim, "GET", "/sessions?user=" + b).status_code == 403
    assert call(gate, b, "DELETE", f"/sessions/{theirs}").status_code == 200
    assert call(gate, b, "DELETE", f"/tokens/{token['id']}").status_code == 200


def test_statistics_of_a_tenant_are_those_of_its_routes(gate):
    own = f"counted@{B}"
    entry = route(own, B, flow=[{"auth": {"methods": [{"people": {}}]}}, {"respond": {"body": "b"}}])
    assert call(gate, f"ann@{B}", "PUT", f"/objects/routes/{own}?wait=live", entry).status_code == 201
    for who in (f"kim@{A}", f"kim@{B}"):
        told = httpx.get(gate.public, headers={"Host": B}, auth=(who, PASSWORD), trust_env=False, timeout=60)
        assert told.text == "b"
    gate.get("/hello")

    def rows(who, query):
        told = call(gate, who, "GET", f"/statistics?{query}")
        assert told.status_code == 200, told.text
        return told.json()["rows"]

    assert [(each["route"], each["calls"]) for each in rows(f"ann@{B}", "by=route")] == [(own, 2)]
    assert {each["user"] for each in rows(f"ann@{B}", "by=user")} == {f"kim@{B}", "(other)"}
    assert rows(f"ann@{B}", f"user=kim@{A}") == []
    assert rows(f"ann@{B}", f"by=route&route={HIDDEN}") == []
    assert [each["route"] for each in rows(f"ann@{A}", "by=route")] == [HIDDEN]
    assert [(each["user"], each["calls"]) for each in rows(f"kim@{B}", "by=user")] == [(f"kim@{B}", 1)]
    assert rows(f"kim@{A}", "by=route") == []  # the route is of somebody else
    for query in ("by=target", "target=http://127.0.0.1:9"):
        assert call(gate, f"ann@{B}", "GET", f"/statistics?{query}").status_code == 403
