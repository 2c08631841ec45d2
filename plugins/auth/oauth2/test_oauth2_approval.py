"""The authorization code grant towards a backend: approved once by an operator, kept encrypted, renewed."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64encode
from contextlib import contextmanager
from hashlib import sha256
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, upstream
from hookgate_auth_oauth2 import OAuth2Credential

KEY = "0123456789abcdef0123456789abcdef"


class Server:
    """An authorization server whose users approve at once; refresh tokens are good once."""

    def __init__(self):
        self.codes, self.refresh_tokens, self.access_tokens, self.forms = {}, set(), set(), []
        self.rotate, self.gives_refresh, self.error, self.number = True, True, "", 0

    def answer(self, request):
        if request.path == "/authorize":
            asked = dict(parse_qsl(request.query))
            self.number += 1
            told = {"code": f"code-{self.number}", "state": asked["state"], "iss": "https://issuer.example"}
            if self.error:
                told = {"error": self.error, "state": asked["state"]}
            self.codes[f"code-{self.number}"] = asked
            return 302, {"location": f"{asked['redirect_uri']}?{urlencode(told)}"}, ""
        form = {name: value for name, (value,) in parse_qs(request.body.decode()).items()}
        self.forms.append(form)
        return self._token(form)

    def _token(self, form):
        if form["grant_type"] == "authorization_code":
            asked = self.codes.pop(form["code"], None)
            challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
            right = asked is not None and (asked["code_challenge_method"], asked["code_challenge"]) == (
                "S256",
                challenge,
            )
            right = right and asked["redirect_uri"] == form["redirect_uri"] and asked["client_id"] == "gateway"
        else:
            right = form["refresh_token"] in self.refresh_tokens
        if not right:
            return 400, {"content-type": "application/json"}, '{"error": "invalid_grant"}'
        self.number += 1
        said = {"access_token": f"access-{self.number}", "token_type": "Bearer", "expires_in": 3600}
        self.access_tokens.add(said["access_token"])
        if (form["grant_type"] == "authorization_code" and self.gives_refresh) or (self.rotate and self.gives_refresh):
            self.refresh_tokens.discard(form.get("refresh_token"))
            said["refresh_token"] = f"refresh-{self.number}"
            self.refresh_tokens.add(said["refresh_token"])
        return 200, {"content-type": "application/json"}, json.dumps(said)

    def backend(self, request):
        shown = (request.header("authorization") or "").partition(" ")[2]
        return (200, {}, "ok") if shown in self.access_tokens else (401, {"www-authenticate": "Bearer"}, "no")


@pytest.fixture
def server():
    made = Server()
    with upstream(made.answer) as socket, upstream(made.backend) as backend:
        made.url, made.backend_url = socket.url, backend.url
        yield made


def document(server, folder, **more):
    credential = {
        "token_endpoint": f"{server.url}/token",
        "authorization_endpoint": f"{server.url}/authorize?tenant=a",
        "client_id": "gateway",
        "client_secret": "s3cret",
        "state_key": KEY,
        "scope": "orders offline_access",
        **more,
    }
    return {
        "gateway": {"state": {"sqlite": {"path": str(folder / "state.db")}}},
        "management": {"apps": ["health"]},
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": server.backend_url, "auth": [{"oauth2": credential}]}},
    }


@contextmanager
def authorizing(document, folder, *arguments, stdin=None):
    """Run the command; yields the process and the URL it prints."""
    (folder / "gateway.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "hookgate", "authorize", str(folder / "gateway.json"), "crm", *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "300"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, env=environment, **pipes)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def browse(url):
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=60) as browser:
        return browser.get(url)


def approve(document, folder):
    with authorizing(document, folder) as (process, url):
        page = browse(url)
        out, errors = process.communicate(timeout=60)
    assert (page.status_code, process.returncode) == (200, 0), errors
    return out


def problems(gate):
    told = httpx.get(f"{gate.management}/-/health", trust_env=False, timeout=60).json()
    return told["plugins"].get("connections.crm/oauth2", {}).get("problems", [])


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_an_operator_approves_once_and_calls_get_tokens_over_restarts_as_they_rotate(server, tmp_path, lane):
    described = document(server, tmp_path)
    described["gateway"]["lane"] = lane
    with running(described) as gate:
        before = gate.request("GET", "/")
        told = problems(gate)
        out = approve(described, tmp_path)  # while the gateway runs
    statuses = []
    for _ in range(3):
        with running(described) as gate:
            statuses += [gate.request("GET", "/").status_code for _ in range(2)]
            assert problems(gate) == []

    assert (before.status_code, before.json()["reason"]) == (503, "auth-error")
    assert told == ["nobody has approved calls with this credential yet; approve it: hookgate authorize DOCUMENT crm"]
    assert "approved: calls of the connection crm" in out
    assert statuses == [200] * 6
    assert [form["grant_type"] for form in server.forms] == ["authorization_code", *["refresh_token"] * 3]
    assert len({form["refresh_token"] for form in server.forms[1:]}) == 3  # each was kept in the place of the last
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("state.db*"))
    assert b"sealed" in kept
    assert not [token for token in ("refresh-", KEY, "s3cret", "access-") if token.encode() in kept]


def test_a_token_that_does_not_rotate_is_used_again(server, tmp_path):
    server.rotate = False
    described = document(server, tmp_path)
    approve(described, tmp_path)
    for _ in range(2):
        with running(described) as gate:
            assert gate.request("GET", "/").status_code == 200
    assert len({form["refresh_token"] for form in server.forms[1:]}) == 1


def test_a_revoked_token_is_told_on_health_with_what_to_do_and_a_new_approval_mends_it(server, tmp_path):
    described = document(server, tmp_path)
    approve(described, tmp_path)
    with running(described) as gate:
        server.refresh_tokens.clear()
        refused = gate.request("GET", "/")
        told = problems(gate)
        assert [problems(gate) for _ in range(3)] == [told] * 3
        approve(described, tmp_path)
        deadline = time.monotonic() + 30
        while problems(gate) and time.monotonic() < deadline:
            threading.Event().wait(0.05)  # each look at health looks for an approval
        mended = problems(gate)
    with running(described) as gate:
        again = gate.request("GET", "/").status_code
        assert problems(gate) == []

    assert (refused.status_code, refused.json()["reason"]) == (503, "auth-error")
    assert len(told) == 1
    assert "not taken any more" in told[0]
    assert "invalid_grant" in told[0]
    assert "approve it: hookgate authorize DOCUMENT crm" in told[0]
    assert "refresh-" not in told[0] + refused.text
    assert (mended, again) == ([], 200)


@pytest.mark.parametrize("change", ["state_key", "client_id", "token_endpoint"])
def test_a_kept_token_is_nothing_to_another_key_client_or_server(server, tmp_path, change):
    described = document(server, tmp_path)
    approve(described, tmp_path)
    other = {"state_key": KEY[::-1], "client_id": "other", "token_endpoint": f"{server.url}/elsewhere"}[change]
    with running(document(server, tmp_path, **{change: other})) as gate:
        assert gate.request("GET", "/").status_code == 503
        assert "state_key, token_endpoint or client_id is another one" in problems(gate)[0]
    assert len(server.forms) == 1  # nothing was sent to anybody


def test_two_gateways_that_share_a_store_do_not_lose_a_token_that_rotates(server, tmp_path):
    described = document(server, tmp_path)
    approve(described, tmp_path)
    with running(described) as one, running(described) as two:
        statuses = [gate.request("GET", "/").status_code for gate in (one, two)]
    with running(described) as gate:
        statuses.append(gate.request("GET", "/").status_code)
    assert statuses == [200] * 3


def test_answers_to_other_requests_end_nothing_and_a_refusal_is_told(server, tmp_path):
    described = document(server, tmp_path)
    with authorizing(described, tmp_path) as (process, url):
        redirect = dict(parse_qsl(urlsplit(url).query))["redirect_uri"]
        strange = [
            browse(f"{redirect}?code=stolen&state=other").status_code,
            browse(f"{redirect}?code=stolen").status_code,
            browse(redirect.replace("/callback", "/favicon.ico")).status_code,
        ]
        assert process.poll() is None
        server.error = "access_denied"
        page = browse(url)
        _, errors = process.communicate(timeout=60)

    assert strange == [400] * 3
    assert (page.status_code, process.returncode) == (400, 3)
    assert "did not approve: 'access_denied'" in errors
    assert server.forms == []


def test_without_a_refresh_token_nothing_is_approved(server, tmp_path):
    server.gives_refresh = False
    with authorizing(document(server, tmp_path), tmp_path) as (process, url):
        browse(url)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "offline_access" in errors


@pytest.mark.parametrize("right", [True, False])
def test_the_url_may_be_pasted_and_has_to_answer_this_approval(server, tmp_path, right):
    described = document(server, tmp_path, redirect_uri="https://gateway.example/done", issuer="https://issuer.example")
    with authorizing(described, tmp_path, "--paste") as (process, url):
        with httpx.Client(trust_env=False) as browser:
            ended = browser.get(url).headers["location"]
        out, errors = process.communicate(f"{ended if right else ended.replace('state=', 'state=x')}\n", timeout=60)

    assert ended.startswith("https://gateway.example/done?code=")
    assert process.returncode == (0 if right else 3)
    assert ("approved: " in out) is right
    assert right or "its state differs" in errors


def test_another_issuer_and_a_redirect_nobody_can_listen_at_are_refused(server, tmp_path):
    described = document(server, tmp_path, redirect_uri="https://gateway.example/done", issuer="https://other.example")
    with authorizing(described, tmp_path) as (process, _):
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, "write --paste" in errors) == (3, True)
    with authorizing(described, tmp_path, "--paste") as (process, url):
        with httpx.Client(trust_env=False) as browser:
            ended = browser.get(url).headers["location"]
        _, errors = process.communicate(f"{ended}\n", timeout=60)
    assert (process.returncode, "RFC 9207" in errors, server.forms) == (3, True, [])


def test_what_was_tampered_with_in_the_store_is_not_used(server, tmp_path):
    described = document(server, tmp_path)
    approve(described, tmp_path)
    with sqlite3.connect(tmp_path / "state.db") as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            if "data" in columns:
                store.execute(f"UPDATE {table} SET data = ?", (b'{"sealed":"AAAA"}',))
    store.close()
    with running(described) as gate:
        assert gate.request("GET", "/").status_code == 503
        assert "cannot be read" in problems(gate)[0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"state_key": "short"}, "state_key: it can be guessed"),
        ({"state_key": None}, "state_key: the grant authorization_code needs it"),
        ({"client_id": None, "client_secret": None}, "client_id: the grant authorization_code needs it"),
        ({"authorization_endpoint": "http://login.example/a"}, "authorization_endpoint: .* in the clear"),
        ({"authorization_parameters": {"state": "x"}}, "authorization_parameters: 'state' is written by the gateway"),
        ({"authorization_endpoint": None, "grant": "authorization_code"}, "authorization_endpoint: the grant"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, told):
    written = {
        "token_endpoint": "https://login.example/token",
        "authorization_endpoint": "https://login.example/a",
        "client_id": "gateway",
        "client_secret": "s3cret",
        "state_key": KEY,
        **options,
    }
    with pytest.raises(ConfigError, match=told):
        build(OAuth2Credential, **{name: value for name, value in written.items() if value is not None})
