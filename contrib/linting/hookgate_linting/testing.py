"""For tests of rules: a place in a flow, without a document."""

from __future__ import annotations

from typing import Any

from hookgate import FlowOptions, Interceptor
from hookgate_linting.family import Place
from hookgate_linting.sequence import Steps, positions


def place(*steps: Interceptor[Any], at: int = -1, request: bool = True) -> Place:
    """Return the place of one of some steps, as they are drawn: by default of the last one, on the way in.

    Raises:
        LookupError: it has nothing to do on that way.
    """
    way_in, way_out = Steps().ways(FlowOptions(flow=steps))
    for found in positions(way_in if request else way_out, request=request, way_in=way_in):
        if found.seen.step is steps[at]:
            return found
    raise LookupError(f"{steps[at].entry.name} has nothing to do on the way {'in' if request else 'out'}")
