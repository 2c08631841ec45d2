"""State in a SQLite file, as a plugin in a running gateway meets it: what lasts, and what may go wrong."""

import asyncio
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

import hookgate_state_sqlite.writer as writer
from hookgate import Row, StateError
from hookgate.testing import MovableClock, build, running
from hookgate_state_sqlite import Sqlite
from hookgate_state_sqlite.file import StateFile

KEEPER = '''
from typing import Any

from hookgate import Exchange, Host, Interceptor, Options, Response, StateError, hookimpl


class Keeper(Interceptor[Options]):
    """Keeps what is put, and says what is there."""

    writes = {"answer"}

    @hookimpl
    def startup(self, host: Host) -> None:
        self._state = host.state("kept")

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        key = exchange.request.path.rpartition("/")[2]
        try:
            return Response.text(await self._answer(exchange.request.method, key, exchange.request.query))
        except StateError as error:
            return Response.text(str(error), 503)

    async def _answer(self, method: str, key: str, query: str) -> str:
        if method == "PUT":
            return str(await self._state.put(key, "x" * int(query or 1), ttl=60 if key.startswith("brief") else None))
        if method == "POST":
            return str(await self._state.add(key))
        if method == "DELETE":
            return str(await self._state.delete(key))
        found: Any = await self._state.get(key)
        return "nothing" if found is None else str(found.value)
'''
ROUTES = """
routes:
  - {name: kept, match: {path: "/kept/{key}"}, flow: [keeper]}
  - {name: other, match: {path: /other}, flow: [{respond: {body: fine}}]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a gateway runs, and what it keeps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    Path("plugins").mkdir()
    Path("plugins/keeper.py").write_text(KEEPER)
    return tmp_path


def document(**options):
    said = ", ".join(f"{name}: {value}" for name, value in options.items())
    return f"gateway: {{state: {{sqlite: {{{said}}}}}}}\n{ROUTES}" if said else ROUTES


def serving(**options):
    return running(document(**options), plugins_dir=Path("plugins"))


def asked(gate, method, path):
    found = gate.request(method, path)
    return found.text if found.status_code == 200 else (found.status_code, found.text)


def until(condition, patience=60.0):
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.02)
    return found


def trouble(gate):
    return " ".join(gate.gateway.status()["problems"])


def is_well_again(gate):
    until(lambda: gate.gateway.status()["status"] == "ok")
    assert isinstance(asked(gate, "PUT", "/kept/after"), str)


@contextmanager
def unprivileged():
    """Be nobody for a while: the superuser may write what is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# --- where, and when --------------------------------------------------------------------------------------------------


def test_a_gateway_whose_plugins_keep_nothing_touches_no_disk(folder):
    before = {path.name for path in folder.iterdir()}
    with serving() as gate:
        assert asked(gate, "GET", "/other") == "fine"
        gate.reload()
        assert "plugins" not in gate.gateway.status()
        assert not [thread for thread in threading.enumerate() if thread.name == "state"]
    assert {path.name for path in folder.iterdir()} == before


def test_the_file_is_made_in_the_folder_of_systemd_for_nobody_else_to_read(folder, monkeypatch):
    Path("var").mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", f"{folder / 'var'}:{folder}")
    with serving() as gate:
        asked(gate, "PUT", "/kept/a")
        assert {stat.S_IMODE(path.stat().st_mode) for path in Path("var").iterdir()} == {0o600}
        assert gate.gateway.status()["plugins"]["gateway/sqlite"] == {
            "path": str(folder / "var/hookgate-state.db"),
            "waiting": 0,
        }

    assert [path.name for path in Path("var").iterdir()] == ["hookgate-state.db"]
    assert not Path("hookgate-state.db").exists()


def test_what_was_kept_is_there_after_a_restart(folder):
    with serving() as gate:
        assert asked(gate, "PUT", "/kept/a?3") == "1"
        assert [asked(gate, "POST", "/kept/n") for _ in range(2)] == ["1", "2"]
        asked(gate, "PUT", "/kept/gone")
        asked(gate, "DELETE", "/kept/gone")
    with serving() as gate:
        assert (asked(gate, "GET", "/kept/a"), asked(gate, "POST", "/kept/n")) == ("xxx", "3")
        assert asked(gate, "PUT", "/kept/gone") == "6"  # more than any that it had


