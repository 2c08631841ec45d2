"""A connection that is alive: with its pool, its checks and what finds its targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hookgate.connections.connection import Connection
from hookgate.connections.discovery import Finder
from hookgate.connections.health import Watch
from hookgate.connections.preparing import HeaderAction
from hookgate.connections.section import ConnectionConfig
from hookgate.contract.backends import Certificate, Credential, Pool, Transport
from hookgate.contract.clock import Clock
from hookgate.contract.secret import Secret
from hookgate.exchange.errors import ConfigError, Problem
from hookgate.exchange.outbound import Health, Target, Timeouts
from hookgate.http.forwarding import Disclosure
from hookgate.http.tls import UpstreamTls


class Backend:
    """A live connection together with the configuration it was made from and the checks of its targets."""

    __slots__ = ("config", "connection", "finder", "made_for", "probes", "tls", "watch")

    def __init__(
        self,
        config: ConnectionConfig,
        clock: Clock,
        changed: Callable[[Target, Health], None],
        *,
        disclosure: Disclosure,
        hook_timeout: float = 30.0,
    ) -> None:
        section = config.section
        self.config = config
        self.made_for = disclosure, hook_timeout
        """What the gateway says of all connections."""
        bounds = section.timeouts
        self.tls = UpstreamTls(config.name, section.tls, self._certificates, clock.wall)
        config.transport.configure(
            Pool(
                name=config.name,
                max_connections=section.pool.max_connections,
                keep_alive=section.pool.keep_alive,
                max_age=section.pool.max_age,
                queue_timeout=section.pool.queue_timeout,
                certificates=self._certificates,
                tls=self.tls,
            )
        )
        self.connection = Connection(
            config.name,
            [Target(t.scheme, t.host, t.port, weight=t.weight, active=t.active) for t in config.targets],
            config.transport,
            balancer=config.balancer,
            monitors=config.monitors,
            actions=[HeaderAction(a.action, a.name, a.provider) for a in config.headers],
            credentials=config.credentials,
            base_path=section.base_path,
            host=section.host,
            max_tries=section.max_tries,
            retry=section.retry,
            slow_start=section.slow_start,
            timeouts=Timeouts(**bounds.model_dump()),
            beside=Timeouts(**bounds.model_dump() | dict.fromkeys({"read", "request"} - bounds.model_fields_set)),
            on_all_unhealthy=section.on_all_unhealthy,
            disclosure=disclosure,
            tags=section.tags,
            labels=section.labels,
            extensions=section.extensions,
            hook_timeout=hook_timeout,
            clock=clock,
        )
        self.watch = Watch(self.connection, changed) if config.monitors else None
        self.finder = None if config.discovery is None else Finder(self.connection, config.discovery, self._found)
        self.probes: Transport[Any] | None = None
        """What carries the checks: a pool of their own, so that a full one does not make well targets look ill."""
        if self.watch is not None:
            self.probes = type(config.transport)(config.transport.options)
            self.probes.entry = replace(config.transport.entry, id=f"{config.transport.entry.id}/checks")
            self.probes.configure(replace(config.transport.pool, max_connections=None))
            self.watch.transport = self.probes

    def _found(self) -> None:
        if self.watch is not None:
            self.watch.follow()

    def _certificates(self) -> tuple[Certificate, ...]:
        """Ask the credentials for client certificates.

        Raises:
            ValueError: one of them fails, or gives something else; the text names it.
        """
        asked = [_certificate(each) for each in self.config.credentials if hasattr(each, "client_certificate")]
        return tuple(certificate for certificate in asked if certificate is not None)

    async def prepare(self) -> None:
        """Try the client certificates, and find the first targets, so that the first calls have some.

        Raises:
            ConfigError: a certificate cannot be used, or there is no TLS to show it in (HC-13).
        """
        problems = self.tls.check()
        if self.tls.shows_certificate:
            text = "the client certificate would never be shown, as the target is called without TLS: write https://"
            listed = len(self.config.section.targets)
            problems += [
                Problem(("targets", index) if index < listed else ("backups", index - listed), text)
                for index, target in enumerate(self.config.targets)
                if target.scheme == "http"
            ]
        if problems:
            raise ConfigError([problem.under(("connections", self.config.name)) for problem in problems])
        if self.finder is not None:
            await self.finder.look()

    def start(self) -> None:
        """Begin to check targets and to follow their coming and going."""
        if self.watch is not None:
            self.watch.start()
        if self.finder is not None:
            self.finder.start()

    async def stop(self) -> None:
        """Leave off with both."""
        if self.finder is not None:
            await self.finder.stop()
        if self.watch is not None:
            await self.watch.stop()

    def inherit(self, predecessor: Backend) -> None:
        """Keep what is known of targets that stay (the same address), so that a reload forgets no health.

        Targets that the same discovery has found stay until it finds others: the next look may fail.
        """
        if self.config.discovery is not None and self.config.discovery is predecessor.config.discovery:
            self.connection.targets = [
                Target(*t.origin, weight=t.weight, active=t.active, host_name=t.host_name)
                for t in predecessor.connection.targets
            ]
        if self.watch is None:
            return  # nobody would ever find an unhealthy one healthy again
        known = {target.url: target for target in predecessor.connection.targets}
        for target in self.connection.targets:
            if (before := known.get(target.url)) is not None:
                target.health, target.last_seen, target.failures = before.health, before.last_seen, before.failures
        if self.watch is not None and predecessor.watch is not None:
            self.watch.inherit(predecessor.watch)


def _certificate(credential: Credential[Any]) -> Certificate | None:
    where = f"{credential.entry.id} failed in client_certificate"
    try:
        given = credential.client_certificate()
    except (Exception, SystemExit) as error:
        raise ValueError(f"{where}: {type(error).__name__}: {error}") from error
    if given is None:
        return None
    is_certificate = isinstance(given, Certificate) and isinstance(given.chain, str) and isinstance(given.key, Secret)
    if not is_certificate or not isinstance(given.password, Secret | None):
        raise ValueError(f"{where}: it gave no Certificate with a chain as text, and a Secret for its key")
    return given
