"""Metrics of plugins: registered at ``startup``, counted where things happen, put together when somebody reads them."""

# ruff: noqa: A002 - the name that Prometheus has for it

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of a histogram unless it says others, in its unit."""
OTHER = "(other)"
"""The label of what comes in beyond the bound on series: a label with a value per client would fill the memory."""


class Counter(Protocol):
    """Counts what happens; it never goes down."""

    def add(self, amount: float = 1, *labels: str) -> None:
        """Count, under the values of its labels, in their order. Costs about as much as a dictionary."""


class Gauge(Protocol):
    """Shows how much there is of something now."""

    def set(self, value: float, *labels: str) -> None:
        """Set a value, under the values of its labels."""

    def add(self, amount: float = 1, *labels: str) -> None:
        """Change a value by an amount, which may be negative."""


class Histogram(Protocol):
    """Counts values by size."""

    def observe(self, value: float, *labels: str) -> None:
        """Count a value, under the values of its labels."""


class Sample(NamedTuple):
    """One series of a metric as it is now."""

    labels: tuple[str, ...]
    value: float
    """Of a histogram the sum of what was observed."""
    buckets: tuple[int, ...] = ()
    """Of a histogram: how many values were at most each of its bounds; and all, at the end."""


class ShownMetric(NamedTuple):
    """A metric as it is now."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]
    samples: Sequence[Sample]
    bounds: tuple[float, ...] = ()


Read = Callable[[], Mapping[tuple[str, ...], float] | float]
"""Tells a number, or numbers by the values of the labels."""


class Metrics(Protocol):
    """Where a plugin registers metrics, in its ``startup``. They are there while an instance of its class is.

    Names are those of Prometheus, without the prefix ``hookgate_``, which they get. Instances of one class share a
    metric; a reload with changed options may register it anew with other labels. Each has at most ``most`` series, with
    labels of up to 256 characters; what comes beyond is counted under :data:`OTHER`, and `/-/health` names the plugin.
    They are counted in the loop, as hooks run, and not by threads.

    Raises:
        ValueError: a name or label is none, another plugin has a metric of that name, or the class itself has it with
            other labels or of another kind; the text names both. Likewise where something is counted with too few or
            too many labels.
    """

    def counter(
        self, name: str, help: str, labels: Sequence[str] = (), *, most: int = 100, read: Read | None = None
    ) -> Counter:
        """Register a counter; its name ends in ``_total``. ``read`` is as that of a gauge, for what a thread counts."""

    def gauge(
        self, name: str, help: str, labels: Sequence[str] = (), *, most: int = 100, read: Read | None = None
    ) -> Gauge:
        """Register a gauge. ``read`` is asked when somebody reads the metrics, and must not wait."""

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), *, most: int = 100, bounds: Sequence[float] = BUCKETS
    ) -> Histogram:
        """Register a histogram."""

    def collect(self) -> Iterable[ShownMetric]:
        """Give every metric of every plugin as it is when its turn comes, by name: for those who show them."""
