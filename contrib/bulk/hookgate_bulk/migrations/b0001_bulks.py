"""Bulks and their rows."""

import sqlalchemy as sa
from alembic import op

revision = "b0001"
down_revision = None
branch_labels = ("bulk",)
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "hookgate_bulks",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        sa.Column("guid", sa.String(36), nullable=False, unique=True),
        sa.Column("action", sa.String(200), nullable=False),
        sa.Column("route", sa.String(300), nullable=False),
        sa.Column("method", sa.String(20), nullable=False),
        sa.Column("owner", sa.String(200), index=True),
        sa.Column("workflow", sa.String(200), nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("handler", sa.String(200), nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("parallel", sa.Integer, nullable=False),
        sa.Column("sequence_timeout", sa.Float),
        sa.Column("stop_on_error", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("closed", sa.Float),
        sa.Column("lease", sa.String(40)),
        sa.Column("lease_until", sa.Float),
        sa.Column("fence", sa.Integer, nullable=False),
    )
    op.create_index("ix_hookgate_bulks_status", "hookgate_bulks", ["status", "lease_until"])
    op.create_table(
        "hookgate_bulk_rows",
        sa.Column("bulk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("original", sa.Text, nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("instance", sa.BigInteger, index=True),
        sa.Column("guid", sa.String(36)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("response", sa.Text, nullable=False),
        sa.Column("started", sa.Float),
        sa.Column("ended", sa.Float),
    )
    op.create_index("ix_hookgate_bulk_rows_status", "hookgate_bulk_rows", ["bulk", "status", "row"])


def downgrade() -> None:
    """Remove the tables, and with them every bulk."""
    op.drop_table("hookgate_bulk_rows")
    op.drop_table("hookgate_bulks")
