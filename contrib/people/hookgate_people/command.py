"""``hookgate people``: the first administrator, a way back in, and a check of the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import say
from hookgate_people.audit import By
from hookgate_people.hashing import new_password
from hookgate_people.people import People
from hookgate_people.users import UserChange
from hookgate_storage import Keys, Refused, StoreError, configured, open_store

BROKEN = 1
"""Exit code where the audit is not what was written."""
DocumentArgument = Annotated[
    Path | None, typer.Argument(help="The file of the document; HOOKGATE_CONFIG if left out.", show_default=False)
]
NameOption = Annotated[str, typer.Option("--name", help="Name of the user.")]


class PeopleCommands(Command[Options]):
    """Make the first administrator of a store, let somebody in again, and check the audit."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `people`."""
        group = typer.Typer(help="The first administrator of a store, and its audit.", no_args_is_help=True)
        for word, run in (
            ("first", first),
            ("roles", ship),
            ("password", password),
            ("factor", factor),
            ("audit-check", check),
        ):
            group.command(word)(run)
        commands.add_typer(group, name="people")


def first(document: DocumentArgument = None, name: NameOption = "admin") -> None:
    """Make the first administrator, with a password that is shown this once."""

    async def run(people: People) -> None:
        made = new_password()
        await people.first(name, made)
        say(f"{name} has the password {made} which is not shown again")

    _run(document, run)


def ship(document: DocumentArgument = None) -> None:
    """Make the roles admin, creator, publisher and subscriber, those that there are not."""

    async def run(people: People) -> None:
        made = await people.ship(By("hookgate people roles"))
        say(f"made the roles {', '.join(made)}" if made else "the roles are there already")

    _run(document, run)


def password(name: Annotated[str, typer.Argument(help="Name of the user.")], document: DocumentArgument = None) -> None:
    """Give somebody a new password, which is shown this once, and end a lock."""

    async def run(people: People) -> None:
        made = new_password()
        await people.users.change(By("hookgate people password"), name, UserChange(password=made))
        say(f"{name} has the password {made} which is not shown again")

    _run(document, run)


def factor(name: Annotated[str, typer.Argument(help="Name of the user.")], document: DocumentArgument = None) -> None:
    """Remove the second factor of somebody who has lost it, and the recovery codes."""

    async def run(people: People) -> None:
        await people.factors.remove(By("hookgate people factor"), name)
        say(f"{name} has no second factor any more")

    _run(document, run)


def check(
    document: DocumentArgument = None,
    expect: Annotated[
        str | None,
        typer.Option(metavar="NUMBER:HASH", help="What an earlier check has told: that entry must still be there."),
    ] = None,
) -> None:
    """Read the whole audit, and say whether an entry was changed or is missing. Exit code 1 says so, too."""

    async def run(people: People) -> None:
        found = await people.audit.check()
        broken = found.broken
        if not broken and expect is not None:
            number, _, wanted = expect.partition(":")
            if not number.isascii() or not number.isdigit():
                raise MachineError(f"--expect {expect}: write what an earlier check has told, NUMBER:HASH")
            if int(number) < (oldest := await people.audit.oldest()):
                raise MachineError(
                    f"--expect {number}:…: entries up to {oldest} were removed for their age; show a newer one"
                )
            if not wanted or await people.audit.hash_of(int(number)) != wanted:
                broken = f"entry {number} is not the one that was told"
        if broken:
            say(f"the audit is broken: {broken}")
            raise typer.Exit(BROKEN)
        say(f"the audit is whole: {found.number} entries; note {found.number}:{found.hash}")

    _run(document, run)


def _run(document: Path | None, run: Callable[[People], Awaitable[Any]]) -> None:
    source = configured(document)

    async def whole() -> None:
        store = await open_store(source.url, Keys.in_file(source.key))
        try:
            await run(People(store))
        finally:
            await store.close()

    try:
        asyncio.run(whole())
    except (StoreError, Refused) as error:
        raise MachineError(str(error)) from None
