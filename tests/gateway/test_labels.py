"""Labels and `x-…` keys of a document: seen by plugins, expressions, logs, metrics and sections."""

import json

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream

PLUGINS = '''
from collections.abc import Iterator
from typing import Any

from hookgate import Exchange, Interceptor, Loaded, Options, Problem, Response, Route, Section, Site, hookimpl


class Shown(Interceptor[Options]):
    """Shows the labels of the route and of the connection in headers."""

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        assert exchange.response is not None
        for name, owner in (("route", exchange.route), ("connection", exchange.connection)):
            if owner is not None:
                exchange.response.headers.set(f"x-{name}-labels", str(sorted(owner.labels.items())))
                exchange.response.headers.set(f"x-{name}-extensions", str(sorted(owner.extensions.items())))


class Short(Options):
    path: str
    """Where it is."""


class Shorts(Section[Short]):
    """Routes of its own, with labels; it warns of a team that nobody knows."""

    @hookimpl
    def routes(self, site: Site) -> Iterator[Route | None]:
        for item in self.items:
            yield site.route(
                {
                    "name": item.name,
                    "match": {"path": item.record.path},
                    "flow": ["shown", "respond"],
                    "labels": {"team": item.name},
                    "x-made-by": "shorts",
                },
                item.path,
            )

    @hookimpl
    def review(self, configuration: Loaded) -> Iterator[Problem]:
        for route in configuration.routes:
            if route.labels.get("team") == "nobody":
                yield Problem(route.path, "there is no such team")
'''


@pytest.fixture
def plugins(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "strangers.py").write_text(PLUGINS)
    return folder


@pytest.fixture(params=[True, False], ids=["lane", "hypercorn"])
def lane(request):
    return request.param


def document(backend, lane=True, *, observers=(), **route):
    return {
        "gateway": {"lane": lane, "observers": list(observers)},
        "management": {"apps": ["health", "prometheus"]},
        "routes": [
            {
                "name": "orders",
                "match": {"path": "/orders"},
                "flow": ["shown"],
                "to": {"connection": "crm"},
                "labels": {"team": "red", "cost.center": "a-1"},
                "x-owner": {"mail": ["ann@example.org"], "since": 2026},
                **route,
            },
            {"name": "bare", "match": {"path": "/bare"}, "flow": ["shown"], "to": {"connection": "crm"}},
        ],
        "connections": {
            "crm": {"targets": backend.url, "labels": {"team": "blue", "tier": "gold"}, "x-contract": 7},
        },
    }


def test_plugins_see_labels_and_what_stands_under_other_keys(plugins, lane):
    with upstream() as backend, running(document(backend, lane), plugins_dir=plugins) as gate:
        orders, bare = gate.request("GET", "/orders").headers, gate.request("GET", "/bare").headers

        assert gate.gateway.connection("crm").labels == {"team": "blue", "tier": "gold"}

    assert orders["x-route-labels"] == "[('cost.center', 'a-1'), ('team', 'red')]"
    assert orders["x-route-extensions"] == "[('x-owner', {'mail': ['ann@example.org'], 'since': 2026})]"
    assert orders["x-connection-labels"] == "[('team', 'blue'), ('tier', 'gold')]"
    assert orders["x-connection-extensions"] == "[('x-contract', 7)]"
    assert (bare["x-route-labels"], bare["x-route-extensions"]) == ("[]", "[]")


def test_expressions_read_them(plugins):
    red = {"respond": {"status": 403, "_": {"when": "route.labels.team == 'red' && route.labels.gone == null"}}}
    value = "route.labels['cost.center'] + '/' + connection.labels.tier + '/' + str(route.extensions['x-owner'].since)"
    with upstream() as backend:
        whole = document(backend)
        whole["connections"]["crm"]["headers"] = [{"set": "X-Cost", "from": {"expression": {"value": value}}}]
        with running(whole, plugins_dir=plugins) as gate:
            assert gate.request("GET", "/orders").status_code == 200
            gate.reload(document(backend, flow=[red]))
            assert gate.request("GET", "/orders").status_code == 403
            gate.reload(document(backend, flow=[red], labels={"team": "green"}))
            assert gate.request("GET", "/orders").status_code == 200

    assert backend.requests[0].header("x-cost") == "a-1/gold/2026"


def test_a_condition_of_a_route_is_asked_before_there_is_one(plugins):
    with upstream() as backend:
        with running(document(backend), plugins_dir=plugins) as gate:
            gate.reload(document(backend, match={"when": "route.labels.team == null"}))
            assert gate.request("GET", "/orders").status_code == 200


