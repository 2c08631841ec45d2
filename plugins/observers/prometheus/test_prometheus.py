import asyncio
import re
from types import SimpleNamespace

import httpx
import pytest
from quart import Quart

from hookgate import Attempt, ConfigError, Exchange, Outcome, Request, Response, Target
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_observer_prometheus import Prometheus, PrometheusApp

PAIR = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"([a-z_]+)(?:\{{({PAIR}(?:,{PAIR})*)\}})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|\+Inf|-Inf|NaN)")
LABEL = re.compile(r'([a-zA-Z0-9_]+)="((?:[^"\\\n]|\\["\\n])*)"')
HTTP = "http://crm"


def parsed(text):
    """Read the text format strictly: what each metric is, and its samples by name and labels."""
    kinds, samples, about = {}, {}, set()
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            about.add(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            unescaped = {
                label: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)
                for label, text in LABEL.findall(labels or "")
            }
            key = (name, *unescaped.values())
            assert key not in samples, f"{line} is there twice"
            assert name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") in kinds
            samples[key] = float(value)
    assert kinds.keys() == about
    assert text.endswith("\n")
    return samples


class House:
    """A host with connections, as observers see it."""

    def __init__(self, **connections):
        self.connections = connections

    def status(self):
        return {
            "generation": 3,
            "in_flight": 2,
            "connections": {
                name: [{"url": t.url, "health": "healthy" if t.health.healthy else "unhealthy"} for t in targets]
                for name, targets in self.connections.items()
            },
        }

    def connection(self, name):
        return SimpleNamespace(targets=self.connections[name])

    clock = MovableClock(wall=1000.0)


def call(route="orders", method="GET", status=200, seconds=0.02, attempts=(), sent=0):
    exchange = Exchange(Request(method), started=100.0)
    exchange.route = None if route is None else SimpleNamespace(name=route)
    exchange.response = None if status is None else Response(status)
    exchange.finished = 100.0 + seconds
    exchange.attempts = [Attempt(target, outcome) for target, outcome in attempts]
    exchange.bytes_sent = sent
    return exchange


def counted(*exchanges, host=None, **options):
    observer = build(Prometheus, **options)
    if host is not None:
        observer.generation_loaded(host)
    for exchange in exchanges:
        observer.exchange_finished(exchange)
    return parsed(observer.render())


def only(samples, name):
    return {labels: value for (found, *labels), value in samples.items() if found == name for labels in [tuple(labels)]}


def test_calls_are_counted_by_route_method_and_status():
    samples = counted(call(), call(), call(status=404), call(method="POST"), call(route=None, status=405))

    assert only(samples, "hookgate_requests_total") == {
        ("orders", "GET", "200"): 2,
        ("orders", "GET", "404"): 1,
        ("orders", "POST", "200"): 1,
        ("", "GET", "405"): 1,
    }


def test_a_call_whose_client_was_gone_first_has_no_status():
    assert only(counted(call(status=None)), "hookgate_requests_total") == {("orders", "GET", "none"): 1}


def test_methods_that_clients_invent_are_counted_together():
    samples = counted(*(call(method=f"M{number}") for number in range(50)), call(method="get"))

    assert only(samples, "hookgate_requests_total") == {("orders", "other", "200"): 51}


def test_series_are_bounded_and_nothing_is_lost():
    strangers = [Target("http", f"t{number}", 80) for number in range(30)]
    calls = [call(route=f"r{n}", attempts=[(strangers[n], Outcome("ok", 200))], sent=1) for n in range(30)]
    samples = counted(*calls, *calls, max_series=10)

    requests = only(samples, "hookgate_requests_total")
    assert len(requests) == 11
    assert requests["other", "other", "other"] == 40
    assert requests["r0", "GET", "200"] == 2
    assert len(only(samples, "hookgate_request_seconds_count")) == 11
    assert samples["hookgate_request_seconds_count", "other"] == 40
    assert sum(only(samples, "hookgate_response_bytes_total").values()) == 60
    assert len(only(samples, "hookgate_upstream_attempts_total")) == 11 * 5
    assert samples["hookgate_upstream_attempts_total", "other", "other", "ok"] == 40


def test_a_route_named_other_does_not_show_twice():
    samples = counted(call(route="a"), call(route="other"), call(route="b"), max_series=1)

    assert sum(only(samples, "hookgate_requests_total").values()) == 3
    assert sum(only(samples, "hookgate_request_seconds_count").values()) == 3


