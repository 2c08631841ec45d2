"""Rows as CSV (RFC 4180), as spreadsheets take it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol


class Written(Protocol):
    """Where text goes."""

    def write(self, text: str, /) -> object:
        """Write."""


def write_csv(file: Written, names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows, with a head of their names."""
    writer = csv.DictWriter(file, names, extrasaction="ignore")
    writer.writeheader()
    for each in rows:
        writer.writerow({name: _harmless(each[name]) for name in names})


def _harmless(value: Any) -> Any:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
