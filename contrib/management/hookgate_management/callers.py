"""Who may change what: callers that stand in the document, and people of the store."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256

from quart import g, request

from hookgate import Options
from hookgate.workshop import FilledSecret
from hookgate_management.browsers import Browsers
from hookgate_management.problems import Refusal
from hookgate_people import CodeNeeded, Denied, People, Person, Session, TooMany, sees_the_document
from hookgate_storage import StoreError

ADMIN = "admin"
READ = "read"
STATISTICS = "statistics"
"""Permission to see the statistics of all, and nothing else (KC-84)."""
ALSO_CALLED = {"api_api-connection": "api_connection"}
"""Names of permissions in the systems that people come from (AC-39)."""


class CallerOptions(Options):
    """Somebody who calls the API."""

    token: FilledSecret
    """What is shown in `Authorization: Bearer`. Make one with `openssl rand -hex 32`."""
    permissions: tuple[str, ...] = (ADMIN,)
    """`admin` for everything, `read` to read everything, or `api_` with the kind, such as `api_connection`: to read and
    change objects of it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    name: str
    permissions: frozenset[str]
    person: Person | None = None
    """Somebody of the store; ``None`` for who stands in the document."""
    session: Session | None = None
    """The one that was shown, if any."""
    token: bool = False
    """Whether a token was shown, and not a session or a password."""


class Callers:
    """Knows callers by their tokens; these are compared by their hashes, so that no time tells how much is right."""

    def __init__(self, callers: dict[str, CallerOptions], browsers: Browsers) -> None:
        self._browsers = browsers
        self._by_hash = {
            sha256(each.token.reveal().encode()).digest(): Caller(
                name, frozenset(ALSO_CALLED.get(held, held) for held in each.permissions)
            )
            for name, each in callers.items()
        }
        self.names = frozenset(callers)

    async def recognise(self, asked: Callable[[], Awaitable[People | None]]) -> None:
        """Find out who calls, once for each call: somebody of the document, or else of the store, if there is one."""
        try:
            g.caller = await self._recognised(asked)
        except (Refusal, TooMany, StoreError) as error:
            g.caller = error  # told where a page asks who calls

    async def _recognised(self, asked: Callable[[], Awaitable[People | None]]) -> Caller:
        written = request.headers.getlist("Authorization")
        if not written and self._browsers.shown() and (people := await asked()) is not None:
            held = await self._browsers.held(people)
            if held is not None:
                user = held.session.user
                return Caller(user, held.permissions, Person(user, held.roles, held.permissions), held.session)
        scheme, _, shown = written[0].partition(" ") if len(written) == 1 else ("", "", "")
        scheme, shown = scheme.lower(), shown.strip()
        if scheme == "bearer":
            known = self._by_hash.get(sha256(shown.encode()).digest())
            if known is not None:
                return known
        unknown = Refusal(401, "Show the token of a caller: Authorization: Bearer TOKEN.", "unauthorized")
        if scheme not in {"bearer", "basic"} or not shown or (people := await asked()) is None:
            raise unknown
        try:
            person = await _bearer(people, shown) if scheme == "bearer" else await _basic(people, shown)
        except Denied:
            raise unknown from None
        except CodeNeeded as error:
            detail = f"{error.user} has a second factor: call with a token, or log in to a session with its code."
            raise Refusal(403, detail, "second-factor") from None
        return Caller(person.name, person.permissions, person, token=scheme == "bearer")

    def let_self(self) -> Caller:
        """Return who calls with a session or a password: what is about logging in is not for tokens.

        Raises:
            Refusal: nobody whom we know, somebody of the document, or who shows a token.
        """
        caller = self.caller()
        if caller.person is None:
            raise Refusal(409, "You stand in the document, and have no password.", "in-file")
        if caller.token:
            raise Refusal(403, "Log in for that: what is about logging in is not for tokens.", "forbidden")
        return caller

    def let_in(self) -> str:
        """Return who calls.

        Raises:
            Refusal: nobody whom we know.
        """
        return self.caller().name

    def let_read(self, permission: str = "") -> str:
        """Return who calls, if they may read: what takes a permission to be changed, or without one everything.

        Raises:
            Refusal: nobody whom we know, or somebody who may not.
        """
        caller = self.caller()
        if not {ADMIN, READ, permission} & caller.permissions:
            needs = f"{READ} or {permission}" if permission else READ
            raise Refusal(403, f"{caller.name} may not see that; it takes the permission {needs}.", "forbidden")
        return caller.name

    def let_look(self) -> str:
        """Return who calls, if they may read some of what is stored, or change it.

        Raises:
            Refusal: nobody whom we know, or somebody who may not.
        """
        caller = self.caller()
        if not sees_the_document(caller.permissions):
            raise Refusal(403, f"{caller.name} has no permission to see that.", "forbidden")
        return caller.name

    def let(self, permission: str) -> str:
        """Return who calls, if they may do that.

        Raises:
            Refusal: nobody whom we know, or somebody who may not.
        """
        caller = self.caller()
        if ADMIN not in caller.permissions and permission not in caller.permissions:
            raise Refusal(403, f"{caller.name} may not do that; it takes the permission {permission}.", "forbidden")
        return caller.name

    def caller(self) -> Caller:
        """Return who calls.

        Raises:
            Refusal: nobody whom we know.
            TooMany: too many logins have failed.
            StoreError: the store is away, where it has to be asked.
        """
        found: Caller | Exception = g.caller
        if isinstance(found, Exception):
            raise found
        return found


async def _bearer(people: People, token: str) -> Person:
    try:
        return await people.authenticate(token)
    except Denied:
        people.attempts.count(where())
        raise


async def _basic(people: People, shown: str) -> Person:
    try:
        name, colon, password = base64.b64decode(shown, validate=True).decode().partition(":")
    except ValueError:
        raise Denied from None
    if not colon:
        raise Denied
    return await people.login(name, password, where())


def where() -> str:
    """Return the address that is called from."""
    return request.remote_addr or ""
