"""Proxies in front of an upstream gateway that knows sessions, through the public door (CR-24 to CR-28)."""

import json
import threading

import pytest

from hookgate.testing import upstream

from .served import document, refused, serving, setter, workflow

SYSTEM = "session-of-the-system"
SESSIONS = {SYSTEM: "system", "session-of-ann": "ann", "session-of-bob": "bob"}


class Gateway:
    """An upstream gateway: it knows sessions, and what their users may."""

    def __init__(self):
        self.sessions, self.refusing = dict(SESSIONS), False
        self.seen, self.lock = [], threading.Lock()

    def answer(self, request):
        session = (request.header("x-upstream") or "").removeprefix("Session ")
        with self.lock:
            self.seen.append((request.method, request.target, session, dict(request.headers)))
        over = self.refusing and not request.path.endswith("/me")
        user = None if over else self.sessions.get(session)
        headers = {"content-type": "application/json", "x-upstream": f"Session {session}", "set-cookie": "sid=1"}
        if user is None:
            return 401, headers, '{"error": "no session"}'
        path = request.path.removeprefix("/api/v1")
        if path == "/me":
            return 200, headers, json.dumps({"user": {"login": user}})
        if path == "/admin" and user == "bob":
            return 403, headers, '{"error": "bob may not"}'
        told = {"of": "upstream", "user": user, "method": request.method, "target": request.target}
        return 200, headers, json.dumps({**told, "body": request.body.decode()})

    def calls(self, but="/api/v1/me"):
        """Return method, target and session of what was asked, and forget it."""
        with self.lock:
            seen, self.seen = self.seen, []
        return [each[:3] for each in seen if each[1] != but]


def session_call(selector, **more):
    cell = {
        "original_name": "proxy_session_call",
        "params": {"proxy": "p1", "session": selector, "url": "/things", "output_context_key": "*response*", **more},
    }
    return {
        "cells": {
            "start": {"original_name": "start"},
            "call": cell,
            "none": setter("*response*", {"status": 418, "body": "nobody's session"}),
            "end": {"original_name": "end"},
        },
        "transitions": [["start.ok", "call"], ["call.ok", "end"], ["call.error", "none"], ["none.ok", "end"]],
    }


SELECTORS = {"system": "system", "or_system": "original user or system", "or_fail": "original user or fail"}
WORKFLOWS = {
    "own": workflow(("set", setter("*response*", {"body": {"of": "custom", "user": "{{ instance.user_id }}"}}))),
    "on": workflow(("call", {"original_name": "proxy_call", "params": {"proxy": "p1"}})),
    "fails": workflow(("bad", setter("x", "{{ request.nothing.at_all }}"))),
    "elsewhere": session_call("original user or system", proxy="p2"),
    "said": session_call("system", headers={"X-Upstream": "Session mine"}),
    "climbs": session_call("system", url="/{{ request.params.path }}"),
    **{name: session_call(selector) for name, selector in SELECTORS.items()},
}
WORKFLOWS["paused"] = {
    "cells": {
        **WORKFLOWS["or_fail"]["cells"],
        "pause": {"original_name": "timer", "params": {"timeout": "1 sec", "discard_idle_limit": True}},
    },
    "transitions": [["start.ok", "pause"], ["pause.ok", "call"], *WORKFLOWS["or_fail"]["transitions"][1:]],
}
PROFILES = {
    "clerks": {
        "roles": ["clerk"],
        "rules": [{"url": "/api/v01/p1/secret", "allowed": False}, {"url": "/api/v01/(custom|p[0-9])/.*"}],
    }
}


def bound(path, name="own", method="get", **more):
    return {"route": path, "method": method, "workflow": name, "sync": True, "proxy": "p1", **more}


ROUTES = [
    bound("/tenants/"),
    bound("/items/{id:[0-9]+}"),
    bound("/items/{id:[0-9]+}", method="put"),
    bound("/orders/{rest:.*}", "on", "post"),
    bound("/handled", "fails", error_handler="or_fail"),
    bound("/elsewhere", "elsewhere"),
    bound("/said", "said"),
    bound("/climbs", "climbs"),
    bound("/later", "paused", sync=False),
    *(bound(f"/call/{name}", name) for name in SELECTORS),
    {"route": "/call/open", "method": "get", "workflow": "or_system", "sync": True, "public": True},
    {"route": "/call/open/fail", "method": "get", "workflow": "or_fail", "sync": True, "public": True},
]


