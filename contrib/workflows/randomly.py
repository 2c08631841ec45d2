"""Definitions by chance, what has to come of them, and processes that end at a chosen write of the journal."""

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from types import SimpleNamespace

import orjson
from hypothesis import strategies as st

from hookgate import Options, hookimpl
from hookgate.document import Catalogue
from hookgate_procrastinate.executor import Procrastinate, ProcrastinateOptions
from hookgate_workflows import Done, Node, NodeFailed
from hookgate_workflows.engine import Engine
from hookgate_workflows.graph import Graph, problems
from hookgate_workflows.journal import ACTIVE
from hookgate_workflows.local import Local, LocalOptions
from hookgate_workflows.records import WorkflowSection
from hookgate_workflows.settings import EngineSection

LEASE = 1.0


class ActOptions(Options):
    """Options of `act`."""

    sets: str
    fails: bool = False
    repeats: bool = True


class Act(Node[ActOptions]):
    """Has an effect outside, which is counted."""

    outside = True
    seen: Counter[str] = Counter()

    @property
    def outputs(self):
        """As any call."""
        return ("ok", "error")

    @property
    def may_repeat(self):
        """As the test says."""
        return self.options.repeats

    @hookimpl
    async def run(self, cell):
        """Act."""
        self.seen[cell.key] += 1
        await asyncio.sleep(0)
        if self.options.fails:
            raise NodeFailed("as it should")
        cell.set(self.options.sets, 1)
        return Done()


def _act(fails=False, caught=True):
    return st.booleans().map(lambda repeats: ("act", fails, caught, repeats))


ATOMS = st.one_of(
    *(st.just(("set",)), _act(), _act(), _act(fails=True)),
    st.just(("wait",)),
)
BLOCKS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(st.just("both"), inner, inner),
        st.tuples(st.just("choose"), st.booleans(), inner, inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: ("all", *each)),
    ),
    max_leaves=7,
)
WHOLE = st.lists(st.one_of(BLOCKS, BLOCKS, BLOCKS, _act(fails=True, caught=False)), min_size=1, max_size=3).map(
    lambda each: ("all", *each)
)


class Made:
    """A definition, and what has to come of it."""

    def __init__(self, block):
        self.cells = {"start": {"original_name": "start"}, "end": {"original_name": "end"}}
        self.transitions, self.context, self.fails = [], {}, False
        self.transitions.append((self._add(block, "start.ok", runs=True), "end"))
        section = WorkflowSection.model_validate({"cells": self.cells, "transitions": self.transitions})
        catalogue = Catalogue()
        for cell in section.cells.values():
            kind = Act if cell.original_name == "act" else catalogue.get("node", cell.original_name)
            cell.take(kind(kind.options_type(**cell.params)))
        assert not list(problems(section, ()))
        self.graph = Graph("chance", section)

    def _cell(self, source, kind, **params):
        name = f"c{len(self.cells)}"
        self.cells[name] = {"original_name": kind, "params": params}
        self.transitions += [(each, name) for each in source.split()]
        return name

    def _add(self, block, source, runs):
        """Add a block behind an output; return the output that it ends with. `runs` where it is run at all."""
        kind, *rest = block
        runs = runs and not self.fails
        if kind == "all":
            for each in rest:
                source = self._add(each, source, runs)
            return source
        if kind == "both":
            ends = " ".join(self._add(each, source, runs) for each in rest)
            return f"{self._cell(ends, 'sync_outputs')}.ok"
        if kind == "choose":
            asked = self._cell(source, "boolean_expression", expression=str(rest[0]).lower())
            ends = [
                self._add(each, f"{asked}.{way}", runs and rest[0] == (way == "true"))
                for way, each in zip(("true", "false"), rest[1:], strict=True)
            ]
            source = " ".join(ends)
        key = f"k{len(self.cells)}"
        if kind == "wait":
            return f"{self._cell(source, 'timer', timeout='30 ms', discard_idle_limit=True)}.ok"
        if kind == "act":
            fails, caught, repeats = rest
            cell = self._cell(source, "act", sets=key, fails=fails, repeats=repeats)
            self.fails = self.fails or (runs and fails and not caught)
            if runs and not fails:
                self.context[key] = 1
            return f"{cell}.error" if fails and caught else f"{cell}.ok"
        if runs:
            self.context[key] = 1
        return f"{self._cell(source, 'context_setter', key=key, value=1)}.ok"


class Clock:
    """The time of all processes of a test; it is put forward so that leases end."""

    ahead = 0.0
    now = staticmethod(time.monotonic)

    def wall(self):
        """Return it."""
        return time.time() + self.ahead


