"""Plugins that the tests of loading place, one for each case that matters; taken in as the folder of a site."""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from hookgate import (
    Branch,
    Credential,
    Definition,
    Expression,
    FlowOptions,
    Interceptor,
    Observer,
    Options,
    Secret,
    SecretProvider,
    Section,
    Transport,
    hookimpl,
)


class StepOptions(Options):
    name: str = ""
    """A word."""
    number: int = 1
    key: Secret | None = None
    window: float | Literal["day", "hour"] = 1.0
    by: Expression | None = None


class Step(Interceptor[StepOptions]):
    """Has both ways."""

    @hookimpl
    def on_request(self, exchange): ...

    @hookimpl
    def on_response(self, exchange): ...


class WayIn(Step):
    """Has both ways, and may stand on the way in only."""

    sides = {"request"}


class WayOut(Interceptor[Options]):
    """Has a way out only."""

    @hookimpl
    def on_response(self, exchange): ...


class FragileOptions(Options):
    reason: str


class Fragile(Interceptor[FragileOptions]):
    """Cannot be constructed."""

    def __init__(self, options):
        raise OSError(options.reason)

    @hookimpl
    def on_request(self, exchange): ...


class BoxOptions(FlowOptions):
    otherwise: FlowOptions | None = None
    cases: dict[str, FlowOptions] = {}


class Box(Branch[BoxOptions]):
    """Holds flows."""

    @property
    def branches(self) -> Mapping[str, FlowOptions]:
        return {"flow": self.options}

    @hookimpl
    def choose(self, exchange): ...


class PairOptions(Options):
    first: Interceptor[Any]
    second: Interceptor[Any] | None = None


class Pair(Interceptor[PairOptions]):
    """Holds one plugin or two."""

    @hookimpl
    def on_request(self, exchange): ...


class SafeOptions(Options):
    values: dict[str, str] = {}
    token: Secret | None = None


class Safe(SecretProvider[SafeOptions]):
    """Knows secrets, and misbehaves by name."""

    asked: list[str] = []

    @hookimpl
    async def resolve(self, reference):
        self.asked.append(reference)
        if reference == "slow":
            await asyncio.sleep(3600)
        if reference == "crash":
            raise RuntimeError("the value was hunter2")
        if reference == "token":
            return self.options.token
        if reference == "plain":
            return "not wrapped"
        if reference not in self.options.values:
            raise LookupError(f"the safe holds no {reference}")
        return Secret(self.options.values[reference])


class Signer(Credential[Options]):
    signs_message = True

    @hookimpl
    def sign(self, exchange, outbound): ...


class Token(Credential[Options]):
    @hookimpl
    def sign(self, exchange, outbound): ...


class Pigeon(Transport[Options]):
    schemes = {"pigeon"}

    @hookimpl
    async def send(self, outbound): ...


class Watcher(Observer[Options]):
    @hookimpl
    def exchange_started(self, exchange): ...


class Backend(Options):
    url: str
    """Where it is."""
    path: str = "/"
    """What goes there."""
    step: str = "step"
    """What calls pass."""


class Backends(Section[Backend]):
    """Backends with a route each."""

    kind = "backend"

    @hookimpl
    def instances(self):
        return [Definition(f"shared-{item.name}", "step", item.path, "interceptor") for item in self.items]

    @hookimpl
    def connections(self):
        return [Definition(item.name, {"targets": item.record.url}, (*item.path, "url")) for item in self.items]

    @hookimpl
    def routes(self, site):
        for item in self.items:
            record = item.record
            if record.path == "boom":
                1 / 0  # noqa: B018
            match, to = {"path": record.path}, {"connection": item.name}
            written = {"name": f"to {item.name}", "match": match, "flow": [record.step], "to": to}
            yield site.route(written, item.path, {"flow": "step", "match": "path"})
