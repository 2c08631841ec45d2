import asyncio
import json
import os
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from hookgate import (
    ApiInfo,
    Application,
    Attempt,
    Body,
    ConfigError,
    ConnectFailed,
    Exchange,
    Headers,
    Identity,
    MachineError,
    Outcome,
    Request,
    Response,
    Target,
    TlsFacts,
)
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_observer_access_log import AccessLog
from hookgate_observer_access_log.lines import FIELDS
from hookgate_observer_access_log.writer import Output, Unwritten

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
NIGHT = datetime(2026, 11, 22, 1, 39, 12, 250_000, tzinfo=UTC)


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text, *arguments):
        self.lines.append(text % arguments)


class Written:
    """An access log that writes into a file, and what it wrote."""

    def __init__(self, tmp_path, **options):
        self.path = tmp_path / "access.log"
        self.plugin = build(AccessLog, **{"output": str(self.path), **options})
        self.host = SimpleNamespace(clock=MovableClock(wall=NIGHT.timestamp()), log=Log(), metrics=Mock())

    async def lines(self, *exchanges):
        self.plugin.startup(self.host)
        for exchange in exchanges:
            self.plugin.exchange_finished(exchange)
        await self.plugin.shutdown()
        return self.path.read_text().splitlines()


def exchange(method="GET", path="/orders/7", query="token=s3cret", status=200, headers=(), body=b"", **changes):
    """A call that arrived 0.25 s before the clock stood where it stands."""
    request = Request(
        method, path, query, host="shop.example.org", client="192.0.2.1", headers=Headers(headers), body=Body(body)
    )
    made = Exchange(request, started=-0.25)
    made.response = Response(status) if status else None
    made.head_at, made.finished, made.generation = -0.1, 0.0, 4
    for name, value in changes.items():
        setattr(made, name, value)
    return made


async def test_a_line_says_who_asked_for_what_and_how_it_went(tmp_path):
    target = Target("http", "10.0.0.5", 9000)
    call = exchange(
        headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "User-Agent": "curl/8"},
        body=b"seven b",
        id="r-1",
        bytes_sent=512,
        route=SimpleNamespace(name="orders", api=ApiInfo("shop", "1.0", "/orders/{id}", "GET")),
        target=target,
        application=Application("till"),
        plan="gold",
        attempts=[
            Attempt(target, Outcome("connect-failed", None, 0.03), "crm", started=-0.25),
            Attempt(target, Outcome("ok", 200, 0.21), "crm", started=-0.22, head_at=-0.12),
        ],
        identity=Identity("joe"),
    )
    certificate = SimpleNamespace(subject="CN=joe")
    call.request.tls = TlsFacts("shop.example.org", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "h2", certificate)
    (line,) = await Written(tmp_path).lines(call)

    assert list(json.loads(line).items()) == [
        ("time", "2026-11-22T01:39:12.000Z"),
        ("id", "r-1"),
        ("trace_id", TRACE),
        ("client", "192.0.2.1"),
        ("method", "GET"),
        ("scheme", "http"),
        ("host", "shop.example.org"),
        ("path", "/orders/7"),
        ("http", "1.1"),
        ("status", 200),
        ("outcome", "ok"),
        ("reason", None),
        ("answered_by", None),
        ("bytes_up", 7),
        ("bytes_down", 512),
        ("ms", 250.0),
        ("ttfb_ms", 150.0),
        ("backend_ms", 240.0),
        ("backend_ttfb_ms", 130.0),
        ("flow_ms", 20.0),
        ("route", "orders"),
        ("connection", "crm"),
        ("target", "http://10.0.0.5:9000"),
        ("tries", 2),
        ("generation", 4),
        ("subject", "joe"),
        ("certificate", "CN=joe"),
        ("tls", "TLSv1.3"),
        ("server_name", "shop.example.org"),
        ("rewritten_path", None),
        ("user_agent", "curl/8"),
        ("api", "shop"),
        ("api_version", "1.0"),
        ("operation", "GET /orders/{id}"),
        ("application", "till"),
        ("plan", "gold"),
    ]


