"""From rounds to one number each: medians, ratios within a round, and how far to trust them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval."""

    middle: float
    low: float
    high: float


def paired_ratios(own: Sequence[float | None], reference: Sequence[float | None]) -> list[float]:
    """Divide what a contender did by what the reference did in the same round; rounds that one of them lacks are out.

    What slows the whole machine down for a minute slows down both, and leaves their ratio as it is.
    """
    return [mine / theirs for mine, theirs in zip(own, reference, strict=True) if mine is not None and theirs]


def bootstrap(values: Sequence[float], seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL) -> Interval:
    """Estimate the median of what the values are a sample of, by the percentile bootstrap (Efron).

    The values are drawn anew with replacement, as many as there are, `resamples` times; the interval is the middle
    `level` of the medians of the draws. The same values and seed give the same interval.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    draw = random.Random(seed)
    medians = sorted(median(draw.choices(values, k=len(values))) for _ in range(resamples))
    outside = round(resamples * (1 - level) / 2)
    return Interval(median(values), medians[outside], medians[-1 - outside])


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median of what is there; none if nothing is."""
    known = [value for value in values if value is not None]
    return median(known) if known else None
