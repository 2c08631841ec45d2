"""Objects of the document in a database: a ledger of generations, secrets sealed, and proof of what a node serves."""

from hookgate_storage import digest, serving, snapshot
from hookgate_storage.asked import ask_store
from hookgate_storage.database import Database
from hookgate_storage.errors import Exists, Missing, Moved, Refused, SealBroken, Stale, StoreError
from hookgate_storage.fencing import Allowed, Reach, forbidden
from hookgate_storage.merging import Merged, installed, merge, tried
from hookgate_storage.pruning import Keep, prune, removed
from hookgate_storage.sealing import Keys
from hookgate_storage.section import Storage
from hookgate_storage.serving import Served
from hookgate_storage.source import Store as StoreSource
from hookgate_storage.source import StoreOptions, configured
from hookgate_storage.store import Store, open_store
from hookgate_storage.things import Change, Generation, Made, Node, Object, Whole, Writing
from hookgate_storage.upgrading import upgrade
from hookgate_storage.writing import checked, is_other_path

__all__ = [
    "Allowed",
    "Change",
    "Database",
    "Exists",
    "Generation",
    "Keep",
    "Keys",
    "Made",
    "Merged",
    "Missing",
    "Moved",
    "Node",
    "Object",
    "Reach",
    "Refused",
    "SealBroken",
    "Served",
    "Stale",
    "Storage",
    "Store",
    "StoreError",
    "StoreOptions",
    "StoreSource",
    "Whole",
    "Writing",
    "ask_store",
    "checked",
    "configured",
    "digest",
    "forbidden",
    "installed",
    "is_other_path",
    "merge",
    "open_store",
    "prune",
    "removed",
    "serving",
    "snapshot",
    "tried",
    "upgrade",
]