@pytest.mark.parametrize(
    ("options", "ending"),
    [
        ({}, ',"labels":{"team":"red","cost.center":"a 1","gone":null}}'),
        ({"fields": ["path"]}, ',"labels":{"team":"red","cost.center":"a 1","gone":null}}'),
        ({"format": "text"}, ' labels.team=red labels.cost.center="a 1"'),
        ({"format": "text", "fields": ["path"]}, ' labels.team=red labels.cost.center="a 1"'),
    ],
)
async def test_labels_that_are_asked_for_are_those_of_the_route_or_of_the_connection(tmp_path, options, ending):
    call = exchange(
        route=SimpleNamespace(name="orders", labels={"team": "red"}),
        connection=SimpleNamespace(labels={"team": "blue", "cost.center": "a 1"}),
    )
    (line,) = await Written(tmp_path, labels=["team", "cost.center", "gone"], **options).lines(call)

    assert line.endswith(ending)


async def test_a_label_is_not_written_unless_it_is_asked_for(tmp_path):
    (line,) = await Written(tmp_path).lines(exchange(route=SimpleNamespace(name="orders", labels={"team": "red"})))

    assert "labels" not in json.loads(line)


async def test_what_is_not_known_is_null(tmp_path):
    (line,) = await Written(tmp_path).lines(
        exchange(status=None, head_at=None, outcome="aborted", fault=ConnectFailed("x")),
    )
    entry = json.loads(line)

    unknown = {name for name, value in entry.items() if value is None}
    assert unknown == {
        *("id", "trace_id", "status", "ttfb_ms", "backend_ms", "backend_ttfb_ms", "flow_ms"),
        *("route", "connection", "target", "answered_by", "subject", "certificate"),
        *(
            "tls",
            "server_name",
            "rewritten_path",
            "user_agent",
            "api",
            "api_version",
            "operation",
            "application",
            "plan",
        ),
    }
    assert (entry["outcome"], entry["reason"], entry["tries"]) == ("aborted", "connect-failed", 0)


async def test_without_a_backend_all_the_time_is_that_of_the_flow(tmp_path):
    (line,) = await Written(tmp_path).lines(exchange(answered_by="respond#1"))
    entry = json.loads(line)

    assert (entry["flow_ms"], entry["ttfb_ms"], entry["backend_ttfb_ms"]) == (150.0, 150.0, None)


async def test_bytes_that_somebody_has_counted_go_before_the_length_that_was_announced(tmp_path):
    (line,) = await Written(tmp_path).lines(exchange(body=b"all of it", bytes_received=3))

    assert json.loads(line)["bytes_up"] == 3


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([("TraceParent", f"00-{TRACE}-00f067aa0ba902b7-00")], TRACE),
        ([("traceparent", f"cc-{TRACE}-00f067aa0ba902b7-01-what-comes-next")], TRACE),
        ([("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01-more")], None),
        ([("traceparent", f"ff-{TRACE}-00f067aa0ba902b7-01")], None),
        ([("traceparent", f"00-{TRACE.upper()}-00f067aa0ba902b7-01")], None),
        ([("traceparent", f"00-{'0' * 32}-00f067aa0ba902b7-01")], None),
        ([("traceparent", f"00-{TRACE}-{'0' * 16}-01")], None),
        ([("traceparent", f"00-{TRACE}-00f067aa0ba902b7")], None),
        ([("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")] * 2, None),
        ([("traceparent", "")], None),
        ([("x-b3-traceid", TRACE)], None),
    ],
)
async def test_the_id_of_the_trace_is_taken_from_one_well_formed_traceparent(tmp_path, headers, found):
    (line,) = await Written(tmp_path, fields=["trace_id"]).lines(exchange(headers=headers))

    assert json.loads(line) == {"trace_id": found}


async def test_fields_are_those_that_were_named_in_their_order(tmp_path):
    log = Written(tmp_path, fields=["status", "path", "id", "query"])
    (line,) = await log.lines(exchange())
    _, text = await Written(tmp_path, fields=["status", "path", "id"], format="text", query=True).lines(exchange())

    assert line == '{"status":200,"path":"/orders/7","id":null,"query":"token=s3cret"}'
    assert text == 'status=200 path=/orders/7 query="token=s3cret"'


