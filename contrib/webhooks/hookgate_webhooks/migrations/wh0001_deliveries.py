"""What is to be delivered, and what came of it."""

import sqlalchemy as sa
from alembic import op

revision = "wh0001"
down_revision = None
branch_labels = ("webhooks",)
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "hookgate_webhook_deliveries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("guid", sa.String(36), nullable=False, unique=True),
        sa.Column("webhook", sa.String(200), nullable=False),
        sa.Column("instance", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("tries", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False, index=True),
        sa.Column("next", sa.Float),
    )
    op.create_index("ix_hookgate_webhook_deliveries_next", "hookgate_webhook_deliveries", ["status", "next"])


def downgrade() -> None:
    """Remove the table, and what is in it."""
    op.drop_table("hookgate_webhook_deliveries")
