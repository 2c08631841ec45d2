"""Devices without a browser, whose users agree on another machine (RFC 8628)."""

import httpx
import pytest
from oauthlib.oauth2 import DeviceClient
from sqlalchemy import update

from hookgate_keymanager.device import LENGTH, LETTERS
from hookgate_keymanager.tables import devices
from hookgate_people import People, limits

from .browsing import hidden
from .town import BY, PASSWORD, serving

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
OAUTH = "operations: {GET: {scopes: [news_read]}}"


@pytest.fixture(scope="module")
def gate(tmp_path_factory, backend):
    folder = tmp_path_factory.mktemp("devices")
    keymanager = "extension_grants: [{device-code: {interval: 60}}]"
    with serving(folder, f"sqlite:///{folder / 'store.db'}", backend.url, OAUTH, keymanager) as made:
        yield made


@pytest.fixture(scope="module")
def client(gate):
    return gate.client(GRANT, "refresh_token", public=True, callbacks=())


@pytest.fixture
def browser(gate):
    with httpx.Client(base_url=gate.gate.url, trust_env=False, timeout=60) as made:
        yield made


def begin(gate, client, **form):
    told = gate.ask(None, "/device_authorization", client_id=client[0], **form)
    assert told.status_code == 200, told.text
    return told.json()


def poll(gate, client, device):
    """Ask as a device does that has waited for long enough; return the error, or the tokens."""

    async def waited(store):
        async with store.database.transaction(writes=True) as connection:
            await connection.execute(update(devices).values(asked=0.0))

    gate.store(waited)
    return at_once(gate, client, device)


def at_once(gate, client, device):
    told = gate.ask(None, grant_type=GRANT, client_id=client[0], device_code=device["device_code"])
    return told.json() if told.status_code == 200 else told.json()["error"]


def typed(browser, code, name="tom", password=PASSWORD):
    page = browser.get("/device")
    return browser.post("/device", data={**hidden(page), "user_code": code, "name": name, "password": password})


def agree(browser, device, answer="yes", name="tom"):
    page = typed(browser, device["user_code"], name)
    assert page.status_code == 200, page.text
    return page, browser.post("/device", data={**hidden(page), "answer": answer})


def test_a_client_of_another_maker_gets_tokens_of_a_user_who_types_its_code(gate, client, browser, monkeypatch):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    maker = DeviceClient(client[0])
    about = gate.gate.request("GET", "/.well-known/oauth-authorization-server").json()
    assert GRANT in about["grant_types_supported"]
    uri = maker.prepare_request_uri(about["device_authorization_endpoint"], scope="news_read news_write")
    told = httpx.post(uri.partition("?")[0], data=dict(httpx.URL(uri).params), trust_env=False).json()
    assert told["verification_uri"] == f"{gate.gate.url}/device"
    assert (told["expires_in"], told["interval"]) == (600, 60)
    assert set(told["user_code"].replace("-", "")) <= set(LETTERS)
    assert len(told["user_code"].replace("-", "")) == LENGTH
    assert poll(gate, client, told) == "authorization_pending"

    shown = browser.get(told["verification_uri_complete"])
    assert f'value="{told["user_code"]}"' in shown.text
    form = {**hidden(shown), "user_code": told["user_code"].lower().replace("-", " "), "name": "tom"}
    consent = browser.post("/device", data={**form, "password": PASSWORD})
    assert "Read the news" in consent.text
    assert "news_write" not in consent.text  # tom is no manager
    assert poll(gate, client, told) == "authorization_pending"  # nobody has agreed yet
    assert browser.post("/device", data={**hidden(consent), "answer": "yes"}).status_code == 200

    body = maker.prepare_request_body(told["device_code"], include_client_id=True)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = browser.post("/token", content=body, headers=headers)
    tokens = maker.parse_request_body_response(answer.text)
    assert gate.call(tokens["access_token"]).status_code == 200
    again = {"grant_type": "refresh_token", "client_id": client[0], "refresh_token": tokens["refresh_token"]}
    assert gate.ask(None, **again).status_code == 200


