"""The sections that core itself brings: what every gateway has, as plugins like any other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import model_validator

from hookgate.building import PROFILE_SIDES
from hookgate.connectionsection import ConnectionSection
from hookgate.errors import Problem
from hookgate.hookspecs import hookimpl
from hookgate.plugin import Options
from hookgate.routeconfig import RouteConfig
from hookgate.section import Definition, Section, Site
from hookgate.sections import GatewaySection, ManagementSection, ProfileSection, RouteSection


class Gateway(Section[GatewaySection]):
    """The data path as a whole."""

    shape, always = "record", True

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse listeners that do not fit together. What is for management is on no public listener."""
        gateway, management = self.record, site.section("management").record
        encrypted = [index for index, address in enumerate(gateway.listen) if address.startswith("https://")]
        if encrypted and gateway.tls is None:
            message = f"{gateway.listen[encrypted[0]]} needs certificates: write tls"
            yield Problem(("gateway", "listen", encrypted[0]), message)
        if gateway.tls is not None and not encrypted:
            message = "no listener speaks TLS; write https:// in front of an address of listen"
            yield Problem(("gateway", "tls"), message, at_key=True)
        if gateway.proxy_protocol and not gateway.trusted_proxies:
            message = "nobody may send a PROXY header; name the networks of those who do in trusted_proxies"
            yield Problem(("gateway", "proxy_protocol"), message)
        seen: set[str] = set()
        private = management.listen if management.enabled else ()
        for name, addresses in (("gateway", gateway.listen), ("management", private)):
            for index, address in enumerate(each.removeprefix("https://") for each in addresses):
                if address in seen and not address.endswith(":0"):
                    message = f"{address} is listened on already; every listener has an address of its own"
                    yield Problem((name, "listen", index), message)
                seen.add(address)


class Management(Section[ManagementSection]):
    """Health, pages and APIs for those who run the gateway."""

    shape, always = "record", True


class Shared(Options):
    """An instance with a name of its own: any entry of a step."""

    entry: Any

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return {"entry": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"x-hookgate-family": "interceptor"}


class Plugins(Section[Shared]):
    """Instances with a name of their own; placing that name in several flows shares one instance."""

    @hookimpl
    def instances(self) -> Iterable[Definition]:
        """Let steps be placed by the names."""
        return [Definition(item.name, item.record.entry, item.path, "interceptor") for item in self.items]


class Profiles(Section[ProfileSection]):
    """Security profiles with a name of their own, placed by it on routes and connections."""

    @hookimpl
    def instances(self) -> Iterator[Definition]:
        """Let credentials and ways to authenticate be placed by the names."""
        for item in self.items:
            for side, family in PROFILE_SIDES.items():
                if (entry := getattr(item.record, side)) is not None:
                    yield Definition(item.name, entry, (*item.path, side), family)


class Connections(Section[ConnectionSection]):
    """Backends and the ways to them, by name."""

    always = True


class Routes(Section[RouteSection]):
    """Which calls pass which steps and go where."""

    shape, kind, always = "list", "route", True

    @hookimpl
    def routes(self, site: Site) -> Iterator[RouteConfig | None]:
        """Give each to the router."""
        for item in self.items:
            yield site.made(item)
