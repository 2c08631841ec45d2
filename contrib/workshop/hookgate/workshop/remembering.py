"""What somebody else has said, remembered until it is over or what it depends on changes: good answers and, apart from
them, those that refuse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hookgate import Cache, Host

MOST_CHANGED = 10_000
"""Changes that are kept apart; with more of them everything is forgotten once."""
ValueT = TypeVar("ValueT")
Tag = tuple[str, str]
"""A kind, and which one of it: `("user", "ann")`."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[ValueT]):
    """What somebody has said."""

    value: ValueT
    """Not ``None``, which stands for what is not known."""
    tags: tuple[Tag, ...]
    """What it depends on."""
    good: bool
    """One that refuses is kept apart, so that it pushes out none that lets in."""
    ends: float | None = None
    """When it is over, in Unix time."""


@dataclass(frozen=True, slots=True)
class _Kept(Generic[ValueT]):
    answer: Answer[ValueT]
    asked: int
    """How many changes had been told when it was asked for."""


class _BadError(Exception):
    def __init__(self, kept: _Kept[Any]) -> None:
        super().__init__()
        self.kept = kept


class Remembering(Generic[ValueT]):
    """Remembers answers, and forgets those that depend on what has changed."""

    def __init__(self, host: Host, ttl: float, most: int, bad_ttl: float, bad_most: int) -> None:
        """Good answers are kept for ``ttl`` seconds, and ``most`` of them; those that refuse likewise."""
        self._clock = host.clock
        self._good: Cache[_Kept[ValueT]] = host.cache(ttl, most)
        self._bad: Cache[_Kept[ValueT]] = host.cache(bad_ttl, bad_most)
        self._changed: dict[Tag, int] = {}
        self._count = 0

    def peek(self, mark: str) -> ValueT | None:
        """Return what is known, without asking anybody."""
        kept = self._good.peek(mark)
        if kept is None and (kept := self._bad.peek(mark)) is None:
            return None
        return None if self._is_over(kept) else kept.answer.value

    async def get(self, mark: str, ask: Callable[[], Awaitable[Answer[ValueT]]]) -> ValueT:
        """Return what is known, asking if need be: once, however many want to know at a time.

        Raises:
            Exception: whatever ``ask`` raises; nothing is kept then.
        """
        if (known := self.peek(mark)) is not None:
            return known

        async def make() -> _Kept[ValueT]:
            asked = self._count
            kept = _Kept(await ask(), asked)
            if not kept.answer.good:
                raise _BadError(kept)  # so that it is not kept among the good ones
            return kept

        for _ in range(2):
            self._drop(mark)
            try:
                kept = await self._good.get(mark, make)
            except _BadError as error:
                kept = error.kept
                await self._bad.get(mark, _returning(kept))
            if not self._is_over(kept):  # else it has changed while it was asked for
                break
        return kept.answer.value

    def forget(self, kind: str, value: str) -> None:
        """Forget what depends on something; of ``all`` everything."""
        self._count += 1
        if kind == "all" or len(self._changed) >= MOST_CHANGED:
            self._good.forget()
            self._bad.forget()
            self._changed.clear()
        if kind != "all":
            self._changed[kind, value] = self._count

    def forget_one(self, mark: str) -> None:
        """Forget one answer."""
        self._good.forget(mark)
        self._bad.forget(mark)

    def _drop(self, mark: str) -> None:
        for cache in (self._good, self._bad):
            kept = cache.peek(mark)
            if kept is not None and self._is_over(kept):
                cache.forget(mark)

    def _is_over(self, kept: _Kept[ValueT]) -> bool:
        answer = kept.answer
        if answer.ends is not None and answer.ends <= self._clock.wall():
            return True
        changed = self._changed
        return bool(changed) and any(changed.get(tag, 0) > kept.asked for tag in answer.tags)


def _returning(kept: _Kept[ValueT]) -> Callable[[], Awaitable[_Kept[ValueT]]]:
    async def make() -> _Kept[ValueT]:
        return kept

    return make
