"""The last good snapshot of a store, sealed, beside the node: it starts from it while the database is away."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import orjson

from hookgate_storage import digest as digests
from hookgate_storage.errors import StoreError
from hookgate_storage.sealing import Keys
from hookgate_storage.things import Generation, Object, Whole

PLACE = "snapshot"


def keep(path: Path, whole: Whole, keys: Keys, secret: bytes) -> None:
    """Write a snapshot, in one step, with the key of its digest.

    Raises:
        OSError: the folder may not be written, or is full; what was there stays.
    """
    told = {"secret": secret.hex(), "generation": whole.generation, "objects": whole.objects}
    sealed = keys.seal(orjson.dumps(told), PLACE)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def kept(path: Path, keys: Keys) -> Whole:
    """Read a snapshot.

    Raises:
        StoreError: there is none, it is damaged, or it does not hold what its generation says.
    """
    try:
        told = orjson.loads(keys.open(path.read_bytes(), PLACE))
    except OSError as error:
        raise StoreError(f"and there is no snapshot of it in {path}: {error.strerror}") from None
    whole = Whole(Generation(**told["generation"]), tuple(Object(**each) for each in told["objects"]))
    head, secret, total = whole.generation, bytes.fromhex(told.get("secret", "")), 0
    for each in whole.objects:
        total += digests.share(secret, each.kind, each.name, each.version, digests.canonical(each.body))
    if (digests.shown(total), len(whole.objects)) != (head.digest, head.count):
        raise StoreError(f"and the snapshot of it in {path} does not hold what generation {head.number} says")
    return whole
