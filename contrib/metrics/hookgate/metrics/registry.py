"""The metrics of plugins: one registry for a gateway, which knows whose each of them is."""

# ruff: noqa: A002 - the name that Prometheus has for it

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import isfinite, isnan
from typing import Any, Literal, TypeVar

from hookgate.contract.metrics import BUCKETS, OTHER, Read, Sample, ShownMetric
from hookgate.contract.plugin import Plugin
from hookgate.exchange.hiding import hide
from hookgate.gateway.coming import coming

log = logging.getLogger("hookgate.metrics")

PREFIX = "hookgate_"
SUFFIXES = ("_bucket", "_sum", "_count")
"""What the lines of a histogram have behind its name."""
LONGEST = 256
"""Characters of a label; what is longer is cut off."""
MetricT = TypeVar("MetricT", bound="Metric")
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
        self.most, self.bounds = most, bounds
        self.holders: set[int] = set()
        """Numbers of the instances that have registered it."""
        self.readers: dict[int, Read] = {}
        self.crowded = False
        """Whether a series had to go under `OTHER`."""
        self.unread = ""
        """Why it could not be read last time."""
        self._values: dict[tuple[str, ...], float] = {}
        self._buckets: dict[tuple[str, ...], list[int]] = {}

    def is_like(self, other: Metric) -> bool:
        """Whether another one may share its series."""
        parts = ("owner", "name", "kind", "labels", "bounds")
        return all(getattr(self, part) == getattr(other, part) for part in parts)

    def _key(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Check labels, and find the series they belong to."""
        if len(labels) != len(self.labels):
            wanted = ", ".join(self.labels) or "none"
            raise ValueError(f"the metric {self.name} has the labels {wanted}, but {len(labels)} values were given")
        key = tuple([hide(str(label))[:LONGEST] for label in labels])
        return key if key in self._values or len(self._values) < self.most else self._other()

    def _other(self) -> tuple[str, ...]:
        if not self.crowded:
            self.crowded = True
            log.warning("%s", self.complaints()[0])
        return (OTHER,) * len(self.labels)

    def complaints(self) -> list[str]:
        """Say what is wrong with it."""
        said = []
        if self.crowded:
            said.append(
                f"the metric {self.name} of {self.owner.__name__} has more than {self.most} series, and the rest is "
                f"counted under {OTHER!r}: a label must not have a value for each client"
            )
        if self.unread:
            said.append(f"the metric {self.name} of {self.owner.__name__} cannot be read: {self.unread}")
        return said

    def shown(self) -> ShownMetric:
        """Return it as it is now."""
        values = dict(self._values)
        if self.readers:
            self._read_into(values)
        samples = [Sample(labels, value, self._counted(labels)) for labels, value in sorted(values.items())]
        return ShownMetric(self.name, self.kind, self.text, self.labels, samples, self.bounds)

    def _read_into(self, values: dict[tuple[str, ...], float]) -> None:
        """Add what those who read tell, or nothing of one who cannot."""
        unread = ""
        for read in self.readers.values():
            try:
                told = read()
                series = told.items() if isinstance(told, Mapping) else [((), told)]
                found = [(self._key(labels), 0.0 + value) for labels, value in series]
            except (Exception, SystemExit) as error:
                unread = type(error).__name__
                if unread != self.unread:  # it is read several times a minute
                    log.exception("the metric %s of %s cannot be read", self.name, self.owner.__name__)
                continue
            for key, value in found:
                place = key if key in values or len(values) < self.most else self._other()
                values[place] = values.get(place, 0) + value
        self.unread = unread

    def _counted(self, labels: tuple[str, ...]) -> tuple[int, ...]:
        """Count up the buckets: each holds what is in those below it, too."""
        return tuple(accumulate(self._buckets.get(labels, ())))


class CounterMetric(Metric):
    """A counter."""

    def add(self, amount: float = 1, *labels: str) -> None:
        """Count."""
        if not amount >= 0:
            raise ValueError(f"the counter {self.name} never goes down")
        values = self._values
        if labels in values:
            values[labels] += amount
        else:
            key = self._key(labels)
            values[key] = values.get(key, 0.0) + amount


class GaugeMetric(Metric):
    """A gauge."""

    def set(self, value: float, *labels: str) -> None:
        """Set a value."""
        self._values[labels if labels in self._values else self._key(labels)] = 0.0 + value  # a text is refused here

    def add(self, amount: float = 1, *labels: str) -> None:
        """Change a value."""
        key = labels if labels in self._values else self._key(labels)
        self._values[key] = self._values.get(key, 0.0) + amount


class HistogramMetric(Metric):
    """A histogram."""

    def observe(self, value: float, *labels: str) -> None:
        """Count a value by its size."""
        if isnan(value):
            raise ValueError(f"the histogram {self.name} counts numbers")
        place, value = bisect_left(self.bounds, value), 0.0 + value
        buckets = self._buckets.get(labels)
        if buckets is None:
            labels = self._key(labels)
            buckets = self._buckets.setdefault(labels, [0] * (len(self.bounds) + 1))
        buckets[place] += 1
        self._values[labels] = self._values.get(labels, 0.0) + value


class Registry:
    """Every metric of every plugin."""

    def __init__(self) -> None:
        self._metrics: dict[str, list[Metric]] = {}
        """By name; the last one is shown. Those before it are of instances that a reload is about to end."""

    def of(self, plugin: Plugin[Any]) -> PluginMetrics:
        """Return where one instance registers its metrics."""
        return PluginMetrics(self, plugin)

    def register(self, plugin: Plugin[Any], made: MetricT) -> MetricT:
        """Take in a metric, or find it registered by another instance of the class.

        Raises:
            ValueError: somebody else has that name, or the class has it otherwise.
        """
        for other in self._beside(made):
            if other.is_like(made) or not _staying(other.holders):
                continue
            if other.owner is made.owner and other.name == made.name:
                raise ValueError(f"{made.owner.__name__} registers the metric {made.name} twice, in different ways")
            raise ValueError(
                f"the metric {made.name} of {made.owner.__name__} is one of {other.owner.__name__} already"
                f"{'' if other.name == made.name else f' ({other.name})'}; "
                "names of metrics are unique, so begin it with the name of the plugin"
            )
        alike = self._metrics.setdefault(made.name, [])
        known: Any = next((each for each in alike if each.is_like(made)), made)
        if known is made:
            alike.append(made)
        known.most = made.most
        known.holders.add(id(plugin))
        return known  # type: ignore[no-any-return]

    def _beside(self, made: Metric) -> list[Metric]:
        """Return the metrics of a name, and those of which a line has that name."""
        name = made.name
        found = list(self._metrics.get(name, ()))
        for suffix in SUFFIXES:
            if made.bounds:
                found += self._metrics.get(name + suffix, ())
            if name.endswith(suffix):
                found += [each for each in self._metrics.get(name.removesuffix(suffix), ()) if each.bounds]
        return found

    def release(self, plugin: Plugin[Any]) -> None:
        """Let go of what only this instance has registered."""
        for name, alike in list(self._metrics.items()):
            for metric in alike:
                metric.holders.discard(id(plugin))
                metric.readers.pop(id(plugin), None)
            self._metrics[name] = held = [metric for metric in alike if metric.holders]
            if not held:
                del self._metrics[name]

    def complaints(self, plugin: Plugin[Any]) -> list[str]:
        """Say what is wrong with the metrics of an instance."""
        mine = [each for alike in self._metrics.values() for each in alike if id(plugin) in each.holders]
        return [said for each in mine for said in each.complaints()]

    def collect(self) -> Iterator[ShownMetric]:
        """Give every metric as it is when its turn comes, by name."""
        for name in sorted(self._metrics):
            if alike := self._metrics.get(name):
                yield alike[-1].shown()


def _staying(holders: set[int]) -> set[int]:
    """Return those instances that are there after a reload, too."""
    config = coming()
    return holders if config is None else holders & {id(each) for each in config.instances.values()}


class PluginMetrics:
    """Where one instance registers metrics; see :class:`hookgate.contract.metrics.Metrics`."""

    def __init__(self, registry: Registry, plugin: Plugin[Any]) -> None:
        self._registry = registry
        self._plugin = plugin

    def counter(
        self, name: str, help: str, labels: Sequence[str] = (), *, most: int = 100, read: Read | None = None
    ) -> CounterMetric:
        """Register a counter."""
        if not name.endswith("_total"):
            raise ValueError(f"{name!r} is no name of a counter: it ends in _total")
        metric = self._registered(CounterMetric, name, "counter", help, labels, most)
        if read is not None:
            metric.readers[id(self._plugin)] = read
        elif not labels:
            metric.add(0)  # so that it shows before anything happened
        return metric

    def gauge(
        self, name: str, help: str, labels: Sequence[str] = (), *, most: int = 100, read: Read | None = None
    ) -> GaugeMetric:
        """Register a gauge."""
        metric = self._registered(GaugeMetric, name, "gauge", help, labels, most)
        if read is not None:
            metric.readers[id(self._plugin)] = read
        return metric

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), *, most: int = 100, bounds: Sequence[float] = BUCKETS
    ) -> HistogramMetric:
        """Register a histogram."""
        if not bounds or list(bounds) != sorted(set(bounds)) or not all(map(isfinite, bounds)) or len(bounds) > 100:
            raise ValueError(f"the bounds of {name!r} are no numbers that rise, or more than 100")
        return self._registered(HistogramMetric, name, "histogram", help, labels, most, tuple(map(float, bounds)))

    def collect(self) -> Iterator[ShownMetric]:
        """Give every metric of every plugin as it is now."""
        return self._registry.collect()

    def _registered(
        self,
        cls: type[MetricT],
        name: str,
        kind: Literal["counter", "gauge", "histogram"],
        text: str,
        labels: Sequence[str],
        most: int,
        bounds: tuple[float, ...] = (),
    ) -> MetricT:
        if not _NAME.fullmatch(name) or name.startswith(PREFIX):
            raise ValueError(f"{name!r} is no name of a metric: small letters, digits and '_', without {PREFIX}")
        if isinstance(labels, str) or len(set(labels)) < len(labels) or not 0 < most <= 10_000:
            raise ValueError(f"the metric {name} takes a list of different labels and has between 1 and 10,000 series")
        if strange := [each for each in labels if not _LABEL.fullmatch(each) or each == "le" or each.startswith("__")]:
            raise ValueError(f"{strange[0]!r} is no label of the metric {name}: letters, digits and '_', and not 'le'")
        made = cls(type(self._plugin), PREFIX + name, kind, text, tuple(labels), most, bounds)
        return self._registry.register(self._plugin, made)
