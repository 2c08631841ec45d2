"""The sections ``subscribing`` and ``offers``: what people may subscribe to, and what is remembered of it.

Both are there unwritten, also in a gateway without a store: so what needs one is imported when there is one (KC-1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from hookgate import Duration, Host, Item, Options, Problem, Refers, Section, Site, hookimpl
from hookgate.exchange import near
from hookgate.workshop import Remembering

if TYPE_CHECKING:
    from hookgate_apimanager.register import Register
    from hookgate_apimanager.standing import Key, Standing
    from hookgate_storage.serving import Served

UNLIMITED = "Unlimited"
TierName = Annotated[str, Field(min_length=1, max_length=200), Refers("tiers")]
TIDY = 5.0
"""Seconds between two looks for clients whose application is gone."""


class DefaultApplicationSection(Options):
    """The application that everybody has (KC-24)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$")] = "DefaultApplication"
    """What it is called when it is made."""
    tier: TierName = UNLIMITED
    """Its tier, and that of other applications for which none is chosen."""


class RememberedSection(Options):
    """What the gateway remembers of subscriptions, so that it need not ask about each call."""

    ttl: Duration = Field(default=900.0, gt=0, le=86400)
    """Seconds; what changes is forgotten within a second anyway."""
    most: int = Field(default=20_000, ge=1, le=1_000_000)
    """Pairs of a client and an API that are remembered."""
    refused_most: int = Field(default=5_000, ge=1, le=1_000_000)
    """Those that may not call, which are remembered apart."""
    stale: Duration = Field(default=10.0, ge=1, le=3600)
    """Seconds that they count on while the store is away and nobody knows what has changed."""


class SubscribingSection(Options):
    """Applications and subscriptions of people."""

    default_application: DefaultApplicationSection = DefaultApplicationSection()
    """The application that everybody has."""
    applications: int = Field(default=20, ge=1, le=10_000)
    """Most applications of one user."""
    subscriptions: int = Field(default=100, ge=1, le=10_000)
    """Most subscriptions of one application."""
    api_keys: int = Field(default=20, ge=0, le=1000)
    """Most API keys of one application."""
    approval: bool = False
    """Whether a publisher approves new subscriptions to APIs whose offer does not say."""
    cache: RememberedSection = RememberedSection()
    """What is remembered of subscriptions."""


class OfferSection(Options):
    """How an API is offered to those who subscribe to it."""

    tiers: tuple[TierName, ...] = Field(default=(), max_length=100)
    """Tiers that may be chosen (KC-35); every tier for subscriptions, if there is none."""
    approval: bool | None = None
    """Whether a publisher approves new subscriptions before they count; null for what `subscribing` says."""


