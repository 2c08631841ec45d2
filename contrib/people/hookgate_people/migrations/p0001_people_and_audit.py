"""Users, roles, tokens, and the audit."""

import sqlalchemy as sa
from alembic import op

revision = "p0001"
down_revision = None
branch_labels = ("people",)
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "hookgate_users",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("display", sa.String(200), nullable=False),
        sa.Column("hash", sa.Text),
        sa.Column("service", sa.Boolean, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "hookgate_logins",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("last", sa.Float, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
    )
    op.create_table(
        "hookgate_roles",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "hookgate_role_permissions",
        sa.Column("role", sa.String(200), sa.ForeignKey("hookgate_roles.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("permission", sa.String(120), primary_key=True),
    )
    op.create_table(
        "hookgate_role_roles",
        sa.Column("role", sa.String(200), sa.ForeignKey("hookgate_roles.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("included", sa.String(200), sa.ForeignKey("hookgate_roles.name"), primary_key=True),
    )
    op.create_table(
        "hookgate_user_roles",
        sa.Column("user", sa.String(200), sa.ForeignKey("hookgate_users.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("role", sa.String(200), sa.ForeignKey("hookgate_roles.name"), primary_key=True, index=True),
    )
    op.create_table(
        "hookgate_tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("user", sa.String(200), sa.ForeignKey("hookgate_users.name", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("scopes", sa.Text),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("ends", sa.Float),
        sa.Column("used", sa.Float),
        sa.UniqueConstraint("user", "name"),
    )
    op.create_table(
        "hookgate_audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Float, nullable=False, index=True),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("object", sa.String(400), nullable=False, index=True),
        sa.Column("outcome", sa.String(200), nullable=False),
        sa.Column("address", sa.String(100), nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "hookgate_audit_head",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables, and what is in them."""
    for name in ("audit_head", "audit", "tokens", "user_roles", "role_roles", "role_permissions", "roles", "logins"):
        op.drop_table(f"hookgate_{name}")
    op.drop_table("hookgate_users")
