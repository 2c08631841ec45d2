"""What may be asked, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hookgate_statistics.cells import Cell
from hookgate_statistics.sketch import quantile

RESOLUTIONS = {"minute": 60, "hour": 3600, "day": 86400}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class TooMuch(Exception):
    """So many rows would have to be read that the question is refused."""


@dataclass(frozen=True, slots=True)
class Question:
    """Counts between two Unix times, the second not included."""

    since: float
    until: float
    by: tuple[str, ...] = ()
    """Dimensions that are told apart."""
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Values by dimension, any of which counts."""
    resolution: int = 60
    """Seconds of what is read: 60, 3600 or 86400. Both times are rounded down to it, the second one up."""
    series: bool = False
    """Whether each minute, hour or day is told apart."""

    @property
    def bounds(self) -> tuple[int, int]:
        """The first start, and the first one behind."""
        step = self.resolution
        return int(self.since // step * step), int(-(-self.until // step) * step)


@dataclass(frozen=True, slots=True)
class Answer:
    """One group: its dimensions and its counts."""

    group: tuple[str, ...]
    start: int | None
    cell: Cell

    def told(self, by: Sequence[str]) -> dict[str, Any]:
        """Return it as plain values. Times are seconds; a quantile is exact to 2 %."""
        cell = self.cell
        shown: dict[str, Any] = {} if self.start is None else {"start": self.start}
        return {
            **shown,
            **dict(zip(by, self.group, strict=True)),
            "calls": cell.calls,
            "client_errors": cell.client_errors,
            "server_errors": cell.server_errors,
            "aborted": cell.aborted,
            "bytes_received": cell.received,
            "bytes_sent": cell.sent,
            "seconds": cell.seconds,
            **{name: quantile(cell.sketch, part) for name, part in QUANTILES.items()},
        }
