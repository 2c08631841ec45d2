"""Tiers that subscriptions and applications have: a write that would take one away is refused.

A tier may come from the file, from the store or from a preset, so what is there is asked of the section that knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_apimanager.tables import applications, subscriptions
from hookgate_people import InUse
from hookgate_storage import Made, Store

TIERS = "tiers"
SHOWN = 20
"""APIs and applications that a refusal names."""
NamesIn = Callable[[object], Collection[str]]
"""Returns the tiers that there are, of what is written of them."""


async def keep_tiers(
    connection: AsyncConnection, store: Store, made: Sequence[Made], file: Mapping[str, Any], names_in: NamesIn
) -> None:
    """Keep tiers that subscriptions or applications have. ``file`` is what the file says of tiers.

    Raises:
        InUse: one of them would be gone.
    """
    if not any(change.kind == TIERS for each in made for change in each.writing.changes):
        return
    after = await store.bodies(connection, TIERS)
    before = dict(after)
    for each in reversed(made):
        for change, body in reversed([*zip(each.writing.changes, each.before, strict=True)]):
            if change.kind != TIERS:
                continue
            if body is None:
                before.pop(change.name, None)
            else:
                before[change.name] = body
    there = set(names_in({**after, **file}))
    for name in names_in({**before, **file}):
        if name not in there:
            await _keep(connection, name)


async def users(store: Store, kind: str, name: str) -> list[tuple[str, str]]:
    """Return who has a tier: APIs that are subscribed to with it, and owners of applications."""
    if kind != TIERS:
        return []
    async with store.database.transaction() as connection:
        apis, owned = await _subscribed(connection, name), await _applications(connection, name)
    found = [("subscriptions", api) for api, _ in apis]
    return found + [("applications", owner) for owner in dict.fromkeys(owner for owner, _ in owned)]


async def _keep(connection: AsyncConnection, tier: str) -> None:
    apis, owned = await _subscribed(connection, tier), await _applications(connection, tier)
    told = [_counted(number, what) for number, what in _sums(apis, owned) if number]
    if not told:
        return
    users = [(f"subscriptions/{api}", f"{_counted(number, 'subscription')} to it") for api, number in apis]
    users += [(f"applications/{owner}", f"the application {name}") for owner, name in owned]
    message = f"the tier {tier} is used by {' and '.join(told)}: give them another tier before it goes"
    raise InUse(TIERS, tier, message, [(user, f"has it: {which}") for user, which in users[:SHOWN]])


def _sums(apis: Sequence[tuple[str, int]], owned: Sequence[tuple[str, str]]) -> list[tuple[int, str]]:
    return [(sum(number for _, number in apis), "subscription"), (len(owned), "application")]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


async def _subscribed(connection: AsyncConnection, tier: str) -> list[tuple[str, int]]:
    """Return the APIs that are subscribed to with a tier, with how many subscriptions each has."""
    api = subscriptions.c.api
    wanted = select(api, func.count()).where(subscriptions.c.tier == tier).group_by(api).order_by(api)
    return [(name, number) for name, number in await connection.execute(wanted)]


async def _applications(connection: AsyncConnection, tier: str) -> list[tuple[str, str]]:
    """Return the owners and names of applications with a tier."""
    both = applications.c.owner, applications.c.name
    wanted = select(*both).where(applications.c.tier == tier).order_by(*both)
    return [(owner, name) for owner, name in await connection.execute(wanted)]
