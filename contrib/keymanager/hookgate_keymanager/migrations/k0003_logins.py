"""When users have logged in, and what clients want to find in ID tokens (OpenID Connect Core 1.0)."""

import sqlalchemy as sa
from alembic import op

revision = "k0003"
down_revision = "k0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the columns; what is there already has no login, and so gets no ID tokens."""
    for name in ("codes", "refresh", "devices"):
        op.add_column(f"hookgate_oauth_{name}", sa.Column("auth_time", sa.Float))
    op.add_column("hookgate_oauth_codes", sa.Column("nonce", sa.Text))


def downgrade() -> None:
    """Remove them."""
    op.drop_column("hookgate_oauth_codes", "nonce")
    for name in ("devices", "refresh", "codes"):
        op.drop_column(f"hookgate_oauth_{name}", "auth_time")
