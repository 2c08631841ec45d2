"""What a document says of subscriptions, and how much of them is used."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

from pydantic import Field

from hookgate import Host, Item, Options, Problem, Section, Site, StateError, TooManyRequests, hookimpl
from hookgate.workshop import FilledSecret

DAY = 24 * 60 * 60


class Subscription(Options):
    """A subscription; its name is that of the subscriber."""

    key: FilledSecret
    """What the subscriber shows with each call."""
    quota: int = Field(ge=1)
    """Calls a day, by the clock of UTC."""
    plan: str = "standard"
    """What it was sold as. It stands in metrics, so have few of them."""


class Subscriptions(Section[Subscription]):
    """Who may call, and how often a day."""

    def __init__(self, items: Sequence[Item[Subscription]] = ()) -> None:
        super().__init__(items)
        self._by_key = {_digest(item): item for item in reversed(self.items)}
        self._used_up = dict[str, float]()  # by name, until when

    def find(self, key: str) -> Item[Subscription] | None:
        """Return whose key it is. It is looked up by its hash, so that no time tells how much of a key is right."""
        return self._by_key.get(sha256(key.encode(errors="surrogateescape")).digest())

    async def count(self, item: Item[Subscription]) -> None:
        """Count a call, or raise ``TooManyRequests`` where the quota of the day is used up."""
        rest = self._day_ends() - self._clock.wall()
        used = await self._state.add(self._key(item), ttl=rest, most=item.record.quota)
        self._calls.add(1, item.record.plan, "refused" if used is None else "served")
        self._note(item, item.record.quota if used is None else used)
        if used is None:
            raise TooManyRequests("The quota of the day is used up.", headers={"Retry-After": str(int(rest) + 1)})

    async def usage(self) -> list[dict[str, Any]]:
        """Return what each has used today, for pages."""
        told = []
        for item in self.items:
            kept = await self._state.get(self._key(item))
            used = self._note(item, 0 if kept is None else kept.value)
            record = item.record
            told.append({"subscriber": item.name, "plan": record.plan, "quota": record.quota, "used": used})
        return told

    def _day_ends(self) -> float:
        return (self._clock.wall() // DAY + 1) * DAY

    def _key(self, item: Item[Subscription]) -> str:
        return f"{self._day_ends():.0f} {item.name}"

    def _note(self, item: Item[Subscription], used: int) -> int:
        if used >= item.record.quota:
            self._used_up[item.name] = self._day_ends()
        return used

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse a key that two have."""
        for item in self.items:
            if (other := self._by_key[_digest(item)]) is not item:
                yield Problem((*item.path, "key"), f"{other.name} has the same key; nobody could tell them apart")

    @hookimpl
    async def startup(self, host: Host) -> None:
        """Take hold of what is kept, and look what was used before."""
        self._clock, self._state = host.clock, host.state("subscriptions")
        self._calls = host.metrics.counter("subscriptions_calls_total", "Calls of subscribers.", ("plan", "outcome"))
        with suppress(StateError):  # every call is told, and /-/health says why
            await self.usage()

    @hookimpl
    def health(self) -> Mapping[str, Any]:
        """Say how many quotas are used up."""
        return {"used_up": sum(until > self._clock.wall() for until in self._used_up.values())}


def _digest(item: Item[Subscription]) -> bytes:
    return sha256(item.record.key.reveal().encode()).digest()
