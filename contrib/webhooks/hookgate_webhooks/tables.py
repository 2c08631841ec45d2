"""The table: what is to be delivered, and what came of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()
WAITING, DONE, FAILED = "waiting", "done", "failed"

deliveries = Table(
    "hookgate_webhook_deliveries",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("guid", String(36), nullable=False, unique=True),
    Column("webhook", String(200), nullable=False),
    Column("instance", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
    Column("status", String(10), nullable=False),
    Column("tries", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("created", Float, nullable=False, index=True),
    Column("next", Float),
    Index("ix_hookgate_webhook_deliveries_next", "status", "next"),
)
"""``payload`` holds no secret: that is put in when it is sent. Whoever tries one moves ``next`` on, so that others
leave it alone meanwhile, and raises ``attempt``; ``tries`` says what came of each."""