def made(url, routes=ROUTES, proxies=None, **more):
    one = {
        "connection": "up",
        "upstream_prefix": "/api/v1",
        "sent_in": "X-Upstream",
        "sent_as": "Session {session}",
        "check": {"path": "/me", "user": "user.login", "keep": 0},
        "system_session": SYSTEM,
    }
    engine = {"profiles": PROFILES, **more.pop("workflow_engine", {})}
    return document(
        WORKFLOWS,
        routes,
        connections={"up": {"targets": [url]}},
        proxies=proxies or {"p1": one, "p2": {**one, "upstream_prefix": "/other"}},
        workflow_engine=engine,
        **more,
    )


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    folder, gateway = tmp_path_factory.mktemp("town"), Gateway()
    with upstream() as backend:
        backend.answer = gateway.answer
        with serving(folder, f"sqlite:///{folder / 'store.db'}", made(backend.url)) as farm:
            farm.upstream, farm.backend = gateway, backend
            yield farm


@pytest.fixture
def farm(town):
    town.upstream.sessions, town.upstream.refusing = dict(SESSIONS), False
    town.upstream.calls()
    return town


def p1(farm, path, method="GET", session="", **more):
    headers = more.pop("headers", {}) | ({"x-session": session} if session else {})
    return farm.call(f"/api/v01/p1{path}", method, headers=headers, **more)


@pytest.mark.row("CR-24")
def test_a_custom_route_replaces_or_adds_and_all_else_is_passed_on(farm):
    ann = {"session": "session-of-ann"}
    assert p1(farm, "/tenants/", **ann).json() == {"of": "custom", "user": "p1:ann"}
    assert farm.upstream.calls() == []
    told = p1(farm, "/tenants/", "POST", json={"a": 1}, **ann).json()  # another method is no part of the custom route
    assert (told["method"], told["target"], told["body"]) == ("POST", "/api/v1/tenants/", '{"a":1}')
    assert p1(farm, "/other/%2Fx?a=1&b", **ann).json()["target"] == "/api/v1/other/%2Fx?a=1&b"
    assert p1(farm, "/items/12", **ann).json()["of"] == "custom"
    assert p1(farm, "/items/twelve", **ann).json()["target"] == "/api/v1/items/twelve"
    large = "x" * 1_200_000  # more than a workflow may be started with
    assert len(p1(farm, "/items/twelve", "PUT", content=large, **ann).json()["body"]) == len(large)
    assert p1(farm, "/items/12", "PUT", content=large, **ann).status_code == 413
    assert p1(farm, "", **ann).json()["target"] == "/api/v1/"
    assert farm.call("/api/v01/p3/x", who="ann", roles="clerk").status_code == 404


@pytest.mark.row("CR-24")
def test_a_route_that_is_deleted_gives_the_answer_of_upstream_again(farm):
    ask = {"session": "session-of-ann"}
    assert p1(farm, "/tenants/", **ask).json()["of"] == "custom"
    farm.write(made(farm.backend.url, [each for each in ROUTES if each["route"] != "/tenants/"]))
    assert p1(farm, "/tenants/", **ask).json()["of"] == "upstream"
    farm.write(made(farm.backend.url, [{**each, "enabled": each["route"] != "/tenants/"} for each in ROUTES]))
    assert p1(farm, "/tenants/", **ask).json()["of"] == "upstream"
    farm.write(made(farm.backend.url))
    assert p1(farm, "/tenants/", **ask).json()["of"] == "custom"


@pytest.mark.row("CR-25")
@pytest.mark.parametrize("path", ["/things", "/tenants/", "/items/12", "/items/twelve"])
def test_who_says_nothing_is_refused_before_anything_is_asked(farm, path):
    told = p1(farm, path)
    assert told.status_code == 401
    assert farm.upstream.calls(but="") == []


