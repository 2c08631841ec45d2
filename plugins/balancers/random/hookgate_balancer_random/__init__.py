"""A random target, by weight."""

from collections.abc import Sequence
from random import Random as Generator
from typing import ClassVar

from hookgate import Balancer, Exchange, Options, Target, hookimpl


class Random(Balancer[Options]):
    """Each target comes up with the probability of its weight in the sum of all weights.

    It keeps nothing between calls. So many gateways in front of the same targets do not fall into step, as rotations
    that start together do, and a target that comes back has nothing to catch up on.
    """

    generator: ClassVar[Generator] = Generator()  # noqa: S311 - nothing secret hangs on it
    """Where chance comes from; a test puts another one here."""

    @hookimpl
    def pick(self, exchange: Exchange, targets: Sequence[Target]) -> Target | None:
        """Return a target by chance, or nothing where there is none."""
        if len(targets) < 2:
            return targets[0] if targets else None
        return self.generator.choices(targets, [target.weight for target in targets])[0]
