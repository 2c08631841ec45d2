"""The keeper of traces where things go wrong: what cannot be written, who is killed, who shares a file."""

import asyncio
import json
import logging
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from hookgate import Exchange, Request
from hookgate.testing import MovableClock, build
from hookgate_trace import file as file_module
from hookgate_trace.file import TraceFile, Unusable, find, search
from hookgate_trace.filters import Filters, filters_of
from hookgate_trace.followers import MOST, WAITING, Followers
from hookgate_trace.keeper import Keeper
from hookgate_trace.writer import Writer

from .traces import BOUNDS, NOW, Call, House, ids, opened, rows, trace


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
from traces import trace
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
