"""Making tables and bringing them up to date: one branch of Alembic for each distribution that has tables.

A distribution with tables of its own names the package of its revisions under the entry-point group
``hookgate.migrations``; the first of them has the name of the distribution as its branch label.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from hookgate_storage.database import Database
from hookgate_storage.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

GROUP = "hookgate.migrations"
OWN = "hookgate_storage.migrations.versions"
MOVING = 3600.0
"""Seconds beyond the usual that changing all tables may take: they may be large."""
SILENT = 60.0
"""Seconds between two statements of that, in which revisions are read; then the lock goes to the next."""

logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each part of its own


def locations() -> list[str]:
    """Return the folders that hold revisions, ours first."""
    packages = [OWN, *(point.value for point in sorted(entry_points(group=GROUP), key=lambda point: point.name))]
    found = []
    for package in packages:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise StoreError(f"the revisions in {package} cannot be found")
        found.append(next(iter(spec.submodule_search_locations)))
    return found


def config() -> Config:
    """Return what Alembic has to know."""
    from alembic.config import Config

    found = Config()
    found.set_main_option("script_location", "hookgate_storage:migrations")
    found.set_main_option("path_separator", "os")
    found.set_main_option("version_locations", os.pathsep.join(locations()))
    return found


def wanted() -> set[str]:
    """Return the revisions that this installation works with."""
    from alembic.script import ScriptDirectory

    return set(ScriptDirectory.from_config(config()).get_heads())


def known() -> set[str]:
    """Return every revision that this installation has ever made."""
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}


async def upgrade(database: Database, revision: str = "heads") -> None:
    """Bring the tables up to date, in one transaction.

    Raises:
        StoreError: the database cannot be changed; nothing is.
    """
    from alembic import command

    await _move(database, revision, command.upgrade)


async def downgrade(database: Database, revision: str) -> None:
    """Take the tables back to a revision. What only later ones can hold is gone."""
    from alembic import command

    await _move(database, revision, command.downgrade)


async def _move(database: Database, revision: str, way: object) -> None:
    def run(connection: Connection) -> None:
        told = config()
        told.attributes["connection"] = connection
        way(told, revision)  # type: ignore[operator]

    async with database.transaction(writes=True, more=MOVING, idle=SILENT) as connection:
        await connection.run_sync(run)


async def check_version(database: Database) -> None:
    """Refuse tables that are not those of this installation.

    Raises:
        StoreError: there are none, older or newer ones; the text says what to do.
    """
    found, ours = await database.revision(), wanted()
    if found == ours:
        return
    if not found:
        raise StoreError(f"the store {database.shown} has no tables; run hookgate storage upgrade")
    if strange := found - known():
        raise StoreError(f"the store {database.shown} is of a newer version ({min(strange)}); install it here, too")
    raise StoreError(f"the store {database.shown} is of an older version; run hookgate storage upgrade")
