"""Building the steps of APIs: each where it is placed, and again where a scope below sets other values.

A step comes down as the same instance, so that a limit on an API counts all calls of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookgate import Interceptor, Site, Ways
from hookgate.document import HOST_KEY, Inside, out_of_place, written
from hookgate.exchange import Path
from hookgate_apis.inheritance import Item
from hookgate_apis.plan import NAME as PLAN
from hookgate_apis.plan import PlanStep
from hookgate_apis.tree import Direction, Scope


class Steps:
    """Builds the steps of APIs: each where it is placed, and again where its values differ."""

    def __init__(self, site: Site) -> None:
        self._site = site
        plans = site.section("plans")
        self._plans = plans.items if plans is not None else ()
        self._built: dict[tuple[str, str, tuple[str, ...]], Interceptor[Any] | PlanStep | None] = {}
        self.left: dict[str, Ways] = {}
        """Steps left of those of an API, by API: those of its template."""
        self._checked: set[tuple[str, str, Path]] = set()

    def ways(self, api: str, scope: Scope) -> Ways:
        """Build the steps of a scope, as they are drawn on its way in and on its way out."""
        left = self.left.get(api, Ways())
        lists: dict[Direction, list[tuple[str, Interceptor[Any]]]] = {"request": [], "response": []}
        paired: set[str] = set()
        for item in scope.lists["request"]:
            step = self._step(api, item)
            if step is not None:
                lists["request"].append((item.key, step))
                if type(step).paired:
                    paired.add(item.key)
        back = {item.key for item in scope.lists["response"]}
        for item in self._with_paired(scope, paired - back):
            step = self._step(api, item)
            if step is not None:
                lists["response"].append((item.key, step))
        lists = {"request": [*left.way_in, *lists["request"]], "response": [*left.way_out, *lists["response"]]}
        self._enter_plan(api, lists)
        return Ways(tuple(lists["request"]), tuple(lists["response"]))

    @staticmethod
    def _with_paired(scope: Scope, missing: set[str]) -> list[Item]:
        """The list of the way out, with the steps of the way in whose way out comes along, left of the others."""
        return [*(item for item in scope.lists["request"] if item.key in missing), *scope.lists["response"]]

    def _step(self, api: str, item: Item) -> Interceptor[Any] | None:
        variant = tuple(scope for scope, _, _ in item.overrides)
        key = (api, item.key, variant)
        if key not in self._built:
            self._built[key] = self._build(api, item, variant)
        step = self._built[key]
        if step is not None:
            self._check(api, item, step)
        return step

    def _build(self, api: str, item: Item, variant: tuple[str, ...]) -> Interceptor[Any] | None:
        entry = written(item.entry)
        if entry.name == PLAN:
            return self._plan(api, item)
        options, place = entry.options, item.place
        for _, at, values in item.overrides:
            options, place = {**options, **values}, at
        host = dict(entry.host) if isinstance(entry.host, Mapping) else {}
        owner = f"apis.{api}" if not variant else f"apis.{variant[-1]}"
        if variant:
            host.pop("id", None)
        own = {**options, HOST_KEY: host} if host else options
        return self._site.step({entry.name: own} if own else entry.name, place, owner, item.scope)

    def _plan(self, api: str, item: Item) -> PlanStep | None:
        if not self._plans:
            return None
        flows = {
            plan.name: self._site.flow(
                dict(plan.record), plan.path, f"plans.{plan.name}@{api}", f"plans.{plan.name}", scope="plan"
            )
            for plan in self._plans
        }
        step = PlanStep(flows, f"apis.{api}")
        self._site.adopt(step, item.place)
        return step

    def _enter_plan(self, api: str, lists: dict[Direction, list[tuple[str, Interceptor[Any]]]]) -> None:
        """Put the flows of plans right of the first step that identifies the application, unless they stand somewhere
        already (FL-24)."""
        request = lists["request"]
        if not self._plans or any(isinstance(step, PlanStep) for _, step in request):
            return
        for index, (key, step) in enumerate(request):
            if "application" in type(step).writes:
                plan = self._step(api, Item(PLAN, PLAN))
                if plan is not None:
                    request.insert(index + 1, (PLAN, plan))
                    keys = [each for each, _ in lists["response"]]
                    at = keys.index(key) + 1 if key in keys else 0
                    lists["response"].insert(at, (PLAN, plan))
                return

    def _check(self, api: str, item: Item, step: Interceptor[Any]) -> None:
        """Refuse a step that has nothing to do where it was placed (FL-10), or may not stand there (FL-11)."""
        place = item.again or item.place
        changed = item.overrides[-1][1] if item.overrides else ()
        if (api, item.key, (*place, *changed)) in self._checked or isinstance(step, PlanStep):
            return
        self._checked.add((api, item.key, (*place, *changed)))
        inside = Inside(step, changed or place, str(place[-2]), None if item.again or changed else item.entry)
        for problem in out_of_place([inside], item.kind):
            self._site.problem(problem.path, problem.message)
