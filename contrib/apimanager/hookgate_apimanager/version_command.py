"""``hookgate apis``: versions of the APIs of a running gateway."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from hookgate import Command, Options, hookimpl
from hookgate.commands import say
from hookgate_management import ApiClient, ManagementOption, TokenOption, asked

ApiArgument = Annotated[str, typer.Argument(metavar="API", help="Its name with its version, such as 'orders 1.0'.")]


class VersionCommands(Command[Options]):
    """Copy an API to a new version, and say which version is called without one."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `apis`."""
        group = typer.Typer(help="Versions of APIs.", no_args_is_help=True)
        group.command("copy")(copy)
        group.command("default")(default)
        commands.add_typer(group, name="apis")


def copy(
    api: ApiArgument,
    version: Annotated[str, typer.Argument(help="The version of the copy.")],
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Copy an API to a new version. Nobody calls it before it is published."""

    def run(client: ApiClient) -> None:
        told = client.call("POST", f"/apis/{quote(api, safe='')}/copies", {"version": version}, query={"wait": "live"})
        say(f"{api} is copied to {told['api']}")

    asked(management, token_file, run)


def default(api: ApiArgument, management: ManagementOption = None, token_file: TokenOption = None) -> None:
    """Have a version called where a call names none."""

    def run(client: ApiClient) -> None:
        told = client.call("POST", f"/apis/{quote(api, safe='')}/default-version", {}, query={"wait": "live"})
        before = f", in the place of {', '.join(told['before'])}" if told["before"] else ""
        say(f"{api} is called without a version{before}")

    asked(management, token_file, run)
