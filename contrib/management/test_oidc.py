"""Logins at a provider of OpenID Connect, which is a real one, and the page to log in with."""

import html
import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from bench.nodepackages import installed

from .providing import CLIENT, CLIENT_SECRET, LONGER, STRANGER, providing
from .served import DOCUMENT, serving

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)
OPTIONS = {
    "issuer": "",
    "client_id": CLIENT,
    "client_secret": CLIENT_SECRET,
    "title": "Corp & Sons",
    "roles": {"engineers": ["routers"]},
    "timeout": "5s",
}


def document(**providers):
    told = "- management:\n        providers: " + json.dumps(providers)
    return DOCUMENT.replace("- management:", told)


@pytest.fixture(scope="module")
def corp():
    with providing() as provider:
        yield provider


@pytest.fixture(scope="module")
def gate(tmp_path_factory, corp):
    folder = tmp_path_factory.mktemp("gate")
    here = OPTIONS | {"issuer": corp.issuer}
    told = document(
        corp=here,
        closed=here | {"make_users": False, "title": ""},
        gone=here | {"issuer": "http://127.0.0.1:9"},
        other=here | {"issuer": f"{corp.issuer}/"},
    )
    with serving(folder, f"sqlite:///{folder / 'store.db'}", told) as served, ExitStack() as stack:
        served.folder, served.stack = folder, stack
        served.call("POST", "/roles", {"name": "routers", "permissions": ["api_route"]})
        served.call("POST", "/roles", {"name": "given", "permissions": ["read"]})
        yield served


@pytest.fixture(autouse=True)
def honest(request):
    """Begin each test with an honest provider."""
    if "gate" in request.fixturenames and "corp" in request.fixturenames:
        provider = request.getfixturevalue("corp")
        provider.as_usual()
        provider.redirect = f"{request.getfixturevalue('gate').management}/-/login/corp/callback"


def browser(gate):
    """A browser at an address of its own: logins that fail are counted by address."""
    here = httpx.HTTPTransport(local_address=f"127.0.1.{next(_numbers)}")
    client = httpx.Client(base_url=gate.management, timeout=60, trust_env=False, transport=here)
    gate.stack.enter_context(client)
    return client


def sent_back(client, provider="corp"):
    """Begin a login, and let the provider send the browser back; return the URL of the callback."""
    begun = client.get(f"/-/login/{provider}")
    assert begun.status_code == 303, begun.text
    answer = httpx.get(begun.headers["location"], trust_env=False, timeout=60)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def logged_in(gate, provider="corp"):
    client = browser(gate)
    answer = client.get(sent_back(client, provider))
    assert answer.status_code == 200, answer.text
    return client


def alert(answer):
    [found] = re.findall(r'<p role="alert">(.*?)</p>', answer.text)
    return html.unescape(found)


def test_who_logs_in_at_a_provider_is_a_user_here_with_the_roles_of_there(gate, corp):
    client = browser(gate)
    page = client.get("/-/login").text
    assert '<a href="/-/login/corp">Log in with Corp &amp; Sons</a>' in page
    begun = client.get("/-/login/corp")
    asked = httpx.URL(begun.headers["location"]).params
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert len(asked["state"]) >= 43 <= len(asked["nonce"])
    cookie = begun.headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert asked["state"] not in cookie

    client = logged_in(gate)
    me = client.get("/-/api/me").json()
    assert me == {"name": "jane", "roles": ["corp/engineers", "routers"], "permissions": ["api_route"]}
    assert client.get("/-/api/session").json()["method"] == "oidc:corp"
    user = gate.call("GET", "/users/jane").json()
    assert (user["display"], user["provider"], user["service"]) == ("Jane Doe", "corp", False)
    gate.call("PATCH", "/users/jane", {"roles": ["routers", "given"]})

    corp.user = corp.user | {"groups": ["guests"]}
    corp.in_token = False  # the rest stands behind the page of user info
    assert logged_in(gate).get("/-/api/me").json()["roles"] == ["corp/guests", "given"]
    assert client.get("/-/api/me").status_code == 401  # a role was taken away
    audit = gate.call("GET", "/audit?object=users/jane").json()["entries"]
    assert {("provider corp", "create"), ("provider corp", "change"), ("jane", "login")} <= {
        (each["who"], each["action"]) for each in audit
    }
    told = httpx.post(
        f"{gate.management}/-/api/session", json={"name": "jane", "password": PASSWORD}, trust_env=False, timeout=60
    )
    assert told.status_code == 401  # there is no password


