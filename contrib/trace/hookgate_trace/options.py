"""Which calls are traced, as it stands in a document."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hookgate import Expression, Options, Secret


class TraceRule(Options):
    """Calls of one kind."""

    name: str = Field(min_length=1, max_length=100)
    """What the trace says why it was made."""
    when: Expression | None = None
    """Which calls: a condition on the request, its route and its API; all if left out."""
    sample: float = Field(default=1.0, gt=0, le=1)
    """Share of them, from 0 to 1."""


class TraceSection(Options):
    """Traces of live calls: what each hook did, and the difference it made. Secrets are masked."""

    token: Secret | None = None
    """A call that shows this token in `header` is traced, and its answer names the trace in `X-Hookgate-Trace-Id`."""
    header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] = "X-Hookgate-Trace"
    """Header with the token; backends never see it."""
    sample: float = Field(default=0.0, ge=0, le=1)
    """Share of all calls that are traced, from 0 to 1."""
    rules: tuple[TraceRule, ...] = ()
    """Calls that are traced for a reason; the first rule that holds counts."""
    per_second: float = Field(default=20.0, gt=0, le=10_000)
    """Traces a second at most, those by token not counted."""
    body: int = Field(default=2048, ge=0, le=1024 * 1024)
    """Bytes of a body that are shown; 0 shows none. Only bodies that a step has read are there to be shown."""

    @model_validator(mode="after")
    def _useful(self) -> TraceSection:
        if self.token is not None and len(self.token.reveal()) < 8:
            raise ValueError("token: whoever has it sees what calls hold; take 8 characters or more")
        if any(rule.when is not None and rule.when.reads_body for rule in self.rules):
            raise ValueError("rules: what is traced is decided before a body is read; take headers, path or query")
        return self
