"""How the step refuses: with the reason of the level, and its number in the table of faults (KC-39)."""

from __future__ import annotations

from hookgate import ServiceUnavailable, TooManyRequests


class ApiThrottled(TooManyRequests):
    """429: the limit of the API is used up, or that of an address."""

    default_reason, code = "api-throttled", 900800


class BackendThrottled(ServiceUnavailable):
    """503: more calls than the backend of the API is to get, whoever they come from."""

    default_reason, code = "backend-throttled", 900801


class ResourceThrottled(TooManyRequests):
    """429: the limit of the resource and its method is used up."""

    default_reason, code = "resource-throttled", 900802


class ApplicationThrottled(TooManyRequests):
    """429: the limit of the application is used up."""

    default_reason, code = "application-throttled", 900803


class SubscriptionThrottled(TooManyRequests):
    """429: the limit of the subscription is used up."""

    default_reason, code = "subscription-throttled", 900804


class Blocked(TooManyRequests):
    """429: a block list has the caller, or what it calls."""

    default_reason, code = "blocked", 900805


class ConditionThrottled(TooManyRequests):
    """429: the limit of a condition is used up."""

    default_reason, code = "condition-throttled", 900806


class BurstThrottled(TooManyRequests):
    """429: the limit of a subscription for a short time is used up."""

    default_reason, code = "burst-throttled", 900807


TIER_UNKNOWN = "tier-unknown"
"""Reason of a level whose tier the document does not know: nobody can tell its limit, so nobody is let in."""


class CountersAway(ServiceUnavailable):
    """503: limits cannot be counted, and the step is to let nobody in then."""

    default_reason = "counters-away"
