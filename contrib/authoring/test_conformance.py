"""The conformance kit finds what it is for: small plugins with one seeded fault each, and a good one with none."""

import asyncio
import importlib
import threading

import pytest

import hookgate.testing
from hookgate import AuthMethod, Balancer, HeaderProvider, Interceptor, Options, Response, hookimpl
from hookgate_authoring.conformance import Nonconforming, conformance


class Good(Interceptor[Options]):
    """Marks answers, counts calls in flight, and waits for a task without leaving it."""

    writes = {"response.headers", "response.body"}
    reads = {"request.body"}

    def __init__(self, options):
        super().__init__(options)
        self.running = set()
        self.lock = asyncio.Lock()

    @hookimpl
    async def on_request(self, exchange):
        await exchange.request.body.read()
        async with self.lock, asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        self.running.add(exchange)

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("X-Good", "yes")
        exchange.response.body.map(bytes.upper)

    @hookimpl
    def on_done(self, exchange):
        self.running.discard(exchange)


class LeavesTask(Interceptor[Options]):
    """Starts a task that outlives a cancelled call."""

    @hookimpl
    async def on_request(self, exchange):
        task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()


class SmugglesLine(Interceptor[Options]):
    """Writes a header past the checks."""

    writes = {"response.headers"}

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.raw.append((b"X-A", b"1\r\nX-B: 2"))


class ChangesUndeclared(Interceptor[Options]):
    """Changes a header in secret."""

    @hookimpl
    def on_request(self, exchange):
        exchange.request.headers.set("X-Secretly", "1")


class ReadsUndeclared(Interceptor[Options]):
    """Reads a body in secret."""

    @hookimpl
    async def on_request(self, exchange):
        await exchange.request.body.read()


class SharesState(Interceptor[Options]):
    """Answers by what any instance has seen."""

    calls = []

    @hookimpl
    def on_request(self, exchange):
        self.calls.append(None)
        return Response.text("early") if len(self.calls) > 40 else None


class ForgetsRelease(Interceptor[Options]):
    """Gives back on the way out only, which an aborted call never reaches."""

    def __init__(self, options):
        super().__init__(options)
        self.in_flight = 0

    @hookimpl
    def on_request(self, exchange):
        self.in_flight += 1

    @hookimpl
    def on_response(self, exchange):
        self.in_flight -= 1


class GrowsForEver(Interceptor[Options]):
    """Keeps every call."""

    def __init__(self, options):
        super().__init__(options)
        self.log = []

    @hookimpl
    def on_done(self, exchange):
        self.log.append(exchange)


class HoldsLock(Interceptor[Options]):
    """Holds a lock when it is cancelled."""

    def __init__(self, options):
        super().__init__(options)
        self.lock = asyncio.Lock()

    @hookimpl
    async def on_request(self, exchange):
        await self.lock.acquire()
        await asyncio.sleep(0)
        self.lock.release()


class Stubborn(Interceptor[Options]):
    """Goes on when it is cancelled."""

    @hookimpl
    async def on_request(self, exchange):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return


class Undescribed(Options):
    colour: str = "red"


class HasUndescribedOption(Interceptor[Undescribed]):
    """Has an option nobody explains."""

    @hookimpl
    def on_request(self, exchange): ...


class Stumbles(Interceptor[Options]):
    """Expects a header."""

    @hookimpl
    def on_request(self, exchange):
        exchange.request.headers["x-must-be-there"]


class Misframes(Interceptor[Options]):
    """Replaces the body and invents its length."""

    writes = {"response.headers", "response.body"}

    @hookimpl
    def on_response(self, exchange):
        exchange.response.body.set(b"four")
        exchange.response.headers.set("Content-Length", "40000")


class LeavesThread(Interceptor[Options]):
    """Starts a thread and forgets it."""

    ends = []

    @hookimpl
    def startup(self, host):
        end = threading.Event()
        self.ends.append(end)
        threading.Thread(target=end.wait, daemon=True).start()

    @hookimpl
    def on_request(self, exchange): ...


