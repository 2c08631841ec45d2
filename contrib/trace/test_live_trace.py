"""Traces of live calls: which are traced, what a trace says, and what it never shows (FL-32, FL-22, U2)."""

import json
import time

import pytest

from hookgate import ConfigError
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.gateway.configuration import load
from hookgate.testing import running, upstream
from hookgate_simulation import Call, simulate
from hookgate_simulation.mocks import Mock

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
TOKEN = "only-for-tests"

PLUGINS = '''
from hookgate import Forbidden, Interceptor, Options, Response, hookimpl


class Enrich(Interceptor[Options]):
    """Adds a header and writes a line."""

    @hookimpl
    def on_request(self, exchange):
        exchange.note("enriching")
        exchange.facts["kind"] = "order"
        exchange.request.headers.set("x-kind", "order")

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("x-seen", "yes")


class Upper(Interceptor[Options]):
    """Changes the body."""

    reads = {"request.body"}

    @hookimpl
    def on_request(self, exchange):
        exchange.request.body.set(exchange.request.body.data.upper())


class Hide(Interceptor[Options]):
    """Asks late that some things are not shown."""

    @hookimpl
    def on_request(self, exchange):
        exchange.hide("request.headers.X-Card", "request.query.pin", "request.body.CARD.NUMBER")
        exchange.hide("response.headers.x-id")


class Refuse(Interceptor[Options]):
    """Refuses."""

    @hookimpl
    def on_request(self, exchange):
        raise Forbidden("no", reason="not-today")


class Rescue(Interceptor[Options]):
    """Answers faults."""

    @hookimpl
    def on_fault(self, exchange):
        return Response.text("rescued", status=299)


class Visit(Interceptor[Options]):
    """Calls others."""

    @hookimpl
    async def on_request(self, exchange):
        await exchange.visit("GET", "/inner")
'''


@pytest.fixture
def plugins(tmp_path):
    (tmp_path / "steps.py").write_text(PLUGINS)
    return tmp_path


def document(backend, *flow, lane=True, trace=None, **sections):
    return {
        "gateway": {"lane": lane},
        "trace": {"token": TOKEN} if trace is None else trace,
        "routes": [
            {"name": "inner", "match": {"path": "/inner"}, "flow": [{"respond": {"body": "inner"}}]},
            {"name": "orders", "match": {"path": "/orders/{id}"}, "flow": list(flow), "to": {"connection": "crm"}},
        ],
        "connections": {"crm": {"targets": backend.url}},
        **sections,
    }


def traces(gate, count):
    return [e.trace.as_dict() if e.trace is not None else None for e in gate.wait_for_exchanges(count)]


def ask(gate, path="/orders/7", method="GET", token=TOKEN, headers=(), **more):
    return gate.request(method, path, headers={"X-Hookgate-Trace": token, **dict(headers)}, **more)


@BOTH
@pytest.mark.row("FL-32")
def test_a_trace_tells_each_hook_in_execution_order_with_the_difference_it_made(lane, plugins):
    with upstream(lambda request: (200, {"x-id": "9"}, "fine")) as backend:
        with running(document(backend, "enrich", "upper", lane=lane), plugins_dir=plugins) as gate:
            answer = ask(gate, method="POST", content=b"body", headers={"Authorization": "Bearer s3cret"})
            (trace,) = traces(gate, 1)

    hooks = [(run["phase"], run["plugin"], run["decision"]) for run in trace["hooks"]]
    assert hooks == [("request", "enrich", "passed"), ("request", "upper", "passed"), ("response", "enrich", "passed")]
    assert trace["hooks"][0]["changes"] == [{"what": "request.headers.x-kind", "before": None, "after": "order"}]
    assert trace["hooks"][1]["changes"] == [
        {"what": "request.body", "before": "4 bytes: body", "after": "4 bytes: BODY"}
    ]
    assert [run["at"] for run in trace["hooks"]] == sorted(run["at"] for run in trace["hooks"])
    assert trace["route"]["name"] == "orders"
    assert trace["params"] == {"id": "7"}
    assert [note["text"] for note in trace["notes"]] == ["enriching"]
    assert trace["facts"] == {"kind": "order"}
    (attempt,) = trace["attempts"]
    assert (attempt["target"], attempt["outcome"], attempt["status"]) == (backend.url, "ok", 200)
    assert (trace["response"]["status"], trace["response"]["bytes"]) == (200, 4)
    assert (trace["reason"], answer.headers["x-hookgate-trace-id"]) == ("header", trace["id"])
    assert ["authorization", "********"] in [list(field) for field in trace["request"]["headers"]]
    assert backend.requests[0].header("x-hookgate-trace") is None
    json.dumps(trace)


@BOTH
def test_only_the_right_token_traces_and_no_token_reaches_the_backend(lane, plugins):
    with upstream() as backend:
        with running(document(backend, "enrich", lane=lane), plugins_dir=plugins) as gate:
            answers = [ask(gate, token="something-else"), gate.request("GET", "/orders/7"), ask(gate)]
            found = traces(gate, 3)

    assert [trace is not None for trace in found] == [False, False, True]
    assert ["x-hookgate-trace-id" in answer.headers for answer in answers] == [False, False, True]
    assert [request.header("x-hookgate-trace") for request in backend.requests] == [None] * 3


