"""The flow of a plan, entered where the application is known (FL-24)."""

from __future__ import annotations

from collections.abc import Mapping

from hookgate import Branch, Entry, Exchange, FlowOptions, Options, PluginError, hookimpl

NAME = "plan"
"""How a flow names the place where plans are entered."""


class PlanStep(Branch[Options]):
    """Enters the flow of the plan by which the calling application uses this API; none where there is no plan.

    It stands right of the first step that identifies an application, or where ``plan`` is written.
    """

    category = "traffic"
    reads = {"application"}

    def __init__(self, plans: Mapping[str, FlowOptions], owner: str) -> None:
        super().__init__(Options())
        self._plans = plans
        self.entry = Entry(id=f"{owner}/{NAME}", name=NAME, family="interceptor")

    @property
    def branches(self) -> Mapping[str, FlowOptions]:
        """The flows of the plans, by name."""
        return self._plans

    @hookimpl
    def choose(self, exchange: Exchange) -> str | None:
        """Name the plan. One that the document does not have is refused: its calls would pass without any limit."""
        plan = exchange.plan
        if not plan:
            return None
        if plan not in self._plans:
            raise PluginError(f"there is no plan {plan!r} in the document", plugin=self.entry.id, hook="choose")
        return plan
