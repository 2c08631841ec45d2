"""Tokens and codes in the store: issued, found, used up and ended (RFC 6749, RFC 9700)."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_keymanager.clients import Client, client_of, hash_of
from hookgate_keymanager.ending import Endings
from hookgate_keymanager.extending import Use
from hookgate_keymanager.logins import Login
from hookgate_keymanager.tables import clients, codes, refresh, tokens
from hookgate_storage import Keys, Store

ACCESS = "hga_"
REFRESH = "hgr_"
CODE = "hgc_"
"""How each begins, so that a scanner for secrets finds one that has got into the wrong place."""
LONGEST = 200
"""Characters of an opaque token that is looked for: ours have 47."""
LONGEST_SIGNED = 8192
"""Characters of a signed one."""


class UsedTwice(Exception):
    """A refresh token or a code has been used before; what came of it has ended."""


@dataclass(frozen=True, slots=True)
class Access:
    """An access token as it is kept, with its client."""

    client: Client
    user: str | None
    scope: str
    family: str | None
    made: float
    ends: float | None
    grant_type: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Claims of other systems."""

    def check_client(self, client: Client) -> bool:
        """Whether it was issued to that client."""
        return client.client_id == self.client.client_id


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh token as it is kept."""

    hash: bytes
    client_id: str
    user: str
    scope: str
    family: str
    made: float
    ends: float
    used: bool
    grant_type: str | None = None
    auth_time: float | None = None

    @property
    def login(self) -> Login | None:
        """The login that it came of; what a client wanted to find then is not said again (Core, 12.2)."""
        return None if self.auth_time is None else Login(self.auth_time)

    def check_client(self, client: Client) -> bool:
        """Whether it was issued to that client."""
        return client.client_id == self.client_id

    def get_scope(self) -> str:
        """Return what it was issued for."""
        return self.scope


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code as it is kept."""

    hash: bytes
    client_id: str
    user: str
    scope: str
    redirect_uri: str
    written: bool
    challenge: str
    family: str
    ends: float
    used: bool
    login: Login | None = None
    code_challenge_method = "S256"

    @property
    def code_challenge(self) -> str:
        """What the verifier hashes to (RFC 7636)."""
        return self.challenge

    def get_redirect_uri(self) -> str | None:
        """Return where it was sent, if the request has said so."""
        return self.redirect_uri if self.written else None

    def get_scope(self) -> str:
        """Return what the user has agreed to."""
        return self.scope


@dataclass(frozen=True, slots=True)
class Issued:
    """What is issued together."""

    client: Client
    user: str | None
    scope: str
    access: str
    ends: float | None
    refresh: str = ""
    refresh_ends: float = 0.0
    using: Refresh | Code | None = None
    """What it is issued for, and which is used up by it."""
    grant_type: str | None = None
    """How somebody got it first: what came of a refresh token says what the first token said."""
    key: str | None = None
    """The key that has signed it, or the ID token that comes with it."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Claims of other systems."""
    use: Use | None = None
    """What another grant uses up by it."""
    family: str | None = None
    """What another grant wants to end together."""
    login: Login | None = None


