"""Who somebody is: ID tokens, what `/userinfo` says, and what is refused (OpenID Connect Core 1.0)."""

import base64
import hashlib
import json
import time

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import select, update

from hookgate.jose import Registry
from hookgate.testing import upstream
from hookgate_keymanager.tables import codes, refresh

from .browsing import VERIFIER, agreed, asked, hidden, log_in, told
from .test_signed import rotate
from .town import CALLBACK, PASSWORD, serving

ISSUER = "https://login.example"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
OAUTH = "operations: {GET: {scopes: [news_read]}}"
KNOWN = {"full": "Tom Thumb", "mail": "tom@a.example", "checked": True, "desk": "D 3"}
CLAIMS = {"name": "full", "email": "mail", "email_verified": "checked", "desk": "desk"}
SCOPES = "{news_read: {roles: [employee]}, address: {title: Where you live, roles: [manager]}}"


@pytest.fixture(scope="module")
def directory():
    with upstream(lambda _: (200, {}, json.dumps(KNOWN))) as served:
        yield served


def section(source="", algorithm="RS256"):
    return f"issuer: '{ISSUER}', signing: {{algorithm: {algorithm}}}{source}"


@pytest.fixture(scope="module")
def gate(tmp_path_factory, backend, directory):
    folder = tmp_path_factory.mktemp("identities")
    http = {"connection": "directory", "path": "/u/{username}", "claims": CLAIMS}
    source = f", extension_grants: [device-code], claims: [{{http: {json.dumps(http)}}}]"
    more = f'  directory: {{targets: "{directory.url}"}}\n'
    given = {"oauth": OAUTH, "keymanager": section(source), "scopes": SCOPES, "more": more}
    with serving(folder, f"sqlite:///{folder / 'store.db'}", backend.url, **given) as made:
        yield made


@pytest.fixture(scope="module")
def client(gate):
    return gate.client()


@pytest.fixture
def browser(gate):
    with httpx.Client(base_url=gate.gate.url, trust_env=False) as made:
        yield made


def exchanged(gate, client, back):
    """Return what the client gets for its code."""
    form = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    answer = gate.ask(client, **form, code=told(back)["code"])
    assert answer.status_code == 200, answer.text
    return answer.json()


def tokens(gate, browser, client, scope="openid", **more):
    return exchanged(gate, client, agreed(browser, client, scope=scope, **more))


def read(gate, token):
    keys = KeySet.import_key_set(gate.gate.request("GET", "/jwks").json())
    return jwt.decode(token, keys, registry=Registry(("RS256", "EdDSA")))


def half(hash_of, text):
    whole = hash_of(text.encode()).digest()
    return base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode()


def test_an_id_token_says_who_has_logged_in_to_whom_and_when(gate, browser, client):
    before = int(time.time())
    got = tokens(gate, browser, client, "openid profile news_read", nonce="n-1 & more")
    said = read(gate, got["id_token"])

    assert said.header["typ"] == "JWT"
    assert got["scope"] == "openid profile news_read"
    claims = dict(said.claims)
    assert before <= claims.pop("auth_time") <= claims["iat"] <= int(time.time())
    assert claims.pop("exp") == claims.pop("iat") + 3600
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "sub": "tom",
        "aud": client[0],
        "nonce": "n-1 & more",
        "at_hash": half(hashlib.sha256, got["access_token"]),
    }
    assert gate.call(got["access_token"]).status_code == 200
    assert gate.call(got["id_token"]).status_code == 401  # it lets nobody in
    assert browser.get("/userinfo", headers={"authorization": f"Bearer {got['id_token']}"}).status_code == 401


def test_without_openid_there_is_none_and_without_a_nonce_it_says_none(gate, browser, client):
    assert "id_token" not in tokens(gate, browser, client, "news_read profile")
    assert "nonce" not in read(gate, tokens(gate, browser, client)["id_token"]).claims


def test_a_refreshed_one_says_the_first_login_and_no_nonce(gate, browser, client):
    first = tokens(gate, browser, client, nonce="once")
    long_ago = int(time.time()) - 5000

    async def earlier(store):
        async with store.database.transaction(writes=True) as connection:
            await connection.execute(update(refresh).values(auth_time=float(long_ago)))

    gate.store(earlier)
    second = gate.token(client, grant_type="refresh_token", refresh_token=first["refresh_token"])
    third = gate.token(client, grant_type="refresh_token", refresh_token=second["refresh_token"])
    for got in (second, third):
        said = read(gate, got["id_token"]).claims
        assert (said["auth_time"], said["sub"], said["aud"], said["iss"]) == (long_ago, "tom", client[0], ISSUER)
        assert "nonce" not in said
        assert said["iat"] > long_ago
        assert said["at_hash"] == half(hashlib.sha256, got["access_token"])
    form = {"grant_type": "refresh_token", "refresh_token": third["refresh_token"], "scope": "news_read"}
    assert "id_token" not in gate.ask(client, **form).json()


