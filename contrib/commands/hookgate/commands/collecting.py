"""Keeps the collector of cyclic garbage from stopping calls: it looks at everything that there is, in one go.

What a document comes to lives long, and is let go of when its last call is over, without the collector. So what is
there when a document goes live is set apart, and only what came later is looked at. With 10,000 routes that is the
difference between a second in which nobody is served, several times for each change, and some milliseconds.
"""

from __future__ import annotations

import gc
import logging
import sys

from hookgate.gateway.generation import Generation

log = logging.getLogger("hookgate")

YOUNG, MIDDLE, OLD = 700, 10, 1000
"""Thresholds: the last one is a hundred times that of Python, since what is old is hardly ever garbage here."""
GROWTH = 2
"""How many times as much memory as at first may be in use, before garbage is looked for among what is set apart, too:
in blocks, since to count the objects there takes as long as to look at them."""


class Apart:
    """Sets apart what is there whenever a document goes live."""

    def __init__(self) -> None:
        gc.set_threshold(YOUNG, MIDDLE, OLD)
        self._least = 0
        """The fewest blocks that were in use."""

    async def follow(self, generation: Generation) -> None:
        """A document is live."""
        gc.freeze()
        if self._least and sys.getallocatedblocks() > GROWTH * self._least:
            gc.unfreeze()
            log.info("%d objects were garbage", gc.collect())
            gc.freeze()
            self._least = 0
        blocks = sys.getallocatedblocks()
        self._least = min(self._least or blocks, blocks)
