"""Documents of APIs, ratings, comments, topics and posts, and who has written when."""

import sqlalchemy as sa
from alembic import op

revision = "d0001"
down_revision = None
branch_labels = ("community",)
depends_on = None

TABLES = (
    "documents",
    "document_contents",
    "ratings",
    "comments",
    "forum_topics",
    "forum_posts",
    "community_writes",
)


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.String(32), primary_key=True)


def _text(name: str, length: int, *, index: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False, index=index)


def _long(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _at(name: str = "at", *, index: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Float, nullable=False, index=index)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _in_order(table: str, *columns: str) -> None:
    op.create_index(f"ix_hookgate_{table}_in_order", f"hookgate_{table}", [*columns, "id"])


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "hookgate_documents",
        _id(),
        _text("api", 200),
        _text("name", 100),
        _text("type", 20),
        _text("other_type", 100),
        _long("summary"),
        _text("visibility", 20),
        _text("source", 20),
        _long("text"),
        _long("url"),
        _text("filename", 200),
        _text("media", 200),
        _number("size"),
        _at("made"),
        _at("changed"),
        _number("version"),
        sa.UniqueConstraint("api", "name"),
    )
    document = sa.ForeignKey("hookgate_documents.id", ondelete="CASCADE")
    op.create_table(
        "hookgate_document_contents",
        sa.Column("document", sa.String(32), document, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "hookgate_ratings",
        sa.Column("api", sa.String(200), primary_key=True),
        sa.Column("user", sa.String(200), primary_key=True, index=True),
        _number("rating"),
        _at(),
    )
    author = (_text("author", 200, index=True), _text("display", 200))
    op.create_table(
        "hookgate_comments",
        _id(),
        _text("api", 200),
        _text("parent", 32),
        *author,
        _long("text"),
        _at(),
    )
    _in_order("comments", "api", "parent")
    author = (_text("author", 200, index=True), _text("display", 200))
    op.create_table(
        "hookgate_forum_topics",
        _id(),
        _text("api", 200),
        *author,
        _text("title", 200),
        _long("text"),
        sa.Column("closed", sa.Boolean, nullable=False),
        _at(),
    )
    _in_order("forum_topics", "api")
    author = (_text("author", 200, index=True), _text("display", 200))
    topic = sa.ForeignKey("hookgate_forum_topics.id", ondelete="CASCADE")
    op.create_table(
        "hookgate_forum_posts",
        _id(),
        sa.Column("topic", sa.String(32), topic, nullable=False),
        *author,
        _long("text"),
        _at(),
    )
    _in_order("forum_posts", "topic")
    op.create_table(
        "hookgate_community_writes",
        _id(),
        _text("author", 200, index=True),
        _at(index=True),
    )


def downgrade() -> None:
    """Remove the tables, and with them every document and all that people have said."""
    for name in reversed(TABLES):
        op.drop_table(f"hookgate_{name}")
