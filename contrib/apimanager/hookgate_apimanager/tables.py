"""The tables. API keys are kept as SHA-256: 256 bits by chance need no salt."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

applications = Table(
    "hookgate_applications",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(200), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("tenant", String(100), nullable=False, index=True),
    Column("description", Text, nullable=False),
    Column("tier", String(200), nullable=False),
    Column("blocked", Boolean, nullable=False),
    Column("default_of", String(200), unique=True),
    Column("made", Float, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("owner", "name"),
)
"""``owner`` is a user of the store, with whom the row goes; ``tenant`` is that of the owner, or empty. ``default_of``
is the owner again for the application that everybody has (KC-24), so that nobody has two."""

subscriptions = Table(
    "hookgate_subscriptions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("application", ForeignKey("hookgate_applications.id", ondelete="CASCADE"), nullable=False),
    Column("api", String(200), nullable=False, index=True),
    Column("tenant", String(100), nullable=False, index=True),
    Column("tier", String(200), nullable=False, index=True),
    Column("status", String(20), nullable=False),
    Column("made", Float, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("application", "api"),
)
"""``api`` is the name of the API with its version, ``tenant`` whose it is, or empty."""

clients = Table(
    "hookgate_application_clients",
    metadata,
    Column("client_id", String(200), primary_key=True),
    Column("application", ForeignKey("hookgate_applications.id", ondelete="SET NULL")),
    Column("key_type", String(20), nullable=False),
    Column("made", Float, nullable=False),
    Column("mapped", Boolean, nullable=False),
    UniqueConstraint("application", "key_type"),
)
"""Clients of the key manager. Where ``application`` is null the application is gone, and the key manager is still to
be told, unless the client was ``mapped``: then it was made somewhere else, and stays there."""

api_keys = Table(
    "hookgate_application_api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("application", ForeignKey("hookgate_applications.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("key_type", String(20), nullable=False),
    Column("name", String(100), nullable=False),
    Column("made", Float, nullable=False),
    Column("ends", Float),
)

changed = Table(
    "hookgate_subscription_changes",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("value", String(200), nullable=False),
    Column("at", Float, nullable=False),
)
"""What has changed, with numbers that commit in order, for nodes that keep answers."""
