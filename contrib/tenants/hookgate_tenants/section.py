"""The section ``tenants``: who they are, which hosts are theirs, and what they may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from hookgate import Exchange, Host, Item, Options, Problem, Section, ServiceUnavailable, Site, Ways, hookimpl
from hookgate.contract import Readdress
from hookgate_tenants.naming import LONGEST, NAME, bare, covers, tenant_of

Kinds = Literal["apis", "connections", "lifecycles", "offers", "profiles", "routes", "variables", "visibilities"]


class Tenant(Options):
    """Somebody who has domains, people and objects of their own on this gateway."""

    description: str = Field(default="", max_length=1000)
    """Who it is."""
    domains: tuple[str, ...] = Field(default=(), max_length=100)
    """Hosts that its routes and APIs may take, such as `api.acme.example` or `*.acme.example`, and no other tenant. The
    name of the tenant if left out."""
    disabled: bool = False
    """Its domains are answered with 503, and its people may not call the API."""
    objects: int = Field(default=1000, ge=0)
    """Most objects that it may store."""
    kinds: tuple[Kinds, ...] = ("apis", "connections", "lifecycles", "offers", "routes", "variables", "visibilities")
    """Kinds of objects that its people may have."""
    shared: tuple[str, ...] = ()
    """Objects of no tenant that those of this one may refer to, as patterns of kind and name: `connections/crm`."""


class Tenants(Section[Tenant]):
    """Tenants by name, such as `acme.example`. Whose something is stands in its name: the user `ann@acme.example`, the
    route `orders@acme.example`.

    Routes and APIs of a tenant have hosts, all of them of its domains.
    """

    kind = "tenant"

    def __init__(self, items: Sequence[Item[Tenant]] = ()) -> None:
        super().__init__(items)
        self.tenants: Mapping[str, Tenant] = {item.name: item.record for item in self.items}

    def tenant_of(self, name: str) -> str:
        """Return the tenant whose a user, a role or an object is by its name; nothing for what is of none."""
        return tenant_of(name, self.tenants)

    def domains(self, tenant: str) -> tuple[str, ...]:
        """Return the domains of a tenant."""
        return tuple(map(str.casefold, self.tenants[tenant].domains)) or (tenant,)

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse domains of two tenants, and routes of a tenant on hosts that are not its own."""
        if not self.items:
            return
        taken: list[tuple[str, str]] = []
        for item in self.items:
            if not NAME.fullmatch(item.name) or len(item.name) > LONGEST:
                message = "is no name of a tenant: small letters, digits, `-` and `.`, as a domain has them"
                yield Problem(item.path, message, at_key=True)
            for index, domain in enumerate(self.domains(item.name)):
                place = (*item.path, "domains", index) if item.record.domains else item.path
                if not NAME.fullmatch(domain.removeprefix("*.")):
                    yield Problem(place, f"{domain!r} is no domain: write `api.acme.example` or `*.acme.example`")
                for other, whose in taken:
                    if whose != item.name and (covers(other, domain) or covers(domain, other)):
                        yield Problem(place, f"{domain!r} is a domain of another tenant")
                taken.append((domain, item.name))
        for name, hosts_of in (("routes", _of_route), ("apis", _of_api)):
            section = site.section(name)
            for each in section.items if section is not None else ():
                yield from self._bound(each, hosts_of(each.record))

    def _bound(self, item: Item[Any], found: tuple[tuple[str, ...], tuple[str, ...]]) -> Iterator[Problem]:
        tenant = self.tenant_of(item.name)
        if not tenant:
            return
        if tenant not in self.tenants:
            yield Problem(item.path, "has a name of several tenants")
            return
        path, hosts = found
        if not hosts:
            listed = ", ".join(self.domains(tenant))
            yield Problem((*item.path, *path), f"what is of a tenant has a host, one of its domains: {listed}")
        for host in hosts:
            if not any(covers(domain, bare(host)) for domain in self.domains(tenant)):
                yield Problem((*item.path, *path), f"{host!r} is no domain of the tenant {tenant}")

    @hookimpl
    def readdress(self, host: Host) -> Readdress | None:
        """Stop calls to the domains of tenants that are disabled; nothing is asked where none is."""
        stopped = [domain for item in self.items if item.record.disabled for domain in self.domains(item.name)]
        return _Stop(stopped) if stopped else None

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say who is disabled."""
        stopped = [item.name for item in self.items if item.record.disabled]
        if not stopped:
            return None
        return {"disabled": {name: f"{', '.join(self.domains(name))} answers with 503" for name in stopped}}


class _Stop:
    def __init__(self, domains: list[str]) -> None:
        self._domains = domains

    def __call__(self, exchange: Exchange) -> tuple[str, list[Ways]]:
        """Let a call go on, unless it is to a domain that is stopped.

        Raises:
            ServiceUnavailable: it is.
        """
        host = bare(exchange.request.host)
        if any(covers(domain, host) for domain in self._domains):
            raise ServiceUnavailable("This domain is not served at the moment.", reason="tenant-disabled")
        return "", []


def _of_route(record: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    host = record.match.host
    return ("match", "host"), () if host is None else (host,) if isinstance(host, str) else tuple(host)


def _of_api(record: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return ("hosts",), tuple(record.hosts)
