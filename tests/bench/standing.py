"""A store with much in it: how long a gateway takes to start, and to put one change live amid calls; what tokens cost.

.venv/bin/python tests/bench/standing.py                        # 10,000 routes, 2,000 connections, 100,000 users
.venv/bin/python tests/bench/standing.py --routes 1000 --connections 200 --users 10000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import insert

from contrib.management.caller import Caller
from contrib.management.served import DOCUMENT, Served, serving
from hookgate_people.tables import tokens, users
from hookgate_storage import Change, Database, Keys, open_store, upgrade

AT_ONCE = 5000
"""Rows, or changes, in one transaction."""
CLIENTS = 4
COLD = 1000
"""Tokens that are shown for the first time."""
WHO = """\
  - name: who
    match: {path: /who}
    flow: [{auth: {methods: [{people: {cache: 300s}}]}}, {respond: {body: x}}]
"""


def route(number: int, connections: int, answer: str) -> dict[str, object]:
    """Return a route: one in ten answers itself, so that calls need no backend."""
    name = f"r{number:05}"
    body: dict[str, object] = {"name": name, "match": {"path": f"/{name}"}, "flow": ["request-id"]}
    if number % 10 == 0:
        return body | {"flow": ["request-id", {"respond": {"body": answer}}]}
    return body | {"to": {"connection": f"c{number % connections:04}", "timeout": 10}}


async def filled(url: str, key: Path, asked: argparse.Namespace) -> list[str]:
    """Put routes, connections and users with a token each into a store; return the tokens."""
    database = Database(url)
    await upgrade(database)
    await database.close()
    store = await open_store(url, Keys.in_file(key, make=True))
    wanted = [
        Change("connections", f"c{n:04}", {"targets": f"http://127.0.0.1:{1000 + n}"}) for n in range(asked.connections)
    ]
    wanted += [
        Change("routes", str(body["name"]), body, "list")
        for body in (route(n, asked.connections, "0") for n in range(asked.routes))
    ]
    for start in range(0, len(wanted), AT_ONCE):
        await store.write(wanted[start : start + AT_ONCE], "bench")
    shown = [f"hgt_{secrets.token_urlsafe(32)}" for _ in range(asked.users)]
    now = time.time()
    for start in range(0, len(shown), AT_ONCE):
        part = list(enumerate(shown[start : start + AT_ONCE], start))
        people = {"display": "", "hash": None, "service": True, "disabled": False, "made": now, "version": 1}
        token = {"name": "t", "scopes": None, "made": now, "ends": None, "used": None}
        async with store.database.transaction(writes=True, more=60) as connection:
            await connection.execute(insert(users), [{"name": f"u{n}", **people} for n, _ in part])
            hashed = [{"id": f"{n:x}", "user": f"u{n}", "hash": sha256(t.encode()).digest(), **token} for n, t in part]
            await connection.execute(insert(tokens), hashed)
    await store.close()
    return shown


def told(took: list[float]) -> str:
    """Say how long calls took."""
    took = sorted(took)
    median, p99 = (1000 * took[len(took) * part // 100] for part in (50, 99))
    return f"{len(took)} calls, median {median:.1f} ms, p99 {p99:.1f} ms, longest {1000 * took[-1]:.0f} ms"


async def called(gate: Served, routes: int, stop: asyncio.Event) -> list[float]:
    """Call until told to stop; every answer has to be right."""
    took: list[float] = []

    async def one(number: int) -> None:
        caller = Caller(gate.public)
        while not stop.is_set():
            number = (number * 7 + 10) % routes // 10 * 10
            began = time.perf_counter()
            status, body = await caller.call("GET", f"/r{number:05}")
            took.append(time.perf_counter() - began)
            assert (status, body in {b"0", b"1"}) == (200, True), (number, status, body)
            await asyncio.sleep(0.01)
        caller.close()

    await asyncio.gather(*(one(each * 10) for each in range(CLIENTS)))
    return took


async def changed(gate: Served, routes: int, process: psutil.Process) -> None:
    """Measure calls in quiet, and while a change goes live."""
    for what in ("quiet", "amid the first change", "amid another change"):
        stop = asyncio.Event()
        calls = asyncio.create_task(called(gate, routes, stop))
        if what == "quiet":
            await asyncio.sleep(10)
        else:
            writer = Caller(gate.management)
            body = json.dumps(route(0, 1, "1")).encode()
            began, used = time.monotonic(), sum(process.cpu_times()[:2])
            status, answer = await writer.call("PUT", "/-/api/objects/routes/r00000?wait=300s", body)
            live, took = json.loads(answer).get("live"), time.monotonic() - began
            used = sum(process.cpu_times()[:2]) - used
            sys.stdout.write(f"  a change is live after {took:.1f} s ({used:.1f} s of CPU; {status}, live: {live})\n")
            writer.close()
        stop.set()
        sys.stdout.write(f"  {what}: {told(await calls)}\n")
        sys.stdout.flush()


async def with_tokens(gate: Served, shown: list[str], process: psutil.Process) -> None:
    """Measure calls that carry a token: each one for the first time, and then the same ones."""
    first = shown[:COLD]
    for what, listed in (("cold", first), ("warm", first), ("without a token", [""] * COLD)):
        took = await one_after_the_other(gate, listed)
        sys.stdout.write(f"  {what}: {told(took)}\n")
    sys.stdout.write(f"  memory of the node: {process.memory_info().rss / 2**20:.0f} MiB\n")


async def one_after_the_other(gate: Served, listed: list[str]) -> list[float]:
    """Call with each token."""
    took, caller = [], Caller(gate.public)
    for token in listed:
        began = time.perf_counter()
        status, _ = await caller.call("GET", "/who" if token else "/hello", token=token)
        took.append(time.perf_counter() - began)
        assert status == 200, status
    caller.close()
    return took


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, count in (("routes", 10_000), ("connections", 2_000), ("users", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        url, key = f"sqlite:///{folder / 'store.db'}", folder / "store.key"
        began = time.monotonic()
        shown = asyncio.run(filled(url, key, asked))
        counts = f"{asked.routes:,} routes, {asked.connections:,} connections, {asked.users:,} users with a token"
        sys.stdout.write(f"{counts}: stored in {time.monotonic() - began:.1f} s\n")
        began = time.monotonic()
        with serving(folder, url, DOCUMENT + WHO, ready=False, key=str(key)) as gate:
            process = psutil.Process(gate.process.pid)
            sys.stdout.write(
                f"  serves after {time.monotonic() - began:.1f} s, {process.memory_info().rss / 2**20:.0f} MiB\n"
            )
            sys.stdout.flush()
            asyncio.run(with_tokens(gate, shown, process))
            assert gate.call("GET", "/schema").status_code == 200
            asyncio.run(changed(gate, asked.routes, process))


if __name__ == "__main__":
    main()
