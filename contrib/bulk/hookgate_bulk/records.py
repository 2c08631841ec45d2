"""The records: bulk actions, and how many rows run at once."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from hookgate import ConnectionName, Options, PositiveDuration
from hookgate.contract import Described
from hookgate_bulk.conversion import ConversionOptions, Row, Unreadable, rows_of
from hookgate_workflows import Schema, Template, Templated, WorkflowName

MOST_ROWS = 100_000
HeaderName = Annotated[str, Field(min_length=1, max_length=200)]


class BulkRules(Options):
    """How rows are read and run."""

    max_rows: int = Field(default=10_000, ge=1, le=MOST_ROWS)
    """Rows that one bulk may have."""
    max_bytes: int = Field(default=4_194_304, ge=1, le=67_108_864)
    """Bytes that the rows may have together."""
    parallel: int = Field(default=4, ge=1, le=100)
    """Rows that run at once; with 1 they run one after the other."""
    sequence_timeout: PositiveDuration | None = Field(default=None, le=86_400)
    """Seconds that a row waits for the one before it; rows then run one after the other. A row that takes longer goes
    on, and the next one begins."""
    stop_on_error: bool = False
    """Whether nothing more is begun once a row has failed."""
    options: ConversionOptions = ConversionOptions()
    """How CSV becomes rows."""

    @model_validator(mode="after")
    def _sequential(self) -> Self:
        if self.sequence_timeout is not None and self.parallel != 1 and "parallel" in self.model_fields_set:
            raise ValueError("sequence_timeout: rows then run one after the other, so leave out parallel, or write 1")
        return self

    @property
    def at_once(self) -> int:
        """Rows that run at once."""
        return 1 if self.sequence_timeout is not None else self.parallel


class BulkCallSection(Options):
    """A call that is made for each row."""

    connection: ConnectionName | None = None
    """The connection to call; then `url` is a path on it."""
    method: Annotated[str, Field(pattern=r"^[A-Za-z]{1,20}$")] = "GET"
    """The method."""
    url: Template
    """Where to, with placeholders such as `/users/{{ request.body.id | urlencode }}`."""
    headers: dict[HeaderName, Template] = Field(default_factory=dict, max_length=3)
    """Up to three more headers."""
    body: Templated | None = None
    """The body. Left out, a POST, PUT or PATCH sends the row as JSON."""
    timeout: PositiveDuration = Field(default=30.0, le=600)
    """Seconds until an answer is complete."""
    may_repeat: bool | None = None
    """Whether a call may be made again where a process was killed amid it; left out, the method says it."""


class BulkActionSection(BulkRules, Described):
    """Something that is done for each row."""

    workflow: WorkflowName | None = None
    """The workflow that each row runs, with the row as `request.body`."""
    error_handler: WorkflowName | None = None
    """The workflow that is run when it fails."""
    call: BulkCallSection | None = None
    """In its place, a call that is made for each row. A status from 200 to 299 is a row that is done."""
    validation_schema: Schema | None = None
    """A JSON Schema that a row has to be as, once it is converted. One that is not is `invalid`, and is not run."""
    sample_input: str | tuple[Any, ...] | None = None
    """An example for people: CSV as a text, or a list of rows. It has to be right itself."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.workflow is None) == (self.call is None):
            raise ValueError("write either workflow or call")
        if self.error_handler is not None and self.workflow is None:
            raise ValueError("error_handler: it belongs to a workflow")
        return self


def validated(rows: list[Row], schema: Schema | None) -> list[Row]:
    """Check rows that could be converted."""
    for row in rows if schema is not None else ():
        if not row.errors:
            row.errors += schema.mistakes(row.value)  # type: ignore[union-attr]
    return rows


def read_rows(content: bytes, rules: BulkRules, schema: Schema | None, *, is_csv: bool) -> list[Row]:
    """Read, convert and check rows.

    Raises:
        Unreadable: there are none, or too many.
    """
    if len(content) > rules.max_bytes:
        raise Unreadable(f"there are more than {rules.max_bytes} bytes; send the rows in parts")
    return validated(rows_of(content, is_csv=is_csv, options=rules.options, most=rules.max_rows), schema)
