"""Pages about API tokens."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import Field
from quart import Response

from hookgate import PositiveDuration
from hookgate_management.answers import as_json
from hookgate_management.asking import (
    AFTER,
    Asked,
    Body,
    clean_name,
    limit_of,
    listed,
    schema_of,
    sent_as,
)
from hookgate_management.callers import ADMIN, where
from hookgate_management.operations import CHANGES, LIMIT, READS, Operation, Operations, Parameter
from hookgate_management.problems import Refusal
from hookgate_people import By


class NewToken(Body):
    """What a token is made of."""

    name: str
    user: str | None = None
    scopes: tuple[str, ...] | None = Field(default=None, strict=False)
    lifetime: PositiveDuration | None = Field(default=None, strict=False)


def token_pages(api: Operations, asked: Asked) -> None:
    """Add the pages."""
    callers = asked.callers
    user_of = Parameter("user", "Whose; only an administrator sees those of others.")

    @api.add(
        Operation("GET", "/tokens", "tokens", "List tokens", {200: "tokens"}, READS | {400}, (LIMIT, AFTER, user_of))
    )
    async def tokens() -> Response:
        people, limit = await asked.people(), limit_of()
        return listed("tokens", await asked.owned(people.tokens.page, limit + 1), limit, "id")

    about = "Make a token, which is shown this once: for oneself, or as an administrator for others"
    made_of = schema_of(NewToken)

    @api.add(
        Operation("POST", "/tokens", "make-token", about, {201: "token"}, CHANGES, sends=made_of, headers=("Location",))
    )
    async def make() -> Response:
        caller = callers.caller()
        if caller.person is None:
            callers.let(ADMIN)
        people, found = await asked.people(), await sent_as(NewToken)
        user, scopes, seconds = found.user or caller.name, found.scopes, found.lifetime
        if user != caller.name:
            asked.let_with(user)
        if ADMIN not in caller.permissions:
            scopes = tuple(sorted(caller.permissions)) if scopes is None else scopes
            # what shows a narrow token makes none that may do more
            if beyond := sorted(set(scopes) - caller.permissions - {"api_api-connection"}):
                raise Refusal(403, f"{caller.name} may not give {beyond[0]} to a token.", "forbidden")
        ends = None if caller.person is None else caller.person.ends
        if ends is not None:  # nor one that lives longer
            left = max(ends - people.audit.clock(), 0.0)
            seconds = left if seconds is None else min(seconds, left)
        text, made = await people.tokens.make(By(caller.name, where()), clean_name(user), found.name, scopes, seconds)
        return as_json({**asdict(made), "token": text}, 201, {"Location": f"/-/api/tokens/{made.id}"})

    @api.add(
        Operation("DELETE", "/tokens/<name>", "end-token", "End a token, by its id", {200: "nothing"}, READS | {404})
    )
    async def end(name: str) -> Response:
        caller, people = callers.caller(), await asked.people()
        asked.let_end(await people.tokens.get(clean_name(name)), f"token {name}")
        await people.tokens.end(By(caller.name, where()), clean_name(name))
        return as_json({})
