"""The roles that a community of APIs begins with (KC-11). They are roles like others, and may be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shipped:
    """A role that is made with a store."""

    description: str
    permissions: tuple[str, ...]


SHIPPED: Mapping[str, Shipped] = {
    "admin": Shipped("Runs the gateway: users, roles, databases, security, and everything else.", ("admin",)),
    "creator": Shipped("Makes APIs, and reads what others think of them.", ("api_api", "discover", "feedback")),
    "publisher": Shipped(
        "Manages sets of APIs, their lifecycle, subscriptions and monetization, and sees all statistics.",
        ("discover", "feedback", "lifecycle", "monetization", "products", "statistics", "subscriptions"),
    ),
    "subscriber": Shipped(
        "Finds APIs, comments on them, subscribes to them, and calls them.",
        ("comment", "discover", "invoke", "subscribe"),
    ),
}
