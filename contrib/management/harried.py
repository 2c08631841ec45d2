"""Gateways on one PostgreSQL that are killed, cut off and started again, while many write and call.

Writes and calls begin when their time has come, whatever became of those before: so many a second are asked for. All of
them are made on one event loop, on connections that are kept, for what they cost is taken from the nodes.
"""

import asyncio
import itertools
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from .caller import Caller
from .cut import way_to
from .served import Served, environment, serving

TROUBLES = ("kill", "dropped", "silent", "half")
PROVED = 0.02
"""The part of writes that wait until every node serves them; such a write waits as long as a node is cut off."""


class Node:
    """A gateway, with a way of its own to the database."""

    def __init__(self, folder, url: str, key: str) -> None:
        self.folder, self.key = folder, key
        self._all, self._running = ExitStack(), ExitStack()
        self.cut, self.url = self._all.enter_context(way_to(url))
        self.gate: Served | None = None

    def start(self) -> None:
        """Start it; it may have been killed."""
        self.gate = self._running.enter_context(serving(self.folder, self.url, ready=False, key=self.key))

    def warm(self) -> None:
        """Have it know its kinds, which takes seconds once."""
        assert self.gate.call("GET", "/schema").status_code == 200

    def kill(self) -> None:
        """End it at once."""
        gate, self.gate = self.gate, None
        gate.process.kill()
        gate.process.wait(60)
        self._running.close()

    def close(self) -> None:
        """End it properly."""
        self._running.close()
        self._all.close()


@contextmanager
def nodes(tmp_path, url: str, count: int):
    """Run so many gateways on one database."""
    with ExitStack() as stack:
        found = []
        for number in range(count):
            folder = tmp_path / f"node-{number}"
            folder.mkdir()
            found.append(Node(folder, url, str(tmp_path / "store.key")))
            stack.callback(found[-1].close)
        upgrade = [sys.executable, "-m", "hookgate", "storage", "upgrade"]
        made = environment(found[0].url, key=str(tmp_path / "store.key"))
        subprocess.run(upgrade, env=made, check=True, capture_output=True)
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(Node.start, found))
            list(pool.map(Node.warm, found))
        yield found


@dataclass
class Record:
    """What was seen."""

    wrong: list[str] = field(default_factory=list)
    written: int = 0
    refused: int = 0
    """Asked for, and told that it is not done, by every node that was asked."""
    skipped: int = 0
    """Not asked for: every writer waited for an answer."""
    live: int = 0
    late: int = 0
    calls: int = 0
    tried: dict[str, int] = field(default_factory=dict)
    """The highest number that was sent, for each route."""
    stored: dict[str, int] = field(default_factory=dict)
    """The highest number that was acknowledged."""
    took: list[float] = field(default_factory=list)
    """Seconds of each write that was stored."""


