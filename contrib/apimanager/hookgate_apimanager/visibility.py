"""Who sees an API, and who may subscribe to it: pure functions over viewer, API and tenants (KC-42 to KC-47)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["public", "domain", "roles"]
Available = Literal["current", "all", "listed"]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who looks for APIs."""

    tenant: str | None = None
    """Whose they are; nothing for who is of no tenant, ``None`` for who has not said who they are."""
    roles: frozenset[str] = frozenset()
    insider: bool = False
    """Whether they make or publish the APIs of their tenant."""


@dataclass(frozen=True, slots=True)
class Offer:
    """To whom an API is offered."""

    tenant: str = ""
    """Whose it is; nothing for one that is of no tenant."""
    level: Level = "public"
    roles: frozenset[str] = frozenset()
    """Those that see it, at the level ``roles``."""
    available: Available = "current"
    tenants: frozenset[str] = frozenset()
    """Those that may subscribe beside its own, where that is ``listed``."""


def levels(*, several: bool) -> tuple[Level, ...]:
    """Return the levels that may be chosen: ``domain`` only where there are several tenants (KC-44)."""
    return ("public", "domain", "roles") if several else ("public", "roles")


def sees(viewer: Viewer, api: Offer) -> bool:
    """Whether somebody sees an API (KC-42, KC-43, KC-45)."""
    if viewer.tenant is None or viewer.tenant != api.tenant:
        return api.level == "public"
    return viewer.insider or api.level != "roles" or bool(viewer.roles & api.roles)


def available(api: Offer, *, several: bool) -> Available:
    """Return to whom subscriptions are open: to the own tenant, where there is no other, or where others do not see the
    API (KC-47).
    """
    return api.available if several and api.level == "public" else "current"


def may_subscribe(viewer: Viewer, api: Offer, *, several: bool) -> bool:
    """Whether somebody may subscribe to an API that takes subscriptions (KC-46). Who has not said who they are may not,
    and neither may who does not see it.
    """
    if viewer.tenant is None or not sees(viewer, api):
        return False
    if viewer.tenant == api.tenant:
        return True
    to = available(api, several=several)
    return to == "all" or (to == "listed" and viewer.tenant in api.tenants)
