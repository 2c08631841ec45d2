"""The diagram of a definition as SVG, laid out here: cells from the top down, and the outputs that lead on."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from html import escape

from hookgate_workflows.family import ERROR
from hookgate_workflows.graph import Graph, Place
from hookgate_workflows.layering import CELL, Layout, laid_out

WIDE, HIGH, GAP, MARGIN = 190.0, 46.0, 60.0, 30.0
LONGEST = 25
"""Letters of a name that a box has room for; wide ones count twice."""
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#111}.k{font-size:11px;fill:#444}.o{font-size:11px;fill:#333;"
    "paint-order:stroke;stroke:#fff;stroke-width:4px}rect{fill:#fff;stroke:#333;stroke-width:1.5}"
    ".start,.end{fill:#eef4ea}.comment{fill:#fffbe6;stroke-dasharray:4 3}.lost{stroke:#a33;stroke-dasharray:4 3}"
    "path{fill:none;stroke:#555;stroke-width:1.5}.error{stroke:#a33}.back,.goto{stroke-dasharray:5 4}"
    "marker path{fill:#555;stroke:none}"
)


def svg(graph: Graph) -> str:
    """Draw a definition. The same definition gives the same text; everything in it that was written by people is
    escaped, and nothing is loaded from anywhere."""
    places = _ordered(graph)
    number = {place.name: index for index, place in enumerate(places)}
    outputs = [
        (place, output, target) for place in places for output, targets in place.leads.items() for target in targets
    ]
    outputs += [(place, "", place.node.goes_to) for place in places if place.node.goes_to]
    layout = laid_out(len(places), [(number[place.name], number[target]) for place, _, target in outputs])
    left = min(layout.across, default=0.0) - CELL / 2
    wide = max(layout.across, default=0.0) + CELL / 2 - left + 2 * MARGIN + 30 * bool(layout.back)
    high = len(layout.layers) * (HIGH + GAP) - GAP + 2 * MARGIN
    drawing = _Drawing(layout, left)
    key = f"workflow-{graph.digest[:12]}"
    reached = _reached(graph)
    text = f"{len(places)} cells. " + " ".join(_told(place) for place in places)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}" '
            f'viewBox="0 0 {wide:.0f} {high:.0f}" role="img" aria-labelledby="{key}-title {key}-desc">'
        ),
        f'<title id="{key}-title">Workflow {_text(graph.name)}</title>',
        f'<desc id="{key}-desc">{_text(text)}</desc>',
        f"<style>{_STYLE}</style>",
        (
            f'<defs><marker id="{key}-tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto">'
            '<path d="M0 0L8 4L0 8z"/></marker></defs>'
        ),
        f'<rect width="{wide:.0f}" height="{high:.0f}" style="stroke:none"/>',
    ]
    labels: list[str] = []
    for index, (place, output, target) in enumerate(outputs):
        kind = "goto" if not output else "error" if output == ERROR else ""
        path, at = drawing.line(index, number[place.name], number[target], place, output)
        also = " back" if index in layout.back else ""
        parts.append(f'<path class="{(kind + also).strip()}" d="{path}" marker-end="url(#{key}-tip)"/>')
        if output:
            labels.append(
                f'<text class="o" x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="middle">{_text(_cut(output))}</text>'
            )
    for place in places:
        parts += drawing.cell(number[place.name], place, place.name in reached)
    return "\n".join((*parts, *labels, "</svg>\n"))


class _Drawing:
    def __init__(self, layout: Layout, left: float) -> None:
        self._layout, self._left = layout, left

    def at(self, number: int) -> tuple[float, float]:
        """Return the middle of something."""
        y = MARGIN + self._layout.depth[number] * (HIGH + GAP) + HIGH / 2
        return self._layout.across[number] - self._left + MARGIN, y

    def cell(self, number: int, place: Place, is_reached: bool) -> Iterator[str]:
        """Draw a cell."""
        x, y = self.at(number)
        role = place.node.role or "plain"
        kind = f"{role}{'' if is_reached or role == 'comment' else ' lost'}"
        round_off = HIGH / 2 if role in ("start", "end") else 5
        yield f"<g><title>{_text(_told(place))}</title>"
        yield (
            f'<rect class="{kind}" x="{x - WIDE / 2:.1f}" y="{y - HIGH / 2:.1f}" width="{WIDE:.0f}" height="{HIGH:.0f}'
            f'" rx="{round_off:.0f}"/>'
        )
        yield f'<text x="{x:.1f}" y="{y - 3:.1f}" text-anchor="middle">{_text(_cut(place.name))}</text>'
        yield f'<text class="k" x="{x:.1f}" y="{y + 14:.1f}" text-anchor="middle">{_text(_cut(place.kind))}</text></g>'

    def line(self, index: int, source: int, target: int, place: Place, output: str) -> tuple[str, tuple[float, float]]:
        """Return the path of a line, and where its label stands."""
        (x, y), (to_x, to_y) = self.at(source), self.at(target)
        if index in self._layout.back:
            side, to_side = x + WIDE / 2, to_x + WIDE / 2
            out = max(side, to_side) + 30
            path = f"M{side:.1f} {y:.1f}C{out:.1f} {y:.1f} {out:.1f} {to_y:.1f} {to_side:.1f} {to_y:.1f}"
            return path, (out - 8, (y + to_y) / 2 if source != target else y - HIGH / 2 - 4)
        ways = list(place.leads)
        share = (ways.index(output) + 1) / (len(ways) + 1) if output in ways else 0.5
        x, y, to_y = x + (share - 0.5) * WIDE * 0.8, y + HIGH / 2, to_y - HIGH / 2
        stops = [self.at(point) for point in self._layout.points[index]]
        path, begun = f"M{x:.1f} {y:.1f}", (x, y)
        for stop_x, stop_y in stops:
            for next_x, next_y in ((stop_x, stop_y - HIGH / 2), (stop_x, stop_y + HIGH / 2)):
                path += _curve(begun, (next_x, next_y))
                begun = next_x, next_y
        path += _curve(begun, (to_x, to_y))
        first_x = stops[0][0] if stops else to_x
        return path, (x + (first_x - x) * 0.15, y + 14)


def _curve(begun: tuple[float, float], end: tuple[float, float]) -> str:
    middle = (begun[1] + end[1]) / 2
    return f"C{begun[0]:.1f} {middle:.1f} {end[0]:.1f} {middle:.1f} {end[0]:.1f} {end[1]:.1f}"


def _ordered(graph: Graph) -> list[Place]:
    first = graph.places[graph.start]
    return [first, *(place for place in graph.places.values() if place is not first)]


def _reached(graph: Graph) -> set[str]:
    found, waiting = {graph.start}, [graph.start]
    while waiting:
        place = graph.places[waiting.pop()]
        targets = [each for listed in place.leads.values() for each in listed]
        for target in (*targets, *([place.node.goes_to] if place.node.goes_to else ())):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


def _told(place: Place) -> str:
    """Say a cell and where it leads, for who does not see the drawing."""
    ways = [f"{output} to {', '.join(targets)}" for output, targets in place.leads.items()]
    if place.node.goes_to:
        ways.append(f"to {place.node.goes_to}")
    return f"{place.name} ({place.kind})" + (f": {'; '.join(ways)}." if ways else ".")


def _cut(text: str) -> str:
    room, found = LONGEST, ""
    for letter in text:
        room -= 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if room < 0:
            return f"{found[:-1]}…"
        found += letter
    return found


def _text(text: str) -> str:
    """Escape a text; what XML cannot hold becomes a sign for that."""
    return escape("".join(letter if letter.isprintable() else "\ufffd" for letter in text))