class Issuing:
    """Writes and reads tokens."""

    def __init__(self, store: Store, endings: Endings) -> None:
        self._store, self._database, self._endings = store, store.database, endings
        self._sealing = Keys([hmac.digest(store.secret, b"hookgate keymanager claims", "sha256")])

    async def keep(self, issued: Issued) -> None:
        """Keep what was issued, and use up what it was issued for: both, or neither.

        Raises:
            UsedTwice: somebody was faster; nothing was issued, and the family has ended.
        """
        using = issued.using
        family = issued.family or secrets.token_hex(16) if using is None else using.family
        uses = using is not None or issued.use is not None
        context = self._endings.transaction() if uses else self._database.transaction(writes=True)
        first = True
        async with context as connection:
            if issued.use is not None:
                first = await issued.use(connection)
            elif using is not None:
                table = refresh if isinstance(using, Refresh) else codes
                mine = update(table).where(table.c.hash == using.hash, table.c.used.is_(False)).values(used=True)
                first = bool((await connection.execute(mine)).rowcount)
            if first:
                await self._insert(connection, issued, family)
            else:
                await self._end_family(connection, family)
        if not first:
            await self._endings.look()
            raise UsedTwice

    async def _insert(self, connection: AsyncConnection, issued: Issued, family: str) -> None:
        both: dict[str, Any] = {"client": issued.client.client_id, "user": issued.user, "scope": issued.scope}
        both |= {"made": self._store.clock()}
        kept = None if issued.user is None else family
        both |= {"grant_type": issued.grant_type}
        mark = hash_of(issued.access)
        sealed = self._sealing.seal(orjson.dumps(issued.more), mark.hex()) if issued.more else None
        row = {"hash": mark, "family": kept, "ends": issued.ends, "key": issued.key, "sealed": sealed, **both}
        await connection.execute(insert(tokens).values(row))
        if issued.refresh:
            row = {"hash": hash_of(issued.refresh), "family": family, "ends": issued.refresh_ends, **both}
            at = None if issued.login is None else issued.login.at
            await connection.execute(insert(refresh).values(row | {"used": False, "auth_time": at}))

    async def access(self, text: str) -> Access | None:
        """Return an access token that has not ended.

        A signed one is looked up as another one is: that we have issued it says more than its signature, and what is
        ended is gone at once.
        """
        if not looks_issued(text):
            return None
        mark = hash_of(text)
        wanted = select(tokens, *(each.label(f"c_{each.name}") for each in clients.c))
        wanted = wanted.join(clients, clients.c.id == tokens.c.client).where(tokens.c.hash == mark)
        async with self._database.transaction(snapshot=False) as connection:
            row = (await connection.execute(wanted)).first()
        if row is None or (row.ends is not None and row.ends <= self._store.clock()):
            return None
        client = client_of(_Named(row))
        more = {} if row.sealed is None else orjson.loads(self._sealing.open(row.sealed, mark.hex()))
        return Access(client, row.user, row.scope, row.family, row.made, row.ends, row.grant_type, more)

    async def refreshing(self, text: str) -> Refresh | None:
        """Return a refresh token that has not ended, whether or not it was used."""
        if not text.startswith(REFRESH) or len(text) > LONGEST:
            return None
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(refresh).where(refresh.c.hash == hash_of(text)))).first()
        if row is None or row.ends <= self._store.clock():
            return None
        times = row.made, row.ends
        how = row.used, row.grant_type, row.auth_time
        return Refresh(row.hash, row.client, row.user, row.scope, row.family, *times, *how)

    async def code(self, text: str) -> Code | None:
        """Return a code that has not ended, whether or not it was used."""
        if not text.startswith(CODE) or len(text) > LONGEST:
            return None
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(codes).where(codes.c.hash == hash_of(text)))).first()
        if row is None or row.ends <= self._store.clock():
            return None
        place = row.redirect_uri, row.written
        login = None if row.auth_time is None else Login(row.auth_time, row.nonce or "")
        how = row.challenge, row.family, row.ends, row.used
        return Code(row.hash, row.client, row.user, row.scope, *place, *how, login)

    async def keep_code(
        self,
        client: Client,
        user: str,
        scope: str,
        redirect_uri: str,
        challenge: str,
        seconds: float,
        login: Login,
        *,
        written: bool,
    ) -> str:
        """Issue a code, and return it."""
        text = CODE + secrets.token_urlsafe(32)
        row = {
            "hash": hash_of(text),
            "client": client.client_id,
            "user": user,
            "scope": scope,
            "redirect_uri": redirect_uri,
            "written": written,
            "challenge": challenge,
            "family": secrets.token_hex(16),
            "ends": self._store.clock() + seconds,
            "used": False,
            "auth_time": login.at,
            "nonce": login.nonce or None,
        }
        async with self._database.transaction(writes=True) as connection:
            await connection.execute(insert(codes).values(row))
        return text

    async def end(self, text: str) -> None:
        """End a token; with a refresh token all that came of the same login (RFC 7009, 2.1)."""
        mark = hash_of(text)
        async with self._endings.transaction() as connection:
            row = (await connection.execute(select(refresh.c.family).where(refresh.c.hash == mark))).first()
            if row is not None:
                await self._end_family(connection, row.family)
            elif (await connection.execute(delete(tokens).where(tokens.c.hash == mark))).rowcount:
                await self._endings.note(connection, "token", mark.hex())
        await self._endings.look()

    async def end_family(self, family: str) -> None:
        """End all tokens that came of one login."""
        async with self._endings.transaction() as connection:
            await self._end_family(connection, family)
        await self._endings.look()

    async def _end_family(self, connection: AsyncConnection, family: str) -> None:
        gone = 0
        for table in (tokens, refresh):
            gone += (await connection.execute(delete(table).where(table.c.family == family))).rowcount
        if gone:
            await self._endings.note(connection, "family", family)


def looks_issued(text: str) -> bool:
    """Whether a text may be an access token of ours: nothing else is asked for."""
    if text.startswith(ACCESS):
        return len(text) <= LONGEST
    return text.startswith("eyJ") and text.count(".") == 2 and len(text) <= LONGEST_SIGNED


class _Named:
    """The columns of the client in a row of both tables."""

    def __init__(self, row: Any) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, f"c_{name}")
