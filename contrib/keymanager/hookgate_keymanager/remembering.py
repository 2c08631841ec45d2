"""What is remembered of tokens: the good ones and, apart and for a shorter time, those that are none (KC-8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hookgate import Cache, Host
from hookgate_keymanager.records import CacheRecord

MOST_ENDED = 10_000


@dataclass(frozen=True, slots=True)
class Good:
    """What a good token says, as it was told by a key manager."""

    said: Mapping[str, Any]
    asked: int
    """How many endings had been told when it was asked for."""


class _NoneSuchError(Exception):
    """The token is none."""


class Remembering:
    """Remembers answers, and forgets those about what has ended."""

    def __init__(self, record: CacheRecord, host: Host) -> None:
        self._record, self._host = record, host
        self._good: Cache[Good] = host.cache(record.ttl, record.most)
        self._bad: Cache[bool] = host.cache(record.bad_ttl, record.bad_most)
        self._ended: dict[tuple[str, str], int] = {}
        self._count = 0

    async def get(self, mark: str, ask: Callable[[], Awaitable[Mapping[str, Any] | None]]) -> Mapping[str, Any] | None:
        """Return what a token says, asking if need be: once, however many want to know at a time."""
        if self._bad.peek(mark):
            return None

        async def make() -> Good:
            asked = self._count
            said = await ask()
            if said is None:
                raise _NoneSuchError  # so that it is not kept among the good ones, where it would push one of them out
            return Good(said, asked)

        try:
            found = await self._good.get(mark, make)
            if self._over(found.said) or self._has_ended(found):
                self._good.forget(mark)
                found = await self._good.get(mark, make)
        except _NoneSuchError:
            await self._bad.get(mark, _yes)
            return None
        return None if self._over(found.said) else found.said

    def forget(self, kind: str, value: str) -> None:
        """Forget what has ended; of ``all`` everything."""
        self._count += 1
        if kind == "token":
            self._good.forget(value)
        elif kind == "all" or len(self._ended) >= MOST_ENDED:
            self._good.forget()
            self._ended.clear()
        if kind not in ("token", "all"):
            self._ended[kind, value] = self._count

    def _over(self, said: Mapping[str, Any]) -> bool:
        ends = said.get("exp")
        return ends is not None and ends <= self._host.clock.wall()

    def _has_ended(self, found: Good) -> bool:
        if not self._ended:
            return False
        said = found.said
        names = (("family", said.get("family")), ("client", said.get("client_id")), ("user", said.get("sub")))
        return any(self._ended.get((kind, str(name)), 0) > found.asked for kind, name in names)


async def _yes() -> bool:
    return True
