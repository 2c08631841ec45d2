"""APIs: a tree of scopes whose flows come down, made into routes."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hookgate import ConfigError
from hookgate.commands import app
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.gateway.configuration import load
from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])

PLUGINS = '''
from hookgate import Interceptor, Options, hookimpl


class MarkOptions(Options):
    name: str
    value: int = 0


class Mark(Interceptor[MarkOptions]):
    """Leaves its name on the way in and on the way out, and counts its calls."""

    def __init__(self, options):
        super().__init__(options)
        self.calls = 0

    @hookimpl
    def on_request(self, exchange):
        self.calls += 1
        exchange.request.headers.add("x-in", f"{self.options.name}{self.options.value or ''}")

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.add("x-out", self.options.name)
        exchange.response.headers.set("x-calls-" + self.options.name.lower(), str(self.calls))


class InOnly(Interceptor[Options]):
    """Can stand on an API only, and on the way in only."""

    sides = {"request"}
    scopes = {"api"}

    @hookimpl
    def on_request(self, exchange):
        exchange.request.headers.add("x-in", "in-only")


class Knows(Interceptor[Options]):
    """Identifies the application by a header, as it is."""

    writes = {"application"}

    @hookimpl
    def startup(self, host):
        self.host = host

    @hookimpl
    def on_request(self, exchange):
        exchange.application = self.host.section("applications").find(exchange.request.headers.get("x-client", ""))
        if exchange.application is not None and exchange.api is not None:
            exchange.plan = exchange.application.plans.get(exchange.api.name, "")
        exchange.request.headers.add("x-in", "knows")
'''


@pytest.fixture
def plugins(tmp_path):
    (tmp_path / "steps.py").write_text(PLUGINS)
    return tmp_path


def mark(name, value=0, **host):
    return {"mark": {"name": name, "value": value, **({"_": host} if host else {})}}


def document(backend, api, lane=True, **sections):
    described = {
        "gateway": {"lane": lane},
        "apis": [{"name": "orders", "base_path": "/orders", "to": {"connection": "crm"}, **api}],
        "connections": {"crm": {"targets": "http://127.0.0.1:9" if backend is None else backend.url}},
    }
    for name, value in sections.items():
        described[name] = {**described.get(name, {}), **value} if isinstance(value, dict) else value
    return described


TREE = {
    "flow": [mark("A")],
    "request": [mark("B")],
    "response": [mark("C")],
    "resources": [
        {
            "path": "/items/{id}",
            "flow": [mark("R")],
            "operations": {"GET": {"flow": [mark("O")]}, "POST": None},
        },
        {},
    ],
}


def ways(backend, answer):
    return backend.requests[-1].all("x-in"), answer.headers.get_list("x-out")


@BOTH
@pytest.mark.row("FL-4", "FL-5", "FL-6")
def test_the_flow_comes_down_from_the_api_over_the_resource_to_the_operation(lane, plugins):
    with upstream() as backend:
        with running(document(backend, TREE, lane), plugins_dir=plugins) as gate:
            get = ways(backend, gate.request("GET", "/orders/items/7"))
            post = ways(backend, gate.request("POST", "/orders/items/7"))
            other = ways(backend, gate.request("GET", "/orders/other"))

    assert get == (["A", "B", "R", "O"], ["O", "R", "C", "A"])
    assert post == (["A", "B", "R"], ["R", "C", "A"])
    assert other == (["A", "B"], ["C", "A"])
    assert [request.path for request in backend.requests] == ["/items/7", "/items/7", "/other"]


def test_a_step_of_an_api_is_one_step_for_all_of_it(plugins):
    with upstream() as backend:
        with running(document(backend, TREE), plugins_dir=plugins) as gate:
            for path in ("/orders/items/7", "/orders/other", "/orders/items/8"):
                answer = gate.request("GET", path)

    assert (answer.headers["x-calls-a"], answer.headers["x-calls-r"]) == ("3", "2")


@pytest.mark.row("KC-49")
def test_a_method_that_no_operation_lists_is_405_with_those_that_are(plugins):
    with upstream() as backend:
        api = {"resources": TREE["resources"][:1]}
        with running(document(backend, api), plugins_dir=plugins) as gate:
            refused = gate.request("DELETE", "/orders/items/7")
            absent = gate.request("GET", "/orders/nothing")

    assert (refused.status_code, absent.status_code) == (405, 404)
    assert {method.strip() for method in refused.headers["allow"].split(",")} >= {"GET", "POST"}


@pytest.mark.row("FL-27")
def test_values_are_overridden_for_a_scope_and_what_is_below_it(plugins):
    api = {
        "flow": [mark("A", 10)],
        "resources": [
            {"path": "/five", "overrides": {"mark": {"value": 5}}, "operations": {"GET": None, "PUT": None}},
            {
                "path": "/six",
                "overrides": {"mark": {"value": 5}},
                "operations": {"GET": {"overrides": {"mark": {"value": 6}}}},
            },
            {"path": "/ten"},
        ],
    }
    with upstream() as backend:
        with running(document(backend, api), plugins_dir=plugins) as gate:
            for method, path in (("GET", "/five"), ("PUT", "/five"), ("GET", "/six"), ("GET", "/ten")):
                gate.request(method, f"/orders{path}")
            seen = [request.header("x-in") for request in backend.requests]
            api["flow"] = [mark("A", 20)]
            gate.reload(document(backend, api))
            for path in ("/five", "/six", "/ten"):
                gate.request("GET", f"/orders{path}")
            live = [request.header("x-in") for request in backend.requests[4:]]
            (five,) = [r for r in gate.gateway.live.config.routes if r.name == "orders /five GET"]
            origins = [step.entry.origin for _, step in five.steps.way_in]

    assert seen == ["A5", "A5", "A6", "A10"]
    assert live == ["A5", "A6", "A20"]
    assert origins == ["orders"]


@pytest.mark.row("FL-30")
def test_a_broken_flow_is_its_own_and_what_the_parent_adds_does_not_reach_it(plugins):
    broken = {
        "path": "/broken",
        "inherit": False,
        "flow": [mark("N"), {"from": "mark#2"}, {"from": "mark"}],
        "operations": {"GET": {"flow": [mark("O")]}},
    }
    api = {"flow": [mark("A"), mark("B")], "resources": [broken, {"path": "/whole"}]}
    with upstream() as backend:
        with running(document(backend, api), plugins_dir=plugins) as gate:
            assert ways(backend, gate.request("GET", "/orders/broken")) == (["N", "B", "A", "O"], ["O", "A", "B", "N"])
            api["flow"].append(mark("C"))
            gate.reload(document(backend, api))
            assert ways(backend, gate.request("GET", "/orders/broken"))[0] == ["N", "B", "A", "O"]
            assert ways(backend, gate.request("GET", "/orders/whole"))[0] == ["A", "B", "C"]


def test_a_break_is_per_direction(plugins):
    half = {"path": "/half", "inherit": {"request": False}, "request": [{"from": "mark#2"}], "flow": [mark("N")]}
    api = {"flow": [mark("A"), mark("B")], "resources": [half]}
    with upstream() as backend:
        with running(document(backend, api), plugins_dir=plugins) as gate:
            assert ways(backend, gate.request("GET", "/orders/half")) == (["N", "B"], ["N", "B", "A"])


@BOTH
@pytest.mark.row("FL-12")
def test_the_nearest_destination_wins(lane, plugins):
    api = {
        "to": {"connection": "a"},
        "resources": [
            {"path": "/r", "to": {"connection": "b"}, "operations": {"GET": {"to": {"connection": "c"}}, "POST": None}},
            {"path": "/q"},
        ],
    }
    with upstream() as a, upstream() as b, upstream() as c:
        connections = {name: {"targets": each.url} for name, each in (("a", a), ("b", b), ("c", c))}
        with running(document(a, api, lane, connections=connections), plugins_dir=plugins) as gate:
            gate.request("GET", "/orders/r")
            gate.request("POST", "/orders/r")
            gate.request("GET", "/orders/q")

    assert [[request.path for request in each.requests] for each in (a, b, c)] == [["/q"], ["/r"], ["/r"]]


@BOTH
def test_limits_come_down_and_the_nearest_counts(lane):
    operations = {"POST": {}, "PUT": {"limits": {"request_body": 30}}}
    api = {
        "limits": {"request_body": 10, "response_body": 1000},
        "resources": [{"path": "/a", "operations": operations}, {"path": "/b", "limits": {"request_body": 20}}],
    }
    with upstream() as backend, running(document(backend, api, lane)) as gate:

        def longest(method, path):
            sizes = (5, 15, 25, 35)
            return max(n for n in sizes if gate.request(method, f"/orders{path}", content=b"x" * n).status_code == 200)

        found = [longest("POST", "/a"), longest("PUT", "/a"), longest("POST", "/b")]

    assert found == [5, 25, 15]


@pytest.mark.row("FL-17")
def test_time_outs_come_down_are_capped_and_depend_on_the_environment(plugins):
    api = {
        "to": {"connection": "crm", "timeout": 30},
        "resources": [
            {
                "path": "/r1",
                "to": {"timeout": 10},
                "operations": {"POST": {"to": {"timeout": 40}}, "GET": {"to": {"timeout": 20}}, "PUT": None},
            },
            {"path": "/r2", "operations": {"GET": None}},
            {"path": "/r3", "to": {"timeout": 90}},
            {"path": "/r4", "to": {"timeout": "${environment:patience}"}},
        ],
    }
    environments = {"dev": {"patience": 2}, "prod": {"patience": "${env:NOT_SET_HERE:-5}"}}
    found = {}
    with upstream() as backend:
        for environment in ("dev", "prod"):
            described = document(backend, api, gateway={"environment": environment}, environments=environments)
            with running(described, plugins_dir=plugins) as gate:
                found[environment] = {route.name: route.section.to.timeout for route in gate.gateway.live.config.routes}

    assert found["dev"] == {
        "orders /r1 POST": 40,
        "orders /r1 GET": 20,
        "orders /r1 PUT": 10,
        "orders /r2 GET": 30,
        "orders /r3": 60,
        "orders /r4": 2,
    }
    assert found["prod"]["orders /r4"] == 5


@pytest.mark.parametrize(
    ("environment", "words"),
    [("test", "has no value 'patience'"), ("", "names no environment"), ("dev", "should be a number")],
)
def test_a_value_that_cannot_be_resolved_is_a_mistake_with_its_place(environment, words, plugins):
    api = {"resources": [{"path": "/r4", "to": {"timeout": "${environment:patience}"}}]}
    environments = {"test": {}, "dev": {"patience": "long"}}
    with upstream() as backend:
        described = document(backend, api, gateway={"environment": environment}, environments=environments)
        with pytest.raises(ConfigError) as refused:
            with running(described, plugins_dir=plugins):
                pass
    assert any(words in str(p) and "apis[0].resources[0].to.timeout" in str(p) for p in refused.value.problems)


@BOTH
@pytest.mark.row("FL-18", "FL-20", "FL-21")
@pytest.mark.parametrize(
    ("to", "called"),
    [
        ({"path": "/{param1}/{param2}/{param3}"}, "/1/2/3"),
        ({"path": "/{param3}/{param2}/{param1}"}, "/1/2/3"),
        ({"path": "/{param1}/{param2}/{param1}"}, "/1/2/1"),
        ({"path": "/{param3}/{param2}/{param3}"}, "/1/2/1"),
        ({"path": "/{param3}/{param2}/{param1}", "by_name": True}, "/3/2/1"),
        ({"prefix": "/v2"}, "/v2/in/1/2/3"),
        ({"keep_base_path": True}, "/orders/in/1/2/3"),
        ({"prefix": "/v2", "path": "/x/{a}"}, "/v2/x/1"),
    ],
)
def test_paths_on_the_backend(to, called, lane, plugins):
    api = {"resources": [{"path": "/in/{param1}/{param2}/{param3}", "to": to}]}
    with upstream() as backend:
        with running(document(backend, api, lane), plugins_dir=plugins) as gate:
            gate.request("GET", "/orders/in/1/2/3")

    assert backend.requests[0].path == called


def test_versions_stand_in_the_path_and_the_default_one_need_not(plugins):
    with upstream() as backend:
        described = document(backend, {"version": "1.0"})
        described["apis"].append(
            {
                **described["apis"][0],
                "version": "2.0",
                "default_version": True,
                "to": {"connection": "crm", "prefix": "/two"},
            }
        )
        with running(described, plugins_dir=plugins) as gate:
            for path in ("/orders/1.0/x", "/orders/2.0/x", "/orders/x", "/orders/2.0"):
                assert gate.request("GET", path).status_code == 200
            apis = [exchange.api for exchange in gate.wait_for_exchanges(4)]

    assert [request.path for request in backend.requests] == ["/x", "/two/x", "/two/x", "/two/"]
    assert [api.version for api in apis] == ["1.0", "2.0", "2.0", "2.0"]
    assert (apis[0].name, apis[0].resource, apis[0].operation) == ("orders", "/{rest...}", "")


@pytest.mark.row("KC-52")
def test_resources_are_mappings_and_templates_below_the_base_path(plugins):
    paths = ["/a/b", "/a/*", "*.html", "/{one}/{two}", "/"]
    api = {"resources": [{"path": path, "flow": [{"respond": {"body": path}}]} for path in paths]}
    expected = {
        "/orders/a/b": "/a/b",
        "/orders/a/x": "/a/*",
        "/orders/x.html": "*.html",
        "/orders/x/y": "/{one}/{two}",
        "/orders": "/",
        "/orders/": "/",
    }
    with upstream() as backend:
        with running(document(backend, api), plugins_dir=plugins) as gate:
            assert {path: gate.request("GET", path).text for path in expected} == expected
            assert gate.request("GET", "/a/b").status_code == 404


@pytest.mark.row("FL-24")
def test_the_flow_of_a_plan_is_entered_where_the_application_is_known(plugins):
    api = {"flow": [mark("A"), "knows", mark("B")]}
    sections = {
        "applications": {
            "shop": {"client_ids": ["s1", "s2"], "plans": {"orders": "gold"}},
            "kiosk": {"client_ids": ["k1"]},
        },
        "plans": {"gold": {"flow": [mark("G")]}, "free": {}},
    }
    with upstream() as backend:
        with running(document(backend, api, **sections), plugins_dir=plugins) as gate:
            shop = ways(backend, gate.request("GET", "/orders/x", headers={"x-client": "s2"}))
            kiosk = ways(backend, gate.request("GET", "/orders/x", headers={"x-client": "k1"}))
            nobody = ways(backend, gate.request("GET", "/orders/x"))
            api["flow"] = [mark("A"), "knows", mark("B"), "plan"]
            gate.reload(document(backend, api, **sections))
            placed = ways(backend, gate.request("GET", "/orders/x", headers={"x-client": "s1"}))

    assert shop == (["A", "knows", "G", "B"], ["B", "G", "A"])
    assert kiosk == nobody == (["A", "knows", "B"], ["B", "A"])
    assert placed == (["A", "knows", "B", "G"], ["G", "B", "A"])


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_a_plan_that_the_document_does_not_have_is_refused_and_named(plugins, lane):
    (plugins / "claims.py").write_text(
        """
