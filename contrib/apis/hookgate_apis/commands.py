"""``hookgate flow``: how flows come down, where that is broken, what a change would do, and taking a break back."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hookgate import Command, Options, hookimpl
from hookgate.commands import configuration, document_path, errors, out
from hookgate.exchange import near
from hookgate.flow import Flow, RouteConfig, order
from hookgate.gateway import Configuration
from hookgate.server import Settings
from hookgate_apis.compare import Changed, compared
from hookgate_apis.inheritance import Difference, Item, difference, restored
from hookgate_apis.preview import Change, as_data, broken_at, difference_as_data, preview
from hookgate_apis.restore import CannotEdit, restored_text
from hookgate_apis.tree import DIRECTIONS, Direction, Scope, Tree

FAILED = 1
ARROWS: dict[Direction, str] = {"request": "→ request", "response": "← response"}

app = typer.Typer(
    name="flow",
    help="Look at flows as they come down, compare them, and take breaks back.",
    no_args_is_help=True,
)


class Flows(Command[Options]):
    """Show how flows come down, where that is broken, what a change would do, and take a break back."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add the group `flow`."""
        commands.add_typer(app)


def _trees(config: Configuration) -> tuple[Tree, ...]:
    apis: Any = config.sections.get("apis")
    return apis.trees if apis is not None else ()


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


# --- show -------------------------------------------------------------------------------------------------------------


