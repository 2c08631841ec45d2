"""The store: objects of kinds, and a ledger of what was changed when by whom.

A write is one transaction: its changes, and one generation with a number without gaps, author, time, comment and a
digest over all objects. Whoever serves what is stored compares the digest, and says how far it has come.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import and_, delete, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_storage import digest as digests
from hookgate_storage.database import ASIDE_LOCK, Database
from hookgate_storage.errors import Missing, Moved, Refused, SealBroken, StoreError
from hookgate_storage.sealing import Keys
from hookgate_storage.tables import changes, facts, generations, nodes, objects
from hookgate_storage.things import EMPTY, Change, Generation, Made, Node, Object, Whole, Writing
from hookgate_storage.turns import Turn
from hookgate_storage.writing import Recording, checked

MOST_CHANGES = 10_000
"""Changes in one write."""
ALIVE = 15.0
"""Seconds for which a node counts as alive after it was heard of."""
CHANNEL = "hookgate"
"""On PostgreSQL, where a number is told for each generation."""

Watcher = Callable[[AsyncConnection, Sequence[Made]], Awaitable[None]]
"""Is told of writes within their transaction."""
Users = Callable[[str, str], Awaitable[Sequence[tuple[str, str]]]]
"""Returns what uses an object, by its kind and name, beside other objects: kinds and names."""


@dataclass
class Store:
    """A store in one database. Open it with :func:`open_store`."""

    database: Database
    keys: Keys
    secret: bytes = field(repr=False, default=b"")
    """The key of the digest."""
    clock: Callable[[], float] = time.time
    _held: Whole | None = field(default=None, repr=False)
    """What was read last."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    written: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when this process has written something; a reader clears it."""
    prune_at: float = 0.0
    """When this process looks for what is old next, in seconds of the monotonic clock."""
    watchers: dict[str, Watcher] = field(default_factory=dict, repr=False)
    """Told of each write, by a name of their own; what one raises undoes the write."""
    users: dict[str, Users] = field(default_factory=dict, repr=False)
    """Asked for what uses an object, by a name of their own."""

    async def head(self) -> Generation:
        """Return the newest generation."""
        async with self.database.transaction() as connection:
            return await self._head(connection)

    async def get(self, kind: str, name: str) -> Object | None:
        """Return an object."""
        async with self.database.transaction() as connection:
            found = await connection.execute(select(objects).where(objects.c.kind == kind, objects.c.name == name))
            row = found.first()
            return None if row is None else self._object(row)

    async def page(self, kind: str, after: str = "", limit: int = 100) -> list[Object]:
        """Return objects of a kind in the order of their names, those behind a name."""
        wanted = select(objects).where(objects.c.kind == kind, objects.c.name > after)
        async with self.database.transaction() as connection:
            found = await connection.execute(wanted.order_by(objects.c.name).limit(limit))
            return [self._object(row) for row in found]

    async def bodies(self, connection: AsyncConnection, kind: str) -> dict[str, Any]:
        """Return the bodies of a kind by name, within a transaction."""
        found = await connection.execute(select(objects).where(objects.c.kind == kind))
        return {row.name: self._object(row).body for row in found}

    async def whole(self) -> Whole:
        """Return everything. It is checked against the digest of its generation.

        Raises:
            StoreError: what is there is not what was written.
        """
        async with self.database.transaction() as connection:
            head = await self._head(connection)
            found = await connection.execute(select(objects).order_by(objects.c.kind, objects.c.name))
            rows = found.all()
        held, total = [], 0
        for number, row in enumerate(rows):
            plain = self.keys.open(row.sealed, f"{row.kind}/{row.name}")
            total += digests.share(self.secret, row.kind, row.name, row.version, plain)
            held.append(Object(row.kind, row.name, orjson.loads(plain), row.version, row.generation, row.shape))
            if number % 100 == 99:
                await asyncio.sleep(0)  # calls are served meanwhile
        if (digests.shown(total), len(held)) != (head.digest, head.count):
            raise StoreError(
                f"the store {self.database.shown} does not hold what generation {head.number} says: "
                "restore a backup, or write the objects anew"
            )
        return Whole(head, tuple(held))

    async def current(self) -> Whole:
        """Return everything, as :meth:`whole` does; read are only the changes since the last time. What they come to is
        compared with the digest, and where it differs, everything is read anew.
        """
        async with self._turn:
            held = self._held
            if held is None:
                held = self._held = await self.whole()
            head, rows = await self._since(held.generation.number)
            if (head.number, head.digest) == (held.generation.number, held.generation.digest):
                return held
            made = await asyncio.to_thread(self._applied, held, head, rows)  # calls are served meanwhile
            if made is None:
                made = await self.whole()
            self._held = made
            return made

    async def _since(self, number: int) -> tuple[Generation, Sequence[Any]]:
        async with self.database.transaction() as connection:
            head = await self._head(connection)
            asked = select(changes).where(changes.c.generation > number)
            found = await connection.execute(asked.order_by(changes.c.generation, changes.c.ordinal))
            return head, found.mappings().all()

    def _applied(self, held: Whole, head: Generation, rows: Sequence[Any]) -> Whole | None:
        """Apply changes; ``None`` where the result is not what the ledger says."""
        there = {(each.kind, each.name): each for each in held.objects}
        total = int(held.generation.digest, 16)
        for row in rows:
            key = row["kind"], row["name"]
            if (old := there.pop(key, None)) is not None:
                plain = digests.canonical(old.body)
                total -= digests.share(self.secret, *key, old.version, plain)
            if row["sealed"] is not None:
                total += self._share(row)
                body = orjson.loads(self.keys.open(row["sealed"], "/".join(key)))
                there[key] = Object(*key, body, row["version"], row["generation"], row["shape"])
        if (digests.shown(total), len(there)) != (head.digest, head.count):
            return None
        return Whole(head, tuple(there[key] for key in sorted(there)))

    async def history(
        self, kind: str | None = None, name: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[tuple[Generation, tuple[Change, ...]]]:
        """Return generations, the newest first, with their changes: all, or those of a kind or an object."""
        wanted = [column == value for column, value in ((changes.c.kind, kind), (changes.c.name, name)) if value]
        numbers = select(generations).order_by(generations.c.number.desc()).limit(limit)
        if wanted:
            numbers = numbers.where(generations.c.number.in_(select(changes.c.generation).where(and_(*wanted))))
        if before is not None:
            numbers = numbers.where(generations.c.number < before)
        async with self.database.transaction() as connection:
            heads = [Generation(*row) for row in await connection.execute(numbers)]
            listed = select(changes).where(changes.c.generation.in_([head.number for head in heads]), *wanted)
            found = (await connection.execute(listed.order_by(changes.c.generation, changes.c.ordinal))).all()
        return [(head, tuple(self._change(row) for row in found if row.generation == head.number)) for head in heads]

    async def at(self, number: int) -> tuple[Object, ...]:
        """Return all objects as they were at a generation.

        Raises:
            Missing: there is no such generation.
        """
        async with self.database.transaction() as connection:
            head = await self._head(connection)
            if not 0 <= number <= head.number:
                raise Missing(
                    "generation", str(number), f"there is no generation {number}; {head.number} is the newest"
                )
            oldest = (await connection.execute(select(func.min(generations.c.number)))).scalar() or 0
            if 0 < number < oldest:
                message = f"generation {number} is not kept any more; {oldest} is the oldest"
                raise Missing("generation", str(number), message)
            listed = select(changes).where(changes.c.generation <= number)
            found = await connection.stream(listed.order_by(changes.c.generation, changes.c.ordinal))
            held: dict[tuple[str, str], Any] = {}
            async for row in found:
                held[row.kind, row.name] = row
        return tuple(
            Object(row.kind, row.name, self._change(row).body, row.version, row.generation, row.shape)
            for _, row in sorted(held.items())
            if row.sealed is not None
        )

    async def write(
        self,
        wanted: Sequence[Change],
        author: str,
        comment: str = "",
        ground: int | None = None,
        also: Mapping[str, Any] | None = None,
        within: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> Generation:
        """Store changes: all of them, or none. ``ground`` is the generation that they were checked against. ``also``
        are facts that are told with them, ``within`` does something else in the same transaction.

        Raises:
            Exists: an object that must not be there is.
            Missing: an object that is to be removed, or has to have a version, is not there.
            Stale: an object has another version, or there is a generation after the ``ground``.
            Refused: a name or a body is none, or too long.
            StoreError: the store cannot be written; nothing is.
        """
        made = await self.write_all([Writing(wanted, author, comment, also, within)], ground)
        return made[0].generation

    async def write_all(self, wanted: Sequence[Writing], ground: int | None = None) -> list[Made]:
        """Store several writes in one transaction, each as a generation of its own: all of them, or none.

        Raises:
            Exists, Missing, Stale, Moved, Refused, StoreError: as :meth:`write` does.
        """
        bodies = [[checked(change) for change in each.changes] for each in wanted]
        for each in wanted:
            if not 0 < len(each.changes) <= MOST_CHANGES:
                raise Refused("", "", f"one write has between 1 and {MOST_CHANGES} changes")
        more = sum(map(len, bodies)) / 500
        async with self.database.transaction(writes=True, more=more) as connection:
            head = await self._head(connection)
            if ground is not None and head.number != ground:
                raise Moved("", "", f"generation {head.number} came in between")
            made = await Recording(self.keys, self.secret, self.clock()).run(connection, head, wanted, bodies)
            for each in wanted:
                await self.tell_within(connection, each.also or {})
                if each.within is not None:
                    await each.within(connection)
            for watcher in self.watchers.values():
                await watcher(connection, made)
            if not self.database.is_sqlite:
                hint = {"channel": CHANNEL, "number": str(made[-1].generation.number)}
                await connection.execute(text("SELECT pg_notify(:channel, :number)"), hint)
        self.written.set()
        return made

    def aside(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Run statements in one transaction that writes, and holds up nobody who writes objects.

        Raises:
            StoreError: the store cannot be written.
        """
        return self.database.transaction(writes=True, lock=ASIDE_LOCK)

    @asynccontextmanager
    async def turn(self, seconds: float) -> AsyncIterator[None]:
        """Be the only one who holds a turn among all processes that write, for at most so many seconds. On SQLite there
        are none: who writes there holds up everybody.

        A turn spares others work that would be for nothing; what is stored is safe without it. So it goes to the next
        as soon as its holder cannot be heard, and who has lost one carries on.

        Raises:
            StoreError: it cannot be had in time, or the store is away.
        """
        if self.database.is_sqlite:
            yield
            return
        turn = Turn()
        holding = asyncio.create_task(turn.hold(self.database, seconds), name="storage: turn")
        try:
            await asyncio.wait([holding, turn.had], return_when=asyncio.FIRST_COMPLETED)
            if not turn.had.done():
                await holding
            yield
        finally:
            await turn.end(holding)

    async def tell(self, told: Mapping[str, Any]) -> None:
        """Keep facts about what is stored, by name: anything that JSON can say. They are no generation."""
        async with self.database.transaction(writes=True) as connection:
            await self.tell_within(connection, told)

    async def told(self, prefix: str) -> dict[str, Any]:
        """Return the facts whose names begin so."""
        wanted = select(facts).where(facts.c.name.startswith(prefix, autoescape=True))
        async with self.database.transaction() as connection:
            found = (await connection.execute(wanted)).all()
        return {row.name: orjson.loads(self.keys.open(row.sealed, f"facts/{row.name}")) for row in found}

    async def tell_within(self, connection: AsyncConnection, told: Mapping[str, Any]) -> None:
        """Keep facts within a transaction that writes."""
        for name, value in told.items():
            sealed = self.keys.seal(orjson.dumps(value), f"facts/{name}")
            await connection.execute(delete(facts).where(facts.c.name == name))
            await connection.execute(insert(facts).values(name=name, sealed=sealed))

    def _share(self, row: Any) -> int:
        """Return what a row that is stored adds to the digest."""
        plain = self.keys.open(row["sealed"], f"{row['kind']}/{row['name']}")
        return digests.share(self.secret, row["kind"], row["name"], row["version"], plain)

    @staticmethod
    async def _head(connection: AsyncConnection) -> Generation:
        row = (await connection.execute(select(generations).order_by(generations.c.number.desc()).limit(1))).first()
        return EMPTY if row is None else Generation(*row)

    def _object(self, row: Any) -> Object:
        body = orjson.loads(self.keys.open(row.sealed, f"{row.kind}/{row.name}"))
        return Object(row.kind, row.name, body, row.version, row.generation, row.shape)

    def _change(self, row: Any) -> Change:
        body = None if row.sealed is None else orjson.loads(self.keys.open(row.sealed, f"{row.kind}/{row.name}"))
        return Change(row.kind, row.name, body, row.shape, row.version)

    # --- what nodes serve -------------------------------------------------------------------------------------------

    async def acknowledge(self, node: str, generation: Generation, rejected: Iterable[dict[str, str]] = ()) -> None:
        """Say what a node serves, and that it is alive."""
        told = {
            "generation": generation.number,
            "digest": generation.digest,
            "rejected": orjson.dumps(list(rejected)).decode(),
            "seen": self.clock(),
        }
        async with self.aside() as connection:
            done = await connection.execute(update(nodes).where(nodes.c.node == node).values(**told))
            if not done.rowcount:
                await connection.execute(insert(nodes).values(node=node, **told))

    async def leave(self, node: str) -> None:
        """Say that a node has ended."""
        async with self.aside() as connection:
            await connection.execute(delete(nodes).where(nodes.c.node == node))

    async def nodes(self) -> list[Node]:
        """Return the nodes that are alive."""
        async with self.database.transaction() as connection:
            wanted = select(nodes).where(nodes.c.seen > self.clock() - ALIVE).order_by(nodes.c.node)
            found = (await connection.execute(wanted)).all()
        return [
            Node(row.node, row.generation, row.digest, tuple(orjson.loads(row.rejected)), row.seen) for row in found
        ]

    async def live(self, number: int, patience: float, pause: float = 0.1) -> list[Node]:
        """Wait until every node that is alive has come to a generation, for at most so many seconds; return them all.

        Those that have not come so far tell so by their ``generation``.
        """
        until = time.monotonic() + patience
        while True:
            found = await self.nodes()
            if all(node.generation >= number for node in found) or time.monotonic() >= until:
                return found
            await asyncio.sleep(pause)

    async def reseal(self) -> AsyncIterator[int]:
        """Seal everything with the key in use, some at a time; gives how many were."""
        for table in (objects, changes, facts):
            keys = list(table.primary_key)
            after: tuple[Any, ...] | None = None
            while True:
                wanted = select(table).order_by(*keys).limit(500)
                if after is not None:
                    wanted = wanted.where(_behind(keys, after))
                async with self.database.transaction(writes=True) as connection:
                    rows = (await connection.execute(wanted)).all()
                    done = 0
                    for row in rows:
                        place = f"facts/{row.name}" if table is facts else f"{row.kind}/{row.name}"
                        if row.sealed is not None and not self.keys.is_current(row.sealed):
                            sealed = self.keys.seal(self.keys.open(row.sealed, place), place)
                            here = and_(*(key == getattr(row, key.name) for key in keys))
                            await connection.execute(update(table).where(here).values(sealed=sealed))
                            done += 1
                if not rows:
                    break
                yield done
                after = tuple(getattr(rows[-1], key.name) for key in keys)

    async def close(self) -> None:
        """Let go of the database."""
        await self.database.close()


async def open_store(url: str, keys: Keys) -> Store:
    """Open a store whose tables are there.

    Raises:
        StoreError: the database cannot be reached, has no tables or those of another version, or another key.
    """
    from hookgate_storage.upgrading import check_version

    database = Database(url)
    try:
        await check_version(database)
        store = Store(database, keys)
        async with database.transaction(writes=True) as connection:
            row = (await connection.execute(select(facts).where(facts.c.name == "digest"))).first()
            if row is None:
                store.secret = secrets.token_bytes(32)
                sealed = keys.seal(store.secret, "facts/digest")
                await connection.execute(insert(facts).values(name="digest", sealed=sealed))
            else:
                store.secret = _digest_key(keys, row.sealed, database)
    except BaseException:
        await database.close()
        raise
    return store


def _digest_key(keys: Keys, sealed: bytes, database: Database) -> bytes:
    try:
        return keys.open(sealed, "facts/digest")
    except SealBroken:
        raise SealBroken(f"the key that is given is not the key of the store {database.shown}") from None


def _behind(keys: list[Any], after: tuple[Any, ...]) -> Any:
    """Compare several columns as one, as a list of alternatives: not every database has rows to compare."""
    ways = [
        and_(*(before == value for before, value in zip(keys[:index], after, strict=False)), key > after[index])
        for index, key in enumerate(keys)
    ]
    return or_(*ways)
