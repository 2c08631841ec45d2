"""The file of traces, its bounds and its troubles; the pages are proved by test_kept_traces.py."""

import asyncio
import json
import logging
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import Exchange, Request
from hookgate.testing import MovableClock, build
from hookgate_authoring.conformance import conformance
from hookgate_trace import file as file_module
from hookgate_trace.file import Bounds, TraceFile, Unusable, find, search
from hookgate_trace.filters import EXACT, Filters, filters_of
from hookgate_trace.followers import MOST, WAITING, Followers
from hookgate_trace.keeper import Keeper, KeeperOptions
from hookgate_trace.pages import TraceApp
from hookgate_trace.rows import row_of
from hookgate_trace.writer import Writer

NOW = 1_700_000_000.0
BOUNDS = Bounds(keep=3600, at_most=64 * 1024 * 1024, count=10_000)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def trace(identifier="a", **more):
    """A trace as ``as_dict`` tells it."""
    path, status, headers = more.pop("path", "/"), more.pop("status", 200), more.pop("headers", [])
    return {
        "id": identifier,
        "reason": "sample",
        "time": NOW,
        "seconds": 0.01,
        "generation": 1,
        "request": {
            "method": more.pop("method", "GET"),
            "scheme": "http",
            "host": "x",
            "path": path,
            "query": "",
            "headers": headers,
            "client": "127.0.0.1",
            "http_version": "1.1",
        },
        "route": {"name": "orders"},
        "api": None,
        "params": {},
        "environment": "",
        "identity": None,
        "application": None,
        "plan": None,
        "hooks": [],
        "notes": [],
        "facts": {},
        "callouts": [],
        "attempts": [],
        "answered_by": None,
        "fault": None,
        "response": None if status is None else {"status": status, "headers": [], "bytes": 0},
        "outcome": "ok",
        **more,
    }


def rows(*traces, most=1024 * 1024):
    return [row_of(each, most) for each in traces]


def opened(path, **bounds):
    return closing(TraceFile(path, replace(BOUNDS, **bounds), MovableClock(NOW)))


def ids(path, filters=None, **how):
    return [row["id"] for row in search(path, filters or Filters(), most=10_000, **how)]


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_traces_are_found_again_by_id_and_newest_first_also_by_the_next_process(tmp_path):
    path = tmp_path / "t.db"
    with opened(path) as file:
        assert file.add(rows(trace("a"), trace("b"))) == [1, 2]
    with opened(path) as file:
        assert file.add(rows(trace("a", status=404))) == [3]

        assert ids(path) == ["a", "b", "a"]
        assert ids(path, before=3) == ["b", "a"]
        assert json.loads(find(path, "a", 0))["response"]["status"] == 404
        assert json.loads(find(path, "a", 0, number=1)) == trace("a")
        assert find(path, "a", NOW + 1) is None
        assert find(path, "c", 0) is None


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.floats(0, 200), st.integers(0, 30_000)), min_size=1, max_size=8), min_size=1, max_size=12
    ),
    keep=st.floats(10, 150),
    count=st.integers(1, 20),
    at_most=st.integers(120_000, 300_000),
)
def test_no_bound_is_ever_broken_and_the_oldest_go_first(tmp_path_factory, batches, keep, count, at_most):
    path = tmp_path_factory.mktemp("bounds") / "t.db"
    clock = MovableClock(NOW)
    expected = []  # number, time
    with closing(TraceFile(path, Bounds(keep, at_most, count), clock)) as file:
        for batch in batches:
            clock._now += 7
            made = [trace("x", time=clock.wall() - age, facts={"pad": "p" * length}) for age, length in batch]
            numbers = file.add([row_of(each, 40_000) for each in made])
            expected += zip(numbers, (each["time"] for each in made), strict=True)
            young = [number for number, at in expected if at >= clock.wall() - keep]

            left = [row["number"] for row in search(path, Filters(), most=1000)][::-1]
            assert len(left) <= count
            assert set(left) <= set(young)
            assert left == young[len(young) - len(left) :], "something newer went before something older"
            assert path.stat().st_size <= at_most
            with closing(sqlite3.connect(path)) as plain:
                (pages,), (size,) = (
                    plain.execute("PRAGMA page_count").fetchone(),
                    plain.execute("PRAGMA page_size").fetchone(),
                )
            assert pages * size <= at_most


