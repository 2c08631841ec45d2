"""The ``hookgate`` command, and what commands share: how they speak, read documents and ask a running gateway."""

from hookgate.commands.check import configuration
from hookgate.commands.cli import app, main
from hookgate.commands.output import (
    DocumentArgument,
    document_path,
    errors,
    out,
    print_line,
    say,
    start_logging,
    table,
)
from hookgate.commands.remote import ask, management_url, refused
from hookgate.commands.signals import Signals

__all__ = [
    "DocumentArgument",
    "Signals",
    "app",
    "ask",
    "configuration",
    "document_path",
    "errors",
    "main",
    "management_url",
    "out",
    "print_line",
    "refused",
    "say",
    "start_logging",
    "table",
]
