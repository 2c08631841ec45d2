"""From a checked document to a generation that can serve: connections, starting what is new, letting go of it again."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

from hookgate.contract.clock import Clock
from hookgate.contract.plugin import Plugin
from hookgate.contract.section import Detour
from hookgate.exchange.errors import ConfigError, MachineError, Problem, outside
from hookgate.exchange.outbound import Health, Target
from hookgate.gateway.asking import Asking
from hookgate.gateway.backend import Backend
from hookgate.gateway.bounding import GivenUp
from hookgate.gateway.coming import brings_up
from hookgate.gateway.configuration import Configuration
from hookgate.gateway.generation import Generation
from hookgate.gateway.hosting import Hosting
from hookgate.http.forwarding import Disclosure

log = logging.getLogger("hookgate")


class House(Protocol):
    """What is asked of the gateway here; it is also the host that plugins see."""

    clock: Clock
    live: Generation | None
    hosting: Hosting
    mounts: list[Callable[[Generation], Awaitable[None] | None]]
    """Make what a generation needs of the server, and raise :class:`ConfigError` for what cannot be had."""

    def target_changed(self, target: Target, health: Health) -> None:
        """Tell observers that a target became healthy or unhealthy."""


async def bring_up(house: House, config: Configuration, number: int) -> Generation:
    """Start what is new and make the generation of a document. Sections start first: plugins may ask them.

    Raises:
        ConfigError: something cannot be started; what has been started is shut down again.
    """
    with brings_up(config):
        return await _brought_up(house, config, number)


async def _brought_up(house: House, config: Configuration, number: int) -> Generation:
    before = house.live.config.instances if house.live is not None else {}
    running = await asyncio.to_thread(lambda: {id(plugin) for plugin in before.values()})  # calls are served meanwhile
    providers = [plugin for plugin in config.secrets if id(plugin) not in running]  # started by whoever asked them
    started: list[Plugin[Any]] = []
    culprit, hook = "document", ""
    try:
        backends = {}
        for name, connection in config.connections.items():
            culprit, hook = connection.transport.entry.id, "configure"
            backends[name] = backend = _backend(house, name, config)
            if backend.probes is not None:
                config.instances[backend.probes.entry.id] = backend.probes
            if len(backends) % 100 == 0:
                await asyncio.sleep(0)  # calls are served meanwhile
        ready = running | {id(provider) for provider in providers}
        for plugin in await asyncio.to_thread(lambda: [p for p in config.instances.values() if id(p) not in ready]):
            started.append(plugin)
            culprit, hook = plugin.entry.id, "take_over"
            old = before.get(plugin.entry.id)
            if hasattr(plugin, "take_over") and old is not None and type(old) is type(plugin):
                plugin.take_over(old)
            hook = "startup"
            await house.hosting.start(plugin, config.gateway.startup_timeout)
        culprit, hook = "connections", ""
        running_backends = set(house.live.backends.values()) if house.live is not None else set()
        await asyncio.gather(*(b.prepare() for b in backends.values() if b not in running_backends))
        culprit = "document"
        generation = await asyncio.to_thread(Generation, number, config, backends)  # calls are served meanwhile
        generation.house = house
        generation.detour = _detour(await _asked(house, config, "detour"))
        generation.readdress = await _asked(house, config, "readdress")
        for mount in house.mounts:
            if (waiting := mount(generation)) is not None:
                await waiting
    except BaseException as error:
        await house.hosting.end([*providers, *started], config.gateway.stop_timeout)
        if isinstance(error, ConfigError) or not isinstance(error, Exception | SystemExit):
            raise
        if isinstance(error, GivenUp):
            message = f"does not start within {config.gateway.startup_timeout:g} s and was given up"
            raise ConfigError([Problem((culprit,), message)]) from None
        if not (fails := outside(error)):
            trace = config.hide("".join(traceback.format_exception(error)))
            log.error("%s could not be started\n%s", culprit, trace)  # noqa: TRY400 - its secrets are hidden in the trace
        where = f" ({hook})" if hook not in ("", "startup") else ""
        said = str(error) if isinstance(error, MachineError) else f"{type(error).__name__}: {error}"
        why = config.hide(f"could not be started{where}: {said}")
        raise ConfigError([Problem((culprit,), why, outside=fails)]) from error
    return generation


async def _asked(house: House, config: Configuration, hook: str) -> list[Any]:
    """Ask every section for what it has to say of each call.

    Raises:
        ConfigError: one of them cannot say.
    """
    problems: list[Problem] = []
    asking = Asking(problems, config.gateway.hook_timeout, config.hide)
    asked = [await asking.one(section, hook, house.hosting.host_of(section)) for section in config.sections.values()]
    asking.close()
    if problems:
        raise ConfigError(problems)
    return [each for each in asked if each is not None]


def _detour(found: list[Detour]) -> Detour | None:
    """Make one of all: the first that says another flow counts."""
    if len(found) < 2:
        return found[0] if found else None
    return lambda exchange, flow: next((other for each in found if (other := each(exchange, flow)) is not None), None)


def _backend(house: House, name: str, config: Configuration) -> Backend:
    """Keep a connection whose configuration is the same; make a new one with a pool of its own otherwise (HC-2)."""
    mine, gateway = config.connections[name], config.gateway
    style = gateway.forwarded
    told = Disclosure(style in ("x-forwarded", "both"), style in ("forwarded", "both"), gateway.via)
    before = house.live.backends.get(name) if house.live is not None else None
    if before is not None and before.config == mine and before.made_for == (told, gateway.hook_timeout):
        return before
    if before is not None and before.config.transport is mine.transport:
        # The transport holds the pool of the old connection, which drains under calls still running.
        transport = type(mine.transport)(mine.transport.options)
        transport.entry = mine.transport.entry
        section = mine.section.model_copy(update={"transport": mine.section.transport and transport})
        mine = replace(mine, transport=transport, section=section)  # or the next document would not be the same
        config.connections[name] = mine
        config.instances[transport.entry.id] = transport
    changed: Callable[[Target, Health], None] = house.target_changed
    backend = Backend(mine, house.clock, changed, disclosure=told, hook_timeout=gateway.hook_timeout)
    if before is not None:
        backend.inherit(before)
    return backend