class Host:
    """What a process gives its parts."""

    def __init__(self, database, clock):
        self.clock, self.tasks = clock, []
        self.storage = SimpleNamespace(store=SimpleNamespace(database=database))

    def start(self, name, coroutine):
        """Run a task that ends with the process."""
        self.tasks.append(asyncio.create_task(coroutine, name=name))

    def section(self, name):
        """Return the only section."""
        assert name == "storage"
        return self.storage


class Mortal:
    """A process, which is gone after so many writes of the journal: before the last one, or behind it."""

    def __init__(self, database, clock, executor, graph):
        self.host = Host(database, clock)
        self.left, self.behind, self.gone = None, False, asyncio.Event()
        self.engine = Engine(self.host, database, EngineSection(lease=LEASE), lambda _: graph)
        self.engine._watchers = ()  # they ask for sections, and there are none
        self._write, self.engine.journal.write = self.engine.journal.write, self.write
        self.executor = (
            Local(LocalOptions(poll=0.05)) if executor == "local" else Procrastinate(ProcrastinateOptions(poll=0.05))
        )
        self.executor.startup(self.host)
        self.executor.begin(self.engine)

    async def write(self, write):
        """Write, or be dead."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0 or (self.left == 0 and not self.behind):
                self.gone.set()
                await asyncio.Event().wait()
        found = await self._write(write)
        if self.left == 0:
            self.gone.set()
            await asyncio.Event().wait()
        return found

    async def end(self):
        """End all that is under way, without a word to anybody."""
        self.left = -1
        tasks = [*self.engine.running.values(), *self.host.tasks]
        pending = set(tasks)
        for _ in range(10):  # a driver amid its own clean-up may not hear the first word
            for task in pending:
                task.cancel()
            pending = (await asyncio.wait(pending, timeout=1))[1] if pending else pending
        await self.executor.shutdown() if hasattr(self.executor, "_tasks") else None


@asynccontextmanager
async def process(*given):
    """Give a process, which is ended."""
    made = Mortal(*given)
    try:
        yield made
    finally:
        await made.end()


async def run(database, executor, block, deaths):
    """Run a definition in processes that die, one after the other; check what has come of it. Each death is a number of
    writes, and whether the last one is done."""
    made, clock, deaths = Made(block), Clock(), list(deaths)
    Act.seen.clear()
    number, done = None, {}
    while True:
        async with process(database, clock, executor, made.graph) as found:
            if number is None:
                instance = await found.engine.make(made.graph, {})
                number, guid = instance.id, instance.guid
                await found.engine.store(instance, hold=found.executor.holds)
                if (waiting := found.executor.ready(number)) is not None:
                    await waiting
            found.left, found.behind = deaths.pop(0) if deaths else (None, False)
            told = await _over(found, number)
        row = told or await found.engine.journal.read(number)
        again = {name: count for name, count in done.items() if Act.seen[name] != count}
        assert not again, "what was journalled as done was done again"
        done |= {
            key: Act.seen[key]
            for key in (f"{guid}-{cell['number']}" for cell in row["cells"] if cell["node"] == "act" and cell["ended"])
        }
        if told is not None:
            break
        clock.ahead += LEASE + 0.1
    _right(made, told)


async def _over(found, number):
    """Wait until an instance is over; answer for people. `None` where the process was gone first."""
    until = time.monotonic() + 30
    while not found.gone.is_set():
        row = await found.engine.journal.read(number)
        assert time.monotonic() < until, (row, found.executor.health(), found.engine.running, found.engine.held)
        if row["status"] != ACTIVE:
            return row
        if row["waits"] == "person":
            (run, *_) = [each["number"] for each in row["cells"] if each["status"] == "WAITING" and each["key"]]
            taken = asyncio.create_task(
                found.engine.decide(number, run, "repeat", "", "ann", hold=found.executor.holds)
            )
            gone = asyncio.create_task(found.gone.wait())
            await asyncio.wait((taken, gone), return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if not taken.done():
                taken.cancel()
            elif (waiting := found.executor.ready(number)) is not None:
                await waiting
        await asyncio.sleep(0.01)
    return None


def _right(made, row):
    context = orjson.loads(row["context"])
    if made.fails:
        assert row["status"] == "CLOSED_IN_ERRORS", row
        assert "as it should" in row["errors"]
    else:
        assert (row["status"], context) == ("CLOSED_IN_SUCCESS", made.context), row
    assert not [each for each in row["cells"] if each["status"] in ("RUNNING", "WAITING")]
