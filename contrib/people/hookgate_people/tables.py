"""The tables. Names stand in clear; passwords and tokens are hashes, and bodies in the audit are sealed."""

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

users = Table(
    "hookgate_users",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("display", String(200), nullable=False),
    Column("hash", Text),
    Column("service", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("made", Float, nullable=False),
    Column("version", Integer, nullable=False),
)
"""``hash`` is null for a service account, which has no password."""

logins = Table(
    "hookgate_logins",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("failed", Integer, nullable=False),
    Column("last", Float, nullable=False),
    Column("until", Float, nullable=False),
)
"""Failed logins by name, of users and of names that nobody has: a lock tells nobody which is which."""

roles = Table(
    "hookgate_roles",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("description", Text, nullable=False),
    Column("version", Integer, nullable=False),
)

role_permissions = Table(
    "hookgate_role_permissions",
    metadata,
    Column("role", ForeignKey("hookgate_roles.name", ondelete="CASCADE"), primary_key=True),
    Column("permission", String(120), primary_key=True),
)

role_roles = Table(
    "hookgate_role_roles",
    metadata,
    Column("role", ForeignKey("hookgate_roles.name", ondelete="CASCADE"), primary_key=True),
    Column("included", ForeignKey("hookgate_roles.name"), primary_key=True),
)

user_roles = Table(
    "hookgate_user_roles",
    metadata,
    Column("user", ForeignKey("hookgate_users.name", ondelete="CASCADE"), primary_key=True),
    Column("role", ForeignKey("hookgate_roles.name"), primary_key=True, index=True),
)

tokens = Table(
    "hookgate_tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user", ForeignKey("hookgate_users.name", ondelete="CASCADE"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", Text),
    Column("made", Float, nullable=False),
    Column("ends", Float),
    Column("used", Float),
)
"""``scopes`` is a list in JSON, or null for whatever the user may do."""

sessions = Table(
    "hookgate_sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user", ForeignKey("hookgate_users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("method", String(200), nullable=False),
    Column("address", String(100), nullable=False),
    Column("agent", String(200), nullable=False),
    Column("made", Float, nullable=False),
    Column("used", Float, nullable=False),
    Column("ends", Float, nullable=False),
)

factors = Table(
    "hookgate_factors",
    metadata,
    Column("user", ForeignKey("hookgate_users.name", ondelete="CASCADE"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("step", BigInteger, nullable=False),
)
"""Second factors; ``step`` is that of the last code that was taken, so that none is taken twice."""

recovery = Table(
    "hookgate_recovery",
    metadata,
    Column("user", ForeignKey("hookgate_users.name", ondelete="CASCADE"), primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
)

identities = Table(
    "hookgate_identities",
    metadata,
    Column("user", ForeignKey("hookgate_users.name", ondelete="CASCADE"), primary_key=True),
    Column("provider", String(100), nullable=False),
    Column("subject", String(500)),
    Column("roles", Text, nullable=False),
    UniqueConstraint("provider", "subject"),
)
"""Who a user is at a provider outside; ``subject`` is null until the first login, ``roles`` is a list in JSON."""

audit = Table(
    "hookgate_audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False, index=True),
    Column("who", String(200), nullable=False),
    Column("action", String(100), nullable=False),
    Column("object", String(400), nullable=False, index=True),
    Column("outcome", String(200), nullable=False),
    Column("address", String(100), nullable=False),
    Column("sealed", LargeBinary),
    Column("mac", LargeBinary, nullable=False),
)

audit_head = Table(
    "hookgate_audit_head",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("mac", LargeBinary, nullable=False),
)
"""One row: how many entries there are, so that a cut end shows."""
