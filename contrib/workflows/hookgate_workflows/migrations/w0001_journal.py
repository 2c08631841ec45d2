"""The journal: instances, runs of cells, documents, outbound calls, and definitions."""

import sqlalchemy as sa
from alembic import op

revision = "w0001"
down_revision = None
branch_labels = ("workflows",)
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "hookgate_workflow_numbers",
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("next", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "hookgate_workflow_definitions",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("made", sa.Float, nullable=False),
    )
    op.create_table(
        "hookgate_workflow_instances",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("guid", sa.String(36), nullable=False, unique=True),
        sa.Column("workflow", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("parent", sa.BigInteger, index=True),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("route", sa.String(300), nullable=False),
        sa.Column("method", sa.String(20), nullable=False),
        sa.Column("owner", sa.String(200), index=True),
        sa.Column("handler", sa.String(200), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("request_status", sa.String(100), nullable=False),
        sa.Column("waits", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("errors", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        sa.Column("closed", sa.Float),
        sa.Column("wake", sa.Float),
        sa.Column("lease", sa.String(40)),
        sa.Column("lease_until", sa.Float),
        sa.Column("fence", sa.Integer, nullable=False),
    )
    op.create_index(
        "ix_hookgate_workflow_instances_ready", "hookgate_workflow_instances", ["status", "waits", "lease_until"]
    )
    op.create_index("ix_hookgate_workflow_instances_created", "hookgate_workflow_instances", ["created"])
    op.create_table(
        "hookgate_workflow_cells",
        sa.Column("instance", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("cell", sa.String(200), nullable=False),
        sa.Column("node", sa.String(100), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("output", sa.String(200), nullable=False),
        sa.Column("given", sa.Text, nullable=False),
        sa.Column("changes", sa.Text, nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("key", sa.String(200), nullable=False, index=True),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("ended", sa.Float),
        sa.Column("fence", sa.Integer, nullable=False),
    )
    op.create_table(
        "hookgate_workflow_documents",
        sa.Column("instance", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("media_type", sa.String(200), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "hookgate_workflow_calls",
        sa.Column("instance", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("method", sa.String(20), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("host", sa.String(300), nullable=False, index=True),
        sa.Column("connection", sa.String(200), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.String(200), nullable=False),
        sa.Column("at", sa.Float, nullable=False, index=True),
        sa.Column("seconds", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables, and with them every instance."""
    op.drop_table("hookgate_workflow_calls")
    op.drop_table("hookgate_workflow_documents")
    op.drop_table("hookgate_workflow_cells")
    op.drop_table("hookgate_workflow_instances")
    op.drop_table("hookgate_workflow_definitions")
    op.drop_table("hookgate_workflow_numbers")
