"""How calls come in: listeners, the lane for HTTP/1.1, the edge for everything else, and the process around them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hookgate.server.settings import Settings

if TYPE_CHECKING:  # for type checkers; at run time each is imported when it is asked for
    from hookgate.server.edge.asgi import Edge
    from hookgate.server.listeners import listen, url_of
    from hookgate.server.serve import Server
    from hookgate.server.starting import gateway_for

__all__ = ["Edge", "Server", "Settings", "gateway_for", "listen", "url_of"]

_HEAVY = {
    "Edge": "hookgate.server.edge.asgi",
    "Server": "hookgate.server.serve",
    "gateway_for": "hookgate.server.starting",
    "listen": "hookgate.server.listeners",
    "url_of": "hookgate.server.listeners",
}


def __getattr__(name: str) -> Any:
    """Import what brings Quart and Hypercorn only when it is asked for: most commands only want the settings."""
    if name in _HEAVY:
        return getattr(import_module(_HEAVY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
