"""How far schedules are, and what they have started."""

import sqlalchemy as sa
from alembic import op

revision = "sch0001"
down_revision = None
branch_labels = ("schedules",)
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "hookgate_schedules",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("seen", sa.Float, nullable=False),
    )
    op.create_table(
        "hookgate_schedule_runs",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("due", sa.Float, primary_key=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("instance", sa.BigInteger, nullable=False),
        sa.Column("guid", sa.String(36), nullable=False),
        sa.Column("by", sa.String(200)),
        sa.Column("at", sa.Float, nullable=False, index=True),
    )


def downgrade() -> None:
    """Remove the tables."""
    op.drop_table("hookgate_schedule_runs")
    op.drop_table("hookgate_schedules")
