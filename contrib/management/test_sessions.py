"""Sessions of browsers over the API of a running gateway."""

import re
import sqlite3
from contextlib import ExitStack

import httpx
import pytest

from .served import DOCUMENT, serving

PASSWORD = "correct horse battery"
OPEN = ExitStack()


@pytest.fixture(autouse=True)
def closed():
    """Close browsers."""
    yield
    OPEN.close()


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, f"sqlite:///{folder / 'store.db'}") as served:
        served.folder = folder
        yield served


def browser(gate, **more):
    client = httpx.Client(base_url=f"{gate.management}/-/api", timeout=60, trust_env=False, **more)
    OPEN.enter_context(client)
    client.headers["Origin"] = gate.management
    client.headers["Sec-Fetch-Site"] = "same-origin"
    return client


def made(gate, name, **more):
    body = {"name": name, "password": PASSWORD, **more}
    assert gate.call("POST", "/users", body).status_code == 201


def logged_in(gate, name, password=PASSWORD):
    client = browser(gate)
    told = client.post("/session", json={"name": name, "password": password})
    assert told.status_code == 201, told.text
    client.headers["X-CSRF-Token"] = told.json()["csrf"]
    return client


def test_who_logs_in_calls_with_a_cookie_until_they_log_out(gate):
    made(gate, "amy")
    client = browser(gate)
    told = client.post("/session", json={"name": "amy", "password": PASSWORD}, headers={"User-Agent": "Fox/1"})
    [cookie] = told.headers.get_list("set-cookie")
    assert re.fullmatch(r"hookgate-session=[\w-]{43}; .*", cookie)
    assert {"HttpOnly", "Path=/", "SameSite=Strict", "Max-Age=43200"} <= set(cookie.split("; "))
    session = client.get("/session").json()
    assert session == told.json()
    assert (session["user"], session["method"], session["agent"]) == ("amy", "password", "Fox/1")
    assert client.get("/me").json()["name"] == "amy"
    assert client.get("/me", headers={"Authorization": "Bearer nobodys"}).status_code == 401

    assert client.delete("/session", headers={"X-CSRF-Token": session["csrf"]}).status_code == 200
    assert not client.cookies
    assert httpx.get(f"{gate.management}/-/api/me", cookies={"hookgate-session": cookie[17:60]}).status_code == 401
    entries = gate.call("GET", f"/audit?object=sessions/{session['id']}").json()["entries"]
    assert [(each["who"], each["action"]) for each in entries] == [("amy", "remove"), ("amy", "create")]


def test_what_is_stored_of_a_session_lets_nobody_in(gate):
    made(gate, "abe")
    client = logged_in(gate, "abe")
    text = client.cookies["hookgate-session"]
    with sqlite3.connect(gate.folder / "store.db") as database:
        rows = str(database.execute("SELECT * FROM hookgate_sessions").fetchall())
    database.close()
    assert text not in rows
    for each in (text[:-1], text + "x", text.swapcase(), "", "\xe9" * 43, f"{text}; hookgate-session={text}"):
        headers = {"Cookie": f"hookgate-session={each}".encode()}
        other = browser(gate)
        assert other.get("/me", headers=headers).status_code == 401, each


def test_a_call_that_changes_something_shows_the_token_and_comes_from_an_own_page(gate):
    made(gate, "root", roles=[])
    gate.call("POST", "/roles", {"name": "all", "permissions": ["admin"]})
    gate.call("PATCH", "/users/root", {"roles": ["all"]})
    client = logged_in(gate, "root")
    other = logged_in(gate, "root")
    evil = "https://evil.example"
    changes = [
        ("POST", "/users", {"name": "new"}),
        ("PUT", "/objects/connections/x", {"targets": "http://127.0.0.1:9"}),
        ("PATCH", "/users/root", {"display": "x"}),
        ("DELETE", "/users/root", None),
        ("DELETE", "/session", None),
    ]
    wrong = [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": other.headers["X-CSRF-Token"]},
        {"X-CSRF-Token": "\xe9".encode()},
        {"Origin": evil},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ]
    for method, path, body in changes:
        for headers in wrong:
            told = client.request(method, path, json=body, headers=headers)
            assert told.status_code == 403, (method, path, headers)
        with httpx.Client(base_url=client.base_url, cookies=client.cookies, trust_env=False, timeout=60) as silent:
            silent.headers["X-CSRF-Token"] = client.headers["X-CSRF-Token"]
            assert silent.request(method, path, json=body).status_code == 403
    assert client.put("/objects/connections/x", json={"targets": "http://127.0.0.1:9"}).status_code == 201
    page = browser(gate)
    for headers in ({"Origin": evil}, {"Sec-Fetch-Site": "cross-site"}):
        told = page.post("/session", json={"name": "root", "password": PASSWORD}, headers=headers)
        assert told.status_code == 403


