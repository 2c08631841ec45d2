"""Tables of a result, in Markdown: for the terminal and for the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, median
from typing import Any

from .summary import Interval, bootstrap, middle, paired_ratios

MIB = 2**20
PATH = re.compile(r"(?:/[\w.@+-]+)+/")
"""Folders of this machine, which concern nobody."""
FOREIGN = 0.05
"""Share of the contenders' core that strangers may use before the table says so."""
BUSY = 0.85
"""Share of its core, strangers included, below which a contender was not what held things up."""


def reference(case: Mapping[str, Any]) -> str:
    """Name whom the others are compared with: nginx, with the same work, or hookgate with the fewest routes."""
    if case["kind"] == "routes":
        return next(iter(case["contenders"]))
    return "nginx-managed" if case["kind"] == "managed" else "nginx"


def column(entry: Mapping[str, Any], name: str) -> list[float | None]:
    """One number of each round; none where there was no measurement."""
    return [each.get(name) if each is not None else None for each in entry["rounds"]]


def errors(entry: Mapping[str, Any]) -> int:
    """All errors in all rounds."""
    return sum(sum(each["errors"].values()) for each in entry["rounds"] if each is not None)


def ratio(case: Mapping[str, Any], name: str, number: str = "rps") -> Interval | None:
    """Compare a contender with the reference, round by round; none where that is impossible."""
    base = case["contenders"].get(reference(case))
    if base is None:
        return None
    ratios = paired_ratios(column(case["contenders"][name], number), column(base, number))
    return bootstrap(ratios) if ratios else None


def ranked(case: Mapping[str, Any]) -> list[str]:
    """Names of those who were measured, the fastest first; routes as they were declared."""
    measured = [name for name, entry in case["contenders"].items() if any(entry["rounds"])]
    if case["kind"] == "routes":
        return measured
    if case["kind"] == "slow readers":
        return sorted(measured, key=lambda name: growth(case["contenders"][name]))
    return sorted(measured, key=lambda name: -(middle(column(case["contenders"][name], "rps")) or 0))


def growth(entry: Mapping[str, Any]) -> float:
    """Most MiB that a contender has grown by in a round, from where it stood before the first one."""
    known = [each for each in entry["rounds"] if each is not None]
    return max(each["rss_peak"] for each in known) / MIB - known[0]["rss_before"] / MIB


def number(value: float | None, digits: int = 0) -> str:
    """Write a number for people."""
    return "-" if value is None else f"{value:,.{digits}f}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table whose first column is text and whose others are numbers."""
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def load_rows(case: Mapping[str, Any]) -> Iterable[list[str]]:
    """Rows of a case with requests per second."""
    for name in ranked(case):
        entry = case["contenders"][name]
        compared = ratio(case, name)
        wrong = errors(entry)
        peak, busy = middle(column(entry, "rss_peak")), middle(column(entry, "own_core_busy"))
        yield [
            f"{name} (errors)" if wrong else name,
            number(middle(column(entry, "rps"))),
            number(compared.middle if compared else None, 3),
            f"{compared.low:.3f} to {compared.high:.3f}" if compared and len(entry["rounds"]) > 1 else "-",
            number(middle(column(entry, "p50_ms")), 1),
            number(middle(column(entry, "p99_ms")), 1),
            number(middle(column(entry, "cpu_us"))),
            number(peak / MIB if peak is not None else None),
            number(busy * 100 if busy is not None else None),
            number(wrong),
        ]


def slow_rows(case: Mapping[str, Any]) -> Iterable[list[str]]:
    """Rows of a case with slow readers."""
    for name in ranked(case):
        entry = case["contenders"][name]
        wrong = errors(entry)
        known = [each for each in entry["rounds"] if each is not None]
        rate = middle(column(entry, "bytes_per_second"))
        yield [
            f"{name} (errors)" if wrong else name,
            number(known[0]["rss_before"] / MIB, 1),
            number(max(each["rss_peak"] for each in known) / MIB, 1),
            number(growth(entry), 1),
            number(growth(entry) / case["connections"], 2),
            number(rate / MIB if rate is not None else None, 1),
            number(wrong),
        ]


