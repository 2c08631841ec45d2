"""Smooth weighted round robin over the targets of a connection."""

from collections.abc import Sequence

from hookgate import Balancer, Exchange, Options, Target, hookimpl

REMEMBERED = 64
"""Sets of targets whose rotation is kept; the one not used for longest makes room."""


class WeightedRoundRobin(Balancer[Options]):
    """Each target comes up as often as its weight says, and heavy ones are spread out: A5 B1 C1 makes A A B A C A A.

    The algorithm is nginx's: at each pick every target gains its weight, the one that has most is chosen (the first of
    equals) and pays the sum of all weights. From zero it comes back to zero after as many picks as the weights add up
    to, so in any run of that many picks each target comes up exactly as often as its weight (AC-5).

    That holds only while the targets are the same ones. So each set of usable targets has a rotation of its own: a
    target that leaves and comes back, or is left out when a call is tried again, neither upsets the rotation of the
    others nor has anything to catch up on.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._rotations: dict[tuple[tuple[Target, int], ...], list[int]] = {}
        self._last: tuple[tuple[tuple[Target, int], ...], list[int]] = ((), [])

    @hookimpl
    def pick(self, exchange: Exchange, targets: Sequence[Target]) -> Target | None:
        """Return the target whose turn it is, or nothing where there is none."""
        if len(targets) < 2:
            return targets[0] if targets else None
        gains = self._rotation(targets)
        best = total = 0
        for place, target in enumerate(targets):
            gains[place] += target.weight
            total += target.weight
            if gains[place] > gains[best]:
                best = place
        gains[best] -= total
        return targets[best]

    def _rotation(self, targets: Sequence[Target]) -> list[int]:
        """Return what each of these targets has gained so far."""
        key = tuple((target, target.weight) for target in targets)
        if key == self._last[0]:
            return self._last[1]
        rotation = self._rotations.pop(key, None)
        if rotation is None:
            rotation = [0] * len(targets)
            if len(self._rotations) >= REMEMBERED:
                del self._rotations[next(iter(self._rotations))]
        self._rotations[key] = rotation  # the last one in the order is the one used last
        self._last = key, rotation
        return rotation
