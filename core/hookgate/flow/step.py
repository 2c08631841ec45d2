"""One interceptor at one place of a flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hookgate.contract.hooks import hooks_of
from hookgate.contract.hookspecs import FlowSpec
from hookgate.contract.steps import Interceptor


class Step:
    """One interceptor at one place of a flow, its hooks bound."""

    __slots__ = (
        "branches",
        "choose",
        "condition",
        "condition_reads",
        "enters",
        "id",
        "index",
        "is_async",
        "keeps_request",
        "keeps_response",
        "on_done",
        "on_fault",
        "on_message",
        "on_request",
        "on_response",
        "plugin",
    )

    def __init__(self, plugin: Interceptor[Any], index: int, *, way_in: bool, way_out: bool) -> None:
        hooks = hooks_of(type(plugin), FlowSpec)

        def bound(name: str, wanted: bool) -> Any:
            return getattr(plugin, name) if wanted and name in hooks else None

        self.plugin = plugin
        self.id = plugin.entry.id
        self.index = index
        self.is_async = hooks
        """Hook name -> whether it is a coroutine function."""
        self.condition = plugin.entry.when
        self.condition_reads = self.condition is not None and self.condition.reads_body
        """The condition may look at the body, which has to be there then."""
        self.on_request = bound("on_request", way_in)
        self.on_response = bound("on_response", way_out)
        self.on_fault = bound("on_fault", way_out)
        self.on_done = bound("on_done", way_in or "on_request" not in hooks)
        self.on_message = bound("on_message", wanted=True)
        self.choose = bound("choose", wanted=True)
        self.branches: dict[str, Any] | None = None
        """The contained flows of a branch by name; the flow that places it fills them in."""
        self.enters = way_in and bool(self.on_request or self.choose or self.condition)
        """Whether the way in decides if this step takes part in the call."""
        reads = plugin.reads
        self.keeps_request = "request.body" in reads and (hooks.get("on_request") is False or "choose" in hooks)
        self.keeps_response = "response.body" in reads and hooks.get("on_response") is False

    def hooks(self) -> Iterator[str]:
        """The names of the hooks this place of the plugin takes part with."""
        return (
            name
            for name in ("on_request", "choose", "on_response", "on_fault", "on_done")
            if getattr(self, name) is not None
        )
