"""What this process serves out of a store, for the source that reads it, the section that tells of it, and pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hookgate.document import Document
from hookgate_storage.fencing import NOTHING, Allowed
from hookgate_storage.pruning import Keep
from hookgate_storage.store import Store
from hookgate_storage.things import Generation

_served: dict[str, Served] = {}


@dataclass
class Served:
    """One reading of a store, which a document was made of."""

    store: Store | None
    """``None`` where it could not be opened at all."""
    node: str
    generation: Generation
    shown: tuple[tuple[str, str], ...]
    """Kinds and names of the stored objects that are in the document."""
    rejected: tuple[dict[str, str], ...]
    """Those that are not, with the reason."""
    file: Document
    """What stands in the file, which is read-only."""
    allowed: Allowed = NOTHING
    """What stored objects may do."""
    from_snapshot: bool = False
    """The database was away; this is what the node had served last."""
    teller: Any = None
    """Hears what is served, where that is not the store: the gateway that a node far away follows."""
    keep: Keep = field(default_factory=Keep)
    """How long what is old is kept."""


def put(name: str, served: Served) -> None:
    """Keep a reading under the name that stands in its document; the last few are kept, for the one that is live."""
    _served[name] = served
    for old in list(_served)[:-4]:
        del _served[old]


def get(name: str) -> Served | None:
    """Return a reading."""
    return _served.get(name)