@app.command()
def show(
    document: Annotated[
        str | None, typer.Argument(metavar="DOCUMENT", help="The configuration. Default: $HOOKGATE_CONFIG.")
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this API, scope ('orders /items GET') or route.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show the effective flow of every scope as drawn, the client on the left: what each step was inherited from, who
    sets other values, where a list is broken, and what runs in which order."""
    if document is not None and name is None and Settings().config is not None and not Path(document).exists():
        document, name = None, document
    config = configuration(document_path(Path(document) if document else None))
    found = [*_scopes(config), *_routes(config)]
    if name is not None:
        known = {label for labels, _ in found for label in labels}
        found = [(labels, row) for labels, row in found if name in labels]
        if not found:
            raise typer.BadParameter(f"there is no API, scope or route {name!r}{near(name, known)}")
    rows = [row for _, row in found]
    if json:
        out.print_json(data=rows)
        return
    for row in rows:
        _print(row["scope"], "bold")
        for direction in DIRECTIONS:
            _show(direction, row[direction])


_Labelled = tuple[tuple[str, ...], dict[str, Any]]
"""What people may call a flow, and the flow."""


def _scopes(config: Configuration) -> Iterator[_Labelled]:
    running: dict[str, RouteConfig] = {}
    for route in config.routes:
        if (said := route.route.api) is not None:
            name = f"{said.name} {said.version}".rstrip()
            running.setdefault(" ".join(filter(None, (name, said.resource, said.operation))), route)
    for tree in _trees(config):
        for scope in tree.scopes():
            taken = running.get(scope.name)
            flow = Flow(config.flow, taken.steps) if taken is not None else None
            row: dict[str, Any] = {"scope": scope.name, "kind": scope.kind}
            for direction in DIRECTIONS:
                first = broken_at(scope, direction)
                row[direction] = {
                    "inherits": scope.own[direction].inherits,
                    "broken": first is not None,
                    "first_offending": first,
                    "entries": [_entry(item, scope) for item in scope.lists[direction]],
                    "runs": _runs(flow, direction),
                }
            yield (scope.name, tree.name, tree.section.name), row


def _entry(item: Item, scope: Scope) -> dict[str, Any]:
    return {
        "id": item.key,
        "step": _step(item),
        "inherited_from": item.scope if item.scope != scope.name else None,
        "values_from": [name for name, _, _ in item.overrides],
    }


def _step(item: Item) -> str:
    return item.entry if isinstance(item.entry, str) else str(next(iter(item.entry)))


def _routes(config: Configuration) -> Iterator[_Labelled]:
    for route in config.routes:
        if route.route.api is not None:
            continue
        flow = Flow(config.flow, route.steps)
        row: dict[str, Any] = {"scope": route.name, "kind": "route"}
        for direction in DIRECTIONS:
            drawn = flow.way_in if direction == "request" else flow.way_out
            entries: list[dict[str, Any]] = [
                {
                    "id": step.id,
                    "step": step.plugin.entry.name,
                    "inherited_from": "gateway" if step.id.startswith("gateway/") else None,
                    "values_from": [],
                }
                for step in drawn
            ]
            row[direction] = {
                "inherits": True,
                "broken": False,
                "first_offending": None,
                "entries": entries,
                "runs": _runs(flow, direction),
            }
        yield (route.name,), row


def _runs(flow: Flow | None, direction: Direction) -> list[str] | None:
    """What runs, in the order it does; ``None`` for a scope that calls do not reach by themselves."""
    return None if flow is None else [step.id for step, _ in order(flow, direction)]


def _show(direction: Direction, shown: dict[str, Any]) -> None:
    note = ""
    if shown["broken"]:
        note = f", broken at {shown['first_offending']}: what its parent gets or moves does not get here"
    elif not shown["inherits"]:
        note = ", a list of its own (inherit: false), as its parent's so far"
    _print(f"  {ARROWS[direction]}{note}", "red" if shown["broken"] else "")
    wide = max((len(entry["id"]) for entry in shown["entries"]), default=0)
    for index, entry in enumerate(shown["entries"]):
        text = f"    {index:>2} {entry['id']:<{wide}}"
        if entry["inherited_from"]:
            text += f"  from {entry['inherited_from']}"
        if entry["values_from"]:
            text += f"  with values of {', then '.join(entry['values_from'])}"
        _print(text.rstrip(), "dim" if entry["inherited_from"] else "")
    if shown["runs"] is not None:
        _print(f"    runs: {', '.join(shown['runs']) or 'nothing'}")


# --- diff -------------------------------------------------------------------------------------------------------------


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The document as it is.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The document as it shall be.")],
    json: AsJson = False,
) -> None:
    """Show what changes in the flow of every API, resource and operation, and what does not get to children: those with
    a broken flow, and those that set the values themselves; then what changes in the flow of the gateway, in routes and
    in connections. Values are not shown, since they may be secret."""
    was, will_be = configuration(old), configuration(new)
    before, after = ([scope for tree in _trees(config) for scope in tree.scopes()] for config in (was, will_be))
    changes, others = list(preview(before, after)), list(compared(was, will_be))
    if json:
        out.print_json(data=[*map(as_data, changes), *map(_other_as_data, others)])
        return
    told = _folded(changes)
    for change, alike in told:
        _tell(change, alike)
    for other in others:
        _tell_other(other)
    if not told and not others:
        _print("no flow, route or connection changes")


def _other_as_data(change: Changed) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "name": change.name,
        "state": change.state,
        "steps": {
            side: {**difference_as_data(steps.difference), "order": steps.order, "values": dict(steps.values)}
            for side, steps in change.steps.items()
        },
        "settings": change.settings,
    }


def _folded(changes: Sequence[Change]) -> list[tuple[Change, int]]:
    """Leave out what only comes down from a parent that is told of; count it there."""
    by_place = {(change.scope, change.direction): change for change in changes}
    alike: dict[tuple[str, Direction], int] = {}
    told: list[Change] = []
    for change in changes:
        top = change
        while (above := by_place.get((top.parent, top.direction))) is not None and top.is_like(above):
            top = above
        if top is change:
            told.append(change)
        else:
            alike[top.scope, top.direction] = alike.get((top.scope, top.direction), 0) + 1
    return [(change, alike.get((change.scope, change.direction), 0)) for change in told]


def _tell(change: Change, alike: int) -> None:
    state = "" if change.existed and change.exists else " (new)" if change.exists else " (gone)"
    below = f", and {alike} {'scope' if alike == 1 else 'scopes'} below" if alike else ""
    _print(f"{change.scope}{state} {ARROWS[change.direction]}{below}", "bold")
    _print_difference(change.difference, change.order)
    for key, options in change.values:
        _print(f"  ~ {key}: {', '.join(options)}", "yellow")
    if change.breaks_at is not None:
        _print(f"  ! this breaks the flow at {change.breaks_at}: changes of {change.parent} get here no more", "red")
    if change.mended:
        _print(f"  the flow is not broken any more: it is again as in {change.parent}")
    if change.missed:
        missed = [f"+ {key}" for key in change.missed.added] + [f"- {key}" for key in change.missed.removed]
        missed += ["the new order"] if change.missed.moved else []
        _print(f"  ! broken, so this change of {change.parent} does not get here: {', '.join(missed)}", "red")
    for shadow in change.shadowed:
        own = ", ".join(shadow.options)
        _print(f"  ! {shadow.key} keeps its own {own}: the change of {change.parent} does not get here", "red")


def _tell_other(change: Changed) -> None:
    state = "" if change.state == "changed" else f" ({change.state})"
    _print(f"{change.kind} {change.name}{state}" if change.kind != "gateway" else change.kind, "bold")
    for side, steps in change.steps.items():
        _print(f"  {side}:")
        for key in steps.difference.added:
            _print(f"    + {key}", "green")
        for key in steps.difference.removed:
            _print(f"    - {key}", "red")
        if steps.difference.moved:
            _print(f"    order: {', '.join(steps.order)}")
        for key, options in steps.values:
            _print(f"    ~ {key}: {', '.join(options)}", "yellow")
    for place in change.settings:
        _print(f"  ~ {place}", "yellow")


def _print_difference(found: Difference, order: Sequence[str]) -> None:
    for key in found.added:
        _print(f"  + {key}", "green")
    for key in found.removed:
        _print(f"  - {key}", "red")
    if found.moved:
        _print(f"  order: {', '.join(order)}")


# --- restore ----------------------------------------------------------------------------------------------------------


@app.command()
def restore(
    document: Annotated[Path, typer.Argument(metavar="DOCUMENT", help="The configuration.")],
    scope: Annotated[str, typer.Option("--scope", help="The scope, such as 'orders 1.0 /items GET'.")],
    direction: Annotated[
        str | None, typer.Option("--direction", help="request or response; both unless given.")
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Show what would change, and change nothing.")] = False,
) -> None:
    """Take the break of a flow back: the parent's steps as they are now, then the scope's own. The document is changed
    in these lists only; everything else stays as it is, comments and all. Exit code 1 if that cannot be done."""
    if direction not in (None, *DIRECTIONS):
        raise typer.BadParameter(f"--direction is request or response, not {direction!r}")
    data = document.read_bytes() if document.is_file() else b""
    found = _scope(configuration(document), scope)
    wanted = [each for each in DIRECTIONS if direction in (None, each) and not found.own[each].inherits]
    if not wanted or found.parent is None:
        _print(f"{scope}: nothing to restore: its flow is not broken")
        return
    expected = {}
    for each in wanted:
        lists = found.parent.lists[each], found.lists[each]
        after = restored(*lists, scope=found.name)
        expected[each] = [item.key for item in after]
        _print(f"{scope} {ARROWS[each]}", "bold")
        _print_difference(difference(lists[1], after), expected[each])
    try:
        text = restored_text(data, document.name, found.path, wanted)
    except CannotEdit as error:
        errors.print(f"{document}: {error}", style="red")
        raise typer.Exit(FAILED) from None
    _print_lines(data, text, str(document))
    if not preview:
        _write(document, text, found.name, expected)
        _print(f"{document}: restored")


def _scope(config: Configuration, name: str) -> Scope:
    scopes = {scope.name: scope for tree in _trees(config) for scope in tree.scopes()}
    if name not in scopes:
        raise typer.BadParameter(f"there is no scope {name!r}{near(name, scopes)}")
    return scopes[name]


def _print_lines(before: bytes, after: bytes, name: str) -> None:
    old, new = (text.decode("utf-8").splitlines() for text in (before, after))
    for line in difflib.unified_diff(old, new, name, name, n=1, lineterm=""):
        _print(line, "green" if line.startswith("+") else "red" if line.startswith("-") else "")


def _write(path: Path, text: bytes, scope: str, expected: dict[Direction, list[str]]) -> None:
    """Put the new text in the place of the old one, in one moment, once a gateway would take it."""
    target = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        found = _scope(configuration(beside), scope)
        lists = {each: [item.key for item in found.lists[each]] for each in expected}
        if lists != expected:
            raise RuntimeError(f"the restored flow would be {lists}, and not {expected}; nothing was changed")
        beside.chmod(target.stat().st_mode & 0o7777)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _print(text: str, style: str = "") -> None:
    out.print(text, style=style or None)
