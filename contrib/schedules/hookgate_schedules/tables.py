"""The tables: how far schedules are, and what they have started."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, MetaData, String, Table

metadata = MetaData()

schedules = Table(
    "hookgate_schedules",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("since", Float, nullable=False),
    Column("seen", Float, nullable=False),
)
"""``digest`` is of what a schedule says: nodes may have different documents for a while. ``since`` is the last time
that was dealt with, ``seen`` when a node last had the schedule like that."""

runs = Table(
    "hookgate_schedule_runs",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("due", Float, primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("instance", BigInteger, nullable=False),
    Column("guid", String(36), nullable=False),
    Column("by", String(200)),
    Column("at", Float, nullable=False, index=True),
)
"""One row for each start. ``kind`` is ``due``, ``missed`` or ``manual``."""
