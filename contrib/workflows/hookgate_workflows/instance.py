"""An instance in memory: what the journal knows of it, and what has changed since."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from hookgate_workflows.graph import Graph
from hookgate_workflows.journal import ACTIVE
from hookgate_workflows.sessions import without_session
from hookgate_workflows.watching import Also

READY, RUNNING, WAITING, OK, ERROR = "READY", "RUNNING", "WAITING", "OK", "ERROR"


@dataclass(slots=True)
class Token:
    """A cell that is to be run."""

    cell: str
    source: str = ""
    """The output that led to it."""
    passed: frozenset[str] = frozenset()
    """Cells that take the first of their inputs which are on its way here: what comes round to one again is no rival
    of what went through."""

    def told(self) -> list[Any]:
        """Return it as plain values."""
        return [self.cell, self.source, sorted(self.passed)]

    @classmethod
    def of(cls, told: list[Any]) -> Token:
        """Make one of plain values."""
        return cls(told[0], told[1], frozenset(told[2]))


@dataclass(slots=True)
class Run:
    """One run of one cell."""

    number: int
    token: Token
    node: str
    attempt: int = 1
    status: str = RUNNING
    output: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    error: str = ""
    key: str = ""
    started: float = 0.0
    ended: float | None = None
    until: float | None = None
    kept: Any = None
    resumed: Any = None
    is_resumed: bool = False
    dirty: bool = True
    stopped: asyncio.Event | None = None
    """Set by somebody who ends its rest."""

    def row(self, instance: int, fence: int) -> dict[str, Any]:
        """Return it as the journal has it."""
        return {
            "instance": instance,
            "number": self.number,
            "cell": self.token.cell,
            "node": self.node,
            "attempt": self.attempt,
            "status": self.status,
            "output": self.output,
            "given": dumped(self.given),
            "changes": dumped(self.changes),
            "messages": dumped(self.messages),
            "error": self.error,
            "key": self.key,
            "started": self.started,
            "ended": self.ended,
            "fence": fence,
        }

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on with it."""
        return {
            "number": self.number,
            "token": self.token.told(),
            "status": self.status,
            "until": self.until,
            "kept": self.kept,
            "resumed": self.resumed,
            "is_resumed": self.is_resumed,
        }


@dataclass(frozen=True, slots=True)
class Document:
    """A file of an instance."""

    name: str
    media_type: str
    content: bytes
    description: str = ""