def minted(corp, **claims):
    corp.claims = claims


def signed(corp, algorithm, key):
    corp.header, corp.key = {"alg": algorithm}, key


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda corp: minted(corp, iss="https://evil.example"), "iss of the token"),
        (lambda corp: minted(corp, aud="somebody"), "aud of the token"),
        (lambda corp: minted(corp, aud=[CLIENT, "somebody"]), "no azp"),
        (lambda corp: minted(corp, azp="somebody"), "azp of the token"),
        (lambda corp: minted(corp, nonce="another"), "nonce of the token"),
        (lambda corp: minted(corp, nonce=None), "no nonce"),
        (lambda corp: minted(corp, exp=int(time.time()) - 120), "expired"),
        (lambda corp: minted(corp, exp=None), "no exp"),
        (lambda corp: minted(corp, iat=int(time.time()) + 120), "iat of the token"),
        (lambda corp: minted(corp, at_hash="AAAA"), "at_hash of the token"),
        (lambda corp: minted(corp, sub=None), "no sub"),
        (lambda corp: minted(corp, groups={"admin": True}), "no list"),
        (lambda corp: minted(corp, preferred_username=5), "does not tell your name"),
        (lambda corp: minted(corp, preferred_username="a/b", sub="9"), "is no name"),
        (lambda corp: minted(corp, sub="another"), "somebody else"),
        (lambda corp: corp.header.update(alg="none"), "not allowed"),
        (lambda corp: signed(corp, "RS512", LONGER), "not allowed"),
        (lambda corp: signed(corp, "HS256", None), "not allowed"),
        (lambda corp: setattr(corp, "key", STRANGER), "signature"),
        (lambda corp: corp.header.update(kid="unknown"), "cannot be read"),
        (lambda corp: setattr(corp, "client_secret", "changed"), "gives nothing"),
    ],
)
def test_what_a_provider_says_of_another_login_another_client_or_another_time_is_refused(gate, corp, spoil, why):
    if gate.call("GET", "/users/jane").status_code == 404:
        logged_in(gate)
    spoil(corp)
    client = browser(gate)
    answer = client.get(sent_back(client))
    assert answer.status_code == 403, answer.text
    assert why in alert(answer)
    assert "hookgate-session" not in client.cookies
    assert client.get("/-/api/me").status_code == 401
    last = gate.call("GET", "/audit?object=providers/corp&limit=1").json()["entries"][0]
    assert (last["action"], last["outcome"][:9]) == ("login", "refused: ")
    corp.as_usual()
    corp.redirect = f"{gate.management}/-/login/corp/callback"
    logged_in(gate)


def test_clocks_may_differ_by_a_minute(gate, corp):
    minted(corp, exp=int(time.time()) - 30, iat=int(time.time()) + 30)
    logged_in(gate)


def test_an_answer_is_good_once_and_for_the_browser_that_asked(gate, corp):
    client, other = browser(gate), browser(gate)
    url = sent_back(client)
    sealed = client.cookies["hookgate-login"]
    assert "begin again" in alert(other.get(url))  # a link that somebody was sent
    sent_back(other)
    assert "another login" in alert(other.get(url))
    assert client.get(url).status_code == 200
    replay = httpx.get(url, cookies={"hookgate-login": sealed}, trust_env=False, timeout=60)
    assert (replay.status_code, alert(replay)) == (403, "This login is over; begin again.")
    for state in ("", "x", "\u00e9"):
        client = browser(gate)
        code = httpx.URL(sent_back(client)).params["code"]
        answer = client.get("/-/login/corp/callback", params={"code": code, "state": state})
        assert "another login" in alert(answer)
    client = browser(gate)
    url = sent_back(client)
    broken = client.cookies["hookgate-login"][:-8] + "AAAAAAA="
    assert httpx.get(url, cookies={"hookgate-login": broken}, trust_env=False, timeout=60).status_code == 403
    closed = client.get(url.replace("/corp/", "/closed/"))
    assert closed.status_code == 403
    client = browser(gate)
    refused = httpx.URL(sent_back(client)).copy_remove_param("code").copy_set_param("error", "access_denied")
    assert alert(client.get(refused)) == "Corp & Sons did not let you in: access_denied."
    client = browser(gate)
    mixed = httpx.URL(sent_back(client)).copy_set_param("iss", "https://evil.example")
    assert "Somebody else" in alert(client.get(mixed))


