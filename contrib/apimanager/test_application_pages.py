"""Applications, keys and subscriptions over the management API: whose they are, and who manages them."""

import pytest

from hookgate_apimanager.keys import Clients as ApplicationClients
from hookgate_apimanager.register import Register
from hookgate_keymanager.clients import Clients
from hookgate_keymanager.ending import Endings
from hookgate_people import Wanted

from .community import serving
from .test_subscriptions import soon, statuses

NAMES = ("ünïcode ✓", "a/b%2Fc", "'; drop table x --", "<b>", "a" * 100, "..")
NO_NAMES = ("", " x", "x ", "a\nb", "nu\0l", "a" * 101, "e\u0301")


def entries(town, what):
    """What the audit tells of an object."""

    async def read(store):
        from hookgate_people import People

        return [(each.action, each.who, each.after) for each in await People(store).audit.page(Wanted(object=what))]

    return town.store(read)


def test_an_application_is_made_changed_and_removed_by_its_owner(town):
    who = town.person("subscriber")
    made = town.api("POST", "/applications", {"name": "shop", "description": "sells"}, who)
    assert made.status_code == 201
    place = f"/applications/{made.json()['id']}"
    assert made.headers["location"] == f"/-/api{place}"
    assert town.api("GET", place, who=who).headers["etag"] == '"1"'
    assert town.api("POST", "/applications", {"name": "shop"}, who).status_code == 409
    changed = town.told("PATCH", place, {"name": "store", "tier": "Gold"}, who)
    assert (changed["name"], changed["tier"], changed["description"]) == ("store", "Gold", "sells")
    assert town.api("PATCH", place, {"name": "late"}, who, **{"if-match": '"1"'}).status_code == 412
    assert town.api("PATCH", place, {"tier": "nonsense"}, who).status_code == 400
    assert town.api("PATCH", place, {"id": "x"}, who).status_code == 422
    assert town.api("PATCH", place, {"blocked": True}, who).status_code == 403
    assert town.told("DELETE", place, who=who) == {}
    assert town.api("GET", place, who=who).status_code == 404
    told = entries(town, f"{place[1:]} of {who}")
    assert [each[:2] for each in told] == [("remove", who), ("change", who), ("create", who)]
    assert told[1][2]["name"] == "store"


@pytest.mark.parametrize("name", NAMES)
def test_an_application_may_have_an_odd_name(town, name):
    who = town.person("subscriber")
    application = town.application(who, name)

    assert town.told("GET", f"/applications/{application}", who=who)["name"] == name
    assert town.keys(who, application)[0]


def test_names_that_are_none_are_refused(town):
    who = town.person("subscriber")
    assert statuses(town.api("POST", "/applications", {"name": each}, who) for each in NO_NAMES) == [422] * len(
        NO_NAMES
    )
    assert statuses(town.api("POST", "/applications", each, who) for each in ({}, [], {"name": 1}, "x")) == [422] * 4


def test_what_is_somebody_elses_is_not_there(town):
    who, api, application, subscription, _ = town.subscribed()
    other = town.person("subscriber")
    place = f"/applications/{application}"
    asked = [
        ("GET", place, None),
        ("PATCH", place, {"name": "mine"}),
        ("DELETE", place, None),
        ("GET", f"{place}/keys", None),
        ("POST", f"{place}/keys", {"key_type": "sandbox"}),
        ("PATCH", f"{place}/keys/production", {"grants": ["password"]}),
        ("POST", f"{place}/keys/production/regenerate", {}),
        ("DELETE", f"{place}/keys/production", None),
        ("GET", f"{place}/api-keys", None),
        ("POST", f"{place}/api-keys", {"name": "x"}),
        ("GET", f"{place}/scopes", None),
        ("POST", "/subscriptions", {"api": api, "application": application, "tier": "Gold"}),
        ("GET", f"/subscriptions/{subscription}", None),
        ("PATCH", f"/subscriptions/{subscription}", {"tier": "Gold"}),
        ("DELETE", f"/subscriptions/{subscription}", None),
    ]
    assert statuses(town.api(*each, other) for each in asked) == [404] * len(asked)
    assert statuses(town.api(*each, None) for each in asked) == [401] * len(asked)
    assert town.api("GET", f"/applications?owner={who}", who=other).status_code == 403
    assert town.api("GET", f"/subscriptions?owner={who}", who=other).status_code == 403
    assert town.told("GET", "/subscriptions", who=other)["subscriptions"] == []
    nobody = town.person()
    assert (
        statuses(town.api("GET", path, who=nobody) for path in ("/applications", "/subscriptions", "/tiers"))
        == [403] * 3
    )
    assert town.api("POST", "/applications", {"name": "x"}, nobody).status_code == 403


