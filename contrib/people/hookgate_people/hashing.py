"""Passwords: Argon2id, a few at a time, and in threads of their own (RFC 9106)."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from hookgate_people.errors import TooMany

AT_ONCE = 2
"""Hashes that are computed at a time: each takes 64 MiB and about 0.2 s of a processor."""
WAITING = 32
"""Hashes that wait; whoever comes then is told to come again."""
SHORTEST = 12
LONGEST = 500
"""Characters of a password."""
REMEMBERED = 60.0
"""Seconds for which a password that was right needs no hashing: Basic shows it with every call."""
MOST_REMEMBERED = 1000

_pool = ThreadPoolExecutor(AT_ONCE, "hookgate-passwords")
_argon = PasswordHash((Argon2Hasher(),))


@cache
def _nobody() -> str:
    """Return a hash of what nobody knows: comparing with it takes as long as with somebody's."""
    return _argon.hash(secrets.token_hex(16))


class Passwords:
    """Makes hashes, and compares passwords with them."""

    def __init__(self) -> None:
        self._waiting = 0
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()

    async def hash(self, password: str) -> str:
        """Return the hash of a password.

        Raises:
            TooMany: too many wait for theirs.
        """
        return str(await self._run(_argon.hash, password))

    async def right(self, password: str, known: str | None) -> bool:
        """Whether a password is the one with that hash. ``None`` is nobody's, which takes as long.

        Raises:
            TooMany: too many wait.
        """
        good = bool(await self._run(_compare, password, known))
        if good and known is not None:
            self._right[self._mark(password, known)] = time.monotonic() + REMEMBERED
            while len(self._right) > MOST_REMEMBERED:
                self._right.popitem(last=False)
        return good

    def remembered(self, password: str, known: str) -> bool:
        """Whether a password was found right a short while ago."""
        return self._right.get(self._mark(password, known), 0.0) > time.monotonic()

    def _mark(self, password: str, known: str) -> bytes:
        return hmac.digest(self._key, f"{known}\0{password}".encode(errors="surrogatepass"), "sha256")

    async def _run(self, what: object, *given: object) -> object:
        if self._waiting >= AT_ONCE + WAITING:
            raise TooMany("too many logins at a time", 5.0)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(_pool, what, *given)  # type: ignore[arg-type]
        finally:
            self._waiting -= 1


def _compare(password: str, known: str | None) -> bool:
    nobody = _nobody()  # made for whoever comes first, whether we know them or not
    good = _argon.verify(password, known or nobody)
    return good and known is not None


def new_password() -> str:
    """Make a password of 128 bits, in four groups that can be read out."""
    return "-".join(secrets.token_hex(4) for _ in range(4))