class ShutsDownOnce(Interceptor[Options]):
    """Trusts that startup came before shutdown."""

    @hookimpl
    def startup(self, host):
        self.name = host.status()["status"]

    @hookimpl
    def shutdown(self):
        del self.name

    @hookimpl
    def on_request(self, exchange): ...


class PicksStranger(Balancer[Options]):
    """Picks a target of its own."""

    @hookimpl
    def pick(self, exchange, targets):
        return "http://elsewhere"


class TwoLines(HeaderProvider[Options]):
    """Gives a value of two lines."""

    @hookimpl
    def value(self, exchange, outbound):
        return "a\nb"


class Shouts(AuthMethod[Options]):
    """Asks on two lines."""

    @hookimpl
    def identify(self, exchange):
        return None

    @hookimpl
    def challenge(self, exchange):
        return "Basic\r\nrealm=x"


SEEDED = [
    (LeavesTask, "cancel", "on_request"),
    (SmugglesLine, "injection", "on_response"),
    (ChangesUndeclared, "effects", "on_request"),
    (ReadsUndeclared, "effects", "on_request"),
    (SharesState, "isolation", "SharesState"),
    (ForgetsRelease, "pairing", "in_flight (number)"),
    (GrowsForEver, "pairing", "log"),
    (HoldsLock, "cancel", "on_request"),
    (Stubborn, "cancel", "on_request"),
    (HasUndescribedOption, "schema", "Undescribed.colour"),
    (Stumbles, "faults", "on_request"),
    (Misframes, "framing", "on_response"),
    (LeavesThread, "lifecycle", "startup and shutdown"),
    (ShutsDownOnce, "lifecycle", "shutdown without a startup"),
    (PicksStranger, "contract", "pick"),
    (TwoLines, "contract", "value"),
    (Shouts, "contract", "challenge"),
]


@pytest.mark.parametrize(("plugin", "rule", "where"), SEEDED, ids=lambda value: getattr(value, "__name__", value))
def test_a_seeded_fault_is_found_under_the_right_rule_and_place(plugin, rule, where):
    with pytest.raises(Nonconforming) as caught:
        conformance(plugin)
    for end in LeavesThread.ends:
        end.set()

    found = {(violation.rule, violation.where.partition(",")[0]) for violation in caught.value.violations}
    assert (rule, where) in found, str(caught.value)
    beside = {SharesState: {"pairing"}, LeavesThread: {"leaks"}}.get(plugin, set())
    assert caught.value.rules <= {rule} | beside, str(caught.value)


def test_a_good_plugin_conforms():
    conformance(Good)


def test_the_message_says_what_was_seen_and_what_would_be_right():
    with pytest.raises(Nonconforming, match=r"(?s)request\.headers added .*X-Secretly.*right: writes = .*with: Call"):
        conformance(ChangesUndeclared)


def test_a_rule_can_be_excepted_with_a_reason():
    conformance(ChangesUndeclared, except_rules={"effects": "what it adds is stripped by the backend"})


@pytest.mark.parametrize("rules", [{"beauty": "why not"}, {"effects": " "}])
def test_an_exception_names_a_rule_and_a_reason(rules):
    with pytest.raises(ValueError, match="except_rules"):
        conformance(Good, except_rules=rules)


@pytest.mark.parametrize("name", ["conformance", "Nonconforming", "simulate"])
def test_a_name_that_has_left_the_fixtures_of_core_says_where_it_is(name):
    with pytest.raises(
        ImportError, match=rf"hookgate\.testing\.{name} has moved; write: from (\S+) import {name} \(pip "
    ) as refused:
        getattr(hookgate.testing, name)

    words = str(refused.value).split()
    module = words[words.index("from") + 1]
    assert hasattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        hookgate.testing.nonsense  # noqa: B018
