"""Prototypes are called without a token and without a subscription; a token that is shown has to be good (KC-13)."""

import pytest


@pytest.mark.row("KC-13")
@pytest.mark.parametrize(
    "flow",
    [
        pytest.param(({"access-token": {"location": "any"}}, "throttle"), marks=pytest.mark.row("FL-45")),
        ({"oauth": {}}, "subscription"),
    ],
    ids=["access-token", "oauth"],
)
def test_a_prototype_lets_calls_through_without_a_token_until_it_is_published(town, backend, flow):
    who = town.person("subscriber")
    api = town.publish(*flow, state="PROTOTYPED")
    path = f"/{api.replace(' ', '/')}"
    application = town.application(who)
    token = town.app_token(town.keys(who, application))

    before = len(backend.requests)
    assert town.call(None, path).status_code == 200
    assert town.call(token, path).status_code == 200
    assert len(backend.requests) == before + 2
    assert town.call("hga_" + "x" * 43, path).status_code == 401  # one that is shown has to be good
    town.turn(api, "PUBLISHED")
    assert town.call(None, path).status_code == 401
    assert len(backend.requests) == before + 2
    if "subscription" in flow:
        town.subscribe(who, api, application)
    assert town.call(token, path).status_code == 200


def test_no_caller_says_that_an_api_is_a_prototype(town):
    api = town.publish({"access-token": {}})
    path = f"/{api.replace(' ', '/')}"

    for name in ("lifecycle", "x-lifecycle", "vars.lifecycle"):
        assert town.call(None, f"{path}?{name}=PROTOTYPED", **{name: "PROTOTYPED"}).status_code == 401
