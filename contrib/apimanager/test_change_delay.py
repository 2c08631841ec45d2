"""How late a node is that forgets what has changed of subscriptions: as a metric."""

import time

from hookgate_apimanager.register import Register
from hookgate_apimanager.subscriptions import Subscriptions
from hookgate_people import By

NAME = "hookgate_subscription_change_delay_seconds"


def told(town):
    """Return how many changes were told, how many of them within 2.5 s, and the sum of their seconds."""
    found = town.metric(NAME)
    return tuple(found.get(f"{NAME}_{each}", 0.0) for each in ("count", 'bucket{le="2.5"}', "sum"))


def test_what_changes_on_another_node_is_measured_from_when_it_has_changed(town):
    _, api, _, subscription, token = town.subscribed()
    assert town.reach(api, token) == (200, None)
    before = told(town)

    async def blocked(store):
        store.clock = lambda: time.time() - 3  # so long ago
        await Subscriptions(Register(store)).change(By("the test"), subscription, status="BLOCKED")

    town.store(blocked)
    until = time.monotonic() + 60
    while town.reach(api, token) != (401, 900907):
        assert time.monotonic() < until
        time.sleep(0.02)
    count, quick, seconds = told(town)
    assert (count, quick) == (before[0] + 1, before[1])
    assert seconds - before[2] >= 3
