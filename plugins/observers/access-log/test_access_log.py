import json
import os
import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hookgate_observer_access_log import WAITING, AccessLog

from hookgate import (
    Attempt,
    ConfigError,
    ConnectFailed,
    Exchange,
    Identity,
    MachineError,
    Request,
    Response,
    Target,
)
from hookgate.testing import MovableClock, build, running, upstream

NIGHT = datetime(2026, 11, 22, 1, 39, 12, 250_000, tzinfo=UTC)


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text, *arguments):
        self.lines.append(text % arguments)

    exception = warning


class Written:
    """An access log that writes into a file, and what it wrote."""

    def __init__(self, tmp_path, **options):
        self.path = tmp_path / "access.log"
        self.plugin = build(AccessLog, **{"output": str(self.path), **options})
        self.host = SimpleNamespace(clock=MovableClock(wall=NIGHT.timestamp()), log=Log())

    async def lines(self, *exchanges):
        self.plugin.startup(self.host)
        for exchange in exchanges:
            self.plugin.exchange_finished(exchange)
        await self.plugin.shutdown()
        return self.path.read_text().splitlines()


def exchange(method="GET", path="/orders/7", query="token=s3cret", status=200, **changes):
    """A call that arrived 0.25 s before the clock stood where it stands."""
    made = Exchange(Request(method, path, query, host="shop.example.org", client="192.0.2.1"), started=-0.25)
    made.response = Response(status) if status else None
    made.head_at, made.finished, made.generation = -0.1, 0.0, 4
    for name, value in changes.items():
        setattr(made, name, value)
    return made


async def test_a_line_says_who_asked_for_what_and_how_it_went(tmp_path):
    target = Target("http", "10.0.0.5", 9000)
    (line,) = await Written(tmp_path).lines(
        exchange(
            id="r-1",
            bytes_sent=512,
            route=SimpleNamespace(name="orders"),
            target=target,
            attempts=[Attempt(target), Attempt(target)],
            identity=Identity("joe"),
        ),
    )

    assert json.loads(line) == {
        "time": "2026-11-22T01:39:12.000Z",
        "id": "r-1",
        "client": "192.0.2.1",
        "method": "GET",
        "path": "/orders/7",
        "host": "shop.example.org",
        "status": 200,
        "bytes": 512,
        "ms": 250.0,
        "ttfb_ms": 150.0,
        "route": "orders",
        "target": "http://10.0.0.5:9000",
        "attempts": 2,
        "outcome": "ok",
        "generation": 4,
        "reason": None,
        "answered_by": None,
        "subject": "joe",
    }


async def test_what_is_not_known_is_null(tmp_path):
    (line,) = await Written(tmp_path).lines(
        exchange(status=None, head_at=None, outcome="aborted", fault=ConnectFailed("x")),
    )
    entry = json.loads(line)

    unknown = ("id", "status", "ttfb_ms", "route", "target", "answered_by", "subject")
    assert {name: entry[name] for name in unknown} == dict.fromkeys(unknown)
    assert (entry["outcome"], entry["reason"], entry["attempts"]) == ("aborted", "connect-failed", 0)


@pytest.mark.parametrize("style", ["json", "text"])
async def test_the_query_is_written_only_where_that_was_asked_for(tmp_path, style):
    (without,) = await Written(tmp_path, format=style).lines(exchange())
    _, with_query = await Written(tmp_path, format=style, query=True).lines(exchange())

    assert "s3cret" not in without
    assert "token=s3cret" in with_query


async def test_the_text_form_has_columns_and_then_what_there_is_beyond_them(tmp_path):
    target = Target("http", "10.0.0.5", 9000)
    lines = await Written(tmp_path, format="text").lines(
        exchange(bytes_sent=512, route=SimpleNamespace(name="orders"), target=target, attempts=[Attempt(target)]),
        exchange("DELETE", "/x", status=None, outcome="aborted", fault=ConnectFailed("x"), identity=Identity("a b=c")),
    )

    assert lines == [
        f"{columns}{rest}"
        for columns, rest in (
            (
                "2026-11-22T01:39:12.000Z 200 GET         250.0ms       512B 192.0.2.1       ",
                "shop.example.org/orders/7 route=orders target=http://10.0.0.5:9000",
            ),
            (
                "2026-11-22T01:39:12.000Z --- DELETE      250.0ms         0B 192.0.2.1       ",
                'shop.example.org/x reason=connect-failed subject="a b=c" outcome=aborted',
            ),
        )
    ]


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("evil", ["\n", "\r", "\x1b[2J", "\x7f", "\x9b31m", "\x85", "\u2028", "\u202e", "\ud800", "\0"])
async def test_nothing_a_client_sends_steers_a_terminal_or_forges_a_line(tmp_path, style, evil):
    log = Written(tmp_path, format=style)
    await log.lines(exchange(path=f"/a{evil}b", id=evil, identity=Identity(f"joe{evil}")), exchange())
    text = log.path.read_text()

    assert text.count("\n") == 2
    assert text.replace("\n", "").isprintable()
    if style == "json":
        assert json.loads(text.split("\n")[0])["subject"] == f"joe{evil}"


