"""Keys that somebody outside answers to an instance with: ids of callbacks, and tokens that are good for once."""

import sqlalchemy as sa
from alembic import op

revision = "w0002"
down_revision = "w0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "hookgate_workflow_keys",
        sa.Column("key", sa.String(100), primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("instance", sa.BigInteger, nullable=False, index=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("until", sa.Float),
        sa.Column("value", sa.Text),
        sa.Column("come", sa.Float),
    )


def downgrade() -> None:
    """Take it away."""
    op.drop_table("hookgate_workflow_keys")
