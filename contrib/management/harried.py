"""Gateways on one PostgreSQL that are killed, cut off and started again, while many write and call."""

import itertools
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx

from .cut import way_to
from .served import Served, environment, serving

TROUBLES = ("kill", "dropped", "silent", "half")


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
        self.stop = threading.Event()
        self._random = random.Random(seed)

    def run(self, seconds: float, writers: int, troubles) -> None:
        """Have them all go on for so long; what is tried is there before."""
        for number in range(writers):
            self.record.tried[f"w{number}"] = 0
        with ThreadPoolExecutor(writers + len(self.nodes) + 1) as pool:
            jobs = [pool.submit(self._write, f"w{number}") for number in range(writers)]
            jobs += [pool.submit(self._call, node) for node in self.nodes]
            try:
                until = time.monotonic() + seconds
                for trouble in itertools.cycle(troubles):
                    if self.stop.wait(max(0.0, min(seconds / 20, until - time.monotonic()))):
                        break
                    if time.monotonic() >= until:
                        break
                    self._trouble(trouble, self._random.choice(self.nodes), min(seconds / 8, 6))
                self.stop.wait(max(0.0, until - time.monotonic()))
            finally:
                self.stop.set()
            for job in jobs:
                job.result(120)

    def _trouble(self, trouble: str, node: Node, seconds: float) -> None:
        if trouble == "none":
            return
        if trouble == "kill":
            node.kill()
            node.start()
            return
        node.cut.set(trouble)
        time.sleep(seconds)
        node.cut.set("open")

    def _write(self, name: str) -> None:
        record, number = self.record, 0
        with httpx.Client(timeout=60, trust_env=False, headers={"Authorization": "Bearer token-of-ann"}) as client:
            for turn in itertools.count():
                if self.stop.is_set():
                    return
                gate = self.nodes[(turn + int(name[1:])) % len(self.nodes)].gate
                if gate is None:
                    continue
                number += 1
                record.tried[name] = number
                body = {"name": name, "match": {"path": f"/{name}"}, "flow": [{"respond": {"body": str(number)}}]}
                query = {"wait": "live"} if turn % 10 == 0 else {}
                began = time.monotonic()
                try:
                    answer = client.put(f"{gate.management}/-/api/objects/routes/{name}", json=body, params=query)
                except httpx.HTTPError:
                    continue  # it was killed, or is being
                told = answer.json()
                if answer.status_code in (409, 503):  # others write all the time, or the database is away
                    record.refused += 1
                elif not answer.is_success:
                    record.wrong.append(f"write: {answer.status_code} {answer.text}")
                else:
                    record.written += 1
                    record.stored[name] = number
                    record.took.append(time.monotonic() - began)
                    if told.get("live"):
                        record.live += 1
                        self._served(client, name, number, {each["node"] for each in told["nodes"]})
                    elif query:
                        record.late += 1

    def _served(self, client: httpx.Client, name: str, number: int, told: set[str]) -> None:
        """What was acknowledged as live is served by each node that was said to be alive."""
        for gate in [node.gate for node in self.nodes if node.gate is not None]:
            if not any(each.endswith(f"-{gate.process.pid}") for each in told):
                continue
            try:
                answer = client.get(f"{gate.public}/{name}")
            except httpx.HTTPError:
                continue  # it has been killed since
            if answer.status_code != 200 or int(answer.text) < number:
                self.record.wrong.append(f"{name}={number} is live, and {gate.public} answers {answer.text[:100]}")

    def _call(self, node: Node) -> None:
        """No call gets a wrong answer: the route of the file is there, and what is stored says what somebody wrote."""
        with httpx.Client(timeout=60, trust_env=False) as client:
            for name in itertools.cycle(["hello", *self.record.tried]):
                if self.stop.is_set():
                    return
                gate = node.gate
                if gate is None:
                    self.stop.wait(0.05)
                    continue
                try:
                    answer = client.get(f"{gate.public}/{name}")
                except httpx.HTTPError as error:
                    if node.gate is gate and gate.process.poll() is None:
                        self.record.wrong.append(f"{name} at {gate.public}: {error!r}")
                    continue
                self.record.calls += 1
                if name == "hello":
                    right = answer.text == "hello"
                elif answer.status_code == 404:  # not written yet
                    right = name not in self.record.stored or gate is not node.gate or self.record.stored[name] < 20
                else:
                    right = answer.status_code == 200 and 0 < int(answer.text) <= self.record.tried[name]
                if not right:
                    self.record.wrong.append(f"{name} at {gate.public}: {answer.status_code} {answer.text[:200]}")

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