def test_lists_come_in_pages(town):
    who = town.person("subscriber")
    made = {town.application(who, f"app {number}") for number in range(3)}
    api = town.publish()
    subscribed = {town.subscribe(who, api, each) for each in made}
    for what, wanted in (("applications", made), ("subscriptions", subscribed)):
        found, query = set(), "?limit=2"
        while True:
            page = town.told("GET", f"/{what}{query}", who=who)
            assert len(page[what]) <= 2
            found |= {each["id"] for each in page[what]}
            if "next" not in page:
                break
            query = f"?limit=2&after={page['next']}"
        assert wanted <= found
    assert town.api("GET", "/subscriptions?limit=0", who=who).status_code == 400


def test_one_user_has_so_many_applications_and_one_application_so_many_subscriptions(town):
    town.told(
        "PUT", "/objects/subscribing/subscribing?wait=live", {"applications": 2, "subscriptions": 1, "api_keys": 1}
    )
    try:
        who, api, other = town.person("subscriber"), town.publish(), town.publish()
        first = town.application(who, "one")
        town.application(who, "two")
        refused = town.api("POST", "/applications", {"name": "three"}, who)
        assert (refused.status_code, "may have 2" in refused.json()["detail"]) == (409, True)
        town.subscribe(who, api, first)
        said = {"api": other, "application": first, "tier": "Gold"}
        assert town.api("POST", "/subscriptions", said, who).status_code == 409
        key = {"name": "a key"}
        made = [town.api("POST", f"/applications/{first}/api-keys", key, who) for _ in range(2)]
        assert [each.status_code for each in made] == [201, 409]
    finally:
        town.told("DELETE", "/objects/subscribing/subscribing?wait=live")


def test_keys_are_made_renewed_and_removed(town):
    who, api, application, _, _ = town.subscribed()
    place = f"/applications/{application}/keys"
    assert town.api("POST", place, {"key_type": "production"}, who).status_code == 409
    sandbox = town.keys(who, application, "sandbox")
    token = town.app_token(sandbox)
    assert town.reach(api, token) == (200, None)
    listed = town.told("GET", place, who=who)["keys"]
    assert [(each["key_type"], "client_secret" in each) for each in listed] == [
        ("production", False),
        ("sandbox", False),
    ]
    renewed = town.told("POST", f"{place}/sandbox/regenerate", {}, who)
    assert renewed["client_id"] == sandbox[0]
    assert town.ask(sandbox, grant_type="client_credentials").status_code == 401
    assert town.app_token((sandbox[0], renewed["client_secret"]))
    town.told("PATCH", f"{place}/sandbox", {"grants": ["password"]}, who)
    refused = town.ask((sandbox[0], renewed["client_secret"]), grant_type="client_credentials")
    assert refused.json()["error"] == "unauthorized_client"
    assert town.api("PATCH", f"{place}/sandbox", {"grants": ["nonsense"]}, who).status_code == 422
    town.told("DELETE", f"{place}/sandbox", who=who)
    assert town.reach(api, token) == (401, 900901)
    assert town.api("DELETE", f"{place}/sandbox", who=who).status_code == 404
    bad = [{"key_type": "x"}, {"key_type": "sandbox", "grants": ["x"]}]
    bad.append({"key_type": "sandbox", "callbacks": ["http://evil.example"]})
    assert statuses(town.api("POST", place, each, who) for each in bad) == [422] * 3
    assert [each["key_type"] for each in town.told("GET", place, who=who)["keys"]] == ["production"]


