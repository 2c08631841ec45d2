"""Codes with PKCE: what a browser goes through, what a client gets of it, and what is refused (RFC 6749, 7636)."""

import httpx
import pytest
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error, WebApplicationClient

from .browsing import VERIFIER, agreed, asked, hidden, log_in, told
from .town import CALLBACK, PASSWORD

LOCAL = {"OAUTHLIB_INSECURE_TRANSPORT": "1"}


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch):
    for name, value in LOCAL.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def client(gate):
    return gate.client()


@pytest.fixture
def browser(gate):
    with httpx.Client(base_url=gate.gate.url, trust_env=False) as made:
        yield made


def test_a_client_of_another_maker_gets_tokens_for_a_user_who_agrees(gate, browser, client):
    maker = WebApplicationClient(client[0])
    verifier = maker.create_code_verifier(64)
    found = gate.gate.request("GET", "/.well-known/oauth-authorization-server").json()
    assert found["issuer"] == gate.gate.url
    url = maker.prepare_request_uri(
        found["authorization_endpoint"],
        redirect_uri=CALLBACK,
        scope="news_read news_write",
        state="of mine",
        code_challenge=maker.create_code_challenge(verifier, "S256").rstrip("="),
        code_challenge_method="S256",
    )
    page = browser.get(url)
    consent = browser.post("/authorize", data={**hidden(page), "name": "tom", "password": PASSWORD})
    assert "Read the news" in consent.text
    assert "news_write" not in consent.text  # tom is no manager
    back = browser.post("/authorize", data={**hidden(consent), "answer": "yes"}).headers["location"]
    assert back.startswith(f"{CALLBACK}?")
    assert told(back)["iss"] == found["issuer"]
    maker.parse_request_uri_response(back, state="of mine")
    body = maker.prepare_request_body(redirect_uri=CALLBACK, code_verifier=verifier, include_client_id=False)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = browser.post("/token", content=body, headers=headers, auth=tuple(client))
    tokens = maker.parse_request_body_response(answer.text)
    assert (tokens["scope"], tokens["token_type"]) == ("news_read", "Bearer") or tokens["scope"] == ["news_read"]
    assert gate.call(maker.access_token).status_code == 200
    again = maker.prepare_refresh_body(refresh_token=maker.refresh_token, scope="news_read")
    answer = browser.post("/token", content=again, headers=headers, auth=tuple(client))
    assert maker.parse_request_body_response(answer.text)["access_token"] != tokens["access_token"]


def test_another_makers_client_understands_tokens_of_applications_and_refusals(gate, client):
    maker = BackendApplicationClient(client[0])
    assert maker.parse_request_body_response(gate.ask(client, grant_type="client_credentials").text)["access_token"]
    with pytest.raises(OAuth2Error, match="invalid_client"):
        maker.parse_request_body_response(gate.ask((client[0], "x"), grant_type="client_credentials").text)


def test_a_public_client_gets_tokens_with_its_verifier_only(gate, browser):
    public = gate.client("authorization_code", "refresh_token", public=True)
    code = told(agreed(browser, public))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "client_id": public[0]}

    refused = gate.ask(None, **form)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    refused = gate.ask(None, **form, code_verifier="w" * 43)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    tokens = gate.ask(None, **form, code_verifier=VERIFIER).json()
    assert gate.call(tokens["access_token"]).status_code == 200
    again = {"grant_type": "refresh_token", "client_id": public[0], "refresh_token": tokens["refresh_token"]}
    assert gate.ask(None, **again).status_code == 200


def test_a_code_is_good_once_and_a_second_use_ends_what_came_of_it(gate, browser, client):
    code = told(agreed(browser, client))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}

    refused = gate.ask(gate.client(), **form)
    assert refused.json()["error"] == "invalid_grant"
    refused = gate.ask(client, **form | {"redirect_uri": f"{CALLBACK}/"})
    assert refused.json()["error"] == "invalid_grant"
    first = gate.ask(client, **form)
    assert first.status_code == 200, first.text
    assert gate.call(first.json()["access_token"]).status_code == 200
    second = gate.ask(client, **form)
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")
    assert gate.call(first.json()["access_token"]).status_code == 401


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "x" * 42 + "="}, "invalid_request"),
        ({"scope": "a  b"}, "invalid_scope"),
        ({"scope": " ".join(f"s{n}" for n in range(51))}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
        ({"state": "x" * 2001}, "invalid_request"),
    ],
)
def test_a_request_that_is_wrong_goes_back_to_the_client(browser, client, more, error):
    back = browser.get("/authorize", params=asked(client, **more))

    assert back.status_code == 303
    assert back.headers["location"].startswith(f"{CALLBACK}?")
    assert told(back.headers["location"])["error"] == error
    assert told(back.headers["location"]).get("state") == (None if "state" in more else "a state & more")


@pytest.mark.parametrize(
    "more",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": "x" * 500},
        {"redirect_uri": f"{CALLBACK}/"},
        {"redirect_uri": f"{CALLBACK}?x=1"},
        {"redirect_uri": CALLBACK.upper()},
        {"redirect_uri": "https://app.example.evil.example/back"},
        {"redirect_uri": "https://app.example@evil.example/back"},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
def test_nobody_is_sent_where_the_client_does_not_say(browser, client, more):
    stays = browser.get("/authorize", params=asked(client, **more))

    assert stays.status_code == 400
    assert "location" not in stays.headers
    assert "evil" not in stays.text


def test_a_client_without_the_grant_may_not_ask_for_codes(gate, browser):
    other = gate.client("password")
    back = browser.get("/authorize", params=asked(other))

    assert told(back.headers["location"])["error"] == "unauthorized_client"


def test_a_wrong_password_stays_on_the_page_and_a_refusal_goes_back(browser, client):
    wrong = log_in(browser, client, password="wrong")
    assert (wrong.status_code, "are wrong" in wrong.text) == (401, True)
    page = browser.post("/authorize", data={**hidden(wrong), "name": "tom", "password": PASSWORD})
    assert page.status_code == 200

    back = agreed(browser, client, answer="no")
    assert (told(back)["error"], told(back)["state"]) == ("access_denied", "a state & more")


def test_nobody_agrees_for_a_user_but_in_the_browser_that_has_logged_in(gate, browser, client):
    page = log_in(browser, client)
    form = {**hidden(page), "answer": "yes"}

    with httpx.Client(base_url=gate.gate.url, trust_env=False) as other:
        assert other.post("/authorize", data=form).status_code == 400
        other.get("/authorize", params=asked(client))
        assert other.post("/authorize", data=form).status_code == 400
    for header in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert browser.post("/authorize", data=form, headers=header).status_code == 400
    assert browser.post("/authorize", data={"sealed": "nonsense", "answer": "yes"}).status_code == 400
    assert browser.post("/authorize", data={"answer": "yes"}).status_code == 400
    headers = {"origin": gate.gate.url, "sec-fetch-site": "same-origin"}
    assert browser.post("/authorize", data=form, headers=headers).status_code == 303


def test_the_pages_run_nothing_and_stand_in_no_frame(browser, client):
    page = browser.get("/authorize", params=asked(client, state='"><script>alert(1)</script>'))

    assert "script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    (cookie,) = page.headers.get_list("set-cookie")
    assert "HttpOnly; SameSite=Lax" in cookie