@dataclass(slots=True)
class Instance:
    """An instance of a workflow."""

    id: int
    graph: Graph
    request: Any
    guid: str = field(default_factory=lambda: str(uuid.uuid4()))
    parent: int | None = None
    label: str = ""
    route: str = ""
    method: str = ""
    owner: str | None = None
    handler: str = ""
    status: str = ACTIVE
    request_status: str = ""
    waits: str = ""
    reason: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    created: float = 0.0
    closed: float | None = None
    wake: float | None = None
    fence: int = 1
    free: bool = False
    """Whether nobody is to hold it: an executor runs it, here or elsewhere."""
    stored: bool = False
    defined: bool = False
    """Whether the journal has its definition."""
    ready: list[Token] = field(default_factory=list)
    active: dict[int, Run] = field(default_factory=dict)
    """Runs that are not over, by number."""
    runs: dict[int, Run] = field(default_factory=dict)
    """All runs that are known here, by number."""
    joined: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Inputs that have come to cells that wait for all of them, with what these had passed."""
    passed: set[str] = field(default_factory=set)
    """Cells that take the first of their inputs, and have."""
    last: int = 0
    """The number of the last run."""
    ended_at: str = ""
    """The end that was reached first."""
    handled: bool = False
    """Whether its handler for errors was closed in success."""
    child: int | None = None
    """The instance of the handler for errors, once there is one."""
    session: dict[str, str] | None = None
    """The session of the upstream user who has started it, encrypted; nothing of anybody else."""
    failed: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Runs that have failed and led nowhere, by number: the token and the error of each."""
    aside: list[dict[str, Any]] = field(default_factory=list)
    """Runs that were not over when it was closed in errors."""
    subs: dict[str, dict[str, int]] = field(default_factory=dict)
    """Instances that its cells have started, by run and index."""
    depth: int = 0
    """How many instances stand above it."""
    parent_context: dict[str, Any] | None = None
    """The context that the one above had."""
    awaited: bool = False
    """Whether the cell that has started it waits in this process."""
    documents: dict[str, Document] = field(default_factory=dict)
    new_documents: set[str] = field(default_factory=set)
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Calls that are not in the journal yet."""
    call_count: int = 0
    answered: asyncio.Future[None] | None = None
    """Set when an end is reached, or the instance is over or waits."""
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    also: list[Also] = field(default_factory=list)
    """What others write together with it, next time."""
    watched: bool = False
    """Whether those who watch were told that it is over."""

    @property
    def told(self) -> dict[str, Any]:
        """What templates see as ``instance``."""
        return {
            "id": self.id,
            "guid": self.guid,
            "workflow": self.graph.name,
            "label": self.label,
            "user_id": self.owner,
            "status": self.status,
            "request_status": self.request_status,
        }

    def answer(self) -> None:
        """Let whoever waits for an answer look."""
        if self.answered is not None and not self.answered.done():
            self.answered.set_result(None)

    def row(self, owner: str, now: float, until: float) -> dict[str, Any]:
        """Return it as the journal has it."""
        held = self.status == ACTIVE and not self.waits and not self.free
        state = {
            "ready": [each.told() for each in self.ready],
            "active": [each.state() for each in self.active.values()],
            "joined": self.joined,
            "passed": sorted(self.passed),
            "last": self.last,
            "ended_at": self.ended_at,
            "child": self.child,
            "calls": self.call_count,
            "session": self.session if self.status == ACTIVE else without_session(self.session),
            "subs": self.subs,
            "depth": self.depth,
            "parent_context": self.parent_context,
        }
        if self.failed or self.aside:
            state |= {"failed": {str(number): told for number, told in self.failed.items()}, "aside": self.aside}
        return {
            "id": self.id,
            "guid": self.guid,
            "workflow": self.graph.name,
            "digest": self.graph.digest,
            "parent": self.parent,
            "label": self.label,
            "route": self.route,
            "method": self.method,
            "owner": self.owner,
            "handler": self.handler,
            "status": self.status,
            "request_status": self.request_status,
            "waits": self.waits,
            "reason": self.reason,
            "request": dumped(self.request),
            "context": dumped(self.context),
            "errors": dumped(self.errors),
            "state": dumped(state),
            "created": self.created,
            "updated": now,
            "closed": self.closed,
            "wake": self.wake,
            "lease": owner if held else None,
            "lease_until": until if held else None,
            "fence": self.fence,
        }

    @classmethod
    def of(cls, row: Mapping[str, Any], graph: Graph) -> Instance:
        """Make one of what the journal has."""
        state = orjson.loads(row["state"])
        made = cls(
            row["id"],
            graph,
            orjson.loads(row["request"]),
            row["guid"],
            row["parent"],
            row["label"],
            row["route"],
            row["method"],
            row["owner"],
            row["handler"],
            row["status"],
            row["request_status"],
            row["waits"],
            row["reason"],
            orjson.loads(row["context"]),
            orjson.loads(row["errors"]),
            row["created"],
            row["closed"],
            row["wake"],
            row["fence"],
            stored=True,
            defined=True,
        )
        made.ready = [Token.of(each) for each in state["ready"]]
        made.joined, made.passed, made.last = state["joined"], set(state["passed"]), state["last"]
        made.ended_at, made.child, made.call_count = state["ended_at"], state["child"], state["calls"]
        made.session = state.get("session")
        made.failed = {int(number): told for number, told in state.get("failed", {}).items()}
        made.aside = state.get("aside", [])
        made.subs, made.depth = state.get("subs", {}), state.get("depth", 0)
        made.parent_context = state.get("parent_context")
        for cell in row["cells"]:
            run = Run(
                cell["number"],
                Token(cell["cell"]),
                cell["node"],
                cell["attempt"],
                cell["status"],
                cell["output"],
                orjson.loads(cell["given"]),
                orjson.loads(cell["changes"]),
                orjson.loads(cell["messages"]),
                cell["error"],
                cell["key"],
                cell["started"],
                cell["ended"],
                dirty=False,
            )
            made.runs[run.number] = run
        for each in state["active"]:
            run = made.runs.get(each["number"]) or Run(each["number"], Token.of(each["token"]), "")
            run.token, run.until, run.kept = Token.of(each["token"]), each["until"], each["kept"]
            run.status = each["status"]
            run.resumed, run.is_resumed = each.get("resumed"), each.get("is_resumed", False)
            made.active[run.number] = made.runs[run.number] = run
        for file in row["documents"]:
            document = Document(file["name"], file["media_type"], file["content"], file["description"])
            made.documents[document.name] = document
        return made


def dumped(value: Any) -> str:
    """Return plain values as JSON that any database takes."""
    return orjson.dumps(value).decode().replace("\\u0000", "\\ufffd")
