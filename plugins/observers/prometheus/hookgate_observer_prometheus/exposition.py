"""The text format that Prometheus scrapes, version 0.0.4, made in pieces so that nobody has to wait for all of it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PIECE = 300
"""Lines of a piece, about; a few tenths of a millisecond."""

Sample = tuple[Sequence[object], float]
"""Values of the labels, and the number."""
Series = tuple[str, Sequence[int], float]
"""Of a histogram: value of the label, counts by bucket (the last one without bound), and sum."""
T = TypeVar("T")


def metric(
    name: str, kind: str, about: str, labels: Sequence[str] = (), samples: Iterable[Sample] = ()
) -> Iterator[str]:
    """Write one metric: what it is, and a line for each sample."""
    yield f"# HELP {name} {about}\n# TYPE {name} {kind}\n"
    for some in _in_pieces(samples, PIECE):
        lines = []
        for values, number in some:
            pairs = ",".join([f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)])
            lines.append(f"{name}{{{pairs}}} {number!r}\n" if pairs else f"{name} {number!r}\n")
        yield "".join(lines)


def histogram(name: str, about: str, label: str, bounds: Sequence[float], series: Iterable[Series]) -> Iterator[str]:
    """Write a histogram."""
    yield f"# HELP {name} {about}\n# TYPE {name} histogram\n"
    edges = [f'",le="{edge}"}} ' for edge in (*map(repr, bounds), "+Inf")]
    for some in _in_pieces(series, max(1, PIECE // len(edges))):
        lines = []
        for value, counts, total in some:
            own = f'{{{label}="{_escaped(value)}'
            bucket = f"{name}_bucket{own}"
            seen = list(accumulate(counts))
            lines += [f"{bucket}{edge}{count}\n" for edge, count in zip(edges, seen, strict=True)]
            lines += [f'{name}_sum{own}"}} {total!r}\n', f'{name}_count{own}"}} {seen[-1]}\n']
        yield "".join(lines)


def _in_pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while piece := list(islice(iterator, size)):
        yield piece


def _escaped(value: object) -> str:
    text = str(value)
    if '"' in text or "\\" in text or "\n" in text:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text
