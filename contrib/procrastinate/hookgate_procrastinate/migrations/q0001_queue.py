"""The queue of procrastinate 3.10, in a schema of its own.

What the queue holds are hints: whatever is lost here is found again in the journal. So a later revision drops the
schema and makes that of its version, and this one may be run with any.
"""

from typing import Any

from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy.util import await_only

from hookgate_procrastinate.queue import SCHEMA

revision = "q0001"
down_revision = None
branch_labels = ("procrastinate",)
depends_on = None


def upgrade() -> None:
    """Make the schema; nothing in SQLite."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    op.execute(f"CREATE SCHEMA {SCHEMA}")
    driver: Any = connection.connection.driver_connection
    # several statements in one text, which only the driver takes; the transaction is the one that is open
    before = await_only(driver.fetchval("SELECT current_setting('search_path')"))
    await_only(driver.execute(f"SET LOCAL search_path TO {SCHEMA}"))
    await_only(driver.execute(SchemaManager.get_schema()))
    await_only(driver.execute("SELECT set_config('search_path', $1, true)", before))


def downgrade() -> None:
    """Drop the schema."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
