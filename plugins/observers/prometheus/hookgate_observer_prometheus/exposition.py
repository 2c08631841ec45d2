"""The text format that Prometheus scrapes, version 0.0.4, made in pieces so that nobody has to wait for all of it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import isfinite, isnan
from typing import TypeVar

from hookgate import ShownMetric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PIECE = 300
"""Lines of a piece, about; a few tenths of a millisecond."""

Sample = tuple[Sequence[object], float]
"""Values of the labels, and the number."""
Series = tuple[Sequence[object], Sequence[int], float]
"""Of a histogram: values of the labels, by bucket what is in it and in those below (the last one without bound), and
the sum."""
EXACT = 2**53
"""Whole numbers below it are written without a point."""
T = TypeVar("T")


def metric(
    name: str, kind: str, about: str, labels: Sequence[str] = (), samples: Iterable[Sample] = ()
) -> Iterator[str]:
    """Write one metric: what it is, and a line for each sample."""
    yield _head(name, kind, about)
    for some in _in_pieces(samples, PIECE):
        lines = []
        for values, number in some:
            pairs = _pairs(labels, values)
            lines.append(f"{name}{{{pairs}}} {_number(number)}\n" if pairs else f"{name} {_number(number)}\n")
        yield "".join(lines)


def histogram(
    name: str, about: str, labels: Sequence[str], bounds: Sequence[float], series: Iterable[Series]
) -> Iterator[str]:
    """Write a histogram."""
    yield _head(name, "histogram", about)
    edges = [f'le="{edge}"}} ' for edge in (*map(repr, bounds), "+Inf")]
    for some in _in_pieces(series, max(1, PIECE // len(edges))):
        lines = []
        for values, seen, total in some:
            pairs = _pairs(labels, values)
            bucket = f"{name}_bucket{{{pairs}," if pairs else f"{name}_bucket{{"
            lines += [f"{bucket}{edge}{count}\n" for edge, count in zip(edges, seen, strict=True)]
            own = f"{{{pairs}}}" if pairs else ""
            lines += [f"{name}_sum{own} {_number(total)}\n", f"{name}_count{own} {seen[-1]}\n"]
        yield "".join(lines)


def shown(found: ShownMetric) -> Iterator[str]:
    """Write a metric of a plugin."""
    if found.kind == "histogram":
        series: Iterable[Series] = ((each.labels, each.buckets, each.value) for each in found.samples)
        return histogram(found.name, found.help, found.labels, found.bounds, series)
    return metric(found.name, found.kind, found.help, found.labels, ((each[0], each[1]) for each in found.samples))


def _head(name: str, kind: str, about: str) -> str:
    text = about.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _pairs(labels: Sequence[str], values: Sequence[object]) -> str:
    return ",".join([f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)])


def _number(number: float) -> str:
    if isfinite(number):
        return repr(int(number)) if number == int(number) and abs(number) < EXACT else repr(number)
    return "NaN" if isnan(number) else "+Inf" if number > 0 else "-Inf"


def _in_pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while piece := list(islice(iterator, size)):
        yield piece


def _escaped(value: object) -> str:
    text = str(value)
    if '"' in text or "\\" in text or "\n" in text:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text
