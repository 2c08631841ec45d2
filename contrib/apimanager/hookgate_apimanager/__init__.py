"""The lifecycle of APIs: states, who may change them, and what each means at the gateway."""

from __future__ import annotations

from typing import Any

__all__ = ["Offer", "Shop", "Viewer", "fates", "may_subscribe", "sees"]
"""What distributions need that add something to APIs: who sees which, and what became of them."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # sections and steps have to load where nothing is stored: what needs a store is imported when it is asked for
    from hookgate_apimanager import register, shop, visibility

    return getattr({"Shop": shop, "fates": register}.get(name, visibility), name)
