"""The step that lets subscribers in."""

from acme_subscriptions.section import Subscriptions
from hookgate import Exchange, Host, Identity, Interceptor, Options, Unauthorized, hookimpl


class StepOptions(Options):
    """Options of `subscriber`."""

    header: str = "X-Subscription-Key"
    """Header with the key. Backends never see it."""


class SubscriberStep(Interceptor[StepOptions]):
    """Lets subscribers in, for as many calls a day as they have subscribed to."""

    category, sides, writes = "security", {"request"}, {"identity", "request.headers", "limit"}

    @hookimpl
    def startup(self, host: Host) -> None:
        """Refuse a document without subscriptions."""
        self._host = host
        host.section("subscriptions", Subscriptions)

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        """Find out who calls, and count the call."""
        subscriptions = self._host.section("subscriptions", Subscriptions)
        key = exchange.request.headers.get(self.options.header, "")
        item = subscriptions.find(key)
        if item is None:
            reason = "wrong-credentials" if key else "missing-credentials"
            challenge = {"WWW-Authenticate": 'ApiKey realm="subscriptions"'}
            raise Unauthorized("This route needs the key of a subscription.", reason=reason, headers=challenge)
        exchange.request.headers.remove(self.options.header)
        exchange.identity = Identity(item.name, self.entry.name, claims={"plan": item.record.plan})
        await subscriptions.count(item)
