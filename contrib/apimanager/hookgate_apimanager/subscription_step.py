"""The step ``subscription``: lets calls through whose application is subscribed to the API."""

from __future__ import annotations

from collections.abc import Awaitable

from hookgate import Exchange, Host, Identity, Interceptor, Options, hookimpl
from hookgate.workshop import MissingCredentials
from hookgate_apimanager.application_key import METHOD
from hookgate_apimanager.faults import NotSubscribed, SubscriptionsAway
from hookgate_apimanager.standing import Standing
from hookgate_apimanager.step import VARIABLE as LIFECYCLE
from hookgate_apimanager.subscribing import Subscribing
from hookgate_storage import StoreError

VARIABLE = "subscription"
"""Where steps behind it find the subscription: `vars.subscription`."""
LONGEST = 200
"""Characters of a client id that anybody is asked about."""


class Subscription(Interceptor[Options]):
    """Lets calls through whose application is subscribed to the API (KC-23).

    Place it right of `oauth`, or of `auth` with `application-key`: from them it takes the client. Steps behind it find
    `vars.subscription`: `id`, `tier`, `status`, `application` (an id), `application_tier`, `owner` and `key_type`.
    Answers are remembered, as the section `subscribing` says; whatever changes counts on every node within a second.

    A client whose application is not subscribed gets 403 (code 900908); one whose subscription or application is
    blocked, or whose owner is disabled, 401 (900907); one whose subscription waits for approval or was rejected 401
    (900909). Without anybody known it is 401 (900902), and where nobody can tell 500 (900900): nobody is let in
    unasked. APIs that are prototypes need no subscription (KC-13).
    """

    category = "security"
    scopes = {"api", "resource", "operation", "plan"}
    sides = {"request"}
    reads = {"identity"}
    writes = {"variables"}

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Begin to follow what changes."""
        self._host = host
        host.section("subscribing", Subscribing).follow()

    @hookimpl
    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        """Look the subscription up; nobody waits for what is known.

        Raises:
            MissingCredentials: no step before has found out who calls.
            NotSubscribed: the application is not subscribed to the API.
            Blocked: it is, and may not call for a while.
            Inactive: the subscription is not active.
            SubscriptionsAway: nobody can tell.
        """
        if LIFECYCLE in exchange.variables:
            return None
        identity, api = exchange.identity, exchange.api
        if identity is None:
            raise MissingCredentials("The call has no token.")
        client = identity.claims.get("client_id")
        if api is None or not isinstance(client, str) or not 0 < len(client) <= LONGEST:
            raise NotSubscribed("The caller is no application that is subscribed to APIs.")
        name = f"{api.name} {api.version}".rstrip()
        mark = f"{identity.method == METHOD} {client}\n{name}"
        section = self._host.section("subscribing", Subscribing)
        known = section.known(mark)
        if known is None:
            return self._asked(exchange, section, mark, identity, client, name)
        _let(exchange, known)
        return None

    @staticmethod
    async def _asked(
        exchange: Exchange, section: Subscribing, mark: str, identity: Identity, client: str, api: str
    ) -> None:
        try:
            found = await section.standing(mark, client, api, key=identity.method == METHOD)
        except StoreError as error:
            raise SubscriptionsAway("Nobody can tell now who is subscribed.") from error
        _let(exchange, found)


def _let(exchange: Exchange, found: Standing) -> None:
    if found.refused is not None:
        raise found.refused(found.detail)
    exchange.variables[VARIABLE] = dict(found.told)