def test_a_provider_that_is_away_or_another_one_is_told_and_passwords_go_on(gate, corp):
    client = browser(gate)
    for name, why in (("gone", "cannot be asked now"), ("other", "calls itself otherwise")):
        answer = client.get(f"/-/login/{name}")
        assert (answer.status_code, why in alert(answer)) == (502, True)
    assert client.get("/-/login/nobody").status_code == 404
    gate.call("POST", "/users", {"name": "pat", "password": PASSWORD})
    assert form(client, "pat").status_code == 303


def test_where_users_are_not_made_an_administrator_makes_them(gate, corp):
    corp.redirect = corp.redirect.replace("/corp/", "/closed/")
    corp.user = corp.user | {"sub": "7", "preferred_username": "kim"}
    client = browser(gate)
    answer = client.get(sent_back(client, "closed"))
    assert (answer.status_code, "there is no user kim" in alert(answer).lower()) == (403, True)
    assert gate.call("POST", "/users", {"name": "kim", "password": PASSWORD, "provider": "closed"}).status_code == 422
    gate.call("POST", "/users", {"name": "kim", "password": PASSWORD})
    client = browser(gate)
    assert "somebody else" in alert(client.get(sent_back(client, "closed")))  # the name alone proves nothing
    gate.call("DELETE", "/users/kim")
    made = gate.call("POST", "/users", {"name": "kim", "provider": "closed"})
    assert (made.status_code, "password" in made.json()) == (201, False)
    assert logged_in(gate, "closed").get("/-/api/me").json()["name"] == "kim"
    gate.call("PATCH", "/users/kim", {"disabled": True})
    client = browser(gate)
    assert "disabled" in alert(client.get(sent_back(client, "closed")))


def form(client, name, password=PASSWORD, code="", **headers):
    headers = {"Origin": str(client.base_url).rstrip("/")} | headers
    return client.post("/-/login", data={"name": name, "password": password, "code": code}, headers=headers)


def test_the_page_logs_in_and_out_without_a_script(gate):
    gate.call("POST", "/users", {"name": '<b>"kay', "password": PASSWORD})
    client = browser(gate)
    page = client.get("/-/login")
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert (page.headers["cache-control"], page.headers["x-frame-options"]) == ("no-store", "DENY")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    wrong = form(client, '<b>"kay', "another " + PASSWORD)
    assert (wrong.status_code, alert(wrong)) == (401, "Name, password or code are wrong.")
    assert "<b>" not in wrong.text
    assert form(client, '<b>"kay', Origin="https://evil.example").status_code == 403
    assert form(client, '<b>"kay').headers["location"] == "/-/login"
    page = client.get("/-/login").text
    assert "You are logged in as <strong>&lt;b&gt;&quot;kay</strong>" in page
    csrf = re.search(r'name="csrf" value="(\w+)"', page)[1]
    headers = {"Origin": gate.management}
    assert client.post("/-/logout", data={"csrf": "x"}, headers=headers).status_code == 403
    assert client.get("/-/api/me").status_code == 200
    assert client.post("/-/logout", data={"csrf": csrf}, headers=headers).status_code == 303
    assert client.get("/-/api/me").status_code == 401