def test_logging_in_anew_ends_the_session_there_was(gate):
    made(gate, "ada")
    client = logged_in(gate, "ada")
    old = client.cookies["hookgate-session"]
    assert client.post("/session", json={"name": "ada", "password": PASSWORD}).status_code == 201
    assert client.cookies["hookgate-session"] != old
    thief = browser(gate, cookies={"hookgate-session": old})
    assert thief.get("/me").status_code == 401
    assert len(gate.call("GET", "/sessions?user=ada").json()["sessions"]) == 1


def test_people_see_and_end_their_own_sessions_and_an_administrator_those_of_all(gate):
    made(gate, "ben")
    made(gate, "bea")
    here, there, others = logged_in(gate, "ben"), logged_in(gate, "ben"), logged_in(gate, "bea")
    theirs = others.get("/session").json()["id"]
    assert {each["user"] for each in here.get("/sessions").json()["sessions"]} == {"ben"}
    assert here.get("/sessions?user=bea").status_code == 403
    assert here.delete(f"/sessions/{theirs}").status_code == 403
    assert here.delete(f"/sessions/{there.get('/session').json()['id']}").status_code == 200
    assert (there.get("/me").status_code, here.get("/me").status_code) == (401, 200)
    assert gate.call("DELETE", f"/sessions/{theirs}").status_code == 200
    assert others.get("/me").status_code == 401
    assert gate.call("DELETE", f"/sessions/{theirs}").status_code == 404


@pytest.mark.parametrize("change", [{"disabled": True}, {"password": "another " + PASSWORD}, {"roles": []}, None])
def test_sessions_end_when_the_user_changes_and_not_otherwise(gate, change):
    name = f"eli-{len(str(change))}"
    gate.call("POST", "/roles", {"name": name, "permissions": ["read"]})
    made(gate, name, roles=[name])
    client = logged_in(gate, name)
    assert gate.call("PATCH", f"/users/{name}", {"display": "E"}).status_code == 200
    assert client.get("/users").status_code == 200
    if change is None:
        assert gate.call("DELETE", f"/users/{name}").status_code == 200
    else:
        assert gate.call("PATCH", f"/users/{name}", change).status_code == 200
    assert client.get("/me").status_code == 401


def test_a_session_ends_when_idle_and_when_its_time_is_over(tmp_path):
    document = DOCUMENT.replace(
        "- management:", "- management:\n        sessions: {idle: 1h, lifetime: 10h, secure: true}"
    )
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", document) as gate:
        made(gate, "ida")
        told = browser(gate).post("/session", json={"name": "ida", "password": PASSWORD})
        [cookie] = told.headers.get_list("set-cookie")
        assert cookie.startswith("__Host-hookgate=")
        assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
        sent = {"Cookie": cookie.partition(";")[0]}
        client = browser(gate, headers=sent)

        def moved(column, seconds):
            with sqlite3.connect(tmp_path / "store.db") as database:
                database.execute(f"UPDATE hookgate_sessions SET {column} = {column} - {seconds}")
            database.close()

        moved("used", 3500)
        assert client.get("/me").status_code == 200  # which notes that it is used
        moved("used", 3500)
        assert client.get("/me").status_code == 200
        moved("used", 3700)
        assert client.get("/me").status_code == 401
        moved("used", -3700)
        assert client.get("/me").status_code == 200
        moved("ends", 36100)
        assert client.get("/me").status_code == 401


def test_who_only_uses_the_portal_does_not_see_what_is_stored(gate):
    gate.call("POST", "/roles", {"name": "guest", "permissions": ["discover", "comment", "invoke", "subscribe"]})
    made(gate, "gus", roles=["guest"])
    client = logged_in(gate, "gus")
    assert client.get("/me").json()["permissions"] == ["comment", "discover", "invoke", "subscribe"]
    for path in ("/", "/users", "/roles", "/objects/connections", "/export", "/generations", "/audit"):
        assert client.get(path).status_code == 403, path