LOAD_TITLES = [
    "requests/s",
    "ratio to {}",
    "95 % interval",
    "p50 ms",
    "p99 ms",
    "CPU µs/request",
    "RSS MiB",
    "core busy %",
    "errors",
]
SLOW_TITLES = ["idle MiB", "peak MiB", "growth MiB", "growth a client MiB", "read MiB/s", "errors"]


def case_table(case: Mapping[str, Any]) -> str:
    """Write the table of a case, and below it what to know about it."""
    if case["kind"] == "slow readers":
        written = table(["contender", *SLOW_TITLES], slow_rows(case))
    else:
        titles = [title.format(reference(case)) for title in LOAD_TITLES]
        written = table(["contender", *titles], load_rows(case))
    return written + "".join(f"\n{remark}\n" for remark in remarks(case))


def remarks(case: Mapping[str, Any]) -> Iterable[str]:
    """Say who failed, who did not keep connections, and what disturbed the measurement."""
    for name, entry in case["contenders"].items():
        known = [each for each in entry["rounds"] if each is not None]
        if entry["failed"]:
            yield f"{name} is out: {PATH.sub('…/', ' '.join(entry['failed'].split()))[:300]}"
        opened = sum(each["upstream_connections"] for each in known)
        calls = sum(each.get("requests", 0) for each in known)
        if calls and opened > calls / 10 + case["connections"] * len(known):
            yield f"{name} does not keep connections to the backend: {opened:,} for {calls:,} requests."
    limited = [name for name in ranked(case) if case["kind"] == "load" and idle(case["contenders"][name])]
    if limited:
        yield f"Held up by load generator or backend, not by themselves: {', '.join(limited)}. Compare their CPU."
    every = [each for entry in case["contenders"].values() for each in entry["rounds"] if each is not None]
    foreign = [each["foreign"] for each in every if each["foreign"] is not None]
    if foreign and mean(foreign) > FOREIGN:
        usual, most = f"{mean(foreign):.0%}", f"{max(foreign):.0%}"
        yield f"Disturbed: other programs used {usual} of the contenders' core, up to {most} in a measurement."
    stolen = max((each["stolen"] for each in every), default=0)
    if stolen > FOREIGN:
        yield f"Disturbed: the hypervisor took up to {stolen:.0%} of the cores' time."


def idle(entry: Mapping[str, Any]) -> bool:
    """Whether a contender's core had time left, so that its requests per second say little about it."""
    known = [each for each in entry["rounds"] if each is not None]
    return bool(known) and median(each["own_core_busy"] + (each["foreign"] or 0) for each in known) < BUSY


def conditions(result: Mapping[str, Any]) -> str:
    """Say where, when and how it was measured, and what took part."""
    machine, settings = result["machine"], result["settings"]
    used = machine["used"]
    placed = (
        f"contenders on core {used['contender']}, backend and load on core {used['load']}"
        if used["contender"] != used["load"]
        else "contenders, backend and load on the only core, so nobody comes near what it could do"
    )
    length = f"{settings['rounds']} rounds of {settings['seconds']} s for each contender"
    hardware = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    lines = [
        f"- {result['date'][:10]}, commit {result['commit'] or 'unknown'}; {length}",
        f"- {hardware}, {machine['kernel']}, {machine['python']}; {placed}",
        *(f"- {name}: {version}" for name, version in result["versions"].items()),
        *(f"- {name}: absent. {why}" for name, why in result["absent"].items()),
    ]
    if settings["rounds"] < 8 or settings["seconds"] < 5:
        lines.insert(0, "- **A smoke run: too short to compare anything by.** It shows that the benchmark works.")
    return "\n".join(lines) + "\n"


def text(result: Mapping[str, Any], heading: str = "##") -> str:
    """Write the whole report."""
    parts = [conditions(result)]
    parts += [f"{heading} `{name}`: {case['what']}\n\n{case_table(case)}" for name, case in result["cases"].items()]
    return "\n".join(parts)
