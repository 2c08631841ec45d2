"""All pages of the distribution."""

from __future__ import annotations

from hookgate import Host
from hookgate_community.answers import ANSWERS
from hookgate_community.comment_pages import comment_pages
from hookgate_community.document_pages import document_pages
from hookgate_community.forum_pages import forum_pages
from hookgate_community.keeping import attach
from hookgate_community.rating_pages import rating_pages
from hookgate_community.visiting import Visits
from hookgate_management.pages import Calls, Operations


def community_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages, and have the store of every write tell which APIs and users are gone."""
    api.schemas |= ANSWERS
    visits = Visits(api, calls, host)
    for add in (document_pages, rating_pages, comment_pages, forum_pages):
        add(visits)

    @api.blueprint.before_request
    async def following() -> None:
        try:
            store = host.section("storage").store  # type: ignore[attr-defined]
        except LookupError:
            return
        if store is not None:
            attach(store)
