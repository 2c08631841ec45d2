"""Usage by day and subscription, and the batches that were added."""

import sqlalchemy as sa
from alembic import op

revision = "u0001"
down_revision = None
branch_labels = ("usage",)
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    names = ("subscription", "api", "version", "tier", "application", "owner", "key_type")
    op.create_table(
        "hookgate_usage",
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(40), primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in names),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("calls", "faults", "refused")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("received", "sent")),
    )
    op.create_table(
        "hookgate_usage_batches",
        sa.Column("writer", sa.String(40), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables, and what is in them."""
    op.drop_table("hookgate_usage_batches")
    op.drop_table("hookgate_usage")