def test_small_traces_with_large_indexes_stay_within_the_bytes(tmp_path):
    path = tmp_path / "t.db"
    long = dict.fromkeys(("path", "application"), "r" * 300)
    with opened(path, at_most=200_000) as file:
        for start in range(0, 200, 20):
            made = rows(*(trace(str(number)) for number in range(start, start + 20)))
            file.add([{**row, **long, "path": f"/{row['id']}{long['path']}"} for row in made])
            with closing(sqlite3.connect(path)) as plain:
                assert plain.execute("PRAGMA page_count").fetchone()[0] * 4096 <= 200_000

    assert ids(path) == [str(number) for number in range(199, 199 - len(ids(path)), -1)]
    assert len(ids(path)) >= 20, "no more is let go of than has to be"
    assert path.stat().st_size <= 200_000


def test_what_fits_is_not_thrown_away(tmp_path):
    with opened(tmp_path / "t.db", count=50) as file:
        for start in range(0, 60, 10):
            file.add(rows(*(trace(str(number)) for number in range(start, start + 10))))

    assert ids(tmp_path / "t.db") == [str(number) for number in range(59, 9, -1)]


def test_a_smaller_bound_shrinks_the_file_that_is_there(tmp_path):
    path = tmp_path / "t.db"
    big = [trace(str(number), facts={"pad": "p" * 20_000}) for number in range(100)]
    with opened(path) as file:
        file.add(rows(*big))
    assert path.stat().st_size > 2_000_000
    with opened(path, at_most=1024 * 1024) as file:
        file.prune()

    assert path.stat().st_size <= 1024 * 1024  # once the log beside it has been worked in
    assert ids(path)[0] == "99"
    assert len(ids(path)) > 30


def test_what_has_become_too_old_goes_without_new_ones_and_leaves_nothing_in_the_file(tmp_path):
    clock = MovableClock(NOW)
    with closing(TraceFile(tmp_path / "t.db", BOUNDS, clock)) as file:
        file.add(rows(trace("old", facts={"of": "ann-4711"}), trace("new", time=NOW + 100)))
        clock._now += 3601
        file.prune()

    assert ids(tmp_path / "t.db") == ["new"]
    assert b"ann-4711" not in (tmp_path / "t.db").read_bytes()


def test_the_file_is_for_its_owner_only(tmp_path):
    path = tmp_path / "t.db"
    with opened(path) as file:
        file.add(rows(trace()))
        beside = [path, *tmp_path.glob("t.db-*")]
        assert len(beside) == 3
        assert {stat.S_IMODE(each.stat().st_mode) for each in beside} == {0o600}
    path.chmod(0o644)
    with opened(path) as file:
        file.prune()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- rows -----------------------------------------------------------------------------------------------------------


def test_the_facts_of_a_trace():
    (row,) = rows(
        trace(
            "a",
            path="/orders/7",
            headers=[("X-Request-Id", "r-1"), ("traceparent", TRACEPARENT)],
            api={"name": "shop", "version": "1", "resource": "/", "operation": "GET"},
            application="till",
            environment="qa",
            fault={"status": 429, "reason": "rate-limited"},
            status=429,
        )
    )

    assert {name: value for name, value in row.items() if name not in ("document", "bytes")} == {
        "id": "a",
        "time": NOW,
        "method": "GET",
        "path": "/orders/7",
        "status": 429,
        "route": "orders",
        "api": "shop",
        "version": "1",
        "application": "till",
        "environment": "qa",
        "request_id": "r-1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "outcome": "ok",
        "milliseconds": 10.0,
        "reason": "sample",
        "fault": "rate-limited",
    }


