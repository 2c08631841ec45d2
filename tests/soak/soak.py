"""Minutes of everything at once, through one gateway in a process of its own: `./run tox -e soak -- --minutes 3`.

Its name keeps this file out of the ordinary run.
"""

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from .clients import Record, request, traffic
from .process import Gateway

pytestmark = pytest.mark.timeout(0)

WARM = 20.0
"""Seconds of traffic before the memory is measured that must not be passed by much."""
EACH = 50
ROUNDS = 7


async def reloading(gateway: Gateway, stop: asyncio.Event, unexpected: list[str]) -> int:
    """Put another document live every few seconds; each fourth is a bad one, and harms nobody."""
    count = 0
    while not stop.is_set():
        try:
            async with asyncio.timeout(3):
                await stop.wait()
        except TimeoutError:
            count += 1
            bad = count % 4 == 0
            gateway.write(bad=bad)
            status = await asyncio.to_thread(gateway.reload)
            if status != (422 if bad else 200):
                unexpected.append(f"reload: {status}")
    return count


async def soaked(gateway: Gateway, seconds: float, record: Record) -> list[tuple[float, int, float]]:
    """Have it all go on for so long; return what the gateway used, with the time."""
    stop = asyncio.Event()
    used = []
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(traffic(record, gateway.port, stop))
        reloads = group.create_task(reloading(gateway, stop, record.unexpected))
        while (now := time.monotonic() - began) < seconds:
            used.append((now, *gateway.used()))
            await asyncio.sleep(min(10, seconds - now))
        stop.set()
    record.visits["reloads"] = reloads.result()
    return used


def test_after_minutes_of_everything_nothing_is_left_behind(gateway, minutes, capsys):
    record = Record()
    warm = Record()
    asyncio.run(soaked(gateway, WARM, warm))
    gateway.settle()
    time.sleep(4)  # until connections to the backend that are kept are closed
    before = gateway.used()

    used = asyncio.run(soaked(gateway, minutes * 60, record))

    health = gateway.settle()
    time.sleep(4)
    after = gateway.used()
    log = gateway.log.read_text()
    with capsys.disabled():
        print(f"\n  {minutes:g} min: " + ", ".join(f"{count} {kind}" for kind, count in record.visits.most_common()))
        print(
            "  " + ", ".join(f"{kind} {status}: {n}" for (kind, status), n in sorted(record.statuses.items(), key=str))
        )
        print(
            "  MiB: " + " ".join(f"{mib:.0f}" for _, _, mib in used) + f"; files at most {max(n for _, n, _ in used)}"
        )
        print(f"  before: {before[0]} files, {before[1]:.1f} MiB; after: {after[0]} files, {after[1]:.1f} MiB")
        for line in sorted(set(record.unexpected))[:20]:
            print(f"  unexpected, {record.unexpected.count(line)} times: {line}")

    assert gateway.returned is None
    assert not warm.unexpected + record.unexpected
    assert record.statuses["post", "lost"] <= record.statuses["post", 200] / 50
    assert (health["in_flight"], health["draining"], health["listener"]["connections"]) == (0, [], 0)
    assert [target["in_flight"] for target in health["connections"]["backend"]] == [0]
    assert after[0] <= before[0] + 5, "file descriptors"
    assert after[1] <= before[1] * 1.2 + 16, "memory"
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]


@contextmanager
def attacking(port: int):
    """Slow clients for as long as the block lasts."""
    command = [sys.executable, str(Path(__file__).with_name("attack.py")), str(port), str(EACH)]
    process = subprocess.Popen(command)
    try:
        yield process
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def p99(port: int, seconds: float) -> tuple[float, int]:
    """Call one after the other for so long; return the 99th percentile in milliseconds, and the number of calls."""
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            connection.sendall(request("/echo/1"))
            answer = b""
            while not answer.endswith(b"\r\n\r\n/echo/1 "):
                part = connection.recv(65536)
                assert part, (len(found), answer)
                answer += part
            assert answer.startswith(b"HTTP/1.1 200")
            found.append(time.perf_counter() - began)
    return 1000 * statistics.quantiles(found, n=100)[98], len(found)


def test_slow_clients_make_a_good_one_wait_no_more_than_three_times_as_long(gateway, capsys):
    quiet, loud = [], []
    p99(gateway.port, 2)
    for _ in range(ROUNDS):
        quiet.append(p99(gateway.port, 2))
        with attacking(gateway.port):
            end = time.monotonic() + 20
            while gateway.health()["listener"]["connections"] < 3 * EACH:
                assert time.monotonic() < end
                time.sleep(0.05)
            time.sleep(0.5)  # first they take what the buffers on the way hold
            loud.append(p99(gateway.port, 2))
        gateway.settle()
    medians = [statistics.median(each for each, _ in found) for found in (quiet, loud)]
    with capsys.disabled():
        for name, found in (("in quiet", quiet), ("under attack", loud)):
            print(
                f"\n  p99 {name}: "
                + " ".join(f"{each:.2f}" for each, _ in found)
                + f" ms, {sum(n for _, n in found)} calls"
            )
        print(f"  medians: {medians[0]:.2f} and {medians[1]:.2f} ms, {medians[1] / medians[0]:.2f} times")

    assert medians[1] <= 3 * medians[0]
