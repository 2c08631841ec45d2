"""Transports, discovery, apps and others beside the flow; what every family may have; and families of others."""

import asyncio
import sys

import pytest
from quart import Blueprint

from hookgate import (
    App,
    BadRequest,
    Credential,
    Discovery,
    HeaderProvider,
    Observer,
    Options,
    Response,
    Source,
    Target,
    Transport,
    hookimpl,
)
from hookgate.testing import constructing
from hookgate_authoring.conformance import Nonconforming, conformance


class AnswersText(Transport[Options]):
    """Answers with what is no response."""

    @hookimpl
    async def send(self, outbound):
        return "ok"


class BlamesClient(Transport[Options]):
    """Takes a backend that is away for a fault of the client."""

    @hookimpl
    async def send(self, outbound):
        raise BadRequest("no backend")


class FindsNames(Discovery[Options]):
    """Finds names, where targets are asked for."""

    @hookimpl
    def targets(self):
        return ["one.test"]


class FindsTwice(Discovery[Options]):
    """Finds one address twice."""

    @hookimpl
    def targets(self):
        return [Target("http", "one.test", 80), Target("http", "one.test", 80)]


class HoldsOn(Discovery[Options]):
    """Does not let go when nobody waits any more."""

    @hookimpl
    def targets(self):
        return []

    @hookimpl
    async def changed(self):
        while True:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                await asyncio.sleep(60)
                return


class GivesUp(Source[Options]):
    """Raises where it should wait."""

    @hookimpl
    def read(self):
        return {}

    @hookimpl
    async def changed(self):
        raise OSError("gone")


class OneBlueprint(App[Options]):
    """Makes its pages once and for all."""

    pages = Blueprint("once", __name__)

    @hookimpl
    def blueprint(self, host):
        return self.pages


class BreaksOnInput(App[Options]):
    """Takes every limit for a number."""

    @hookimpl
    def blueprint(self, host):
        from quart import request

        pages = Blueprint("breaks", __name__)

        @pages.get("/breaks")
        async def page():
            return str(int(request.args.get("limit", "1")))

        return pages


class Marks(Observer[Options]):
    """Marks what it should watch."""

    writes = {"response.headers"}

    @hookimpl
    def exchange_finished(self, exchange):
        if exchange.response is not None:
            exchange.response.headers.set("x-seen", "1")


class WritesItself(HeaderProvider[Options]):
    """Sets the header, and does not say its value."""

    @hookimpl
    def value(self, exchange, outbound):
        outbound.headers.set("x-me", "1")


class TriesAgain(Credential[Options]):
    """Says more than whether to try again."""

    @hookimpl
    def sign(self, exchange, outbound): ...

    @hookimpl
    def rejected(self, exchange, outbound, response):
        return Response(200)


class TellsObjects(Observer[Options]):
    """Has facts that nobody can read."""

    @hookimpl
    def exchange_finished(self, exchange): ...

    @hookimpl
    def health(self):
        return {"since": object()}


class Robs(Observer[Options]):
    """Takes away what the old one still needs."""

    def __init__(self, options):
        super().__init__(options)
        self.queue = [1]

    @hookimpl
    def exchange_finished(self, exchange): ...

    @hookimpl
    def take_over(self, old):
        self.queue = [old.queue.pop()]


FAULTS = [
    (AnswersText, "contract", "send", "returned str"),
    (BlamesClient, "contract", "send", "raised BadRequest"),
    (FindsNames, "contract", "targets", "found 'one.test'"),
    (FindsTwice, "contract", "targets", "found an address twice"),
    (HoldsOn, "cancel", "changed", "went on although it was cancelled"),
    (GivesUp, "contract", "changed", "raised OSError: gone"),
    (OneBlueprint, "contract", "blueprint", "gave the same blueprint twice"),
    (BreaksOnInput, "faults", "blueprint", "/-/breaks answers 500"),
    (Marks, "effects", "exchange_finished", "response.headers added"),
    (WritesItself, "effects", "value", "changed outbound.headers"),
    (TriesAgain, "contract", "rejected", "returned Response"),
    (TellsObjects, "contract", "health", "returned what JSON cannot say"),
    (Robs, "contract", "take_over", "changed self.queue of the instance that still serves"),
]


@pytest.mark.parametrize(
    ("plugin", "rule", "where", "seen"), FAULTS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_fault_beside_the_flow_is_found(plugin, rule, where, seen):
    with pytest.raises(Nonconforming) as caught:
        conformance(plugin)

    (violation,) = caught.value.violations
    assert (violation.rule, violation.where) == (rule, where)
    assert seen in violation.seen


GREETERS = '''
from hookgate import Exchange, Family, Options, Plugin, hookimpl, hookspec
from hookgate.contract import OptionsT


class GreeterSpec:
    """Who says hello."""

    @hookspec(firstresult=True)
    async def greet(self, exchange: Exchange, name: str) -> str | None:
        """Say hello to somebody."""

    @hookspec(firstresult=True)
    def part(self, whom: object) -> int:
        """Say goodbye, so many times."""


class Greeter(Plugin[OptionsT]):
    """Greets."""

    family = "greeter"


GREETERS = Family("greeter", "greeters", GreeterSpec, Greeter, "Say hello.")


class Good(Greeter[Options]):
    """Greets well."""

    @hookimpl
    def greet(self, exchange, name):
        return f"hello {name}"


class Numbers(Greeter[Options]):
    """Greets with a number."""

    @hookimpl
    async def greet(self, exchange, name):
        return 5


class Meddles(Greeter[Options]):
    """Greets in a header."""

    @hookimpl
    def greet(self, exchange, name):
        exchange.request.headers.set("x-hello", "1")


class Parts(Greeter[Options]):
    """Knows how to part from people only."""

    @hookimpl
    def part(self, whom):
        return len(whom)
'''


@pytest.fixture
def greeters(tmp_path, monkeypatch):
    about = tmp_path / "greeters-1.dist-info"
    about.mkdir()
    (tmp_path / "greeters.py").write_text(GREETERS)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greeters\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[hookgate.families]\ngreeter = greeters:GREETERS\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import greeters

    constructing._installed.cache_clear()  # it is installed while this process runs
    yield greeters
    constructing._installed.cache_clear()
    del sys.modules["greeters"]


def broken(plugin, **words):
    with pytest.raises(Nonconforming) as caught:
        conformance(plugin, **words)
    (violation,) = caught.value.violations
    return violation.rule, violation.where, violation.seen


def test_hooks_of_a_family_of_others_are_called_with_what_they_say(greeters):
    conformance(greeters.Good)

    assert broken(greeters.Numbers) == ("contract", "greet", "returned 5")
    assert broken(greeters.Meddles)[:2] == ("effects", "greet")


def test_what_the_kit_cannot_make_its_author_says(greeters):
    assert broken(greeters.Parts)[1:] == ("part", "the kit has nothing to give for whom: <class 'object'>")

    conformance(greeters.Parts, arguments={"part": [("Ann",), ("",)]})
    assert broken(greeters.Parts, arguments={"part": [(5,)]})[:2] == ("faults", "part")
