"""The metrics of plugins: one registry for a gateway, which knows whose each of them is."""

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from hookgate.contract.metrics import BUCKETS, OTHER, Sample, Shown
from hookgate.contract.plugin import Plugin

log = logging.getLogger("hookgate.metrics")

PREFIX = "hookgate_"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}")


class Metric:
    """One metric with its series: a counter, a gauge or a histogram."""

    def __init__(
        self,
        owner: type[Plugin[Any]],
        name: str,
        kind: Literal["counter", "gauge", "histogram"],
        text: str,
        labels: tuple[str, ...],
        most: int,
        bounds: tuple[float, ...] = (),
    ) -> None:
        self.owner, self.name, self.kind, self.text, self.labels = owner, name, kind, text, labels
        self.bounds = bounds
        self.holders: set[int] = set()
        """Numbers of the instances that have registered it."""
        self.readers: dict[int, Callable[[], Mapping[tuple[str, ...], float] | float]] = {}
        self.crowded = False
        """Whether a series had to go under `OTHER`."""
        self._most = most
        self._values: dict[tuple[str, ...], float] = {}
        self._buckets: dict[tuple[str, ...], list[int]] = {}

    def add(self, amount: float = 1, *labels: str) -> None:
        """Count."""
        values = self._values
        if labels in values:
            values[labels] += amount
        else:
            key = self._key(labels)
            values[key] = values.get(key, 0) + amount

    def set(self, value: float, *labels: str) -> None:
        """Set a value."""
        self._values[labels if labels in self._values else self._key(labels)] = value

    def observe(self, value: float, *labels: str) -> None:
        """Count a value by its size."""
        buckets = self._buckets.get(labels)
        if buckets is None:
            labels = self._key(labels)
            buckets = self._buckets.setdefault(labels, [0] * (len(self.bounds) + 1))
        buckets[bisect_left(self.bounds, value)] += 1
        self._values[labels] = self._values.get(labels, 0.0) + value

    def _key(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Check new labels, and find the series they belong to."""
        if len(labels) != len(self.labels):
            wanted = ", ".join(self.labels) or "none"
            raise ValueError(f"the metric {self.name} has the labels {wanted}, but {len(labels)} values were given")
        if len(self._values) < self._most:
            return tuple(map(str, labels))
        if not self.crowded:
            self.crowded = True
            log.warning("%s", self.complaint)
        return (OTHER,) * len(labels)

    @property
    def complaint(self) -> str:
        """What to say of a metric with too many series."""
        return (
            f"the metric {self.name} of {self.owner.__name__} has more than {self._most} series, and the rest is "
            f"counted under {OTHER!r}: a label must not have a value for each client"
        )

    def shown(self) -> Shown:
        """Return it as it is now."""
        values = dict(self._values)
        for read in self.readers.values():
            try:
                told = read()
            except Exception:
                log.exception("the metric %s of %s cannot be read", self.name, self.owner.__name__)
                continue
            for labels, value in told.items() if isinstance(told, Mapping) else [((), told)]:
                key = labels if labels in values or len(values) < self._most else (OTHER,) * len(self.labels)
                values[key] = values.get(key, 0) + value
        samples = [Sample(labels, value, self._counted(labels)) for labels, value in sorted(values.items())]
        return Shown(self.name, self.kind, self.text, self.labels, samples, self.bounds)

    def _counted(self, labels: tuple[str, ...]) -> tuple[int, ...]:
        """Count up the buckets: each holds what is in those below it, too."""
        counted, total = [], 0
        for count in self._buckets.get(labels, ()):
            total += count
            counted.append(total)
        return tuple(counted)


class Registry:
    """Every metric of every plugin."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def of(self, plugin: Plugin[Any]) -> PluginMetrics:
        """Return where one instance registers its metrics."""
        return PluginMetrics(self, plugin)

    def register(self, plugin: Plugin[Any], made: Metric) -> Metric:
        """Take in a metric, or find it registered by another instance of the class.

        Raises:
            ValueError: somebody else has that name, or the class has it otherwise.
        """
        known = self._metrics.setdefault(made.name, made)
        if known.owner is not made.owner:
            raise ValueError(
                f"the metric {made.name} of {made.owner.__name__} is one of {known.owner.__name__} already; "
                "names of metrics are unique, so begin it with the name of the plugin"
            )
        if (known.kind, known.labels, known.bounds) != (made.kind, made.labels, made.bounds):
            raise ValueError(f"{made.owner.__name__} registers the metric {made.name} twice, in different ways")
        known.holders.add(id(plugin))
        return known

    def release(self, plugin: Plugin[Any]) -> None:
        """Let go of what only this instance has registered."""
        for name, metric in list(self._metrics.items()):
            metric.holders.discard(id(plugin))
            metric.readers.pop(id(plugin), None)
            if not metric.holders:
                del self._metrics[name]

    def crowded(self, plugin: Plugin[Any]) -> list[str]:
        """Say which metrics of an instance have too many series."""
        return [each.complaint for each in self._metrics.values() if each.crowded and id(plugin) in each.holders]

    def collect(self) -> list[Shown]:
        """Return every metric as it is now, by name."""
        return [metric.shown() for _, metric in sorted(self._metrics.items())]


class PluginMetrics:
    """Where one instance registers metrics; see :class:`hookgate.contract.metrics.Metrics`."""

    def __init__(self, registry: Registry, plugin: Plugin[Any]) -> None:
        self._registry = registry
        self._plugin = plugin

    def counter(self, name: str, help: str, labels: Sequence[str] = (), *, most: int = 100) -> Metric:  # noqa: A002
        """Register a counter."""
        if not name.endswith("_total"):
            raise ValueError(f"{name!r} is no name of a counter: it ends in _total")
        return self._registered(name, "counter", help, labels, most)

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] = (),
        *,
        most: int = 100,
        read: Callable[[], Mapping[tuple[str, ...], float] | float] | None = None,
    ) -> Metric:
        """Register a gauge."""
        metric = self._registered(name, "gauge", help, labels, most)
        if read is not None:
            metric.readers[id(self._plugin)] = read
        return metric

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] = (),
        *,
        most: int = 100,
        bounds: Sequence[float] = BUCKETS,
    ) -> Metric:
        """Register a histogram."""
        if list(bounds) != sorted(set(bounds)) or not bounds:
            raise ValueError(f"the bounds of {name!r} are no numbers that rise")
        return self._registered(name, "histogram", help, labels, most, tuple(map(float, bounds)))

    def collect(self) -> Sequence[Shown]:
        """Return every metric of every plugin as it is now."""
        return self._registry.collect()

    def _registered(
        self,
        name: str,
        kind: Literal["counter", "gauge", "histogram"],
        text: str,
        labels: Sequence[str],
        most: int,
        bounds: tuple[float, ...] = (),
    ) -> Metric:
        if not _NAME.fullmatch(name) or name.startswith(PREFIX):
            raise ValueError(f"{name!r} is no name of a metric: small letters, digits and '_', without {PREFIX}")
        if strange := [label for label in labels if not _LABEL.fullmatch(label) or label == "le"]:
            raise ValueError(f"{strange[0]!r} is no label")
        if isinstance(labels, str) or not 0 < most <= 10_000:
            raise ValueError(f"the metric {name} takes a list of labels and has between 1 and 10,000 series")
        made = Metric(type(self._plugin), PREFIX + name, kind, text, tuple(labels), most, bounds)
        return self._registry.register(self._plugin, made)