async def test_every_field_can_be_named(tmp_path):
    (line,) = await Written(tmp_path, fields=list(reversed(FIELDS))).lines(exchange())

    assert list(json.loads(line)) == list(reversed(FIELDS))


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
    log = Written(tmp_path, output=f"/dev/fd/{outlet}", waiting=1000)
    log.plugin.startup(log.host)
    os.close(outlet)
    sent = 6000
    for _ in range(sent):  # would never end if it waited for somebody to read
        log.plugin.exchange_finished(exchange())

    with os.fdopen(inlet) as reader:
        closing = asyncio.create_task(log.plugin.shutdown())
        received = await asyncio.to_thread(lambda: sum(1 for _ in reader))
        await closing

    lost = 0
    for warning in log.host.log.lines:
        lost += int(re.fullmatch(r"access-log: (\d+) lines were lost: the output is too slow", warning)[1])
    assert lost == log.plugin._writer.lost > 0
    assert received + lost == sent


async def test_an_output_that_fails_is_reported_and_the_log_goes_on(tmp_path):
    log = Written(tmp_path, output="/dev/full")
    log.plugin.startup(log.host)
    log.plugin.exchange_finished(exchange())
    await log.plugin.shutdown()

    assert log.host.log.lines == ["access-log: 1 lines were lost: No space left on device"]


async def test_as_long_as_an_output_fails_there_is_one_warning_and_in_the_end_another(tmp_path, monkeypatch):
    monkeypatch.setattr("hookgate_observer_access_log.writer.GATHERING", 0.001)
    log = Written(tmp_path, output="/dev/full")
    log.plugin.startup(log.host)
    for count in range(1, 21):
        log.plugin.exchange_finished(exchange())
        while log.plugin._writer.lost < count:
            await asyncio.sleep(0.001)
    await log.plugin.shutdown()

    assert log.host.log.lines == [
        "access-log: 1 lines were lost: No space left on device",
        "access-log: 19 lines were lost: No space left on device",
    ]


async def test_a_line_that_was_written_in_part_does_not_spoil_the_next_one(tmp_path):
    class Disk:
        """Takes 700 bytes, then nothing, and then whatever comes."""

        taken, full = b"", False

        def write(self, data):
            if not self.full and len(self.taken) + len(data) <= 700:
                self.taken += data
                return len(data)
            if not self.taken or not self.full:
                self.full = True
                room = 700 - len(self.taken)
                self.taken += data[:room]
                return room
            raise OSError(28, "No space left on device")

    disk, output = Disk(), Output("stdout")
    output._file = disk
    with pytest.raises(Unwritten) as caught:
        output.write(b"x" * 499 + b"\n" + b"y" * 499 + b"\n" + b"z" * 499 + b"\n")
    disk.full, disk.taken = False, disk.taken.removeprefix(b"x" * 499 + b"\n")
    output.write(b"w" * 9 + b"\n")

    assert caught.value.lines == 2
    assert disk.taken == b"y" * 200 + b"\n" + b"w" * 9 + b"\n"


async def test_a_record_that_makes_no_line_harms_no_other(tmp_path):
    broken = exchange()
    broken.request.headers.raw = None
    log = Written(tmp_path)
    lines = await log.lines(exchange(), broken, exchange())

    assert len(lines) == 2
    assert log.host.log.lines == ["access-log: 1 lines were lost: TypeError: 'NoneType' object is not iterable"]


@pytest.mark.parametrize("how", ["moved", "deleted"])
async def test_a_file_that_is_not_there_any_more_is_made_anew(tmp_path, how):
    log = Written(tmp_path)
    log.plugin.startup(log.host)
    log.plugin.exchange_finished(exchange(id="before"))
    while not log.path.read_bytes():
        await asyncio.sleep(0.005)
    if how == "moved":
        log.path.rename(tmp_path / "access.log.1")
    else:
        log.path.unlink()
    log.plugin.exchange_finished(exchange(id="after"))
    await log.plugin.shutdown()

    assert [json.loads(line)["id"] for line in log.path.read_text().splitlines()] == ["after"]
    assert log.host.log.lines == []
    if how == "moved":
        assert json.loads((tmp_path / "access.log.1").read_text())["id"] == "before"


async def test_a_pipe_that_nobody_reads_any_more_costs_its_lines_and_nothing_else(tmp_path):
    inlet, outlet = os.pipe()
    log = Written(tmp_path, output=f"/dev/fd/{outlet}")
    log.plugin.startup(log.host)
    os.close(outlet)
    os.close(inlet)
    log.plugin.exchange_finished(exchange())
    await log.plugin.shutdown()

    assert log.host.log.lines == ["access-log: 1 lines were lost: Broken pipe"]


