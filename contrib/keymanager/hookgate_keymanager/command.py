"""``hookgate keymanager``: clients, which ask for tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import say
from hookgate_keymanager.records import GrantName, SigningRecord

if TYPE_CHECKING:  # a database takes long to import, and every `--help` imports this
    from hookgate_keymanager.clients import Clients
    from hookgate_storage import Store

DocumentArgument = Annotated[
    Path | None, typer.Argument(help="The file of the document; HOOKGATE_CONFIG if left out.", show_default=False)
]
PAGE = 500


class KeyManagerCommands(Command[Options]):
    """Make, list and remove clients, which ask for tokens, and change the keys that sign them."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `keymanager`."""
        group = typer.Typer(help="Clients, which ask for tokens, and keys, which sign them.", no_args_is_help=True)
        for word, run in _WORDS:
            group.command(word)(run)
        commands.add_typer(group, name="keymanager")


def client(
    document: DocumentArgument = None,
    application: Annotated[str, typer.Option(help="The application that calls.")] = "",
    owner: Annotated[str, typer.Option(help="The user whose application it is.")] = "",
    grants: Annotated[str, typer.Option(help=f"Ways to get tokens, with commas: {', '.join(get_args(GrantName))}.")] = (
        "client_credentials"
    ),
    callback: Annotated[list[str] | None, typer.Option(help="Where codes may be sent; may be repeated.")] = None,
    key_type: Annotated[str, typer.Option(help="production or sandbox.")] = "production",
    lifetime: Annotated[
        float | None,
        typer.Option(help="Seconds that its tokens are good, -1 for ever; else the document says it."),
    ] = None,
    format: Annotated[  # noqa: A002 - the word that people type
        str | None, typer.Option(help="Of its access tokens: opaque or jwt; else the document says it.")
    ] = None,
    *,
    public: Annotated[bool, typer.Option("--public", help="It can keep no secret: an app, or a page.")] = False,
) -> None:
    """Make a client, with a secret that is shown this once."""

    async def run(made: Clients) -> None:
        asked = [each.strip() for each in grants.split(",") if each.strip()]
        more = {"public": public, "lifetime": lifetime, "format": format}
        found, secret = await made.make(application, owner, key_type, asked, callback or [], **more)  # type: ignore[arg-type]
        say(f"client_id {found.client_id}")
        if secret:
            say(f"client_secret {secret} which is not shown again")

    _run(document, run)


def clients(document: DocumentArgument = None) -> None:
    """List clients."""

    async def run(made: Clients) -> None:
        after = ""
        while page := await made.page(after, PAGE):
            for each in page:
                kind = "public" if each.secret is None else each.key_type
                say(f"{each.client_id} {each.application} of {each.owner}: {kind}, {', '.join(each.grants)}")
            after = page[-1].client_id

    _run(document, run)


def remove(
    client_id: Annotated[str, typer.Argument(help="Id of the client.")], document: DocumentArgument = None
) -> None:
    """Remove a client, and end its tokens within a second."""

    async def run(made: Clients) -> None:
        if not await made.remove(client_id):
            raise MachineError(f"there is no client {client_id[:64]}")
        say(f"removed {client_id}, and all its tokens")

    _run(document, run)


def rotate(
    document: DocumentArgument = None,
    *,
    end: Annotated[
        bool, typer.Option("--end", help="End all tokens of the keys before it, too: one of them is in wrong hands.")
    ] = False,
) -> None:
    """Make a new key that JWTs are signed with from now on, by every node."""

    async def run(store: Store) -> None:
        from hookgate_keymanager.ending import Endings
        from hookgate_keymanager.signing import Signing

        kid = await Signing(store, Endings(store), SigningRecord()).rotate(end=end)
        say(f"{kid} signs from now on" + (", and no token of another key is good" if end else ""))

    _run_with(document, run)


_WORDS = (("client", client), ("clients", clients), ("remove-client", remove), ("rotate-keys", rotate))


def _run(document: Path | None, run: Callable[[Clients], Awaitable[Any]]) -> None:
    from hookgate_keymanager.clients import Clients
    from hookgate_keymanager.ending import Endings

    _run_with(document, lambda store: run(Clients(store, Endings(store))))


def _run_with(document: Path | None, run: Callable[[Store], Awaitable[Any]]) -> None:
    from hookgate_storage import Keys, Refused, StoreError, configured, open_store

    source = configured(document)

    async def whole() -> None:
        store: Store = await open_store(source.url, Keys.in_file(source.key))
        try:
            await run(store)
        finally:
            await store.close()

    try:
        asyncio.run(whole())
    except (StoreError, Refused) as error:
        raise MachineError(str(error)) from None
