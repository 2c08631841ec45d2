"""The engine: runs instances cell by cell, and writes the journal where something outside is about to happen.

Cells that only compute cost no commit: what they did is written with the next one. Before a cell with an effect outside
begins, the journal says so; so a process that is killed leaves an instance of which nothing that is journalled as done
is done again. A cell that was under way is run again only if its node says it may be; otherwise the instance waits for
a person.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any

from hookgate import Host
from hookgate_storage import Database, StoreError
from hookgate_workflows.deciding import ACTION, PERSON, Verdict, decide
from hookgate_workflows.ending import close, fail, handle
from hookgate_workflows.executors import Executor, JournalAway
from hookgate_workflows.family import ERROR as ERROR_OUTPUT
from hookgate_workflows.family import Done, NodeFailed, Pause
from hookgate_workflows.graph import Graph, Place
from hookgate_workflows.instance import ERROR, OK, READY, RUNNING, WAITING, Instance, Run, Token
from hookgate_workflows.journal import ACTIVE, Fenced, Journal
from hookgate_workflows.rendering import Rendering
from hookgate_workflows.resuming import come
from hookgate_workflows.running import Cache, RunningCell
from hookgate_workflows.saving import save
from hookgate_workflows.settings import EngineSection
from hookgate_workflows.subworkflows import tell_parent
from hookgate_workflows.watching import watchers

log = logging.getLogger("hookgate.workflows")

LONGEST_ERROR = 4000
GONE = 60.0
"""Seconds until an instance is tried again whose definition cannot be built: its node types may be installed again."""


class Gone(LookupError):
    """The definition of an instance cannot be built any more."""


class Engine:
    """Runs instances in this process."""

    def __init__(self, host: Host, database: Database, settings: EngineSection, graph: Callable[[str], Graph]) -> None:
        self.owner = uuid.uuid4().hex
        self.host, self.settings, self.graph = host, settings, graph
        self.journal = Journal(database, self.owner)
        self.rendering = Rendering(settings.template_timeout)
        self.cache = Cache(host.clock.now)
        self.older: Callable[[str, Mapping[str, Any]], Graph] | None = None
        """Builds the graph of a definition that is not live any more."""
        self.executor: Executor[Any] | None = None
        """Who is told of what is resumed."""
        self.running: dict[int, asyncio.Task[None]] = {}
        """By instance."""
        self.held: dict[int, Instance] = {}
        """Instances that are stored, and are to be run here."""
        self.leaving = False
        self._watchers = watchers()
        self._graphs: dict[str, Graph] = {}

    # --- beginning --------------------------------------------------------------------------------------------------

    async def make(self, graph: Graph, request: Any, **given: Any) -> Instance:
        """Make an instance in memory, which is ready at its start.

        Raises:
            StoreError: the journal is away.
        """
        if given.get("parent") is not None and "session" not in given:  # a child is never somebody else
            given["session"] = await self.journal.session(given["parent"])
        made = Instance(await self.journal.number(), graph, request, **given)
        made.created = self.host.clock.wall()
        made.ready = [Token(graph.start)]
        return made

    async def store(self, instance: Instance, *, hold: bool) -> None:
        """Write down an instance that is to be run later; with ``hold`` in this process.

        Raises:
            StoreError: the journal is away, and the instance is not there.
        """
        instance.free = not hold
        await self.save(instance)
        if hold:
            self.held[instance.id] = instance

    @property
    def lease(self) -> float:
        """Seconds that a lease lasts."""
        return self.settings.lease

    def go(self, instance: Instance) -> asyncio.Task[None]:
        """Run an instance that this process holds, in a task of its own."""
        instance.answered = instance.answered or asyncio.get_running_loop().create_future()
        task = asyncio.get_running_loop().create_task(self._whole(instance), name=f"workflow {instance.id}")
        self.running[instance.id] = task
        task.add_done_callback(lambda _: self._over(instance))
        return task

    def _over(self, instance: Instance) -> None:
        self.running.pop(instance.id, None)
        instance.answer()

    async def run(self, number: int) -> bool:
        """Take an instance that is ready and nobody holds, and run it."""
        if self.leaving or (number in self.running and number not in self.held):
            return False
        if (task := self.running.get(number)) is not None:  # it was put down, and resumed a moment later
            await asyncio.wait([task])
        with _told():
            instance = self.held.pop(number, None) or await self.claim(number)
        if instance is None:
            return False
        await asyncio.shield(self.go(instance))
        return True

    async def claim(self, number: int) -> Instance | None:
        """Take an instance; ``None`` where somebody else holds it, or there is nothing to do."""
        now = self.host.clock.wall()
        instance = await self.taken(number, now)
        if instance is not None:
            instance.waits, instance.reason, instance.wake = "", "", None
            self._recover(instance, now)
        return instance

    async def decide(self, number: int, run: int, verdict: Verdict, output: str, by: str, *, hold: bool) -> bool:
        """Have an instance go on that waits for a person; ``False`` where somebody else has just taken it. Whoever
        asks tells the executor.

        Raises:
            Undecidable: the task waits for nothing of that kind; the instance is as it was.
            StoreError: the journal is away.
        """
        instance = await self.taken(number, self.host.clock.wall(), waiting=True)
        if instance is None:
            return False
        try:
            decide(self, instance, run, verdict, output, by)
            instance.waits, instance.reason, instance.wake = "", "", None
        finally:
            await self.store(instance, hold=hold and not instance.waits)
        return True

    async def taken(self, number: int, now: float, *, waiting: bool = False) -> Instance | None:
        """Take an instance as it is; ``None`` where somebody else holds it, or it is not ready, or does not wait."""
        row = await self.journal.claim(number, now, now + self.settings.lease, waiting=waiting)
        if row is None:
            return None
        try:
            return Instance.of(row, await self.graph_of(row["workflow"], row["digest"]))
        except Gone as error:
            log.warning("the instance %d of %s cannot go on: %s", number, row["workflow"], error)
            again = now + GONE
            reason = f"{error}; it is tried again each {GONE:g} s"
            await self.journal.put_off(number, row["fence"], again, reason)
            return None

    async def seize(self, number: int, where: Any) -> Instance | None:
        """Take an instance of which something holds, whoever has it; ``None`` where it does not hold.

        Raises:
            Gone: its definition cannot be used any more.
            StoreError: the journal is away.
        """
        now = self.host.clock.wall()
        row = await self.journal.claim(number, now, now + self.settings.lease, where=where)
        return None if row is None else Instance.of(row, await self.graph_of(row["workflow"], row["digest"]))

    async def graph_of(self, name: str, digest: str) -> Graph:
        """Return the graph of a definition as it was.

        Raises:
            Gone: it cannot be used any more.
        """
        try:
            graph = self.graph(name)
            if graph.digest == digest:
                return graph
        except LookupError:
            pass
        found = self._graphs.get(digest)
        if found is None:
            row = await self.journal.definition(digest)
            if row is None or self.older is None:
                raise Gone("its definition is not there any more")
            try:
                found = self._graphs[digest] = self.older(name, row)
            except Exception as error:
                raise Gone(f"its definition cannot be used any more: {error}") from error
        return found

    def _recover(self, instance: Instance, now: float) -> None:
        """Decide on each run that was under way when the process before ended, or that has waited long enough."""
        for run in [*instance.active.values()]:
            place = instance.graph.places[run.token.cell]
            if run.status in (WAITING, READY):
                continue
            if place.node.may_repeat:
                run.attempt, run.dirty = run.attempt + 1, True
                if place.node.outside:
                    run.messages.append("the process that ran it has ended, so it is run again")
            else:
                run.until, run.key, run.dirty, run.status = None, PERSON, True, WAITING
                run.error = "the process that ran it has ended, and nobody knows whether it was done"

    # --- running ----------------------------------------------------------------------------------------------------

    async def _whole(self, instance: Instance) -> None:
        """Run an instance until it is over or waits."""
        try:
            while True:
                await self._advance(instance)
                if instance.errors and not instance.waits:
                    await handle(self, instance)
                if not instance.waits:
                    close(instance, self.host.clock.wall())
                await self.save(instance)
                if not instance.waits or not await come(self, instance):
                    break
            if not instance.waits:
                await tell_parent(self, instance)
        except Fenced:
            log.warning("the instance %d was taken over by another process", instance.id)
        except StoreError as error:
            log.error("the instance %d cannot be written down: %s", instance.id, error)  # noqa: TRY400
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("the instance %d cannot be run", instance.id)

    async def _advance(self, instance: Instance) -> None:
        tasks: dict[asyncio.Task[None], Run] = {}
        again = [run for run in instance.active.values() if run.status in (RUNNING, READY)]
        for run in again:
            run.status = RUNNING
        try:
            while True:
                for run in again:
                    tasks[asyncio.get_running_loop().create_task(self._run(instance, run))] = run
                again = []
                while instance.ready and not instance.errors:
                    begun = self._begin(instance, instance.ready.pop(0))
                    if begun is None:
                        continue
                    place = instance.graph.places[begun.token.cell]
                    if place.node.outside or place.node.slow:
                        tasks[asyncio.get_running_loop().create_task(self._run(instance, begun))] = begun
                    else:
                        await self._run(instance, begun)
                        if begun.number % 50 == 0:
                            await asyncio.sleep(0)  # others run meanwhile
                again = self._woken(instance)
                if again:
                    continue
                if not tasks:
                    break
                if instance.ended_at and instance.answered is not None and not instance.answered.done():
                    await self.save(instance)
                    instance.answer()
                wakes = [run.until for run in instance.active.values() if run.status == WAITING and run.until]
                pause = max(min(wakes) - self.host.clock.wall(), 0.0) if wakes else None
                done, _ = await asyncio.wait(tasks, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del tasks[task]
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._put_down(instance)

    def _woken(self, instance: Instance) -> list[Run]:
        now, found = self.host.clock.wall(), []
        for run in instance.active.values():
            if run.status == WAITING and run.until is not None and run.until <= now and not instance.errors:
                run.status, run.until, run.is_resumed, run.dirty = RUNNING, None, True, True
                found.append(run)
        return found

    def _put_down(self, instance: Instance) -> None:
        """Say what an instance waits for, if it does."""
        waiting = [run for run in instance.active.values() if run.status == WAITING]
        if not waiting or instance.errors:
            return
        wakes = [run.until for run in waiting if run.until is not None]
        instance.wake = min(wakes, default=None)
        people = [run for run in waiting if run.key in (PERSON, ACTION)]
        instance.waits = "time" if wakes else PERSON if people else "call"
        run = people[0] if people else waiting[0]
        instance.reason = f"{run.token.cell}: {run.error or (run.messages or ['waits'])[-1]}"

    def _begin(self, instance: Instance, token: Token) -> Run | None:
        """Make the run of a cell, if its inputs are there."""
        place = instance.graph.places[token.cell]
        if place.node.inputs == "any":
            if place.name in instance.passed and place.name not in token.passed:
                return None  # another input was faster
            instance.passed.add(place.name)
            token.passed |= {place.name}
        elif place.node.inputs == "all":
            come = instance.joined.setdefault(place.name, {})
            come[token.source] = sorted(token.passed)
            if not set(place.inputs) <= come.keys():
                return None
            token.passed = frozenset(each for passed in come.values() for each in passed)
            del instance.joined[place.name]
        if instance.last >= self.settings.limits.cells:
            fail(instance, None, token.cell, f"more than {self.settings.limits.cells} cells were run")
            return None
        instance.last += 1
        run = Run(instance.last, token, place.kind, started=self.host.clock.wall())
        instance.active[run.number] = instance.runs[run.number] = run
        return run

    async def _run(self, instance: Instance, run: Run) -> None:
        place = instance.graph.places[run.token.cell]
        if place.node.outside:
            run.dirty = True
            await self.save(instance)
        cell = RunningCell(instance, run, self.host, self.rendering, self.cache, self.settings, self)
        output = ""
        try:
            given: Any = place.node.run(cell)
            found = await given if isawaitable(given) else given
            if isinstance(found, Pause):
                run.status, run.until, run.key, run.kept, run.dirty = WAITING, found.until, found.key, found.keep, True
                if found.reason:
                    cell.message(found.reason)
                return
            if not isinstance(found, Done):
                raise NodeFailed(f"its node gave a {type(found).__name__} where Done or Pause should be")
            output = found.output
            run.status, run.error = OK, ""
        except NodeFailed as failure:
            run.status, run.error = ERROR, str(failure)[:LONGEST_ERROR]
            output = ERROR_OUTPUT
        except Exception as error:
            log.exception("the cell %s of the instance %d failed", run.token.cell, instance.id)
            run.status, run.error = ERROR, f"{type(error).__name__} in the node {place.kind}"
            output = ERROR_OUTPUT
        run.output, run.ended, run.dirty = output, self.host.clock.wall(), True
        del instance.active[run.number]
        self.go_on(instance, run, place, output)

    def go_on(self, instance: Instance, run: Run, place: Place, output: str) -> None:
        """Make what is next ready."""
        token = run.token
        if place.node.role == "end":
            instance.ended_at = instance.ended_at or place.name
            return
        targets: tuple[str, ...] = place.leads.get(output, ())
        if output in place.node.quiet and not targets:
            return
        if place.node.goes_to:
            targets = (place.node.goes_to,)
        if not targets:
            failed = run.status == ERROR and output == ERROR_OUTPUT
            why = run.error if failed else f"it ended at {output!r}, which leads nowhere"
            fail(instance, run, place.name, why)
            return
        instance.ready += [Token(target, f"{place.name}.{output}", token.passed) for target in targets]

    async def save(self, instance: Instance) -> None:
        """Write down what has changed.

        Raises:
            Fenced: another process has taken the instance.
            StoreError: the journal is away.
        """
        if instance.status != ACTIVE and not instance.watched:
            instance.watched = True
            found = (watch(self.host, instance) for watch in self._watchers)
            instance.also += [each for each in found if each is not None]
        now = self.host.clock.wall()
        await save(self.journal, instance, now, now + self.settings.lease)

    # --- for executors ----------------------------------------------------------------------------------------------

    async def overdue(self, most: int) -> list[int]:
        """Return instances that are ready and that nobody holds."""
        with _told():
            found = await self.journal.overdue(self.host.clock.wall(), most)
        return [number for number in found if number not in self.running]

    async def renew(self) -> None:
        """Lengthen the lease of all that is run here."""
        if self.running or self.held:
            with _told():
                await self.journal.renew(self.host.clock.wall() + self.settings.lease)

    async def next_wake(self) -> float | None:
        """Return when the next instance has waited long enough."""
        with _told():
            return await self.journal.next_wake()

    async def close(self) -> None:
        """Put down what runs, and let go of it, so that others take it at once."""
        self.leaving = True
        tasks = list(self.running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.rendering.close()
        try:
            await self.journal.release()
        except StoreError as error:
            log.warning("instances cannot be let go of: %s", error)


@contextmanager
def _told() -> Iterator[None]:
    """Tell executors, which know no store, what is wrong.

    Raises:
        JournalAway: the store is away.
    """
    try:
        yield
    except StoreError as error:
        raise JournalAway(str(error)) from error