def test_a_reload_with_other_options_goes_on_with_the_file(folder):
    with serving(path="one.db") as gate:
        asked(gate, "POST", "/kept/n")
        gate.reload(document(path="one.db", busy=0.5))
        assert asked(gate, "POST", "/kept/n") == "2"
        gate.reload(document(path="two.db"))
        assert asked(gate, "GET", "/kept/n") == "nothing"
        until(lambda: gate.gateway.status()["draining"] == [])
        assert [thread.name for thread in threading.enumerate()].count("state") == 1


def test_what_has_expired_leaves_the_file(folder, monkeypatch):
    monkeypatch.setattr(writer, "IDLE", 0.05)
    clock = MovableClock()
    with running(document(path="state.db"), plugins_dir=Path("plugins"), clock=clock) as gate:
        for number in range(600):  # more than one bite
            asked(gate, "PUT", f"/kept/brief{number}")
        asked(gate, "PUT", "/kept/lasting")
        with closing(sqlite3.connect("state.db")) as db:
            assert db.execute("SELECT count(*) FROM entries").fetchone() == (601,)
            gate.run(clock.advance(61))
            until(lambda: db.execute("SELECT count(*) FROM entries").fetchone() == (1,))
            assert db.execute("SELECT name, entries FROM names").fetchall() == [("kept", 1)]


def test_writers_take_out_what_has_expired_by_the_way(folder):
    clock = MovableClock()
    with running(document(path="state.db"), plugins_dir=Path("plugins"), clock=clock) as gate:
        for number in range(120):
            asked(gate, "PUT", f"/kept/brief{number}")
        gate.run(clock.advance(61))
        for number in range(3):
            asked(gate, "PUT", f"/kept/new{number}")
        with closing(sqlite3.connect("state.db")) as db:
            assert db.execute("SELECT count(*) FROM entries").fetchone() == (3,)


# --- several processes, and their ends --------------------------------------------------------------------------------


@contextmanager
def served(folder):
    """A real process, and its address."""
    Path("gateway.yaml").write_text(
        "gateway: {listen: ['127.0.0.1:0'], state: {sqlite: {path: state.db}}}\nmanagement: {enabled: false}\n" + ROUTES
    )
    environment = {**os.environ, "HOOKGATE_PLUGINS_DIR": "plugins", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "hookgate", "serve", "gateway.yaml"]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stderr.readline, "")
            url = next(found[1] for line in lines if (found := re.search(r"hookgate serves (\S+)", line)))
            threading.Thread(target=process.stderr.read, daemon=True).start()  # or its log would fill the pipe
            yield process, url.rstrip("/")
        finally:
            process.kill()


