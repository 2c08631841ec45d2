"""What ends before its time: told to the cache of every node within a second, whichever node has ended it (KC-8)."""

from __future__ import annotations

import logging

from hookgate_keymanager.tables import ended
from hookgate_people import Notices, People
from hookgate_storage import Store

LOCK = 0x686F6F6B6F617574
"""Number of the advisory lock on PostgreSQL that those hold who end something or use something up."""


class Endings(Notices):
    """Notes what has ended, and tells of it."""

    def __init__(self, store: Store, patience: float = 10.0, people: People | None = None) -> None:
        log = logging.getLogger("hookgate.keymanager")
        super().__init__(store, ended, log, lock=LOCK, patience=patience, people=people)