@pytest.mark.parametrize("value", ["nonsense", TRACEPARENT.replace("00-", "ff-", 1), TRACEPARENT + "-x"])
def test_a_traceparent_that_is_none_is_no_trace_id(value):
    assert rows(trace(headers=[("traceparent", value)]))[0]["trace_id"] is None


def test_what_steps_leave_is_kept_as_far_as_json_goes(tmp_path):
    facts = {"when": {1, 2}, "no": float("nan"), "half": "\ud800", "nul": "a\0b", "deep": {("a", 1): b"x"}}
    with opened(tmp_path / "t.db") as file:
        file.add(rows(trace("\udcff", path="/\ud800", facts=facts)))

    found = json.loads(find(tmp_path / "t.db", "?", 0))
    assert found["facts"] == {
        "when": [1, 2],
        "no": "nan",
        "half": "\ud800",
        "nul": "a\0b",
        "deep": {"('a', 1)": "b'x'"},
    }


def test_a_trace_that_is_too_long_is_kept_without_differences_or_as_an_outline():
    change = {"what": "request.body", "before": "b" * 5000, "after": "a"}
    hook = {"phase": "request", "plugin": "upper", "changes": [change]}
    (without,) = rows(trace(hooks=[hook]), most=3000)
    (outline,) = rows(trace(path="/" + "p" * 9000, hooks=[hook], notes=[{"at": 0, "text": "n" * 9000}]), most=3000)

    assert json.loads(without["document"])["hooks"] == [{**hook, "changes": []}]
    assert json.loads(outline["document"])["hooks"] == []
    for row in (without, outline):
        assert json.loads(row["document"])["shortened"] is True
        assert row["bytes"] == len(row["document"]) <= 3000


# --- filters --------------------------------------------------------------------------------------------------------

words = st.sampled_from(["a", "b", "", "A", "a' OR 1=1 --", "%", "ä"])
paths = st.sampled_from(["/", "/a", "/a/b", "/a-b", "/a0", "/ab", "/[", "/[b", "/?b", "/a/", "//a"]) | st.text(
    alphabet="/ab0.*?[]^-_%'ä", max_size=6
).map(lambda tail: "/" + tail)
kept = st.builds(
    trace,
    st.sampled_from(["i1", "i2", "i3"]),
    path=paths,
    status=st.sampled_from([None, 200, 204, 299, 300, 404, 499, 500, 503]),
    method=st.sampled_from(["GET", "POST"]),
    reason=words,
    environment=words,
    outcome=st.sampled_from(["ok", "aborted"]),
    application=st.none() | words,
    api=st.none() | st.fixed_dictionaries({"name": words, "version": words}),
    route=st.none() | st.fixed_dictionaries({"name": words}),
    fault=st.none() | st.fixed_dictionaries({"reason": words}),
    headers=st.lists(
        st.tuples(st.just("x-request-id"), st.sampled_from(["i1", "r1"])) | st.just(("traceparent", TRACEPARENT)),
        max_size=2,
        unique_by=lambda field: field[0],
    ),
    time=st.integers(0, 4).map(lambda n: NOW + n),
    seconds=st.sampled_from([0.001, 0.5, 1.0]),
)


def some(values):
    return st.lists(values, min_size=1, max_size=2)


kinds = {
    **{name: some(words) for name in EXACT if name not in ("method", "outcome")},
    "method": some(st.sampled_from(["GET", "PUT"])),
    "outcome": some(st.sampled_from(["ok", "aborted"])),
    "path": some(paths | st.sampled_from(["/a*", "*b", "/*/*", "/", "/[*", "/?*", "/a"])).filter(
        lambda values: all(value.count("*") <= 5 for value in values)
    ),
    "status": some(st.sampled_from(["200", "2xx", "4xx", "5xx", "none"])),
    "correlation": some(st.sampled_from(["i1", "r1", "4bf92f3577b34da6a3ce929d0e0e4736"])),
    "slower": st.sampled_from([["1"], ["500"]]),
    "since": st.integers(0, 4).map(lambda n: [str(int(NOW) + n)]),
    "until": st.integers(0, 4).map(lambda n: [str(int(NOW) + n)]),
}


