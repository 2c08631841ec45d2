"""The section ``proxies``: prefixes in front of upstream gateways, which custom routes replace or add to (CR-24)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hookgate import (
    Cache,
    Host,
    Interceptor,
    Item,
    Problem,
    Route,
    Secret,
    Section,
    Site,
    Ways,
    hookimpl,
)
from hookgate_workflows.proxyrecord import ProxySection
from hookgate_workflows.proxysteps import ByWhom, CheckSession, Forward, LetIn, key_of

NAME = re.compile(r"p[1-9][0-9]{0,8}")


class Proxies(Section[ProxySection]):
    """Proxies, by name: `p1` stands at `/api/v01/p1`. What no custom route takes there goes to the upstream gateway."""

    kind = "proxy"

    def __init__(self, items: Sequence[Item[ProxySection]] = ()) -> None:
        super().__init__(items)
        self.by_name = {item.name: item.record for item in self.items}
        """What is said of each."""
        self._kept: dict[str, Cache[str]] = {}

    @hookimpl
    def startup(self, host: Host) -> None:
        """Get ready to remember whose sessions are whose."""
        self._kept = {name: host.cache(each.check.keep) for name, each in self.by_name.items() if each.check.keep}

    def kept(self, proxy: str) -> Cache[str] | None:
        """Return whose the sessions are that were asked about a moment ago; ``None`` where each call asks."""
        return self._kept.get(proxy)

    def forget(self, proxy: str, session: Secret) -> None:
        """Ask about a session again when it is used next."""
        if (kept := self._kept.get(proxy)) is not None:
            kept.forget(key_of(session))

    @hookimpl
    def routes(self, site: Site) -> Iterator[Route | None]:
        """Make the route of what is passed on, and that to transactions."""
        engine: Any = site.section("workflow_engine")
        custom: Any = site.section("custom_routes")
        bound = {item.record.proxy for item in custom.items} if custom is not None else set()
        for item in self.items:
            if not NAME.fullmatch(item.name):
                continue
            record, prefix = item.record, f"{engine.record.prefix}/{item.name}"
            around = self.around(site, item.name, f"proxies.{item.name}")
            forward = Forward(f"proxies.{item.name}.forward", item.name)
            site.adopt(forward, item.path)
            match = {"path": f"{prefix}/{{rest...}}"}
            written = {"name": f"proxy {item.name}", "match": match, "to": record.destination}
            made_of: dict[str, Any] = {"match.path": item.path, "to.connection": "connection", "to.timeout": "timeout"}
            steps = (*around, ("forward", forward))
            yield site.route(
                written, item.path, made_of, steps=Ways(steps, steps), strip=prefix, prefix=record.upstream_prefix
            )
            if item.name in bound:
                from hookgate_workflows.transactions import Transactions

                found = Transactions(f"proxies.{item.name}.transactions")
                site.adopt(found, item.path)
                path = {"path": f"{prefix}/-/transactions/{{id}}", "methods": ["GET"]}
                way = around[:1]
                written = {"name": f"proxy {item.name} transactions", "match": path}
                yield site.route(written, item.path, steps=Ways((*way, ("transactions", found)), way))

    def around(self, site: Site, name: str, owner: str) -> tuple[tuple[str, Interceptor[Any]], ...]:
        """Make the steps in front of every call of a proxy: they find out who calls, and let in who may."""
        engine: Any = site.section("workflow_engine")
        path = ("proxies", name)
        entries, at = engine.auth(site)
        if not entries:
            message = "local users need to be authenticated, and nothing says how: write keymanager, or"
            site.problem(path, f"{message} workflow_engine: {{auth: […]}}")
        local = [site.step(entry, (*at, index), owner) for index, entry in enumerate(entries)]
        check = CheckSession(f"{owner}.session", name)
        by_whom = ByWhom(f"{owner}.by_whom", name, check, [each for each in local if each is not None])
        let_in = LetIn(f"{owner}.let_in", name)
        for step in (check, by_whom, let_in):
            site.adopt(step, path)
        return (("by_whom", by_whom), ("let_in", let_in))

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Tell names that are none, and connections that would show another session than that of the user."""
        connections: Any = site.section("connections")
        known = {item.name: item.record for item in connections.items} if connections is not None else {}
        for item in self.items:
            if not NAME.fullmatch(item.name):
                yield Problem(item.path, "is called p and a number, such as p1", at_key=True)
            record, at = known.get(item.record.connection), (*item.path, "connection")
            if record is None:
                yield Problem(at, "stands in no section connections, so nobody knows what it signs with")
            elif record.auth:
                yield Problem(
                    at, f"{item.record.connection} signs calls (auth), so users would not have their own session"
                )
            elif any(
                (each.set or each.add or each.remove or "").lower() == item.record.header.lower()
                for each in record.headers
            ):
                yield Problem(at, f"{item.record.connection} changes {item.record.header}, in which sessions are sent")
