"""Whether who is subscribed to an old version has to subscribe to a new one (KC-19)."""

import pytest


def publish(town, api, **more):
    return town.told("POST", f"/apis/{api}/lifecycle?wait=live", {"event": "Publish", **more})


def subscriptions(town, api):
    told = town.told("GET", f"/subscriptions?api={api}")["subscriptions"]
    return {each["application"]: (each["tier"], each["status"]) for each in told}


@pytest.mark.row("KC-19")
def test_who_is_subscribed_to_an_old_version_subscribes_anew_only_where_that_is_ticked(town):
    who, first, application, subscription, token = town.subscribed(tier="Gold")
    name = first.split()[0]
    second = town.publish(name=name, version="2.0", state="CREATED")
    third = town.publish(name=name, version="3.0", state="CREATED")
    publish(town, second, check_items=["require-resubscription"])
    assert town.reach(second, token) == (403, 900908)
    assert publish(town, third)["carried"] == 1
    assert (town.reach(third, token), town.reach(first, token)) == ((200, None), (200, None))
    assert town.reach(second, token) == (403, 900908)
    assert subscriptions(town, third) == {application: ("Gold", "ACTIVE")}
    # it is a subscription of its own
    town.told("DELETE", f"/subscriptions/{subscription}", who=who)
    assert (town.reach(third, token), town.reach(first, token)) == ((200, None), (403, 900908))


def test_the_subscription_to_the_newest_version_counts_and_what_is_there_stays(town):
    _, first, one, blocked, token = town.subscribed(tier="Gold")
    name = first.split()[0]
    second = town.publish(name=name, version="1.10")
    _, _, two, _, _ = town.subscribed(second, tier="Silver")
    third = town.publish(name=name, version="2.0", state="PROTOTYPED")
    other = town.person("subscriber")
    apart = town.application(other)
    town.subscribe(other, first, apart, "Gold")
    town.subscribe(other, second, apart, "Silver")
    waits = town.publish(name=name, version="1.5", more=[("offers", {"approval": True})])
    late, gone = (town.application(other, each) for each in ("late", "gone"))
    town.subscribe(other, waits, late)
    town.told("PATCH", f"/subscriptions/{town.subscribe(other, waits, gone)}", {"status": "REJECTED"})
    town.told("PATCH", f"/subscriptions/{blocked}", {"status": "BLOCKED"})
    told = publish(town, third, check_items=["deprecate-old-versions"])
    assert told["deprecated"] == sorted([first, waits, second])
    found = subscriptions(town, third)
    assert found == {
        one: ("Gold", "BLOCKED"),
        two: ("Silver", "ACTIVE"),
        apart: ("Silver", "ACTIVE"),
        late: ("Unlimited", "PENDING"),
    }
    assert told["carried"] == 4
    assert town.reach(third, token) == town.reach(first, token)  # who is blocked stays so
    assert town.reach(third, token)[1] is not None


def test_a_rehearsal_subscribes_nobody_and_neither_does_a_version_without_older_ones(town):
    _, first, _, _, token = town.subscribed()
    name = first.split()[0]
    second = town.publish(name=name, version="2.0", state="CREATED")
    told = town.told("POST", f"/apis/{second}/lifecycle?dry_run=true", {"event": "Publish"})
    assert told["written"] is False
    assert subscriptions(town, second) == {}
    older = town.publish(name=name, version="0.1", state="CREATED")
    assert publish(town, older)["carried"] == 0
    assert town.reach(older, token) == (403, 900908)
