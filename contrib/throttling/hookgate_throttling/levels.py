"""The levels that a call is held to: under which key each is counted, by which limit, and how it refuses."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from hookgate import MASK, Exchange, Fault, Forbidden, Host, Limit
from hookgate.workshop import Addresses
from hookgate_throttling.addresses import Policy
from hookgate_throttling.blocks import Blocks
from hookgate_throttling.faults import (
    TIER_UNKNOWN,
    ApiThrottled,
    ApplicationThrottled,
    BackendThrottled,
    BurstThrottled,
    ConditionThrottled,
    ResourceThrottled,
    SubscriptionThrottled,
)
from hookgate_throttling.options import LevelOptions, ThrottleOptions
from hookgate_throttling.tiers import Tiers

LONGEST_KEY = 128
"""Characters of a key; of a longer one a hash is taken, since what a client sends must not fill the memory."""
PROCESS = secrets.token_hex(8)
"""Tells this process from others: bursts are counted by each for itself (KC-40)."""
SHOWN = frozenset({"identity", "application", "principal", "route"})
"""What traces tell of anyway."""
COUNTED = "throttle.counted"
"""Where a call keeps what it has been counted under."""
VARIABLE = "subscription"
"""Where the step that looks subscriptions up leaves what it has found."""


class Counted:
    """The keys that a call has been counted under. No trace shows them: callers are in them."""

    __slots__ = ("keys",)

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def __repr__(self) -> str:
        return f"{len(self.keys)} limits"


class Level(NamedTuple):
    """One limit that a call is held to."""

    name: str
    """Of the level: `application`."""
    key: str
    limit: Limit | None
    """What may come; none where its tier counts nothing."""
    fault: type[Fault]
    whose: str
    """What is used up, as the client is told."""
    who: str
    """Which one, as people are told: an application, an API."""
    tier: str | None = None
    """Its tier, where it has one."""

    def noted(self) -> dict[str, Any]:
        """Return what a trace tells of it, from which `hookgate tiers try` counts: no caller's words, and a digest of
        the key."""
        limit = self.limit
        return {
            "level": self.name,
            "who": self.who,
            "tier": self.tier,
            "limit": None if limit is None else limit.amount,
            "window": None if limit is None else limit.window,
            "counter": blake2b(self.key.encode(errors="surrogatepass"), digest_size=8).hexdigest(),
        }


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls by which tiers, as far as it is known."""

    user: str | None = None
    subscription: Any = None
    subscription_tier: str | None = None
    application: Any = None
    application_tier: str | None = None
    shown: tuple[str, str] = ("", "")
    """Subscription and application, as traces may tell of them."""


