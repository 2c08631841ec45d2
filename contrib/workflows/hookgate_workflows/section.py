"""The section ``workflow_engine``, which says how workflows are run.

It is always there, so it imports what needs a store only where there are workflows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hookgate import Entry, Host, Item, Problem, Route, Section, Site, Ways, hookimpl
from hookgate_workflows.executors import Executor, JournalAway
from hookgate_workflows.local import Local, LocalOptions
from hookgate_workflows.profiles import Profiles, wrong
from hookgate_workflows.settings import EngineSection

if TYPE_CHECKING:
    from hookgate_workflows.engine import Engine
    from hookgate_workflows.graph import Graph
    from hookgate_workflows.measuring import Measures


class WorkflowEngine(Section[EngineSection]):
    """How workflows are run, and who may call custom routes. The section is there without being written."""

    shape = "record"

    def __init__(self, items: Sequence[Item[EngineSection]] = ()) -> None:
        super().__init__(items)
        self._own: Local | None = None
        if self.record.executor is None:
            self._own = Local(LocalOptions())
            self._own.entry = Entry("workflow_engine.local", "local", "executor")
        self._problems = wrong(self.record.profiles)
        self.profiles = Profiles(EngineSection() if self._problems else self.record)
        """Who may call what."""
        self._engine: Engine | None = None
        self._host: Host | None = None
        self.measures: Measures | None = None
        """Its metrics, where there are workflows."""

    @property
    def executor(self) -> Executor[Any]:
        """Who runs instances."""
        found = self.record.executor or self._own
        assert found is not None
        return found

    @property
    def engine(self) -> Engine:
        """What runs workflows.

        Raises:
            JournalAway: there is no store.
        """
        if self._engine is None:
            host = self._host
            try:
                section: Any = None if host is None else host.section("storage")
                store = None if section is None else section.store
            except LookupError:
                store = None
            if store is None or host is None:
                raise JournalAway("there is no store, and workflows keep their instances in one")
            from hookgate_workflows.definitions import older
            from hookgate_workflows.engine import Engine
            from hookgate_workflows.retention import in_background

            self._engine = Engine(host, store.database, self.record, self._graph)
            self._engine.older, self._engine.executor = older, self.executor
            self.executor.begin(self._engine)
            host.start("what is old", in_background(self._engine))
        return self._engine

    def auth(self, site: Site) -> tuple[Sequence[Any], tuple[str, ...]]:
        """Return the entries of the steps that find out who calls, and where they stand."""
        said: Sequence[Any] = self.record.auth
        if not said and (manager := site.section("keymanager")) is not None and manager.items:
            said = ("oauth",)
        return said, ("workflow_engine", "auth")

    @hookimpl
    def routes(self, site: Site) -> Iterator[Route | None]:
        """Make the routes to what describes custom routes and, where somebody can be known, to transactions."""
        workflows = site.section("workflows")
        if self._own is not None and workflows is not None and workflows.items:
            site.adopt(self._own, ("workflow_engine",))  # type: ignore[arg-type]
        custom = site.section("custom_routes")
        entries, path = self.auth(site)
        if custom is None or not custom.items:
            return
        made = [(index, site.step(entry, (*path, index), "workflow_engine")) for index, entry in enumerate(entries)]
        steps = tuple((f"auth/{index}", step) for index, step in made if step is not None)
        from hookgate_workflows.published import pages
        from hookgate_workflows.transactions import Transactions

        yield from pages(site, self.record.prefix, steps)
        from hookgate_workflows.callbacks import Callbacks

        callbacks, most = Callbacks(), self.record.limits.request
        site.adopt(callbacks, ("workflow_engine",))
        match = {"path": f"{self.record.prefix}/transactions/callbacks/{{id}}", "methods": ["POST"]}
        limits = {"request_body": most, "buffered_body": most}
        told = {"name": "workflow callbacks", "match": match, "limits": limits}
        yield site.route(
            told, ("workflow_engine",), {"match.path": "prefix"}, steps=Ways((("callbacks", callbacks),), ())
        )
        if not entries:
            return
        step = Transactions()
        site.adopt(step, ("workflow_engine",))
        written = {
            "name": "workflow transactions",
            "match": {"path": f"{self.record.prefix}/transactions/{{id}}", "methods": ["GET"]},
        }
        ways = Ways((*steps, ("transactions", step)), steps)
        yield site.route(written, ("workflow_engine",), {"match.path": "prefix"}, steps=ways)
        from hookgate_workflows.asking import LONGEST_BODY
        from hookgate_workflows.repairs import Repairs

        repairs = Repairs()
        site.adopt(repairs, ("workflow_engine",))
        written = {
            "name": "workflow repairs",
            "match": {"path": f"{self.record.prefix}/transactions/{{id}}/repairs", "methods": ["POST"]},
            "limits": {"request_body": LONGEST_BODY, "buffered_body": LONGEST_BODY},
        }
        ways = Ways((*steps, ("repairs", repairs)), steps)
        yield site.route(written, ("workflow_engine",), {"match.path": "prefix"}, steps=ways)
        from hookgate_workflows.actiondoor import Actions
        from hookgate_workflows.actions import LONGEST_BODY as LONGEST_ANSWER

        for name, tail, method in (("list", "", "GET"), ("answer", "/{id}", "POST")):
            door = Actions(name)  # type: ignore[arg-type]
            site.adopt(door, ("workflow_engine",))
            written = {
                "name": f"workflow actions {name}",
                "match": {"path": f"{self.record.prefix}/actions{tail}", "methods": [method]},
                "limits": {"request_body": LONGEST_ANSWER, "buffered_body": LONGEST_ANSWER},
            }
            ways = Ways((*steps, (f"actions-{name}", door)), steps)
            yield site.route(written, ("workflow_engine",), {"match.path": "prefix"}, steps=ways)

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Tell what is wrong with profiles."""
        for place, message in self._problems:
            yield Problem(("workflow_engine", "profiles", *place), message)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Get ready to run workflows, if there are any."""
        self._host = host
        with suppress(LookupError, JournalAway):
            if host.section("workflows").items:
                from hookgate_workflows.measuring import Measures

                self.measures = Measures(host, lambda: 0 if self._engine is None else len(self._engine.running))
                self.engine  # noqa: B018 - what was left is taken over at once

    @hookimpl
    async def shutdown(self) -> None:
        """Put down what runs."""
        if self._engine is not None:
            await self._engine.close()

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say what runs."""
        return None if self._engine is None else {"running": len(self._engine.running)}

    def _graph(self, name: str) -> Graph:
        assert self._host is not None
        section: Any = self._host.section("workflows")
        found: Graph = section.graphs[name]
        return found