from hookgate import Interceptor, Options, hookimpl

class Claims(Interceptor[Options]):
    writes = {"application"}

    @hookimpl
    def on_request(self, exchange):
        exchange.plan = exchange.request.headers.get("x-plan", "")
"""
    )
    sections = {"plans": {"gold": {"flow": [mark("G")]}}}
    with upstream() as backend:
        described = document(backend, {"flow": ["claims"]}, lane, **sections)
        with running(described, plugins_dir=plugins) as gate:
            answer = gate.request("GET", "/orders/x", headers={"x-plan": "platinum"})
            assert (answer.status_code, answer.json()["reason"]) == (500, "plugin-error")
            assert not backend.requests
            assert any("apis.orders/plan" in each and "'platinum'" in each for each in map(str, _said(gate)))
            assert ways(backend, gate.request("GET", "/orders/x", headers={"x-plan": "gold"})) == (["G"], ["G"])
            assert gate.request("GET", "/orders/x").status_code == 200


def _said(gate):
    return [record.getMessage() for record in gate.log]


@pytest.mark.row("FL-10", "FL-11")
def test_what_is_on_offer_for_a_side_and_a_scope_and_what_is_refused_there(plugins):
    done = CliRunner().invoke(app, ["plugins", "--json"], env={"HOOKGATE_PLUGINS_DIR": str(plugins)})
    steps = {each["name"]: each for each in json.loads(done.output) if each["family"] == "interceptor"}
    offered = {
        scope: {name for name, step in steps.items() if scope in step["scopes"]} for scope in ("api", "operation")
    }

    assert offered["api"] - offered["operation"] == {"in-only", "lifecycle"}
    assert "mark" in offered["operation"]
    assert steps["auth"]["sides"] == steps["in-only"]["sides"] == ["request"]
    auth = {"auth": {"methods": [{"bearer": {"tokens": {"ann": "t"}}}]}}
    operation = {"resources": [{"path": "/r", "operations": {"GET": {"flow": ["in-only"]}}}]}
    for api, place, words in (
        ({"response": [auth]}, "apis[0].response[0]", "auth cannot stand in `response`"),
        (operation, "apis[0].resources[0].operations.GET.flow[0]", "may stand on: api"),
    ):
        with pytest.raises(ConfigError) as refused, running(document(None, api), plugins_dir=plugins):
            pass
        (problem,) = refused.value.problems
        assert place in str(problem)
        assert words in str(problem)


@pytest.mark.parametrize(
    ("api", "place", "words"),
    [
        ({"response": ["in-only"]}, "apis[0].response[0]", "cannot stand in `response`"),
        ({"resources": [{"path": "/r", "flow": ["in-only"]}]}, "apis[0].resources[0].flow[0]", "may stand on: api"),
        ({"overrides": {"mork": {"value": 1}}, "flow": [mark("A")]}, "apis[0].overrides.mork", "did you mean 'mark'"),
        ({"resources": [{"flow": [{"from": "mark"}]}]}, "apis[0].resources[0].flow[0]", "inherit: false"),
        (
            {"resources": [{"inherit": False, "flow": [{"from": "nobody"}]}]},
            "apis[0].resources[0].flow[0].from",
            "no step 'nobody'",
        ),
        ({"inherit": False}, "apis[0].inherit", "inherits from nothing"),
        ({"to": {}}, "apis[0]", "calls go nowhere"),
        ({"to": {"connection": "crn"}}, "apis[0].to.connection", "did you mean 'crm'"),
        ({"resources": [{"path": "/{a}", "to": {"path": "/{x}/{y}"}}]}, "apis[0].resources[0].to", "wants 2"),
        ({"resources": [{"path": "/a"}, {"path": "/a"}]}, "apis[0].resources", "there twice"),
        ({"base_path": "/a/"}, "apis[0].base_path", "no base path"),
        ({"default_version": True}, "apis[0]", "write version"),
        ({"flow": [mark("A", value="x")]}, "apis[0].flow[0].mark.value", "whole number"),
    ],
)
def test_mistakes_are_told_with_their_places_and_once(api, place, words, plugins):
    with upstream() as backend:
        with pytest.raises(ConfigError) as refused:
            with running(document(backend, api), plugins_dir=plugins):
                pass
    (problem,) = refused.value.problems
    assert str(problem).startswith(f"{place}: ") or f" {place}: " in str(problem)
    assert words in str(problem)


def test_an_api_that_is_not_deployed_here_is_checked_and_not_served(plugins):
    with upstream() as backend:
        described = document(backend, {"environments": ["prod"]}, gateway={"environment": "dev"})
        with running(described, plugins_dir=plugins) as gate:
            assert gate.request("GET", "/orders/x").status_code == 404
            described["gateway"]["environment"] = "prod"
            gate.reload(described)
            assert gate.request("GET", "/orders/x").status_code == 200
            assert gate.wait_for_exchanges(2)[1].environment == "prod"


def test_applications_and_plans_that_do_not_fit_are_refused(plugins):
    sections = {
        "applications": {
            "one": {"client_ids": ["a", "b", "b"], "plans": {"order": "gold"}},
            "two": {"client_ids": ["a"], "plans": {"orders": "glod"}},
        },
        "plans": {"gold": {}},
    }
    with upstream() as backend:
        with pytest.raises(ConfigError) as refused:
            with running(document(backend, {}, **sections), plugins_dir=plugins):
                pass
    found = "\n".join(map(str, refused.value.problems))
    assert "applications.one.plans.order: there is no API 'order'; did you mean 'orders'" in found
    assert "applications.two.plans.orders: there is no plan 'glod'" in found
    assert "applications.two.client_ids[0]: this client id belongs to the application 'one', too" in found
    assert "applications.one.client_ids[2]: this client id is there twice; leave one out" in found


def test_a_plan_whose_flow_no_call_enters_is_warned_of_and_the_page_explains_it():
    text = """\
apis: [{name: orders, base_path: /orders, flow: [{respond: {body: x}}]}]
plans: {gold: {flow: [request-id]}}
applications:
  shop: {client_ids: [a], plans: {orders: gold}}
"""
    config = asyncio.run(load(parse(text.encode(), "gateway.yaml"), Catalogue()))
    (warning,) = config.warnings
    page = (Path(__file__).parents[2] / "docs" / "flows.md").read_text(encoding="utf-8")

    assert str(warning).startswith("gateway.yaml:4:43: applications.shop.plans.orders: the flow of the plan 'gold' is")
    assert str(warning).endswith("place a step such as client-id in its flow [plan-never-entered]")
    assert "| `plan-never-entered` |" in page
