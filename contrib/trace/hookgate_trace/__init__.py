"""Traces: what every hook of a call did, in the order in which it happened, with the difference it made."""

from hookgate_trace.difference import Change, HookRun
from hookgate_trace.masking import masked_head, masked_query, note_signatures
from hookgate_trace.section import TraceSection, Tracing
from hookgate_trace.shown import INDENT, PHRASES, hook_lines
from hookgate_trace.trace import Trace

__all__ = [
    "INDENT",
    "PHRASES",
    "Change",
    "HookRun",
    "Trace",
    "TraceSection",
    "Tracing",
    "hook_lines",
    "masked_head",
    "masked_query",
    "note_signatures",
]