def naively(each, filters):
    """Whether a trace is asked for, told from the trace itself."""
    headers = dict(each["request"]["headers"])
    traceparent = headers.get("traceparent", "").split("-")
    facts = {
        "method": each["request"]["method"],
        "route": (each["route"] or {}).get("name"),
        "api": (each["api"] or {}).get("name"),
        "version": (each["api"] or {}).get("version"),
        "fault": (each["fault"] or {}).get("reason"),
        **{name: each[name] for name in ("application", "environment", "outcome", "reason")},
    }
    path, status = each["request"]["path"], (each["response"] or {}).get("status")

    def below(wanted):
        if "*" in wanted:
            return re.fullmatch("".join(".*" if c == "*" else re.escape(c) for c in wanted), path) is not None
        return path == wanted or (path + "/").startswith(wanted.rstrip("/") + "/")

    def answered(wanted):
        return str(status).lower() == wanted or (wanted[1:] == "xx" and str(status)[0] == wanted[0])

    tests = {
        **{name: lambda wanted, name=name: facts[name] == wanted for name in EXACT},
        "path": below,
        "status": answered,
        "correlation": lambda wanted: wanted in (each["id"], headers.get("x-request-id"), *traceparent[1:2]),
        "slower": lambda wanted: each["seconds"] * 1000 >= float(wanted),
        "since": lambda wanted: each["time"] >= float(wanted),
        "until": lambda wanted: each["time"] < float(wanted),
    }
    return all(any(tests[name](wanted) for wanted in values) for name, values in filters.items())


@pytest.mark.parametrize("name", sorted(kinds))
@settings(max_examples=40, deadline=None)
@given(traces=st.lists(kept, min_size=6, max_size=12), data=st.data())
def test_the_file_and_the_stream_find_what_a_naive_filter_finds(tmp_path_factory, name, traces, data):
    filters = {name: data.draw(kinds[name])}
    if other := data.draw(st.sampled_from(["", *kinds])):
        filters[other] = data.draw(kinds[other])
    path = tmp_path_factory.mktemp("filters") / "t.db"
    made = rows(*traces)
    for number, row in enumerate(made, 1):
        row["number"] = number
    with opened(path) as file:
        file.add(made)
    wanted = [number for number, each in enumerate(traces, 1) if naively(each, filters)]
    read = filters_of(filters, NOW)

    assert [row["number"] for row in search(path, read, most=100)] == wanted[::-1]
    assert [row["number"] for row in made if read.holds(row)] == wanted


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("/[*", ["/[b"]),
        ("/?*", ["/?b"]),
        ("/[b", ["/[b"]),
        ("/a*", ["/a/b", "/a", "/ab"]),
        ("/a", ["/a/b", "/a"]),
        ("/a/", ["/a/b", "/a"]),
        ("/", ["/ab", "/?b", "/[b", "/a/b", "/a"]),
        ("*b", ["/ab", "/?b", "/[b", "/a/b"]),
    ],
)
def test_only_an_asterisk_stands_for_something_else(tmp_path, asked, found):
    made = rows(*(trace("i", path=path) for path in ("/a", "/a/b", "/[b", "/?b", "/ab")))
    filters = filters_of({"path": [asked]}, NOW)
    with opened(tmp_path / "t.db") as file:
        file.add(made)

    assert sorted(row["path"] for row in search(tmp_path / "t.db", filters, most=9)) == sorted(found)
    assert sorted(row["path"] for row in made if filters.holds(row)) == sorted(found)


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("10m", NOW - 600),
        ("1d2h3m4s", NOW - 93784),
        ("1700000000.5", 1700000000.5),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20", NOW),
        ("2023-11-14T23:13:20 01:00", NOW),  # what is left of a + that was not escaped
    ],
)
def test_times(since, moment):
    assert filters_of({"since": [since]}, NOW).since == moment


