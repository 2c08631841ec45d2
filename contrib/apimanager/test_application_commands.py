"""`hookgate applications` and `hookgate subscriptions` against a running gateway."""

import pytest
from typer.testing import CliRunner

from hookgate.commands import app


@pytest.fixture
def typed(town, monkeypatch):
    monkeypatch.setenv("HOOKGATE_MANAGEMENT_TOKEN", "token-of-root")

    def run(*words):
        done = CliRunner().invoke(app, [*words, "--management", town.gate.management])
        return done.exit_code, done.stdout.splitlines()

    return run


def test_applications_are_listed_and_blocked(town, typed):
    who, api, application, _, token = town.subscribed(town.publish("oauth", "subscription"))

    assert typed("applications", "list", "--owner", who) == (0, [f"{application} shop of {who}: Unlimited"])
    assert typed("applications", "block", application) == (0, [f"the application shop of {who} is blocked"])
    assert town.reach(api, token) == (401, 900907)
    assert typed("applications", "list", "--owner", who)[1] == [f"{application} shop of {who}: Unlimited, blocked"]
    assert typed("applications", "unblock", application)[0] == 0
    assert town.reach(api, token) == (200, None)
    assert typed("applications", "block", "nonsense")[0] == 2


def test_subscriptions_are_listed_approved_and_blocked(town, typed):
    api = town.publish(more=[("offers", {"approval": True})])
    who, _, _, subscription, token = town.subscribed(api)
    line = f"{subscription} shop of {who} to {api}: Unlimited,"

    assert typed("subscriptions", "list", "--api", api, "--status", "PENDING") == (0, [f"{line} PENDING"])
    assert typed("subscriptions", "approve", subscription) == (0, [f"the subscription of shop to {api} is ACTIVE"])
    assert town.reach(api, token) == (200, None)
    assert typed("subscriptions", "list", "--api", api, "--status", "PENDING") == (0, [])
    assert typed("subscriptions", "block", subscription)[0] == 0
    assert town.reach(api, token) == (401, 900907)
    assert typed("subscriptions", "unblock", subscription)[0] == 0
    assert typed("subscriptions", "reject", subscription)[0] == 2
    assert town.reach(api, token) == (200, None)
