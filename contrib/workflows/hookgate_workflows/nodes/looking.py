"""Cells that look into the house: what was run before, and what is kept in the cache."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hookgate import Options, hookimpl
from hookgate_workflows.family import Cell, Done, Node
from hookgate_workflows.nodes.setting import ContextKey
from hookgate_workflows.templating import Template

Filter = Annotated[Literal["workflow", "label", "route", "method", "request_status"], Field()]


class SearchTransactionsOptions(Options):
    """Parameters of `search_transactions`."""

    output_context_key: ContextKey
    """The key that the list is put under, the newest first: `id`, `guid`, `workflow`, `label`, `status` and others."""
    status: Literal["ACTIVE", "CLOSED_IN_SUCCESS", "CLOSED_IN_ERRORS"] | None = None
    """The status that they have."""
    where: dict[Filter, Template] = Field(default_factory=dict)
    """What else they are: `workflow`, `label`, `route`, `method`, `request_status`. An empty text counts, too."""
    everybody: bool = False
    """Whether instances of everybody are found. Left out, those whose caller is the one of this instance."""
    limit: int = Field(default=100, ge=1, le=1000)
    """How many at most."""


class SearchTransactions(Node[SearchTransactionsOptions]):
    """Finds instances in the journal. `found` or `none` say whether there are any."""

    slow = True
    outputs = ("found", "none")

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Find them."""
        options = self.options
        where: dict[str, Any] = {name: await cell.text(value) for name, value in options.where.items()}
        if options.status is not None:
            where["status"] = options.status
        if not options.everybody:
            where["owner"] = cell.instance["user_id"]
        found = await cell.search(where, None, options.limit)
        cell.given(where=where, found=len(found))
        cell.set(options.output_context_key, found)
        return Done("found" if found else "none")


class CleanupCacheOptions(Options):
    """Parameters of `cleanup_cache`."""

    cache_key: Template
    """The key that `http_call` has kept answers under."""


class CleanupCache(Node[CleanupCacheOptions]):
    """Forgets the answers that calls have kept under a key."""

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Forget them."""
        key = await cell.text(self.options.cache_key)
        cell.given(cache_key=key)
        cell.keep(key, None, 0)
        return Done()
