"""Traces as tests make them, and files of them."""

import logging
from contextlib import closing
from dataclasses import replace
from unittest.mock import Mock

from hookgate.testing import MovableClock
from hookgate_trace.file import Bounds, TraceFile, search
from hookgate_trace.filters import Filters
from hookgate_trace.rows import row_of

NOW = 1_700_000_000.0
BOUNDS = Bounds(keep=3600, at_most=64 * 1024 * 1024, count=10_000)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def trace(identifier="a", **more):
    """A trace as ``as_dict`` tells it."""
    path, status, headers = more.pop("path", "/"), more.pop("status", 200), more.pop("headers", [])
    return {
        "id": identifier,
        "reason": "sample",
        "time": NOW,
        "seconds": 0.01,
        "generation": 1,
        "request": {
            "method": more.pop("method", "GET"),
            "scheme": "http",
            "host": "x",
            "path": path,
            "query": "",
            "headers": headers,
            "client": "127.0.0.1",
            "http_version": "1.1",
        },
        "route": {"name": "orders"},
        "api": None,
        "params": {},
        "environment": "",
        "identity": None,
        "application": None,
        "plan": None,
        "hooks": [],
        "notes": [],
        "facts": {},
        "callouts": [],
        "attempts": [],
        "answered_by": None,
        "fault": None,
        "response": None if status is None else {"status": status, "headers": [], "bytes": 0},
        "outcome": "ok",
        **more,
    }


def rows(*traces, most=1024 * 1024):
    """Return the rows of traces."""
    return [row_of(each, most) for each in traces]


def opened(path, **bounds):
    """Open a file of traces whose clock stands at ``NOW``."""
    return closing(TraceFile(path, replace(BOUNDS, **bounds), MovableClock(NOW)))


def ids(path, filters=None, **how):
    """Return the ids of the traces that a file holds."""
    return [row["id"] for row in search(path, filters or Filters(), most=10_000, **how)]


class House:
    """What an observer is started with."""

    def __init__(self):
        self.clock = MovableClock(NOW)
        self.metrics = Mock()
        self.log = logging.getLogger("hookgate.test-trace")


class Call:
    """A finished call with a trace."""

    def __init__(self, told):
        self.trace = self
        self.told = told

    def as_dict(self):
        """Tell the trace as it was given."""
        return self.told
