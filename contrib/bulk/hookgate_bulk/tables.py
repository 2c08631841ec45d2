"""The tables: bulks, and their rows with what came of each."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

PAUSED = "PAUSED"
QUEUED, RUNNING, DONE, FAILED, INVALID, STOPPED = "queued", "running", "done", "failed", "invalid", "stopped"
ROW_STATUSES = (QUEUED, RUNNING, DONE, FAILED, INVALID, STOPPED)

bulks = Table(
    "hookgate_bulks",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("guid", String(36), nullable=False, unique=True),
    Column("action", String(200), nullable=False),
    Column("route", String(300), nullable=False),
    Column("method", String(20), nullable=False),
    Column("owner", String(200), index=True),
    Column("workflow", String(200), nullable=False),
    Column("definition", Text, nullable=False),
    Column("handler", String(200), nullable=False),
    Column("request", Text, nullable=False),
    Column("parallel", Integer, nullable=False),
    Column("sequence_timeout", Float),
    Column("stop_on_error", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("status", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("closed", Float),
    Column("lease", String(40)),
    Column("lease_until", Float),
    Column("fence", Integer, nullable=False),
    Index("ix_hookgate_bulks_status", "status", "lease_until"),
)
"""``status`` is that of an instance, or ``PAUSED``. ``definition`` is what its rows run, whatever becomes of the
workflow; ``request`` what all of them see of the call. ``lease`` names the process that starts rows, ``fence`` counts
those that have."""

rows = Table(
    "hookgate_bulk_rows",
    metadata,
    Column("bulk", BigInteger, primary_key=True, autoincrement=False),
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("line", Integer, nullable=False),
    Column("original", Text, nullable=False),
    Column("value", Text),
    Column("status", String(10), nullable=False),
    Column("trace", Text, nullable=False),
    Column("instance", BigInteger, index=True),
    Column("guid", String(36)),
    Column("attempt", Integer, nullable=False),
    Column("response", Text, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Index("ix_hookgate_bulk_rows_status", "bulk", "status", "row"),
)
"""``value`` is what the row was converted to, where that differs; ``trace`` says what went wrong, and ``response`` is
what its instance has put under ``*response*``."""