class Levels:
    """Finds the levels of a call, in the order in which they refuse: API or else resource, addresses, subscription with
    its burst, application, conditions, backend."""

    def __init__(self, options: ThrottleOptions, host: Host) -> None:
        self._options = options
        self._host = host
        self._policy = Policy(options.addresses) if options.addresses else None
        self._conditions = [
            (each, each.counted, Addresses(each.addresses) if each.addresses else None) for each in options.conditions
        ]
        self._backend = None if options.backend is None else options.backend.counted

    def of(self, exchange: Exchange) -> list[Level]:
        """Return the levels of a call that is not blocked.

        Raises:
            Blocked: it is.
            Forbidden: an address counts, and that of the client cannot be read (`address-unknown`).
            TooManyRequests: a level has a tier that the document does not know (`tier-unknown`).
            ExpressionError: an expression cannot be evaluated.
        """
        caller = self._caller(exchange)
        application = None if caller.application is None else str(caller.application)
        self._host.section("blocks", Blocks).refuse(exchange, caller.user, application)
        tiers = self._host.section("tiers", Tiers)
        api = _api(exchange)
        levels = self._of_api(exchange, tiers, api)
        if self._policy is not None:
            levels += self._of_address(exchange, self._policy, api)
        levels += self._of_caller(caller, tiers)
        levels += self._of_conditions(exchange, api)
        if self._backend is not None:
            key = _key("backend", api)
            levels.append(Level("backend", key, self._backend, BackendThrottled, "the backend", api))
        before = exchange.variables.get(COUNTED)
        return [each for each in levels if each.key not in before.keys] if isinstance(before, Counted) else levels

    @staticmethod
    def counted(exchange: Exchange, levels: list[Level]) -> None:
        """Remember what a call has been counted at: another step further right does not count it there again."""
        before = exchange.variables.setdefault(COUNTED, Counted())
        before.keys.update(level.key for level in levels)

    def _of_api(self, exchange: Exchange, tiers: Tiers, api: str) -> list[Level]:
        levels = []
        if (tier := self._options.api_tier) is not None:
            limit = self._limit(tiers, tier, ApiThrottled, "the API")
            levels.append(Level("api", _key("api", api), limit, ApiThrottled, "the API", api, tier))
            if limit is not None:  # one that counts nothing is as good as none, and leaves the resource's in force
                return levels
        if (tier := self._options.resource_tier) is not None:
            limit = self._limit(tiers, tier, ResourceThrottled, "the resource")
            path, method = _resource(exchange)
            key, who = _key("resource", api, path, method), f"{api} {path} {method}"
            levels.append(Level("resource", key, limit, ResourceThrottled, "the resource", who, tier))
        return levels

    def _of_address(self, exchange: Exchange, policy: Policy, api: str) -> list[Level]:
        line = policy.of(exchange.request.client)
        network = self._network(exchange)
        if line is None:
            return []
        key = _key("address", api, line[0], network)
        return [Level("address", key, line[1], ApiThrottled, "the address", network)]

    def _of_caller(self, caller: Caller, tiers: Tiers) -> list[Level]:
        levels = []
        if (tier := caller.subscription_tier) is not None:
            limit = self._limit(tiers, tier, SubscriptionThrottled, "the subscription")
            burst = tiers.bursts[tier]
            key, who = _key("subscription", caller.subscription), caller.shown[0]
            if burst is not None:
                whose, short = "the subscription for a short time", _key("burst", PROCESS, caller.subscription)
                levels.append(Level("burst", short, burst, BurstThrottled, whose, who, tier))
            levels.append(Level("subscription", key, limit, SubscriptionThrottled, "the subscription", who, tier))
        if (tier := caller.application_tier) is not None:
            parts = (caller.application, caller.user) if self._options.per_user else (caller.application,)
            key, who = _key("application", *parts), " ".join((caller.shown[1], *map(str, parts[1:])))
            self._limit(tiers, tier, ApplicationThrottled, "the application")
            tier = tiers.in_force(key, tier, self._host.clock.wall())
            limit = tiers.limits[tier]
            levels.append(Level("application", key, limit, ApplicationThrottled, "the application", who, tier))
        return levels

    def _of_conditions(self, exchange: Exchange, api: str) -> list[Level]:
        levels = []
        for options, limit, addresses in self._conditions:
            if addresses is not None and not (self._network(exchange) and addresses.holds(exchange.request.client)):
                continue
            if options.when is not None and not options.when(exchange):
                continue
            value = None if options.by is None else options.by(exchange)
            if isinstance(value, str) and value == exchange.request.client:
                value = self._network(exchange)
            key = _key("condition", api, options.name, value)
            whose, who = "calls of this kind", f"{api} {options.name}"
            levels.append(Level("condition", key, limit, ConditionThrottled, whose, who))
        return levels

    def _caller(self, exchange: Exchange) -> Caller:
        identity = exchange.identity
        user = None if identity is None else identity.subject
        found = exchange.variables.get(VARIABLE)
        if isinstance(found, Mapping):
            return Caller(
                user,
                found.get("id"),
                _name(found.get("tier")),
                found.get("application"),
                _name(found.get("application_tier")),
                (str(found.get("id")), str(found.get("application"))),
            )
        by_subscription, by_application = self._options.subscription, self._options.application
        subscription, subscription_tier = _evaluated(by_subscription, exchange)
        application, application_tier = _evaluated(by_application, exchange)
        if by_application is None:
            application = _application(exchange)
        shown = (_shown(by_subscription, subscription), _shown(by_application, application))
        return Caller(user, subscription, subscription_tier, application, application_tier, shown)

    def _limit(self, tiers: Tiers, tier: str, fault: type[Fault], whose: str) -> Limit | None:
        if tier not in tiers.limits:
            if tiers.miss(tier, self._host.clock.wall()):
                self._host.log.error("%s of a call has the tier %r, which is not there: it is refused", whose, tier)
            raise fault(f"There is no tier {tier!r}, which {whose} has; choose another one.", reason=TIER_UNKNOWN)
        return tiers.limits[tier]

    def _network(self, exchange: Exchange) -> str:
        network = exchange.request.client_network(self._options.ipv6_prefix)
        if not network:
            raise Forbidden("The address of the caller cannot be read.", reason="address-unknown")
        return network


def _evaluated(level: LevelOptions | None, exchange: Exchange) -> tuple[Any, str | None]:
    return (None, None) if level is None else (level.by(exchange), _name(level.tier(exchange)))


def _name(tier: object) -> str | None:
    return None if tier is None else str(tier)


def _application(exchange: Exchange) -> str | None:
    if exchange.application is not None:
        return exchange.application.name
    return None if exchange.identity is None else exchange.identity.application


def _shown(level: LevelOptions | None, value: object) -> str:
    """Write what a level counts by, unless it is of the request: that may be a secret."""
    return str(value) if level is None or level.by.roots <= SHOWN else MASK


def _api(exchange: Exchange) -> str:
    """Name and version of the API, or the name of the route where it comes from none."""
    info = exchange.api
    if info is not None:
        return f"{info.name} {info.version}".strip()
    return f"route {exchange.route.name}" if exchange.route is not None else ""


def _resource(exchange: Exchange) -> tuple[str, str]:
    info = exchange.api
    return "" if info is None else info.resource, exchange.request.method


def _key(level: str, *parts: object) -> str:
    """Return a key of what tells a counter apart: values that differ have keys that differ."""
    text = f"throttle/{level}/{parts!r}"
    if len(text) > LONGEST_KEY:
        digest = blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
        return f"throttle/{level}/{digest}"
    return text
