"""The tables. Bodies are sealed; what stands in clear is what an index or an operator needs."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

objects = Table(
    "hookgate_objects",
    metadata,
    Column("kind", String(100), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("shape", String(10), nullable=False),
    Column("version", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

generations = Table(
    "hookgate_generations",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("author", String(200), nullable=False),
    Column("comment", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("count", Integer, nullable=False),
)

changes = Table(
    "hookgate_changes",
    metadata,
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(100), nullable=False),
    Column("name", String(200), nullable=False),
    Column("shape", String(10), nullable=False),
    Column("version", Integer, nullable=False),
    Column("sealed", LargeBinary),
    Index("hookgate_changes_of_object", "kind", "name", "generation"),
)
"""``sealed`` is the body after the change; null where the object was removed."""

nodes = Table(
    "hookgate_nodes",
    metadata,
    Column("node", String(200), primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("rejected", Text, nullable=False),
    Column("seen", Float, nullable=False),
)

facts = Table(
    "hookgate_facts",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
"""What the store knows of itself: the key of its digest."""