def test_a_client_that_was_made_elsewhere_is_named_by_an_administrator(town):
    who, api = town.person("subscriber"), town.publish()
    application, client = town.application(who), town.client()
    place = f"/applications/{application}/keys"
    town.subscribe(who, api, application)
    said = {"client_id": client[0]}
    assert town.api("POST", place, said, who).status_code == 403
    assert town.told("POST", place, said, status=201)["mapped"] is True
    token = town.app_token(client)
    assert town.reach(api, token) == (200, None)
    other = town.application(who, "other")
    assert town.api("POST", f"/applications/{other}/keys", said).status_code == 409
    assert town.api("POST", f"{place}/production/regenerate", {}, who).status_code == 409
    town.told("DELETE", f"/applications/{application}", who=who)
    assert town.reach(api, token) == (403, 900908)


def test_an_api_key_calls_as_its_application_does(town, backend):
    api = town.publish({"auth": {"methods": [{"application-key": {}}]}}, "subscription")
    who = town.person("subscriber")
    application = town.application(who)
    place = f"/applications/{application}/api-keys"
    made = town.told("POST", place, {"name": "for the till"}, who, 201)

    def reach(**headers):
        return town.reach(api, "", **headers)

    assert reach(apikey=made["key"]) == (403, 900908)
    subscription = town.subscribe(who, api, application)
    assert reach(apikey=made["key"]) == (200, None)
    assert backend.requests[-1].header("apikey") is None
    assert [reach()[0], reach(apikey="hgk_wrong")[0], reach(apikey=made["id"])[0], reach(apikey="")[0]] == [401] * 4
    town.told("PATCH", f"/subscriptions/{subscription}", {"status": "PROD_ONLY_BLOCKED"})
    assert reach(apikey=made["key"]) == (401, 900907)
    sandbox = town.told("POST", place, {"name": "try", "key_type": "sandbox"}, who, 201)
    assert reach(apikey=sandbox["key"]) == (200, None)
    listed = town.told("GET", place, who=who)["api_keys"]
    assert [(each["id"], "key" in each) for each in listed] == [(made["id"], False), (sandbox["id"], False)]
    town.told("DELETE", f"{place}/{sandbox['id']}", who=who)
    assert reach(apikey=sandbox["key"])[0] == 401
    assert town.api("DELETE", f"{place}/{sandbox['id']}", who=who).status_code == 404
    short = town.told("POST", place, {"name": "short", "lifetime": 60, "key_type": "sandbox"}, who, 201)
    assert reach(apikey=short["key"])[0] == 200
    kept = b"".join(path.read_bytes() for path in town.folder.glob("store.db*"))
    assert made["key"].encode() not in kept


def test_a_publisher_sees_and_blocks_the_subscriptions_to_apis(town):
    who, api, _, subscription, token = town.subscribed()
    publisher, place = town.person("publisher"), f"/subscriptions/{subscription}"

    (found,) = town.told("GET", f"/subscriptions?api={api}", who=publisher)["subscriptions"]
    assert (found["id"], found["owner"], found["status"]) == (subscription, who, "ACTIVE")
    assert town.api("PATCH", place, {"status": "BLOCKED"}, who).status_code == 403
    town.told("PATCH", place, {"status": "BLOCKED"}, publisher)
    assert town.reach(api, token) == (401, 900907)
    assert town.api("DELETE", place, who=who).status_code == 409
    assert town.api("DELETE", f"/applications/{found['application']}", who=who).status_code == 409
    town.told("PATCH", place, {"status": "ACTIVE"}, publisher)
    assert town.reach(api, token) == (200, None)
    assert (
        statuses(town.api("PATCH", place, {"status": each}, publisher) for each in ("PENDING", "REJECTED")) == [409] * 2
    )
    assert town.api("PATCH", place, {"status": "nonsense"}, publisher).status_code == 422
    assert town.told("PATCH", place, {"tier": "Silver"}, publisher)["tier"] == "Silver"
    assert town.told("DELETE", place, who=publisher) == {}
    assert town.reach(api, token) == (403, 900908)


