"""Workflows: what a synchronous one costs beside the call that it makes, asynchronous starts, and a long history.

.venv/bin/python tests/bench/workflows.py                             # everything, over SQLite and PostgreSQL
.venv/bin/python tests/bench/workflows.py --only call --database sqlite
.venv/bin/python tests/bench/workflows.py --only starts --seconds 10 --rate 1000 --executor procrastinate
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

sys.path.insert(0, str(Path(__file__).parents[2]))

from contrib.management.caller import Caller
from contrib.workflows.served import Farm, document, processes, setter, workflow
from hookgate.testing import postgresql, upstream
from hookgate_storage import Database
from hookgate_workflows.tables import instances
from tests.bench.standing import told

CALLS, ROUNDS = 500, 6
CALL = {"connection": "shop", "url": "/x", "output_context_key": "*response*"}
WORKFLOWS = {
    "call": workflow(("call", {"original_name": "http_call", "params": CALL})),
    "plain": workflow(("say", setter("*response*", {"status": 200, "body": {"message": "hello"}}))),
}
ROUTES = [
    {"route": "/call", "method": "get", "workflow": "call", "sync": True, "public": True},
    {"route": "/plain", "method": "get", "workflow": "plain", "sync": True, "public": True},
    {"route": "/later", "method": "post", "workflow": "plain", "public": True},
]
KINDS = {"route": "/x", "workflow": "/api/v01/public/call", "no call": "/api/v01/public/plain"}
SENDERS = 32


@contextmanager
def served(url: str, folder: Path, backend: str, executor: str) -> Iterator[Farm]:
    """Give a gateway in a process of its own."""
    made = document(
        WORKFLOWS,
        ROUTES,
        connections={"shop": {"targets": backend}},
        workflow_engine={"executor": executor},
    ) | {"routes": [{"name": "x", "match": {"path": "/x"}, "to": {"connection": "shop"}}]}
    with processes(folder, url, made) as start:
        yield start()


async def compared(public: str) -> None:
    """Call in turns, for what else the machine does."""
    caller, found = Caller(public), {what: list[float]() for what in KINDS}
    for turn in range(ROUNDS):
        for _ in range(CALLS):
            for what, path in KINDS.items():
                began = time.perf_counter()
                status, body = await caller.call("GET", path)
                spent = time.perf_counter() - began
                assert status == 200, (status, body)
                if turn:
                    found[what].append(spent)
    caller.close()
    least = {what: 1e6 * sorted(times)[len(times) // 10] for what, times in found.items()}
    for what, times in found.items():
        sys.stdout.write(f"  {what}: {told(times)}, tenth percentile {least[what]:.0f} us\n")
    more = least["workflow"] - least["route"]
    sys.stdout.write(f"  a workflow costs {more:.0f} us more: {least['workflow'] / least['route']:.2f} of the route\n")


async def started(public: str, rate: int, seconds: int) -> None:
    """Ask for so many starts a second, and tell how many there were."""
    began, asked, took = time.perf_counter(), iter(range(rate * seconds)), list[float]()

    async def sender() -> None:
        caller = Caller(public)
        for number in asked:
            due = began + number / rate
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            status, body = await caller.call("POST", "/api/v01/public/later")
            assert status == 202, (status, body)
            took.append(time.perf_counter() - due)
        caller.close()

    await asyncio.gather(*(sender() for _ in range(SENDERS)))
    spent = time.perf_counter() - began
    sys.stdout.write(
        f"  {len(took) / spent:.0f} starts a second for {spent:.1f} s, each from when it was due: {told(took)}\n"
    )


async def finished(url: str, count: int) -> None:
    """Tell when all of them were over."""
    database, began = Database(url), time.perf_counter()
    while True:
        async with database.transaction() as connection:
            asked = text("SELECT count(*) FROM hookgate_workflow_instances WHERE status = 'CLOSED_IN_SUCCESS'")
            if (await connection.execute(asked)).scalar_one() >= count:
                break
        await asyncio.sleep(0.2)
    await database.close()
    sys.stdout.write(f"  all were over {time.perf_counter() - began:.1f} s later\n")


def row(number: int, now: float) -> dict[str, Any]:
    """Return an instance as the journal has it."""
    status = "CLOSED_IN_ERRORS" if number % 50 == 0 else "CLOSED_IN_SUCCESS"
    made: Mapping[str, Any] = {each.name: "" for each in instances.c}
    texts = {"request": '{"body": "' + "x" * 300 + '"}', "context": "{}", "errors": "[]", "state": "{}"}
    given = {"id": number, "guid": f"{number:036}", "workflow": f"w{number % 20}", "digest": "d", "parent": None}
    given |= {"route": f"/r{number % 20}", "method": "POST", "owner": f"user{number % 100}", "status": status}
    times = {"created": now, "updated": now, "closed": now, "wake": None, "lease": None, "lease_until": None}
    return {**made, **texts, **given, **times, "fence": 1}


async def filled(url: str, count: int) -> None:
    """Put a history into the journal."""
    database, now = Database(url), time.time()
    for start in range(10**6, 10**6 + count, 5000):
        async with database.transaction(writes=True, more=60) as connection:
            await connection.execute(insert(instances), [row(number, now) for number in range(start, start + 5000)])
    async with database.transaction(writes=True, more=60) as connection:
        await connection.execute(text("ANALYZE"))
    await database.close()


async def listed(management: str) -> None:
    """Ask for pages of the list."""
    caller = Caller(management)
    queries = (
        "",
        "status=CLOSED_IN_ERRORS",
        "workflow=w7",
        "owner=user7",
        "status=ACTIVE",
        "route=/nowhere",
        "before=1010000",
    )
    for query in queries:
        times = []
        for _ in range(20):
            began = time.perf_counter()
            status, body = await caller.call("GET", f"/-/api/transactions?{query}", token="token-of-ann")
            times.append(time.perf_counter() - began)
            assert status == 200, (status, body)
        rows = len(json.loads(body)["transactions"])
        sys.stdout.write(f"  list {query or 'of all'} ({rows} rows): {told(times)}\n")
    caller.close()


def measured(url: str, folder: Path, asked: argparse.Namespace) -> None:
    """Measure over one database."""
    with upstream() as shop, served(url, folder, shop.url, asked.executor) as farm:
        gate: Any = farm.gate
        if asked.only in ("", "call"):
            asyncio.run(compared(gate.url))
        if asked.only in ("", "starts"):
            asyncio.run(started(gate.url, asked.rate, asked.seconds))
            asyncio.run(finished(url, asked.rate * asked.seconds))
        if asked.only in ("", "list"):
            asyncio.run(filled(url, asked.history))
            asyncio.run(listed(gate.management))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["", "call", "starts", "list"], default="")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--executor", choices=["local", "procrastinate"], default="local")
    for name, count in (("rate", 1000), ("seconds", 10), ("history", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        if asked.database != "postgresql" and asked.executor == "local":
            sys.stdout.write("SQLite\n")
            measured(f"sqlite:///{folder / 'store.db'}", folder, asked)
            (folder / "store.key").unlink()
        if asked.database != "sqlite":
            with postgresql() as url:
                sys.stdout.write(f"PostgreSQL, executor {asked.executor}\n")
                measured(url, folder, asked)


if __name__ == "__main__":
    main()
