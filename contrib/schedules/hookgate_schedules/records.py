"""The record of a schedule."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import Field, model_validator

from hookgate.contract import Described
from hookgate_schedules.times import Times
from hookgate_workflows import WorkflowName


class ScheduleSection(Described):
    """A workflow that is started by the clock."""

    workflow: WorkflowName
    """The workflow that is started."""
    error_handler: WorkflowName | None = None
    """The workflow that is run when it fails."""
    cron: Annotated[str, Field(min_length=9, max_length=200)]
    """When: minute, hour, day of the month, month, day of the week, as in `30 2 * * MON-FRI`."""
    time_zone: Annotated[str, Field(min_length=1, max_length=100)] = "UTC"
    """The time zone that `cron` is meant in, such as `Europe/Vienna`."""
    enabled: bool = True
    """Whether it is started. Switched off, nothing is missed meanwhile."""
    missed: Literal["once", "skip"] = "once"
    """Whether one start that nobody could make in time is made up for; of several the last one."""
    overlap: bool = True
    """Whether it is started while the instance that it has started last is still active."""
    body: Any = None
    """What the workflow sees as `request.body`."""

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        self.times  # noqa: B018 - that it can be made is the check
        return self

    @cached_property
    def times(self) -> Times:
        """The times at which it is due."""
        return Times(self.cron, self.time_zone)

    @property
    def digest(self) -> str:
        """What tells whether it is due at other times than before."""
        said = orjson.dumps([self.cron, self.time_zone, self.enabled, self.workflow])
        return hashlib.sha256(said).hexdigest()