def test_a_blocked_application_calls_nothing(town):
    who, api, application, _, token = town.subscribed()
    assert town.reach(api, token) == (200, None)
    town.told("PATCH", f"/applications/{application}", {"blocked": True})

    assert town.reach(api, token) == (401, 900907)
    assert town.api("POST", "/subscriptions", {"api": town.publish(), "application": application, "tier": "Gold"}, who)
    assert town.api("DELETE", f"/applications/{application}", who=who).status_code == 409
    town.told("PATCH", f"/applications/{application}", {"blocked": False})
    assert town.reach(api, token) == (200, None)


def test_where_approval_is_asked_for_a_subscription_waits_for_it(town):
    api = town.publish(more=[("offers", {"approval": True})])
    who, publisher = town.person("subscriber"), town.person("publisher")
    application = town.application(who)
    subscription = town.subscribe(who, api, application)
    place, token = f"/subscriptions/{subscription}", town.app_token(town.keys(who, application))

    assert town.reach(api, token) == (401, 900909)
    assert town.api("PATCH", place, {"status": "ACTIVE"}, who).status_code == 403
    assert town.api("PATCH", place, {"tier": "Silver"}, who).status_code == 403
    waiting = town.told("GET", f"/subscriptions?status=PENDING&api={api}", who=publisher)["subscriptions"]
    assert [each["id"] for each in waiting] == [subscription]
    town.told("PATCH", place, {"status": "REJECTED"}, publisher)
    assert town.reach(api, token) == (401, 900909)
    town.told("PATCH", place, {"status": "ACTIVE"}, publisher)
    assert town.reach(api, token) == (200, None)


def test_applications_of_a_user_who_is_disabled_call_nothing(town):
    api = town.publish({"auth": {"methods": [{"application-key": {}}]}}, "subscription")
    who = town.person("subscriber")
    application = town.application(who)
    town.subscribe(who, api, application)
    key = town.told("POST", f"/applications/{application}/api-keys", {"name": "x"}, who, 201)["key"]
    assert town.reach(api, "", apikey=key) == (200, None)
    town.told("PATCH", f"/users/{who}", {"disabled": True})
    soon(lambda: town.reach(api, "", apikey=key), (401, 900907))
    town.told("PATCH", f"/users/{who}", {"disabled": False})
    soon(lambda: town.reach(api, "", apikey=key), (200, None))


def test_a_user_who_is_removed_takes_everything_along(town):
    who, api, application, subscription, token = town.subscribed()
    assert town.reach(api, token) == (200, None)
    town.told("DELETE", f"/users/{who}")
    soon(lambda: town.reach(api, token) in ((403, 900908), (401, 900901)), True)
    town.person("subscriber", name=who)
    assert [each["is_default"] for each in town.told("GET", "/applications", who=who)["applications"]] == [True]
    assert town.api("GET", f"/subscriptions/{subscription}").status_code == 404
    assert town.api("GET", f"/applications/{application}").status_code == 404
    soon(lambda: town.reach(api, token), (401, 900901))  # the key manager has been told, too


