"""People who log in at a provider outside: which user they are here, and which roles they bring along.

A user belongs to one provider, which vouches for a subject; the name alone proves nothing, or a provider could give
anybody's. Roles of the provider are written ``provider/role``, as no role of the store is; what they are worth here a
mapping says, and with each login they are those of that day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_people.audit import Audit, By
from hookgate_people.tables import identities
from hookgate_people.users import USER, Users
from hookgate_storage import Database, Refused

LONGEST_SUBJECT = 255
"""Characters (OpenID Connect Core 1.0, 2)."""
MOST_ROLES = 500
LONGEST_ROLE = 200


@dataclass(frozen=True, slots=True)
class Outsider:
    """Somebody whom a provider vouches for."""

    provider: str
    subject: str
    name: str
    """What they are called there, which becomes the name of the user."""
    display: str = ""
    roles: tuple[str, ...] = ()
    """Those of the provider."""


class Outside:
    """Finds, or makes, the user of somebody from outside; it is in the audit."""

    def __init__(self, database: Database, audit: Audit, users: Users) -> None:
        self._database, self._audit, self._users = database, audit, users

    async def arrived(
        self,
        who: Outsider,
        address: str,
        mapped: Iterable[str],
        managed: Iterable[str],
        *,
        make: bool,
        whose: Callable[[str], bool] = lambda _: True,
    ) -> str:
        """Return the name of a user who has logged in outside, with the roles that they have now.

        ``mapped`` are the roles of the store that they bring along, of all that the mapping knows, ``managed``. Others
        stay as they were given here. ``make`` makes a user of who comes for the first time. ``whose`` says of the name
        of a user whether it may be one of the provider: a subject that is known may be somebody of another tenant.

        Raises:
            Refused: nobody whom we know, a user of somebody else, or of another tenant, one who is disabled, a name
                that is none, a role that there is not, or the last administrator, who would be none.
        """
        if not 0 < len(who.subject) <= LONGEST_SUBJECT or not who.subject.isprintable():
            raise Refused(USER, "", f"{who.provider} tells no subject of 1 to {LONGEST_SUBJECT} characters")
        if len(who.roles) > MOST_ROLES:
            raise Refused(USER, who.name, f"{who.provider} tells more than {MOST_ROLES} roles of {who.name[:50]}")
        names = sorted({each for each in who.roles if 0 < len(each) <= LONGEST_ROLE and each.isprintable()})
        async with self._database.transaction(writes=True) as connection:
            same = (identities.c.provider == who.provider) & (identities.c.subject == who.subject)
            found = (await connection.execute(select(identities).where(same))).first()
            known = who.name if found is None else found.user
            if not whose(known):
                raise Refused(USER, known, f"the user {known} is not one of those whom {who.provider} vouches for")
            user = known if found is not None else await self._first(connection, who, address, make=make)
            by = By(user, address)
            old = await self._users.get_within(connection, user)
            assert old is not None
            if old.disabled:
                raise Refused(USER, user, f"{user} is disabled here")
            told = {"subject": who.subject, "roles": orjson.dumps(names).decode()}
            await connection.execute(update(identities).where(identities.c.user == user).values(told))
            wanted = (set(old.roles) - set(managed)) | set(mapped)
            if wanted != set(old.roles):
                await self._users.give(connection, By(f"provider {who.provider}", address), old, sorted(wanted))
            after = {"provider": who.provider, "roles": names[:100]}
            await self._audit.note(connection, by, "login", f"{USER}/{user}", None, after)
        return str(user)

    async def _first(self, connection: AsyncConnection, who: Outsider, address: str, *, make: bool) -> str:
        """Take the user that waits for somebody, or make one."""
        by = By(f"provider {who.provider}", address)
        old = await self._users.get_within(connection, who.name)
        if old is None:
            if not make:
                raise Refused(USER, who.name, f"there is no user {who.name[:50]} here; ask an administrator for one")
            await self._users.made(connection, by, who.name, None, who.display, (), service=False)
            new = {"user": who.name, "provider": who.provider, "subject": who.subject, "roles": "[]"}
            await connection.execute(insert(identities).values(new))
            return who.name
        row = (await connection.execute(select(identities).where(identities.c.user == who.name))).first()
        if row is None or row.provider != who.provider or row.subject is not None:
            raise Refused(USER, who.name, f"the user {who.name} here is somebody else than the one of {who.provider}")
        return who.name
