"""The register of applications and subscriptions in one store: what pages, commands and steps share."""

from __future__ import annotations

import logging
import secrets
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_apimanager.tables import applications, changed, subscriptions
from hookgate_apimanager.tiers_used import NamesIn, keep_tiers, users
from hookgate_people import By, InUse, Notices, people_of
from hookgate_storage import Made, Refused, Store, StoreError

APIS = "apis"
LONGEST_NAME = 100
log = logging.getLogger("hookgate.apimanager")


class Register:
    """Writes for all of the tables: one transaction after the other, each with its entries in the audit, and with
    notices for the nodes that keep answers."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.people = people_of(store)
        self.notices = Notices(store, changed, log, people=self.people)
        self.notices.tell = self._tell
        self.listeners: list[Callable[[str, str], None]] = []
        """Told of what has changed: kinds ``application``, ``client``, ``key``, ``user`` and ``all``."""
        self.file: Mapping[str, Any] = {}
        """What the file says of tiers that is served."""
        self.tiers_in: NamesIn | None = None
        """Says which tiers there are; nobody where nothing counts by tiers."""
        store.watchers["subscriptions"] = self.written
        store.users["subscriptions"] = partial(users, store)
        self.people.users.removed["subscriptions"] = self.without

    def _tell(self, kind: str, value: str) -> None:
        for each in self.listeners:
            each(kind, value)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Run statements that change something; this node knows of it at the end, and others within a second.

        Raises:
            StoreError: the store is away.
        """
        async with self.notices.transaction() as connection:
            yield connection
        with suppress(StoreError):  # it is written; who follows looks soon
            await self.notices.look()

    async def note(
        self, connection: AsyncConnection, by: By, action: str, what: str, before: Any = None, after: Any = None
    ) -> None:
        """Put something into the audit, within such a transaction."""
        await self.people.audit.note(connection, by, action, what, before, after)

    async def without(self, connection: AsyncConnection, user: str) -> None:
        """Remove what a user has who is removed: somebody else of that name gets none of it."""
        theirs = applications.c.owner == user
        gone = (await connection.execute(select(applications.c.id).where(theirs))).scalars().all()
        await connection.execute(delete(applications).where(theirs))
        for each in gone:
            await self.notices.note(connection, "application", each)

    async def written(self, connection: AsyncConnection, made: Sequence[Made]) -> None:
        """Keep APIs that have subscriptions, and take these along when an API gets another name.

        Raises:
            InUse: an API with subscriptions would be gone, or a tier that somebody has.
        """
        if self.tiers_in is not None:
            await keep_tiers(connection, self.store, made, self.file, self.tiers_in)
        for each in made:
            for name, now in fates(each):
                if now is not None:
                    await self._move(connection, name, now)
                elif count := await self._count(connection, name):
                    have = "subscription has" if count == 1 else "subscriptions have"
                    message = f"{count} {have} the API {name}: retire it, and remove them before it"
                    raise InUse(APIS, name, message)

    @staticmethod
    async def _count(connection: AsyncConnection, api: str) -> int:
        count = select(func.count()).select_from(subscriptions).where(subscriptions.c.api == api)
        return (await connection.execute(count)).scalar_one()

    async def _move(self, connection: AsyncConnection, name: str, to: str) -> None:
        theirs = subscriptions.c.api == name
        found = (await connection.execute(select(subscriptions.c.application).where(theirs))).scalars().all()
        await connection.execute(update(subscriptions).where(theirs).values(api=to))
        for each in found:
            await self.notices.note(connection, "application", each)


def fates(made: Made) -> Iterator[tuple[str, str | None]]:
    """Give the names of APIs that are gone with a write, and the name that each of them has now: ``None`` for one that
    is no more. One that is put back in the same write is not gone.
    """
    both = zip(made.writing.changes, made.before, strict=True)
    of_apis = [(change, before) for change, before in both if change.kind == APIS]
    gone = [(change.name, before) for change, before in of_apis if change.body is None and before is not None]
    new = [(change.name, change.body) for change, before in of_apis if before is None and change.body]
    for name, body in gone:
        if name not in {to for to, _ in new}:
            renamed = [to for to, other in new if len(gone) == len(new) == 1 and _same(body, other)]
            yield name, renamed[0] if renamed else None


def _same(body: Any, other: Any) -> bool:
    """Whether two APIs differ in their names only."""
    return isinstance(body, dict) and isinstance(other, dict) and {**body, "name": ""} == {**other, "name": ""}


def new_id() -> str:
    """Return an id by chance."""
    return secrets.token_hex(16)


def a_name(kind: str, name: str) -> str:
    """Return a name that people give something.

    Raises:
        Refused: it is none.
    """
    plain = name == unicodedata.normalize("NFC", name) and name.isprintable() and name == name.strip()
    if not name or len(name) > LONGEST_NAME or not plain:
        message = f"{name[:50]!r} is no name: 1 to {LONGEST_NAME} printable characters, without blanks around"
        raise Refused(kind, name[:50], message)
    return name


_known: list[Register] = []
"""That of the store that is served."""


def register_of(store: Store) -> Register:
    """Return the register of a store, always the same one."""
    for each in _known:
        if each.store is store:
            return each
    _known[:] = [Register(store)]
    return _known[0]
