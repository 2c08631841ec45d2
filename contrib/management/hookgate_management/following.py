"""Pages for nodes far away, which have no way to the database: they follow the ledger, and say how far they have come.

What they get is everything that is stored, secrets too, or nothing could be served with it. So it takes a permission of
its own that no other one includes, and a connection that nobody else reads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

from quart import Response, request

from hookgate_management.answers import as_json
from hookgate_management.callers import where
from hookgate_management.calls import Calls, members, number
from hookgate_management.operations import READS, Operation, Operations, Parameter
from hookgate_management.problems import Refusal
from hookgate_people import FOLLOW
from hookgate_storage import Change, Generation, Store, Whole

FORMAT = 1
"""Of what is told; a node that knows another one only is refused."""
MOST_GENERATIONS, MOST_CHANGES = 200, 2000
"""A node that is further behind gets everything."""
LONGEST_WAIT = 25
"""Seconds that a node is kept waiting for something new."""
LOOK = 0.2
"""Seconds between looks at the store, for all nodes that wait together."""
MOST_REJECTED, LONGEST_TEXT = 1000, 1000

FOLLOWED = {
    "api.followed": {
        "type": "object",
        "required": ["format", "generation"],
        "properties": {
            "format": {"const": FORMAT},
            "generation": {"type": "object", "description": "The newest one; alone where nothing is new."},
            "secret": {"type": "string", "description": "The key of the digest, in hexadecimal."},
            "changes": {"type": "array", "items": {"type": "object"}, "description": "What came after the one known."},
            "objects": {"type": "array", "items": {"type": "object"}, "description": "Everything, in their place."},
        },
    },
    "api.heard": {
        "type": "object",
        "required": ["generation"],
        "properties": {"generation": {"type": "object", "description": "The newest one."}},
    },
}


class Heads:
    """What all who wait ask, asked once: the newest generation."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._seen: Generation | None = None
        self._at = 0.0

    async def newest(self, store: Store) -> Generation:
        """Return it, at most :data:`LOOK` seconds old.

        Raises:
            StoreError: the store is away.
        """
        async with self._turn:
            if self._seen is None or time.monotonic() - self._at >= LOOK:
                self._seen, self._at = await store.head(), time.monotonic()
            return self._seen


def following(api: Operations, calls: Calls, leaving: Callable[[], bool]) -> None:
    """Add the pages. Nobody waits any more when the gateway is ``leaving``."""
    heads = Heads()
    asked = (
        Parameter("after", "The generation that the node has.", {"type": "integer", "minimum": 0}),
        Parameter("digest", "Its digest."),
        Parameter("format", "What the node can read.", {"type": "integer", "minimum": 1}),
        Parameter(
            "wait", "Seconds to wait for a newer one.", {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT}
        ),
    )

    @api.add(
        Operation(
            "GET",
            "/follow",
            "follow",
            "Give a node that has no way to the database what has changed; with secrets, over TLS only",
            {200: "followed"},
            READS | {400},
            asked,
        )
    )
    async def follow() -> Response:
        _let(calls)
        most = 2**53
        after, wait = number("after", 0, most, 0), number("wait", 0, LONGEST_WAIT, 0)
        if number("format", FORMAT, most) != FORMAT:
            detail = f"This gateway tells nodes in format {FORMAT}, and that node reads another one: update the older."
            raise Refusal(409, detail, "format")
        digest, store = request.args.get("digest", ""), (await calls.changer()).store
        until = time.monotonic() + wait
        while True:
            head = await heads.newest(store)
            if (head.number, head.digest) != (after, digest):
                return as_json(await news(store, after, head))
            if time.monotonic() >= until or leaving():
                return as_json({"format": FORMAT, "generation": asdict(head)})
            await asyncio.sleep(LOOK)

    @api.add(
        Operation(
            "POST",
            "/follow/<name>",
            "heard",
            "Say what a node far away serves",
            {200: "heard"},
            READS | {400, 413, 415, 422},
            sends={
                "type": "object",
                "required": ["generation", "digest", "rejected"],
                "properties": {
                    "generation": {"type": "integer", "minimum": 0},
                    "digest": {"type": "string", "maxLength": 64},
                    "rejected": {"type": "array", "items": {"type": "object"}, "maxItems": MOST_REJECTED},
                },
                "additionalProperties": False,
            },
        )
    )
    async def heard(name: str) -> Response:
        caller = _let(calls)
        told = await members(needs=("generation", "digest", "rejected"))
        if not name.isprintable() or len(name) > 90:
            raise Refusal(422, "That is no name of a node.", "invalid")
        at, digest, rejected = told["generation"], told["digest"], told["rejected"]
        good = isinstance(at, int) and not isinstance(at, bool) and 0 <= at < 2**53 and isinstance(digest, str)
        if not good or len(digest) > 64 or not isinstance(rejected, list) or len(rejected) > MOST_REJECTED:
            raise Refusal(422, "Send generation, digest, and at most 1,000 objects that are rejected.", "invalid")
        store = (await calls.changer()).store
        served = Generation(at, 0.0, "", "", digest.replace("\0", ""), 0)
        await store.acknowledge(f"{caller}/{name}", served, [_rejected(each) for each in rejected])
        return as_json({"generation": asdict(await heads.newest(store))})


async def news(store: Store, after: int, head: Generation) -> dict[str, Any]:
    """Return what somebody needs who has come so far: the changes since, or everything."""
    told: dict[str, Any] = {"format": FORMAT, "secret": store.secret.hex()}
    behind = head.number - after
    if after and 0 < behind <= MOST_GENERATIONS:
        found = [(each, changes) for each, changes in await store.history(limit=behind) if each.number > after]
        is_whole = bool(found) and [each.number for each, _ in found] == [*range(found[0][0].number, after, -1)]
        if is_whole and sum(len(changes) for _, changes in found) <= MOST_CHANGES:
            listed = [_change(each.number, change) for each, changes in reversed(found) for change in changes]
            return {**told, "generation": asdict(found[0][0]), "changes": listed}
    whole: Whole = await store.current()
    objects = [asdict(each) for each in whole.objects]
    return {**told, "generation": asdict(whole.generation), "objects": objects}


def _let(calls: Calls) -> str:
    """Return who calls, if it is a node.

    Raises:
        Refusal: it is somebody else, or others could read what is told.
    """
    caller = calls.callers.caller()
    if FOLLOW not in caller.permissions:  # not even an administrator sees secrets
        raise Refusal(403, f"{caller.name} is no node: it takes the permission {FOLLOW} itself.", "forbidden")
    if request.scheme != "https" and not _is_here(where()):
        raise Refusal(403, "What is stored is told over TLS only: call with https.", "plain-http")
    return caller.name


def _is_here(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _change(generation: int, change: Change) -> dict[str, Any]:
    return {**asdict(change), "generation": generation}


def _rejected(each: Any) -> dict[str, str]:
    given = each if isinstance(each, dict) else {}
    return {name: str(given.get(name, ""))[:LONGEST_TEXT].replace("\0", "") for name in ("kind", "name", "why")}
