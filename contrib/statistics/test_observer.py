"""The observer in a gateway that runs: bounds, and a database that is away."""

import asyncio
import time

import httpx

from hookgate import Exchange, Identity, Request
from hookgate.testing import running
from hookgate_statistics import OTHER, Question
from hookgate_statistics.cells import Counts
from hookgate_statistics.keeping import ask
from hookgate_storage import Database


def document(path, **options):
    return {
        "gateway": {"observers": [{"statistics": {"url": f"sqlite:///{path}", "flush": "100ms", **options}}]},
        "management": {"apps": ["health"]},
        "routes": [{"name": "open", "match": {"path": "/open"}, "flow": [{"respond": {"body": "x"}}]}],
    }


def call(user):
    made = Exchange(Request("GET"))
    made.identity = Identity(user)
    made.finished = made.started + 0.01
    return made


def test_names_that_callers_bring_are_bounded_in_number_and_length():
    counts = Counts(lambda: 90.0, most=10, waiting=100)
    for n in range(1000):
        counts.count(call(f"{n}-" + "x" * 5000))
    (cells,) = counts.take().values()
    assert len(cells) == 11
    assert sum(each.calls for each in cells.values()) == 1000
    assert {len(key.user) for key in cells} == {200, len(OTHER)}
    assert counts.folded == 990


def test_minutes_that_cannot_be_written_are_dropped_from_the_oldest_on_and_counted():
    now = [0.0]
    counts = Counts(lambda: now[0], most=10, waiting=100)
    for minute in range(50):
        now[0] = minute * 60.0
        for n in range(5):
            counts.count(call(str(n)))
    kept = counts.take()
    assert sum(map(len, kept.values())) <= 105
    assert sum(cell.calls for cells in kept.values() for cell in cells.values()) + counts.lost == 250
    assert (min(kept), max(kept)) == ((50 - len(kept)) * 60, 49 * 60)


async def test_a_database_that_is_away_delays_no_call_and_gets_all_counts_when_it_is_back(tmp_path):
    folder = tmp_path / "later"
    with running(document(folder / "counts.db")) as gate:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            assert [(await client.get(f"{gate.url}/open")).status_code for _ in range(7)] == [200] * 7
            seen = []

            async def told(degraded):
                async with asyncio.timeout(60):
                    while True:
                        seen.append((await client.get(f"{gate.management}/-/health")).text)
                        if ("the store sqlite" in seen[-1]) == degraded:
                            return
                        await asyncio.sleep(0.05)

            await told(True)
            folder.mkdir()
            await told(False)
    assert await read(folder / "counts.db") == {"open": 7}


async def read(path):
    database = Database(f"sqlite:///{path}")
    try:
        found = await ask(database, Question(time.time() - 600, time.time() + 600, by=("route",)))
        return {answer.group[0]: answer.cell.calls for answer in found}
    finally:
        await database.close()
