"""The family ``node``: what a cell of a workflow does. A third party publishes node types as it publishes interceptors.

A node type is a class whose options are the ``params`` of its cells::

    class GreetOptions(Options):
        name: Template
        \"\"\"Whom to greet; a template.\"\"\"
        output_context_key: str
        \"\"\"The key of the context that the greeting is put under.\"\"\"


    class Greet(Node[GreetOptions]):
        \"\"\"Greets somebody.\"\"\"

        @hookimpl
        async def run(self, cell: Cell) -> Done:
            cell.set(self.options.output_context_key, f"hello, {await cell.text(self.options.name)}")
            return Done()

One instance serves every run of its cell, several at once; what belongs to a run is in the :class:`Cell`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from hookgate import Family, Fault, Host, Plugin, hookspec
from hookgate.contract import OptionsT

if TYPE_CHECKING:
    from hookgate_workflows.templating import Template, Templated

# mypy: disable-error-code="empty-body"

ERROR = "error"
"""The output of any cell that fails. Where it is not connected, a failure ends the instance (CR-9)."""
BY_PEOPLE = ("skip", "rollback")
"""Outputs of any cell that only people choose, once it has failed (WF-2)."""


class NodeFailed(Fault):
    """A cell fails. The text is for those who look at the instance, and holds no secret."""

    default_reason = "node-failed"


@dataclass(frozen=True, slots=True)
class Done:
    """A cell is over."""

    output: str = "ok"
    """The output that the instance goes on from."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A cell waits: the instance is put down, and its process may end. It goes on, in any process, by another ``run``
    of the cell, whose ``cell.resumed`` says what has come."""

    until: float | None = None
    """Unix time at which it goes on by itself, if it does."""
    key: str = ""
    """What somebody names who resumes it: the id of a callback, or of a manual action."""
    reason: str = ""
    """What it waits for, for people."""
    keep: Any = None
    """A plain value that the next ``run`` finds in ``cell.kept``."""


@dataclass(frozen=True, slots=True)
class Called:
    """The result of a call to somebody else, in the shape that a ``*response*`` has (HC-18)."""

    status: int
    headers: Mapping[str, str]
    body: Any
    """Parsed where it is JSON, else a text; Base64 of what is no text either."""

    def told(self) -> dict[str, Any]:
        """Return it as it is put into the context."""
        return {"status": self.status, "headers": dict(self.headers), "body": self.body}


STOPPED = "*stopped*"
"""What ``cell.resumed`` is where somebody has ended the pause."""


@dataclass(frozen=True, slots=True)
class Sub:
    """How a workflow is that a cell runs."""

    id: int
    guid: str
    status: str
    """``ACTIVE`` where it waits for something, or another process runs it."""
    end: str
    """The end that was reached."""
    context: Mapping[str, Any]
    error: str = ""
    reason: str = ""
    """What it waits for."""

    @property
    def is_over(self) -> bool:
        """Whether it is closed."""
        return self.status != "ACTIVE"


class Cell(Protocol):
    """One run of one cell, as its node sees it."""

    name: str
    """Its name in the definition."""
    number: int
    """Counts the runs of cells in the instance, from 1."""
    attempt: int
    """1, and more where this very run has begun before: its process has ended, or somebody has it replayed."""
    key: str
    """The same for every attempt of this run, and different for any other: an idempotency key."""
    context: Mapping[str, Any]
    """The key-value map of the instance. It is changed by :meth:`set` only."""
    request: Any
    """What the instance was started with."""
    session: Mapping[str, str] | None
    """The session of the upstream user who has started the instance, encrypted; see `proxy_session_call`."""
    resumed: Any
    """What a pause ended with: what was sent, or ``None`` where its time was up. ``Pause`` was never returned where
    :attr:`is_resumed` is false."""
    is_resumed: bool
    kept: Any
    """What the last pause of this run has kept."""
    host: Host
    """What the node may ask of the house: connections, clock, metrics."""

    @property
    def instance(self) -> Mapping[str, Any]:
        """``id``, ``guid``, ``workflow``, ``label``, ``user_id``, ``status``, ``request_status``."""

    async def text(self, template: Template, **more: Any) -> str:
        """Render a template to a text. ``more`` are further variables.

        Raises:
            NodeFailed: it raises, takes too long, or gives too much.
        """

    async def value(self, templated: Templated | Template, **more: Any) -> Any:
        """Render every template in a value, as :meth:`text` does."""

    def set(self, key: str, value: Any) -> None:
        """Put a value into the context. What is no plain value, or makes the context longer than
        ``workflow_engine.limits.context``, fails the cell.
        """

    def given(self, **values: Any) -> None:
        """Keep in the journal what the node works with, for people: the rendered parameters, and no secret."""

    def message(self, text: str) -> None:
        """Tell something in the list of tasks."""

    def attach(self, name: str, content: bytes, media_type: str, description: str = "") -> None:
        """Add a document to the instance; one of the same name is replaced.

        Raises:
            NodeFailed: the name is no file name, or the content is too long.
        """

    def document(self, name: str) -> bytes | None:
        """Return a document of the instance."""

    def set_status(self, status: str) -> None:
        """Give the request a status of its own, beside that of the instance (CR-8)."""

    def mark(self, task: str, status: Literal["OK", "ERROR"], message: str) -> None:
        """Change the status that the last run of another cell is shown with.

        Raises:
            NodeFailed: no such cell has run.
        """

    def leads(self, output: str) -> bool:
        """Whether an output of this cell is connected."""

    async def rest(self, seconds: float) -> bool:
        """Wait in this process; ``False`` where another cell has ended it."""

    def stop(self, cell: str) -> bool:
        """End the rest or the pause of another cell; ``False`` where it does not run."""

    async def expect(self) -> str:
        """Return the URL that somebody answers to this run at; behind its last slash is the id of the callback. It is
        the same for every attempt. The run then waits with a ``Pause`` whose key begins with ``callback``."""

    async def issue(self, value: Any, seconds: float) -> str:
        """Return a token that stands for a value, once, for so many seconds."""

    async def redeem(self, token: str) -> Any:
        """Take such a token, and return what it stands for.

        Raises:
            LookupError: it is not good, or not any more.
        """

    async def sub(self, index: int, workflow: str, request: Any, label: str = "") -> Sub:
        """Run another workflow as part of this run, or look how it is. Each ``index`` is run once, however often it is
        asked for; where it is not over, pause with the key ``subworkflow`` and ask again.

        Raises:
            NodeFailed: there is no such workflow, or workflows run each other without an end.
        """

    async def search(self, where: Mapping[str, Any], before: int | None, most: int) -> list[dict[str, Any]]:
        """Return instances, the newest first, by what columns of their list are."""

    def cached(self, key: str) -> Any:
        """Return what is kept under a key, for all instances that this process runs; ``None`` for nothing."""

    def keep(self, key: str, value: Any, seconds: float) -> None:
        """Keep a value under a key for so many seconds; 0 or less to forget it."""

    async def call(
        self,
        method: str,
        url: str,
        *,
        connection: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 30.0,  # noqa: ASYNC109
    ) -> Called:
        """Call somebody, on a named connection of the gateway or at an absolute URL. The call is found in the history
        of outbound calls.

        Raises:
            NodeFailed: there is no answer; the text says why.
        """


class NodeSpec:
    """``hookgate.nodes``: what a cell of a workflow does. Named in ``original_name`` of a cell."""

    @hookspec(firstresult=True)
    async def run(self, cell: Cell) -> Done | Pause:
        """Do it, and return the output that the instance goes on from, or that it waits.

        Raise :class:`NodeFailed` for what people have to look at. Any other exception fails the cell, too.
        """


if TYPE_CHECKING:
    _Spec = NodeSpec
else:
    _Spec = object


class Node(Plugin[OptionsT], _Spec):
    """What a cell does; see :class:`NodeSpec`."""

    family = "node"
    shareable: ClassVar[bool] = False
    outside: ClassVar[bool] = False
    """Whether it has an effect outside of the instance, or asks somebody there. The journal then says that it has begun
    before it does, and that costs a commit. Nodes that only compute cost none, and run again after a crash."""
    slow: ClassVar[bool] = False
    """Whether it may take long without an effect outside; other cells then run meanwhile."""
    inputs: ClassVar[Literal["each", "any", "all"]] = "each"
    """``each``: every input runs the cell. ``any``: only the first one does. ``all``: the cell runs once all of the
    transitions that lead to it have come."""
    quiet: ClassVar[tuple[str, ...]] = ()
    """Outputs that may lead nowhere: the way then ends there, and the instance does not fail."""
    role: ClassVar[Literal["", "start", "end", "comment"]] = ""
    """What the engine knows by itself; a ``comment`` is never run and need not be reached."""

    @property
    def outputs(self) -> Sequence[str]:
        """The outputs that it may end with, by its parameters; beside them any node may have ``error``, ``skip`` and
        ``rollback``."""
        return ("ok",)

    @property
    def may_repeat(self) -> bool:
        """Whether it may simply be run again where nobody knows if it was run to its end. If not, the instance then
        waits for a person."""
        return not self.outside

    @property
    def pauses(self) -> bool:
        """Whether it may pause, with these parameters: so it does not suit routes that answer at once (CR-6)."""
        return False

    @property
    def loops(self) -> bool:
        """Whether it takes time or chooses a way, so that a circle of cells it stands in may end."""
        return self.outside or self.pauses or self.slow or len(self.outputs) > 1

    @property
    def refers(self) -> Sequence[str]:
        """The names of other cells that its parameters speak of; they have to be there."""
        return ()

    @property
    def runs(self) -> str:
        """The name of a workflow that it runs; none for nearly all."""
        return ""

    @property
    def ends(self) -> bool:
        """Whether the ends of the workflow that it runs are its outputs."""
        return False

    @property
    def goes_to(self) -> str:
        """The name of a cell that it goes on to without a transition; none for nearly all."""
        return ""


NODES = Family("node", "nodes", NodeSpec, Node, "What cells of workflows do.")
