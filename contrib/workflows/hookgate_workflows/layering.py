"""The layers of a small graph: what leads on stands above what it leads to, and lines cross as little as comes easily.

Cells are put into layers by the longest way to them; lines that lead back are left out for that. A line over several
layers has a point in each of those between, so that it goes round what stands there. The order in a layer is the mean
of what is above or below, a few times over. All of it depends on the order of cells and lines only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

SWEEPS = 8
MOST_POINTS = 5000
"""Points between layers; with more of them long lines go straight."""
CELL, POINT = 220.0, 40.0
"""How much room something takes in its layer."""

Line = tuple[int, int]


@dataclass(slots=True)
class Layout:
    """Where things stand, by number; points of lines have the numbers behind those of cells."""

    layers: list[list[int]]
    across: list[float] = field(default_factory=list)
    """The middle of each."""
    depth: list[int] = field(default_factory=list)
    """The layer of each."""
    points: dict[int, list[int]] = field(default_factory=dict)
    """Line -> its points from the source to the target."""
    back: set[int] = field(default_factory=set)
    """Lines that lead back."""


def laid_out(count: int, lines: Sequence[Line]) -> Layout:
    """Lay out ``count`` cells; the first one begins."""
    back = _back(count, lines)
    depth = _depths(count, [each for index, each in enumerate(lines) if index not in back])
    layout = Layout([[] for _ in range(max(depth, default=-1) + 1)], depth=depth, back=back)
    segments = _segments(layout, lines)
    for number, layer in enumerate(layout.depth):
        layout.layers[layer].append(number)
    above: list[list[int]] = [[] for _ in layout.depth]
    below: list[list[int]] = [[] for _ in layout.depth]
    for source, target in segments:
        below[source].append(target)
        above[target].append(source)
    _order(layout, above, below)
    _place(layout, count, above, below)
    return layout


def _back(count: int, lines: Sequence[Line]) -> set[int]:
    """Find the lines that lead back to where they come from."""
    leads: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for index, (source, target) in enumerate(lines):
        leads[source].append((index, target))
    state, found = [0] * count, set()
    for first in range(count):
        waiting = [(first, 0)] if not state[first] else []
        while waiting:
            number, at = waiting.pop()
            state[number] = 1
            if at == len(leads[number]):
                state[number] = 2
                continue
            waiting.append((number, at + 1))
            index, target = leads[number][at]
            if state[target] == 1:
                found.add(index)
            elif not state[target]:
                waiting.append((target, 0))
    return found


def _depths(count: int, lines: Sequence[Line]) -> list[int]:
    depth, missing = [0] * count, [0] * count
    leads: list[list[int]] = [[] for _ in range(count)]
    for source, target in lines:
        leads[source].append(target)
        missing[target] += 1
    ready = [number for number in range(count) if not missing[number]]
    for number in ready:
        for target in leads[number]:
            depth[target] = max(depth[target], depth[number] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return depth


def _segments(layout: Layout, lines: Sequence[Line]) -> list[Line]:
    """Cut lines at every layer."""
    depth, found = layout.depth, []
    forth = [(index, *each) for index, each in enumerate(lines) if index not in layout.back]
    many = sum(depth[target] - depth[source] - 1 for _, source, target in forth) > MOST_POINTS
    for index, source, target in forth:
        before, layout.points[index] = source, []
        if not many:
            for layer in range(depth[source] + 1, depth[target]):
                depth.append(layer)
                layout.points[index].append(len(depth) - 1)
                found.append((before, len(depth) - 1))
                before = len(depth) - 1
        found.append((before, target))
    return found


def _order(layout: Layout, above: list[list[int]], below: list[list[int]]) -> None:
    place = [0.0] * len(layout.depth)
    for layer in layout.layers:
        for index, number in enumerate(layer):
            place[number] = index
    for sweep in range(SWEEPS):
        near = below if sweep % 2 else above
        for layer in reversed(layout.layers) if sweep % 2 else layout.layers:
            means = {
                number: sum(place[each] for each in near[number]) / len(near[number]) if near[number] else place[number]
                for number in layer
            }
            layer.sort(key=means.__getitem__)
            for index, number in enumerate(layer):
                place[number] = index


def _place(layout: Layout, count: int, above: list[list[int]], below: list[list[int]]) -> None:
    across = layout.across = [0.0] * len(layout.depth)
    room = [CELL if number < count else POINT for number in range(len(across))]
    for layer in layout.layers:
        at = -sum(room[number] for number in layer) / 2
        for number in layer:
            across[number] = at + room[number] / 2
            at += room[number]
    for sweep in range(SWEEPS):
        near = below if sweep % 2 else above
        for layer in reversed(layout.layers) if sweep % 2 else layout.layers:
            wanted = [
                sum(across[each] for each in near[number]) / len(near[number]) if near[number] else across[number]
                for number in layer
            ]
            placed: list[float] = []
            for index, number in enumerate(layer):
                least = placed[-1] + (room[layer[index - 1]] + room[number]) / 2 if placed else wanted[index]
                placed.append(max(wanted[index], least))
            shift = sum(a - b for a, b in zip(wanted, placed, strict=True)) / max(len(layer), 1)
            for number, at in zip(layer, placed, strict=True):
                across[number] = at + shift
