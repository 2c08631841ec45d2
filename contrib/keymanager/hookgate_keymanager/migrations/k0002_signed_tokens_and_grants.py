"""Keys that tokens are signed with, what tokens say beside themselves, and what more grants keep."""

import sqlalchemy as sa
from alembic import op

revision = "k0002"
down_revision = "k0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the columns."""
    op.add_column("hookgate_oauth_clients", sa.Column("format", sa.String(10)))
    for name in ("tokens", "refresh", "codes"):
        op.add_column(f"hookgate_oauth_{name}", sa.Column("grant_type", sa.String(200)))
    op.add_column("hookgate_oauth_tokens", sa.Column("key", sa.String(64)))
    op.add_column("hookgate_oauth_tokens", sa.Column("sealed", sa.LargeBinary))
    op.create_index("ix_hookgate_oauth_tokens_key", "hookgate_oauth_tokens", ["key", "ends"])
    op.create_table(
        "hookgate_oauth_keys",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False, unique=True),
        sa.Column("algorithm", sa.String(10), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("made", sa.Float, nullable=False),
    )
    op.create_table(
        "hookgate_oauth_devices",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("user_code", sa.LargeBinary, nullable=False, unique=True),
        sa.Column(
            "client",
            sa.String(64),
            sa.ForeignKey("hookgate_oauth_clients.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("user", sa.String(200)),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("family", sa.String(32), nullable=False),
        sa.Column("asked", sa.Float, nullable=False),
        sa.Column("pause", sa.Float, nullable=False),
        sa.Column("ends", sa.Float, nullable=False, index=True),
    )
    op.create_table(
        "hookgate_oauth_shown",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("ends", sa.Float, nullable=False, index=True),
    )


def downgrade() -> None:
    """Remove them; tokens that are signed are good on as tokens that are not."""
    for name in ("shown", "devices", "keys"):
        op.drop_table(f"hookgate_oauth_{name}")
    op.drop_index("ix_hookgate_oauth_tokens_key", "hookgate_oauth_tokens")
    for column in ("sealed", "key"):
        op.drop_column("hookgate_oauth_tokens", column)
    for name in ("tokens", "refresh", "codes"):
        op.drop_column(f"hookgate_oauth_{name}", "grant_type")
    op.drop_column("hookgate_oauth_clients", "format")
