"""Nonces that we know again without having kept them, and which of their counts have been used (RFC 7616, 5.4, 5.5)."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Literal

_STAMP = 8
_RANDOM = 8
_SEAL = 16
_WINDOW = 64
"""Counts below the highest one that may still come, since calls overtake each other on several connections."""
_AHEAD = 60_000_000
"""Microseconds that a nonce may be ahead of our clock, for clocks of several gateways with one key."""

Finding = Literal["fresh", "stale", "replayed"]


class Nonces:
    """Makes nonces and judges those that come back.

    A nonce is the time it was made at, some random bytes, and a seal over both, so none is kept when it is given out.
    What is kept is which counts were used with a nonce, and only after the caller has proved to know a password. There
    is room for ``capacity`` of these; when one has to go, all that were made before it are stale from then on, so that
    nothing is let in twice.
    """

    def __init__(self, key: bytes, lifetime: float, capacity: int) -> None:
        self._key = key
        self._lifetime = int(lifetime * 1_000_000)
        self._capacity = capacity
        self._used: dict[str, _Counts] = {}
        self._floor = -1
        """Nonces made up to this time count as stale unless they are known, in microseconds."""

    def make(self, wall: float) -> str:
        """Return a new nonce; ``wall`` is the Unix time in seconds."""
        body = int(wall * 1_000_000).to_bytes(_STAMP, "big") + secrets.token_bytes(_RANDOM)
        return urlsafe_b64encode(body + self._seal(body)).decode()

    def use(self, nonce: str, count: int, wall: float) -> Finding:
        """Note that a count was used. Call it only when the credentials are right in every other respect."""
        made = self._made(nonce)
        now = int(wall * 1_000_000)
        if made is None or not now - self._lifetime <= made <= now + _AHEAD:
            return "stale"
        counts = self._used.get(nonce)
        if counts is None:
            if made <= self._floor:
                return "stale"
            self._make_room(now)
            counts = self._used[nonce] = _Counts(made)
        return counts.use(count)

    def _seal(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, sha256)[:_SEAL]

    def _made(self, nonce: str) -> int | None:
        """Return when a nonce of ours was made, in microseconds; ``None`` if it is not ours."""
        try:
            raw = urlsafe_b64decode(nonce.encode("ascii"))
        except ValueError:
            return None
        body, seal = raw[: _STAMP + _RANDOM], raw[_STAMP + _RANDOM :]
        if not hmac.compare_digest(seal, self._seal(body)) or urlsafe_b64encode(raw).decode() != nonce:
            return None  # the second: one nonce has one spelling, or it could be used once in each
        return int.from_bytes(body[:_STAMP], "big")

    def _make_room(self, now: int) -> None:
        """Forget those that have expired, from the one used first on; and one more if there is no room still."""
        while self._used:
            nonce, counts = next(iter(self._used.items()))
            expired = counts.made < now - self._lifetime
            if not expired and len(self._used) < self._capacity:
                return
            del self._used[nonce]
            if not expired:
                self._floor = max(self._floor, counts.made)


class _Counts:
    """Which counts of one nonce were used: the highest, and a bit for each of those right below it."""

    __slots__ = ("_bits", "_highest", "made")

    def __init__(self, made: int) -> None:
        self.made = made
        self._highest = 0
        self._bits = 0

    def use(self, count: int) -> Finding:
        below = self._highest - count
        if below < 0:
            self._bits = (self._bits << -below | 1) & ((1 << _WINDOW) - 1) if -below < _WINDOW else 1
            self._highest = count
            return "fresh"
        if below >= _WINDOW:
            return "stale"
        if self._bits >> below & 1:
            return "replayed"
        self._bits |= 1 << below
        return "fresh"
