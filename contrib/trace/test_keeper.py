"""The file of traces, its bounds and its troubles; the pages are proved by test_kept_traces.py."""

import json
import sqlite3
import stat
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate.testing import MovableClock, build
from hookgate_authoring.conformance import conformance
from hookgate_trace.file import Bounds, TraceFile, find, search
from hookgate_trace.filters import Filters
from hookgate_trace.keeper import Keeper, KeeperOptions
from hookgate_trace.pages import TraceApp
from hookgate_trace.rows import row_of

from .traces import BOUNDS, NOW, TRACEPARENT, Call, House, ids, opened, rows, trace

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