async def test_where_no_new_file_can_be_made_lines_go_to_the_old_one_and_a_warning_says_so(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    log = Written(tmp_path, output=str(folder / "access.log"))
    log.plugin.startup(log.host)
    folder.rename(tmp_path / "moved")
    log.plugin.exchange_finished(exchange())
    await log.plugin.shutdown()

    assert len((tmp_path / "moved" / "access.log").read_text().splitlines()) == 1
    assert log.host.log.lines == [
        "access-log: the file cannot be opened again, lines go to the one before: No such file or directory"
    ]


async def test_lines_are_written_while_the_gateway_runs(tmp_path):
    log = Written(tmp_path)
    log.plugin.startup(log.host)
    for count in (1, 2, 3):
        log.plugin.exchange_finished(exchange())
        async with asyncio.timeout(60):
            while log.path.read_bytes().count(b"\n") < count:
                await asyncio.sleep(0.005)
    await log.plugin.shutdown()


async def test_an_output_that_takes_nothing_any_more_does_not_keep_the_gateway_from_ending(tmp_path, monkeypatch):
    monkeypatch.setattr("hookgate_observer_access_log.writer.PATIENCE", 0.05)
    inlet, outlet = os.pipe()
    log = Written(tmp_path, output=f"/dev/fd/{outlet}")
    log.plugin.startup(log.host)
    for _ in range(2000):
        log.plugin.exchange_finished(exchange())
    await log.plugin.shutdown()

    assert "the output takes no more lines" in log.host.log.lines[0]
    os.close(outlet)
    os.close(inlet)
    log.plugin._writer._thread.join(60)


async def test_a_non_blocking_output_is_waited_for(tmp_path):
    inlet, outlet = os.pipe()
    log = Written(tmp_path)
    log.plugin.startup(log.host)
    os.dup2(outlet, log.plugin._writer._output._file.fileno())
    os.set_blocking(outlet, False)
    os.close(outlet)
    for _ in range(2000):
        log.plugin.exchange_finished(exchange())
    with os.fdopen(inlet) as reader:
        closing = asyncio.create_task(log.plugin.shutdown())
        assert await asyncio.to_thread(lambda: sum(1 for _ in reader)) == 2000
        await closing


def test_an_output_that_cannot_be_opened_is_refused_at_startup(tmp_path):
    log = Written(tmp_path, output=str(tmp_path / "none" / "access.log"))

    with pytest.raises(MachineError, match=r"cannot be written to .*access\.log: No such file or directory"):
        log.plugin.startup(log.host)


@pytest.mark.parametrize(
    "options",
    [
        *({"format": "xml"}, {"output": 7}, {"query": "perhaps"}, {"waiting": 0}),
        *({"fields": ["status", "colour"]}, {"fields": ["status", "status"]}),
    ],
)
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
    assert (found["status"], found["route"], found["bytes_down"], found["target"]) == (200, "orders", 2, backend.url)
    assert (found["client"], found["path"], found["outcome"]) == ("127.0.0.1", "/orders/7", "ok")
    assert found["ms"] >= found["ttfb_ms"] > 0
    assert abs(datetime.now(UTC) - datetime.fromisoformat(found["time"])).total_seconds() < 60
    assert (missing["status"], missing["route"], missing["reason"]) == (404, None, "no-route")


async def test_parameters_that_a_step_hides_are_not_written(tmp_path):
    call = exchange(query="a=b&p%69n=5&PIN=6&pin")
    call.hide("request.query.Pin", "request.headers.a")
    (line,) = await Written(tmp_path, query=True).lines(call)

    assert json.loads(line)["query"] == "a=b&p%69n=********&PIN=********&pin=********"


async def test_what_an_expression_gives_is_cut_where_it_is_too_long(tmp_path):
    call = exchange()
    call.variables["long"], call.variables["list"] = "x" * 5000, ["y" * 900] * 5
    (line,) = await Written(tmp_path, more={"long": "vars.long", "list": "vars.list"}).lines(call)

    assert {name: len(value) for name, value in json.loads(line)["more"].items()} == {"long": 2000, "list": 2000}
