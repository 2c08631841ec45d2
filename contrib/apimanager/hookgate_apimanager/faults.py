"""Why a call is refused, by the numbers that API managers give these refusals (table of 4.9)."""

from __future__ import annotations

from hookgate import Forbidden, Unauthorized
from hookgate.workshop import CannotTell


class Blocked(Unauthorized):
    """401: the subscription or the application is off for a while."""

    default_reason, code = "subscription-blocked", 900907


class NotSubscribed(Forbidden):
    """403: the application is not subscribed to the API, or the client is of no application."""

    default_reason, code = "not-subscribed", 900908


class Inactive(Unauthorized):
    """401: the subscription waits for approval, or was rejected."""

    default_reason, code = "subscription-inactive", 900909


class SubscriptionsAway(CannotTell):
    """500: nobody can tell now who is subscribed."""

    default_reason = "subscriptions-away"