@BOTH
@pytest.mark.row("FL-22")
def test_what_a_step_hides_is_shown_nowhere_in_the_trace_not_even_before(lane, plugins):
    body = b'{"card": {"number": "4111111111111111", "name": "ann"}}'
    with upstream(lambda request: (200, {"x-id": "secret-id"}, "fine")) as backend:
        described = document(backend, "enrich", "upper", "hide", lane=lane)
        with running(described, plugins_dir=plugins) as gate:
            ask(gate, "/orders/7?pin=secret-pin&size=1", "POST", content=body, headers={"X-Card": "4222222222222"})
            (trace,) = traces(gate, 1)
            assert backend.requests[0].header("x-card") == "4222222222222"

    told = json.dumps(trace)
    for hidden in ("41111111", "4222222", "secret-pin", "secret-id"):
        assert hidden not in told
    assert "size=1" in told
    assert trace["hooks"][1]["changes"][0]["before"].startswith("55 bytes")


@BOTH
def test_faults_short_cuts_visits_and_missing_routes_are_told(lane, plugins):
    with upstream() as backend:
        described = document(backend, "rescue", "visit", "refuse", lane=lane)
        with running(described, plugins_dir=plugins) as gate:
            assert ask(gate).status_code == 299
            ask(gate, "/nowhere")
            inner, refused, absent = traces(gate, 3)

    decisions = [(run["plugin"], run["hook"], run["decision"]) for run in refused["hooks"]]
    assert ("refuse", "on_request", "raised not-today") in decisions
    assert ("rescue", "on_fault", "answered 299") in decisions
    assert refused["fault"] == {"status": 403, "reason": "not-today"}
    assert refused["answered_by"] == "routes.orders/rescue"
    assert refused["attempts"] == []
    (callout,) = refused["callouts"]
    assert (callout["connection"], callout["url"], callout["status"]) == ("(gateway)", "/inner", 200)
    assert [run["callouts"] for run in refused["hooks"] if run["plugin"] == "visit"] == [1]
    assert inner is None  # nobody asked for a trace of it
    assert (absent["route"], absent["response"]["status"]) == (None, 404)


def test_rules_and_samples_trace_within_the_rate(plugins):
    trace = {
        "rules": [{"name": "big-orders", "when": "request.path == '/orders/9'"}],
        "per_second": 3,
    }
    with upstream() as backend:
        with running(document(backend, "enrich", trace=trace), plugins_dir=plugins) as gate:
            for number in (1, 9, 2):
                gate.request("GET", f"/orders/{number}")
            found = traces(gate, 3)
            began = time.monotonic()
            for _ in range(20):
                gate.request("GET", "/orders/9")
            most = 3 + 3 * (time.monotonic() - began) + 1
            traced = [trace for trace in traces(gate, 23) if trace is not None]
        with running(document(backend, "enrich", trace={"sample": 1.0}), plugins_dir=plugins) as gate:
            gate.request("GET", "/orders/1")
            (sampled,) = traces(gate, 1)

    assert [trace["reason"] if trace else None for trace in found] == [None, "big-orders", None]
    assert 3 <= len(traced) <= most
    assert sampled["reason"] == "sample"


def test_the_origin_of_a_step_is_told(plugins):
    with upstream() as backend:
        described = document(backend, "enrich")
        described["apis"] = [
            {
                "name": "shop",
                "base_path": "/shop",
                "to": {"connection": "crm"},
                "flow": ["enrich"],
                "resources": [{"path": "/items", "flow": ["upper"], "operations": {"POST": None}}],
            }
        ]
        with running(described, plugins_dir=plugins) as gate:
            ask(gate, "/shop/items", "POST", content=b"x")
            (trace,) = traces(gate, 1)

    assert [(run["plugin"], run["origin"]) for run in trace["hooks"][:2]] == [
        ("enrich", "shop"),
        ("upper", "shop /items"),
    ]
    assert trace["api"] == {"name": "shop", "version": "", "resource": "/items", "operation": "POST"}


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        ({"token": "short"}, "8 characters"),
        ({"rules": [{"name": "a", "when": "request.body == 'x'"}]}, "before a body is read"),
        ({"sample": 2}, "trace.sample"),
    ],
)
def test_nonsense_is_refused(trace, words, plugins):
    with upstream() as backend:
        with pytest.raises(ConfigError, match=words):
            with running(document(backend, trace=trace), plugins_dir=plugins):
                pass


async def test_traces_in_the_section_gateway_are_refused_with_what_to_write():
    text = "gateway:\n  lane: true\n  trace: {sample: 0.5}\n"
    with pytest.raises(ConfigError) as refused:
        await load(parse(text.encode(), "gateway.yaml"), Catalogue())

    (problem,) = refused.value.problems
    told = "gateway.trace: trace is a section of its own now: write it at the top level"
    assert str(problem) == f"gateway.yaml:3:3: {told}"


async def test_the_live_and_the_simulated_trace_of_a_call_are_the_same(plugins):
    """But for clock, ids and durations: the same engine made both."""
    flow = ["rescue", "enrich", "upper"]
    with upstream(lambda request: (200, {"content-type": "text/plain"}, "fine")) as backend:
        described = document(backend, *flow)
        async with running(described, plugins_dir=plugins) as gate:
            live = gate.request("POST", "/orders/7", content=b"body", headers={"X-Hookgate-Trace": TOKEN})
            (exchange,) = gate.wait_for_exchanges(1)
            told = exchange.trace.as_dict()["hooks"]
        config = await load(described, Catalogue(plugins))
        headers = (("host", "x"),)
        mocks = [Mock(response={"headers": {"content-type": "text/plain"}, "body": "fine"})]
        result = await simulate(config, Call("POST", "/orders/7", headers=headers, body=b"body"), mocks)

    def comparable(run):
        return {key: run[key] for key in ("phase", "hook", "step", "plugin", "depth", "decision", "changes", "origin")}

    simulated = [comparable(run) for run in result.as_dict()["hooks"]]
    assert live.status_code == 200
    assert [comparable(run) for run in told] == simulated
