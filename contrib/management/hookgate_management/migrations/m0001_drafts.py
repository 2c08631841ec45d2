"""Drafts of objects."""

import sqlalchemy as sa
from alembic import op

revision = "m0001"
down_revision = None
branch_labels = ("management",)
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "hookgate_drafts",
        sa.Column("kind", sa.String(100), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("base", sa.Integer, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Remove the table, and the drafts in it."""
    op.drop_table("hookgate_drafts")