@pytest.mark.parametrize(
    ("given_", "words_"),
    [
        ({"pth": ["/"]}, "no filter 'pth'; write one of"),
        ({"status": ["6xx"]}, "'6xx' is no status"),
        ({"status": ["20"]}, "'20' is no status"),
        ({"path": ["orders"]}, "begins with / or *"),
        ({"path": ["/" + "*" * 6]}, "5 * at most"),
        ({"slower": ["fast"]}, "no number of milliseconds"),
        ({"since": ["yesterday"]}, "'yesterday' is no time"),
        ({"since": ["1m", "2m"]}, "once"),
        ({"since": ["m"]}, "no time"),
        ({"route": ["r"] * 21}, "20 values at most"),
        ({"route": ["r" * 2001]}, "2000 characters"),
    ],
)
def test_filters_that_mean_nothing_are_refused(given_, words_):
    with pytest.raises(ValueError, match=re.escape(words_)):
        filters_of(given_, NOW)


# --- troubles -------------------------------------------------------------------------------------------------------


class House:
    def __init__(self):
        self.clock = MovableClock(NOW)
        self.metrics = Mock()
        self.log = logging.getLogger("hookgate.test-trace")


class Call:
    """A finished call with a trace."""

    def __init__(self, told):
        self.trace = self
        self.told = told

    def as_dict(self):
        return self.told


async def observed(path, *calls, **options):
    """Start an observer, give it calls, wait until it has dealt with them; what it says is in the log."""
    observer = build(Keeper, path=str(path), **options)
    observer.startup(House())
    for call in calls:
        observer.exchange_finished(call)
    await observer.caught_up(30)
    return observer


@pytest.fixture
def errors(caplog):
    caplog.set_level(logging.WARNING, logger="hookgate.test-trace")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "hookgate.test-trace"]


async def test_a_call_without_a_trace_costs_nothing_but_a_look(tmp_path):
    class Untraced:
        trace = None

        def __getattr__(self, name):
            raise AssertionError(f"{name} was looked at")

    observer = await observed(tmp_path / "t.db")
    queued = []
    observer._writer.put = queued.append
    observer.exchange_finished(Untraced())
    observer.exchange_finished(Exchange(Request("GET")))
    await observer.shutdown()

    assert not queued


async def test_traces_wait_in_a_bounded_queue_and_the_newest_are_dropped(tmp_path, errors):
    held, reached = threading.Event(), threading.Event()

    class Slow(TraceFile):
        def add(self, rows):
            reached.set()
            held.wait(30)
            return super().add(rows)

    path = tmp_path / "t.db"
    writer = Writer(Slow(path, BOUNDS, MovableClock(NOW)), House().log, lambda rows: None, waiting=5)
    writer.put(trace("first"))
    await asyncio.to_thread(reached.wait, 30)
    for number in range(2000):
        writer.put(trace(str(number)))
    held.set()
    await asyncio.to_thread(writer.close)

    assert ids(path) == ["4", "3", "2", "1", "0", "first"]
    assert writer.lost == 1995
    assert errors() == [f"trace: 1995 traces were lost, {path}: more came than can be written; trace fewer calls"]


