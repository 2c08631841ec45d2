"""The text format that Prometheus scrapes, version 0.0.4."""

from collections.abc import Iterable, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Sequence[object], float]
"""Values of the labels, and the number."""

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metric(name: str, kind: str, about: str, labels: Sequence[str] = (), samples: Iterable[Sample] = ()) -> str:
    """Write one metric: what it is, and a line for each sample."""
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labelled(labels, values)} {number!r}" for values, number in samples]
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
    edges = [*map(repr, bounds), "+Inf"]
    for value, counts, total in series:
        own = _labelled((label,), (value,))
        seen = 0
        for edge, count in zip(edges, counts, strict=True):
            seen += count
            lines.append(f"{name}_bucket{_labelled((label, 'le'), (value, edge))} {seen}")
        lines += [f"{name}_sum{own} {total!r}", f"{name}_count{own} {seen}"]
    return "\n".join(lines) + "\n"


def _labelled(names: Sequence[str], values: Sequence[object]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{str(value).translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"
