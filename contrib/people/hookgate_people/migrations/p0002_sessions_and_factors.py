"""Sessions of browsers, second factors, and codes that stand in for one."""

import sqlalchemy as sa
from alembic import op

revision = "p0002"
down_revision = "p0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    user = sa.String(200)
    op.create_table(
        "hookgate_sessions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("user", user, sa.ForeignKey("hookgate_users.name", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("method", sa.String(200), nullable=False),
        sa.Column("address", sa.String(100), nullable=False),
        sa.Column("agent", sa.String(200), nullable=False),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("used", sa.Float, nullable=False),
        sa.Column("ends", sa.Float, nullable=False),
    )
    op.create_table(
        "hookgate_factors",
        sa.Column("user", user, sa.ForeignKey("hookgate_users.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "hookgate_recovery",
        sa.Column("user", user, sa.ForeignKey("hookgate_users.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("hash", sa.LargeBinary, primary_key=True),
    )


def downgrade() -> None:
    """Remove the tables, and what is in them."""
    for name in ("recovery", "factors", "sessions"):
        op.drop_table(f"hookgate_{name}")
