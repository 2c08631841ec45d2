"""Who a user is at a provider outside, and the roles there."""

import sqlalchemy as sa
from alembic import op

revision = "p0003"
down_revision = "p0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    user = sa.ForeignKey("hookgate_users.name", ondelete="CASCADE")
    op.create_table(
        "hookgate_identities",
        sa.Column("user", sa.String(200), user, primary_key=True),
        sa.Column("provider", sa.String(100), nullable=False),
        sa.Column("subject", sa.String(500)),
        sa.Column("roles", sa.Text, nullable=False),
        sa.UniqueConstraint("provider", "subject"),
    )


def downgrade() -> None:
    """Remove the table, and what is in it."""
    op.drop_table("hookgate_identities")
