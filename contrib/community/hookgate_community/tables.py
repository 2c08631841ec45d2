"""The tables. Names of APIs stand in them with their versions; ids are in the order of time."""

from __future__ import annotations

import secrets

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy import UniqueConstraint as Unique

metadata = MetaData()

documents = Table(
    "hookgate_documents",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("api", String(200), nullable=False),
    Column("name", String(100), nullable=False),
    Column("type", String(20), nullable=False),
    Column("other_type", String(100), nullable=False),
    Column("summary", Text, nullable=False),
    Column("visibility", String(20), nullable=False),
    Column("source", String(20), nullable=False),
    Column("text", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("filename", String(200), nullable=False),
    Column("media", String(200), nullable=False),
    Column("size", Integer, nullable=False),
    Column("made", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("version", Integer, nullable=False),
    Unique("api", "name"),
)

contents = Table(
    "hookgate_document_contents",
    metadata,
    Column("document", ForeignKey("hookgate_documents.id", ondelete="CASCADE"), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""Files, apart from what is listed."""

ratings = Table(
    "hookgate_ratings",
    metadata,
    Column("api", String(200), primary_key=True),
    Column("user", String(200), primary_key=True, index=True),
    Column("rating", Integer, nullable=False),
    Column("at", Float, nullable=False),
)

comments = Table(
    "hookgate_comments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("api", String(200), nullable=False),
    Column("parent", String(32), nullable=False),
    Column("author", String(200), nullable=False, index=True),
    Column("display", String(200), nullable=False),
    Column("text", Text, nullable=False),
    Column("at", Float, nullable=False),
    Index("ix_hookgate_comments_in_order", "api", "parent", "id"),
)
"""``parent`` is the comment that one replies to, or empty. Where ``author`` is empty there is no such user any more."""

topics = Table(
    "hookgate_forum_topics",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("api", String(200), nullable=False),
    Column("author", String(200), nullable=False, index=True),
    Column("display", String(200), nullable=False),
    Column("title", String(200), nullable=False),
    Column("text", Text, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("at", Float, nullable=False),
    Index("ix_hookgate_forum_topics_in_order", "api", "id"),
)

posts = Table(
    "hookgate_forum_posts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("topic", ForeignKey("hookgate_forum_topics.id", ondelete="CASCADE"), nullable=False),
    Column("author", String(200), nullable=False, index=True),
    Column("display", String(200), nullable=False),
    Column("text", Text, nullable=False),
    Column("at", Float, nullable=False),
    Index("ix_hookgate_forum_posts_in_order", "topic", "id"),
)

written = Table(
    "hookgate_community_writes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("author", String(200), nullable=False, index=True),
    Column("at", Float, nullable=False, index=True),
)
"""When somebody has written something, for as long as that counts: also what they have removed since."""

OF_APIS = (documents, ratings, comments, topics)
"""Those that go with an API."""
SPOKEN = (comments, topics, posts)
"""Those that have an author."""


def new_id(now: float) -> str:
    """Return an id by chance, behind those of earlier times."""
    return f"{int(now * 1e6):016x}{secrets.token_hex(8)}"
