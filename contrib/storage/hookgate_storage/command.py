"""``hookgate storage``: the tables, the key and backups of a store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import say
from hookgate_storage import backup as backups
from hookgate_storage.database import Database
from hookgate_storage.errors import StoreError
from hookgate_storage.pruning import prune
from hookgate_storage.sealing import Keys, new_key, write_keys
from hookgate_storage.source import Store, configured
from hookgate_storage.store import open_store
from hookgate_storage.upgrading import upgrade, wanted

DocumentArgument = Annotated[
    Path | None, typer.Argument(help="The file of the document; HOOKGATE_CONFIG if left out.", show_default=False)
]
FileArgument = Annotated[Path, typer.Argument(help="The file of the backup.")]


class StorageCommands(Command[Options]):
    """Prepare, check, save and restore the store of a gateway."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `storage`."""
        group = typer.Typer(help="Prepare, check, save and restore the store of a gateway.", no_args_is_help=True)
        for word, run in (
            ("upgrade", make),
            ("check", check),
            ("backup", save),
            ("restore", load),
            ("prune", prune_now),
            ("rotate-key", rotate),
        ):
            group.command(word)(run)
        commands.add_typer(group, name="storage")


def make(document: DocumentArgument = None) -> None:
    """Make the tables and the key, or bring the tables up to date. Doing it again changes nothing."""
    source = configured(document)

    async def run(database: Database) -> None:
        made = not source.key.exists()
        Keys.in_file(source.key, make=True)
        if made:
            say(f"made the key {source.key}: whoever has it and the database reads everything; keep a copy elsewhere")
        await upgrade(database)
        await (await open_store(source.url, Keys.in_file(source.key))).close()
        say(f"{database.shown} is up to date ({', '.join(sorted(wanted()))})")

    _run(source, run)


def check(document: DocumentArgument = None) -> None:
    """Read everything, compare it with its digest, and say which nodes serve it."""
    source = configured(document)

    async def run(database: Database) -> None:
        store = await open_store(source.url, Keys.in_file(source.key))
        try:
            whole, nodes = await store.whole(), await store.nodes()
        finally:
            await store.close()
        head = whole.generation
        say(f"{database.shown}: generation {head.number}, {head.count} objects, digest {head.digest[:12]}")
        for node in nodes:
            behind = head.number - node.generation
            state = "up to date" if node.digest == head.digest else f"{behind} generations behind"
            say(f"  {node.node}: {state}, {len(node.rejected)} objects left out")

    _run(source, run)


def save(file: FileArgument, document: DocumentArgument = None) -> None:
    """Write everything into a file, while gateways run. It is sealed with the key, which is not in it."""

    async def run(database: Database) -> None:
        count = await backups.backup(database, file)
        say(f"{file}: {count:,} rows of {database.shown}")

    _run(configured(document), run)


def load(file: FileArgument, document: DocumentArgument = None) -> None:
    """Put a backup into an empty store, of the same kind of database or another."""

    async def run(database: Database) -> None:
        count = await backups.restore(database, file)
        say(f"{database.shown}: {count:,} rows of {file}")

    _run(configured(document), run)


def prune_now(
    document: DocumentArgument = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
) -> None:
    """Remove what is older than the option `keep` of the source says, while gateways run."""
    source = configured(document)

    async def run(database: Database) -> None:
        store = await open_store(source.url, Keys.in_file(source.key))
        counts: Counter[str] = Counter()
        try:
            async for what, count in prune(store, source.options.keep, dry=dry_run):
                counts[what] += count
        finally:
            await store.close()
        said = ", ".join(f"{count:,} {what}" for what, count in counts.items())
        done = f"{said} {'would be' if dry_run else 'were'} removed" if counts else "nothing is old enough to go"
        say(f"{database.shown}: {done}")

    _run(source, run)


def rotate(document: DocumentArgument = None) -> None:
    """Make a new key and seal everything with it. Restart the gateways that share the store with the new file first:
    the old key stays in it, so that both can be read.
    """
    source = configured(document)

    async def run(database: Database) -> None:
        old = source.key.read_text(encoding="ascii").split()
        write_keys(source.key, [new_key(), *old])
        store = await open_store(source.url, Keys.in_file(source.key))
        done = 0
        try:
            async for count in store.reseal():
                done += count
                say(f"  {done:,} sealed anew")
        finally:
            await store.close()
        say(f"{database.shown} is sealed with a new key; {source.key} holds {len(old)} old ones, too")

    _run(source, run)


def _run(source: Store, run: Callable[[Database], Awaitable[Any]]) -> None:
    async def whole() -> None:
        database = Database(source.url)
        try:
            await run(database)
        finally:
            await database.close()

    try:
        asyncio.run(whole())
    except StoreError as error:
        raise MachineError(str(error)) from None