def test_times_fall_into_buckets_whose_bounds_belong_to_them():
    seconds = [0.0, 0.125, 0.25, 0.375, 1.0, 4.0]
    samples = counted(*(call(seconds=value) for value in seconds), buckets=[0.125, 0.25, 1])

    assert only(samples, "hookgate_request_seconds_bucket") == {
        ("orders", "0.125"): 2,
        ("orders", "0.25"): 3,
        ("orders", "1.0"): 5,
        ("orders", "+Inf"): 6,
    }
    assert samples["hookgate_request_seconds_sum", "orders"] == sum(seconds)
    assert samples["hookgate_request_seconds_count", "orders"] == 6


def test_bytes_are_summed_up_by_route():
    samples = counted(call(sent=10), call(sent=32), call(route=None, sent=5))

    assert only(samples, "hookgate_response_bytes_total") == {("orders",): 42, ("",): 5}


def test_attempts_are_counted_by_target_and_errors_by_where_they_arose():
    one, two, bank = Target("http", "one", 80), Target("http", "two", 80), Target("http", "bank", 80)
    host = House(crm=[one, two], bank=[bank])
    samples = counted(
        call(status=502, attempts=[(one, Outcome("connect-failed")), (two, Outcome("timeout"))]),
        call(status=503, attempts=[(two, Outcome("ok", 503))]),
        call(status=200, attempts=[(one, Outcome("connect-failed")), (two, Outcome("ok", 200))]),
        call(status=500),  # made here
        call(status=200, attempts=[(bank, Outcome("ok", 500))]),  # a step has made something better of it
        call(status=None, attempts=[(bank, Outcome("aborted", 200)), (bank, None), (bank, Outcome("broken", 200))]),
        host=host,
    )

    attempts = only(samples, "hookgate_upstream_attempts_total")
    assert {labels: count for labels, count in attempts.items() if count} == {
        ("crm", "http://one", "connect-failed"): 2,
        ("crm", "http://two", "timeout"): 1,
        ("crm", "http://two", "ok"): 2,
        ("bank", "http://bank", "ok"): 1,
        ("bank", "http://bank", "aborted"): 2,
        ("bank", "http://bank", "broken"): 1,
    }
    assert len(attempts) == 15  # what has not happened yet shows as 0
    assert samples["hookgate_northbound_errors_total",] == 3
    assert only(samples, "hookgate_southbound_errors_total") == {("crm",): 1, ("bank",): 1}
    assert only(samples, "hookgate_network_issues_total") == {("crm",): 3, ("bank",): 0}


def test_the_same_address_in_two_connections_is_told_apart():
    mine, yours = Target("http", "crm", 80), Target("http", "crm", 80)
    calls = [call(attempts=[(yours, Outcome("ok", 200))])]
    samples = counted(*calls, host=House(mine=[mine], yours=[yours]))

    assert samples["hookgate_upstream_attempts_total", "mine", HTTP, "ok"] == 0
    assert samples["hookgate_upstream_attempts_total", "yours", HTTP, "ok"] == 1


def test_counts_go_on_over_a_reload_and_calls_of_the_generation_before_find_their_connection():
    old, new = Target("http", "crm", 80), Target("http", "crm", 80)
    observer = build(Prometheus)
    observer.generation_loaded(House(crm=[old]))
    observer.exchange_finished(call(attempts=[(old, Outcome("ok", 200))]))
    observer.generation_loaded(House(crm=[new]))
    for target in (new, old):
        observer.exchange_finished(call(attempts=[(target, Outcome("ok", 200))]))
    samples = parsed(observer.render())

    assert samples["hookgate_upstream_attempts_total", "crm", HTTP, "ok"] == 3
    assert samples["hookgate_requests_total", "orders", "GET", "200"] == 3


def test_targets_of_long_ago_are_forgotten():
    observer = build(Prometheus)
    for _ in range(20):
        observer.generation_loaded(House(crm=[Target("http", "crm", 80) for _ in range(10)]))

    assert len(observer._targets) == 20


def test_the_state_of_the_house_shows():
    ill, twin = Target("http", "ill", 80), Target("http", "ill", 80)
    ill.health = SimpleNamespace(healthy=False)
    samples = counted(host=House(crm=[Target("http", "crm", 80), ill, twin]))

    assert only(samples, "hookgate_target_healthy") == {("crm", HTTP): 1, ("crm", "http://ill"): 0}
    assert samples["hookgate_generation",] == 3
    assert samples["hookgate_requests_in_flight",] == 2


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "line\nfeed", "\\n", "ü €", ""])
def test_whatever_a_route_is_named_is_escaped(name):
    assert only(counted(call(route=name)), "hookgate_requests_total") == {(name, "GET", "200"): 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"buckets": []}, "buckets"),
        ({"buckets": [1, 0.5]}, "buckets: each bound must be above"),
        ({"buckets": [1, 1]}, "buckets: each bound must be above"),
        ({"buckets": [0, 1]}, "buckets"),
        ({"buckets": [1, float("inf")]}, "buckets"),
        ({"max_series": 0}, "max_series"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Prometheus, **options)


