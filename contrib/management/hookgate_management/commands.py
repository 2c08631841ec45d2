"""``hookgate plan``, ``apply``, ``diff`` and ``export``: documents and the store of a running gateway."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from hookgate import Command, ConfigError, MachineError, Options, Problem, hookimpl
from hookgate.commands import errors, management_url, out
from hookgate.document import MAX_BYTES, Document, parse
from hookgate_management.client import ApiError, Client, Planned, Unreachable, Written

FAILED, MISTAKES, DIFFERENCES = 1, 2, 4
FORM = 1
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Sections with objects, as a document has them.")]
OwnerOption = Annotated[str, typer.Option("--owner", help="Who applies: what another owner has is left alone.")]
ManagementOption = Annotated[
    str | None,
    typer.Option("--management", help="URL of the management listener. Default: $HOOKGATE_MANAGEMENT_URL."),
]
TokenOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with the token of a caller. Default: $HOOKGATE_MANAGEMENT_TOKEN."),
]
ExitCodeOption = Annotated[bool, typer.Option("--exit-code", help="Exit code 4 where something differs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
T = TypeVar("T")


class Plans(Command[Options]):
    """Write down what would make the store hold a document."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `plan`."""
        commands.command("plan")(plan)


class Application(Command[Options]):
    """Carry out a plan."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `apply`."""
        commands.command("apply")(apply)


class Differences(Command[Options]):
    """Say in what the store differs from a document."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `diff`."""
        commands.command("diff")(diff)


class Export(Command[Options]):
    """Print what is stored as a document."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `export`."""
        commands.command("export")(export)


def plan(
    file: FileArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the plan.")],
    owner: OwnerOption = "default",
    management: ManagementOption = None,
    token_file: TokenOption = None,
    exit_code: ExitCodeOption = False,
) -> None:
    """Check a document, print what applying it would change, and write that down for `hookgate apply`. The plan is
    sealed by the gateway: it shows no secret, and works for the state of the store that it was made for.
    """
    made = _planned(file, owner, management, token_file)
    told = {"hookgate-plan": FORM, "generation": made.generation, "owner": made.owner}
    text = json.dumps({**told, "differences": made.differences, "plan": made.plan}, indent=2, ensure_ascii=False)
    write_file(output, text)
    print_differences(made.differences)
    print_effects(made)
    errors.print(f"wrote {output}, for generation {made.generation}")
    _end(made, exit_code)


