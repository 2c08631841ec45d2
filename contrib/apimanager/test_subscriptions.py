"""Who is subscribed calls, and nobody else: with applications, keys, tokens and tiers over a running gateway."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from contrib.keymanager.town import PASSWORD

from .community import serving


def statuses(answers):
    return sorted(each.status_code for each in answers)


@pytest.mark.row("KC-22")
def test_one_token_calls_two_apis_and_one_api_is_subscribed_to_with_several_tiers(town):
    who, api, application, _, token = town.subscribed()
    other = town.publish()

    assert town.reach(other, token) == (403, 900908)
    town.subscribe(who, other, application)
    assert town.reach(api, token) == town.reach(other, token) == (200, None)
    second = town.application(who, "second")
    again = town.subscribe(who, api, second, "Silver")
    assert town.told("GET", f"/subscriptions/{again}", who=who)["tier"] == "Silver"
    assert town.api("POST", "/subscriptions", {"api": api, "application": second}, who).status_code in (400, 409)


@pytest.mark.row("KC-23")
def test_a_token_of_an_application_that_is_not_subscribed_is_refused(town, backend):
    who, api, _, subscription, token = town.subscribed()
    other = town.publish()

    assert town.reach(api, token) == (200, None)
    before = len(backend.requests)
    assert town.reach(other, token) == (403, 900908)
    town.told("DELETE", f"/subscriptions/{subscription}", who=who)
    assert town.reach(api, token) == (403, 900908)
    assert len(backend.requests) == before


def test_a_token_of_a_client_without_an_application_is_refused(town):
    token = town.app_token(town.client())

    assert town.reach(town.publish(), token) == (403, 900908)
    assert town.reach(town.publish({"respond": {}}), "") == (200, None)
    assert town.reach(town.publish("subscription"), "") == (401, 900902)


@pytest.mark.row("KC-24")
def test_everybody_has_a_default_application_with_the_tier_of_the_settings(town):
    who = town.person("subscriber")

    (only,) = town.told("GET", "/applications", who=who)["applications"]
    assert (only["name"], only["tier"], only["owner"], only["is_default"]) == (
        "DefaultApplication",
        "Unlimited",
        who,
        True,
    )
    assert town.api("DELETE", f"/applications/{only['id']}", who=who).status_code == 409
    other, api = town.person("subscriber"), town.publish()
    made = town.told("POST", "/subscriptions", {"api": api, "tier": "Gold"}, other, 201)
    assert (made["application_name"], made["owner"]) == ("DefaultApplication", other)
    settings = "/objects/subscribing/subscribing?wait=live"
    town.told("PUT", settings, {"default_application": {"tier": "Silver"}})
    try:
        (limited,) = town.told("GET", "/applications", who=town.person("subscriber"))["applications"]
        assert limited["tier"] == "Silver"
    finally:
        town.told("DELETE", settings)


def test_where_the_default_tier_is_taken_away_those_who_have_an_application_keep_it(town):
    old, new, api = town.person("subscriber"), town.person("subscriber"), town.publish()
    (mine,) = town.told("GET", "/applications", who=old)["applications"]
    renamed = town.told("PATCH", f"/applications/{mine['id']}", {"name": "mine"}, old)
    document = town.folder / "gateway.yaml"
    text = document.read_text()
    document.write_text(text.replace("tiers:\n", "tiers:\n  Unlimited: {enabled: false}\n"))
    town.gate.reload()
    try:
        assert town.told("GET", "/applications", who=old)["applications"] == [renamed]
        assert town.told("GET", "/applications", who=new)["applications"] == []
        refused = town.api("POST", "/subscriptions", {"api": api, "tier": "Gold"}, new)
        assert (refused.status_code, "default_application.tier" in refused.json()["detail"]) == (409, True)
    finally:
        document.write_text(text)
        town.gate.reload()


def test_many_who_need_their_default_application_at_a_time_get_one(town):
    who = town.person("subscriber")
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: town.told("GET", "/applications", who=who)["applications"], range(8)))

    assert {each["id"] for found in told for each in found} == {told[0][0]["id"]}


def test_of_many_who_subscribe_at_a_time_one_does(town):
    who, api = town.person("subscriber"), town.publish()
    application = town.application(who)
    said = {"api": api, "application": application, "tier": "Gold"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: town.api("POST", "/subscriptions", said, who), range(8)))

    assert statuses(answers) == [201] + [409] * 7
    assert len(town.told("GET", f"/subscriptions?application={application}", who=who)["subscriptions"]) == 1


@pytest.mark.row("KC-14")
def test_what_is_published_is_seen_and_subscribed_to_and_what_is_created_is_neither(town):
    who, api, hidden = town.person("subscriber"), town.publish(), town.publish(state="CREATED")

    listed = {each["api"]: each["subscribable"] for each in town.told("GET", "/apis?limit=1000", who=who)["apis"]}
    assert (listed.get(api), hidden in listed) == (True, False)
    assert town.subscribe(who, api)
    refused = town.api("POST", "/subscriptions", {"api": hidden, "tier": "Gold"}, who)
    nothing = town.api("POST", "/subscriptions", {"api": "nothing 1.0", "tier": "Gold"}, who)
    assert refused.status_code == nothing.status_code == 404
    assert refused.json()["detail"] == nothing.json()["detail"].replace("nothing 1.0", hidden)


@pytest.mark.row("KC-15")
def test_what_is_deprecated_takes_no_new_subscriptions_and_serves_those_there_are(town):
    _, api, _, _, token = town.subscribed()
    town.turn(api, "DEPRECATED")

    refused = town.api("POST", "/subscriptions", {"api": api, "tier": "Gold"}, town.person("subscriber"))
    assert (refused.status_code, "DEPRECATED" in refused.json()["detail"]) == (409, True)
    assert town.reach(api, token) == (200, None)
    town.turn(api, "RETIRED")
    assert town.reach(api, token)[0] == 404


@pytest.mark.row("KC-13")
def test_a_prototype_is_called_without_token_and_subscription(town):
    api = town.publish("oauth", "subscription", state="PROTOTYPED")
    who = town.person("subscriber")

    assert town.reach(api, "") == (200, None)
    assert town.reach(api, "hga_wrong") == (401, 900901)
    refused = town.api("POST", "/subscriptions", {"api": api, "tier": "Gold"}, who)
    assert refused.status_code == 409
    town.turn(api, "PUBLISHED")
    assert town.reach(api, "") == (401, 900902)


@pytest.mark.row("KC-33")
def test_the_sixth_call_of_an_application_with_silver_is_refused_over_any_of_its_apis(town):
    who, api, application, _, token = town.subscribed(tier="Gold")
    other = town.publish()
    town.subscribe(who, other, application, "Gold")
    town.told("PATCH", f"/applications/{application}", {"tier": "Silver"}, who)

    calls = [town.reach(each, token) for each in (api, other, api, other, api, other)]
    assert calls == [(200, None)] * 5 + [(429, 900803)]
    town.gate.run(town.clock.advance(60))
    assert town.reach(other, token) == (200, None)


def test_the_tier_of_a_subscription_counts_for_its_api_only(town):
    who, api, application, _, token = town.subscribed(tier="Silver")
    other = town.publish()
    town.subscribe(who, other, application)

    assert [town.reach(api, token) for _ in range(6)] == [(200, None)] * 5 + [(429, 900804)]
    assert town.reach(other, token) == (200, None)


@pytest.mark.row("KC-35")
def test_the_tiers_that_an_api_offers_are_those_that_are_chosen_from(town):
    api = town.publish(more=[("offers", {"tiers": ["Silver", "Gold"]})])
    who = town.person("subscriber")

    refused = town.api("POST", "/subscriptions", {"api": api, "tier": "Bronze"}, who)
    assert (refused.status_code, "Silver, Gold" in refused.json()["detail"]) == (400, True)
    assert town.api("POST", "/subscriptions", {"api": api, "tier": "nonsense"}, who).status_code == 400
    assert town.api("POST", "/subscriptions", {"api": api}, who).status_code == 400
    offered = town.told("GET", f"/tiers?api={api}", who=who)["tiers"]
    assert [each["name"] for each in offered] == ["Silver", "Gold"]
    subscription = town.subscribe(who, api, tier="Silver")
    town.told("PUT", f"/objects/offers/{api}?wait=live", {"tiers": ["Gold"]})
    assert town.told("GET", f"/subscriptions/{subscription}", who=who)["tier"] == "Silver"
    place = f"/subscriptions/{subscription}"
    assert town.api("PATCH", place, {"tier": "Bronze"}, who).status_code == 400
    assert town.told("PATCH", place, {"tier": "Gold"}, who)["tier"] == "Gold"
    assert town.api("PUT", f"/objects/offers/{api}", {"tiers": ["nonsense"]}).status_code == 422


@pytest.mark.row("KC-36")
def test_a_tier_that_is_denied_to_a_role_is_neither_shown_to_it_nor_chosen_by_it(town):
    api = town.publish()
    intern, other = town.person("subscriber", "intern"), town.person("subscriber")

    def shown(who, query=""):
        return {each["name"] for each in town.told("GET", f"/tiers{query}", who=who)["tiers"]}

    for query in (f"?api={api}", "?level=application"):
        assert shown(other, query) - shown(intern, query) == {"Gold"}
    refused = town.api("POST", "/subscriptions", {"api": api, "tier": "Gold"}, intern)
    assert refused.status_code == 403
    assert town.api("POST", "/applications", {"name": "x", "tier": "Gold"}, intern).status_code == 403
    mine = town.subscribe(intern, api, tier="Silver")
    assert town.api("PATCH", f"/subscriptions/{mine}", {"tier": "Gold"}, intern).status_code == 403
    assert town.subscribe(other, api, tier="Gold")


@pytest.mark.row("KC-54")
@pytest.mark.row("KC-55")
def test_another_kind_of_authentication_counts_for_the_next_call(town):
    api = town.publish({"oauth": {"tokens": "none"}})
    assert town.reach(api, "") == (200, None)
    body = town.told("GET", f"/objects/apis/{api}")["body"]
    who = town.person("subscriber")
    client = town.keys(who, town.application(who))
    tokens = {
        "application": town.app_token(client),
        "application-user": town.token(client, username=who)["access_token"],
    }

    for kind in ("application", "application-user", "any"):
        body["flow"] = [{"oauth": {"tokens": kind}}]
        town.told("PUT", f"/objects/apis/{api}?wait=live", body)
        assert town.reach(api, "") == (401, 900902)
        told = {name: town.reach(api, token) for name, token in tokens.items()}
        assert told == {name: (200, None) if kind in ("any", name) else (401, 900905) for name in tokens}


@pytest.mark.row("KC-65")
def test_only_scopes_that_the_roles_of_the_user_allow_are_offered(town):
    flow = {"oauth": {"scopes": ["news_read"], "operations": {"POST": {"scopes": ["news_write", "unknown"]}}}}
    api = town.publish({"when": {"if": "true", "flow": [flow]}}, "subscription")

    def offered(*roles):
        who = town.person("subscriber", *roles)
        application = town.application(who)
        assert town.told("GET", f"/applications/{application}/scopes", who=who) == {"scopes": []}
        town.subscribe(who, api, application)
        return [each["name"] for each in town.told("GET", f"/applications/{application}/scopes", who=who)["scopes"]]

    assert offered("employee") == ["news_read"]
    assert offered("employee", "manager") == ["news_read", "news_write"]
    assert offered() == []


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        (900907, 401, "The requested API is temporarily blocked"),
        (900908, 403, "Resource forbidden"),
        (900909, 401, "The subscription to the API is inactive"),
    ],
)
def test_the_faults_of_subscriptions_are_those_of_the_table_in_each_form(town, code, status, message):
    offer = [("offers", {"approval": code == 900909})]
    _, api, _, subscription, token = town.subscribed(town.publish("faults", "oauth", "subscription", more=offer))
    if code == 900907:
        town.told("PATCH", f"/subscriptions/{subscription}", {"status": "BLOCKED"})
    elif code == 900908:
        town.told("DELETE", f"/subscriptions/{subscription}")
    path = f"/{api.split()[0]}/1.0"

    told = town.call(token, path, accept="application/json")
    assert (told.status_code, told.json()["fault"]["code"], told.json()["fault"]["message"]) == (status, code, message)
    told = town.call(token, path, accept="application/xml")
    assert told.status_code == status
    assert f"<ams:code>{code}</ams:code><ams:message>{message}</ams:message>" in told.text
    envelope = {"content-type": "text/xml", "soapaction": "x", "accept": "text/xml"}
    told = town.call(token, path, "POST", **envelope)
    assert (str(code) in told.text, "Envelope" in told.text) == (True, True), told.text


@contextmanager
def another(made):
    """Another node on the same store, in a process of its own; gives what calls it."""
    environment = {**os.environ, "HOOKGATE_SOURCE": "store", "HOOKGATE_SOURCE_OPTIONS": made.options}
    command = [sys.executable, "-m", "hookgate", "serve", "gateway.yaml"]
    process = subprocess.Popen(
        command, cwd=made.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        url = ""
        for line in process.stdout:
            if "serves http" in line:
                url = line.split()[-1]
            if "management on" in line:
                break
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:

            def reach(api, token):
                name, version = api.rsplit(" ", 1)
                told = client.get(f"/{name}/{version}", headers={"authorization": f"Bearer {token}"})
                return told.status_code, None if told.is_success else told.json().get("code")

            yield reach
    finally:
        process.terminate()
        process.communicate(timeout=60)


def soon(found, wanted):
    """Wait until something is found."""
    until = time.monotonic() + 60
    while (now := found()) != wanted:
        assert time.monotonic() < until, now
        time.sleep(0.02)


def test_what_changes_on_one_node_counts_on_another(town):
    who, api, application, subscription, token = town.subscribed()
    other = town.publish()
    place = f"/subscriptions/{subscription}"
    with another(town) as reach:
        assert reach(api, token) == (200, None)
        assert reach(other, token) == (403, 900908)
        town.subscribe(who, other, application)
        soon(lambda: reach(other, token), (200, None))
        town.told("PATCH", place, {"status": "BLOCKED"})
        soon(lambda: reach(api, token), (401, 900907))
        town.told("PATCH", place, {"status": "ACTIVE"})
        soon(lambda: reach(api, token), (200, None))
        town.told("DELETE", place)
        soon(lambda: reach(api, token), (403, 900908))


def test_where_the_store_is_away_nobody_is_let_in_unasked(tmp_path, backend):
    settings = "subscribing: {cache: {stale: 1s}}"
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", backend.url, settings) as town:
        who, api, application, _, token = town.subscribed()
        other = town.publish()
        town.subscribe(who, other, application)
        assert town.reach(api, token) == (200, None)
        for file in tmp_path.glob("store.db*"):
            file.rename(file.with_name(f"away-{file.name}"))
        refused = town.call(token, f"/{other.split()[0]}/1.0")
        assert (refused.status_code, refused.json()["code"]) == (500, 900900)
        assert refused.json()["reason"] == "subscriptions-away", refused.text
        soon(lambda: town.reach(api, token), (500, 900900))  # remembered, for a second without the store
        assert "what has changed of subscriptions is not known" in json.dumps(town.health())
        assert PASSWORD not in json.dumps(town.health())