async def scraped(*observers):
    app = Quart(__name__)
    host = SimpleNamespace(find=lambda of: [each for each in observers if isinstance(each, of)])
    app.register_blueprint(build(PrometheusApp).blueprint(host), url_prefix="/-")
    response = await app.test_client().get("/-/metrics")
    return response.status_code, await response.get_data(as_text=True)


def test_a_page_is_made_in_small_pieces_that_give_the_whole():
    observer = build(Prometheus)
    for number in range(1000):
        for status in (200, 201, 404, 500, 502):
            observer.exchange_finished(call(route=f"route {number}", status=status))
    pieces = list(observer.pieces())

    assert max(piece.count("\n") for piece in pieces) <= 400
    assert "".join(pieces) == observer.render()
    assert len(only(parsed("".join(pieces)), "hookgate_requests_total")) == 5000


async def test_calls_have_their_turn_while_a_page_is_made():
    observer = build(Prometheus)
    observer.generation_loaded(House())
    for number in range(2000):
        observer.exchange_finished(call(route=f"route {number}"))
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            observer.exchange_finished(call(route=f"new {turns}"))
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    text = (await scraped(observer))[1]
    counting.cancel()

    assert turns > 5
    assert len(only(parsed(text), "hookgate_requests_total")) >= 2000


def document(backend, **connection):
    return {
        "gateway": {"observers": ["prometheus"]},
        "management": {"apps": ["health", "prometheus"]},
        "routes": [{"name": "orders", "match": {"path": "/orders/{rest...}"}, "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": backend.url, **connection}},
    }


def scrape(gate):
    answer = httpx.get(f"{gate.management}/-/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    return parsed(answer.text)


def test_a_gateway_shows_what_happened_on_its_management_listener():
    with upstream() as backend, running(document(backend)) as gate:
        for path in ("/orders/1", "/orders/2", "/nowhere"):
            gate.request("GET", path)
        gate.wait_for_exchanges(3)
        samples = scrape(gate)
        gate.reload(document(backend, max_tries=2))
        gate.request("GET", "/orders/3")
        gate.wait_for_exchanges(4)
        later = scrape(gate)
        assert gate.request("GET", "/-/metrics").status_code == 404  # the public port has no such page

    requests = only(samples, "hookgate_requests_total")
    assert requests == {("orders", "GET", "200"): 2, ("", "GET", "404"): 1}
    assert samples["hookgate_response_bytes_total", "orders"] == len("ok") * 2
    assert samples["hookgate_upstream_attempts_total", "crm", backend.url, "ok"] == 2
    assert samples["hookgate_target_healthy", "crm", backend.url] == 1
    assert (samples["hookgate_generation",], later["hookgate_generation",]) == (1, 2)
    assert samples["hookgate_requests_in_flight",] == 0
    assert later["hookgate_requests_total", "orders", "GET", "200"] == 3
    assert later["hookgate_upstream_attempts_total", "crm", backend.url, "ok"] == 3


@pytest.mark.row("HC-20")
def test_errors_are_counted_by_where_they_arose():
    """Three time-outs and two answers of 502 from one backend."""

    async def answer(request):
        if request.path == "/orders/late":
            await asyncio.sleep(30)
        return 502, {}, "broken"

    with upstream(answer) as backend, running(document(backend, timeouts={"read": 0.1})) as gate:
        late = [gate.request("GET", "/orders/late").status_code for _ in range(3)]
        broken = [gate.request("GET", "/orders/broken").status_code for _ in range(2)]
        gate.wait_for_exchanges(5)
        samples = scrape(gate)

    assert (late, broken) == ([504] * 3, [502] * 2)
    assert only(samples, "hookgate_network_issues_total") == {("crm",): 3}
    assert only(samples, "hookgate_southbound_errors_total") == {("crm",): 2}
    assert samples["hookgate_northbound_errors_total",] == 5


def test_the_page_says_what_to_do_where_the_observer_is_missing():
    with upstream() as backend, running(document(backend) | {"gateway": {}}) as gate:
        answer = httpx.get(f"{gate.management}/-/metrics")

    assert answer.status_code == 503
    assert "add prometheus to gateway.observers" in answer.text
