"""Load by wrk: what it is told to do, and what it says."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .cases import Case
from .contenders import which

SCRIPT = Path(__file__).resolve().parent / "load.lua"
PATIENCE = 10
"""Seconds after which wrk counts a request as timed out. The last of 1,000 clients may wait longer than its 2."""
READY = 10
"""Seconds that a contender may take from the moment it listens until it answers as it should."""
SAMPLE = 0.2
"""Seconds between two looks at the memory of a contender."""


class LoadError(Exception):
    """A measurement did not come about. The text says why."""


def wrk() -> str:
    """Return the path of wrk.

    Raises:
        LookupError: it is not installed.
    """
    program = which("wrk")
    if program is None:
        raise LookupError("the load generator wrk is missing: apt-get install wrk")
    return program


def run(
    case: Case, port: int, seconds: int, paths: int = 0, sample: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Load a port of loopback with a case for so many seconds, calling `sample` all the while. See `parse`.

    Raises:
        LoadError: wrk failed.
    """
    url = f"{'https' if case.tls else 'http'}://127.0.0.1:{port}{case.path}"
    command = [wrk(), "-t1", f"-c{case.connections}", f"-d{seconds}s", f"--timeout={PATIENCE}s", "-s", str(SCRIPT), url]
    for name, value in case.headers:
        command += ["-H", f"{name}: {value}"]
    command += ["--", "POST" if case.upload else "GET", str(case.upload), str(paths)]
    deadline = time.monotonic() + seconds + PATIENCE + 20
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
    ) as process:
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise LoadError("wrk did not end in time")
                sample()
                time.sleep(SAMPLE)
        finally:
            process.kill()
        assert process.stdout is not None
        said = process.stdout.read()
    return parse(said)


def parse(said: str) -> dict[str, Any]:
    """Read the line of `load.lua` out of what wrk has printed.

    `requests` and `errors` are counts, `bytes` all that was received, `seconds` how long it took, `rps` requests per
    second, `p50_ms`, `p99_ms` and `max_ms` milliseconds until an answer was complete. Status codes of 400 and above
    are errors; so is a request that took more than `PATIENCE` seconds, and a measurement without any answer.

    Raises:
        LoadError: there is no such line.
    """
    for line in said.splitlines():
        if line.startswith("RESULT "):
            told = json.loads(line.removeprefix("RESULT "))
            seconds = told["microseconds"] / 1e6
            told["errors"]["silence"] = int(told["requests"] == 0)
            return {
                "requests": told["requests"],
                "bytes": told["bytes"],
                "seconds": seconds,
                "rps": told["requests"] / seconds,
                "p50_ms": told["p50_us"] / 1e3,
                "p99_ms": told["p99_us"] / 1e3,
                "max_ms": told["max_us"] / 1e3,
                "errors": told["errors"],
            }
    raise LoadError(f"wrk failed: {said.strip()[-500:] or 'it said nothing'}")


def probe(case: Case, port: int, paths: int = 0) -> None:
    """Make two calls of a case on one connection, and look at the answers, as wrk does not look at bodies.

    Some listen before they know where calls go, so it is tried again until `READY` seconds are over.

    Raises:
        LoadError: an answer is not what the backend has sent.
    """
    deadline = time.monotonic() + READY
    while True:
        try:
            return call_twice(case, port, paths)
        except LoadError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def call_twice(case: Case, port: int, paths: int) -> None:
    """Do what `probe` does, once."""
    # The certificate is our own, and made a moment ago.
    secure = ssl._create_unverified_context()
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=secure)
        if case.tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    )
    path = f"/r{paths - 1}/7" if paths else case.path
    try:
        for _ in range(2):
            method, body = "POST" if case.upload else "GET", b"x" * case.upload or None
            connection.request(method, path, body, dict(case.headers))
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise LoadError(f"answers {answer.status}: {body[:200]!r}")
            if case.upload and int(body) < case.upload:
                raise LoadError(f"the backend got {int(body)} bytes of {case.upload}")
            if case.download >= 0 and len(body) != case.download:
                raise LoadError(f"the answer has {len(body)} bytes in the place of {case.download}")
    except (OSError, http.client.HTTPException) as error:
        raise LoadError(f"does not answer: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
