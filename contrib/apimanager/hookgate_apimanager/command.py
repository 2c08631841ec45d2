"""``hookgate applications`` and ``hookgate subscriptions``: those of a running gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from hookgate import Command, Options, hookimpl
from hookgate.commands import say
from hookgate_management import ApiClient, ManagementOption, TokenOption, asked

IdArgument = Annotated[str, typer.Argument(help="Id of the subscription.")]


class ApplicationCommands(Command[Options]):
    """List applications, and block them."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `applications`."""
        group = typer.Typer(help="Applications, which subscribe to APIs.", no_args_is_help=True)
        for word, run in (("list", applications), ("block", block), ("unblock", unblock)):
            group.command(word)(run)
        commands.add_typer(group, name="applications")


class SubscriptionCommands(Command[Options]):
    """List subscriptions, approve, reject and block them."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `subscriptions`."""
        group = typer.Typer(help="Subscriptions of applications to APIs.", no_args_is_help=True)
        group.command("list")(subscriptions)
        for word, status, about in _VERBS:
            group.command(word, help=about)(_turning(status))
        commands.add_typer(group, name="subscriptions")


def applications(
    owner: Annotated[str, typer.Option(help="Only those of this user.")] = "*",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """List applications."""

    def run(client: ApiClient) -> None:
        for each in _pages(client, "applications", {"owner": owner}):
            state = ", blocked" if each["blocked"] else ""
            say(f"{each['id']} {each['name']} of {each['owner']}: {each['tier']}{state}")

    asked(management, token_file, run)


def block(
    application: Annotated[str, typer.Argument(help="Id of the application.")],
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Refuse the calls of an application until it is let in again."""
    _block(application, management, token_file, blocked=True)


def unblock(
    application: Annotated[str, typer.Argument(help="Id of the application.")],
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Let an application in again."""
    _block(application, management, token_file, blocked=False)


def subscriptions(
    api: Annotated[str | None, typer.Option(help="Only those to this API: its name with its version.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those of this status, such as PENDING.")] = None,
    tier: Annotated[str | None, typer.Option(help="Only those with this tier.")] = None,
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """List subscriptions."""
    filters = {"api": api, "status": status, "tier": tier}

    def run(client: ApiClient) -> None:
        wanted = {name: value for name, value in filters.items() if value is not None}
        for each in _pages(client, "subscriptions", wanted):
            whose = f"{each['application_name']} of {each['owner']}"
            say(f"{each['id']} {whose} to {each['api']}: {each['tier']}, {each['status']}")

    asked(management, token_file, run)


_VERBS = (
    ("approve", "ACTIVE", "Let a subscription in that waits for approval."),
    ("reject", "REJECTED", "Reject a subscription that waits for approval."),
    ("block", "BLOCKED", "Refuse the calls of a subscription until it is let in again."),
    ("unblock", "ACTIVE", "Let a subscription in again."),
)


def _turning(status: str) -> Any:
    def turn(subscription: IdArgument, management: ManagementOption = None, token_file: TokenOption = None) -> None:
        def run(client: ApiClient) -> None:
            told = client.call("PATCH", f"/subscriptions/{quote(subscription, safe='')}", {"status": status})
            say(f"the subscription of {told['application_name']} to {told['api']} is {told['status']}")

        asked(management, token_file, run)

    return turn


def _block(application: str, management: str | None, token_file: Any, *, blocked: bool) -> None:
    def run(client: ApiClient) -> None:
        told = client.call("PATCH", f"/applications/{quote(application, safe='')}", {"blocked": blocked})
        say(f"the application {told['name']} of {told['owner']} is {'blocked' if blocked else 'let in'}")

    asked(management, token_file, run)


def _pages(client: ApiClient, what: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    wanted: dict[str, str | list[str]] = {**query, "limit": "1000"}
    while True:
        page = client.call("GET", f"/{what}", query=wanted)
        yield from page[what]
        if "next" not in page:
            return
        wanted["after"] = page["next"]
