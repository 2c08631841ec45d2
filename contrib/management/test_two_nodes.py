"""Two gateways on one PostgreSQL: what was acknowledged as live is served, whoever is killed meanwhile."""

import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor

from .served import DOCUMENT, environment, serving

ROUTE = {"flow": [{"respond": {"body": "x"}}]}


def route(name, body):
    return {"name": name, "match": {"path": f"/{name}"}, "flow": [{"respond": {"body": body}}]}


def digests(*gates):
    return {gate.health()["plugins"]["sections.storage"]["digest"] for gate in gates}


def write(gate, name, body):
    told = gate.call("PUT", f"/objects/routes/{name}?wait=20s", route(name, body))
    assert told.is_success, f"{told.status_code} {told.text}\n{''.join(gate.lines[-60:])}"
    return told.json()


def test_what_one_node_wrote_the_other_serves(tmp_path_factory, postgres_url):
    key = tmp_path_factory.mktemp("key") / "store.key"
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    with (
        serving(folders[0], postgres_url, key=str(key)) as one,
        serving(folders[1], postgres_url, key=str(key)) as two,
    ):
        for number, gate in zip(range(6), itertools.cycle((one, two)), strict=False):
            told = write(gate, f"r{number}", f"b{number}")
            assert told["live"], told
            assert len(told["nodes"]) == 2
            assert [each.get(f"/r{number}").text for each in (one, two)] == [f"b{number}"] * 2
        assert len(digests(one, two)) == 1


def test_a_node_that_is_killed_holds_up_nobody_for_long_and_catches_up(tmp_path_factory, postgres_url):
    key = tmp_path_factory.mktemp("key") / "store.key"
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    with serving(folders[0], postgres_url, key=str(key)) as one:
        with serving(folders[1], postgres_url, key=str(key)) as two:
            assert write(one, "first", "1")["live"]
            two.process.kill()
            two.process.wait(30)
            told = write(one, "second", "2")  # after fifteen seconds without a sign it counts no more
        assert told["live"], told
        assert len(told["nodes"]) == 1
        with serving(folders[1], postgres_url, key=str(key)) as again:
            assert again.get("/second").text == "2"
            assert len(digests(one, again)) == 1


def test_many_writers_at_once_get_a_generation_each(tmp_path, postgres_url):
    with serving(tmp_path, postgres_url) as gate, ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda number: write(gate, f"r{number}", f"b{number}"), range(24)))
        assert sorted(each["generation"] for each in told) == list(range(1, 25))
        assert all(each["live"] for each in told)
        assert [gate.get(f"/r{number}").text for number in range(24)] == [f"b{number}" for number in range(24)]


LATE = """
import asyncio
import pathlib
from hookgate import Interceptor, Options, hookimpl

class Late(Interceptor[Options]):
    '''Is ready once there is a file.'''

    @hookimpl
    async def startup(self, host):
        while not pathlib.Path("go").exists():
            await asyncio.sleep(0.02)

    @hookimpl
    def on_request(self, exchange):
        pass
"""


def test_what_is_still_being_made_ready_is_not_live(tmp_path):
    folder = tmp_path / "installed"
    (info := folder / "acme_late-1.0.dist-info").mkdir(parents=True)
    (folder / "acme_late.py").write_text(LATE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-late\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hookgate.interceptors]\nlate = acme_late:Late\n")
    url = f"sqlite:///{tmp_path / 'store.db'}"
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    with serving(tmp_path, url, environ=environment(url) | {"PYTHONPATH": paths}) as gate:
        late = {"name": "late", "match": {"path": "/late"}, "flow": ["late", {"respond": {"body": "x"}}]}
        told = gate.call("PUT", "/objects/routes/late?wait=2s", late)
        assert told.is_success, told.text
        assert not told.json()["live"]
        assert gate.get("/late").status_code == 404
        (tmp_path / "go").touch()
        assert write(gate, "next", "y")["live"]
        assert [gate.get(path).text for path in ("/late", "/next")] == ["x", "y"]


def test_while_the_database_is_away_the_last_snapshot_serves(tmp_path):
    database = tmp_path / "store.db"
    with serving(tmp_path, f"sqlite:///{database}") as gate:
        assert write(gate, "kept", "1")["live"]
    for file in tmp_path.glob("store.db*"):
        file.rename(file.with_name(f"away-{file.name}"))
    database.mkdir()  # so that none can be made in its place
    with serving(tmp_path, f"sqlite:///{database}", DOCUMENT, ready=False) as gate:
        assert gate.get("/kept").text == "1"
        assert gate.health()["status"] == "degraded"
        assert "the last snapshot serves" in str(gate.health()["problems"])
        told = gate.call("PUT", "/objects/routes/new", route("new", "2"))
        assert (told.status_code, told.json()["type"]) == (503, "urn:hookgate:problem:store-away")
        database.rmdir()
        for file in tmp_path.glob("away-*"):
            file.rename(file.with_name(file.name.removeprefix("away-")))
        until = time.monotonic() + 60
        while gate.health()["status"] != "ok" and time.monotonic() < until:
            time.sleep(0.1)
        assert write(gate, "new", "2")["live"]
        assert gate.get("/new").text == "2"
