"""Counts by minute, hour and day, and the batches that were added."""

import sqlalchemy as sa
from alembic import op

revision = "c0001"
down_revision = None
branch_labels = ("statistics",)
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    dimensions = ("api", "version", "operation", "application", "user", "route", "target")
    numbers = ("calls", "client_errors", "server_errors", "aborted", "received", "sent")
    op.create_table(
        "hookgate_statistics",
        sa.Column("resolution", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(40), primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in dimensions),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in numbers),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("sketch", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "hookgate_statistics_batches",
        sa.Column("writer", sa.String(40), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables, and what is in them."""
    op.drop_table("hookgate_statistics_batches")
    op.drop_table("hookgate_statistics")
