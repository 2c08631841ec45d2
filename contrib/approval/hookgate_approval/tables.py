"""The table: calls that wait for a person, and what became of them."""

from __future__ import annotations

from sqlalchemy import Column, Float, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

approvals = Table(
    "hookgate_approvals",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("state", String(10), nullable=False),
    Column("caller", String(200), nullable=False, index=True),
    Column("call", LargeBinary, nullable=False),
    Column("at", Float, nullable=False),
    Column("expires", Float, nullable=False, index=True),
    Column("by", String(200)),
    Column("comment", Text),
    Column("decided", Float),
)
"""``state`` is ``waiting``, ``approved``, ``refused`` or ``used``; that the time of one is over is not written.
``call`` is sealed: all that the grant is bound to, and what the approver sees. ``caller`` stands beside it to be
counted by."""
