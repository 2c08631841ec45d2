"""From text to checked records. It knows no section by name."""

from hookgate.document.document import MAX_BYTES, Document, parse

__all__ = ["MAX_BYTES", "Document", "parse"]
