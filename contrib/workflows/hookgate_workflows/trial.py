"""A cell for the tests of node types: without an engine, a journal and a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hookgate import Host
from hookgate_workflows.family import Called, NodeFailed, Sub
from hookgate_workflows.graph import Graph
from hookgate_workflows.instance import Instance, Run, Token
from hookgate_workflows.records import WorkflowSection
from hookgate_workflows.rendering import Rendering
from hookgate_workflows.running import Cache, RunningCell
from hookgate_workflows.settings import EngineSection
from hookgate_workflows.templating import Compiled, Form, TemplateFailed

Calls = Callable[..., Called]
"""Takes what :meth:`~hookgate_workflows.Cell.call` is given, and returns the answer."""


class _Nowhere:
    """A house without any section."""

    def section(self, name: str, *_: object) -> None:
        """Say that there is none."""
        raise LookupError(f"there is no section {name} here")


class TrialCell(RunningCell):
    """The run of one cell, which a test gives to ``run``; afterwards :attr:`changes` has what it put into the context,
    and :attr:`documents` what it attached. ``calls`` answers in place of others."""

    def __init__(
        self,
        *,
        request: Any = None,
        context: Mapping[str, Any] | None = None,
        outputs: tuple[str, ...] = (),
        calls: Calls | None = None,
        resumed: Any = None,
        is_resumed: bool = False,
        kept: Any = None,
        host: Host | None = None,
    ) -> None:
        graph = Graph.__new__(Graph)
        section = WorkflowSection.model_construct(cells={}, transitions=())
        graph.name, graph.body, graph.digest, graph.places = "trial", section.body(), "", {}
        instance = Instance(1, graph, request, context=dict(context or {}))
        run = Run(1, Token("trial"), "trial", resumed=resumed, is_resumed=is_resumed, kept=kept)
        settings = EngineSection()
        super().__init__(instance, run, host or _Nowhere(), Rendering(1.0), Cache(lambda: 0.0), settings)  # type: ignore[arg-type]
        self._outputs, self._calls = outputs, calls
        self.changes, self.documents, self.messages = run.changes, instance.documents, run.messages

    async def _rendered(self, compiled: Compiled, more: Mapping[str, Any], form: Form) -> Any:
        """Render in this process: a test that runs away is ended by whoever runs it."""
        try:
            return compiled.render(self._variables(more, compiled.source), form)
        except TemplateFailed as error:
            raise NodeFailed(f"a template of the cell cannot be rendered: {error}") from None

    def leads(self, output: str) -> bool:
        """Whether an output is connected: one of those that the test gave."""
        return output in self._outputs

    def mark(self, task: str, status: str, message: str) -> None:
        """Note the status of another cell."""
        self.messages.append(f"{task}: {status} {message}")

    async def expect(self) -> str:
        """Return a URL that nobody calls."""
        return "https://gateway.invalid/callbacks/trial"

    async def issue(self, value: Any, seconds: float) -> str:
        """Return a token that stands for nothing."""
        return "trial-token"

    async def redeem(self, token: str) -> Any:
        """Refuse any token."""
        raise LookupError("there are no tokens in a test")

    async def sub(self, index: int, workflow: str, request: Any, label: str = "") -> Sub:
        """Be over at once, at `end`."""
        return Sub(index + 2, "", "CLOSED_IN_SUCCESS", "end", {})

    async def search(self, where: Mapping[str, Any], before: int | None, most: int) -> list[dict[str, Any]]:
        """Find nothing."""
        return []

    async def call(self, method: str, url: str, **given: Any) -> Called:
        """Answer as the test says."""
        if self._calls is None:
            raise NodeFailed("there was no answer: nobody is called in a test")
        return self._calls(method, url, **given)
