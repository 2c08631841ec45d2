"""Second factors over the API of a running gateway."""

import html
import re
import subprocess
import sys
import time
from contextlib import ExitStack

import httpx
import pyotp
import pytest

from hookgate_management.client import Client

from .served import DOCUMENT, environment, serving

PASSWORD = "correct horse battery"
ADMIN = "admin_needs_factor: true"


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    url = f"sqlite:///{folder / 'store.db'}"
    document = DOCUMENT.replace("- management:", f"- management:\n        sessions: {{{ADMIN}}}")
    document += "  - {name: desk, match: {path: /desk}, flow: [auth: {methods: [people]}, respond: {body: desk}]}\n"
    with serving(folder, url, document) as served, ExitStack() as stack:
        served.folder, served.environment, served.stack = folder, environment(url), stack
        for name in ("boss", "plain"):
            granted = ["admin"] if name == "boss" else ["read"]
            served.call("POST", "/roles", {"name": name, "permissions": granted})
        yield served


def made(gate, name, *roles):
    told = gate.call("POST", "/users", {"name": name, "password": PASSWORD, "roles": roles})
    assert told.status_code == 201, told.text
    assert told.json()["factor"] is False


def call(gate, name, method, path, body=None):
    url = f"{gate.management}/-/api{path}"
    return httpx.request(method, url, json=body, auth=(name, PASSWORD), timeout=60, trust_env=False)


def logged_in(gate, name, code="", status=201):
    client = httpx.Client(base_url=f"{gate.management}/-/api", timeout=60, trust_env=False)
    gate.stack.enter_context(client)
    client.headers["Origin"] = gate.management
    told = client.post("/session", json={"name": name, "password": PASSWORD, **({"code": code} if code else {})})
    assert told.status_code == status, told.text
    client.headers["X-CSRF-Token"] = told.json().get("csrf", "")
    client.told = told
    return client


def enrolled(gate, name):
    """Enrol as a person does; return the secret and the recovery codes."""
    secret = call(gate, name, "POST", "/me/factor").json()["secret"]
    confirmed = call(gate, name, "PUT", "/me/factor", {"code": pyotp.TOTP(secret).now()})
    assert confirmed.status_code == 200, confirmed.text
    return secret, confirmed.json()["recovery"]


def test_who_has_a_second_factor_logs_in_with_its_code_and_calls_with_tokens(gate):
    made(gate, "amy", "plain")
    browser = logged_in(gate, "amy")
    token = browser.post("/tokens", json={"name": "ci"}).json()["token"]
    told = browser.post("/me/factor").json()
    assert re.fullmatch(rf"otpauth://totp/hookgate:amy\?secret={told['secret']}&issuer=hookgate", told["uri"])
    assert browser.put("/me/factor", json={"code": "000000"}).status_code == 422
    code = pyotp.TOTP(told["secret"]).now()
    recovery = browser.put("/me/factor", json={"code": code}).json()["recovery"]
    assert browser.get("/me/factor").json() == {"confirmed": True, "recovery": 10}
    assert "secret" not in gate.call("GET", "/users/amy").text

    missing = logged_in(gate, "amy", status=401).told.json()
    assert missing["type"] == "urn:hookgate:problem:second-factor"
    assert logged_in(gate, "amy", code, status=401).told.json()["type"] == "urn:hookgate:problem:unauthorized"
    later = pyotp.TOTP(told["secret"]).at(time.time() + 30)
    assert logged_in(gate, "amy", later).get("/me").json()["name"] == "amy"
    assert logged_in(gate, "amy", later, status=401)
    assert logged_in(gate, "amy", recovery[0]).get("/me/factor").json()["recovery"] == 9

    basic = call(gate, "amy", "GET", "/me")
    assert (basic.status_code, basic.json()["type"]) == (403, "urn:hookgate:problem:second-factor")
    assert "token" in basic.json()["detail"]
    assert httpx.get(f"{gate.public}/desk", auth=("amy", PASSWORD), trust_env=False, timeout=60).status_code == 401
    shown = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{gate.public}/desk", headers=shown, trust_env=False, timeout=60).text == "desk"
    assert gate.call("GET", "/me", token=token).json()["name"] == "amy"
    for method, path, body in (("POST", "/me/factor", None), ("POST", "/me/factor/end", {"code": recovery[1]})):
        assert gate.call(method, path, body, token=token).status_code == 403
    audit = gate.call("GET", "/audit?limit=1000").text
    assert not [each for each in (told["secret"], later, *recovery) if each in audit or each in "".join(gate.lines)]


def test_a_factor_is_ended_with_a_code_of_it_and_by_an_administrator_without(gate):
    made(gate, "ben", "plain")
    browser = logged_in(gate, "ben")
    secret = browser.post("/me/factor").json()["secret"]
    recovery = browser.put("/me/factor", json={"code": pyotp.TOTP(secret).now()}).json()["recovery"]
    assert browser.post("/me/factor").status_code == 409
    assert browser.post("/me/factor/end", json={"code": "000000"}).status_code == 422
    renewed = browser.post("/me/factor/recovery", json={"code": recovery[0]}).json()["recovery"]
    assert browser.post("/me/factor/end", json={"code": recovery[1]}).status_code == 422
    assert browser.delete("/users/ben/factor").status_code == 403
    assert browser.post("/me/factor/end", json={"code": renewed[0]}).status_code == 200
    assert call(gate, "ben", "GET", "/me").status_code == 200

    enrolled(gate, "ben")
    with Client(gate.management, "token-of-ann") as api:
        api.remove_factor("ben")
    assert call(gate, "ben", "GET", "/me").status_code == 200
    assert gate.call("DELETE", "/users/ben/factor").status_code == 404
    enrolled(gate, "ben")
    command = [sys.executable, "-m", "hookgate", "people", "factor", "ben", "gateway.yaml"]
    done = subprocess.run(command, cwd=gate.folder, env=gate.environment, capture_output=True, text=True, check=True)
    assert "ben has no second factor any more" in done.stdout
    assert call(gate, "ben", "GET", "/me").status_code == 200


