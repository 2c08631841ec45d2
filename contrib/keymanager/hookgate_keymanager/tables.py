"""The tables. Tokens, codes and client secrets are kept as SHA-256: 256 bits by chance need no salt."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()


def _of_client() -> Column[str]:
    return Column("client", ForeignKey("hookgate_oauth_clients.id", ondelete="CASCADE"), nullable=False, index=True)


clients = Table(
    "hookgate_oauth_clients",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("secret", LargeBinary),
    Column("application", String(200), nullable=False, index=True),
    Column("owner", String(200), nullable=False),
    Column("key_type", String(20), nullable=False),
    Column("grants", Text, nullable=False),
    Column("callbacks", Text, nullable=False),
    Column("lifetime", Float),
    Column("made", Float, nullable=False),
)
"""``secret`` is null for a public client (RFC 6749, 2.1), ``lifetime`` where the section says it. ``grants`` and
``callbacks`` are lists in JSON."""

tokens = Table(
    "hookgate_oauth_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    _of_client(),
    Column("user", String(200), index=True),
    Column("scope", Text, nullable=False),
    Column("family", String(32), index=True),
    Column("made", Float, nullable=False),
    Column("ends", Float, index=True),
)
"""Access tokens. ``user`` is null for a token of the application itself, ``ends`` for one that is good for ever."""

refresh = Table(
    "hookgate_oauth_refresh",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    _of_client(),
    Column("user", String(200), nullable=False, index=True),
    Column("scope", Text, nullable=False),
    Column("family", String(32), nullable=False, index=True),
    Column("made", Float, nullable=False),
    Column("ends", Float, nullable=False, index=True),
    Column("used", Boolean, nullable=False),
)
"""Refresh tokens. One that was used stays until its end, so that a second use shows (RFC 9700, 4.14)."""

codes = Table(
    "hookgate_oauth_codes",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    _of_client(),
    Column("user", String(200), nullable=False),
    Column("scope", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("written", Boolean, nullable=False),
    Column("challenge", String(128), nullable=False),
    Column("family", String(32), nullable=False),
    Column("ends", Float, nullable=False, index=True),
    Column("used", Boolean, nullable=False),
)
"""Authorization codes. ``written`` says whether the request has named the redirect URI (RFC 6749, 4.1.3)."""

ended = Table(
    "hookgate_oauth_ended",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(10), nullable=False),
    Column("value", String(200), nullable=False),
    Column("at", Float, nullable=False),
)
"""What has ended before its time, with numbers that commit in order, for nodes that keep answers."""
