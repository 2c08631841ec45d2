"""People of tenants at providers of OpenID Connect: nobody becomes somebody of another tenant, or of none."""

import html
import itertools
import json
import re
from contextlib import ExitStack

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import running

from .providing import CLIENT, CLIENT_SECRET, providing
from .served import DOCUMENT, serving

A, B = "acme.example", "bolt.example"
_numbers = itertools.count(1)


def document(house, disabled=(), **changed):
    """A document with two tenants, a provider for each, and one of the house."""
    common = {"issuer": house.issuer, "client_id": CLIENT, "client_secret": CLIENT_SECRET, "timeout": "5s"}
    providers = {
        "corp": common | {"roles": {"staff": ["routers"]}},
        "acme": common | {"tenant": A, "roles": {"staff": [f"boss@{A}"]}, "title": "Acme Inc"},
        "bolt": common | {"tenant": B, "roles": {"staff": [f"boss@{B}"]}},
        "greedy": common | {"roles": {"staff": [f"boss@{A}"]}},
        "closed": common | {"tenant": A, "make_users": False},
    }
    providers = {name: each | changed.get(name, {}) for name, each in providers.items()}
    providers = {name: {key: each[key] for key in each if each[key] is not None} for name, each in providers.items()}
    tenants = {name: {"disabled": name in disabled} for name in (A, B)}
    told = "- management:\n        providers: " + json.dumps(providers)
    return f"tenants: {json.dumps(tenants)}\n" + DOCUMENT.replace("- management:", told)


@pytest.fixture(scope="module")
def corp():
    with providing() as provider:
        yield provider


@pytest.fixture(scope="module")
def started(tmp_path_factory, corp):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, f"sqlite:///{folder / 'store.db'}", document(corp)) as served, ExitStack() as stack:
        served.folder, served.stack = folder, stack
        served.call("POST", "/roles", {"name": "routers", "permissions": ["api_route"]})
        for tenant in (A, B):
            made = served.call("POST", "/roles", {"name": f"boss@{tenant}", "permissions": ["admin"]})
            assert made.status_code == 201, made.text
        yield served


@pytest.fixture
def gate(started, corp):
    """The gateway, as its document was at first, and an honest provider."""
    corp.as_usual()
    yield started
    reloaded(started, document(corp))


def reloaded(gate, text):
    (gate.folder / "gateway.yaml").write_text(text)
    told = httpx.post(f"{gate.management}/-/reload", trust_env=False, timeout=60)
    assert told.status_code == 200, told.text


def browser(gate):
    """A browser at an address of its own: logins that fail are counted by address."""
    here = httpx.HTTPTransport(local_address=f"127.0.2.{next(_numbers)}")
    client = httpx.Client(base_url=gate.management, timeout=60, trust_env=False, transport=here)
    return gate.stack.enter_context(client)


def sent_back(gate, corp, client, provider, **user):
    corp.redirect = f"{gate.management}/-/login/{provider}/callback"
    corp.user = {"sub": f"sub-of-{user['preferred_username']}", "groups": ["staff"], **user}
    begun = client.get(f"/-/login/{provider}")
    assert begun.status_code == 303, begun.text
    answer = httpx.get(begun.headers["location"], trust_env=False, timeout=60)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def logged_in(gate, corp, provider, name, **user):
    client = browser(gate)
    return client, client.get(sent_back(gate, corp, client, provider, preferred_username=name, **user))


def me(client):
    return client.get("/-/api/me").json()


def alert(answer):
    return html.unescape(re.search(r'<p role="alert">(.*?)</p>', answer.text)[1])


def names(gate):
    return {each["name"] for each in gate.call("GET", "/users?limit=1000").json()["users"]}


def test_somebody_of_a_tenant_logs_in_at_its_provider_and_is_confined_to_it(gate, corp):
    gate.call("POST", "/users", {"name": "amy", "password": "correct horse battery"})
    client, answer = logged_in(gate, corp, "acme", "amy")
    assert answer.status_code == 200, answer.text
    assert me(client) == {"name": f"amy@{A}", "roles": ["acme/staff", f"boss@{A}"], "permissions": ["admin"]}
    own = {each["name"] for each in client.get("/-/api/users").json()["users"]}
    assert f"amy@{A}" in own <= {name for name in names(gate) if name.endswith(f"@{A}")}
    assert client.get("/-/api/users/amy").status_code == 404
    assert gate.call("GET", "/users/amy").json()["provider"] is None, "the one of the house is somebody else"
    # the same somebody, whose name is told in full
    client, _ = logged_in(gate, corp, "acme", f"amy@{A}", sub="sub-of-amy")
    assert me(client)["name"] == f"amy@{A}"
    # and somebody else is not them
    client, answer = logged_in(gate, corp, "acme", f"amy@{A}", sub="of-another")
    assert (answer.status_code, "somebody else" in alert(answer)) == (403, True)
    # the other tenant has an amy, too
    client, _ = logged_in(gate, corp, "bolt", "amy")
    assert me(client)["name"] == f"amy@{B}"
    assert client.get(f"/-/api/users/amy@{A}").status_code == 404


