"""People over the API of a running gateway, with real curl where a person would use it."""

import json
import re
import shutil
import subprocess
import sys

import httpx
import pytest

from .served import DOCUMENT, environment, serving, written_in

CRM = {"targets": "http://127.0.0.1:9"}
PASSWORD = "correct horse battery"


def hookgate(gate, *words):
    command = [sys.executable, "-m", "hookgate", *words]
    done = subprocess.run(command, cwd=gate.folder, env=gate.environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    url = f"sqlite:///{folder / 'store.db'}"
    with serving(folder, url) as served:
        served.folder, served.environment = folder, environment(url)
        code, told = hookgate(served, "people", "first", "gateway.yaml")
        assert code == 0, told
        served.first = re.search(r"admin has the password (\S+) ", told)[1]
        yield served


def call(gate, method, path, body=None, who=None, **headers):
    """Call with name and password, or with a token."""
    return httpx.request(
        method,
        f"{gate.management}/-/api{path}",
        json=body,
        auth=who if isinstance(who, tuple) else None,
        headers=headers | ({"Authorization": f"Bearer {who}"} if isinstance(who, str) else {}),
        timeout=60,
        trust_env=False,
    )


def made(gate, name, *permissions, **more):
    """Make a user with a role of the same name; return what it logs in with."""
    assert gate.call("POST", "/roles", {"name": name, "permissions": permissions}).status_code == 201
    told = gate.call("POST", "/users", {"name": name, "roles": [name], "password": PASSWORD, **more})
    assert told.status_code == 201, told.text
    return name, PASSWORD


def test_the_first_administrator_may_do_everything_and_is_made_once(gate):
    admin = ("admin", gate.first)
    told = call(gate, "GET", "/me", who=admin).json()
    assert (told["name"], told["roles"], told["permissions"]) == ("admin", ["administrators"], ["admin"])
    assert call(gate, "PUT", "/objects/connections/first", CRM, admin).status_code == 201
    code, text = hookgate(gate, "people", "first", "gateway.yaml", "--name", "other")
    assert (code, "there are users already" in text) == (3, True)
    assert gate.first not in "".join(gate.lines)


@pytest.mark.row("AC-39")
def test_whoever_has_only_api_connection_changes_connections_and_nothing_else(gate):
    joe = made(gate, "joe", "api_api-connection")
    token = call(gate, "POST", "/tokens", {"name": "ci"}, joe).json()["token"]

    for who in (joe, token):
        assert call(gate, "POST", "/objects/connections", {"name": "joes", "body": CRM}, who).status_code == 201
        assert call(gate, "GET", "/objects/connections/joes", who=who).status_code == 200
        assert call(gate, "PUT", "/objects/connections/joes", CRM | {"tags": ["x"]}, who).status_code == 200
        assert call(gate, "PATCH", "/objects/connections/joes", {"tags": None}, who).status_code == 200
        assert call(gate, "DELETE", "/objects/connections/joes", who=who).status_code == 200
        body = {"name": "x", "match": {"path": "/x"}, "flow": [{"respond": {}}]}
        assert call(gate, "POST", "/objects/routes", {"body": body}, who).status_code == 403
        assert call(gate, "PUT", "/objects/routes/x", body, who).status_code == 403
        assert call(gate, "DELETE", "/objects/routes/x", who=who).status_code == 403
        for path in ("/users", "/roles"):
            assert call(gate, "POST", path, {"name": "evil"}, who).status_code == 403
        assert call(gate, "GET", "/audit", who=who).status_code == 403
        assert call(gate, "GET", "/tokens?user=admin", who=who).status_code == 403
        told = call(gate, "POST", "/tokens", {"name": "evil", "user": "admin"}, who)
        assert told.status_code == 403
        assert call(gate, "POST", "/tokens", {"name": "evil", "scopes": ["admin"]}, who).status_code == 403


def test_who_may_change_one_kind_reads_that_kind_and_nothing_else(gate):
    code, told = hookgate(gate, "people", "roles", "gateway.yaml")
    assert code == 0, told
    body = {"name": "cats", "base_path": "/cats", "flow": [{"respond": {"body": "cats"}}]}
    gate.call("PUT", "/objects/connections/unseen", CRM)
    gate.call("PUT", "/objects/connections/unseen/draft", CRM)
    assert gate.call("POST", "/users", {"name": "cat", "roles": ["creator"], "password": PASSWORD}).status_code == 201
    cat = ("cat", PASSWORD)
    assert call(gate, "PUT", "/objects/apis/cats", body, cat).status_code == 201
    assert call(gate, "PUT", "/objects/apis/cats/draft", body, cat).status_code == 201
    for path in ("", "/cats", "/cats/used-by", "/cats/steps", "/cats/draft", "/cats/diff"):
        assert call(gate, "GET", f"/objects/apis{path}", who=cat).status_code == 200, path
    for path in ("", "/unseen", "/unseen/used-by", "/unseen/draft", "/unseen/diff"):
        assert call(gate, "GET", f"/objects/connections{path}", who=cat).status_code == 403, path
    for path in ("/users", "/users/cat", "/roles", "/roles/creator", "/nodes", "/audit"):
        assert call(gate, "GET", path, who=cat).status_code == 403, path
    head = gate.call("GET", "/generations?limit=1").json()["generations"][0]["generation"]
    everything = ("/export", "/drafts", "/generations", f"/diff?from=0&to={head}", f"/generations/{head}")
    shown = [call(gate, "GET", path, who=cat) for path in everything]
    assert [each.status_code for each in shown] == [200] * 5
    assert not [each.url for each in shown if "unseen" in each.text]
    assert all("cats" in each.text for each in shown)
    assert call(gate, "POST", "/plan", {"document": {"apis": [body]}}, cat).status_code == 200
    told = call(gate, "POST", "/plan", {"document": {"connections": {"other": CRM}}}, cat)
    assert told.status_code == 403


@pytest.mark.row("AC-40")
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_role_user_profile_and_route_are_made_with_curl_and_the_route_is_called_with_it(gate):
    def curl(*words, user=("admin", gate.first)):
        command = [
            "curl",
            "--silent",
            "--noproxy",
            "*",
            "--user",
            ":".join(user),
            "--write-out",
            "\n%{http_code}",
            *words,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        text, _, status = done.stdout.rpartition("\n")
        return int(status), text

    def sent(method, path, body):
        kind = ["--header", "Content-Type: application/json", "--data", json.dumps(body)]
        return curl("--request", method, *kind, f"{gate.management}/-/api{path}")[0]

    step = {"if": "!('clerks' in identity.roles)", "flow": [{"respond": {"status": 403}}]}
    route = {"match": {"path": "/desk"}, "flow": [{"auth": {"methods": ["staff"]}}, {"when": step}]}
    route["flow"].append({"respond": {"body": "welcome"}})
    assert sent("POST", "/roles", {"name": "clerks"}) == 201
    assert sent("POST", "/users", {"name": "kim", "password": PASSWORD, "roles": ["clerks"]}) == 201
    assert sent("POST", "/users", {"name": "tom", "password": PASSWORD}) == 201
    assert sent("POST", "/objects/profiles", {"name": "staff", "body": {"inbound": {"people": {}}}}) == 201
    assert sent("POST", "/objects/routes?wait=live", {"name": "desk", "body": {"name": "desk", **route}}) == 201

    desk = f"{gate.public}/desk"
    assert curl(desk, user=("kim", PASSWORD)) == (200, "welcome")
    assert curl(desk, user=("kim", "wrong"))[0] == 401
    assert curl(desk, user=("nobody", PASSWORD))[0] == 401
    assert curl(desk, user=("tom", PASSWORD))[0] == 403
    assert gate.get("/desk").status_code == 401
    told = httpx.get(desk, trust_env=False, timeout=60)
    assert told.headers["www-authenticate"] == 'Basic realm="hookgate", charset="UTF-8"'
    token = call(gate, "POST", "/tokens", {"name": "desk"}, ("admin", gate.first)).json()["token"]
    assert httpx.get(desk, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60).status_code == 403
    assert sent("PATCH", "/roles/administrators", {"roles": ["clerks"]}) == 200


def test_a_narrow_token_of_an_administrator_makes_no_wider_one(gate):
    admin = ("admin", gate.first)
    narrow = call(gate, "POST", "/tokens", {"name": "narrow", "scopes": ["read"], "lifetime": "1h"}, admin).json()
    token = narrow["token"]

    assert call(gate, "GET", "/users", who=token).status_code == 200
    assert call(gate, "POST", "/users", {"name": "evil"}, token).status_code == 403
    assert call(gate, "POST", "/tokens", {"name": "w", "scopes": ["admin"]}, token).status_code == 403
    heir = call(gate, "POST", "/tokens", {"name": "heir", "lifetime": "2h"}, token).json()
    assert (heir["scopes"], heir["ends"] <= narrow["ends"] + 1) == (["read"], True)
    assert call(gate, "DELETE", f"/tokens/{narrow['id']}", who=admin).status_code == 200
    assert call(gate, "GET", "/users", who=token).status_code == 401


def test_a_service_account_has_tokens_and_no_password(gate):
    gate.call("POST", "/roles", {"name": "deployers", "permissions": ["api_route"]})
    told = gate.call("POST", "/users", {"name": "robot", "service": True, "roles": ["deployers"]})
    token = gate.call("POST", "/tokens", {"name": "ci", "user": "robot", "lifetime": "30d"}).json()["token"]

    assert (told.status_code, "password" in told.json()) == (201, False)
    assert call(gate, "GET", "/me", who=token).json()["permissions"] == ["api_route"]
    assert gate.call("PATCH", "/users/robot", {"password": PASSWORD}).status_code == 422
    for password in ("", PASSWORD):
        assert call(gate, "GET", "/me", who=("robot", password)).status_code == 401


def test_a_password_that_was_made_is_shown_once_and_can_be_changed_by_its_user(gate):
    gate.call("POST", "/roles", {"name": "readers", "permissions": ["read"]})
    told = gate.call("POST", "/users", {"name": "eva", "roles": ["readers"]}).json()
    eva = ("eva", told["password"])

    assert "password" not in gate.call("GET", "/users/eva").json()
    bad = call(gate, "PUT", "/me/password", {"current": "nonsense", "password": PASSWORD}, eva)
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/current")
    assert call(gate, "PUT", "/me/password", {"current": eva[1], "password": PASSWORD}, eva).status_code == 200
    assert call(gate, "GET", "/me", who=eva).status_code == 401
    assert call(gate, "GET", "/me", who=("eva", PASSWORD)).status_code == 200


def test_ten_failures_lock_a_user_and_an_administrator_ends_that(gate):
    ben = made(gate, "ben", "read")
    tried = [call(gate, "GET", "/me", who=("ben", f"guess {n}")) for n in range(10)]
    locked = call(gate, "GET", "/me", who=ben)

    assert [each.status_code for each in tried] == [401] * 10
    assert (locked.status_code, locked.json()["type"]) == (429, "urn:hookgate:problem:too-many-logins")
    assert 0 < int(locked.headers["Retry-After"]) <= 901
    shown = gate.call("GET", "/users/ben").json()
    assert (shown["failed"], shown["locked_until"] is not None) == (10, True)
    assert gate.call("PATCH", "/users/ben", {"locked": False}).status_code == 200
    assert call(gate, "GET", "/me", who=ben).status_code == 200
    code, told = hookgate(gate, "people", "password", "ben", "gateway.yaml")
    assert code == 0
    assert call(gate, "GET", "/me", who=("ben", re.search(r"password (\S+) ", told)[1])).status_code == 200


def test_nonsense_is_refused_and_changes_nothing(gate):
    before = gate.call("GET", "/users").json(), gate.call("GET", "/roles").json()
    for method, path, body, status in [
        ("POST", "/users", {}, 422),
        ("POST", "/users", {"name": "x", "nope": 1}, 422),
        ("POST", "/users", {"name": 5}, 422),
        ("POST", "/users", {"name": "a:b"}, 422),
        ("POST", "/users", {"name": "x", "password": "short"}, 422),
        ("POST", "/users", {"name": "x", "service": True, "password": PASSWORD}, 422),
        ("POST", "/users", {"name": "x", "roles": ["nope"]}, 422),
        ("POST", "/users", {"name": "admin"}, 409),
        ("POST", "/users", {"name": "ann"}, 409),
        ("PATCH", "/users/nobody", {}, 404),
        ("PATCH", "/users/admin", {"locked": True}, 422),
        ("PATCH", "/users/admin", {"disabled": True}, 409),
        ("DELETE", "/users/admin", None, 409),
        ("DELETE", "/roles/administrators", None, 409),
        ("POST", "/roles", {"name": "x", "permissions": ["everything"]}, 422),
        ("POST", "/roles", {"name": "x", "roles": ["x"]}, 422),
        ("PATCH", "/roles/administrators", {"roles": ["administrators"]}, 422),
        ("DELETE", "/tokens/nothing", None, 404),
        ("POST", "/tokens", {"name": "x", "user": "nobody"}, 404),
        ("POST", "/tokens", {"name": "x", "user": "admin", "lifetime": "soon"}, 422),
        ("GET", "/audit?since=x", None, 400),
        ("GET", "/audit?format=xml", None, 400),
    ]:
        told = gate.call(method, path, body)
        assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json"), (path, body)
    stale = gate.call("PATCH", "/users/admin", {"display": "x"}, If_Match='"99"')
    assert stale.status_code == 412
    assert before == (gate.call("GET", "/users").json(), gate.call("GET", "/roles").json())


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic YQ==", "Bearer hgt_x", "Digest x", "Basic /////w=="])
def test_credentials_that_are_none_let_nobody_in(gate, header):
    told = httpx.get(f"{gate.management}/-/api/me", headers={"Authorization": header}, trust_env=False, timeout=60)

    assert (told.status_code, told.headers["www-authenticate"]) == (401, 'Bearer realm="hookgate"')


def test_every_action_is_in_the_audit_masked_and_a_changed_line_shows(gate, tmp_path):
    secret = "the-password-of-the-backend"
    body = CRM | {"auth": [{"basic": {"username": "gate", "password": secret}}]}
    admin = ("admin", gate.first)
    call(gate, "PUT", "/objects/connections/audited", body, admin)
    call(gate, "DELETE", "/objects/connections/audited", who=admin)
    call(gate, "DELETE", "/objects/connections/audited", who=admin)
    found = gate.call("GET", "/audit?object=*&limit=5").json()["entries"]
    removed, created = gate.call("GET", "/audit?object=connections/audited").json()["entries"]
    lines = gate.call("GET", "/audit?format=jsonl")
    entries = [json.loads(line) for line in lines.text.splitlines()]

    assert found[0]["outcome"] == "refused: 404"
    assert (created["who"], created["action"], created["address"]) == ("admin", "create", "127.0.0.1")
    assert created["after"]["auth"][0]["basic"]["password"] == "********"
    assert (removed["action"], removed["before"], removed["after"]) == ("remove", created["after"], None)
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [each["number"] for each in entries] == list(range(1, len(entries) + 1))
    for text in (secret, gate.first, PASSWORD):
        assert text not in lines.text
        assert not [name for name, data in written_in(gate.folder).items() if text.encode() in data]
    code, told = hookgate(gate, "people", "audit-check", "gateway.yaml")
    assert code == 0, told
    noted = re.search(r"note (\d+:[0-9a-f]{64})", told)[1]
    assert hookgate(gate, "people", "audit-check", "gateway.yaml", "--expect", noted)[0] == 0
    wrong = noted[:-1] + ("0" if noted[-1] != "0" else "1")
    assert hookgate(gate, "people", "audit-check", "gateway.yaml", "--expect", wrong)[0] == 1


def test_without_callers_in_the_document_people_of_the_store_call(tmp_path_factory, database_url):
    folder = tmp_path_factory.mktemp("gate")
    callers = re.search(r"    - management:\n.*?(?=connections:)", DOCUMENT, re.DOTALL)[0]
    document = DOCUMENT.replace(callers, "    - management\n")
    with serving(folder, database_url, document) as served:
        served.folder, served.environment = folder, environment(database_url)
        code, told = hookgate(served, "people", "first", "gateway.yaml")
        assert code == 0, told
        admin = ("admin", re.search(r"password (\S+) ", told)[1])
        assert call(served, "PUT", "/objects/connections/crm?wait=live", CRM, admin).json()["live"]
        assert call(served, "GET", "/me").status_code == 401
        assert [each["author"] for each in call(served, "GET", "/generations", who=admin).json()["generations"]] == [
            "admin"
        ]


def test_what_a_caller_of_the_document_writes_first_is_in_the_audit(tmp_path):
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}") as served:
        assert served.call("PUT", "/objects/connections/crm", CRM).status_code == 201
        (only,) = served.call("GET", "/audit").json()["entries"]

    assert (only["who"], only["action"], only["object"], only["after"]) == ("ann", "create", "connections/crm", CRM)


def test_who_calls_through_a_trusted_proxy_is_told_apart(tmp_path_factory, database_url):
    folder = tmp_path_factory.mktemp("gate")
    document = DOCUMENT.replace("management:\n  listen", "management:\n  trusted_proxies: [127.0.0.0/8]\n  listen")
    with serving(folder, database_url, document) as gate:

        def seen(**headers):
            """Return whom the audit names for a write with such headers."""
            assert gate.call("PUT", "/objects/connections/crm", CRM, **headers).is_success
            return gate.call("GET", "/audit?object=connections/crm&limit=1").json()["entries"][0]["address"]

        assert seen() == "127.0.0.1"
        assert seen(X_Forwarded_For="203.0.113.7") == "203.0.113.7"
        assert seen(X_Forwarded_For="198.51.100.1, 203.0.113.7, 127.0.0.9") == "203.0.113.7"  # what it said itself
        assert seen(Forwarded='for="[2001:db8::7]:4711"') == "2001:db8::7"
        assert seen(X_Forwarded_For="nonsense") == "unknown"


def test_who_says_who_calls_without_being_trusted_is_not_believed(gate):
    assert gate.call("PUT", "/objects/connections/liar", CRM, X_Forwarded_For="203.0.113.7").is_success
    entry = gate.call("GET", "/audit?object=connections/liar").json()["entries"][0]
    assert entry["address"] == "127.0.0.1"
    gate.call("DELETE", "/objects/connections/liar")
