"""Pages about people: users and roles, and who calls."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from pydantic import Field
from quart import Response

from hookgate_management.answers import as_json
from hookgate_management.asking import (
    AFTER,
    NAMES,
    Asked,
    Body,
    after,
    clean_name,
    invalid,
    limit_of,
    listed,
    schema_of,
    sent_as,
)
from hookgate_management.callers import where
from hookgate_management.calls import expected
from hookgate_management.operations import ASKS, CHANGES, IF_MATCH, LIMIT, READS, Operation, Operations
from hookgate_management.problems import Refusal
from hookgate_people import By, CodeNeeded, Denied, RoleChange, UserChange, new_password

PATCH = ("application/merge-patch+json", "application/json")


class NewUser(Body):
    """What a user is made of."""

    name: str
    display: str = ""
    password: str | None = None
    service: bool = False
    provider: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    disabled: bool = False
    roles: tuple[str, ...] = NAMES


class ChangedUser(Body):
    """What changes of a user."""

    display: str | None = None
    password: str | None = None
    disabled: bool | None = None
    locked: bool | None = None
    roles: tuple[str, ...] | None = Field(default=None, strict=False)


class NewPassword(Body):
    """What somebody sends who changes the own password."""

    current: str
    password: str


class NewRole(Body):
    """What a role is made of."""

    name: str
    description: str = ""
    permissions: tuple[str, ...] = NAMES
    roles: tuple[str, ...] = NAMES


class ChangedRole(Body):
    """What changes of a role."""

    description: str | None = None
    permissions: tuple[str, ...] | None = Field(default=None, strict=False)
    roles: tuple[str, ...] | None = Field(default=None, strict=False)


def people_pages(api: Operations, asked: Asked) -> None:
    """Add the pages."""
    _of_myself(api, asked)
    _of_users(api, asked)
    _of_roles(api, asked)


def _of_myself(api: Operations, asked: Asked) -> None:
    callers = asked.callers

    @api.add(Operation("GET", "/me", "me", "Say who calls, and what they may do", {200: "me"}, ASKS))
    async def me() -> Response:
        caller = callers.caller()
        roles = sorted(caller.person.roles) if caller.person is not None else []
        return as_json({"name": caller.name, "roles": roles, "permissions": sorted(caller.permissions)})

    about = "Change the own password"
    problems = CHANGES - {404, 412}

    @api.add(Operation("PUT", "/me/password", "password", about, {200: "user"}, problems, sends=schema_of(NewPassword)))
    async def password() -> Response:
        person = callers.caller().person
        if person is None:
            raise Refusal(409, "You stand in the document, and have no password.", "in-file")
        people, found = await asked.people(), await sent_as(NewPassword)
        try:
            with suppress(CodeNeeded):  # which says that the password is right
                await people.login(person.name, found.current, where())
        except Denied:
            raise invalid("current", "is not the password there is") from None
        change = UserChange(password=found.password)
        return as_json(asdict(await people.users.change(By(person.name, where()), person.name, change)))


def _of_users(api: Operations, asked: Asked) -> None:
    callers = asked.callers

    @api.add(Operation("GET", "/users", "users", "List users", {200: "people"}, READS | {400}, (LIMIT, AFTER)))
    async def users() -> Response:
        callers.let_read()
        people, limit = await asked.people(), limit_of()
        return listed("users", await asked.page(people.users.page, after(), limit + 1), limit, "name")

    about = "Make a user, or a service account: without a password one is made, and shown this once"
    made_of = schema_of(NewUser)
    shown = ("ETag", "Location")

    @api.add(Operation("POST", "/users", "make-user", about, {201: "user"}, CHANGES, sends=made_of, headers=shown))
    async def make() -> Response:
        by, people, found = asked.by(), await asked.people(), await sent_as(NewUser)
        if found.name in callers.names:
            raise Refusal(409, f"{found.name} is a caller that stands in the document.", "in-file")
        if found.service and found.password is not None:
            raise invalid("password", "a service account has tokens and no password")
        if found.provider is not None and (found.service or found.password is not None):
            raise invalid("provider", "who logs in at a provider has no password, and is no service account")
        tenant = asked.let(found.name, found.roles)
        asked.let_provider(found.provider, tenant)
        await asked.know(people, tenant)
        given = (
            None if found.service or found.provider else new_password() if found.password is None else found.password
        )
        more: dict[str, Any] = {"disabled": found.disabled, "provider": found.provider}
        made = await people.users.make(by, found.name, given, found.display, found.roles, **more)
        told = asdict(made)
        if given is not None and found.password is None:
            told["password"] = given
        return as_json(
            told, 201, {"Location": f"/-/api/users/{quote(made.name, safe='')}", "ETag": f'"{made.version}"'}
        )

    @api.add(
        Operation("GET", "/users/<name>", "user", "Return a user", {200: "user"}, READS | {404}, headers=("ETag",))
    )
    async def one(name: str) -> Response:
        callers.let_read()
        return _found(await (await asked.people()).users.get(clean_name(name)), f"user {name}")

    @api.add(
        Operation(
            "PATCH",
            "/users/<name>",
            "change-user",
            "Change a user",
            {200: "user"},
            CHANGES,
            (IF_MATCH,),
            schema_of(ChangedUser),
            PATCH,
            headers=("ETag",),
        )
    )
    async def change(name: str) -> Response:
        by, people, found = asked.by(), await asked.people(), await sent_as(ChangedUser)
        if found.locked:
            raise invalid("locked", "a user is locked by failed logins only; disable the user")
        asked.let(name, found.roles)
        wanted = UserChange(found.display, found.disabled, found.roles, found.password, found.locked)
        return _found(await people.users.change(by, clean_name(name), wanted, expected()))

    @api.add(
        Operation(
            "DELETE",
            "/users/<name>",
            "remove-user",
            "Remove a user, and the tokens of it",
            {200: "nothing"},
            READS | {404, 412},
            (IF_MATCH,),
        )
    )
    async def remove(name: str) -> Response:
        by, people = asked.by(), await asked.people()
        await people.users.remove(by, clean_name(name), expected())
        return as_json({})


def _of_roles(api: Operations, asked: Asked) -> None:
    callers = asked.callers

    @api.add(Operation("GET", "/roles", "roles", "List roles", {200: "roles"}, READS | {400}, (LIMIT, AFTER)))
    async def roles() -> Response:
        callers.let_read()
        people, limit = await asked.people(), limit_of()
        return listed("roles", await asked.page(people.roles.page, after(), limit + 1), limit, "name")

    made_of = schema_of(NewRole)
    shown = ("ETag", "Location")

    @api.add(
        Operation("POST", "/roles", "make-role", "Make a role", {201: "role"}, CHANGES, sends=made_of, headers=shown)
    )
    async def make() -> Response:
        by, people, found = asked.by(), await asked.people(), await sent_as(NewRole)
        await asked.know(people, asked.let(found.name, found.roles))
        made = await people.roles.make(by, found.name, found.permissions, found.roles, found.description)
        headers = {"Location": f"/-/api/roles/{quote(made.name, safe='')}", "ETag": f'"{made.version}"'}
        return as_json(asdict(made), 201, headers)

    @api.add(
        Operation("GET", "/roles/<name>", "role", "Return a role", {200: "role"}, READS | {404}, headers=("ETag",))
    )
    async def one(name: str) -> Response:
        callers.let_read()
        return _found(await (await asked.people()).roles.get(clean_name(name)), f"role {name}")

    @api.add(
        Operation(
            "PATCH",
            "/roles/<name>",
            "change-role",
            "Change a role",
            {200: "role"},
            CHANGES,
            (IF_MATCH,),
            schema_of(ChangedRole),
            PATCH,
            headers=("ETag",),
        )
    )
    async def change(name: str) -> Response:
        by, people, found = asked.by(), await asked.people(), await sent_as(ChangedRole)
        asked.let(name, found.roles)
        wanted = RoleChange(found.description, found.permissions, found.roles)
        return _found(await people.roles.change(by, clean_name(name), wanted, expected()))

    @api.add(
        Operation(
            "DELETE",
            "/roles/<name>",
            "remove-role",
            "Remove a role that nobody holds",
            {200: "nothing"},
            READS | {404, 412},
            (IF_MATCH,),
        )
    )
    async def remove(name: str) -> Response:
        by, people = asked.by(), await asked.people()
        await people.roles.remove(by, clean_name(name), expected())
        return as_json({})


def _found(found: Any, what: str = "") -> Response:
    if found is None:
        raise Refusal(404, f"There is no {what}.", "missing")
    return as_json(asdict(found), headers={"ETag": f'"{found.version}"'})
