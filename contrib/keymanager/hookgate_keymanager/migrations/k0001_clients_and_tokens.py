"""Clients, tokens, refresh tokens, codes, and what has ended."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "k0001"
down_revision = None
branch_labels = ("keymanager",)
depends_on = None


def _of_client() -> Any:
    own = sa.ForeignKey("hookgate_oauth_clients.id", ondelete="CASCADE")
    return sa.Column("client", sa.String(64), own, nullable=False, index=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "hookgate_oauth_clients",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("secret", sa.LargeBinary),
        sa.Column("application", sa.String(200), nullable=False, index=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("key_type", sa.String(20), nullable=False),
        sa.Column("grants", sa.Text, nullable=False),
        sa.Column("callbacks", sa.Text, nullable=False),
        sa.Column("lifetime", sa.Float),
        sa.Column("made", sa.Float, nullable=False),
    )
    op.create_table(
        "hookgate_oauth_tokens",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        _of_client(),
        sa.Column("user", sa.String(200), index=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("family", sa.String(32), index=True),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("ends", sa.Float, index=True),
    )
    op.create_table(
        "hookgate_oauth_refresh",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        _of_client(),
        sa.Column("user", sa.String(200), nullable=False, index=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("family", sa.String(32), nullable=False, index=True),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("ends", sa.Float, nullable=False, index=True),
        sa.Column("used", sa.Boolean, nullable=False),
    )
    op.create_table(
        "hookgate_oauth_codes",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        _of_client(),
        sa.Column("user", sa.String(200), nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("redirect_uri", sa.Text, nullable=False),
        sa.Column("written", sa.Boolean, nullable=False),
        sa.Column("challenge", sa.String(128), nullable=False),
        sa.Column("family", sa.String(32), nullable=False),
        sa.Column("ends", sa.Float, nullable=False, index=True),
        sa.Column("used", sa.Boolean, nullable=False),
    )
    op.create_table(
        "hookgate_oauth_ended",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("value", sa.String(200), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables, and with them every client and token."""
    for name in ("ended", "codes", "refresh", "tokens", "clients"):
        op.drop_table(f"hookgate_oauth_{name}")