async def test_lines_are_appended(tmp_path):
    await Written(tmp_path).lines(exchange())

    assert len(await Written(tmp_path).lines(exchange(), exchange())) == 3


async def test_a_slow_output_holds_up_nobody_and_the_lines_lost_are_counted(tmp_path):
    inlet, outlet = os.pipe()
    log = Written(tmp_path, output=f"/dev/fd/{outlet}")
    log.plugin.startup(log.host)
    os.close(outlet)
    sent = WAITING + 5000
    for _ in range(sent):  # would never end if it waited for somebody to read
        log.plugin.exchange_finished(exchange())

    with os.fdopen(inlet) as reader:
        writer = log.plugin._writer
        writer._waiting.put(None)
        received = sum(1 for _ in reader)
        writer._thread.join()

    (warning,) = log.host.log.lines
    lost = int(re.fullmatch(r"access-log: (\d+) lines were lost: the output is too slow", warning)[1])
    assert lost > 0
    assert received + lost == sent


async def test_an_output_that_fails_is_reported_and_the_log_goes_on(tmp_path):
    log = Written(tmp_path, output="/dev/full")
    log.plugin.startup(log.host)
    log.plugin.exchange_finished(exchange())
    await log.plugin.shutdown()

    assert log.host.log.lines == ["access-log: 1 lines were lost: No space left on device"]


async def test_an_output_that_takes_nothing_any_more_does_not_keep_the_gateway_from_ending(tmp_path, monkeypatch):
    monkeypatch.setattr("hookgate_observer_access_log.PATIENCE", 0.05)
    inlet, outlet = os.pipe()
    log = Written(tmp_path, output=f"/dev/fd/{outlet}")
    log.plugin.startup(log.host)
    for _ in range(2000):
        log.plugin.exchange_finished(exchange())
    await log.plugin.shutdown()

    assert "the output takes no more lines" in log.host.log.lines[0]
    os.close(outlet)
    os.close(inlet)
    log.plugin._writer._thread.join(10)


async def test_a_non_blocking_output_is_waited_for(tmp_path):
    inlet, outlet = os.pipe()
    log = Written(tmp_path)
    log.plugin.startup(log.host)
    os.dup2(outlet, log.plugin._writer._output.fileno())
    os.set_blocking(outlet, False)
    os.close(outlet)
    for _ in range(2000):
        log.plugin.exchange_finished(exchange())
    log.plugin._writer._waiting.put(None)
    with os.fdopen(inlet) as reader:
        assert sum(1 for _ in reader) == 2000
    log.plugin._writer._thread.join(10)


def test_an_output_that_cannot_be_opened_is_refused_at_startup(tmp_path):
    log = Written(tmp_path, output=str(tmp_path / "none" / "access.log"))

    with pytest.raises(MachineError, match=r"cannot be written to .*access\.log: No such file or directory"):
        log.plugin.startup(log.host)


@pytest.mark.parametrize("options", [{"format": "xml"}, {"output": 7}, {"query": "perhaps"}])
def test_wrong_options_are_refused_at_load(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        build(AccessLog, **options)


async def test_the_standard_streams_can_be_written_to(tmp_path, capfd):
    log = Written(tmp_path, output="stdout")
    log.path.touch()
    await log.lines(exchange())
    log.plugin = build(AccessLog, output="stderr", format="text")
    await log.lines(exchange())

    captured = capfd.readouterr()
    assert json.loads(captured.out)["status"] == 200
    assert " 200 GET " in captured.err


def test_a_gateway_writes_a_line_for_every_call_whoever_answered(tmp_path):
    path = tmp_path / "access.log"
    with upstream() as backend:
        document = {
            "gateway": {"observers": [{"access-log": {"output": str(path)}}]},
            "routes": [{"name": "orders", "match": {"path": "/orders/*"}, "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document) as gate:
            gate.request("GET", "/orders/7?x=1")
            gate.request("GET", "/nowhere")
            gate.wait_for_exchanges(2)

    found, missing = map(json.loads, path.read_text().splitlines())
    assert (found["status"], found["route"], found["bytes"], found["target"]) == (200, "orders", 2, backend.url)
    assert (found["client"], found["path"], found["outcome"]) == ("127.0.0.1", "/orders/7", "ok")
    assert found["ms"] >= found["ttfb_ms"] > 0
    assert abs(datetime.now(UTC) - datetime.fromisoformat(found["time"])).total_seconds() < 60
    assert (missing["status"], missing["route"], missing["reason"]) == (404, None, "no-route")
