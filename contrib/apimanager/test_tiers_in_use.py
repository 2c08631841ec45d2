"""Tiers that subscriptions and applications have: nobody takes them away, and when they are gone, calls are refused."""

import json

import pytest

from .community import serving


@pytest.fixture(scope="module")
def town(tmp_path_factory, backend):
    folder = tmp_path_factory.mktemp("tiers")
    with serving(folder, f"sqlite:///{folder / 'store.db'}", backend.url) as made:
        for name in ("Spare", "Passing", "Unused"):
            made.told("PUT", f"/objects/tiers/{name}?wait=live", {"limit": 9})
        yield made


def test_a_tier_that_somebody_has_is_neither_removed_nor_renamed_nor_turned_off(town):
    ann, orders, _, subscription, token = town.subscribed(tier="Spare")
    bob = town.person("subscriber")
    town.application(bob, "kiosk", tier="Spare")
    town.subscribe(bob, orders, town.application(bob, "other"), "Spare")

    for answer in (
        town.api("DELETE", "/objects/tiers/Spare"),
        town.api("POST", "/objects/tiers/Spare/rename", {"to": "Best"}),
        town.api("POST", "/objects/tiers/Spare/rename?force=true", {"to": "Best"}),
        town.api("PUT", "/objects/tiers/Spare", {"enabled": False, "limit": 9}),
        town.api("POST", "/apply", {"changes": [{"kind": "tiers", "name": "Spare", "body": None}]}),
    ):
        said = answer.json()
        assert (answer.status_code, said["type"].rpartition(":")[2]) == (409, "in-use"), answer.text
        assert said["detail"] == (
            "the tier Spare is used by 2 subscriptions and 1 application: give them another tier before it goes."
        )
        assert said["errors"] == [
            {"object": f"subscriptions/{orders}", "detail": "has it: 2 subscriptions to it"},
            {"object": f"applications/{bob}", "detail": "has it: the application kiosk"},
        ]
    used = town.told("GET", "/objects/tiers/Spare/used-by")["users"]
    assert [(each["kind"], each["name"], each["from"]) for each in used] == [
        ("subscriptions", orders, "register"),
        ("applications", bob, "register"),
    ]
    assert town.reach(orders, token) == (200, None)
    town.told("PUT", "/objects/tiers/Spare", {"limit": 8})  # a tier that stays may change
    town.told("DELETE", "/objects/tiers/Unused")
    town.told("GET", f"/subscriptions/{subscription}", who=ann)


def test_a_tier_that_nobody_has_any_more_goes(town):
    ann, _, _, subscription, _ = town.subscribed(tier="Passing")
    assert town.api("DELETE", "/objects/tiers/Passing").status_code == 409
    town.told("DELETE", f"/subscriptions/{subscription}", who=ann)
    town.told("DELETE", "/objects/tiers/Passing")


def test_what_comes_along_with_a_preset_or_stands_in_the_file_may_be_written_over_and_back(town):
    town.subscribed(tier="Bronze")
    town.subscribed(tier="Gold")
    town.told("PUT", "/objects/tiers/Bronze", {"limit": 3})
    town.told("DELETE", "/objects/tiers/Bronze")  # that of the preset is there again
    town.told("PUT", "/objects/tiers/Bronze", {"limit": 3})
    refused = town.api("PUT", "/objects/tiers/Bronze", {"enabled": False})
    assert "the tier Bronze is used by 1 subscription:" in refused.json()["detail"]
    refused = town.api("PUT", "/objects/tiers/all", {"preset": "none"})
    assert refused.status_code == 409
    assert "is used by" in refused.json()["detail"]
    town.told("PUT", "/objects/tiers/all", {"preset": "classic"})


def test_calls_of_a_tier_that_the_file_has_no_more_are_refused_and_it_is_named(town):
    _, api, _, _, token = town.subscribed(tier="Gold")
    assert town.reach(api, token) == (200, None)
    document = town.folder / "gateway.yaml"
    text = document.read_text()
    assert "  Gold: {limit: 20, deny: [intern]}\n" in text
    document.write_text(text.replace("  Gold: {limit: 20, deny: [intern]}\n", "  Gold: {enabled: false}\n"))
    town.gate.reload()

    name, version = api.rsplit(" ", 1)
    told = town.call(token, f"/{name}/{version}")
    assert (told.status_code, told.json()["code"], told.json()["reason"]) == (429, 900804, "tier-unknown")
    assert "'Gold'" in told.json()["detail"]
    town.call(token, f"/{name}/{version}")
    assert "whose tier is not there: 'Gold'" in json.dumps(town.health())
    assert sum("the tier 'Gold'" in record.getMessage() for record in town.gate.log) == 1
    document.write_text(text)
    town.gate.reload()
    assert town.reach(api, token) == (200, None)
    assert "whose tier is not there" not in json.dumps(town.health())