@pytest.mark.parametrize("ruin", ["no database", "another program's", "a later version", "no folder", "a folder"])
async def test_a_file_that_cannot_be_used_harms_no_call_and_says_what_to_do(tmp_path, errors, ruin):
    path = tmp_path / "t.db"
    if ruin == "no database":
        path.write_text("not a database, but a text that is long enough to be read as the head of one " * 20)
        words_ = "it is no file of traces: set `path` to another one"
    elif ruin == "another program's":
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE mine (a)")
        words_ = "is a database of another program; set `path` to a file of its own"
    elif ruin == "a later version":
        with opened(path) as file:
            file.add(rows(trace("kept")))
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA user_version = 9")
        words_ = "has version 9, this hookgate reads version 1"
    elif ruin == "no folder":
        path = tmp_path / "none" / "t.db"
        words_ = "make the folder"
    else:
        path.mkdir()
        words_ = "Is a directory"
    before = path.read_bytes() if path.is_file() else None
    observer = await observed(path, *(Call(trace(str(number))) for number in range(3)))

    assert observer.lost == 3
    assert words_ in observer.trouble
    await observer.shutdown()
    said = errors()
    assert words_ in said[0]
    assert len(said) == 2, "at once, and at the end how many were lost"
    assert "3 traces were lost" in said[1]
    assert (path.read_bytes() if path.is_file() else None) == before, "what is not ours stays as it is"


async def test_writing_goes_on_when_the_file_has_been_mended(tmp_path, errors):
    path = tmp_path / "later" / "t.db"
    observer = await observed(path, Call(trace("lost")))
    path.parent.mkdir()
    observer.exchange_finished(Call(trace("kept")))
    await observer.caught_up(30)

    assert (ids(path), observer.trouble, observer.lost) == (["kept"], "", 1)
    path.unlink()
    observer.exchange_finished(Call(trace("anew")))
    await observer.caught_up(30)
    await observer.shutdown()
    assert ids(path) == ["anew"]


async def test_a_locked_file_costs_traces_and_no_more(tmp_path, errors, monkeypatch):
    monkeypatch.setattr(file_module, "PATIENCE", 0.05)
    path = tmp_path / "t.db"
    observer = await observed(path, Call(trace("before")))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        observer.exchange_finished(Call(trace("lost")))
        await observer.caught_up(30)
        assert "another program is writing to it" in observer.trouble
        assert ids(path) == ["before"], "readers wait for nobody"
    observer.exchange_finished(Call(trace("after")))
    await observer.caught_up(30)
    await observer.shutdown()

    assert ids(path) == ["after", "before"]
    assert "1 traces were lost" in errors()[0]


async def test_a_full_disk_costs_traces_and_no_more(tmp_path, errors, monkeypatch):
    class Full(sqlite3.Connection):
        """A database for which there is no more room; SQLite itself says so."""

        def execute(self, sql, *parameters):
            if sql.startswith("INSERT"):
                (pages,) = super().execute("PRAGMA page_count").fetchone()
                super().execute(f"PRAGMA max_page_count = {pages}")
            return super().execute(sql, *parameters)

    path = tmp_path / "t.db"
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "factory": Full}))
    big = {"facts": {"pad": "p" * 100_000}}
    observer = await observed(path, Call(trace("big", **big)))
    monkeypatch.undo()

    assert "make room on the disk" in observer.trouble
    observer.exchange_finished(Call(trace("after")))
    await observer.caught_up(30)
    await observer.shutdown()
    assert ids(path) == ["after"]
    assert "SQLITE_FULL" in errors()[0]


async def test_one_trace_that_cannot_be_written_does_not_take_others_along(tmp_path, errors):
    endless = {}
    endless["self"] = endless
    calls = [Call(trace("a")), Call(trace("bad", facts=endless)), Call({"id": "no trace"}), Call(trace("b"))]
    observer = await observed(tmp_path / "t.db", *calls)
    await observer.shutdown()

    assert ids(tmp_path / "t.db") == ["b", "a"]
    assert observer.lost == 0, "the counter belongs to the writer, which is gone"
    assert "2 traces were lost" in errors()[0]
    assert "no plain data" in errors()[0]


