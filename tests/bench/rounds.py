"""One case: all contenders started, then measured round by round, each round in an order of its own."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import load, lookup, slowreaders
from .cases import Case
from .contenders import Contender
from .machine import Cores, core_time
from .processes import Process, StartError, free_ports
from .upstream import Upstream

MIB = 2**20
SLOW_ROUNDS = 2
"""Rounds of slow readers at most: memory hardly differs from one to the next."""


@dataclass(frozen=True)
class Bench:
    """What all measurements share."""

    cores: Cores
    upstream: Upstream
    values: Mapping[str, object]
    """Values of blanks that are the same for everybody."""
    rounds: int
    seconds: int
    order: random.Random


@dataclass
class Entrant:
    """A contender in one case."""

    contender: Contender
    found: Mapping[str, str]
    paths: int = 0
    """How many routes it has, where that is what is measured."""
    process: Process | None = None
    port: int = 0
    failed: str | None = None
    """Why it does not take part, or no longer."""


def entrants(case: Case, chosen: Sequence[tuple[Contender, Mapping[str, str]]]) -> list[Entrant]:
    """Say who takes part in a case: all that were chosen and are for it, or hookgate alone in as many sizes as are
    compared."""
    if case.kind != "routes":
        managed = case.kind == "managed"
        return [Entrant(contender, found) for contender, found in chosen if contender.managed == managed]
    ours = [found for contender, found in chosen if contender.name == "hookgate"]
    return [Entrant(lookup.contender(size), found, size) for found in ours for size in lookup.SIZES]


@contextlib.contextmanager
def running(case: Case, bench: Bench, entrants: Sequence[Entrant]) -> Iterator[None]:
    """Start everybody and call each once; whoever cannot start or answers wrongly is out. In the end all are ended."""
    with contextlib.ExitStack() as stack:
        for entrant in entrants:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hookgate-bench-")))
            plain, tls, management = free_ports(3)
            values = {**bench.values, **entrant.found, "PORT": plain, "TLS_PORT": tls, "MANAGEMENT_PORT": management}
            entrant.port = tls if case.tls else plain
            try:
                entrant.process = entrant.contender.start(folder, values, bench.cores.contender, tls=case.tls)
                stack.callback(entrant.process.end)
                if case.kind != "slow readers":  # it reads 100 MiB, and memory is what is measured there
                    load.probe(case, entrant.port, entrant.paths)
            except (StartError, load.LoadError, OSError) as error:
                entrant.failed = str(error)
                say(f"  {entrant.contender.name} is out: {error}")
        yield


def measure(case: Case, bench: Bench, entrant: Entrant) -> dict[str, Any]:
    """Measure one contender once.

    What is noted beside what `load.parse` tells: `cpu_seconds` of its processes, and the same as `cpu_us` microseconds
    a request; `rss_before` and `rss_peak` bytes; `upstream_connections` that it opened meanwhile; `own_core_busy`, the
    share of its core that it used, `other_core_busy`, that the load generator and backend used of theirs;
    `foreign`, the share of its core that strangers used; and `stolen`, what the hypervisor took of both.

    Raises:
        LoadError: it did not come about.
    """
    process = entrant.process
    assert process is not None
    cores = bench.cores
    memory = [process.rss()]
    accepted, cpu, began = bench.upstream.accepted(), process.cpu_seconds(), time.monotonic()
    own, other = core_time(cores.contender), core_time(cores.load)
    if case.kind == "slow readers":
        told = slowreaders.run(case, entrant.port, bench.seconds, lambda: memory.append(process.rss()))
    else:
        told = load.run(case, entrant.port, bench.seconds, entrant.paths, lambda: memory.append(process.rss()))
    own_after, other_after = core_time(cores.contender), core_time(cores.load)
    took, used = time.monotonic() - began, process.cpu_seconds() - cpu
    if not process.alive:
        raise load.LoadError(f"has died: {process.said()}")
    busy = (own_after.busy - own.busy) / took
    return {
        **told,
        "cpu_seconds": used,
        "cpu_us": used * 1e6 / told["requests"] if told.get("requests") else None,
        "rss_before": memory[0],
        "rss_peak": max(memory),
        "upstream_connections": bench.upstream.accepted() - accepted,
        "own_core_busy": used / told["seconds"],
        "other_core_busy": (other_after.busy - other.busy) / took,
        "foreign": None if cores.shared else max(0.0, busy - used / took),
        "stolen": (own_after.stolen - own.stolen + other_after.stolen - other.stolen) / took / 2,
    }


def run(case: Case, bench: Bench, taking_part: Sequence[Entrant]) -> dict[str, Any]:
    """Measure a case; the result says for each contender what it did in each round, or why it did not."""
    rounds = min(bench.rounds, SLOW_ROUNDS) if case.kind == "slow readers" else bench.rounds
    told: dict[str, list[dict[str, Any] | None]] = {each.contender.name: [] for each in taking_part}
    orders = []
    say(f"{case.name}: {case.what}")
    with running(case, bench, taking_part):
        if case.kind != "slow readers":
            for entrant in taking_part:  # what is compiled or allocated at the first calls is not what is compared
                with contextlib.suppress(load.LoadError):
                    if entrant.failed is None and entrant.process is not None:
                        load.run(case, entrant.port, 1, entrant.paths)
                        entrant.process.settle()
        for number in range(rounds):
            order = bench.order.sample(list(taking_part), len(taking_part))
            orders.append([entrant.contender.name for entrant in order])
            for entrant in order:
                result = None
                if entrant.failed is None and entrant.process is not None:
                    try:
                        result = measure(case, bench, entrant)
                        entrant.process.settle()  # else it would disturb the next
                    except (load.LoadError, OSError) as error:
                        entrant.failed = str(error)
                        say(f"  {entrant.contender.name} is out: {error}")
                told[entrant.contender.name].append(result)
                if result is not None:
                    say(f"  round {number + 1}: {entrant.contender.name}: {headline(result)}")
    return {
        "what": case.what,
        "kind": case.kind,
        "connections": case.connections,
        "orders": orders,
        "contenders": {
            each.contender.name: {
                "what": each.contender.what,
                "failed": each.failed,
                "rounds": told[each.contender.name],
            }
            for each in taking_part
        },
    }


def headline(result: Mapping[str, Any]) -> str:
    """Say in a line how a measurement went, for whoever watches."""
    errors = sum(result["errors"].values())
    said = f", {errors} errors" if errors else ""
    if "rps" not in result:
        return f"{result['rss_peak'] / MIB:.0f} MiB{said}"
    return f"{result['rps']:,.0f} requests/s, p99 {result['p99_ms']:.1f} ms, {result['cpu_us'] or 0:.0f} µs{said}"


def say(line: str) -> None:
    """Tell whoever watches, on stderr."""
    print(line, file=sys.stderr, flush=True)
