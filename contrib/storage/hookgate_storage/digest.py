"""The digest over all objects of a store: equal where, and only where, two nodes hold the same.

It is the sum of one keyed hash for each object, so that a change costs the same whatever the store holds, and the order
does not matter. Without the key nobody can look for two sets with one digest, nor learn from it what is stored.
"""

from __future__ import annotations

import hmac
from typing import Any

import orjson

MODULUS = 2**256


def canonical(body: Any) -> bytes:
    """Write a body in the one way in which it is hashed and sealed."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def share(key: bytes, kind: str, name: str, version: int, plain: bytes) -> int:
    """Return what one object adds to the digest."""
    place = orjson.dumps([kind, name, version])
    return int.from_bytes(hmac.digest(key, place + b"\0" + plain, "sha256"), "big")


def shown(total: int) -> str:
    """Write a digest."""
    return f"{total % MODULUS:064x}"
