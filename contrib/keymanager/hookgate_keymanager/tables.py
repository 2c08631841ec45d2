"""The tables. Tokens, codes and client secrets are kept as SHA-256: 256 bits by chance need no salt."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
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
    Column("format", String(10)),
)
"""``secret`` is null for a public client (RFC 6749, 2.1), ``lifetime`` and ``format`` where the section says it.
``grants`` and ``callbacks`` are lists in JSON."""

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
    Column("grant_type", String(200)),
    Column("key", String(64)),
    Column("sealed", LargeBinary),
    Index("ix_hookgate_oauth_tokens_key", "key", "ends"),
)
"""Access tokens. ``user`` is null for a token of the application itself, ``ends`` for one that is good for ever,
``grant_type`` for one that is older than the column. ``key`` has signed it, or the ID token that came with it; it is
null where nothing was. ``sealed`` are claims of other systems, where there are any."""

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
    Column("grant_type", String(200)),
    Column("auth_time", Float),
)
"""Refresh tokens. One that was used stays until its end, so that a second use shows (RFC 9700, 4.14). ``auth_time`` is
null where nobody has logged in on a page of ours."""

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
    Column("grant_type", String(200)),
    Column("auth_time", Float),
    Column("nonce", Text),
)
"""Authorization codes. ``written`` says whether the request has named the redirect URI (RFC 6749, 4.1.3);
``auth_time`` is null for one that is older than the column."""

keys = Table(
    "hookgate_oauth_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("algorithm", String(10), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("made", Float, nullable=False),
)
"""Key pairs that tokens are signed with, sealed; the one with the highest number signs."""

devices = Table(
    "hookgate_oauth_devices",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("user_code", LargeBinary, nullable=False, unique=True),
    _of_client(),
    Column("scope", Text, nullable=False),
    Column("user", String(200)),
    Column("state", String(10), nullable=False),
    Column("family", String(32), nullable=False),
    Column("asked", Float, nullable=False),
    Column("pause", Float, nullable=False),
    Column("ends", Float, nullable=False, index=True),
    Column("auth_time", Float),
)
"""Devices that wait for somebody to agree (RFC 8628): ``asked`` is when one asked last, ``pause`` the seconds until it
may ask again, ``state`` is ``waiting``, ``agreed``, ``refused`` or ``used``."""

shown = Table(
    "hookgate_oauth_shown",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("ends", Float, nullable=False, index=True),
)
"""Assertions that were shown, so that none is taken twice (RFC 7523, 3)."""

ended = Table(
    "hookgate_oauth_ended",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(10), nullable=False),
    Column("value", String(200), nullable=False),
    Column("at", Float, nullable=False),
)
"""What has ended before its time, with numbers that commit in order, for nodes that keep answers."""
