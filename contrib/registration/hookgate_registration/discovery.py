"""The targets of a connection are the hosts that have registered themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import Field

from hookgate import Discovery, Health, Host, Options, PositiveDuration, Target, hookimpl
from hookgate_registration.hosts import STATE, Endpoint, group, id_of, target_of

_AT_ONCE = 1000
_UNSEEN = Health(healthy=False, reason="registered, and not checked yet")
LOOK = 0.05
"""Seconds between looks whether a host that waits for its first check has been found well."""


class RegisteredOptions(Options):
    """Options of `registered`."""

    targets: tuple[Endpoint, ...] = ()
    """Hosts that are there in any case, such as `http://10.0.0.5:9000`."""
    every: PositiveDuration = Field(default=2.0, le=60)
    """Seconds until a host is noticed that has registered at another gateway with the same state, or has not come back
    in time; one that registers here is called at once."""
    gate: bool = True
    """Whether a host that joins while calls run gets none until a check has found it well. It takes a monitor that
    checks, `http` or `tcp`; a connection without one calls it at once."""


class Registered(Discovery[RegisteredOptions]):
    """Targets are the hosts that have registered themselves by [register-host](interceptor-register-host.md).

    They are kept in the [state](../configuration.md#gateway) of the gateway, over reloads and restarts, and shared by
    all gateways that share it. When the last one leaves it stays listed, inactive: calls get 503 `no-active-target`.
    """

    def __init__(self, options: RegisteredOptions) -> None:
        super().__init__(options)
        self._host: Host | None = None
        self._news = asyncio.Event()
        self.told: Mapping[str, Any] | None = None
        """The hosts that were given last, as they are kept, by id."""
        self.waiting: dict[str, float] = {}
        """Ids of hosts that no check has found well yet, and since when (Unix time)."""

    @property
    def connection(self) -> str:
        """Name of the connection that it finds targets for."""
        return self.entry.id.partition("/")[0].removeprefix("connections.")

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of the state."""
        self._host = host

    @hookimpl
    def take_over(self, old: Registered) -> None:
        """Know the hosts that the one before knew: with other options nobody joins anew."""
        self.told, self.waiting = old.told, dict(old.waiting)

    def tell(self) -> None:
        """A host has come or gone."""
        self._news.set()

    @hookimpl
    async def targets(self) -> Sequence[Target]:
        """Return the hosts that are there.

        Raises:
            StateError: the state is away.
        """
        kept = await self._kept()
        before, self.told = self.told, kept
        live = self._live()
        waiting = {name: since for name, since in self.waiting.items() if name in kept and not self._well(name, live)}
        new = kept.keys() - (kept if before is None else before).keys() if self._checks() else set[str]()
        self.waiting = waiting | dict.fromkeys(new, self._asked.clock.wall())
        if not kept and before:
            return [target_of({**next(iter(before.values())), "active": False})]
        for url in (target_of(kept[name]).url for name in new):
            if url in live:  # it was the last one when it left
                live[url].health = _UNSEEN
        return [self._target(name, each) for name, each in kept.items()]

    def _target(self, name: str, kept: Any) -> Target:
        target = target_of(kept)
        if name in self.waiting:
            target.active, target.health = False, _UNSEEN
        return target

    @hookimpl
    async def changed(self) -> None:
        """Return when they are others.

        Raises:
            StateError: the state is away.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.options.every
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until - loop.time()) if not self.waiting else LOOK):
                    await self._news.wait()
            live = self._live() if self.waiting else {}
            if any(self._well(name, live) for name in self.waiting):
                return
            if self._news.is_set() or loop.time() >= until:
                self._news.clear()
                if await self._kept() != self.told:
                    return
                until = loop.time() + self.options.every

    @property
    def _asked(self) -> Host:
        assert self._host is not None
        return self._host

    def _live(self) -> dict[str, Target]:
        """Return the targets that calls may go to now, by URL."""
        try:
            return {each.url: each for each in self._asked.connection(self.connection).targets}
        except LookupError:
            return {}

    def _checks(self) -> bool:
        """Whether anybody checks hosts before they are called."""
        try:
            monitors = self._asked.connection(self.connection).monitors
        except LookupError:
            return False
        return self.options.gate and any(each.options.active and hasattr(each, "probe") for each in monitors)

    def _well(self, name: str, live: Mapping[str, Target]) -> bool:
        """Whether a host that waits may be called."""
        kept = (self.told or {}).get(name)
        target = None if kept is None else live.get(target_of(kept).url)
        if target is None:
            return False
        seen = target.last_seen is not None and target.last_seen >= self.waiting[name]
        return (seen and target.health.healthy) or not self._checks()

    async def _kept(self) -> dict[str, Any]:
        state, prefix, after = self._asked.state(STATE), group(self.connection), ""
        found = {id_of(each): {"endpoint": each, "weight": 1, "active": True} for each in self.options.targets}
        while rows := await state.scan(prefix, after=after, limit=_AT_ONCE):
            found |= {key.removeprefix(prefix): kept.value for key, kept in rows}
            after = rows[-1][0]
            if len(rows) < _AT_ONCE:
                break
        return found
