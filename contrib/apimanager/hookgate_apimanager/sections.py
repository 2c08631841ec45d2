"""The sections ``lifecycle_machine`` and ``lifecycles``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hookgate import Interceptor, Item, Problem, Section, Site, hookimpl
from hookgate.exchange import Path, near
from hookgate_apimanager.records import LifecycleSection, MachineSection, VisibilitySection
from hookgate_apimanager.step import Absent, Blocked, Prototype
from hookgate_apimanager.visibility import Offer, levels

Front = tuple[tuple[str, Interceptor[Any]], ...]
STEPS = {"none": Absent, "open": Prototype, "refused": Blocked}


class LifecycleMachine(Section[MachineSection]):
    """The states that APIs have, and how they come from one to another (KC-18, KC-20). The section is there without
    being written, and then has the states of the fourth seed."""

    shape, kind = "record", "lifecycle machine"


class Lifecycles(Section[LifecycleSection]):
    """The states of APIs, by the name of the API with its version: `orders 1.0`. The section is there without being
    written: an API that does not stand in it has the state `unlisted` of the machine."""

    kind = "lifecycle"

    def __init__(self, items: Sequence[Item[LifecycleSection]] = ()) -> None:
        super().__init__(items)
        self.states: Mapping[str, str] = {item.name: item.record.state for item in self.items}
        """Those that are written, by API."""

    def state_of(self, api: str, machine: MachineSection) -> str:
        """Return the state of an API, be it written or not."""
        return self.states.get(api, machine.unlisted)

    def front(self, api: str, path: Path, site: Site) -> tuple[bool, Front]:
        """Return whether an API is deployed, and the steps that its state puts in front of its own. Those of one that
        is not are for its paths that another API would take as its own."""
        machine = _machine(site)
        name = self.state_of(api, machine)
        calls = machine.states[name].calls if name in machine.states else "none"  # told by the check
        if calls == "served":
            return True, ()
        step = STEPS[calls](api, name)
        site.adopt(step, path)
        return calls != "none", (("lifecycle", step),)

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Look for the APIs, and for their states."""
        apis, states = site.names("apis"), _machine(site).states
        for item in self.items:
            if item.name not in apis:
                yield Problem(item.path, f"there is no API {item.name!r}{near(item.name, apis)}", at_key=True)
            if item.record.state not in states:
                message = f"there is no state {item.record.state!r}; there is {', '.join(states)}"
                yield Problem((*item.path, "state"), message)


class Visibilities(Section[VisibilitySection]):
    """Who sees APIs and may subscribe to them, by the name of the API with its version. The section is there without
    being written: an API that does not stand in it is public, and its own tenant subscribes to it."""

    kind = "visibility"

    def __init__(self, items: Sequence[Item[VisibilitySection]] = ()) -> None:
        super().__init__(items)
        self._records = {item.name: item.record for item in self.items}

    def offer(self, api: str, tenant: str) -> Offer:
        """Return to whom an API of a tenant is offered."""
        said = self._records.get(api)
        if said is None:
            return Offer(tenant)
        return Offer(tenant, said.level, frozenset(said.roles), said.subscriptions, frozenset(said.tenants))

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Look for the APIs and tenants, and refuse what only several tenants have (KC-44, KC-47)."""
        apis, tenants = site.names("apis"), site.names("tenants")
        for item in self.items:
            said = item.record
            if item.name not in apis:
                yield Problem(item.path, f"there is no API {item.name!r}{near(item.name, apis)}", at_key=True)
            if said.level not in levels(several=bool(tenants)):
                yield Problem((*item.path, "level"), "there is one tenant only: write public or roles")
            if said.subscriptions != "current" and not tenants:
                yield Problem((*item.path, "subscriptions"), "there is one tenant only: it is current; leave it out")
            for index, tenant in enumerate(said.tenants):
                if tenant not in tenants:
                    yield Problem((*item.path, "tenants", index), f"there is no tenant {tenant!r}")


def _machine(site: Site) -> MachineSection:
    section = site.section("lifecycle_machine")
    return MachineSection() if section is None else section.record
