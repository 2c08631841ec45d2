"""What is written correctly and hardly meant so: plans whose flow no call enters (FL-34), limits that never act."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hookgate import Branch, Interceptor, Item, Loaded, Problem, Ways
from hookgate_apis.plan import PlanStep
from hookgate_apis.records import ApplicationSection
from hookgate_apis.tree import Scope


def plans_never_entered(config: Loaded, applications: Iterable[Item[ApplicationSection]]) -> Iterator[Problem]:
    """Give a warning for each API that an application calls by a plan with a flow, and that never enters plans."""
    plans: Any = config.sections.get("plans")
    full = {
        plan.name
        for plan in (plans.items if plans is not None else ())
        if plan.record.flow or plan.record.request or plan.record.response
    }
    enters: dict[str, bool] = {}
    for route in config.routes:
        if route.api is not None and isinstance(route.steps, Ways):
            name = route.api.name
            enters[name] = enters.get(name, False) or _enters_plans(step for _, step in route.steps.way_in)
    told: set[str] = set()
    for application in applications:
        for api, plan in application.record.plans.items():
            if plan in full and enters.get(api) is False and api not in told:
                told.add(api)
                path = ("applications", application.name, "plans", api)
                message = f"the flow of the plan {plan!r} is never entered: no step of the API {api!r} identifies"
                message += " applications; place a step such as client-id in its flow [plan-never-entered]"
                yield Problem(path, message)


def _enters_plans(steps: Iterable[Interceptor[Any]]) -> bool:
    return any(
        isinstance(step, PlanStep)
        or (
            isinstance(step, Branch)
            and any(_enters_plans((*flow.flow, *flow.request)) for flow in step.branches.values())
        )
        for step in steps
    )


def limits_above(cap: float | None, scopes: Iterable[Scope]) -> Iterator[Problem]:
    """Give a warning for each time limit that the cap of the gateway makes shorter (FL-17)."""
    for scope in scopes:
        timeout = scope.section.to.timeout
        if cap is not None and timeout is not None and timeout > cap:
            message = f"{timeout:g} s never pass, as gateway.timeout_cap ends calls of APIs after {cap:g} s: write less"
            yield Problem((*scope.path, "to", "timeout"), f"{message} here, or more there [limit-never-acts]")