def test_a_device_gets_an_id_token_of_the_user_who_types_its_code(gate, browser):
    device = gate.client(DEVICE, "refresh_token", public=True, callbacks=())
    codes_of = gate.ask(None, "/device_authorization", client_id=device[0], scope="openid news_read").json()
    form = {"user_code": codes_of["user_code"], "name": "tom", "password": PASSWORD}
    consent = browser.post("/device", data={**hidden(browser.get("/device")), **form})
    assert "Know who you are" in consent.text
    assert browser.post("/device", data={**hidden(consent), "answer": "yes"}).status_code == 200

    got = gate.ask(None, grant_type=DEVICE, client_id=device[0], device_code=codes_of["device_code"]).json()
    said = read(gate, got["id_token"]).claims
    assert (said["sub"], said["aud"], "nonce" in said) == ("tom", device[0], False)
    again = {"grant_type": "refresh_token", "client_id": device[0], "refresh_token": got["refresh_token"]}
    refreshed = read(gate, gate.ask(None, **again).json()["id_token"]).claims
    assert refreshed["auth_time"] == said["auth_time"]


def test_whoever_has_not_logged_in_on_a_page_of_ours_gets_no_id_token(gate, client):
    for form in ({}, {"grant_type": "client_credentials"}):
        got = gate.token(client, scope="openid profile news_read", **form)
        assert got["scope"] == "news_read"
        assert "id_token" not in got
    got = gate.token(client, scope="openid news_read")
    got = gate.token(client, grant_type="refresh_token", refresh_token=got["refresh_token"])
    assert "id_token" not in got


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("openid", {}),
        ("openid profile", {"name": "Tom Thumb", "preferred_username": "tom"}),
        ("openid email", {"email": "tom@a.example", "email_verified": True}),
        ("openid roles", {"roles": ["employee"]}),
        ("openid phone address", {}),
    ],
)
def test_userinfo_says_what_the_scopes_show(gate, browser, client, scope, said):
    token = tokens(gate, browser, client, scope)["access_token"]
    answers = [
        browser.get("/userinfo", headers={"authorization": f"Bearer {token}"}),
        browser.post("/userinfo", headers={"authorization": f"bearer {token}"}),
        browser.post("/userinfo", data={"access_token": token}),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()) == (200, {"sub": "tom"} | said), answer.text
        assert answer.headers["cache-control"] == "no-store"


def test_userinfo_refuses_with_the_errors_of_bearer_tokens(gate, browser, client):
    good = tokens(gate, browser, client)["access_token"]
    without = tokens(gate, browser, client, "profile news_read")["access_token"]
    own = gate.token(client, grant_type="client_credentials")["access_token"]

    def ask(token, **more):
        return browser.get("/userinfo", headers={"authorization": f"Bearer {token}"}, **more)

    nobody = browser.get("/userinfo")
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, 'Bearer realm="hookgate"')
    assert browser.get("/userinfo", params={"access_token": good}).status_code == 401
    assert browser.get("/userinfo", headers={"authorization": f"Basic {good}"}).status_code == 401
    for token in ("x", "hga_" + "x" * 43, "y" * 9000):
        refused = ask(token)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    for token in (without, own):
        refused = ask(token)
        assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")
        assert 'scope="openid"' in refused.headers["www-authenticate"]
    twice = browser.post("/userinfo", data={"access_token": good}, headers={"authorization": f"Bearer {good}"})
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    assert ask(good).status_code == 200
    assert gate.ask(client, "/revoke", token=good).status_code == 200
    assert ask(good).status_code == 401


def test_roles_that_the_document_names_for_a_scope_count_for_those_of_openid_connect_too(gate, browser, client):
    assert tokens(gate, browser, client, "openid address")["scope"] == "openid"
    got = tokens(gate, browser, client, "openid address", name="john")
    assert got["scope"] == "openid address"
    page = log_in(browser, client, scope="openid roles address", name="john")
    for title in ("Know who you are", "Read which roles you have", "Where you live"):
        assert title in page.text


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"prompt": "none"}, "login_required"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "create"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"max_age": "1" * 10}, "invalid_request"),
        ({"nonce": "x" * 501}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "eyJ.e.Y"}, "request_not_supported"),
        ({"request_uri": "https://app.example/r"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
    ],
)
def test_a_request_that_cannot_be_is_sent_back_with_the_error_for_it(browser, client, more, error):
    back = browser.get("/authorize", params=asked(client, scope="openid", **more))

    assert back.status_code == 303, back.text
    assert told(back.headers["location"])["error"] == error


def test_whoever_takes_longer_than_max_age_logs_in_again(gate, browser, client, monkeypatch):
    store = gate.gate.gateway.source._store
    now = time.time()
    monkeypatch.setattr(store, "clock", lambda: now)
    for age in ("0", "60"):
        page = log_in(browser, client, scope="openid", max_age=age, prompt="login consent")
        assert browser.post("/authorize", data={**hidden(page), "answer": "yes"}).status_code == 303
    page = log_in(browser, client, scope="openid", max_age="60")
    now += 61
    again = browser.post("/authorize", data={**hidden(page), "answer": "yes"})
    assert (again.status_code, "Log in once more" in again.text) == (401, True)
    page = browser.post("/authorize", data={**hidden(again), "name": "tom", "password": PASSWORD})
    now += 59
    back = browser.post("/authorize", data={**hidden(page), "answer": "yes"}).headers["location"]
    got = exchanged(gate, client, back)
    assert read(gate, got["id_token"]).claims["auth_time"] == int(now - 59)