@pytest.mark.row("CR-26")
def test_a_user_of_upstream_has_the_session_of_that_user(farm):
    told = p1(farm, "/things", session="session-of-ann", headers={"authorization": "Bearer x", "cookie": "a=b"})
    assert told.json()["user"] == "ann"
    assert "set-cookie" not in told.headers
    assert farm.upstream.calls(but="") == [
        ("GET", "/api/v1/me", "session-of-ann"),
        ("GET", "/api/v1/things", "session-of-ann"),
    ]
    told = p1(farm, "/admin", session="session-of-bob")
    assert (told.status_code, told.json()) == (403, {"error": "bob may not"})
    assert {each[2] for each in farm.upstream.calls()} == {"session-of-bob"}


@pytest.mark.row("CR-26")
def test_a_local_user_is_let_in_by_a_profile_and_has_the_session_of_the_system(farm):
    clerk = {"who": "ann", "roles": "clerk"}
    for who in ({"who": "ann", "roles": "guest"}, clerk):
        assert p1(farm, "/secret", **who).json()["reason"] == "profile"
    assert farm.upstream.calls(but="") == []
    sent = {"authorization": "Bearer mine", "cookie": "a=b", "x-upstream": "Session session-of-bob"}
    told = p1(farm, "/things", headers=sent, **clerk)
    assert told.json()["user"] == "system"
    assert not {"x-upstream", "set-cookie"} & told.headers.keys()
    assert SYSTEM not in told.text + str(told.headers)
    (seen,) = farm.upstream.seen
    assert seen[2] == SYSTEM
    assert not {"authorization", "cookie", "x-session"} & seen[3].keys()
    assert p1(farm, "/tenants/", **clerk).json() == {"of": "custom", "user": "ann"}
    del farm.upstream.sessions[SYSTEM]
    told = p1(farm, "/things", **clerk)
    assert (told.status_code, told.json()["reason"]) == (502, "system-session-refused")


@pytest.mark.row("CR-27")
@pytest.mark.parametrize("path", ["/things", "/tenants/", "/call/or_system", "/call/system", "/later"])
@pytest.mark.parametrize("session", ["expired", "", "a b\u00e9", "x" * 8193])
def test_a_session_that_is_over_or_none_is_refused_and_nothing_else_is_tried(farm, path, session):
    headers = {"x-session": session.encode("latin-1"), "x-who": "ann", "x-roles": "clerk"}
    told = farm.gate.request("GET", f"/api/v01/p1{path}", headers=headers)
    assert told.status_code == 401
    assert {each[2] for each in farm.upstream.calls(but="")} <= {"expired"}


@pytest.mark.row("CR-28")
@pytest.mark.parametrize(
    ("selector", "who", "status", "seen"),
    [
        ("system", "session", 200, SYSTEM),
        ("system", "none", 200, SYSTEM),
        ("system", "refused", 401, SYSTEM),
        ("or_system", "session", 200, "session-of-ann"),
        ("or_system", "none", 200, SYSTEM),
        ("or_system", "refused", 401, "session-of-ann"),
        ("or_fail", "session", 200, "session-of-ann"),
        ("or_fail", "none", 418, None),
        ("or_fail", "refused", 401, "session-of-ann"),
    ],
)
def test_a_cell_calls_with_the_session_that_its_selector_says(farm, selector, who, status, seen):
    """Refused: the session was good when the instance was started, and is over when the cell calls."""
    caller = {"who": "ann", "roles": "clerk"} if who == "none" else {"session": "session-of-ann"}
    farm.upstream.refusing = who == "refused"
    told = p1(farm, f"/call/{selector}", **caller)
    assert told.status_code == status
    assert [each[2] for each in farm.upstream.calls()] == ([] if seen is None else [seen])
    assert "x-upstream" not in told.headers


def test_an_instance_of_nobody_has_no_session_of_anybody(farm):
    assert farm.public("/call/open").json()["user"] == "system"
    assert farm.public("/call/open/fail").status_code == 418


@pytest.mark.row("CR-27")
def test_a_session_goes_to_its_own_gateway_only(farm):
    assert p1(farm, "/elsewhere", session="session-of-ann").status_code == 418
    assert farm.upstream.calls() == []
    assert p1(farm, "/elsewhere", who="ann", roles="clerk").json()["user"] == "system"


