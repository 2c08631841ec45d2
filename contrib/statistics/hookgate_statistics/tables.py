"""The tables: counts by resolution and start, and which batches have been added."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, MetaData, String, Table, Text

from hookgate_statistics.cells import DIMENSIONS

metadata = MetaData()
REVISION = "c0001"
"""Of the tables that this version works with."""

counts = Table(
    "hookgate_statistics",
    metadata,
    Column("resolution", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", String(40), primary_key=True),
    *(Column(name, Text, nullable=False) for name in DIMENSIONS),
    *(Column(name, BigInteger, nullable=False) for name in ("calls", "client_errors", "server_errors", "aborted")),
    *(Column(name, BigInteger, nullable=False) for name in ("received", "sent")),
    Column("seconds", Float, nullable=False),
    Column("sketch", LargeBinary, nullable=False),
)
"""``resolution`` is 60, 3600 or 86400 seconds, ``start`` a Unix time that is a multiple of it."""

batches = Table(
    "hookgate_statistics_batches",
    metadata,
    Column("writer", String(40), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("at", Float, nullable=False),
)
"""The last batch of each writer that was added: one that is sent again is not added again."""
