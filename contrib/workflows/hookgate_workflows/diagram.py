"""The diagram of a definition as text: from its start on, each cell once, with the outputs that lead on."""

from __future__ import annotations

from collections.abc import Iterator

from hookgate_workflows.graph import Graph


def lines(graph: Graph) -> Iterator[str]:
    """Draw a definition. A cell that was drawn before stands there again by its name only, with an arrow back."""
    seen: set[str] = set()
    yield from _cell(graph, graph.start, "", "", "", seen)
    for name, place in graph.places.items():
        if name not in seen:
            yield ""
            yield f"{'(note)' if place.node.role == 'comment' else '(never reached)'} {name}: {place.kind}"


def _cell(graph: Graph, name: str, first: str, rest: str, output: str, seen: set[str]) -> Iterator[str]:
    place = graph.places[name]
    led = f"{output} > " if output else ""
    if name in seen:
        yield f"{first}{led}{name} ^"
        return
    seen.add(name)
    kind = "" if name == place.kind else f": {place.kind}"
    yield f"{first}{led}{name}{kind}"
    ways = [(output, target) for output, targets in place.leads.items() for target in targets]
    if place.node.goes_to:
        ways.append(("", place.node.goes_to))
    for index, (way, target) in enumerate(ways):
        last = index == len(ways) - 1
        yield from _cell(
            graph, target, rest + ("`-- " if last else "|-- "), rest + ("    " if last else "|   "), way, seen
        )
