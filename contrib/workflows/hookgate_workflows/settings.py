"""The record of the section ``workflow_engine``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from hookgate import Duration, Options, PositiveDuration
from hookgate.document import Interceptors
from hookgate_workflows.executors import Executor

Prefix = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)+$", max_length=200)]
RoleName = Annotated[str, Field(min_length=1, max_length=200)]


class WorkflowLimitsSection(Options):
    """How large things may be, in bytes."""

    context: int = Field(default=1_048_576, ge=1024, le=67_108_864)
    """The context of an instance."""
    request: int = Field(default=1_048_576, ge=0, le=67_108_864)
    """The body of a call that starts an instance."""
    answer: int = Field(default=4_194_304, ge=1024, le=67_108_864)
    """The answer to a call that a cell makes."""
    documents: int = Field(default=16_777_216, ge=0, le=268_435_456)
    """All documents of an instance together."""
    cells: int = Field(default=10_000, ge=10, le=1_000_000)
    """Runs of cells in one instance; one more fails it."""


class CallRuleSection(Options):
    """A rule of a profile."""

    name: str = Field(default="", max_length=200)
    """What it is called."""
    method: Annotated[str, Field(pattern=r"^(\*|[A-Za-z]{1,20})$")] = "*"
    """A method, or `*` for any."""
    url: Annotated[str, Field(min_length=1, max_length=1000)]
    """A regular expression of RE2 that matches the whole path, such as `/api/v01/custom/orders/.*`."""
    allowed: bool = True
    """Whether such calls may be made."""


class CallProfileSection(Options):
    """What callers with some roles may call."""

    roles: Annotated[tuple[RoleName, ...], Field(min_length=1, max_length=1000)]
    """Who has one of these roles has the profile."""
    rules: Annotated[tuple[CallRuleSection, ...], Field(max_length=10_000)] = ()
    """Rules in order: the first one that matches says whether; with none the call is refused."""


class EngineSection(Options):
    """How workflows are run, and who may call custom routes."""

    executor: Executor[Any] | None = None
    """Who runs instances. Left out, `local`: every process runs its own, and those of processes that have ended."""
    lease: Annotated[Duration, Field(ge=1, le=3600)] = 15.0
    """Seconds after which the instances of a process that has ended are taken over by another one."""
    limits: WorkflowLimitsSection = WorkflowLimitsSection()
    """How large things may be."""
    template_timeout: PositiveDuration = Field(default=1.0, le=60)
    """Seconds that one template may take; then it is ended."""
    prefix: Prefix = "/api/v01"
    """What custom routes stand under, with `/custom` or `/public` behind it, and `/transactions`."""
    callback_base: Annotated[str, Field(pattern=r"^https?://[^/?#{}@\\\s]+$", max_length=300)] | None = None
    """What others reach this gateway at, such as `https://api.example.org`: `callback_url` of `async_json_call` begins
    with it. Left out, it begins with the address that the call which has started the instance was sent to."""
    public_alias: Prefix | None = None
    """A second place for public routes, such as `/public` (X4)."""
    auth: Interceptors = ()
    """Steps in front of custom routes that are not public, which find out who calls. Left out, the step `oauth` with
    the key manager of the document."""
    profiles: dict[str, CallProfileSection] = Field(default_factory=dict, max_length=1000)
    """Who may call what. With none, everybody who is authenticated may call all custom routes."""
    operators: tuple[RoleName, ...] = ()
    """Roles that see the transactions of all."""
    variables: dict[str, Any] = Field(default_factory=dict)
    """Values that templates see as `settings`. Put no secrets here."""
    env: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ()
    """Variables of the environment that templates see as `env`."""
    keep: Duration = Field(default=90 * 86_400.0, ge=60)
    """Seconds that instances are kept after they are over."""
    keep_reads: Duration = Field(default=7 * 86_400.0, ge=60)
    """The same, of those that a GET has started."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables, as they are now."""
        return {name: os.environ[name] for name in self.env if name in os.environ}