def test_a_handler_for_errors_has_the_session_of_what_has_failed(farm):
    assert p1(farm, "/handled", session="session-of-ann").json()["user"] == "ann"


def test_a_cell_says_no_session_itself_and_stays_behind_the_prefix(farm):
    assert p1(farm, "/said", session="session-of-ann").status_code == 418
    for path in ("../admin", "%252e%252e/admin", "a/.."):
        assert p1(farm, f"/climbs?path={path}", session="session-of-ann").status_code == 418, path
    assert farm.upstream.calls() == []


@pytest.mark.row("CR-28")
def test_proxy_call_passes_the_call_on(farm):
    told = p1(farm, "/orders/7?a=%20", "POST", json={"x": [1]}, session="session-of-ann").json()
    assert (told["user"], told["method"], told["target"]) == ("ann", "POST", "/api/v1/orders/7?a=%20")
    assert json.loads(told["body"]) == {"x": [1]}
    form = {"content": "a=1&a=2", "headers": {"content-type": "application/x-www-form-urlencoded"}}
    assert p1(farm, "/orders/7", "POST", **form, who="ann", roles="clerk").json()["body"] == "a=1&a=2"
    assert p1(farm, "/orders/", "POST", session="session-of-ann").json()["body"] == ""
    told = p1(
        farm, "/orders/7", "POST", content=b"\0\1", headers={"content-type": "image/png"}, session="session-of-ann"
    )
    assert (told.status_code, told.json()["reason"]) == (500, "workflow-failed")


def test_an_instance_keeps_its_session_out_of_sight_and_only_while_it_runs(farm):
    ask = p1(farm, "/later", session="session-of-ann")
    assert ask.status_code == 202
    number = ask.json()["id"]
    farm.until(number, lambda told: told["waits_for"] == "time")  # it is put down, and read from the journal again
    kept = farm.gate.run(journalled(farm, number))
    assert json.loads(kept["state"])["session"]["sealed"]
    assert "session-of-ann" not in str(kept)
    told = farm.closed(number)
    assert (told["status"], told["owner"]) == ("CLOSED_IN_SUCCESS", "p1:ann")
    assert told["context"]["*response*"]["body"]["user"] == "ann"
    assert (told["calls"][0]["connection"], told["tasks"][2]["input"]["session"]) == ("up", "p1:ann")
    seen = p1(farm, f"/-/transactions/{ask.json()['guid']}", session="session-of-ann")
    assert seen.json() == told
    assert p1(farm, f"/-/transactions/{number}", session="session-of-bob").status_code == 403
    assert farm.transaction(number, who="ann", roles="").status_code == 403  # another ann
    kept = farm.gate.run(journalled(farm, number))
    assert json.loads(kept["state"])["session"] == {"proxy": "p1", "user": "p1:ann", "sealed": ""}
    assert "session-of-ann" not in json.dumps(told) + str(kept)


@pytest.mark.row("CR-27")
def test_what_was_started_for_a_user_without_a_session_has_nobody_elses(farm):
    """As a row of a bulk is, whose owner alone is kept."""
    for selector, status in (("or_system", 418), ("or_fail", 418), ("system", 200)):
        context = farm.gate.run(run_for(farm, selector, "p1:ann"))
        assert context["*response*"]["status"] == status
    assert {each[2] for each in farm.upstream.calls()} == {SYSTEM}


@pytest.mark.row("CR-27")
def test_a_child_has_the_session_of_its_parent(farm):
    number = p1(farm, "/later", session="session-of-ann").json()["id"]
    farm.until(number, lambda told: told["waits_for"] == "time")
    farm.upstream.calls()

    context = farm.gate.run(run_for(farm, "or_system", None, parent=number))

    assert context["*response*"]["body"]["user"] == "ann"
    farm.closed(number)


async def run_for(farm, name, owner, **more):
    engine = farm.gate.gateway.live.config.sections["workflow_engine"].engine
    instance = await engine.make(engine.graph(name), None, owner=owner, **more)
    await engine.go(instance)
    return instance.context


