"""What the step takes: kinds of tokens, kinds of keys, the client, and what it answers where nobody can tell."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from hookgate_keymanager.clients import Clients
from hookgate_keymanager.ending import Endings

from .town import prepared, serving

KINDS = ("none", "application", "application-user", "any")
ORGNEWS = """\
apis:
  - name: orgnews
    version: "1.0.0"
    default_version: true
    base_path: /orgnews
    flow: [faults, {oauth: {operations: {"POST /": {scopes: [news_write]}}}}]
    resources: [{path: /, operations: {GET: {}, POST: {}}}]
    to: {connection: backend}
"""
MATRIX = "".join(
    "  - {name: KIND, match: {path: /KIND}, to: {connection: backend}, flow: [{oauth: {tokens: KIND}}]}\n".replace(
        "KIND", kind
    )
    for kind in KINDS
)
MORE = """\
  - name: sandbox
    match: {path: /sandbox}
    flow: [{oauth: {key_type: sandbox}}]
    to: {connection: backend}
  - name: named
    match: {path: /named}
    flow: [{oauth: {client_id_header: client_id, header: access_token, prefix: ""}}]
    to: {connection: backend}
  - name: who
    match: {path: /who}
    flow: [{oauth: {operations: {GET: {tokens: any}, OPTIONS: {tokens: none}}, tokens: application-user}}]
    to: {connection: seen}
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory, backend):
    folder = tmp_path_factory.mktemp("gate")
    routes = MATRIX + MORE
    url = f"sqlite:///{folder / 'store.db'}"
    with serving(folder, url, backend.url, routes=routes, more=ORGNEWS, listen=", underscored_headers: pass") as made:
        yield made


@pytest.fixture(scope="module")
def client(gate):
    return gate.client()


@pytest.fixture(scope="module")
def tokens(gate, client):
    """No token, one of an application, and one of a user."""
    return {
        "no": "",
        "application": gate.token(client, grant_type="client_credentials")["access_token"],
        "user": gate.token(client)["access_token"],
    }


@pytest.mark.row("KC-54", "KC-26")
@pytest.mark.parametrize(
    ("kind", "shown", "code"),
    [
        ("none", "no", 0),
        ("none", "application", 0),
        ("none", "user", 0),
        ("application", "no", 900902),
        ("application", "application", 0),
        ("application", "user", 900905),
        ("application-user", "no", 900902),
        ("application-user", "application", 900905),
        ("application-user", "user", 0),
        ("any", "no", 900902),
        ("any", "application", 0),
        ("any", "user", 0),
    ],
)
def test_each_kind_of_authentication_takes_its_kind_of_token(gate, tokens, backend, kind, shown, code):
    before = len(backend.requests)
    told = gate.call(tokens[shown], f"/{kind}")

    assert told.status_code == (401 if code else 200)
    assert len(backend.requests) == before + (not code)
    if code:
        assert told.json()["code"] == code


def test_a_method_may_want_something_else_than_the_step(gate, tokens):
    told = [
        (method, shown, gate.call(tokens[shown], "/who", method=method).status_code)
        for method in ("GET", "POST", "OPTIONS")
        for shown in ("no", "application", "user")
    ]

    good = {(method, shown) for method, shown, status in told if status != 401}
    every = {"no", "application", "user"}
    assert good == {("GET", "application"), ("GET", "user"), ("POST", "user"), *(("OPTIONS", shown) for shown in every)}


@pytest.mark.row("KC-62")
def test_toms_post_gets_the_fault_of_the_seed(gate, client):
    token = gate.token(client, scope="news_read news_write")["access_token"]
    refused = gate.call(token, "/orgnews", "POST", accept="application/xml")

    assert refused.status_code == 403
    assert refused.headers["content-type"].startswith("application/xml")
    shown = "*" * 8 + token[-4:]
    assert refused.text.endswith(
        '<ams:fault xmlns:ams="http://wso2.org/apimanager/security"><ams:code>900910</ams:code>'
        "<ams:message>The access token does not allow you to access the requested resource</ams:message>"
        "<ams:description>Access failure for API: /orgnews, version: 1.0.0 with key: "
        f"{shown}</ams:description></ams:fault>"
    ), refused.text
    assert gate.call(
        gate.token(client, username="john", scope="news_write")["access_token"], "/orgnews", "POST"
    ).is_success


