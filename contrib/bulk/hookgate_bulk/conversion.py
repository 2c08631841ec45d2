"""Rows of CSV and JSON, converted and checked. Nothing here waits: it runs in a thread."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from hookgate import Options

MOST_COLUMNS = 1000
DEEPEST = 8
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_TRUE, _FALSE = frozenset(("true", "yes", "1")), frozenset(("false", "no", "0"))
ColumnName = Annotated[str, Field(min_length=1, max_length=200)]


class ColumnOptions(Options):
    """What becomes of the cells of one column."""

    name: ColumnName | None = None
    """What the member of the row is called; left out, as the column."""
    type: Literal["text", "integer", "number", "boolean", "json"] = "text"
    """What its cells are. A boolean is `true`, `yes` or `1`, and `false`, `no` or `0`."""
    empty: Literal["keep", "null", "omit"] = "keep"
    """What an empty cell becomes: an empty text, null, or nothing at all. One that is no text is never kept: it is left
    out."""


class ConversionOptions(Options):
    """How CSV becomes rows."""

    delimiter: Annotated[str, Field(pattern=r"^[^\r\n\"]$")] = ","
    """What stands between cells."""
    quote: Annotated[str, Field(pattern=r"^[^\r\n]$")] = '"'
    """What stands around cells with a delimiter or a line break in them; it is doubled inside."""
    encoding: Literal["utf-8", "latin-1", "cp1252", "utf-16"] = "utf-8"
    """How characters are written."""
    trim: bool = True
    """Whether blanks around cells are left out."""
    nested: bool = False
    """Whether `address.city` as a column is the member `city` of the object `address`."""
    columns: Annotated[dict[ColumnName, ColumnOptions], Field(max_length=MOST_COLUMNS)] = Field(default_factory=dict)
    """Columns by their names in the header."""
    others: Literal["keep", "drop", "refuse"] = "keep"
    """What becomes of columns that are not named there."""


class Unreadable(Exception):
    """What was sent has no rows that could be read; the text says where and why."""


@dataclass(slots=True)
class Row:
    """One row."""

    number: int
    """Counted from 1."""
    line: int
    """Where it ends in CSV; 0 in JSON."""
    original: Any
    value: Any
    errors: list[dict[str, str]] = field(default_factory=list)


def rows_of(content: bytes, *, is_csv: bool, options: ConversionOptions, most: int) -> list[Row]:
    """Read rows. One that cannot be converted has ``errors``, and others go on.

    Raises:
        Unreadable: what was sent is none, has no rows, or more than ``most``.
    """
    found: list[Row] = []
    for row in _csv(content, options) if is_csv else _json(content):
        if len(found) >= most:
            raise Unreadable(f"there are more than {most} rows; send them in parts")
        found.append(row)
    if not found:
        raise Unreadable("there are no rows")
    return found


def _json(content: bytes) -> Iterator[Row]:
    try:
        listed = orjson.loads(content)
    except ValueError as error:
        raise Unreadable(f"this is no JSON: {str(error)[:200]}") from None
    if not isinstance(listed, list):
        raise Unreadable("this is no JSON array: write one element for each row")
    for number, each in enumerate(listed, 1):
        yield Row(number, 0, each, each)


def _csv(content: bytes, options: ConversionOptions) -> Iterator[Row]:
    try:
        text = content.decode("utf-8-sig" if options.encoding == "utf-8" else options.encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Unreadable(f"line {line} is no {options.encoding}") from None
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=options.delimiter, quotechar=options.quote, strict=True
    )
    header: list[str] = []
    number = 0
    try:
        for cells in reader:
            if not any(cells) and len(cells) < 2:  # an empty line
                continue
            if not header:
                header = _header(cells, options)
                continue
            number += 1
            yield _row(number, reader.line_num, header, cells, options)
    except csv.Error as error:
        raise Unreadable(f"line {reader.line_num} cannot be read: {error}") from None


def _header(cells: Sequence[str], options: ConversionOptions) -> list[str]:
    header = [each.strip() for each in cells]
    if len(header) > MOST_COLUMNS:
        raise Unreadable(f"there are more than {MOST_COLUMNS} columns")
    if "" in header:
        raise Unreadable(f"column {header.index('') + 1} has no name in the header")
    twice = sorted({each for each in header if header.count(each) > 1})
    if twice:
        raise Unreadable(f"the header names {twice[0][:100]!r} twice")
    if missing := [each for each in options.columns if each not in header]:
        raise Unreadable(f"there is no column {missing[0]!r}; the header has: {', '.join(header)[:500]}")
    if options.others == "refuse" and (more := [each for each in header if each not in options.columns]):
        raise Unreadable(f"the column {more[0][:100]!r} is not expected")
    return header


def _row(number: int, line: int, header: Sequence[str], cells: Sequence[str], options: ConversionOptions) -> Row:
    original = dict(zip(header, cells, strict=False))
    value: dict[str, Any] = {}
    row = Row(number, line, original, value)
    if len(cells) != len(header):
        detail = f"has {len(cells)} cells, and the header has {len(header)}"
        row.errors.append({"pointer": "", "detail": detail})
        if len(cells) > len(header):
            row.original = {**original, "": list(cells[len(header) :])}
        return row
    for column, written in original.items():
        column_options = options.columns.get(column)
        if column_options is None and options.others == "drop":
            continue
        text = written.strip() if options.trim else written
        name = column if column_options is None else column_options.name or column
        try:
            cell = _cell(text, column_options or ColumnOptions())
        except ValueError as error:
            row.errors.append({"pointer": f"/{column.replace('~', '~0').replace('/', '~1')}", "detail": str(error)})
            continue
        if cell is not _LEFT_OUT and not _put(value, name, cell, nested=options.nested):
            row.errors.append({"pointer": f"/{column}", "detail": f"{name!r} is no object, since another column is it"})
    return row


_LEFT_OUT = object()


def _cell(text: str, options: ColumnOptions) -> Any:
    if text == "":
        kept = "" if options.type == "text" else _LEFT_OUT
        return {"keep": kept, "null": None, "omit": _LEFT_OUT}[options.empty]
    match options.type:
        case "integer":
            if not _INTEGER.fullmatch(text):
                raise ValueError("is no integer of up to 18 digits")
            return int(text)
        case "number":
            if not _NUMBER.fullmatch(text) or not math.isfinite(found := float(text)):
                raise ValueError("is no number, such as 12.5")
            return found
        case "boolean":
            if (lower := text.lower()) not in _TRUE | _FALSE:
                raise ValueError("is neither true nor false")
            return lower in _TRUE
        case "json":
            try:
                return orjson.loads(text)
            except ValueError:
                raise ValueError("is no JSON") from None
        case _:
            return text


def _put(row: dict[str, Any], name: str, value: Any, *, nested: bool) -> bool:
    *above, last = name.split(".", DEEPEST) if nested else (name,)
    for each in above:
        inner = row.setdefault(each, {})
        if not isinstance(inner, dict):
            return False
        row = inner
    if last in row:
        return False
    row[last] = value
    return True


def told(rows: Sequence[Row], most: int = 100) -> list[Mapping[str, Any]]:
    """Return what is wrong with rows, the first of them."""
    wrong = [row for row in rows if row.errors]
    return [{"row": row.number, "line": row.line or None, "errors": row.errors} for row in wrong[:most]]
