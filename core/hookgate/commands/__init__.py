"""The ``hookgate`` command, and what commands share: how they speak, read documents and ask a running gateway."""

from hookgate.commands.check import configuration
from hookgate.commands.cli import app, main
from hookgate.commands.output import (
    DocumentArgument,
    Line,
    document_path,
    errors,
    out,
    print_line,
    printable,
    start_logging,
)
from hookgate.commands.remote import ask, management_url, refused

__all__ = [
    "DocumentArgument",
    "Line",
    "app",
    "ask",
    "configuration",
    "document_path",
    "errors",
    "main",
    "management_url",
    "out",
    "print_line",
    "printable",
    "refused",
    "start_logging",
]
