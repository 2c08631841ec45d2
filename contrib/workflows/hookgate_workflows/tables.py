"""The journal: instances of workflows, the runs of their cells, their documents, and the calls that they made."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

numbers = Table(
    "hookgate_workflow_numbers",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("next", BigInteger, nullable=False),
)
"""The next number of an instance; processes take some at a time."""

definitions = Table(
    "hookgate_workflow_definitions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("body", Text, nullable=False),
    Column("made", Float, nullable=False),
)
"""Definitions as they were when an instance was started that may go on later: it stays on its own (WF-4)."""

instances = Table(
    "hookgate_workflow_instances",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("guid", String(36), nullable=False, unique=True),
    Column("workflow", String(200), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("parent", BigInteger, index=True),
    Column("label", String(200), nullable=False),
    Column("route", String(300), nullable=False),
    Column("method", String(20), nullable=False),
    Column("owner", String(200), index=True),
    Column("handler", String(200), nullable=False),
    Column("status", String(20), nullable=False),
    Column("request_status", String(100), nullable=False),
    Column("waits", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("errors", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("closed", Float),
    Column("wake", Float),
    Column("lease", String(40)),
    Column("lease_until", Float),
    Column("fence", Integer, nullable=False),
    Index("ix_hookgate_workflow_instances_ready", "status", "waits", "lease_until"),
    Index("ix_hookgate_workflow_instances_created", "created"),
)
"""``owner`` is who has called, ``handler`` the workflow for errors. ``status`` is ``ACTIVE``, ``CLOSED_IN_SUCCESS`` or
``CLOSED_IN_ERRORS``; ``waits`` says what an active one waits for: nothing, ``time``, ``call`` or ``person``, with the
``reason``. ``state`` is what the engine goes on from: cells that are ready, and inputs that have come. ``lease`` names
the process that runs it, ``fence`` counts those that have taken it."""

cells = Table(
    "hookgate_workflow_cells",
    metadata,
    Column("instance", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("cell", String(200), nullable=False),
    Column("node", String(100), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", String(10), nullable=False),
    Column("output", String(200), nullable=False),
    Column("given", Text, nullable=False),
    Column("changes", Text, nullable=False),
    Column("messages", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("key", String(200), nullable=False, index=True),
    Column("started", Float, nullable=False),
    Column("ended", Float),
    Column("fence", Integer, nullable=False),
)
"""Runs of cells. ``status`` is ``RUNNING``, ``WAITING``, ``OK`` or ``ERROR``, or ``READY`` where somebody has decided
that it is run again; ``given`` is what it worked with, and ``changes`` what it put into the context; ``key`` is what
somebody names who resumes it."""

documents = Table(
    "hookgate_workflow_documents",
    metadata,
    Column("instance", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(200), primary_key=True),
    Column("media_type", String(200), nullable=False),
    Column("description", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
"""Files that an instance has built, or was sent."""

calls = Table(
    "hookgate_workflow_calls",
    metadata,
    Column("instance", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("method", String(20), nullable=False),
    Column("url", Text, nullable=False),
    Column("host", String(300), nullable=False, index=True),
    Column("connection", String(200), nullable=False),
    Column("status", Integer),
    Column("error", String(200), nullable=False),
    Column("at", Float, nullable=False, index=True),
    Column("seconds", Float, nullable=False),
)
"""Calls to others, by the run of the cell that made them."""

keys = Table(
    "hookgate_workflow_keys",
    metadata,
    Column("key", String(100), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("instance", BigInteger, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("until", Float),
    Column("value", Text),
    Column("come", Float),
)
"""What somebody outside names who answers to a run of a cell: the id of a ``callback`` or, as a digest, a token that is
good for once (``ott``). ``value`` is what a callback has brought, or what a token stands for; ``come`` is when."""
