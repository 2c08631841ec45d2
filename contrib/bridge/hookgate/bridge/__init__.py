"""Apps behind a flow: a call that has passed the steps of its route is given to an app of this process."""

from typing import Any

from hookgate.bridge.destination import Page
from hookgate.bridge.mounting import behind_flow
from hookgate.connections.destination import Destination
from hookgate.gateway.exposed import Placed

__all__ = ["Bridge"]


class Bridge:
    """The part ``bridge`` of the house; see :class:`hookgate.gateway.exposed.Bridge`."""

    def destination(self, placed: Placed, said: Destination) -> Page:
        """Make what a route sends its calls to in the place of a backend."""
        return Page(placed, said)

    def pages(self, placed: Placed) -> Any:
        """Make the ASGI app of an app, without its pages."""
        return behind_flow(placed)