def test_a_hint_stands_on_the_page_and_is_only_text(browser, client):
    page = browser.get("/authorize", params=asked(client, login_hint='tom"><script>'))

    assert 'value="tom&quot;&gt;&lt;script&gt;"' in page.text
    assert "tom" not in browser.get("/authorize", params=asked(client)).text


def test_what_the_server_says_of_itself_is_what_it_does(gate):
    said = gate.gate.request("GET", "/.well-known/openid-configuration").json()
    oauth = gate.gate.request("GET", "/.well-known/oauth-authorization-server").json()

    assert oauth.items() <= said.items()
    assert (said["issuer"], said["userinfo_endpoint"]) == (ISSUER, f"{ISSUER}/userinfo")
    assert set(said["scopes_supported"]) == {"openid", "profile", "email", "phone", "address", "roles", "news_read"}
    assert {"sub", "auth_time", "nonce", "at_hash", "roles", "email", "name"} <= set(said["claims_supported"])
    assert not {"desk", "phone_number"} & set(said["claims_supported"])  # no scope shows it, or nobody says it
    for name in ("claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported"):
        assert said[name] is False


@pytest.mark.parametrize("keymanager", ["", f"issuer: '{ISSUER}', grants: [password, client_credentials]"])
def test_without_an_issuer_or_pages_to_log_in_on_there_is_nothing_of_it(tmp_path, backend, keymanager):
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", backend.url, keymanager=keymanager) as made:
        for path in ("/.well-known/openid-configuration", "/userinfo"):
            assert made.gate.request("GET", path).status_code == 404
        about = made.gate.request("GET", "/.well-known/oauth-authorization-server").json()
        assert "openid" not in about["scopes_supported"]
        if not keymanager:
            client = made.client()
            with httpx.Client(base_url=made.gate.url, trust_env=False) as browser:
                got = tokens(made, browser, client, "openid news_read")
            assert (got["scope"], "id_token" in got) == ("news_read", False)


def test_a_key_is_shown_while_an_access_token_is_good_with_which_an_id_token_came(tmp_path, backend, monkeypatch):
    with serving(
        tmp_path, f"sqlite:///{tmp_path / 'store.db'}", backend.url, OAUTH, section(algorithm="EdDSA")
    ) as made:
        monkeypatch.setenv("HOOKGATE_SOURCE", "store")
        monkeypatch.setenv("HOOKGATE_SOURCE_OPTIONS", made.options)
        client = made.client()
        with httpx.Client(base_url=made.gate.url, trust_env=False) as browser:
            got = tokens(made, browser, client)
        rotate(made)
        said = read(made, got["id_token"])
        assert said.header["alg"] == "EdDSA"
        assert said.claims["at_hash"] == half(hashlib.sha512, got["access_token"])
        assert made.ask(client, "/revoke", token=got["access_token"]).status_code == 200
        kept = {each["kid"] for each in made.gate.request("GET", "/jwks").json()["keys"]}
        assert said.header["kid"] not in kept


def test_an_id_token_lives_as_long_as_its_access_token_and_an_hour_at_most(gate, browser):
    for lifetime, seconds in ((-1.0, 3600), (60.0, 60), (7200.0, 3600)):
        said = read(gate, tokens(gate, browser, gate.client(lifetime=lifetime))["id_token"]).claims
        assert said["exp"] - said["iat"] == seconds


def test_a_code_of_before_has_no_login_and_gives_no_id_token(gate, browser, client):
    back = agreed(browser, client, scope="openid news_read")

    async def older(store):
        async with store.database.transaction(writes=True) as connection:
            assert all((await connection.execute(select(codes.c.auth_time))).scalars())
            await connection.execute(update(codes).values(auth_time=None, nonce=None))

    gate.store(older)
    got = exchanged(gate, client, back)
    assert (got["scope"], "id_token" in got) == ("news_read", False)


def test_where_everybody_may_have_openid_a_user_who_has_not_logged_in_here_is_told_of_all_the_same(tmp_path, backend):
    allowed = f"{section()}, allow_scopes: [openid]"
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", backend.url, keymanager=allowed) as made:
        client = made.client()
        got = made.token(client, scope="openid")
        own = made.token(client, grant_type="client_credentials", scope="openid")

        assert (got["scope"], own["scope"]) == ("openid", "openid")
        assert not {"id_token"} & {*got, *own}
        assert made.call(got["access_token"], "/userinfo").json() == {"sub": "tom"}
        assert made.call(own["access_token"], "/userinfo").status_code == 403  # of nobody
