"""The same target for the same key (weighted rendezvous hashing)."""

import math
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from random import Random
from typing import ClassVar

from pydantic import Field, field_validator

from hookgate import Balancer, Exchange, Expression, ExpressionError, Options, Target, hookimpl

LATER = frozenset({"fault", "response", "target"})
"""What an expression can read elsewhere, and what is not there yet when a target is picked."""


class HashOptions(Options):
    """Options of `hash`."""

    by: Expression = Field(default=Expression("request.client"), validate_default=True)
    """The key: calls for which this expression is the same go to the same target, such as `request.headers['x-user']`,
    `identity.subject` or `request.path`."""

    @field_validator("by")
    @classmethod
    def _known_in_time(cls, by: Expression) -> Expression:
        if by.reads_body:
            raise ValueError("request.body is not there yet when a target is picked; take a header, or the path")
        if early := sorted(by.roots & LATER):
            raise ValueError(f"{' and '.join(early)} cannot be read: the target is picked before there is an answer")
        return by


class Hash(Balancer[HashOptions]):
    """Sends calls with the same key to the same target, and keys to targets by their weight.

    The method is weighted rendezvous hashing: key and target together give a number, and the best one wins. A target
    that leaves, is ill, or was tried by this call already hands its keys on to all the others by their weight, and gets
    the same ones back; no other key moves. It is the same in every gateway that has the same targets, in any order.

    A call whose key is null or empty, or cannot be computed, gets a random target by weight. Numbers and lists are keys
    by how they print, so that `1` and `"1"` are the same.
    """

    generator: ClassVar[Random] = Random()  # noqa: S311 - nothing secret hangs on it
    """Where chance comes from for calls without a key; a test puts another one here."""

    @hookimpl
    def pick(self, exchange: Exchange, targets: Sequence[Target]) -> Target | None:
        """Return the target of the key, or nothing where there is no target."""
        if len(targets) < 2:
            return targets[0] if targets else None
        key = self._key(exchange)
        if not key:
            return self.generator.choices(targets, [target.weight for target in targets])[0]
        hashed = blake2b(key, digest_size=8)
        best, least = targets[0], math.inf
        for target in targets:
            # For a u from 0 to 1, -log(u) / weight is least for each target as often as its weight says.
            both = hashed.copy()
            both.update(_fingerprint(target.url))
            distance = -math.log((int.from_bytes(both.digest(), "big") + 1) / 2**64) / target.weight
            if distance < least:
                best, least = target, distance
        return best

    def _key(self, exchange: Exchange) -> bytes:
        try:
            value = self.options.by(exchange)
        except ExpressionError:
            return b""
        return b"" if value is None else str(value).encode("utf-8", "surrogatepass")


@lru_cache(maxsize=4096)
def _fingerprint(url: str) -> bytes:
    """Stand for a target, with a fixed length so that no key can run into it."""
    return blake2b(url.encode(), digest_size=16).digest()
