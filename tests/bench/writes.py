"""Writes a second of the management API, with many writers at a time:

    .venv/bin/python tests/bench/writes.py                         # SQLite and PostgreSQL, one node and two
    .venv/bin/python tests/bench/writes.py --databases postgresql --nodes 2 --writers 64 --seconds 60

Each writer changes a route of its own, one call after the other, and every node is asked at the end whether it serves
what was acknowledged. Figures are told in docs/store.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from contrib.management.caller import Caller
from contrib.management.served import Served, serving
from hookgate.testing import postgresql


async def written(nodes: list[Served], writers: int, seconds: float) -> dict[str, object]:
    """Have writers write for so long, and return what came of it."""
    took: list[float] = []
    refused: dict[int, int] = {}
    last: dict[str, int] = {}

    async def write(number: int) -> None:
        name = f"w{number}"
        callers = [Caller(each.management) for each in nodes]
        turn = 0
        while time.monotonic() < until:
            turn += 1
            body = {"name": name, "match": {"path": f"/{name}"}, "flow": [{"respond": {"body": str(turn)}}]}
            began = time.monotonic()
            path = f"/-/api/objects/routes/{name}"
            status, _ = await callers[(turn + number) % len(nodes)].call("PUT", path, json.dumps(body).encode())
            if status in {200, 201}:
                took.append(time.monotonic() - began)
                last[name] = turn
            else:
                refused[status] = refused.get(status, 0) + 1
        for each in callers:
            each.close()

    for each in nodes:
        warm = Caller(each.management)
        status, told = await warm.call("GET", "/-/api/schema")
        assert status == 200, told
        warm.close()
    until = time.monotonic() + seconds
    await asyncio.gather(*map(write, range(writers)))
    lag = await settled(nodes, last)
    took.sort()
    return {
        "writes/s": round(len(took) / seconds, 1),
        "median ms": round(1000 * took[len(took) // 2]),
        "p99 ms": round(1000 * took[len(took) * 99 // 100]),
        "live everywhere after s": round(lag, 2),
        "refused": refused,
    }


async def settled(nodes: list[Served], last: dict[str, int]) -> float:
    """Wait until every node serves everything that was acknowledged; return the seconds that took."""
    began = time.monotonic()
    for each in nodes:
        for name, number in last.items():
            public = Caller(each.public)
            while True:
                status, body = await public.call("GET", f"/{name}")
                if status == 200 and int(body) >= number:
                    break
                assert time.monotonic() - began < 120, (name, number, status, body)
                await asyncio.sleep(0.05)
            public.close()
    return time.monotonic() - began


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--nodes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--writers", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    for database in asked.databases:
        for count in asked.nodes if database == "postgresql" else [1]:
            for writers in asked.writers:
                with ExitStack() as stack:
                    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                    url = f"sqlite:///{folder / 'store.db'}"
                    if database == "postgresql":
                        url = stack.enter_context(postgresql())
                    nodes = []
                    for number in range(count):
                        (folder / str(number)).mkdir()
                        key = str(folder / "store.key")
                        nodes.append(stack.enter_context(serving(folder / str(number), url, ready=not number, key=key)))
                    told = asyncio.run(written(nodes, writers, asked.seconds))
                    sys.stdout.write(f"{database}, {count} node(s), {writers} writers: {json.dumps(told)}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
