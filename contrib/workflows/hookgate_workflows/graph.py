"""The graph of a definition: where outputs lead, and what is wrong with it (CR-21)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hookgate import Problem
from hookgate.exchange import Path, near
from hookgate_workflows.family import BY_PEOPLE, ERROR, Node
from hookgate_workflows.records import CellSection, WorkflowSection, digest_of


@dataclass(frozen=True, slots=True)
class Place:
    """A cell in its graph."""

    name: str
    node: Node[Any]
    kind: str
    """The type of its node."""
    leads: Mapping[str, tuple[str, ...]]
    """Output -> cells that are next."""
    inputs: tuple[str, ...]
    """Outputs that lead here, as ``cell.output``."""


class Graph:
    """A definition that is right, ready to be run."""

    def __init__(self, name: str, section: WorkflowSection) -> None:
        self.name = name
        self.body = section.body()
        self.digest = digest_of(self.body)
        leads: dict[str, dict[str, list[str]]] = {each: {} for each in section.cells}
        inputs: dict[str, list[str]] = {each: [] for each in section.cells}
        for source, target in section.transitions:
            cell, _, output = source.rpartition(".")
            if target not in leads[cell].setdefault(output, []):
                leads[cell][output].append(target)
                inputs[target].append(source)
        self.places: Mapping[str, Place] = {
            each: Place(
                each,
                cell.node,
                cell.original_name,
                {output: tuple(targets) for output, targets in leads[each].items()},
                tuple(dict.fromkeys(inputs[each])),
            )
            for each, cell in section.cells.items()
        }
        self.start = next(each for each, place in self.places.items() if place.node.role == "start")
        self.pauses = tuple(each for each, place in self.places.items() if place.node.pauses)
        """Cells that may pause."""


def problems(section: WorkflowSection, path: Path) -> Iterator[Problem]:
    """Give what is wrong with a definition; with any of it, it cannot be run."""
    cells = section.cells
    starts = [name for name, cell in cells.items() if cell.node.role == "start"]
    if not starts:
        yield Problem((*path, "cells"), "has no start: add a cell with original_name: start")
    for name in starts[1:]:
        message = f"is a second start, beside {starts[0]!r}; a workflow has exactly one"
        yield Problem((*path, "cells", name, "original_name"), message)
    if not any(cell.node.role == "end" for cell in cells.values()):
        yield Problem((*path, "cells"), "has no end, so no instance could be over: add a cell with original_name: end")
    for name, cell in cells.items():
        possible = cell.possible
        for index, output in enumerate(cell.outputs or ()):
            if output not in possible and not cell.node.ends:
                told = ", ".join(cell.node.outputs) or "none"
                message = f"{cell.original_name} has no output {output!r} here{near(output, possible, listed=False)}"
                yield Problem((*path, "cells", name, "outputs", index), f"{message}; it has: {told}")
        if (target := cell.node.goes_to) and target not in cells:
            message = f"there is no cell {target!r}{near(target, cells)}"
            yield Problem((*path, "cells", name, "params"), message)
        for other in cell.node.refers:
            if other not in cells:
                yield Problem((*path, "cells", name, "params"), f"there is no cell {other!r}{near(other, cells)}")
    seen: set[tuple[str, str]] = set()
    for index, (source, target) in enumerate(section.transitions):
        at = (*path, "transitions", index)
        if (source, target) in seen:
            yield Problem(at, f"leads from {source} to {target}, as one before it does; leave one out")
        seen.add((source, target))
        yield from _wrong_transition(cells, source, target, at)


def _wrong_transition(cells: Mapping[str, CellSection], source: str, target: str, at: Path) -> Iterator[Problem]:
    name, _, output = source.rpartition(".")
    cell = cells.get(name)
    if cell is None:
        yield Problem((*at, 0), f"there is no cell {name!r}{near(name, cells)}")
    elif cell.node.role == "end":
        yield Problem((*at, 0), f"leads from {name!r}, which is an end")
    elif cell.node.ends and cell.outputs is None:
        pass  # its outputs are the ends of another workflow: see the section
    elif output not in (*cell.offered, *((ERROR, *BY_PEOPLE) if cell.outputs is None else ())):
        told = ", ".join(cell.offered) or "none"
        message = f"the cell {name!r} does not declare the output {output!r}{near(output, cell.offered, listed=False)}"
        yield Problem((*at, 0), f"{message}; it has: {told}")
    to = cells.get(target)
    if to is None:
        yield Problem((*at, 1), f"there is no cell {target!r}{near(target, cells)}")
    elif to.node.role == "start":
        yield Problem((*at, 1), f"leads to {target!r}, which is the start")


def warnings(section: WorkflowSection, path: Path) -> Iterator[Problem]:
    """Give what can be meant so, and seldom is, of a definition that is right."""
    cells = section.cells
    leads: dict[str, list[str]] = {name: [cell.node.goes_to] * bool(cell.node.goes_to) for name, cell in cells.items()}
    connected = {source for source, _ in section.transitions}
    for source, target in section.transitions:
        leads[source.rpartition(".")[0]].append(target)
    reached = _reached(leads, next(name for name, cell in cells.items() if cell.node.role == "start"))
    for name, cell in cells.items():
        at = (*path, "cells", name)
        if name not in reached and cell.node.role != "comment":
            yield Problem(
                at, f"nothing leads to the cell {name!r}: it is never run [workflow-unreachable]", at_key=True
            )
        for index, output in enumerate(cell.outputs or ()):
            if f"{name}.{output}" not in connected and cell.node.role != "end" and not cell.node.goes_to:
                what = "a failure then ends the instance" if output == ERROR else "an instance that comes there fails"
                message = f"the output {output!r} leads nowhere: {what} [workflow-output-open]"
                yield Problem((*at, "outputs", index), message)
    if not any(cells[name].node.role == "end" for name in reached):
        yield Problem((*path, "transitions"), "no end can be reached: every instance fails [workflow-no-end]")
    if circle := _endless(cells, leads):
        message = f"runs in a circle that nothing ends: {' -> '.join((*circle, circle[0]))} [workflow-endless]"
        yield Problem((*path, "cells", circle[0]), message, at_key=True)


def _reached(leads: Mapping[str, list[str]], start: str) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        for target in leads.get(waiting.pop(), ()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


def _endless(cells: Mapping[str, CellSection], leads: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Return a circle of cells that neither choose a way nor take time; nothing if there is none."""
    plain = {name for name, cell in cells.items() if not cell.node.loops}
    done: set[str] = set()
    for first in (name for name in cells if name in plain):
        trail: list[str] = []
        waiting: list[tuple[str, int]] = [(first, 0)]
        while waiting:
            name, depth = waiting.pop()
            del trail[depth:]
            if name in trail:
                return tuple(trail[trail.index(name) :])
            if name in done or name not in plain:
                continue
            trail.append(name)
            targets = [target for target in leads[name] if target in plain]
            if not targets:
                done.add(name)
            waiting += [(target, depth + 1) for target in targets]
        done.update(trail)
    return ()