WRITES = """
import sys, time
from hookgate_trace.file import Bounds, TraceFile
from hookgate_trace.rows import row_of
from hookgate.testing import MovableClock
sys.path.insert(0, sys.argv[2])
from test_keeper import trace
file = TraceFile(__import__("pathlib").Path(sys.argv[1]), Bounds(1e9, 600_000, 10_000), MovableClock(1.7e9))
number = 0
while True:
    batch = [trace(str(number + n), facts={"pad": "p" * 9000}) for n in range(5)]
    file.add([row_of(each, 100_000) for each in batch])
    number += 5
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path):
    path = tmp_path / "t.db"
    for _ in range(2):
        command = [sys.executable, "-c", WRITES, str(path), str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writing:
            try:
                for line in writing.stdout:
                    if int(line) >= 150:
                        break
            finally:
                writing.kill()
            told = [int(line) for line in writing.stdout if line.endswith("\n")]
        last = told[-1] if told else 150

        found = ids(path)
        assert int(found[0]) >= last - 1, "what was committed is there"
        assert len(found) % 5 == 0 or len(found) > 20
        assert all(json.loads(find(path, identifier, 0))["id"] == identifier for identifier in found)
        with closing(sqlite3.connect(path)) as plain:
            assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with opened(path) as file:
        assert file.add(rows(trace("next")))


def test_two_processes_may_share_a_file(tmp_path):
    path = tmp_path / "t.db"
    with opened(path, count=10) as one, opened(path, count=10) as two:
        for number in range(10):
            (one if number % 2 else two).add(rows(trace(str(number)), trace(f"{number}+")))

        assert len(ids(path)) == 10
        assert ids(path)[:2] == ["9+", "9"]


def test_a_question_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    path = tmp_path / "t.db"
    with opened(path) as file:
        file.add(rows(*(trace(str(number), path=f"/{number}") for number in range(5000))))
    monkeypatch.setattr(file_module, "QUESTION", -1)

    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        search(path, filters_of({"path": ["*nothing*"]}, NOW), most=10)


def test_an_empty_file_is_not_read_as_one_with_traces(tmp_path):
    (tmp_path / "t.db").touch()

    with pytest.raises(Unusable, match="holds no traces yet"):
        ids(tmp_path / "t.db")
    with pytest.raises(FileNotFoundError):
        ids(tmp_path / "none.db")


# --- followers ------------------------------------------------------------------------------------------------------


async def test_followers_are_bounded_and_so_is_what_waits_for_each():
    followers = Followers()
    assert followers.enter(Filters()) is None, "not open yet"
    followers.open(asyncio.get_running_loop())
    slow, picky, *others = [followers.enter(Filters(path=["/b"] if n == 1 else [])) for n in range(MOST)]
    assert followers.enter(Filters()) is None
    made = rows(*(trace(str(n), path="/b" if n % 100 == 0 else "/a") for n in range(WAITING + 100)))
    await asyncio.to_thread(followers.publish, made)
    await asyncio.sleep(0)

    assert (slow.queue.qsize(), slow.dropped) == (WAITING, 100)
    assert (picky.queue.qsize(), picky.dropped) == (3, 0)
    for each in (slow, picky, *others):
        followers.leave(each)
    assert followers.enter(Filters()) is not None
    followers.close()


# --- placement ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"STATE_DIRECTORY": "/var/lib/gate:/var/lib/other", "XDG_STATE_HOME": "/x"}, "/var/lib/gate/traces.db"),
        ({"XDG_STATE_HOME": "/x"}, "/x/hookgate/traces.db"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/hookgate/traces.db"),
    ],
)
def test_without_a_path_the_file_is_where_programs_keep_their_state(monkeypatch, environment, place):
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert str(Keeper(KeeperOptions()).path) == place


async def test_the_folder_of_the_default_is_made_for_its_owner(monkeypatch, tmp_path):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    observer = build(Keeper)
    observer.startup(House())
    observer.exchange_finished(Call(trace("a")))
    await observer.caught_up(30)
    await observer.shutdown()

    folder = tmp_path / "state" / "hookgate"
    assert ids(folder / "traces.db") == ["a"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_conformance(tmp_path):
    conformance(Keeper, options={"path": str(tmp_path / "t.db")})
    conformance(TraceApp)