def test_the_page_asks_for_the_code_of_a_second_factor(gate):
    import pyotp

    gate.call("POST", "/users", {"name": "lou", "password": PASSWORD})
    auth = ("lou", PASSWORD)
    secret = httpx.post(f"{gate.management}/-/api/me/factor", auth=auth, trust_env=False, timeout=60).json()["secret"]
    code = {"code": pyotp.TOTP(secret).now()}
    url = f"{gate.management}/-/api/me/factor"
    recovery = httpx.put(url, json=code, auth=auth, trust_env=False, timeout=60).json()["recovery"]
    client = browser(gate)
    assert "second factor" in alert(form(client, "lou"))
    assert alert(form(client, "lou", code="000000")) == "Name, password or code are wrong."
    assert form(client, "lou", code=recovery[0]).status_code == 303
    assert client.get("/-/api/me").json()["name"] == "lou"


NODE = """
import { Provider } from 'oidc-provider';
import http from 'node:http';
const waiting = http.createServer();
waiting.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${waiting.address().port}`;
  console.log(issuer);
  let text = '';
  process.stdin.on('data', (more) => {
    text += more;
    if (!text.includes('\\n')) return;
    const { redirect, id, secret } = JSON.parse(text);
    const provider = new Provider(issuer, {
      clients: [{ client_id: id, client_secret: secret, redirect_uris: [redirect] }],
      pkce: { required: () => true },
      claims: { openid: ['sub'], profile: ['preferred_username', 'name', 'groups'] },
      findAccount: (_, sub) => ({ accountId: sub, claims: () => ({
        sub, preferred_username: 'jane', name: 'Jane Doe', groups: ['engineers'] }) }),
    });
    waiting.on('request', provider.callback());
    console.log('ready');
  });
});
process.stdin.on('end', () => process.exit(0));
"""


@pytest.fixture
def node_provider(tmp_path):
    """The provider of npm, on a socket of its own."""
    if shutil.which("node") is None:
        pytest.skip("there is no node; the provider of Authlib has proved it")
    try:
        modules = installed("oidc-provider@9.13.3")
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"npm gives no oidc-provider ({type(error).__name__}); the provider of Authlib has proved it")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "provider.mjs").write_text(NODE)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(["node", "provider.mjs"], cwd=tmp_path, **pipes)
    try:
        issuer = process.stdout.readline().strip()
        assert issuer.startswith("http://"), issuer
        yield issuer, process
    finally:
        process.kill()
        process.wait(30)
        process.stdin.close()
        process.stdout.close()


@pytest.mark.timeout(400)
def test_a_provider_that_is_not_ours_lets_somebody_in(tmp_path, node_provider):
    issuer, process = node_provider
    secret = "s3cret of hookgate: 100% + more"
    told = document(corp=OPTIONS | {"issuer": issuer, "client_secret": secret})
    with (
        serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", told) as gate,
        httpx.Client(base_url=gate.management, timeout=60, trust_env=False) as client,
        httpx.Client(timeout=60, trust_env=False, follow_redirects=False) as there,
    ):
        gate.call("POST", "/roles", {"name": "routers", "permissions": ["api_route"]})
        redirect = f"{gate.management}/-/login/corp/callback"
        process.stdin.write(json.dumps({"redirect": redirect, "id": CLIENT, "secret": secret}) + "\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() == "ready"
        answer = client.get("/-/login/corp")
        url = answer.headers["location"]
        for _ in range(20):  # through the pages of the provider: name, then consent
            answer = there.get(url)
            if answer.is_redirect:
                url = str(answer.next_request.url)
                if url.startswith(redirect):
                    break
                continue
            action = html.unescape(re.search(r'action="([^"]+)"', answer.text)[1])
            fields = dict(re.findall(r'name="(\w+)" value="(\w*)"', answer.text))
            fields |= {"login": "jane", "password": "x"} if 'name="login"' in answer.text else {}
            answer = there.post(httpx.URL(url).join(action), data=fields)
            assert answer.is_redirect, answer.text
            url = str(answer.next_request.url)
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        me = client.get("/-/api/me").json()
        assert me == {"name": "jane", "roles": ["corp/engineers", "routers"], "permissions": ["api_route"]}