def test_an_api_with_subscriptions_stays_and_takes_them_along_to_another_name(town):
    _, api, _, subscription, token = town.subscribed(town.publish("oauth", "subscription"))
    town.told("DELETE", f"/objects/lifecycles/{api}")

    kept = town.api("DELETE", f"/objects/apis/{api}")
    assert (kept.status_code, "1 subscription has the API" in kept.json()["detail"]) == (409, True)
    to = f"new-{api}"
    town.told("POST", f"/objects/apis/{api}/rename?wait=live", {"to": to})
    assert town.told("GET", f"/subscriptions/{subscription}")["api"] == to
    token_of = town.call(token, f"/{api.split()[0]}/1.0")
    assert token_of.status_code == 200
    town.told("DELETE", f"/subscriptions/{subscription}")
    town.told("DELETE", f"/objects/apis/{to}")


def test_an_application_gets_another_owner_from_an_administrator(town):
    who, api, application, _, token = town.subscribed()
    other, place = town.person("subscriber"), f"/applications/{application}"
    client = town.keys(who, application, "sandbox")

    assert town.api("PATCH", place, {"owner": other}, who).status_code == 403
    assert town.api("PATCH", place, {"owner": "nobody"}).status_code == 404
    assert town.told("PATCH", place, {"owner": other})["owner"] == other
    assert town.api("GET", place, who=who).status_code == 404
    assert town.told("GET", place, who=other)["id"] == application
    assert town.ask(client, "/introspect", token=town.app_token(client)).json()["sub"] == other
    assert town.reach(api, token) == (200, None)


TENANTS = """\
tenants: {a.example: {}, b.example: {}, c.example: {}}
"""


@pytest.mark.row("KC-46")
def test_an_api_is_subscribed_to_by_the_tenants_that_it_is_offered_to(tmp_path, backend):
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", backend.url, TENANTS) as town:
        people = {each: town.person("subscriber", name=f"sue@{each}.example") for each in "abc"}
        offered = {
            "current": {},
            "listed": {"subscriptions": "listed", "tenants": ["b.example"]},
            "all": {"subscriptions": "all"},
            "hidden": {"level": "domain"},
        }
        for name, body in offered.items():
            town.publish(
                {"respond": {}},
                name=f"{name}@a.example",
                hosts=["a.example"],
                more=[("visibilities", body)],
            )
        found = {
            (name, tenant): town.api("POST", "/subscriptions", {"api": f"{name}@a.example 1.0", "tier": "Gold"}, who)
            for name in offered
            for tenant, who in people.items()
        }
        assert {key: each.status_code for key, each in found.items()} == {
            **{("current", each): 201 if each == "a" else 403 for each in "abc"},
            **{("listed", each): 403 if each == "c" else 201 for each in "abc"},
            **{("all", each): 201 for each in "abc"},
            **{("hidden", each): 201 if each == "a" else 404 for each in "abc"},
        }
        publishers = {each: town.person("publisher", name=f"pat@{each}.example") for each in "ab"}
        seen = town.told("GET", "/subscriptions?limit=1000", who=publishers["a"])["subscriptions"]
        assert len(seen) == sum(each.status_code == 201 for each in found.values())
        assert town.told("GET", "/subscriptions", who=publishers["b"])["subscriptions"] == []
        theirs = found["all", "b"].json()
        place = f"/subscriptions/{theirs['id']}"
        assert town.api("PATCH", place, {"status": "BLOCKED"}, publishers["b"]).status_code == 404
        assert town.told("PATCH", place, {"status": "BLOCKED"}, publishers["a"])["status"] == "BLOCKED"
        assert town.api("GET", f"/applications/{theirs['application']}", who=people["a"]).status_code == 404


def test_clients_whose_application_is_gone_are_removed_by_the_key_manager(town):
    who, api, application, _, token = town.subscribed()
    client = town.told("GET", f"/applications/{application}/keys", who=who)["keys"][0]["client_id"]
    town.told("DELETE", f"/applications/{application}", who=who)

    async def there(store):
        return await Clients(store, Endings(store)).get(client) is not None

    soon(lambda: town.store(there), False)

    async def left(store):
        return [each.client_id for each in await ApplicationClients(Register(store)).left_over()]

    soon(lambda: town.store(left), [])
    assert town.reach(api, token) == (401, 900901)
