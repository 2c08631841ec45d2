"""Usage beside applications, keys and subscriptions of the store: with the steps that tell whose calls they are."""

import httpx
import pytest

from contrib.apimanager import community
from contrib.keymanager.town import PASSWORD
from hookgate.testing import upstream

OBSERVED = community.DOCUMENT.replace("[prometheus]}", "[prometheus, {usage: {flush: 1h}}]}", 1)
PRICES = 'prices: {Silver: {currency: EUR, per_month: "9.90", included: 2, per_call: "0.10"}}'


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    folder = tmp_path_factory.mktemp("town")
    with pytest.MonkeyPatch.context() as patch, upstream() as backend:
        patch.setattr(community, "DOCUMENT", OBSERVED)
        with community.serving(folder, f"sqlite:///{folder / 'store.db'}", backend.url, PRICES) as made:
            yield made


@pytest.mark.row("KC-81")
@pytest.mark.row("KC-84")
def test_a_subscriber_sees_what_was_used_under_the_tier_of_the_time_and_what_it_would_cost(town):
    who, api, application, subscription, token = town.subscribed(tier="Silver")
    other, _, _, _, other_token = town.subscribed(api)

    assert [town.reach(api, token)[0] for _ in range(6)] == [200] * 5 + [429]
    assert town.reach(api, other_token) == (200, None)
    assert town.reach(api, "no token of ours")[0] == 401
    rows = town.told("GET", "/usage", who=who)["rows"]
    names = ("subscription", "application", "api", "version", "tier", "owner", "key_type", "calls", "refused", "faults")
    name, version = api.split(" ")
    told = (subscription, application, name, version, "Silver", who, "production", 6, 1, 0)
    assert [tuple(row[each] for each in names) for row in rows] == [told]
    assert [row["owner"] for row in town.told("GET", "/usage", who=other)["rows"]] == [other]

    invoice = town.told("GET", f"/usage/invoice?application={application}", who=who)
    assert [(line["billed"], line["amount"]) for line in invoice["lines"]] == [(3, "10.20")]
    assert invoice["totals"] == {"EUR": "10.20"}
    assert town.told("GET", f"/usage/invoice?application={application}", who=other)["lines"] == []


def test_a_subscription_that_gets_another_tier_has_a_line_for_each(town):
    who, api, application, subscription, token = town.subscribed(tier="Silver")
    assert town.reach(api, token) == (200, None)
    town.told("PATCH", f"/subscriptions/{subscription}", {"tier": "Unlimited"}, who=who)
    assert town.reach(api, token) == (200, None)

    lines = town.told("GET", f"/usage/invoice?application={application}", who=who)["lines"]
    assert [(line["tier"], line["calls"], line["amount"]) for line in lines] == [
        ("Silver", 1, "9.90"),
        ("Unlimited", 1, None),
    ]


def test_a_call_that_security_refuses_is_in_nobodys_usage(town):
    who, api, _, _, token = town.subscribed()
    stranger = town.app_token(town.keys(who, town.application(who, "stranger")))

    assert town.reach(api, stranger) == (403, 900908)
    assert town.reach(api, token) == (200, None)
    url = f"{town.gate.management}/-/api/usage?by=api&api={api.split(' ')[0]}"
    told = httpx.get(url, auth=(who, PASSWORD), trust_env=False, timeout=60).json()
    assert [row["calls"] for row in told["rows"]] == [1]
