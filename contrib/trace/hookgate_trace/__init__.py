"""Traces: what every hook of a call did, in the order in which it happened, with the difference it made."""

from hookgate_trace.record import Change, HookRun
from hookgate_trace.shown import as_lines
from hookgate_trace.trace import Trace

__all__ = ["Change", "HookRun", "Trace", "as_lines"]