class Harry:
    """Writers, callers and troubles."""

    def __init__(self, nodes: list[Node], seed: int) -> None:
        self.nodes, self.record = nodes, Record()
        self._random = random.Random(seed)
        self._idle: defaultdict[str, list[Caller]] = defaultdict(list)

    def run(self, seconds: float, troubles, writes: int, writers: int, calls: int) -> None:
        """Ask for so many writes and calls a second for so long, with so many writers, each of which waits for its
        answer."""
        self.record.tried = {f"w{number}": 0 for number in range(writers)}
        asyncio.run(self._run(seconds, troubles, writes, calls))

    async def _run(self, seconds: float, troubles, writes: int, calls: int) -> None:
        until = time.monotonic() + seconds
        jobs: set[asyncio.Task[None]] = set()

        def begin(job) -> None:
            task = asyncio.ensure_future(job)
            jobs.add(task)
            task.add_done_callback(self._done)
            task.add_done_callback(jobs.discard)

        idle = list(self.record.tried)
        self._random.shuffle(idle)

        def write() -> None:
            if idle:
                begin(self._written(idle.pop(0), idle))
            else:
                self.record.skipped += 1

        told = itertools.cycle(itertools.product(["hello", *self.record.tried], range(len(self.nodes))))

        def call() -> None:
            name, node = next(told)
            begin(self._called(name, self.nodes[node]))

        async with asyncio.TaskGroup() as group:
            group.create_task(_each(1 / writes, write, until))
            group.create_task(_each(1 / calls, call, until))
            group.create_task(self._trouble_all(seconds, troubles, until))
        while jobs:
            await asyncio.wait(set(jobs), timeout=120)
        for caller in itertools.chain.from_iterable(self._idle.values()):
            caller.close()

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.record.wrong.append(repr(error))

    async def _trouble_all(self, seconds: float, troubles, until: float) -> None:
        for trouble in itertools.cycle(troubles):
            await asyncio.sleep(max(0.0, min(seconds / 20, until - time.monotonic())))
            if time.monotonic() >= until:
                return
            await self._trouble(trouble, self._random.choice(self.nodes), min(seconds / 8, 6))

    async def _trouble(self, trouble: str, node: Node, seconds: float) -> None:
        if trouble == "none":
            return
        if trouble == "kill":
            await asyncio.to_thread(node.kill)
            await asyncio.to_thread(node.start)
            return
        await asyncio.to_thread(node.cut.set, trouble)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(node.cut.set, "open")

    async def _ask(self, url: str, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Ask on a connection that nobody else uses meanwhile."""
        idle = self._idle[url]
        caller = idle.pop() if idle else Caller(url)
        async with asyncio.timeout(60):
            told = await caller.call(method, path, body)
        idle.append(caller)
        return told

    async def _written(self, name: str, idle: list[str]) -> None:
        record = self.record
        number = record.tried[name] = record.tried[name] + 1
        said = {"name": name, "match": {"path": f"/{name}"}, "flow": [{"respond": {"body": str(number)}}]}
        query = "?wait=live" if self._random.random() < PROVED else ""
        began = time.monotonic()
        try:
            for node in self._random.sample(self.nodes, len(self.nodes)):  # a client that is refused asks another one
                if (gate := node.gate) is None:
                    continue
                try:
                    path = f"/-/api/objects/routes/{name}{query}"
                    status, body = await self._ask(gate.management, "PUT", path, json.dumps(said).encode())
                except (OSError, EOFError):
                    continue  # it was killed, or is being
                if status in (409, 503):  # others write all the time, or the database is away
                    continue
                if status not in (200, 201):
                    record.wrong.append(f"write: {status} {body!r}")
                    return
                record.written += 1
                record.stored[name] = number
                record.took.append(time.monotonic() - began)
                told = json.loads(body)
                if told.get("live"):
                    record.live += 1
                    await self._served(name, number, {each["node"] for each in told["nodes"]})
                elif query:
                    record.late += 1
                return
            record.refused += 1
        finally:
            idle.append(name)

    async def _served(self, name: str, number: int, told: set[str]) -> None:
        """What was acknowledged as live is served by each node that was said to be alive."""
        for gate in [node.gate for node in self.nodes if node.gate is not None]:
            if not any(each.endswith(f"-{gate.process.pid}") for each in told):
                continue
            try:
                status, body = await self._ask(gate.public, "GET", f"/{name}")
            except (OSError, EOFError):
                continue  # it has been killed since
            if status != 200 or int(body) < number:
                self.record.wrong.append(f"{name}={number} is live, and {gate.public} answers {body[:100]!r}")

    async def _called(self, name: str, node: Node) -> None:
        """No call gets a wrong answer: the route of the file is there, and what is stored says what somebody wrote."""
        if (gate := node.gate) is None:
            return
        record, before = self.record, self.record.stored.get(name, 0)
        try:
            status, body = await self._ask(gate.public, "GET", f"/{name}")
        except (OSError, EOFError) as error:
            if node.gate is gate and gate.process.poll() is None:
                record.wrong.append(f"{name} at {gate.public}: {error!r}")
            return
        record.calls += 1
        if name == "hello":
            right = body == b"hello"
        elif status == 404:  # not written yet, or not heard of by a node that is new or cut off
            right = before < 20 or gate is not node.gate
        else:
            right = status == 200 and 0 < int(body) <= record.tried[name]
        if not right:
            record.wrong.append(f"{name} at {gate.public}: {status} {body[:200]!r}")

    def settled(self, seconds: float = 120) -> None:
        """Every node comes to hold the same, and all that was acknowledged."""
        until = time.monotonic() + seconds
        while True:
            found = [node.gate.health()["plugins"]["sections.storage"] for node in self.nodes]
            newest = self.nodes[0].gate.call("GET", "/generations?limit=1").json()["generations"][0]
            held = {(each["generation"], each["digest"]) for each in found}  # all may be at the one before the last
            if held == {(newest["generation"], newest["digest"])} and all("problems" not in each for each in found):
                break
            assert time.monotonic() < until, found
            time.sleep(0.1)
        for node, (name, number) in itertools.product(self.nodes, self.record.stored.items()):
            answer = node.gate.get(f"/{name}")
            assert answer.status_code == 200, answer.text
            assert number <= int(answer.text) <= self.record.tried[name]


async def _each(every: float, begin, until: float) -> None:
    """Begin something each so many seconds, and what is late at once."""
    due = time.monotonic()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        begin()
        due += every
