"""Which nonces a caller has used, in bounded memory."""

from hashlib import blake2b
from typing import Literal

from hookgate import Fault, ServiceUnavailable, Unauthorized

Found = Literal["new", "seen", "stale", "full"]


class Nonces:
    """Nonces that one caller has used, by the second of their timestamps.

    At most `limit` are kept, each in 16 bytes whatever its length. When there are more, those with the oldest
    timestamp go, and from then on requests with that timestamp or an older one are refused: what is forgotten cannot be
    replayed, and a caller whose clock is right hardly notices.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used: dict[int, set[bytes]] = {}
        self._count = 0
        self.open_from = 0
        """Timestamps before this one are refused, since their nonces may be forgotten."""

    def __len__(self) -> int:
        return self._count

    def use(self, timestamp: int, nonce: str, oldest: int) -> Found:
        """Note a nonce. What was used with a timestamp before `oldest`, which nobody accepts any more, is forgotten.

        Returns:
            `new` if it may be used, `seen` if it was used already, `stale` if its timestamp is one whose nonces are
            forgotten, and `full` if there is no room and no older timestamp to give up.
        """
        while self._used and (first := min(self._used)) < oldest:
            self._count -= len(self._used.pop(first))
        if timestamp < self.open_from:
            return "stale"
        used = self._used.get(timestamp, ())
        digest = blake2b(nonce.encode("utf-8", "surrogateescape"), digest_size=16).digest()
        if digest in used:
            return "seen"
        if self._count >= self._limit:
            first = min(self._used)
            if timestamp <= first:
                return "full"
            self._count -= len(self._used.pop(first))
            self.open_from = first + 1
        self._used.setdefault(timestamp, set()).add(digest)
        self._count += 1
        return "new"


def refusal_of(found: Found, stale: str) -> Fault:
    """Return the fault for a request whose nonce was not ``new``; ``stale`` is the text for one that is too old."""
    if found == "full":
        return ServiceUnavailable(
            "There are more requests at once than can be told from replays; try again in a second.",
            reason="nonces-used-up",
            headers={"Retry-After": "1"},
        )
    if found == "stale":
        return Unauthorized(stale, reason="stale-timestamp")
    return Unauthorized("This request was there before; sign it anew.", reason="replayed")