def test_a_code_gives_tokens_once_and_a_second_time_ends_them(gate, client, browser):
    device = begin(gate, client, scope="news_read")
    agree(browser, device)
    first = poll(gate, client, device)
    assert gate.call(first["access_token"]).status_code == 200

    assert poll(gate, client, device) == "invalid_grant"
    assert gate.call(first["access_token"]).status_code == 401
    assert "No device waits" in typed(browser, device["user_code"]).text


def test_a_device_that_asks_too_often_is_told_to_slow_down(gate, client):
    device = begin(gate, client)

    assert at_once(gate, client, device) == "authorization_pending"
    assert at_once(gate, client, device) == "slow_down"
    assert at_once(gate, client, device) == "slow_down"
    assert poll(gate, client, device) == "authorization_pending"


def test_who_refuses_gives_nothing_and_what_is_over_is_over(gate, client, browser):
    device = begin(gate, client)
    page, refused = agree(browser, device, "no")
    assert "gets nothing" in refused.text
    assert poll(gate, client, device) == "access_denied"
    assert browser.post("/device", data={**hidden(page), "answer": "yes"}).status_code == 400

    late = begin(gate, client)
    page = typed(browser, late["user_code"])

    async def age(store):
        async with store.database.transaction(writes=True) as connection:
            await connection.execute(update(devices).where(devices.c.state == "waiting").values(ends=1.0))

    gate.store(age)
    assert poll(gate, client, late) == "expired_token"
    assert browser.post("/device", data={**hidden(page), "answer": "yes"}).status_code == 400
    assert "No device waits" in typed(browser, late["user_code"]).text


def test_a_code_is_good_for_its_own_client(gate, client, browser):
    other = gate.client(GRANT)
    device = begin(gate, client)
    agree(browser, device)
    form = {"grant_type": GRANT, "device_code": device["device_code"]}

    refused = gate.ask(other, **form)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert gate.ask(None, **form).json()["error"] == "invalid_client"
    assert gate.ask(other, **form | {"device_code": "hgd_nonsense"}).json()["error"] == "invalid_grant"
    assert gate.ask(other, grant_type=GRANT).json()["error"] == "invalid_request"
    assert gate.ask(gate.client("password"), **form).json()["error"] == "unauthorized_client"
    assert "access_token" in poll(gate, client, device)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": "a"}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"scope": "a  b"}, "invalid_scope"),
        ({"scope": " ".join(f"s{number}" for number in range(51))}, "invalid_scope"),
    ],
)
def test_what_is_wrong_begins_nothing(gate, client, form, error):
    given = form if error == "invalid_client" else {"client_id": client[0], **form}

    assert gate.ask(None, "/device_authorization", **given).json()["error"] == error
    without = gate.client("password")
    assert gate.ask(without, "/device_authorization", scope="a").json()["error"] == "unauthorized_client"


def test_nobody_agrees_for_a_user_but_in_the_browser_that_has_logged_in(gate, client, browser):
    device = begin(gate, client)
    page = typed(browser, device["user_code"])
    form = {**hidden(page), "answer": "yes"}

    with httpx.Client(base_url=gate.gate.url, trust_env=False) as other:
        assert other.post("/device", data=form).status_code == 400
        other.get("/device")
        assert other.post("/device", data=form).status_code == 400
    for header in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert browser.post("/device", data=form, headers=header).status_code == 400
    assert browser.post("/device", data={"sealed": "nonsense"}).status_code == 400
    fresh = hidden(browser.get("/device"))
    assert "Connect" in browser.post("/device", data={**fresh, "answer": "yes"}).text  # nobody has logged in
    assert poll(gate, client, device) == "authorization_pending"
    assert "<script" not in browser.get("/device", params={"user_code": '"><script>'}).text


def test_who_guesses_codes_gets_few_tries(gate, client, browser, monkeypatch):
    async def person(store):
        await People(store).users.make(BY, "guesser", PASSWORD)

    gate.store(person)
    device = begin(gate, client)
    monkeypatch.setattr(limits, "MOST", 2)
    tried = [typed(browser, f"BBBB-BBB{letter}", "guesser").status_code for letter in "BCDF"]
    assert tried.count(401) <= 2
    assert tried[-1] == 429
    assert typed(browser, device["user_code"], "guesser").status_code == 429