async def journalled(farm, number):
    engine = farm.gate.gateway.live.config.sections["workflow_engine"].engine
    return await engine.journal.read(number)


@pytest.mark.row("CR-30")
def test_routes_of_a_proxy_are_described(farm):
    told = farm.call("/api/v01/custom_routes.openapi.json", who="ann", roles="clerk").json()
    tenants = told["paths"]["/api/v01/p1/tenants/"]["get"]
    assert tenants["security"] == [{"token": []}, {"session_p1": []}]
    assert told["components"]["securitySchemes"]["session_p1"]["name"] == "X-Session"


def test_a_session_is_asked_about_once_in_a_while_and_again_when_it_is_refused(tmp_path):
    gateway = Gateway()
    with upstream() as backend:
        backend.answer = gateway.answer
        whole = made(backend.url)
        for each in whole["proxies"].values():
            del each["system_session"]
            each["check"]["keep"] = 600
        with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", whole) as farm:
            for _ in range(3):
                assert p1(farm, "/things", session="session-of-ann").status_code == 200
            assert len([each for each in gateway.calls(but="") if each[1] == "/api/v1/me"]) == 1
            del gateway.sessions["session-of-ann"]
            assert p1(farm, "/things", session="session-of-ann").json() == {"error": "no session"}
            assert p1(farm, "/tenants/", session="session-of-ann").json()["reason"] == "session-over"
            gateway.calls(but="")
            told = p1(farm, "/things", who="ann", roles="clerk")
            assert (told.status_code, told.json()["reason"]) == (403, "no-system-session")
            assert p1(farm, "/call/system", who="ann", roles="clerk").status_code == 418
            assert gateway.calls(but="") == []
            whole["workflow_engine"]["profiles"] = {}
            farm.write(whole)
            assert p1(farm, "/tenants/", who="ann").json()["reason"] == "profile"  # of a proxy, a profile says who may
            told = farm.call("/api/v01/custom_routes.openapi.json", who="ann").json()
            assert not any(path.startswith("/api/v01/p1") for path in told["paths"])


@pytest.mark.parametrize(
    ("place", "wrong", "said"),
    [
        ("custom_routes[0].public", {"public": True}, "needs a caller who is known"),
        ("custom_routes[0].proxy", {"proxy": "p7"}, "there is no"),
        ("proxies.p1.connection", {"connections": {"up": {"auth": [{"bearer": {"token": "x" * 9}}]}}}, "signs calls"),
        ("proxies.p1.connection", {"connections": {"up": {"headers": [{"remove": "x-upstream"}]}}}, "X-Upstream"),
        ("proxies.p1.session_header", {"session_header": "Authorization"}, "local callers are known by"),
        ("proxies.p1.sent_in", {"sent_in": "Content-Length"}, "carries no session"),
        ("proxies.p1.sent_as", {"sent_as": "Bearer"}, "holds {session} once"),
        ("proxies.p1.system_session", {"system_session": "a\nb"}, "1 to 8192 characters"),
        ("proxies.p1.check.path", {"check": {"path": "me"}}, "begins with '/'"),
        ("proxies.p1.check.user", {"check": {"path": "/me", "user": "a["}}, "is no JMESPath"),
        ("proxies.proxy", {"name": "proxy"}, "p and a number"),
        ("proxies.p1", {"auth": []}, "nothing says how"),
    ],
)
def test_what_is_wrong_with_a_proxy_is_told_at_its_place(tmp_path, place, wrong, said):
    whole = made("http://127.0.0.1:9", [bound("/tenants/")])
    del whole["proxies"]["p2"]
    whole["workflows"] = {"own": WORKFLOWS["own"]}
    if place.startswith("custom"):
        whole["custom_routes"][0] |= wrong
    elif "connections" in wrong:
        whole["connections"]["up"] |= wrong["connections"]["up"]
    elif "name" in wrong:
        whole["proxies"][wrong["name"]] = whole["proxies"]["p1"]
    elif "auth" in wrong:
        whole["workflow_engine"]["auth"] = []
    else:
        whole["proxies"]["p1"] |= wrong
    told = refused(tmp_path, whole)
    assert place in told
    assert said in told
    assert "a\nb" not in told
