"""What roles come to: roles contain roles, and permissions; this is asked of the database in one statement.

Roles that a user brings along from a provider outside are told, too, as ``provider/role``; they give no permissions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_people.naming import ADMIN
from hookgate_people.tables import identities, role_permissions, role_roles, user_roles, users


async def granted(connection: AsyncConnection, user: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the roles of a user, with those inside of them, and the permissions that they give."""
    held = select(user_roles.c.role).where(user_roles.c.user == user).cte("held", recursive=True)
    held = held.union(select(role_roles.c.included).join(held, role_roles.c.role == held.c.role))
    both = select(held.c.role, role_permissions.c.permission).select_from(
        held.outerjoin(role_permissions, role_permissions.c.role == held.c.role)
    )
    rows = (await connection.execute(both)).all()
    theirs = select(identities.c.provider, identities.c.roles).where(identities.c.user == user)
    outside = (await connection.execute(theirs)).first()
    names = [] if outside is None else [f"{outside.provider}/{each}" for each in orjson.loads(outside.roles)]
    return frozenset([*(row.role for row in rows), *names]), frozenset(r.permission for r in rows if r.permission)


async def has_administrator(connection: AsyncConnection) -> bool:
    """Whether somebody who may log in has the permission `admin`."""
    giving: Any = select(role_permissions.c.role).where(role_permissions.c.permission == ADMIN)
    giving = giving.cte("giving", recursive=True)
    giving = giving.union(select(role_roles.c.role).join(giving, role_roles.c.included == giving.c.role))
    one = (
        select(users.c.name)
        .join(user_roles, user_roles.c.user == users.c.name)
        .where(and_(users.c.disabled.is_(False), users.c.service.is_(False)))
        .where(user_roles.c.role.in_(select(giving.c.role)))
        .limit(1)
    )
    return (await connection.execute(one)).first() is not None


def circle(inside: Mapping[str, Iterable[str]], role: str) -> list[str]:
    """Return how a role contains itself; nothing if it does not."""
    came: dict[str, str] = {}
    waiting = [role]
    while waiting:
        at = waiting.pop()
        for each in inside.get(at, ()):
            if each == role:
                path = [at]
                while path[-1] != role:
                    path.append(came[path[-1]])
                return [*reversed(path), role]
            if each not in came:
                came[each] = at
                waiting.append(each)
    return []
