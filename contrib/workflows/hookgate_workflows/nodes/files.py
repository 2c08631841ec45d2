"""Cells that build files, which belong to the instance."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

import orjson
from pydantic import Field

from hookgate import Options, hookimpl
from hookgate_workflows.family import Cell, Done, Node, NodeFailed
from hookgate_workflows.templating import Template, Templated, as_written


class CreateCsvOptions(Options):
    """Parameters of `create_csv`."""

    filename: Template
    """The name of the file."""
    inputs: Templated
    """The rows: a list of lists, or of objects, whose names then make the first row."""
    description: Template = Template("")
    """What it is."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """What stands between two values."""


class CreateCsv(Node[CreateCsvOptions]):
    """Builds a file of comma-separated values (RFC 4180), and adds it to the documents of the instance."""

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Build it."""
        name, rows = await cell.text(self.options.filename), await cell.value(self.options.inputs)
        if isinstance(rows, str):
            try:
                rows = orjson.loads(rows)
            except ValueError:
                raise NodeFailed("inputs are no rows: give a list of lists, or of objects") from None
        if not isinstance(rows, list):
            raise NodeFailed("inputs are no rows: give a list of lists, or of objects")
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.options.delimiter)  # ends lines with CR and LF
        objects = [row for row in rows if isinstance(row, Mapping)]
        if objects:
            names = list(dict.fromkeys(key for row in objects for key in row))
            writer.writerow(names)
        for number, row in enumerate(rows, 1):
            if isinstance(row, Mapping):
                writer.writerow([as_written(row.get(key)) for key in names])
            elif isinstance(row, list) and not objects:
                writer.writerow([as_written(each) for each in row])
            else:
                raise NodeFailed(f"row {number} is no list, or no object as the others are")
        cell.given(filename=name, rows=len(rows))
        description = await cell.text(self.options.description)
        cell.attach(name, text.getvalue().encode(), "text/csv; charset=utf-8", description)
        return Done()
