"""The less busy of two random targets."""

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from hookgate import Balancer, Exchange, Options, Target, hookimpl


class LeastBusy(Balancer[Options]):
    """Draws two different targets by weight and takes the one with fewer calls in flight for its weight.

    This is the "power of two choices". A slow or stuck target collects calls in flight and so gets fewer new ones; and
    unlike with "the least busy of all", many gateways that see the same numbers do not all run to the same target. If
    both are as busy, the one drawn first is taken, so that idle targets are called by weight.

    Calls in flight are those of this connection, from the sending of the request to the last byte of the answer.
    """

    generator: ClassVar[Random] = Random()  # noqa: S311 - nothing secret hangs on it
    """Where chance comes from; a test puts another one here."""

    @hookimpl
    def pick(self, exchange: Exchange, targets: Sequence[Target]) -> Target | None:
        """Return the less busy of two, or nothing where there is no target."""
        if len(targets) < 2:
            return targets[0] if targets else None
        first, second = self._two(targets)
        # in_flight / weight, compared without dividing
        return second if second.in_flight * first.weight < first.in_flight * second.weight else first

    def _two(self, targets: Sequence[Target]) -> tuple[Target, Target]:
        weights = [target.weight for target in targets]
        places = range(len(targets))
        first = self.generator.choices(places, weights)[0]
        if len(targets) == 2:
            return targets[first], targets[1 - first]
        weights[first] = 0
        return targets[first], targets[self.generator.choices(places, weights)[0]]
