"""Tokens by password and for applications themselves, revoked again, and what a call does with them."""

import time

import pytest

from hookgate_people import People, UserChange

from .town import BY, PASSWORD, serving


@pytest.fixture(scope="module")
def client(gate):
    return gate.client()


@pytest.mark.row("KC-4", "KC-27")
def test_the_public_port_gives_tokens_to_users_with_the_scopes_of_their_roles(gate, client, backend):
    both = "news_read news_write"
    tom = gate.ask(client, grant_type="password", username="tom", password=PASSWORD, scope=both)
    john = gate.ask(client, grant_type="password", username="john", password=PASSWORD, scope=both)

    assert tom.status_code == 200
    assert tom.headers["cache-control"] == "no-store"
    assert tom.json().keys() == {"scope", "token_type", "expires_in", "refresh_token", "access_token"}
    assert (tom.json()["token_type"], tom.json()["expires_in"]) == ("Bearer", 3600)
    assert (tom.json()["scope"], john.json()["scope"]) == ("news_read", both)
    assert gate.call(tom.json()["access_token"]).status_code == 200
    asked = backend.requests[-1]
    assert asked.header("authorization") is None
    assert gate.call(john.json()["access_token"], method="POST").status_code == 200


@pytest.mark.row("KC-61")
@pytest.mark.parametrize(
    ("user", "asked", "got"),
    [
        ("tom", "news_read news_write", "news_read"),
        ("john", "news_read news_write", "news_read news_write"),
        ("john", "news_write news_read news_write", "news_write news_read"),
        ("tom", "news_write", "default"),
        ("tom", "nobody_knows_it", "default"),
        ("tom", "", "default"),
        ("tom", "open news_write", "open"),
        ("tom", "default news_read", "default news_read"),
    ],
)
def test_of_the_scopes_that_are_asked_for_those_of_the_roles_are_granted(gate, client, user, asked, got):
    assert gate.token(client, username=user, scope=asked)["scope"] == got


@pytest.mark.row("KC-64")
@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("some_random_scope", "some_random_scope"),
        ("device_7", "device_7"),
        ("some_random_scopes", "default"),
        ("a_device_7", "default"),
        ("SOME_RANDOM_SCOPE", "default"),
    ],
)
def test_a_scope_that_a_whole_pattern_allows_is_granted_to_everybody(gate, client, asked, got):
    told = gate.token(client, scope=asked)

    assert (told["scope"], told["expires_in"]) == (got, 3600)


def test_tom_may_not_post(gate, client):
    token = gate.token(client, scope="news_read news_write")["access_token"]
    refused = gate.call(token, method="POST")

    assert refused.status_code == 403
    told = refused.json()
    assert (told["code"], told["reason"]) == (900910, "insufficient-scope")
    assert told["detail"] == f"Access failure for API: /news with key: ********{token[-4:]}"
    assert 'error="insufficient_scope", scope="news_write"' in refused.headers["www-authenticate"]
    assert token not in refused.text


@pytest.mark.row("KC-63")
def test_what_has_no_scope_takes_any_good_token(gate, client):
    told = gate.token(client, grant_type="client_credentials")

    assert told["scope"] == "default"
    assert gate.call(told["access_token"], method="DELETE").status_code == 200
    assert gate.call(told["access_token"], method="PUT").status_code == 200


def test_an_application_gets_a_token_of_its_own_without_a_refresh_token(gate, client):
    told = gate.token(client, grant_type="client_credentials", scope="news_read news_write")

    assert told.keys() == {"scope", "token_type", "expires_in", "access_token"}
    assert told["scope"] == "news_read"  # its owner is tom


