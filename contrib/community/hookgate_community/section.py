"""The section ``community``: what documents and people may do, and what other parts ask of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic import Field

from hookgate import Duration, Host, Item, Options, Section, hookimpl

MOST_BYTES = 64 * 1024 * 1024


class CommunitySection(Options):
    """Documents of APIs, ratings, comments and forum."""

    document_visibility_levels: bool = False
    """Whether a document may have a visibility of its own, `domain` or `private`; without it a new document is seen by
    whoever sees the API. It is what WSO2 calls `EnableAPIDocVisibilityLevels`."""
    documents: int = Field(default=100, ge=0, le=10_000)
    """Most documents of one version of an API."""
    longest_content: int = Field(default=1024 * 1024, ge=1, le=MOST_BYTES)
    """Most bytes of a file that is a document; no more than `longest_body` of the app `management` in any case."""
    writes: int = Field(default=30, ge=1, le=100_000)
    """Ratings, comments, topics and posts that one user may write within the time `per`."""
    per: Duration = Field(default=3600.0, ge=1, le=30 * 86400)
    """Seconds in which `writes` count."""


class Community(Section[CommunitySection]):
    """Says what documents and people may do. It is there unwritten."""

    shape, kind = "record", "community"

    def __init__(self, items: Sequence[Item[CommunitySection]] = ()) -> None:
        super().__init__(items)
        self._host: Host | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember where the store is to be found; it is optional, and may come later."""
        self._host = host

    async def ratings(self, apis: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return average and count of the ratings of APIs, for who lists these; nothing where no store is at hand."""
        store = self._store()
        if store is None or not apis:
            return {}
        from hookgate_community.rating import Ratings
        from hookgate_storage import StoreError

        try:
            return await Ratings(store).of(apis)
        except StoreError:  # APIs are listed also while it is away
            return {}

    def copying(self, api: str, to: str) -> Callable[[Any], Awaitable[None]]:
        """Return what gives a new version of an API copies of its documents, within the transaction that makes it."""
        from hookgate_community.keeping import copied

        async def within(connection: Any) -> None:
            await copied(connection, api, to)

        return within

    def _store(self) -> Any:
        if self._host is None:
            return None
        try:
            storage: Any = self._host.section("storage")
        except LookupError:
            return None
        return storage.store
