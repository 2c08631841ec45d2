"""Who sees a document of an API, and who may speak of an API: pure functions over viewer, API and level (KC-48)."""

from __future__ import annotations

from typing import Literal

from hookgate_apimanager.visibility import Offer, Viewer, may_subscribe, sees

Level = Literal["same", "domain", "private"]
SAME: Level = "same"
LEVELS: tuple[Level, ...] = ("same", "domain", "private")
"""As the API; the people of its tenant; those who make and publish the APIs of its tenant."""


def levels_seen(viewer: Viewer, api: Offer) -> frozenset[Level]:
    """Return the levels of documents that somebody sees of an API: none where they do not see the API itself."""
    if not sees(viewer, api):
        return frozenset()
    if viewer.tenant is None or viewer.tenant != api.tenant:
        return frozenset({"same"})
    return frozenset(LEVELS) if viewer.insider else frozenset({"same", "domain"})


def sees_document(viewer: Viewer, api: Offer, level: Level) -> bool:
    """Whether somebody sees a document of that level."""
    return level in levels_seen(viewer, api)


def may_speak(viewer: Viewer, api: Offer, *, several: bool) -> bool:
    """Whether somebody may rate an API and write about it, if their permissions let them: who may subscribe to it. Who
    has not said who they are may not, and of another tenant only those to whom it is offered.
    """
    return may_subscribe(viewer, api, several=several)
