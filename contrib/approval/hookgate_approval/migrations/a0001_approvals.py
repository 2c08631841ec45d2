"""Calls that wait for a person, and what became of them."""

import sqlalchemy as sa
from alembic import op

revision = "apr0001"
down_revision = None
branch_labels = ("approval",)
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "hookgate_approvals",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("caller", sa.String(200), nullable=False, index=True),
        sa.Column("call", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=False, index=True),
        sa.Column("by", sa.String(200)),
        sa.Column("comment", sa.Text),
        sa.Column("decided", sa.Float),
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("hookgate_approvals")