def apply(
    file: Annotated[Path, typer.Argument(metavar="PLAN", help="What `hookgate plan` has written.")],
    comment: Annotated[str, typer.Option("--comment", help="What the ledger says about it.")] = "",
    wait: Annotated[
        str, typer.Option("--wait", help="How long every gateway has to serve it; 0 for not at all.")
    ] = "live",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Carry out a plan exactly as it was made. Exit code 1 if the store has changed since, or if some gateway does not
    serve it in time.
    """
    try:
        told = json.loads(file.read_bytes())
        sealed = told["plan"] if told["hookgate-plan"] == FORM else None
    except (ValueError, KeyError, TypeError):
        sealed = None
    if not isinstance(sealed, str):
        raise ConfigError([Problem((), "is no plan; hookgate plan writes one", str(file))])
    query = {"comment": comment} if comment else {}
    query |= {"wait": wait} if wait != "0" else {}
    done = asked(management, token_file, lambda client: client.apply(sealed, **query))
    tell_written(done)


def tell_written(done: Written) -> None:
    """Say what a write came to; exit code 1 where some gateway does not serve it in time."""
    if not done.written:
        out.print(f"nothing to do; generation {done.generation} stays")
        return
    out.print(f"generation {done.generation} is {'live' if done.live else 'stored'}")
    if done.live is False:
        for node in done.nodes:
            if node["generation"] < done.generation:
                errors.print(f"{node['node']} serves generation {node['generation']}", style="red")
        raise typer.Exit(FAILED)


def diff(
    file: FileArgument,
    owner: OwnerOption = "default",
    management: ManagementOption = None,
    token_file: TokenOption = None,
    exit_code: ExitCodeOption = False,
    as_json: AsJson = False,
) -> None:
    """Say what applying a document would change, and what others have changed since it was applied."""
    made = _planned(file, owner, management, token_file)
    if as_json:
        out.print(json.dumps(made.differences, indent=2, ensure_ascii=False))
    else:
        print_differences(made.differences)
        print_effects(made)
    _end(made, exit_code)


def export(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Print what is stored as a document in JSON. Secrets are asterisks; applied, they keep what is stored."""
    text = json.dumps(asked(management, token_file, Client.export), indent=2, ensure_ascii=False)
    if output is None:
        print(text)
        return
    write_file(output, text)
    errors.print(f"wrote {output}")


def _planned(file: Path, owner: str, management: str | None, token_file: Path | None) -> Planned:
    with file.open("rb") as opened:
        document = parse(opened.read(MAX_BYTES + 1), str(file))
    return asked(management, token_file, lambda client: client.plan(document.value, owner), document)


def asked(
    management: str | None, token_file: Path | None, question: Callable[[Client], T], document: Document | None = None
) -> T:
    """Ask a running gateway, and tell a refusal as a command does: places in ``document``, exit codes for pipelines."""
    token = token_file.read_text("utf-8").strip() if token_file else os.environ.get("HOOKGATE_MANAGEMENT_TOKEN", "")
    if not token.isascii() or not token.isprintable() or not token:
        raise typer.BadParameter("show the token of a caller: --token-file, or HOOKGATE_MANAGEMENT_TOKEN")
    try:
        with Client(management_url(management), token) as client:
            return question(client)
    except Unreachable as error:
        raise MachineError(str(error)) from None
    except ApiError as error:
        if document is not None and (problems := list(_problems(error, document))):
            raise ConfigError(problems) from None
        if error.status >= 500:
            raise MachineError(str(error)) from None
        errors.print(str(error), style="red")
        for each in error.errors:
            errors.print(f"  {each.get('object', '')}{each.get('pointer', '')}: {each['detail']}", style="red")
        raise typer.Exit(FAILED if error.kind in ("moved", "under-way", "busy") else MISTAKES) from None


def _problems(error: ApiError, document: Document) -> Iterable[Problem]:
    """Find the places in the file of what is wrong with it."""
    for each in error.errors:
        section, _, name = str(each.get("object", "")).partition("/")
        parts = [part.replace("~1", "/").replace("~0", "~") for part in str(each.get("pointer", "")).split("/")[1:]]
        path: list[str | int] = list(parts)
        value: Any = document.value
        if section:
            held, path = document.value.get(section), [section, *parts]
            if isinstance(held, list):
                named = [item for item in held if isinstance(item, Mapping) and _is(item, name)]
                path[1:1] = [held.index(named[0])] if named else []
            elif isinstance(held, Mapping) and name in held:
                path[1:1] = [name]
        for index, written in enumerate(path):
            part = int(written) if isinstance(value, list) and str(written).isdigit() else written
            path[index] = part
            inner = isinstance(value, list) and isinstance(part, int) and part < len(value)
            value = value[part] if inner or (isinstance(value, Mapping) and part in value) else None
        yield document.locate(Problem(tuple(path), str(each["detail"])))


def _is(item: Mapping[str, Any], name: str) -> bool:
    parts = {str(value) for value in item.values() if isinstance(value, str | int)}
    return name in parts or set(name.split(" ")) <= parts


def print_differences(differences: Iterable[Mapping[str, Any]]) -> None:
    """Print one line for each object that differs."""
    for each in differences:
        places = f": {', '.join(each['pointers'])}" if each["pointers"] else ""
        drifted = " (others have changed it since it was applied)" if each.get("drifted") else ""
        drafted = f" (has a draft of {each['draft']['author']} that is not deployed)" if each.get("draft") else ""
        out.print(f"{_SIGNS[each['change']]} {each['kind']}/{each['name']}{places}{drifted}{drafted}")


def print_effects(made: Planned) -> None:
    """Print which routes meet something else, one in a line."""
    for each in made.effects:
        told = [f"{flow} {_flow(change)}" for flow, change in each.get("flow", {}).items()]
        told += [f"{what} {', '.join(each[what])}" for what in ("destination", "limits", "match") if what in each]
        name = "every route" if each["route"] is None else each["route"]
        errors.print(f"  {_SIGNS[each['change']]} {name}{': ' if told else ''}{'; '.join(told)}")
    if (more := made.effects_total - len(made.effects)) > 0:
        errors.print(f"  … and {more} more routes")


def _flow(change: Mapping[str, Any]) -> str:
    told = [f"+{key}" for key in change["added"]] + [f"-{key}" for key in change["removed"]]
    told += ["in another order"] if change["moved"] else []
    return " ".join([*told, *(f"~{key} ({', '.join(places)})" for key, places in change["values"].items())])


def _end(made: Planned, exit_code: bool) -> None:
    if not made.differences:
        errors.print("nothing differs")
    elif exit_code:
        raise typer.Exit(DIFFERENCES)


def write_file(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        MachineError: it cannot be written.
    """
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot write {path}: {error.strerror}") from error
