"""Records that were good when the document was read last: what is written as it was then is not checked again.

So a change of one object costs what that object costs. A record is kept only if it stands on nothing but what is
written, the names that it refers to, and named instances that are the same still: not if it names a file.
"""

from __future__ import annotations

import marshal
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel

from hookgate.document.catalogue import Catalogue
from hookgate.exchange.errors import Path, Problem

Key = tuple[type[BaseModel], str, str]
"""The model, the owner, and the origin of a record."""
_SECRET = secrets.token_bytes(32)
"""What is written may hold secrets, so only digests are kept that say nothing to others."""


def digest(raw: Any) -> bytes | None:
    """Return what tells two writings apart; ``None`` for what is no plain value."""
    try:
        return blake2b(marshal.dumps(raw, 2), digest_size=16, key=_SECRET).digest()
    except ValueError:
        return None


@dataclass(slots=True)
class Checked:
    """One record, and everything that was noted while it was checked."""

    digest: bytes
    folder: object
    found: Any = None
    sound: bool = True
    """Nothing stands in the way of keeping it."""
    made: list[tuple[str, Any, Any]] = field(default_factory=list)
    """Names of mappings of the builder, with key and value of what was put there; places count from the record."""
    warnings: list[Problem] = field(default_factory=list)
    """Their places count from the record."""
    referred: set[tuple[str, str]] = field(default_factory=set)
    """Sections, with names in them."""
    named: list[tuple[tuple[str, str], Any]] = field(default_factory=list)
    """Names of named instances that it holds, with these."""

    def close(self, found: Any, path: Path, warnings: Iterable[Problem]) -> None:
        """Take in the record, and let all places count from its own."""
        here = len(path)
        self.found = found
        self.made = [(to, key, value[here:] if to == "placed" else value) for to, key, value in self.made]
        self.warnings = [replace(warning, path=warning.path[here:]) for warning in warnings]


class Kept:
    """The records of one document, for the one after it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.records: dict[Key, Checked] = {}

    def find(self, key: Key, written: bytes | None, folder: object) -> Checked | None:
        """Return what was kept of a record that is written so."""
        held = self.records.get(key)
        return held if held is not None and held.digest == written and held.folder == folder else None

    def keep(self, key: Key, checked: Checked) -> None:
        """Keep a record."""
        self.records[key] = checked
