"""Applications, subscriptions, clients, API keys, and what has changed of them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "l0001"
down_revision = None
branch_labels = ("apimanager",)
depends_on = None


def _of_application(ondelete: str, **more: Any) -> Any:
    own = sa.ForeignKey("hookgate_applications.id", ondelete=ondelete)
    return sa.Column("application", sa.String(32), own, **more)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "hookgate_applications",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False, index=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("tenant", sa.String(100), nullable=False, index=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("tier", sa.String(200), nullable=False),
        sa.Column("blocked", sa.Boolean, nullable=False),
        sa.Column("default_of", sa.String(200), unique=True),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.UniqueConstraint("owner", "name"),
    )
    op.create_table(
        "hookgate_subscriptions",
        sa.Column("id", sa.String(32), primary_key=True),
        _of_application("CASCADE", nullable=False),
        sa.Column("api", sa.String(200), nullable=False, index=True),
        sa.Column("tenant", sa.String(100), nullable=False, index=True),
        sa.Column("tier", sa.String(200), nullable=False, index=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.UniqueConstraint("application", "api"),
    )
    op.create_table(
        "hookgate_application_clients",
        sa.Column("client_id", sa.String(200), primary_key=True),
        _of_application("SET NULL"),
        sa.Column("key_type", sa.String(20), nullable=False),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("mapped", sa.Boolean, nullable=False),
        sa.UniqueConstraint("application", "key_type"),
    )
    op.create_table(
        "hookgate_application_api_keys",
        sa.Column("id", sa.String(32), primary_key=True),
        _of_application("CASCADE", nullable=False, index=True),
        sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("key_type", sa.String(20), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("ends", sa.Float),
    )
    op.create_table(
        "hookgate_subscription_changes",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("value", sa.String(200), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables, and with them every application, subscription and API key."""
    for name in (
        "subscription_changes",
        "application_api_keys",
        "application_clients",
        "subscriptions",
        "applications",
    ):
        op.drop_table(f"hookgate_{name}")
