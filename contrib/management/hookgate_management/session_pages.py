"""Pages about sessions: log in, log out, and which there are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from quart import Response, request

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
from hookgate_management.browsers import Browsers
from hookgate_management.callers import where
from hookgate_management.operations import CHANGES, LIMIT, READS, Operation, Operations, Parameter
from hookgate_management.problems import Refusal
from hookgate_people import By, CodeNeeded, Denied, Session, forgery_token
from hookgate_storage import Missing

WHOSE = Parameter("user", "Whose; only an administrator sees those of others.")


class NewSession(Body):
    """What somebody logs in with."""

    name: str
    password: str
    code: str = ""


def session_pages(api: Operations, asked: Asked, browsers: Browsers) -> None:
    """Add the pages."""
    callers = asked.callers
    about = "Log in, and begin a session: it is in a cookie, and `csrf` goes with each call that changes something"
    problems = CHANGES - {404, 412}
    made_of, given = schema_of(NewSession), ("Set-Cookie",)

    @api.add(
        Operation(
            "POST", "/session", "log-in", about, {201: "session"}, problems, sends=made_of, headers=("Set-Cookie",)
        )
    )
    async def log_in() -> Response:
        browsers.let_log_in()
        people, found = await asked.people(), await sent_as(NewSession)
        try:
            person = await people.login(found.name, found.password, where(), found.code)
            by, agent = By(person.name, where()), request.headers.get("User-Agent", "")
            text, session = await people.sessions.begin(by, "password", agent, instead=browsers.shown())
        except CodeNeeded:
            detail = "There is a second factor: send its code, or a recovery code, as `code`."
            raise Refusal(401, detail, "second-factor") from None
        except (Denied, Missing):
            text = "Name, password and code" if found.code else "Name and password"
            raise Refusal(401, f"{text} are not those of anybody.", "unauthorized") from None
        answer = as_json(_told(session, text), 201)
        browsers.give(answer, text)
        return answer

    @api.add(Operation("GET", "/session", "session", "Say which session calls", {200: "session"}, READS | {404}))
    async def current() -> Response:
        caller = callers.caller()
        if caller.session is None:
            raise Refusal(404, f"{caller.name} calls without a session.", "missing")
        return as_json(_told(caller.session, browsers.shown()))

    about = "Log out: end the session that calls"

    @api.add(Operation("DELETE", "/session", "log-out", about, {200: "nothing"}, READS | {404}, headers=given))
    async def log_out() -> Response:
        caller = callers.caller()
        if caller.session is None:
            raise Refusal(404, f"{caller.name} calls without a session.", "missing")
        await (await asked.people()).sessions.end(By(caller.name, where()), caller.session.id)
        answer = as_json({})
        browsers.take(answer)
        return answer

    takes = (LIMIT, AFTER, WHOSE)

    @api.add(Operation("GET", "/sessions", "sessions", "List sessions", {200: "sessions"}, READS | {400}, takes))
    async def sessions() -> Response:
        people, limit = await asked.people(), limit_of()
        return listed("sessions", await asked.owned(people.sessions.page, limit + 1), limit, "id")

    about = "End a session, by its id"

    @api.add(Operation("DELETE", "/sessions/<name>", "end-session", about, {200: "nothing"}, READS | {404}))
    async def end(name: str) -> Response:
        caller, people = callers.caller(), await asked.people()
        asked.let_end(await people.sessions.get(clean_name(name)), f"session {name}")
        await people.sessions.end(By(caller.name, where()), clean_name(name))
        return as_json({})


def _told(session: Session, text: str) -> dict[str, Any]:
    return {**asdict(session), "csrf": forgery_token(text)}
