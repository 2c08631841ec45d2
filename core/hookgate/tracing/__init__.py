"""Traces: what every hook of a call did, in the order in which it happened, with the difference it made."""

from hookgate.tracing.record import Change, HookRun
from hookgate.tracing.shown import as_lines
from hookgate.tracing.trace import Trace

__all__ = ["Change", "HookRun", "Trace", "as_lines"]