@pytest.mark.row("KC-25")
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 900902),
        ({"authorization": "Basic dG9tOng="}, 900902),
        ({"authorization": "Bearer"}, 900902),
        ({"authorization": "Bearer x"}, 900901),
        ({"authorization": "Bearer hga_" + "x" * 43}, 900901),
        ({"authorization": "Bearer hgr_" + "x" * 43}, 900901),
        ({"authorization": "bearer " + "x" * 9000}, 900901),
        ({"authorization": "Bearer a b"}, 900901),
    ],
)
def test_a_call_without_a_good_token_reaches_no_backend(gate, backend, headers, code):
    before = len(backend.requests)
    refused = gate.gate.request("GET", "/news", headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (401, code)
    assert refused.headers["www-authenticate"].startswith('Bearer realm="hookgate"')
    assert ('error="invalid_token"' in refused.headers["www-authenticate"]) == (code == 900901)
    assert len(backend.requests) == before


@pytest.mark.row("KC-28")
def test_a_token_that_is_revoked_is_refused_by_the_next_call(gate, client):
    token = gate.token(client, scope="news_read")["access_token"]
    assert gate.call(token).status_code == 200

    assert gate.ask(client, "/revoke", token=token, token_type_hint="access_token").status_code == 200
    refused = gate.call(token)
    assert (refused.status_code, refused.json()["code"]) == (401, 900901)


def test_revoking_knows_no_mistake_but_those_of_the_client(gate, client):
    other = gate.client()
    told = gate.token(client, scope="news_read")

    assert gate.ask(client, "/revoke", token="nobody-knows-it").status_code == 200
    assert gate.ask(client, "/revoke", token=told["access_token"], token_type_hint="nonsense").status_code == 200
    again = gate.token(client, scope="news_read")["access_token"]
    refused = gate.ask(other, "/revoke", token=again)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert gate.call(again).status_code == 200
    refused = gate.ask(client, "/revoke")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    refused = gate.ask((client[0], "wrong"), "/revoke", token=again)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_revoking_a_refresh_token_ends_the_access_tokens_that_came_with_it(gate, client):
    told = gate.token(client, scope="news_read")
    assert gate.call(told["access_token"]).status_code == 200

    assert gate.ask(client, "/revoke", token=told["refresh_token"]).status_code == 200
    assert gate.call(told["access_token"]).status_code == 401
    refused = gate.ask(client, grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"


def test_a_refresh_token_is_good_once_and_a_second_use_ends_all_that_came_of_it(gate, client):
    first = gate.token(client, scope="news_read")
    second = gate.token(client, grant_type="refresh_token", refresh_token=first["refresh_token"])

    assert second["scope"] == "news_read"
    assert second["refresh_token"] != first["refresh_token"]
    assert gate.call(second["access_token"]).status_code == 200
    refused = gate.ask(client, grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert gate.call(second["access_token"]).status_code == 401
    refused = gate.ask(client, grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"


def test_a_refresh_token_of_another_client_is_none_and_harms_nobody(gate, client):
    other = gate.client()
    told = gate.token(client, scope="news_read")

    refused = gate.ask(other, grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"
    assert gate.token(client, grant_type="refresh_token", refresh_token=told["refresh_token"])["scope"] == "news_read"
    refused = gate.ask(other, grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"
    assert gate.call(told["access_token"]).status_code == 200  # whoever shows what is another's ends nothing


def test_on_refresh_scopes_may_become_fewer_and_never_more(gate, client):
    told = gate.token(client, username="john", scope="news_read news_write")
    fewer = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}

    refused = gate.ask(client, **fewer, scope="news_read open")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    assert gate.token(client, **fewer, scope="news_read")["scope"] == "news_read"


def test_of_many_who_show_one_refresh_token_at_a_time_one_at_most_gets_something(gate, client):
    from concurrent.futures import ThreadPoolExecutor

    told = gate.token(client, scope="news_read")
    form = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: gate.ask(client, **form), range(8)))

    good = [each.json() for each in answers if each.status_code == 200]
    assert len(good) == 1
    assert {each.json()["error"] for each in answers if each.status_code != 200} == {"invalid_grant"}
    assert gate.call(good[0]["access_token"]).status_code == 401  # one of them has stolen it


@pytest.mark.row("KC-8")
def test_the_key_manager_is_asked_once_or_for_each_call(gate, client, tmp_path, backend):
    counted = 'hookgate_keymanager_validations_total{outcome="good"}'
    token = gate.token(client, scope="news_read")["access_token"]
    before = gate.metric(counted).get(counted, 0)
    assert {gate.call(token).status_code for _ in range(100)} == {200}
    assert gate.metric(counted)[counted] == before + 1

    url = f"sqlite:///{tmp_path / 'store.db'}"
    with serving(tmp_path, url, backend.url, keymanager="cache: {enabled: false}") as other:
        token = other.token(other.client())["access_token"]
        assert {other.call(token).status_code for _ in range(100)} == {200}
        assert other.metric(counted)[counted] == 100


def test_a_token_that_is_none_is_asked_for_once_too(gate):
    counted = 'hookgate_keymanager_validations_total{outcome="bad"}'
    before = gate.metric(counted).get(counted, 0)

    assert {gate.call("hga_nobody-has-it").status_code for _ in range(50)} == {401}
    assert gate.metric(counted)[counted] == before + 1


@pytest.mark.row("KC-26")
def test_tokens_are_good_for_their_time_and_below_0_for_ever(tmp_path, backend):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    keymanager = "lifetime: 1s, application_lifetime: -1"
    with serving(tmp_path, url, backend.url, keymanager=keymanager) as made:
        client = made.client()
        short = made.token(client)
        long = made.token(client, grant_type="client_credentials")
        assert (short["expires_in"], "expires_in" in long) == (1, False)
        assert made.call(short["access_token"]).status_code in (200, 401)
        until = time.monotonic() + 60
        while made.call(short["access_token"]).status_code != 401:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert made.call(long["access_token"]).status_code == 200
        own = made.token(made.client(lifetime=7200.0), grant_type="client_credentials")
        assert own["expires_in"] == 7200


def test_an_application_whose_owner_is_disabled_or_removed_gets_nothing_more(gate):
    gate.store(lambda store: People(store).users.make(BY, "owner", PASSWORD, roles=["employee"]))
    client = gate.client(owner="owner")
    token = gate.token(client, grant_type="client_credentials", scope="news_read")["access_token"]
    assert gate.call(token).status_code == 200
    gate.store(lambda store: People(store).users.change(BY, "owner", UserChange(disabled=True)))

    refused = gate.ask(client, grant_type="client_credentials")
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    assert gate.ask(client, "/introspect", token=token).json() == {"active": False}
    until = time.monotonic() + 60
    while gate.call(token).status_code != 401:  # remembered until the node has heard of it, within a second
        assert time.monotonic() < until
        time.sleep(0.02)


def test_whoever_is_disabled_or_removed_gets_nothing_more(gate):
    client = gate.client()
    gate.store(lambda store: People(store).users.make(BY, "kim", PASSWORD, roles=["employee"]))
    told = gate.token(client, username="kim", scope="news_read")
    assert gate.call(told["access_token"]).status_code == 200
    gate.store(lambda store: People(store).users.change(BY, "kim", UserChange(disabled=True)))

    refused = gate.ask(client, grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert gate.ask(client, "/introspect", token=told["access_token"]).json() == {"active": False}
    until = time.monotonic() + 60
    while gate.call(told["access_token"]).status_code != 401:  # remembered until the node has heard of it
        assert time.monotonic() < until
        time.sleep(0.02)
