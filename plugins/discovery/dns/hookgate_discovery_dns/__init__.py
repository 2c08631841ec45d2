"""Find targets by the addresses or services of a DNS name."""

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Any, Literal

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver
from pydantic import Field, field_validator, model_validator

from hookgate import Clock, Discovery, Duration, Host, Options, Target, hookimpl

KINDS = ("A", "AAAA")
"""Records that have addresses."""


class DnsOptions(Options):
    """Options of `dns`."""

    name: str = Field(min_length=1, max_length=253)
    """Name to look up: `app.internal`, or `_http._tcp.app.internal` for services."""
    records: Literal["address", "srv"] = "address"
    """`address` takes every A and AAAA record as a target, `srv` the services of the best priority."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Port of the targets, for `address` only; services come with theirs."""
    scheme: Literal["http", "https"] = "http"
    """Scheme of the targets. `https` goes with `srv` only, since a certificate is made out to a name."""
    nameservers: tuple[str, ...] = ()
    """Addresses of servers to ask, `ip` or `ip:port`; those of this machine if left out."""
    at_least: Duration = Field(default=5.0, gt=0)
    """Seconds between looks, even where records say that they live shorter."""
    at_most: Duration = Field(default=300.0, gt=0)
    """Seconds between looks, even where records say that they live longer."""

    @model_validator(mode="after")
    def _agree(self) -> "DnsOptions":
        if self.records == "address" and self.port is None:
            raise ValueError("port: addresses come without one, so write it here")
        if self.records == "srv" and self.port is not None:
            raise ValueError("port: services come with their own; leave it out")
        if self.records == "address" and self.scheme == "https":
            raise ValueError("scheme: https needs names to check certificates by; use srv records, or list targets")
        if self.at_most < self.at_least:
            raise ValueError("at_most must not be below at_least")
        return self

    @field_validator("name")
    @classmethod
    def _has_labels(cls, name: str) -> str:
        try:
            dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError) as error:
            raise ValueError(f"{name!r} is no name that DNS knows ({type(error).__name__})") from error
        return name

    @field_validator("nameservers")
    @classmethod
    def _are_addresses(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for text in servers:
            _server(text)
        return servers


class Dns(Discovery[DnsOptions]):
    """Looks a name up when its records have expired, and follows what it stands for.

    The name is looked up again after the shortest time to live in the answer, aliases (CNAME) on the way included,
    within `at_least` and `at_most`. A look that fails leaves the targets as they were; if only the A or only the AAAA
    records cannot be had, those stay as they were, and the others are followed. A service whose target is `.` is not
    offered there (RFC 2782). With `address`, backends are told the name in `Host`.
    """

    def __init__(self, options: DnsOptions) -> None:
        super().__init__(options)
        self._clock: Clock | None = None
        self._lives = options.at_least
        self._resolver: Any = None
        self._known: dict[str, list[str]] = {kind: [] for kind in KINDS}
        """Addresses that a kind of record had, for looks that fail for this kind only."""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Read which servers to ask; nothing is asked yet."""
        self._clock = host.clock
        self._resolver = dns.asyncresolver.Resolver(configure=not self.options.nameservers)
        self._resolver.cache = None
        if self.options.nameservers:
            self._resolver.nameservers = [_server(text) for text in self.options.nameservers]

    @hookimpl
    async def targets(self) -> Sequence[Target]:
        """Ask for the records and return what they name.

        Raises:
            LookupError: there is no such name, or no server answers.
        """
        try:
            found = await (self._services() if self.options.records == "srv" else self._addresses())
        except (dns.exception.DNSException, OSError) as error:
            self._lives = self.options.at_least
            raise LookupError(f"{self.options.name}: {type(error).__name__}") from error
        return sorted(found, key=lambda target: (target.host, target.port))

    @hookimpl
    async def changed(self) -> None:
        """Return when the last answer has expired."""
        assert self._clock is not None
        await self._clock.sleep(min(max(self._lives, self.options.at_least), self.options.at_most))

    async def _addresses(self) -> list[Target]:
        asked = [asyncio.ensure_future(self._asked(kind)) for kind in KINDS]
        await asyncio.gather(*asked, return_exceptions=True)
        failures = [each.exception() for each in asked]
        if all(failures):
            raise next(filter(None, failures))
        found: list[str] = []
        lives: list[float] = []
        for kind, each, failure in zip(KINDS, asked, failures, strict=True):
            if failure is None:
                kind_lives, records = each.result()
                lives += () if kind_lives is None else (kind_lives,)
                self._known[kind] = [record.address for record in records]
            elif isinstance(failure, dns.resolver.NXDOMAIN):  # some servers say so of a name that has the other kind
                self._known[kind] = []
            elif not isinstance(failure, dns.exception.DNSException | OSError):
                raise failure
            found += self._known[kind]
        if not found and (failed := next(filter(None, failures), None)):  # it may be the kind that the name has
            raise failed
        self._lives = min(lives, default=self.options.at_least)
        port = self.options.port or 80
        name = self.options.name.rstrip(".")
        host_name = name if port == 80 else f"{name}:{port}"
        return [Target(self.options.scheme, address, port, host_name=host_name) for address in found]

    async def _services(self) -> list[Target]:
        lives, records = await self._asked("SRV")
        self._lives = self.options.at_least if lives is None else lives
        offered = [record for record in records if record.port and record.target != dns.name.root]
        best = min((record.priority for record in offered), default=0)
        weights: dict[tuple[str, int], int] = {}
        for record in offered:
            if record.priority == best:
                place = str(record.target).rstrip(".").lower(), record.port
                weights[place] = weights.get(place, 0) + max(record.weight, 1)  # it may stand there twice
        return [Target(self.options.scheme, *place, weight=weight) for place, weight in weights.items()]

    async def _asked(self, kind: str) -> tuple[float | None, Sequence[Any]]:
        """Return how long the records of a kind live, and the records; none where there are none of this kind."""
        try:
            answer = await self._resolver.resolve(self.options.name, kind, lifetime=5.0)
        except dns.resolver.NoAnswer:
            return None, ()
        return float(answer.chaining_result.minimum_ttl), tuple(answer)


def _server(text: str) -> Any:
    """Return a server to ask.

    Raises:
        ValueError: this is no address, or its port none.
    """
    address, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in address and not text.startswith("[")):
        address, port = text, "53"
    try:
        known = str(ipaddress.ip_address(address.removeprefix("[").removesuffix("]")))
        if not 0 < int(port) < 65536:
            raise ValueError(port)
    except ValueError:
        raise ValueError(f"{text!r} is no address of a name server, such as 10.0.0.2 or [2001:db8::2]:5353") from None
    return dns.nameserver.Do53Nameserver(known, int(port))