@pytest.mark.row("KC-73")
def test_a_key_of_the_other_kind_is_none_here(gate, tokens):
    sandbox = gate.token(gate.client(key_type="sandbox"))["access_token"]

    assert gate.call(sandbox, "/sandbox").status_code == 200
    refused = gate.call(tokens["user"], "/sandbox")
    assert (refused.status_code, refused.json()["code"]) == (401, 900901)


@pytest.mark.row("FL-44")
def test_the_call_may_have_to_name_its_client_beside_the_token(gate, client, tokens, backend):
    def call(**headers):
        return gate.gate.request("GET", "/named", headers=headers)

    good = call(client_id=client[0], access_token=tokens["user"])
    assert good.status_code == 200
    assert backend.requests[-1].header("access_token") is None
    before = len(backend.requests)
    refused = {
        "nothing": call(),
        "no token": call(client_id=client[0]),
        "no client": call(access_token=tokens["user"]),
        "another client": call(client_id=gate.client()[0], access_token=tokens["user"]),
        "a wrong token": call(client_id=client[0], access_token="hga_wrong"),
    }
    assert {name: (each.status_code, each.json()["code"]) for name, each in refused.items()} == {
        "nothing": (401, 900902),
        "no token": (401, 900902),
        "no client": (401, 900902),
        "another client": (401, 900901),
        "a wrong token": (401, 900901),
    }
    assert len(backend.requests) == before


def test_the_backend_is_told_who_calls(gate, tokens, client, backend):
    assert gate.call(tokens["user"], "/who").status_code == 200
    assert backend.requests[-1].header("x-who") == f"tom newsroom {client[0]} application-user production"


def test_two_tokens_in_one_call_are_refused(gate, tokens):
    lines = [("authorization", f"Bearer {tokens['user']}"), ("authorization", "Bearer x")]

    assert gate.gate.request("GET", "/any", headers=lines).status_code == 400


def test_where_the_store_is_away_nobody_is_let_in_unasked(tmp_path, backend):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with serving(tmp_path, url, backend.url, keymanager="stale: 1s") as made:
        client = made.client()
        known, other = (made.token(client)["access_token"] for _ in range(2))
        assert made.call(known).status_code == 200
        for file in tmp_path.glob("store.db*"):
            file.rename(file.with_name(f"away-{file.name}"))
        refused = made.call(other)
        assert (refused.status_code, refused.json()["code"]) == (500, 900900)
        asked = made.ask(client, grant_type="client_credentials")
        assert (asked.status_code, asked.json()["error"]) == (503, "temporarily_unavailable")
        until = time.monotonic() + 60
        while made.call(known).status_code != 500:  # remembered, for a second without the store
            assert time.monotonic() < until
            time.sleep(0.05)
        assert "what has been revoked is not known" in str(made.health())


@contextmanager
def another(made):
    """Another node on the same store, in a process of its own."""
    command = [sys.executable, "-m", "hookgate", "serve", "gateway.yaml"]
    process = subprocess.Popen(
        command, cwd=made.folder, env=made.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        url = ""
        for line in process.stdout:
            if "serves http" in line:
                url = line.split()[-1]
            if "management on" in line:
                break
        assert url
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        yield url
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait(30)
            reader.join(30)
            process.stdout.close()


@pytest.mark.row("KC-5")
def test_what_is_revoked_on_one_node_is_forgotten_by_the_other(tmp_path, database_url, backend):
    made = prepared(tmp_path, database_url, backend.url)
    with another(made) as one, another(made) as two:
        made.gate = httpx.Client(base_url=one, trust_env=False, timeout=60)
        client, going = made.client(), made.client()
        told = [made.token(each) for each in (client, client, client, going)]

        def status(number):
            shown = {"authorization": f"Bearer {told[number]['access_token']}"}
            return httpx.get(f"{two}/news", headers=shown, trust_env=False, timeout=60).status_code

        assert [status(number) for number in range(4)] == [200] * 4
        made.ask(client, "/revoke", token=told[0]["access_token"])
        made.ask(client, "/revoke", token=told[1]["refresh_token"])
        for _ in range(2):
            made.ask(client, grant_type="refresh_token", refresh_token=told[2]["refresh_token"])
        made.store(lambda store: Clients(store, Endings(store)).remove(going[0]))
        for number in range(4):
            until = time.monotonic() + 60
            while status(number) != 401:  # within a second, on a machine that is not busy
                assert time.monotonic() < until, number
                time.sleep(0.02)
        made.gate.close()
