"""The tables: usage by day and what it is counted under, and which batches have been added."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, MetaData, String, Table, Text

from hookgate_usage.folding import NAMES, NUMBERS

metadata = MetaData()
REVISION = "u0001"
"""Of the tables that this version works with."""

usage = Table(
    "hookgate_usage",
    metadata,
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", String(40), primary_key=True),
    *(Column(name, Text, nullable=False) for name in NAMES),
    *(Column(name, BigInteger, nullable=False) for name in NUMBERS),
)
"""``day`` is the Unix time at which a day of UTC begins."""

batches = Table(
    "hookgate_usage_batches",
    metadata,
    Column("writer", String(40), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("at", Float, nullable=False),
)
"""The last batch of each process that was added: one that is sent again is not added again."""
