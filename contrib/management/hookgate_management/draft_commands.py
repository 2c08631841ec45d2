"""``hookgate draft``: what objects of a running gateway are to become, kept beside them until it is deployed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import errors, out
from hookgate.document import MAX_BYTES, parse
from hookgate_management.client import Client, Written
from hookgate_management.commands import (
    DIFFERENCES,
    FAILED,
    ExitCodeOption,
    ManagementOption,
    TokenOption,
    asked,
    print_differences,
)

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help="The section of the object, such as apis.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of the object.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check, and change nothing.")]
Wait = Annotated[str, typer.Option("--wait", help="How long every gateway has to serve it; 0 for not at all.")]


class DraftCommands(Command[Options]):
    """Work on objects without changing what is served, and deploy them."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `draft`."""
        group = typer.Typer(help="Work on objects without changing what is served, and deploy.", no_args_is_help=True)
        for word, run in (
            ("list", listed),
            ("show", show),
            ("save", save),
            ("diff", diff),
            ("deploy", deploy),
            ("drop", drop),
        ):
            group.command(word)(run)
        commands.add_typer(group, name="draft")


def listed(
    management: ManagementOption = None, token_file: TokenOption = None, exit_code: ExitCodeOption = False
) -> None:
    """List the drafts that nobody has deployed; with --exit-code, exit code 4 where there are some."""
    found = asked(management, token_file, Client.drafts)
    for each in found:
        stale = ", stale: the object was changed since" if each["stale"] else ""
        out.print(f"{each['kind']}/{each['name']}: by {each['author']}{stale}")
    if not found:
        errors.print("no drafts")
    elif exit_code:
        raise typer.Exit(DIFFERENCES)


def show(
    kind: KindArgument, name: NameArgument, management: ManagementOption = None, token_file: TokenOption = None
) -> None:
    """Print a draft in JSON, secrets as asterisks."""
    found = asked(management, token_file, lambda client: client.draft(kind, name))
    typer.echo(json.dumps(found["body"], indent=2, ensure_ascii=False))


def save(
    kind: KindArgument,
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The body of the object, in YAML, TOML or JSON.")],
    rebase: Annotated[bool, typer.Option("--rebase", help="It takes into account what is live now.")] = False,
    dry_run: DryRun = False,
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Save a draft. Nothing that is served changes. Mistakes are told, and hold up only its deployment."""
    try:
        with file.open("rb") as opened:
            body = parse(opened.read(MAX_BYTES + 1), str(file)).value
    except OSError as error:
        raise MachineError(f"cannot read {file}: {error.strerror}") from error
    query = switches(rebase=rebase, dry_run=dry_run)
    done = asked(management, token_file, lambda client: client.save_draft(kind, name, body, version=None, **query))
    saved_told(done, kind, name)


def diff(
    kind: KindArgument,
    name: NameArgument,
    before: Annotated[str, typer.Option("--from", help="draft, live or the number of a generation.")] = "live",
    after: Annotated[str | None, typer.Option("--to", help="The same. Default: the draft, or what is live.")] = None,
    management: ManagementOption = None,
    token_file: TokenOption = None,
    exit_code: ExitCodeOption = False,
) -> None:
    """Compare two states of an object."""
    query = {"from_": before} | ({} if after is None else {"to": after})
    found = asked(management, token_file, lambda client: client.compare(kind, name, **query))
    print_differences(found)
    if not found:
        errors.print("nothing differs")
    elif exit_code:
        raise typer.Exit(DIFFERENCES)


def deploy(
    drafts: Annotated[list[str], typer.Argument(metavar="KIND/NAME...", help="The drafts, which go live as one.")],
    comment: Annotated[str, typer.Option("--comment", help="What the ledger says about it.")] = "",
    wait: Wait = "live",
    dry_run: DryRun = False,
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Make drafts live. Exit code 1 if some gateway does not serve them in time."""
    pairs = []
    for each in drafts:
        kind, slash, name = each.partition("/")
        if not slash:
            raise typer.BadParameter(f"{each!r} is no draft: write KIND/NAME")
        pairs.append((kind, name))
    query = switches(dry_run=dry_run) | ({"comment": comment} if comment else {})
    query |= {"wait": wait} if wait != "0" else {}
    written_told(asked(management, token_file, lambda client: client.deploy(*pairs, **query)))


def drop(
    kind: KindArgument, name: NameArgument, management: ManagementOption = None, token_file: TokenOption = None
) -> None:
    """Forget a draft."""
    asked(management, token_file, lambda client: client.drop_draft(kind, name))
    out.print(f"dropped the draft of {kind}/{name}")


def switches(**wanted: bool) -> dict[str, str]:
    """Return the query that says what is wanted."""
    return {name: "true" for name, on in wanted.items() if on}


def saved_told(done: Mapping[str, Any], kind: str, name: str) -> None:
    """Say that a draft is saved, and that it is not served."""
    for each in done["mistakes"]:
        errors.print(f"  {each.get('object', '')}{each.get('pointer', '')}: {each['detail']}", style="yellow")
    if not done["saved"]:
        out.print("nothing was saved (dry run)")
        return
    out.print(f"saved the draft of {kind}/{name}")
    errors.print(f"it is not served; hookgate draft deploy '{kind}/{name}' makes it live", style="yellow")


def written_told(done: Written) -> None:
    """Say what a write came to; leaves with an exit code where a gateway does not serve it."""
    if not done.written:
        out.print(f"nothing was written; generation {done.generation} stays")
        return
    out.print(f"generation {done.generation} is {'live' if done.live else 'stored'}")
    if done.live is False:
        raise typer.Exit(FAILED)