def test_nothing_that_was_acknowledged_is_lost_when_a_process_is_killed(folder):
    acknowledged, counted = [], 0
    with served(folder) as (process, url):

        def write(worker):
            nonlocal counted
            with httpx.Client(base_url=url) as client:
                for number in range(100_000):
                    try:
                        key = f"{worker}-{number}"
                        if client.put(f"/kept/{key}?{number % 3000 + 1}").status_code == 200:
                            acknowledged.append((key, number % 3000 + 1))
                        if client.post("/kept/count").status_code == 200:
                            counted += 1
                    except httpx.TransportError:
                        return

        workers = [threading.Thread(target=write, args=(worker,), daemon=True) for worker in range(4)]
        for worker in workers:
            worker.start()
        until(lambda: len(acknowledged) > 200)
        process.send_signal(signal.SIGKILL)
        for worker in workers:
            worker.join(60)

    with serving(path="state.db") as gate:
        assert [key for key, size in acknowledged if asked(gate, "GET", f"/kept/{key}") != "x" * size] == []
        assert counted <= int(asked(gate, "GET", "/kept/count")) <= counted + 4
    with closing(sqlite3.connect("state.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_processes_that_share_a_file_count_together(folder):
    with served(folder) as (_, url), served(folder) as (_, other), serving(path="state.db") as gate:
        addresses = [url, other, gate.url.rstrip("/")]
        answers = []

        def add(address):
            with httpx.Client(base_url=address) as client:
                answers.extend(client.post("/kept/n").text for _ in range(60))

        workers = [threading.Thread(target=add, args=(address,), daemon=True) for address in addresses * 2]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)

    assert sorted(map(int, answers)) == list(range(1, 361))


# --- what may be wrong with the file ----------------------------------------------------------------------------------


def test_a_file_that_another_process_holds_is_named_and_others_go_on(folder, monkeypatch):
    tries = []
    whole = StateFile.writing
    monkeypatch.setattr(StateFile, "writing", lambda file: tries.append(file) or whole(file))
    with serving(path="state.db", busy=0.3) as gate, closing(sqlite3.connect("state.db", isolation_level=None)) as db:
        asked(gate, "PUT", "/kept/a")
        db.execute("BEGIN IMMEDIATE")
        refused = asked(gate, "PUT", "/kept/a?2")

        locked = "state.db is locked by another process, for longer than 0.3 s"
        assert refused == (503, f"the state 'kept' cannot be used: gateway/sqlite: {locked}")
        assert asked(gate, "GET", "/kept/a") == "x"  # who reads waits for nobody
        assert trouble(gate).startswith("gateway/sqlite: state.db is locked")
        assert asked(gate, "GET", "/other") == "fine"
        before = len(tries)
        until(lambda: len(tries) > before + 1)  # nobody asks, and it looks again
        assert "is locked" in trouble(gate)
        db.execute("COMMIT")
        is_well_again(gate)
        said = [record.getMessage() for record in gate.log if "state.db" in record.getMessage()]

    assert next(each for each in said if "locked" in each) == f"state: {locked}"
    assert said[-1] == "state: state.db can be used again"


def test_calls_are_served_while_the_file_is_waited_for(folder):
    with serving(path="state.db", busy=3) as gate, closing(sqlite3.connect("state.db", isolation_level=None)) as db:
        asked(gate, "PUT", "/kept/a")
        db.execute("BEGIN IMMEDIATE")
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(httpx.put(f"{gate.url}/kept/a?2").text))
        waiting.start()
        for _ in range(20):
            assert asked(gate, "GET", "/other") == "fine"
        assert answers == []
        db.execute("COMMIT")
        waiting.join(60)

        assert answers == ["2"]
        assert trouble(gate) == ""


def fill(gate):
    """Write until there is no room."""
    for number in range(100):
        found = asked(gate, "PUT", f"/kept/{number}?20000")
        if not isinstance(found, str):
            return number, found
    raise AssertionError("there is no end")


def test_a_file_that_is_as_large_as_it_may_be_takes_no_more_and_gives_what_it_has(folder):
    with serving(path="state.db", at_most=262144) as gate:
        count, (status, text) = fill(gate)

        assert (status, count > 5) == (503, True)
        assert "gateway/sqlite: state.db is full: the disk has no room, or the file is as large as" in text
        assert "is full" in trouble(gate)
        assert asked(gate, "GET", "/kept/0") == "x" * 20_000
        assert Path("state.db").stat().st_size <= 262_144
        for number in range(count):
            assert asked(gate, "DELETE", f"/kept/{number}") == "True"
        is_well_again(gate)
        assert isinstance(asked(gate, "PUT", "/kept/0?20000"), str)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can make a disk that is small")