class Offers(Section[OfferSection]):
    """How APIs are offered, by the name of the API with its version. The section is there without being written: of an
    API that does not stand in it every tier may be chosen."""

    kind = "offer"

    def __init__(self, items: Sequence[Item[OfferSection]] = ()) -> None:
        super().__init__(items)
        self.offers: Mapping[str, OfferSection] = {item.name: item.record for item in self.items}
        """Those that are written, by API."""

    def of(self, api: str) -> OfferSection:
        """Return how an API is offered."""
        return self.offers.get(api) or OfferSection()

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Look for the APIs; tiers are looked for where they are read."""
        apis = site.names("apis")
        for item in self.items:
            if item.name not in apis:
                yield Problem(item.path, f"there is no API {item.name!r}{near(item.name, apis)}", at_key=True)


class Subscribing(Section[SubscribingSection]):
    """Says what people may have, and knows for each call whether it is subscribed. It is there unwritten."""

    shape, kind = "record", "subscribing"

    def __init__(self, items: Sequence[Item[SubscribingSection]] = ()) -> None:
        super().__init__(items)
        self._register: Register | None = None
        self._follows: Register | None = None
        self._host: Host
        self._standings: Remembering[Standing]
        self._keys: Remembering[Key | bool]

    @hookimpl
    def startup(self, host: Host) -> None:
        """Begin to remember; the store is followed once there is a step that asks."""
        self._host = host
        self._found()

    @hookimpl
    def shutdown(self) -> None:
        """Listen no more."""
        if self._follows is not None and self._forget in self._follows.listeners:
            self._follows.listeners.remove(self._forget)

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say where nobody knows which subscriptions have changed."""
        trouble = "" if self._follows is None else self._follows.notices.trouble
        return {"problems": [f"what has changed of subscriptions is not known: {trouble}"]} if trouble else None

    @property
    def register(self) -> Register:
        """The register of the store.

        Raises:
            StoreError: there is no store.
        """
        found = self._found()
        if found is None:
            from hookgate_storage import StoreError

            raise StoreError("there is no store")
        return found

    def follow(self) -> None:
        """Follow what changes, from now on."""
        register = self._found()
        if register is None or register is self._follows:
            return
        self.shutdown()
        cache, host = self.record.cache, self._host
        self._standings = Remembering(host, cache.ttl, cache.most, cache.ttl, cache.refused_most)
        self._keys = Remembering(host, cache.ttl, cache.most, cache.ttl, cache.refused_most)
        self._follows = register
        register.notices.patience = self.record.cache.stale
        register.listeners.append(self._forget)
        about = "Seconds from a change of subscriptions until this node has forgotten what it knew of them."
        register.notices.late = self._host.metrics.histogram("subscription_change_delay_seconds", about).observe
        self._host.start("subscriptions that change", register.notices.follow())
        self._host.start("clients without an application", self._tidy(register))

    def known(self, mark: str) -> Standing | None:
        """Return how a client stands towards an API, if that is remembered, and counts."""
        follows = self._follows
        return self._standings.peek(mark) if follows is not None and follows.notices.is_current else None

    async def standing(self, mark: str, client: str, api: str, *, key: bool) -> Standing:
        """Return how a client stands towards an API.

        Raises:
            StoreError: the store is away.
        """
        from hookgate_apimanager.standing import standing

        self.follow()
        register = self.register
        if not register.notices.is_current:
            return (await standing(register, client, api, key=key)).value
        return await self._standings.get(mark, lambda: standing(register, client, api, key=key))

    async def whose(self, mark: str, key: str) -> Key | None:
        """Return whose an API key is.

        Raises:
            StoreError: the store is away.
        """
        from hookgate_apimanager.standing import Key, whose

        self.follow()
        register = self.register
        if register.notices.is_current:
            found = await self._keys.get(mark, lambda: whose(register, key))
        else:
            found = (await whose(register, key)).value
        over = isinstance(found, Key) and found.ends is not None and found.ends <= self._host.clock.wall()
        return None if over or not isinstance(found, Key) else found

    def _forget(self, kind: str, value: str) -> None:
        self._standings.forget(kind, value)
        self._keys.forget(kind, value)

    def _found(self) -> Register | None:
        try:
            storage: Any = self._host.section("storage")
        except LookupError:
            return self._register
        served: Served | None = storage.served
        store = None if served is None else served.store
        if store is not None and (self._register is None or self._register.store is not store):
            from hookgate_apimanager.register import register_of

            self._register = register_of(store)
            self._know_tiers(self._register, {} if served is None else served.file.value)
        return self._register

    def _know_tiers(self, register: Register, file: Mapping[str, Any]) -> None:
        """Say which tiers there are, so that none that somebody has goes."""
        try:
            tiers: Section[Any] = self._host.section("tiers")
        except LookupError:  # nothing counts by tiers
            register.tiers_in = None
            return
        written = file.get("tiers")
        register.file, register.tiers_in = written if isinstance(written, Mapping) else {}, type(tiers).names_in

    async def _tidy(self, register: Register) -> None:
        """Have the key manager remove clients whose application is gone, for as long as it takes."""
        from hookgate_apimanager.keys import Clients
        from hookgate_apimanager.register import log

        kept = Clients(register)
        while True:
            try:
                for each in await kept.left_over():
                    if not each.mapped:
                        await removed_client(self._host, each.client_id)
                    await kept.forget(each.client_id)
            except Exception as error:  # noqa: BLE001 - a key manager may raise anything, and is asked again
                log.warning("clients of applications that are gone are still there: %s", error)
            await asyncio.sleep(TIDY)


async def removed_client(host: Host, client_id: str) -> None:
    """Have the key manager remove a client; none is there without a key manager.

    Raises:
        Exception: whatever the key manager says.
    """
    try:
        manager: Any = host.section("keymanager")
    except LookupError:
        return
    found = manager.manager.delete_client(client_id)
    if hasattr(found, "__await__"):
        await found