def test_administrators_make_a_factor_first_where_they_need_one(gate):
    made(gate, "root", "boss")
    browser = logged_in(gate, "root")
    for method, path in (("GET", "/users"), ("PUT", "/objects/connections/x"), ("POST", "/tokens"), ("GET", "/audit")):
        for told in (browser.request(method, path, json={}), call(gate, "root", method, path, {})):
            assert (told.status_code, told.json()["type"]) == (403, "urn:hookgate:problem:second-factor")
    assert browser.get("/me").status_code == 200
    secret = browser.post("/me/factor").json()["secret"]
    assert browser.get("/users").status_code == 403  # not before it is confirmed
    assert browser.put("/me/factor", json={"code": pyotp.TOTP(secret).now()}).status_code == 200
    assert browser.get("/users").status_code == 200
    assert browser.delete("/users/root/factor").status_code == 403  # without a code
    token = browser.post("/tokens", json={"name": "ci"}).json()["token"]
    assert gate.call("GET", "/users", token=token).status_code == 200


def test_a_factor_is_made_on_the_page_whose_address_can_be_copied_and_is_shown_once(gate):
    made(gate, "pia", "plain")
    client = httpx.Client(base_url=f"{gate.management}/-", timeout=60, trust_env=False)
    gate.stack.enter_context(client)
    own = {"Origin": gate.management, "Sec-Fetch-Site": "same-origin"}

    def csrf(page):
        return html.unescape(re.search(r'name="csrf" value="([^"]+)"', page)[1])

    assert client.post("/factor", headers=own).status_code == 401
    assert client.post("/login", data={"name": "pia", "password": PASSWORD}, headers=own).status_code == 303
    page = client.get("/login").text
    assert "Make a second factor" in page
    token = csrf(page)
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for path in ("/factor", "/factor/confirm"):
        assert client.post(path, data={"csrf": token}, headers=evil).status_code == 403
        for wrong in ({}, {"csrf": token[:-1]}):
            assert client.post(path, data=wrong, headers=own).status_code == 403
    assert client.get("/api/me/factor").json() == {"confirmed": False, "recovery": 0}

    shown = client.post("/factor", data={"csrf": token}, headers=own)
    assert (shown.status_code, shown.headers["cache-control"]) == (200, "no-store")
    uri = html.unescape(re.search(r'<input id="uri" readonly value="([^"]+)"', shown.text)[1])
    secret = re.search(r'<input id="secret" readonly value="([A-Z2-7 ]+)"', shown.text)[1].replace(" ", "")
    assert uri == f"otpauth://totp/hookgate:pia?secret={secret}&issuer=hookgate"
    assert html.unescape(re.search(r'<a href="(otpauth:[^"]+)"', shown.text)[1]) == uri
    assert "<script" not in shown.text
    wrong = client.post("/factor/confirm", data={"csrf": token, "code": "no code"}, headers=own)
    assert (wrong.status_code, secret in wrong.text, 'action="/-/factor/confirm"' in wrong.text) == (422, False, True)
    assert secret not in client.get("/login").text

    totp = pyotp.parse_uri(uri)
    done = client.post("/factor/confirm", data={"csrf": token, "code": totp.now()}, headers=own)
    codes = re.search(r"<pre>(.*?)</pre>", done.text, re.DOTALL)[1].split()
    assert (done.status_code, len(codes), client.get("/api/me/factor").json()["confirmed"]) == (200, 10, True)
    page = client.get("/login").text
    assert ("10 recovery codes are left" in page, "Make a second factor" in page) == (True, False)
    assert client.post("/factor", data={"csrf": token}, headers=own).status_code == 409
    form = {"name": "pia", "password": PASSWORD}
    assert client.post("/login", data=form, headers=own).status_code == 401
    assert client.post("/login", data={**form, "code": codes[0]}, headers=own).status_code == 303


def test_an_administrator_who_needs_a_factor_makes_it_on_the_page(gate):
    made(gate, "ava", "boss")
    client = httpx.Client(base_url=f"{gate.management}/-", timeout=60, trust_env=False)
    gate.stack.enter_context(client)
    own = {"Origin": gate.management, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/login", data={"name": "ava", "password": PASSWORD}, headers=own).status_code == 303
    assert client.get("/api/users").status_code == 403
    token = html.unescape(re.search(r'name="csrf" value="([^"]+)"', client.get("/login").text)[1])
    shown = client.post("/factor", data={"csrf": token}, headers=own).text
    uri = html.unescape(re.search(r'<input id="uri" readonly value="([^"]+)"', shown)[1])
    code = pyotp.parse_uri(uri).now()
    assert client.post("/factor/confirm", data={"csrf": token, "code": code}, headers=own).status_code == 200
    assert client.get("/api/users").status_code == 200