def test_a_disk_that_is_full_is_told_and_what_was_kept_stays(folder):
    Path("small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "small"], check=True)
    try:
        with serving(path="small/state.db") as gate:
            asked(gate, "PUT", "/kept/a")
            Path("small/ballast").write_bytes(b"x" * 500_000)
            _, (status, text) = fill(gate)

            assert (status, "small/state.db" in text) == (503, True)
            assert "gateway/sqlite: small/state.db" in trouble(gate)
            assert asked(gate, "GET", "/kept/a") == "x"
            assert asked(gate, "GET", "/other") == "fine"
            Path("small/ballast").unlink()
            is_well_again(gate)
            assert asked(gate, "GET", "/kept/a") == "x"
            assert asked(gate, "GET", "/kept/0") == "x" * 20_000
    finally:
        subprocess.run(["umount", "small"], check=True)


def test_a_file_that_is_none_of_sqlite_is_told_until_it_is_moved_away(folder):
    Path("state.db").write_text("these are the notes of last week " * 100)
    with serving(path="state.db") as gate:
        status, text = asked(gate, "PUT", "/kept/a")

        assert (status, "gateway/sqlite: state.db is broken, or no SQLite file; put a backup" in text) == (
            503,
            True,
        )
        assert "is broken" in trouble(gate)
        assert asked(gate, "GET", "/other") == "fine"
        assert Path("state.db").read_text().startswith("these are the notes")
        Path("state.db").rename("broken.db")
        is_well_again(gate)


def test_a_file_that_breaks_while_it_is_used_is_told_and_a_backup_put_in_its_place_is_used(folder):
    with serving(path="state.db") as gate:
        asked(gate, "PUT", "/kept/a?7")
    backup = Path("state.db").read_bytes()
    with serving(path="state.db") as gate:
        asked(gate, "GET", "/kept/a")
        with Path("state.db").open("r+b") as file:
            file.write(b"\xff" * len(backup))
        until(lambda: isinstance(asked(gate, "PUT", "/kept/b"), tuple))

        assert "gateway/sqlite: state.db is broken" in trouble(gate)
        Path("backup.db").write_bytes(backup)
        Path("backup.db").rename("state.db")
        is_well_again(gate)
        assert asked(gate, "GET", "/kept/a") == "x" * 7


def test_a_file_that_is_moved_away_while_it_is_used_is_not_written_any_more(folder):
    with serving(path="state.db") as gate:
        asked(gate, "PUT", "/kept/a")
        Path("state.db").rename("old.db")
        assert isinstance(asked(gate, "PUT", "/kept/b"), str)
        assert asked(gate, "GET", "/kept/a") == "nothing"

    with closing(sqlite3.connect("state.db")) as db:
        assert db.execute("SELECT key FROM entries").fetchall() == [("b",)]


@pytest.mark.parametrize(
    ("pragma", "why"),
    [
        ("user_version = 7", "is of version 7, and this hookgate keeps version 1"),
        ("application_id = 7", "is a SQLite file of something else"),
    ],
)
def test_a_file_of_another_version_is_left_as_it_is(folder, pragma, why):
    with serving(path="state.db") as gate:
        asked(gate, "PUT", "/kept/a")
    with closing(sqlite3.connect("state.db")) as db:
        db.execute(f"PRAGMA {pragma}")
    before = Path("state.db").read_bytes()
    with serving(path="state.db") as gate:
        status, text = asked(gate, "PUT", "/kept/a")
        assert (status, f"gateway/sqlite: state.db {why}" in text) == (503, True)
        assert why in trouble(gate)
        assert asked(gate, "GET", "/other") == "fine"
    assert Path("state.db").read_bytes() == before


def test_the_file_of_another_program_is_left_as_it_is(folder):
    with closing(sqlite3.connect("state.db")) as db:
        db.execute("CREATE TABLE theirs (value)")
    before = Path("state.db").read_bytes()
    with serving(path="state.db") as gate:
        assert "is a SQLite file of something else; name another one" in asked(gate, "PUT", "/kept/a")[1]
    assert Path("state.db").read_bytes() == before


def test_a_folder_that_is_missing_is_named_and_used_when_it_is_there(folder):
    with serving(path="var/state.db") as gate:
        status, text = asked(gate, "GET", "/kept/a")
        assert (status, f"var/state.db cannot be made: the folder {folder}/var is missing" in text) == (503, True)
        assert f"the folder {folder}/var is missing" in trouble(gate)
        assert not Path("var").exists()
        Path("var").mkdir()
        is_well_again(gate)


def test_a_file_that_is_read_only_is_told(monkeypatch):
    with TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        monkeypatch.chdir(home)
        Path("plugins").mkdir()
        Path("plugins/keeper.py").write_text(KEEPER)
        with serving(path="state.db") as gate:
            asked(gate, "PUT", "/kept/a")
        Path("state.db").chmod(0o444)
        with serving(path="state.db") as gate:
            assert gate.client  # made by who may read what this machine trusts
            with unprivileged():
                status, text = asked(gate, "PUT", "/kept/a")
                assert status == 503
                assert re.search(
                    r"gateway/sqlite: state\.db .*(read-only|unable to open|permission)", text, re.IGNORECASE
                )
                assert "state.db" in trouble(gate)
            Path("state.db").chmod(0o600)
            is_well_again(gate)


# --- the thread -------------------------------------------------------------------------------------------------------


@contextmanager
def held(path):
    """Another process holds the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")


class House:
    def __init__(self):
        import logging

        self.clock, self.log = MovableClock(), logging.getLogger("hookgate.test")


async def test_what_nobody_waits_for_any_more_is_not_done(tmp_path):
    store = build(Sqlite, path=tmp_path / "state.db")
    store.startup(House())
    await store.write("kept", "a", Row(b"1"), None, 9, 0.0)
    with held(tmp_path / "state.db"):
        first = store.write("kept", "b", Row(b"2"), None, 9, 0.0)
        await asyncio.sleep(0.1)  # the thread waits with this one
        second = store.write("kept", "c", Row(b"3"), None, 9, 0.0)
        second.cancel()
    await first

    assert [key for key, _ in await store.scan("kept", "", "", 9, 0.0)] == ["a", "b"]
    await store.shutdown()


async def test_too_many_who_wait_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MOST_WAITING", 5)
    store = build(Sqlite, path=tmp_path / "state.db")
    store.startup(House())
    await store.read("kept", "a", 0.0)
    with held(tmp_path / "state.db"):
        waiting = [store.write("kept", "a", Row(b"1"), None, 9, 0.0)]
        await asyncio.sleep(0.1)
        waiting += [store.write("kept", "a", Row(b"1"), None, 9, 0.0) for _ in range(5)]
        assert store.health()["waiting"] == 5
        with pytest.raises(StateError, match=r"state\.db is slow: 5 questions are waiting"):
            store.read("kept", "a", 0.0)
    assert await asyncio.gather(*waiting) == [1, 2, 3, 4, 5, 6]
    await store.shutdown()


async def test_one_that_is_too_much_for_the_file_is_refused_and_those_beside_it_are_kept(tmp_path):
    store = build(Sqlite, path=tmp_path / "state.db", at_most=262_144)
    store.startup(House())
    await store.write("kept", "much", Row(b"x" * 130_000), None, 99, 0.0)
    with held(tmp_path / "state.db"):
        waiting = [store.write("kept", "first", Row(b"1"), None, 99, 0.0)]
        await asyncio.sleep(0.1)  # the others are asked together
        waiting += [store.write("kept", "more", Row(b"x" * 130_000), None, 99, 0.0)]
        waiting += [store.write("kept", str(number), Row(b"1"), None, 99, 0.0) for number in range(5)]
    _, refused, *kept = await asyncio.gather(*waiting, return_exceptions=True)

    assert "state.db is full" in str(refused)
    assert [type(each) for each in kept] == [int] * 5
    assert [key for key, _ in await store.scan("kept", "", "", 99, 0.0)] == [*"01234", "first", "much"]
    await store.shutdown()


async def test_a_shutdown_answers_what_was_asked_and_nothing_is_asked_after_it(tmp_path):
    store = build(Sqlite, path=tmp_path / "state.db")
    store.startup(House())
    answers = [store.write("kept", str(number), Row(b"1"), None, 999, 0.0) for number in range(300)]
    await store.shutdown()

    assert sorted([await answer for answer in answers]) == list(range(1, 301))
    with pytest.raises(StateError, match=r"state\.db has been closed"):
        await store.read("kept", "1", 0.0)
    assert store.health() is None