def test_logs_and_metrics_tell_calls_apart_by_them(plugins, tmp_path, lane):
    log = tmp_path / "access.log"
    observers = [
        {"access-log": {"output": str(log), "labels": ["team", "tier"]}},
        {"prometheus": {"labels": ["team", "cost.center"]}},
    ]
    with upstream() as backend, running(document(backend, lane, observers=observers), plugins_dir=plugins) as gate:
        for path in ("/orders", "/orders", "/bare", "/nowhere"):
            gate.request("GET", path)
        gate.wait_for_exchanges(4)
        text = httpx.get(f"{gate.management}/-/metrics").text

    lines = [json.loads(line)["labels"] for line in log.read_text().splitlines()]
    red, blue = {"team": "red", "tier": "gold"}, {"team": "blue", "tier": "gold"}
    assert lines == [red, red, blue, {"team": None, "tier": None}]
    name = "hookgate_requests_total"
    assert f'{name}{{route="orders",team="red",cost_center="a-1",method="GET",status="200"}} 2\n' in text
    assert f'{name}{{route="bare",team="blue",cost_center="",method="GET",status="200"}} 1\n' in text
    assert f'{name}{{route="",team="",cost_center="",method="GET",status="404"}} 1\n' in text
    assert 'hookgate_request_seconds_count{route="orders",team="red",cost_center="a-1"} 2\n' in text
    assert 'hookgate_response_bytes_total{route="orders",team="red",cost_center="a-1"} 4\n' in text


@pytest.mark.parametrize("labels", [["route"], ["le"], ["a.b", "a-b"], ["team", "team"], ["Team"]])
def test_labels_that_prometheus_cannot_tell_apart_are_refused(labels):
    with upstream() as backend, pytest.raises(ConfigError, match="labels"):
        with running(document(backend, flow=[], observers=[{"prometheus": {"labels": labels}}])):
            pass


def test_an_api_hands_them_down_and_what_is_nearer_wins(plugins):
    api = {
        "name": "shop",
        "base_path": "/shop",
        "flow": ["shown", "respond"],
        "labels": {"team": "red", "domain": "sales"},
        "x-owner": "ann",
        "x-slo": {"ms": 100},
        "resources": [
            {
                "path": "/items",
                "labels": {"team": "blue"},
                "x-owner": "ben",
                "operations": {
                    "GET": {"labels": {"tier": "gold"}},
                    "PUT": {"labels": {"team": "green"}, "x-owner": None},
                },
            },
            {"path": "/rest"},
        ],
    }
    with running({"apis": [api]}, plugins_dir=plugins) as gate:

        def shown(method, path):
            headers = gate.request(method, path).headers
            return headers["x-route-labels"], headers["x-route-extensions"]

        found = [shown("GET", "/shop/items"), shown("PUT", "/shop/items"), shown("GET", "/shop/rest")]

    assert found == [
        (
            "[('domain', 'sales'), ('team', 'blue'), ('tier', 'gold')]",
            "[('x-owner', 'ben'), ('x-slo', {'ms': 100})]",
        ),
        ("[('domain', 'sales'), ('team', 'green')]", "[('x-owner', None), ('x-slo', {'ms': 100})]"),
        ("[('domain', 'sales'), ('team', 'red')]", "[('x-owner', 'ann'), ('x-slo', {'ms': 100})]"),
    ]


def test_routes_of_a_section_have_them_and_sections_see_those_of_all(plugins):
    sections = {"shorts": {"mine": {"path": "/m"}, "nobody": {"path": "/n"}}}
    with running(sections, plugins_dir=plugins) as gate:
        headers = gate.request("GET", "/m").headers
        (warning,) = gate.gateway.status()["warnings"]

    assert headers["x-route-labels"] == "[('team', 'mine')]"
    assert headers["x-route-extensions"] == "[('x-made-by', 'shorts')]"
    assert warning == "document: shorts.nobody: there is no such team"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"labels": {"Team": "x"}}, r"labels.Team: 'Team' is no name of a label"),
        ({"labels": {"a" * 64: "x"}}, r"is no name of a label"),
        ({"labels": {"9a": "x"}}, r"is no name of a label"),
        ({"labels": {"team": "x" * 257}}, r"labels.team: .*at most 256"),
        ({"labels": {"team": 7}}, r"labels.team: should be a text; put it in quotes"),
        ({"labels": ["team"]}, r"labels: should be a mapping"),
        ({"labels": {f"l{number}": "x" for number in range(33)}}, r"labels: .*at most 32"),
        ({"y-owner": 1}, r"there is no option 'y-owner'"),
        ({"extensions": {"x-a": 1}}, r"there is no option 'extensions'"),
        ({"x-": 1}, r"there is no option 'x-'"),
    ],
)
@pytest.mark.parametrize("where", ["routes", "connections", "apis", "resources"])
def test_what_is_out_of_bounds_is_refused_at_its_place(said, words, where):
    route = {"name": "one", "flow": ["respond"]}
    api = {"name": "one", "flow": ["respond"], "resources": [{"path": "/a"}]}
    whole = {
        "routes": {"routes": [{**route, **said}]},
        "connections": {"routes": [route], "connections": {"crm": {"targets": "http://127.0.0.1:9", **said}}},
        "apis": {"apis": [{**api, **said}]},
        "resources": {"apis": [{**api, "resources": [{"path": "/a", **said}]}]},
    }[where]
    with pytest.raises(ConfigError, match=words) as refused, running(whole):
        pass
    assert len(refused.value.problems) == 1


def test_what_is_within_them_is_taken():
    labels = {f"l{number}.a-b_c": "x" * 256 for number in range(31)} | {"a" * 63: ""}
    with running({"routes": [{"name": "one", "flow": ["respond"], "labels": labels}]}) as gate:
        gate.request("GET", "/")
        (exchange,) = gate.wait_for_exchanges(1)

    assert exchange.route.labels == labels