@pytest.mark.parametrize(
    ("provider", "claimed"),
    [
        ("corp", f"eve@{A}"),
        ("corp", f"eve@{A.upper()}"),
        ("corp", f"eve@{A} eve@{B}"),
        ("acme", f"eve@{B}"),
        ("acme", f"eve@{B.upper()}"),
        ("acme", f"eve@{B} x"),
        ("acme", f"eve@{A} eve@{B}"),
        ("bolt", f"eve@{A}"),
    ],
)
def test_what_a_provider_claims_makes_nobody_of_others(gate, corp, provider, claimed):
    before = names(gate)
    client, answer = logged_in(gate, corp, provider, claimed)
    assert (answer.status_code, "is no name of a user of" in alert(answer)) == (403, True), alert(answer)
    assert client.get("/-/api/me").status_code == 401
    assert names(gate) == before


def test_a_subject_that_is_known_stays_out_when_its_provider_comes_to_be_of_others(gate, corp):
    for provider, name, user in (("corp", "joe", "joe"), ("acme", "jim", f"jim@{A}")):
        client, _ = logged_in(gate, corp, provider, name)
        assert me(client)["name"] == user
    crossed = {"corp": {"tenant": A, "roles": {}}, "acme": {"tenant": B, "roles": {}}}
    reloaded(gate, document(corp, **crossed))
    for provider, name in (("corp", "joe"), ("acme", "jim")):
        client, answer = logged_in(gate, corp, provider, name)
        assert (answer.status_code, "is not one of those" in alert(answer)) == (403, True), alert(answer)
        assert client.get("/-/api/me").status_code == 401
    reloaded(gate, document(corp, acme={"tenant": None, "roles": {}}))
    client, answer = logged_in(gate, corp, "acme", "jim")
    assert (answer.status_code, "is not one of those" in alert(answer)) == (403, True), alert(answer)
    assert {f"joe@{A}", f"jim@{B}", "jim"}.isdisjoint(names(gate))


def test_a_login_begun_at_the_provider_of_one_tenant_does_not_end_at_that_of_another(gate, corp):
    client = browser(gate)
    back = sent_back(gate, corp, client, "acme", preferred_username="ivy")
    for other in ("bolt", "corp"):
        answer = client.get(back.replace("/acme/", f"/{other}/"))
        assert (answer.status_code, client.get("/-/api/me").status_code) == (403, 401)
    assert {"ivy", f"ivy@{A}", f"ivy@{B}"}.isdisjoint(names(gate))


def test_nobody_logs_in_while_the_tenant_is_disabled(gate, corp):
    client = browser(gate)
    back = sent_back(gate, corp, client, "acme", preferred_username="dan")
    reloaded(gate, document(corp, disabled=[A]))
    for path in (back, "/-/login/acme"):
        answer = client.get(path)
        assert (answer.status_code, alert(answer)) == (403, "The tenant of Acme Inc is disabled.")
    assert f"dan@{A}" not in names(gate)
    assert logged_in(gate, corp, "bolt", "dan")[1].status_code == 200


def test_roles_of_a_tenant_are_given_by_its_own_provider_only(gate, corp):
    client, answer = logged_in(gate, corp, "greedy", "max")
    assert (answer.status_code, f"boss@{A}" in alert(answer)) == (403, True)
    assert (client.get("/-/api/me").status_code, "max" in names(gate)) == (401, False)
    for role in ("routers", f"boss@{B}"):
        wrong = document(corp, acme={"roles": {"staff": [role]}})
        told = rf"providers\.acme: '{role}' is no role of the tenant acme\.example"
        with pytest.raises(ConfigError, match=told), running(wrong):
            pass
    with pytest.raises(ConfigError, match=r"providers\.acme\.tenant: there is no .*'nobody\.example'"):
        running(document(corp, acme={"tenant": "nobody.example", "roles": {}})).__enter__()


def test_users_made_beforehand_wait_for_a_provider_of_their_own(gate, corp):
    client, _ = logged_in(gate, corp, "acme", "boss")
    headers = {"X-CSRF-Token": client.get("/-/api/session").json()["csrf"], "Origin": gate.management}
    new = {"name": f"kim@{A}", "provider": "closed"}
    told = [
        client.post("/-/api/users", json={**new, "provider": each}, headers=headers)
        for each in ("bolt", "corp", "not-there")
    ]
    assert {each.status_code for each in told} == {422}
    assert (
        len({each.text.replace(name, "") for each, name in zip(told, ("bolt", "corp", "not-there"), strict=True)}) == 1
    )
    assert gate.call("POST", "/users", {"name": "kim", "provider": "acme"}).status_code == 422
    assert logged_in(gate, corp, "closed", "kim")[1].status_code == 403
    assert client.post("/-/api/users", json=new, headers=headers).status_code == 201
    kim, answer = logged_in(gate, corp, "closed", "kim")
    assert answer.status_code == 200, alert(answer)
    assert me(kim)["name"] == f"kim@{A}"
    # what came to nothing is in the audit of its tenant, and of no other
    seen = client.get(f"/-/api/audit?object=providers/closed@{A}").json()["entries"]
    assert [(each["action"], each["outcome"]) for each in seen] == [("login", "refused: user")]
    other, _ = logged_in(gate, corp, "bolt", "boss")
    assert other.get(f"/-/api/audit?object=providers/closed@{A}").json()["entries"] == []


def test_the_page_offers_the_providers_of_one_tenant_only(gate):
    def offered(query=""):
        return re.findall(r'href="/-/login/([a-z]+)"', browser(gate).get(f"/-/login{query}").text)

    assert (offered(), offered(f"?tenant={A}"), offered(f"?tenant={B}")) == (
        ["corp", "greedy"],
        ["acme", "closed"],
        ["bolt"],
    )
    assert offered("?tenant=nobody") == []
