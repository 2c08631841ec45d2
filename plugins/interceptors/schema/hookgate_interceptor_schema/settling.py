"""Texts that may be several values: which of them a schema lets pass."""

from itertools import islice, product
from math import prod

from hookgate_interceptor_schema.checking import Check, is_small
from hookgate_interceptor_schema.parameters import Read

ROUNDS = 4
"""How often texts at places that are wrong are read in another way."""
COMBINATIONS = 64
"""Up to so many, every combination of readings is tried."""


def holds(check: Check, read: Read) -> bool:
    """Whether what was read is as a schema says, in any of the ways that its texts can be read.

    Only where the usual way fails others are tried, and only so many: what a stranger sends must not choose the time.
    """
    if check.holds(read.value):
        return True
    leaves = read.leaves
    if not leaves or not is_small(read.value):
        return False
    turns = [0] * len(leaves)
    for _ in range(ROUNDS):
        wrong = check.wrong(read.value)
        above = {path[:end] for path in wrong for end in range(len(path) + 1)}
        moved = False
        for index, leaf in enumerate(leaves):
            beside = leaf.path in above or any(leaf.path[:end] in wrong for end in range(len(leaf.path)))
            if beside and turns[index] + 1 < len(leaf.readings):
                turns[index] += 1
                leaf.take(turns[index])
                moved = True
        if not moved:
            break
        if check.holds(read.value):
            return True
    if prod(len(leaf.readings) for leaf in islice(leaves, 8)) <= COMBINATIONS and len(leaves) <= 8:
        for numbers in product(*(range(len(leaf.readings)) for leaf in leaves)):
            for leaf, number in zip(leaves, numbers, strict=True):
                leaf.take(number)
            if check.holds(read.value):
                return True
    for leaf in leaves:
        leaf.take(0)
    return False
