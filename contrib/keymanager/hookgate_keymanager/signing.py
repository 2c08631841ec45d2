"""Signing access tokens (RFC 9068) and ID tokens: key pairs in the store, of which the newest signs.

A pair is made when the first token is to be signed, and another one when the newest is old enough or somebody asks for
it; of several nodes one makes it, and all sign with it from then on. What is kept of a pair is sealed with a key that
comes from the store's, as second factors are.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key
from sqlalchemy import and_, delete, func, insert, or_, select

from hookgate.jose import Registry
from hookgate_keymanager.ending import Endings
from hookgate_keymanager.records import SigningRecord
from hookgate_keymanager.tables import keys, tokens
from hookgate_storage import Keys, Store

TYPE = "at+jwt"
LONGEST = 8000
"""Characters of a token, so that it fits into what others take as a header."""
_MAKE: Mapping[str, Callable[[], Key]] = {
    "RS256": lambda: RSAKey.generate_key(2048, private=True),
    "PS256": lambda: RSAKey.generate_key(2048, private=True),
    "ES256": lambda: ECKey.generate_key("P-256", private=True),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519", private=True),
}


class Signer(NamedTuple):
    """What a token is signed with."""

    kid: str
    algorithm: str
    key: Key


class TooLong(Exception):
    """What a token would say does not fit into one."""


class Signing:
    """Makes key pairs, signs, and tells the public halves."""

    def __init__(self, store: Store, endings: Endings, record: SigningRecord) -> None:
        self._store, self._database, self._endings, self._record = store, store.database, endings, record
        self._sealing = Keys([hmac.digest(store.secret, b"hookgate keymanager keys", "sha256")])
        self._opened: Signer | None = None
        """The pair that was used last."""
        self._making = asyncio.Lock()
        self._shown: dict[str, dict[str, Any]] = {}
        """Public halves that were shown, by their ids."""

    async def sign(self, claims: Mapping[str, Any], kind: str = TYPE) -> tuple[str, str]:
        """Return a signed token, and the id of its key. It gets a ``jti`` of its own; ``kind`` is its ``typ``, so that
        none is taken for one of another kind.

        Raises:
            TooLong: there are too many claims.
            StoreError: the store is away.
        """
        signer = await self.signer()
        header = {"typ": kind, "alg": signer.algorithm, "kid": signer.kid}
        payload = json.dumps({**claims, "jti": secrets.token_urlsafe(16)}, separators=(",", ":")).encode()
        text = jws.serialize_compact(header, payload, signer.key, registry=Registry((signer.algorithm,)))
        if len(text) > LONGEST:
            raise TooLong
        return text, signer.kid

    async def signer(self) -> Signer:
        """Return what signs now; if there is none, or it is too old or of another algorithm, a new one."""
        row = await self._newest()
        if row is None or self._is_over(row):
            async with self._making:  # who comes meanwhile waits for this pair, and makes none
                row = await self._newest()
                if row is None or self._is_over(row):
                    row = await self._made(self._record.algorithm, lambda last: last is None or self._is_over(last))
        return self._open(row)

    async def public(self) -> list[dict[str, Any]]:
        """Return the public halves: of the pair that signs, and of those before it by which a token is signed that is
        good."""
        good = or_(tokens.c.ends.is_(None), tokens.c.ends > self._store.clock())
        signs = select(tokens.c.hash).where(and_(tokens.c.key == keys.c.id, good)).exists()
        newest = select(func.max(keys.c.number)).scalar_subquery()
        wanted = select(keys).where(or_(keys.c.number == newest, signs)).order_by(keys.c.number.desc())
        async with self._database.transaction() as connection:
            rows = (await connection.execute(wanted)).all()
        known = self._shown
        self._shown = {row.id: known[row.id] if row.id in known else self._public(row) for row in rows}
        return [*self._shown.values()]

    async def rotate(self, *, end: bool = False) -> str:
        """Make a new pair, and return its id. ``end`` ends every token that another one has signed, for one that
        somebody has stolen."""
        newest = await self._newest()
        row = await self._made(self._record.algorithm if newest is None else newest.algorithm, lambda _: True)
        if end:
            async with self._endings.transaction() as connection:
                gone = and_(tokens.c.key.is_not(None), tokens.c.key != row.id)
                await connection.execute(delete(tokens).where(gone))
                await connection.execute(delete(keys).where(keys.c.id != row.id))
                await self._endings.note(connection, "all", "")
            await self._endings.look()
        return str(row.id)

    def _is_over(self, row: Any) -> bool:
        of_another: bool = row.algorithm != self._record.algorithm
        return of_another or row.made + self._record.age <= self._store.clock()

    async def _newest(self) -> Any:
        async with self._database.transaction() as connection:
            return (await connection.execute(select(keys).order_by(keys.c.number.desc()).limit(1))).first()

    async def _made(self, algorithm: str, wanted: Callable[[Any], bool]) -> Any:
        """Make a pair, unless somebody was faster and none is wanted any more; return the newest."""
        made = await asyncio.to_thread(_MAKE[algorithm])  # RSA takes long enough to be seen by calls
        plain = orjson.dumps(made.as_dict(private=True))
        newest = select(keys).order_by(keys.c.number.desc()).limit(1)
        async with self._endings.transaction() as connection:
            row = (await connection.execute(newest)).first()
            if wanted(row):
                kid = made.thumbprint()
                told = {"id": kid, "number": 1 if row is None else row.number + 1, "algorithm": algorithm}
                told |= {"sealed": self._sealing.seal(plain, f"keys/{kid}"), "made": self._store.clock()}
                await connection.execute(insert(keys).values(told))
                row = (await connection.execute(newest)).first()
        return row

    def _open(self, row: Any) -> Signer:
        if self._opened is None or self._opened.kid != row.id:
            self._opened = Signer(row.id, row.algorithm, self._key(row))
        return self._opened

    def _public(self, row: Any) -> dict[str, Any]:
        shown = self._key(row).as_dict(private=False)
        return {**shown, "kid": row.id, "use": "sig", "alg": row.algorithm}

    def _key(self, row: Any) -> Key:
        return import_key(orjson.loads(self._sealing.open(row.sealed, f"keys/{row.id}")))
