"""Pages about second factors."""

from __future__ import annotations

from dataclasses import asdict

from quart import Response

from hookgate_management.answers import as_json
from hookgate_management.asking import Asked, Body, clean_name, invalid, schema_of, sent_as
from hookgate_management.callers import where
from hookgate_management.operations import CHANGES, READS, Operation, Operations
from hookgate_management.problems import Refusal
from hookgate_people import By, Denied, People

FACTOR_PAGES = frozenset(
    {"me", "password", "factor", "enrol-factor", "confirm-factor", "session", "log-in", "log-out"}
    | {"login-page", "login-form", "login-begin", "login-callback", "logout-form", "factor-form", "factor-confirm"}
)
"""What is open to who has yet to make a factor."""


class Code(Body):
    """What is sent with a code."""

    code: str


def factor_pages(api: Operations, asked: Asked) -> None:
    """Add the pages."""
    callers, problems, code = asked.callers, CHANGES - {412}, schema_of(Code)

    @api.add(Operation("GET", "/me/factor", "factor", "Say whether one has a second factor", {200: "factor"}, READS))
    async def factor() -> Response:
        caller, people = callers.caller(), await asked.people()
        found = await people.factors.get(caller.name) if caller.person is not None else None
        return as_json({"confirmed": False, "recovery": 0} if found is None else asdict(found))

    about = "Make a second factor, whose secret is shown this once; it counts when it is confirmed"

    @api.add(Operation("POST", "/me/factor", "enrol-factor", about, {201: "enrolled"}, READS | {404, 422}))
    async def enrol() -> Response:
        caller = callers.let_self()
        people = await asked.people()
        secret, uri = await people.factors.enrol(By(caller.name, where()), caller.name)
        return as_json({"secret": secret, "uri": uri}, 201)

    about = "Confirm a second factor with a code that it shows: recovery codes are shown this once"

    @api.add(Operation("PUT", "/me/factor", "confirm-factor", about, {200: "recovery"}, problems, sends=code))
    async def confirm() -> Response:
        caller, people, found = callers.let_self(), await asked.people(), await sent_as(Code)
        kept = "" if caller.session is None else caller.session.id
        made = await people.factors.confirm(By(caller.name, where()), caller.name, found.code, kept)
        return as_json({"recovery": made})

    about = "Make new recovery codes, which are shown this once, with a code of the factor"

    @api.add(Operation("POST", "/me/factor/recovery", "renew-codes", about, {200: "recovery"}, problems, sends=code))
    async def renew() -> Response:
        by, people = await shown()
        return as_json({"recovery": await people.factors.renew(by, by.who)})

    about = "End the own second factor, with a code of it"

    @api.add(Operation("POST", "/me/factor/end", "end-factor", about, {200: "nothing"}, problems, sends=code))
    async def end() -> Response:
        by, people = await shown()
        await people.factors.remove(by, by.who)
        return as_json({})

    async def shown() -> tuple[By, People]:
        caller, people, found = callers.let_self(), await asked.people(), await sent_as(Code)
        by = By(caller.name, where())
        if await people.factors.get(caller.name) is None:
            raise Refusal(404, f"{caller.name} has no second factor.", "missing")
        try:
            await people.check_code(by, found.code)
        except Denied:
            raise invalid("code", "is no code of the factor, or was used before") from None
        return by, people

    about = "Remove the second factor of somebody who has lost it"

    @api.add(Operation("DELETE", "/users/<name>/factor", "remove-factor", about, {200: "nothing"}, READS | {404}))
    async def remove(name: str) -> Response:
        by, people = asked.by(), await asked.people()
        if name == by.who:
            detail = "End your own with a code of it: POST /-/api/me/factor/end. Others remove a lost one."
            raise Refusal(403, detail, "forbidden")
        await people.factors.remove(by, clean_name(name))
        return as_json({})
