"""How long calls took, as counts in buckets whose bounds grow by a constant factor (the idea of DDSketch).

A sketch is a plain ``dict`` from the number of a bucket to a count. Two are merged by adding their counts, so that it
does not matter in which order, or how often by parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import orjson

ERROR = 0.02
"""Relative error of a quantile, from 10 microseconds to a day. What is shorter or longer counts as these."""
_GAMMA = (1 + ERROR) / (1 - ERROR)
PER_LOG = 1 / math.log(_GAMMA)
SHORTEST, LONGEST = 1e-5, 86400.0

Sketch = dict[int, int]


def bucket(seconds: float) -> int:
    """Return the bucket of a time: number ``n`` holds those above ``gamma ** (n - 1)`` and up to ``gamma ** n``."""
    return math.ceil(math.log(min(max(seconds, SHORTEST), LONGEST)) * PER_LOG)


def merge(into: Sketch, other: Mapping[int, int]) -> None:
    """Add the counts of another sketch."""
    for number, count in other.items():
        into[number] = into.get(number, 0) + count


def quantile(sketch: Mapping[int, int], part: float) -> float | None:
    """Return the seconds that such a part of the calls (0 to 1) took at most; ``None`` without any call."""
    total = sum(sketch.values())
    if not total:
        return None
    rank, seen = max(1, math.ceil(part * total)), 0
    for number in sorted(sketch):
        seen += sketch[number]
        if seen >= rank:
            return float(2 * _GAMMA**number / (_GAMMA + 1))
    raise AssertionError("the counts of a sketch have changed")


def packed(sketch: Mapping[int, int]) -> bytes:
    """Write a sketch for a database."""
    return orjson.dumps(sketch, option=orjson.OPT_NON_STR_KEYS)


def unpacked(data: bytes) -> Sketch:
    """Read what :func:`packed` has written."""
    return {int(number): count for number, count in orjson.loads(data).items()}
