"""The text format that Prometheus scrapes, version 0.0.4."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Sequence[object], float]
"""Values of the labels, and the number."""


def metric(name: str, kind: str, about: str, labels: Sequence[str] = (), samples: Iterable[Sample] = ()) -> str:
    """Write one metric: what it is, and a line for each sample."""
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    for values, number in samples:
        pairs = ",".join([f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)])
        lines.append(f"{name}{{{pairs}}} {number!r}" if pairs else f"{name} {number!r}")
    return "\n".join(lines) + "\n"


def histogram(
    name: str,
    about: str,
    label: str,
    bounds: Sequence[float],
    series: Iterable[tuple[str, Sequence[int], float]],
) -> str:
    """Write a histogram from series of: value of the label, counts by bucket (the last one without bound), and sum."""
    lines = [f"# HELP {name} {about}", f"# TYPE {name} histogram"]
    edges = [f'",le="{edge}"}} ' for edge in (*map(repr, bounds), "+Inf")]
    for value, counts, total in series:
        own = f'{{{label}="{_escaped(value)}'
        bucket = f"{name}_bucket{own}"
        seen = list(accumulate(counts))
        lines += [f"{bucket}{edge}{count}" for edge, count in zip(edges, seen, strict=True)]
        lines += [f'{name}_sum{own}"}} {total!r}', f'{name}_count{own}"}} {seen[-1]}']
    return "\n".join(lines) + "\n"


def _escaped(value: object) -> str:
    text = str(value)
    if '"' in text or "\\" in text or "\n" in text:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text
