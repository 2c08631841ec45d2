"""What plugins show of themselves: metrics at a scrape, facts and problems on `/-/health`."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest

from hookgate import MASK, ConfigError
from hookgate.testing import running

PLUGINS = '''
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from hookgate import Counter, Exchange, Gauge, Histogram, Host, Interceptor, Observer, Options, Response, hookimpl


class Meter(Interceptor[Options]):
    """Counts calls by a header, and shows how many it holds."""

    counter: Counter
    sizes: Histogram

    @hookimpl
    def startup(self, host: Host) -> None:
        self.counter = host.metrics.counter("meter_calls_total", "Calls by kind.", ["kind"], most=3)
        self.sizes = host.metrics.histogram("meter_bytes", "Size\\nof \\\\ heads.", ["kind"], bounds=[1, 9])
        level: Gauge = host.metrics.gauge("meter_level", "Level.")
        level.set(4)
        level.add(-0.5)
        host.metrics.gauge("meter_kinds", "Read.", ["of"], read=lambda: {("a",): 1, ("b",): 2})

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        kind = exchange.request.headers.get("x-kind", "plain")
        self.counter.add(1, kind)
        self.sizes.observe(len(kind), "n")
        return Response.text("hello")


class Twin(Interceptor[Options]):
    """Another plugin, with a metric of the same name."""

    @hookimpl
    def startup(self, host: Host) -> None:
        host.metrics.counter("meter_calls_total", "Mine.", ["kind"])

    @hookimpl
    def on_request(self, exchange: Exchange) -> None: ...


class OtherwiseOptions(Options):
    label: str = "kind"
    name: str = "otherwise_total"
    kind: str = "counter"


class Otherwise(Interceptor[OtherwiseOptions]):
    """Registers as its options say."""

    @hookimpl
    def startup(self, host: Host) -> None:
        register = getattr(host.metrics, self.options.kind)
        self.metric = register(self.options.name, "X.", [self.options.label] if self.options.label else [])

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        if self.options.kind == "counter":
            self.metric.add(1, "x")


class Wrong(Interceptor[Options]):
    """Counts with what the caller says: too few labels, or a number that is none."""

    @hookimpl
    def startup(self, host: Host) -> None:
        self.counter = host.metrics.counter("wrong_total", "X.", ["one"])
        self.gauge = host.metrics.gauge("wrong", "X.")
        self.histogram = host.metrics.histogram("wrong_sizes", "X.", ["one"])

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        how = exchange.request.query
        if how == "few":
            self.counter.add()
        elif how == "many":
            self.histogram.observe(1, "a", "b")
        elif how == "down":
            self.counter.add(-1, "a")
        elif how == "text":
            self.gauge.set("7")  # type: ignore[arg-type]
        elif how == "nan":
            self.histogram.observe(float("nan"), "a")
        return Response.text("ok")


class Unreadable(Interceptor[Options]):
    """Has a metric that cannot be read while a file is there."""

    @hookimpl
    def startup(self, host: Host) -> None:
        host.metrics.gauge("unreadable", "X.", read=self.read)

    def read(self) -> float:
        if os.path.exists(os.environ["TROUBLE"]):
            raise OSError("the disk is gone")
        return 7

    @hookimpl
    def on_request(self, exchange: Exchange) -> None: ...


class TellsOptions(Options):
    what: str = "fine"
    secret: str = ""


class Tells(Observer[TellsOptions]):
    """Tells what its options say."""

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None: ...

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        tokens = {"token": self.options.secret, "again": ["x" + self.options.secret], self.options.secret: 1}
        known: dict[str, Mapping[str, Any] | None] = {
            "fine": {"entries": 7},
            "nothing": None,
            "ill": {"entries": 7, "problems": ["the backlog is long"]},
            "secret": {**tokens, "number": 12345678, "problems": [f"cannot reach {self.options.secret}"]},
            "list": ["a"],  # type: ignore[dict-item]
            "object": {"self": self},
            "nan": {"n": float("nan")},
            "keys": {1: "a", "b": "c"},  # type: ignore[dict-item]
            "words": {"problems": "all is lost"},
            "big": {"all": "x" * 70_000, "problems": ["it grows"]},
            "many": {"problems": ["x" * 5000] * 500},
        }
        if self.options.what == "raises":
            raise RuntimeError("s3cret-and-long")
        if self.options.what == "exits":
            raise SystemExit(3)
        return known[self.options.what]
'''


@pytest.fixture
def plugins(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "strangers.py").write_text(PLUGINS)
    return folder


def document(*flow, observers=("prometheus",), **more):
    respond = {"respond": {"body": "hello"}}
    return {
        "gateway": {"observers": list(observers)},
        "management": {"apps": ["health", "prometheus"]},
        "routes": [{"name": "all", "flow": [*flow, respond]}],
        **more,
    }


NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
PAIR = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
LINE = re.compile(rf"({NAME})(?:\{{((?:{PAIR},?)+)\}})? (\S+)")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|\+Inf|-Inf|NaN")


def read(text):
    """Read a page by the text format 0.0.4, strictly; return kinds and values by name and labels."""
    kinds, samples, current, seen = {}, {}, None, set()
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if match := re.fullmatch(rf"# HELP ({NAME}) ((?:[^\\\n]|\\\\|\\n)*)", line):
            current = match[1]
            assert current not in seen, f"{current} is there twice"
            seen.add(current)
        elif match := re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line):
            assert match[1] == current, line
            kinds[current] = match[2]
        else:
            match = LINE.fullmatch(line)
            assert match, line
            assert NUMBER.fullmatch(match[5]), line
            suffixes = ("_bucket", "_sum", "_count") if kinds[current] == "histogram" else ("",)
            assert match[1] in [current + suffix for suffix in suffixes], line
            labels = tuple(re.findall(PAIR, match[2] or ""))
            assert len({name for name, _ in labels}) == len(labels), line
            assert (match[1], labels) not in samples, f"{line} is there twice"
            samples[match[1], labels] = float(match[5])
    for name in [name for name, kind in kinds.items() if kind == "histogram"]:
        _check_histogram(name, samples)
    return kinds, samples


def _check_histogram(name, samples):
    series = {}
    for (line, labels), value in samples.items():
        if line == f"{name}_bucket":
            *own, (le, bound) = labels
            assert le == "le"
            series.setdefault(tuple(own), []).append((float(bound.replace("Inf", "inf")), value))
    for own, buckets in series.items():
        assert buckets == sorted(buckets), "bounds and counts rise"
        assert [count for _, count in buckets] == sorted(count for _, count in buckets)
        assert buckets[-1] == (float("inf"), samples[f"{name}_count", own])
        assert (f"{name}_sum", own) in samples


def scrape(gate):
    answer = httpx.get(f"{gate.management}/-/metrics")
    assert answer.status_code == 200
    return read(answer.text)


def health(gate):
    answer = httpx.get(f"{gate.management}/-/health")
    assert answer.status_code == 200
    return answer.json()


def of(samples, name):
    return {tuple(value for _, value in labels): number for (found, labels), number in samples.items() if found == name}


# --- metrics -------------------------------------------------------------------------------------------------------


def test_metrics_of_a_stranger_are_on_the_page_by_the_text_format(plugins):
    with running(document("meter"), plugins_dir=plugins) as gate:
        for kind in ("a", 'b "quoted\\', "a"):
            gate.request("GET", "/", headers={"x-kind": kind})
        gate.wait_for_exchanges(3)
        kinds, samples = scrape(gate)
        text = httpx.get(f"{gate.management}/-/metrics").text

    assert {name: kinds[name] for name in kinds if "meter" in name} == {
        "hookgate_meter_bytes": "histogram",
        "hookgate_meter_calls_total": "counter",
        "hookgate_meter_kinds": "gauge",
        "hookgate_meter_level": "gauge",
    }
    assert of(samples, "hookgate_meter_calls_total") == {("a",): 2, (r"b \"quoted\\",): 1}
    assert of(samples, "hookgate_meter_bytes_bucket") == {("n", "1.0"): 2, ("n", "9.0"): 2, ("n", "+Inf"): 3}
    assert of(samples, "hookgate_meter_bytes_sum") == {("n",): 2 + len('b "quoted\\')}
    assert of(samples, "hookgate_meter_level") == {(): 3.5}
    assert of(samples, "hookgate_meter_kinds") == {("a",): 1, ("b",): 2}
    assert "# HELP hookgate_meter_bytes Size\\nof \\\\ heads.\n" in text


def test_a_label_for_each_client_is_bounded_and_named_and_everything_else_is_exact(plugins):
    with running(document("meter"), plugins_dir=plugins) as gate:
        before = health(gate)
        for number in range(10):
            assert gate.request("GET", "/", headers={"x-kind": f"client {number}"}).status_code == 200
        gate.request("GET", "/", headers={"x-kind": "client 0"})
        gate.wait_for_exchanges(11)
        _, samples = scrape(gate)
        after = health(gate)
        ready = httpx.get(f"{gate.management}/-/ready").status_code

    assert before["status"] == "ok"
    assert of(samples, "hookgate_meter_calls_total") == {
        ("client 0",): 2,
        ("client 1",): 1,
        ("client 2",): 1,
        ("(other)",): 7,
    }
    assert of(samples, "hookgate_meter_bytes_count") == {("n",): 11}
    assert of(samples, "hookgate_requests_total") == {("all", "GET", "200"): 11}
    assert (after["status"], ready) == ("degraded", 200)
    (problem,) = after["problems"]
    assert problem.startswith("routes.all/meter: the metric hookgate_meter_calls_total of Meter has more than 3 series")


def test_two_plugins_with_one_metric_are_refused_and_both_are_named(plugins):
    with running(document("meter"), plugins_dir=plugins) as gate:
        with pytest.raises(ConfigError) as refused:
            gate.reload(document("meter", "twin"))
        gate.request("GET", "/", headers={"x-kind": "a"})
        gate.wait_for_exchanges(1)
        _, samples = scrape(gate)

        assert "routes.all/twin" in str(refused.value)
        assert "hookgate_meter_calls_total of Twin is one of Meter already" in str(refused.value)
        assert of(samples, "hookgate_meter_calls_total") == {("a",): 1}

        gate.reload(document("twin"))  # the other one goes


def test_the_same_metric_registered_in_two_ways_is_refused(plugins):
    first, second = {"otherwise": {"label": "a"}}, {"otherwise": {"label": "b"}}
    with pytest.raises(ConfigError, match="Otherwise registers the metric hookgate_otherwise_total twice"):
        with running(document(first, second), plugins_dir=plugins):
            pass


def test_numbers_go_on_over_a_reload_and_a_reload_may_change_a_metric(plugins):
    first, second = {"otherwise": {"label": "a"}}, {"otherwise": {"label": "b"}}
    with running(document(first), plugins_dir=plugins) as gate:
        gate.request("GET", "/")
        gate.wait_for_exchanges(1)
        gate.reload(document(first, "request-id"))
        gate.request("GET", "/")
        gate.wait_for_exchanges(2)
        kept = scrape(gate)[1]
        with pytest.raises(ConfigError):
            gate.reload(document(second, "twin", "meter"))
        refused = scrape(gate)[1]
        gate.reload(document(second))
        gate.request("GET", "/")
        gate.wait_for_exchanges(3)
        changed = scrape(gate)[1]

    assert kept["hookgate_otherwise_total", (("a", "x"),)] == 2
    assert refused["hookgate_otherwise_total", (("a", "x"),)] == 2
    assert changed["hookgate_otherwise_total", (("b", "x"),)] == 1
    assert ("hookgate_otherwise_total", (("a", "x"),)) not in changed


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"name": "calls"}, "ends in _total"),
        ({"name": "Calls_total"}, "is no name of a metric"),
        ({"name": "hookgate_calls_total"}, "without hookgate_"),
        ({"label": "le"}, "is no label"),
        ({"label": "a-b"}, "is no label"),
        ({"label": "__a"}, "is no label"),
        ({"name": "requests_total"}, "one of"),
        ({"kind": "gauge", "name": "request_seconds_count"}, r"is one of Prometheus already"),
        ({"kind": "gauge", "name": "meter_bytes_count"}, r"is one of Meter already \(hookgate_meter_bytes\)"),
    ],
)
def test_names_that_would_break_the_page_are_refused(plugins, options, why):
    with pytest.raises(ConfigError, match=why), running(document("meter", {"otherwise": options}), plugins_dir=plugins):
        pass


@pytest.mark.parametrize("how", ["few", "many", "down", "text", "nan"])
def test_what_cannot_be_counted_is_an_error_of_the_plugin_and_named(plugins, how):
    with running(document("wrong"), plugins_dir=plugins) as gate:
        assert gate.request("GET", f"/?{how}").status_code == 500
        assert gate.request("GET", "/").status_code == 200
        scrape(gate)

    assert any("routes.all/wrong" in record.getMessage() for record in gate.log)


def test_a_metric_that_cannot_be_read_is_named_and_the_rest_of_the_page_is_there(plugins, monkeypatch, tmp_path):
    trouble = tmp_path / "trouble"
    monkeypatch.setenv("TROUBLE", str(trouble))
    with running(document("unreadable", "meter"), plugins_dir=plugins) as gate:
        assert of(scrape(gate)[1], "hookgate_unreadable") == {(): 7}
        trouble.touch()
        for _ in range(3):
            _, samples = scrape(gate)
        ill = health(gate)
        trouble.unlink()
        scrape(gate)
        well = health(gate)

    assert of(samples, "hookgate_unreadable") == {}
    assert of(samples, "hookgate_meter_level") == {(): 3.5}
    assert ill["plugins"]["routes.all/unreadable"]["problems"] == [
        "the metric hookgate_unreadable of Unreadable cannot be read: OSError"
    ]
    assert well["status"] == "ok"
    assert len([record for record in gate.log if "cannot be read" in record.getMessage()]) == 1


def test_a_metric_goes_with_the_last_instance_that_has_it(plugins):
    with running(document("meter"), plugins_dir=plugins) as gate:
        assert of(scrape(gate)[1], "hookgate_meter_level")
        gate.reload(document())
        gate.run(_settled(gate))
        assert not of(scrape(gate)[1], "hookgate_meter_level")


async def _settled(gate):
    while gate.gateway.status()["draining"]:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


# --- health --------------------------------------------------------------------------------------------------------

SECRET = "s3cret-and-long"


def telling(what, **options):
    return document(observers=["prometheus", {"tells": {"what": what, **options}}])


def told(plugins, what, **options):
    with running(telling(what, **options), plugins_dir=plugins) as gate:
        found = health(gate)
        assert httpx.get(f"{gate.management}/-/ready").status_code == 200
        assert gate.request("GET", "/").status_code == 200
        health(gate)
    return found, [record.getMessage() for record in gate.log]


def test_facts_stand_under_the_id_of_the_instance(plugins):
    found, _ = told(plugins, "fine")

    assert found["status"] == "ok"
    assert found["plugins"] == {"gateway/tells": {"entries": 7}}
    assert "plugins" not in told(plugins, "nothing")[0]


def test_a_problem_makes_the_gateway_degraded_and_no_more(plugins):
    found, _ = told(plugins, "ill")

    assert found["status"] == "degraded"
    assert found["problems"] == ["gateway/tells: the backlog is long"]
    assert found["plugins"]["gateway/tells"]["entries"] == 7


def test_values_that_references_resolved_to_are_masked(plugins, monkeypatch):
    monkeypatch.setenv("MINE", SECRET)
    monkeypatch.setenv("PIN", "12345678")
    secrets = {"env": {}}
    whole = {**telling("secret", secret="${env:MINE}"), "secrets": secrets, "x-pin": "${env:PIN}"}
    with running(whole, plugins_dir=plugins) as gate:
        text = httpx.get(f"{gate.management}/-/health").text
        found = health(gate)

    assert SECRET not in text
    assert "12345678" not in text
    facts = found["plugins"]["gateway/tells"]
    assert (facts["token"], facts["again"]) == (MASK, [f"x{MASK}"])
    assert found["problems"] == [f"gateway/tells: cannot reach {MASK}"]


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("list", "TypeError"),
        ("object", "TypeError"),
        ("nan", "ValueError"),
        ("words", "TypeError"),
        ("raises", "RuntimeError"),
        ("exits", "SystemExit"),
    ],
)
def test_what_cannot_be_shown_is_named_and_said_once_in_the_log(plugins, what, why):
    found, log = told(plugins, what)

    assert found["status"] == "degraded"
    assert found["plugins"] == {"gateway/tells": {"problems": [f"its hook health failed: {why}"]}}
    assert len([line for line in log if "gateway/tells failed in health" in line]) == 1


def test_names_that_are_no_texts_become_some(plugins):
    assert told(plugins, "keys")[0]["plugins"]["gateway/tells"] == {"1": "a", "b": "c"}


def test_facts_are_bounded(plugins):
    big = told(plugins, "big")[0]["plugins"]["gateway/tells"]
    many = told(plugins, "many")[0]["plugins"]["gateway/tells"]

    assert big["problems"][0] == "it grows"
    assert re.fullmatch(r"its facts have 7\d{4} characters; 65536 are shown", big["problems"][1])
    assert set(big) == {"problems"}
    assert [len(each) for each in many["problems"]] == [1000] * 50


def test_the_strangers_plugins_pass_mypy_strict(plugins):
    mypy = pytest.importorskip("mypy.api")
    out, _, status = mypy.run(["--strict", "--no-error-summary", "--cache-dir", "/dev/null", str(Path(plugins))])

    assert status == 0, out
