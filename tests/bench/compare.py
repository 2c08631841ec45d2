"""Compare hookgate with other proxies on this machine: `./run tox -e bench`, or, with what is installed already,
`./run python tests/bench/compare.py --help`. docs/performance.md says how it works and how to read what it prints.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)  # the modules beside this one belong to a package, which is found from there

from tests.bench import certificates, load, machine, page, report, rounds  # noqa: E402
from tests.bench.cases import CASES  # noqa: E402
from tests.bench.contenders import CONTENDERS, AbsentError  # noqa: E402
from tests.bench.rounds import say  # noqa: E402
from tests.bench.upstream import Upstream, who  # noqa: E402

ENOUGH_ROUNDS = 8


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    cases, contenders = [case.name for case in CASES], [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(description="Compare hookgate with other proxies on this machine.")
    parser.add_argument("--rounds", type=positive, default=ENOUGH_ROUNDS, help="of each case (default: %(default)s)")
    parser.add_argument("--seconds", type=positive, default=5, help="of each measurement (default: %(default)s)")
    parser.add_argument("--cases", type=among(cases), default=cases, help=f"by commas; all of {','.join(cases)}")
    parser.add_argument(
        "--contenders", type=among(contenders), default=contenders, help=f"by commas; all of {','.join(contenders)}"
    )
    parser.add_argument("--output", type=Path, help="JSON file with all that was measured (default: build/bench/DATE)")
    parser.add_argument("--seed", type=int, default=1, help="of the order in each round (default: %(default)s)")
    parser.add_argument("--write-docs", action="store_true", help="put tables and figure into docs/performance.md")
    parser.add_argument("--read", type=Path, metavar="JSON", help="measure nothing; report an earlier --output")
    return parser.parse_args(words)


def positive(word: str) -> int:
    """Read a number of at least 1."""
    number = int(word)
    if number < 1:
        raise ValueError
    return number


def among(known: Sequence[str]) -> Any:
    """Make a reader of names by commas, which are to be among those known."""

    def read(words: str) -> list[str]:
        names = [name.strip() for name in words.split(",")]
        if strange := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(strange)}: known are {', '.join(known)}")
        return names

    return read


def commit() -> str:
    """Return the commit that is checked out, with a note if there are changes; empty outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


@contextlib.contextmanager
def workplace(options: argparse.Namespace, cores: machine.Cores) -> Iterator[rounds.Bench]:
    """Make the certificate and start the backend."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hookgate-bench-")))
        values: dict[str, object] = {**who()}
        values |= certificates.make(folder)
        upstream = stack.enter_context(Upstream(folder, cores.load))
        values["UPSTREAM_PORT"] = upstream.port
        yield rounds.Bench(cores, upstream, values, options.rounds, options.seconds, random.Random(options.seed))


def measure(options: argparse.Namespace, output: Path) -> dict[str, Any]:
    """Measure what was asked for; the file is written anew after each case.

    Raises:
        LookupError: the load generator or the backend is missing.
    """
    cores = machine.cores()
    if cores.shared:
        say("There is one core only: contenders, backend and load share it, so nobody comes near what it could do.")
    machine.allow_many_sockets()
    load.wrk()
    chosen, versions, absent = [], {}, {}
    for contender in CONTENDERS:
        if contender.name not in options.contenders:
            continue
        try:
            found = contender.find()
            versions[contender.name] = contender.ask_version(found)
            chosen.append((contender, found))
        except AbsentError as error:
            absent[contender.name] = str(error)
            say(f"{contender.name} is absent: {error}")
    result: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine.describe(cores),
        "settings": {"rounds": options.rounds, "seconds": options.seconds, "seed": options.seed},
        "versions": versions,
        "absent": absent,
        "cases": {},
    }
    os.sched_setaffinity(0, {cores.load})  # wrk inherits it, and this process is not to disturb contenders
    with workplace(options, cores) as bench:
        for case in CASES:
            if case.name not in options.cases:
                continue
            taking_part = rounds.entrants(case, chosen)
            if taking_part:
                result["cases"][case.name] = rounds.run(case, bench, taking_part)
                output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def main() -> int:
    """Measure and report. The exit code is 3 if this machine lacks what no measurement can do without."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    if options.read:
        result = json.loads(options.read.read_text(encoding="utf-8"))
    else:
        now = dt.datetime.now(dt.UTC)
        output = options.output or ROOT / "build" / "bench" / f"{now:%Y-%m-%dT%H-%M-%S}.json"
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            result = measure(options, output)
        except LookupError as error:
            say(f"compare: {error}")
            return 3
        except KeyboardInterrupt:
            say("interrupted; everything started is ended")
            return 130
        say(f"written: {output}")
    print(report.text(result))
    if options.write_docs:
        for path in page.write(result):
            say(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
