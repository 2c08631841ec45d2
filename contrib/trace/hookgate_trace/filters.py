"""Which traces are asked for: checked once, then put to the file as SQL, or to a new trace as it comes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hookgate_trace.rows import Row

EXACT = ("method", "route", "api", "version", "application", "environment", "outcome", "reason", "fault")
"""Facts that are asked for by their very value."""
NAMES = (*EXACT, "path", "status", "correlation", "slower", "since", "until")
"""Every filter there is."""
VALUES = 20
"""Values that one filter may be given."""
LONGEST = 2000
"""Characters of a value."""
STARS = 5
"""Asterisks of a path: each multiplies the work."""

_DURATION = re.compile(r"(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?")
_STATUS = re.compile(r"([1-5])xx|[1-5][0-9][0-9]|none")
_SPACE_FOR_PLUS = re.compile(r"(T\S+) (\d\d:?\d\d)$")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a trace has to be; several values of one filter are alternatives, several filters have to hold all."""

    exact: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Facts of `EXACT` with the values they may have."""
    path: Sequence[str] = ()
    """Paths: each stands for itself and what is below it, and `*` in one for anything."""
    status: Sequence[str] = ()
    """`404`, `5xx`, or `none` where the client was gone before there was an answer."""
    correlation: Sequence[str] = ()
    """The id of the trace, what the client sent as `X-Request-Id`, or the trace id of its `traceparent`."""
    slower: float | None = None
    """Milliseconds the call took at least."""
    since: float | None = None
    """Unix time the call came at, or later."""
    until: float | None = None
    """Unix time before which it came."""

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition as SQL with its parameters."""
        said: list[tuple[str, list[Any]]] = []
        for name, values in self.exact.items():
            said.append((f"{name} IN ({', '.join('?' * len(values))})", list(values)))
        if self.path:
            said.append(_any([_below(path) for path in self.path]))
        if self.status:
            said.append(_any([_of_status(status) for status in self.status]))
        if self.correlation:
            marks = ", ".join("?" * len(self.correlation))
            columns = ("id", "request_id", "trace_id")
            said.append((f"({' OR '.join(f'{name} IN ({marks})' for name in columns)})", [*self.correlation] * 3))
        for condition, value in (
            ("milliseconds >= ?", self.slower),
            ("time >= ?", self.since),
            ("time < ?", self.until),
        ):
            if value is not None:
                said.append((condition, [value]))
        return " AND ".join(sql for sql, _ in said) or "1", [value for _, values in said for value in values]

    def holds(self, row: Row) -> bool:
        """Tell whether a trace is one of these, without the file."""
        return (
            all(row[name] in values for name, values in self.exact.items())
            and (not self.path or any(_is_below(row["path"], path) for path in self.path))
            and (not self.status or any(_has_status(row["status"], status) for status in self.status))
            and (
                not self.correlation or any(row[name] in self.correlation for name in ("id", "request_id", "trace_id"))
            )
            and (self.slower is None or row["milliseconds"] >= self.slower)
            and (self.since is None or row["time"] >= self.since)
            and (self.until is None or row["time"] < self.until)
        )


def filters_of(given: Mapping[str, Sequence[str]], now: float) -> Filters:
    """Check filters as a query gives them, values by name; ``now`` is the Unix time that durations count back from.

    Raises:
        ValueError: what is wrong, and what would be right.
    """
    for name, values in given.items():
        if name not in NAMES:
            raise ValueError(f"There is no filter {name!r}; write one of {', '.join(sorted(NAMES))}.")
        if len(values) > VALUES or any(len(value) > LONGEST for value in values):
            raise ValueError(f"{name}: write {VALUES} values at most, of {LONGEST} characters at most.")
    for value in given.get("status", ()):
        if _STATUS.fullmatch(value) is None:
            raise ValueError(f"status: {value!r} is no status; write one such as 404, 5xx or none.")
    for value in given.get("path", ()):
        if not value.startswith(("/", "*")) or value.count("*") > STARS:
            raise ValueError(f"path: write one that begins with / or *, with {STARS} * at most.")
    return Filters(
        exact={name: tuple(given[name]) for name in EXACT if name in given},
        path=tuple(given.get("path", ())),
        status=tuple(given.get("status", ())),
        correlation=tuple(given.get("correlation", ())),
        slower=_number("slower", given),
        since=_moment("since", given, now),
        until=_moment("until", given, now),
    )


def _one(name: str, given: Mapping[str, Sequence[str]]) -> str | None:
    values = given.get(name, ())
    if len(values) > 1:
        raise ValueError(f"{name}: write it once.")
    return values[0].strip() if values else None


def _number(name: str, given: Mapping[str, Sequence[str]]) -> float | None:
    value = _one(name, given)
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", value) is None:
        raise ValueError(f"{name}: {value!r} is no number of milliseconds.")
    return float(value)


def _moment(name: str, given: Mapping[str, Sequence[str]], now: float) -> float | None:
    """Read a moment: so long ago, in RFC 3339, or in Unix time."""
    value = _one(name, given)
    if value is None:
        return None
    if match := _DURATION.fullmatch(value):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return now - (((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", value):
        return float(value)
    try:
        read = datetime.fromisoformat(_SPACE_FOR_PLUS.sub(r"\1+\2", value))
        return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{name}: {value!r} is no time; write how long ago (10m, 2h30m, 7d), RFC 3339 "
            "(2026-11-22T09:30:00Z) or Unix time."
        ) from None


def _any(said: list[tuple[str, list[Any]]]) -> tuple[str, list[Any]]:
    return f"({' OR '.join(sql for sql, _ in said)})", [value for _, values in said for value in values]


def _below(path: str) -> tuple[str, list[Any]]:
    if "*" in path:
        escaped = path.replace("[", "[[]").replace("?", "[?]")
        return "path GLOB ?", [escaped]
    stem = path.rstrip("/")
    return "(path = ? OR path = ? OR (path >= ? AND path < ?))", [path, stem, stem + "/", stem + "0"]  # 0 follows /


def _is_below(path: str, asked: str) -> bool:
    if "*" in asked:
        return re.fullmatch(".*".join(map(re.escape, asked.split("*"))), path, re.DOTALL) is not None
    stem = asked.rstrip("/")
    return path in (asked, stem) or path.startswith(stem + "/")


def _of_status(status: str) -> tuple[str, list[Any]]:
    if status == "none":
        return "status IS NULL", []
    if status.endswith("xx"):
        return "status BETWEEN ? AND ?", [int(status[0]) * 100, int(status[0]) * 100 + 99]
    return "status = ?", [int(status)]


def _has_status(status: int | None, asked: str) -> bool:
    if status is None or asked == "none":
        return status is None and asked == "none"
    return status // 100 == int(asked[0]) if asked.endswith("xx") else status == int(asked)
