"""Templates of APIs in a file; over the API of a running gateway they are in contrib/apimanager."""

import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, through
from hookgate_apis.templates import Lifecycle

ORIGIN = "https://app.example"


def says(name, value):
    return {"headers": {"response": {"add": {name: value}}}}


def api(name, **more):
    return {"name": name, "version": "1.0", "base_path": f"/{name}", "flow": [{"respond": {"body": name}}], **more}


def template(version, flow, name="managed", **more):
    return {"name": name, "version": version, "flow": flow, **more}


def called(gate, name, method="GET", **headers):
    return gate.request(method, f"/{name}/1.0", headers=headers)


def preflight(gate, name):
    return called(gate, name, "OPTIONS", origin=ORIGIN, **{"access-control-request-method": "GET"})


DOCUMENT = {
    "api_templates": [
        template("2", [says("X-Built", "two")]),
        template("10", [says("X-Built", "ten")]),
        template("1", [says("X-Built", "one"), says("X-Built", "first")], default=True),
        template("1", [says("X-Built", "other")], name="other"),
    ],
    "apis": [
        api("follows", template="managed"),
        api("keeps", template="managed 2"),
        api("unsaid"),
        api("others", template="other"),
        api("without", template="none"),
        api("own", template="managed 2", flow=[says("X-Built", "own"), {"respond": {"body": "own"}}]),
        api(
            "broken",
            template="managed 2",
            resources=[{"path": "/", "inherit": False, "flow": [{"respond": {"body": "mine"}}]}],
        ),
    ],
}
BUILT = {
    "follows": "ten",
    "keeps": "two",
    "unsaid": "first, one",
    "others": "other",
    "without": None,
    "own": "own, two",
    "broken": "two",
}


def test_an_api_is_made_with_the_template_it_says_or_the_one_that_is_the_default():
    with running(DOCUMENT) as gate:
        answers = {name: called(gate, name) for name in BUILT}
    assert {name: each.headers.get("x-built") for name, each in answers.items()} == BUILT
    assert answers["broken"].text == "mine"  # a flow that a resource breaks is broken right of the template
    assert {each.status_code for each in answers.values()} == {200}


def test_a_limit_of_a_template_counts_the_calls_of_each_api_alone():
    limit = {"rate-limit": {"limit": 1, "window": 3600}}
    document = {"api_templates": [template("1", [limit], default=True)], "apis": [api("one"), api("two")]}
    with running(document) as gate:
        found = [called(gate, name).status_code for name in ("one", "two", "one", "two")]
    assert found == [200, 200, 429, 429]


CORS = {"cors": {"allow_origins": [ORIGIN]}}
LOCK = {"auth": {"methods": [{"basic": {"users": {"ann": "secret-of-ann"}}}]}}


@pytest.mark.parametrize(
    ("flow", "preflighted", "called_so"),
    [
        ([CORS, "lifecycle", LOCK], 204, 503),
        (["lifecycle", CORS, LOCK], 503, 503),
        ([CORS, LOCK], 503, 503),  # nowhere written: left of everything
        ([CORS, LOCK, "lifecycle"], 204, 401),
        ([LOCK, CORS, "lifecycle"], 401, 401),
    ],
)
def test_the_state_of_an_api_is_looked_at_where_the_template_says(flow, preflighted, called_so):
    document = {
        "api_templates": [template("1", flow, default=True)],
        "apis": [api("off"), api("on")],
        "lifecycles": {"off 1.0": {"state": "BLOCKED"}},
    }
    with running(document) as gate:
        assert (preflight(gate, "off").status_code, called(gate, "off").status_code) == (preflighted, called_so)
        open_to = called(gate, "on", authorization="Basic YW5uOnNlY3JldC1vZi1hbm4=")
        assert (open_to.status_code, open_to.text) == (200, "on")


def test_a_prototype_is_one_for_the_steps_right_of_lifecycle_only():
    lock = {"auth": {**LOCK["auth"], "_": {"when": "vars.lifecycle != 'PROTOTYPED'"}}}
    document = {
        "apis": [
            api("early", flow=["lifecycle", lock, {"respond": {"body": "x"}}]),
            api("late", flow=[lock, "lifecycle", {"respond": {"body": "x"}}]),
        ],
        "lifecycles": {name: {"state": "PROTOTYPED"} for name in ("early 1.0", "late 1.0")},
    }
    with running(document) as gate:
        assert called(gate, "early").status_code == 200
        assert called(gate, "late").status_code == 401


def test_a_plan_is_entered_right_of_a_step_of_the_template():
    document = {
        "api_templates": [template("1", ["client-id"], default=True)],
        "apis": [api("shop")],
        "applications": {"app": {"client_ids": ["one"], "plans": {"shop": "gold"}}},
        "plans": {"gold": {"flow": [says("X-Plan", "gold")]}},
    }
    with running(document) as gate:
        assert called(gate, "shop").status_code == 401
        assert called(gate, "shop", client_id="one").headers["x-plan"] == "gold"


def test_lifecycle_alone_does_nothing():
    assert through(build(Lifecycle)).response.status == 200


PLACE = r"api_templates\[0\]"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apis": [api("a", template="manage")]}, r"apis\[0\].template: .* 'manage'; did you mean 'managed'"),
        ({"apis": [api("a", template="managed 3")]}, r"there is no template 'managed 3'"),
        ({"api_templates": [], "apis": [api("a", template="managed")]}, r"there is no template 'managed'"),
        ({"api_templates": [template("0", [])]}, rf"{PLACE}.version"),
        ({"api_templates": [template("1", []), template("1", [])], "apis": []}, r"managed 1"),
        ({"api_templates": [template("1", [{"cors": {}}])], "apis": []}, rf"{PLACE}.flow\[0\].cors.allow_origins"),
        ({"api_templates": [template("1", [{"cors": {}}], default=True)]}, rf"{PLACE}.flow\[0\].cors.allow_origins"),
        ({"api_templates": [template("1", [], name="none")], "apis": []}, r"'none' is what APIs without"),
        (
            {"api_templates": [template("1", [], name=each, default=True) for each in "ab"], "apis": []},
            r"only one template is the default, and there are a, b",
        ),
        ({"gateway": {"flow": ["lifecycle"]}}, r"lifecycle cannot be placed on the gateway"),
    ],
)
def test_a_mistake_is_told_where_it_stands(change, message):
    with pytest.raises(ConfigError, match=message), running({**DOCUMENT, **change}):
        pass


def test_a_template_that_is_not_there_is_told_where_there_are_none():
    with pytest.raises(ConfigError, match="there is no template 'managed': write api_templates"):
        with running({"apis": [api("a", template="managed")]}):
            pass
