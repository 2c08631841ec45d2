"""Plugins that do what they are told, however wrong."""

import asyncio
import sys
from http import HTTPStatus
from inspect import isawaitable

import hookgate
from hookgate import (
    AuthMethod,
    Body,
    Branch,
    CounterStore,
    Exchange,
    Fault,
    FlowOptions,
    Host,
    Interceptor,
    Observer,
    Options,
    Outbound,
    Response,
    Transport,
    hookimpl,
)
from hookgate.testing import LocalCounters


class Odd(Fault):
    status = "404"


class Early(Fault):
    status = 103


def raise_(error):
    raise error


async def later(result=None, does=None):
    await asyncio.sleep(0)
    if does is not None:
        does()
    return result


async def never():
    await asyncio.Event().wait()


async def noted_wait(exchange):
    try:
        await asyncio.sleep(60)
    except BaseException as error:
        exchange.variables["waited"] = [type(error).__name__]
        raise


async def ticks(pause):
    for chunk in (b"one", b"two", b"three"):
        if pause is not None:
            await asyncio.sleep(pause)
        yield chunk


async def arrays():
    for chunk in (bytearray(b"one"), memoryview(b"two"), b"", b"three"):
        yield chunk


async def bounded_ticks():
    async with asyncio.timeout(60):
        async for chunk in ticks(0.01):
            yield chunk


async def queued():
    queue = asyncio.Queue()

    async def fill():
        async for chunk in ticks(0.01):
            await queue.put(chunk)
        await queue.put(None)

    task = asyncio.create_task(fill())
    while (chunk := await queue.get()) is not None:
        yield chunk
    await task


async def endless(exchange):
    try:
        while True:
            yield b"tick"
            await asyncio.sleep(0.01)
    except BaseException as error:
        exchange.variables["closed"] = [type(error).__name__]
        raise


async def failing(error=OSError):
    yield b"one"
    if error is None:
        await never()
    raise error


async def yielding(value, *, endless=False):
    yield b"one"
    yield value
    while endless:
        yield value


NAMES = {**vars(hookgate), "HTTPStatus": HTTPStatus, **globals()}


def evaluated(text, exchange):
    return eval(text, NAMES, {"exchange": exchange})


def done(text, exchange):
    if " = " in text.partition("(")[0]:
        exec(text, NAMES, {"exchange": exchange})
    elif text:
        evaluated(text, exchange)


class SpoilOptions(Options):
    hook: str
    does: str = ""
    gives: str = "None"
    reads: bool = False


class Spoil(Interceptor[SpoilOptions]):
    """Does something in one of its hooks."""

    def __init__(self, options: SpoilOptions) -> None:
        super().__init__(options)
        if options.reads:
            self.reads = {"request.body", "response.body"}

    def act(self, hook, exchange):
        if hook != self.options.hook or "x-plain" in exchange.request.headers:
            return None
        done(self.options.does, exchange)
        return evaluated(self.options.gives, exchange)

    @hookimpl
    def on_request(self, exchange: Exchange) -> object:
        return self.act("on_request", exchange)

    @hookimpl
    def on_response(self, exchange: Exchange) -> object:
        return self.act("on_response", exchange)

    @hookimpl
    def on_fault(self, exchange: Exchange) -> object:
        return self.act("on_fault", exchange)

    @hookimpl
    def on_done(self, exchange: Exchange) -> object:
        return self.act("on_done", exchange)


class Later(Interceptor[SpoilOptions]):
    """Does something in one of its hooks, after it has waited."""

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        await asyncio.sleep(0)
        if self.options.hook == "on_request":
            done(self.options.does, exchange)

    @hookimpl
    async def on_response(self, exchange: Exchange) -> None:
        await asyncio.sleep(0)
        if self.options.hook == "on_response":
            done(self.options.does, exchange)


class ForkOptions(FlowOptions):
    does: str = ""
    gives: str = "'yes'"


class Fork(Branch[ForkOptions]):
    """A branch that does something when it is asked."""

    @property
    def branches(self):
        return {"yes": self.options}

    @hookimpl
    def choose(self, exchange: Exchange) -> object:
        done(self.options.does, exchange)
        return evaluated(self.options.gives, exchange)


class NotingOptions(Options):
    spoils: bool = False


class Noting(Interceptor[NotingOptions]):
    """Notes what it sees."""

    def note(self, exchange, sign):
        exchange.variables.setdefault("trace", []).append(sign + self.entry.id)

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        self.note(exchange, ">")
        if self.options.spoils:
            exchange.request = None

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        self.note(exchange, "<")

    @hookimpl
    def on_fault(self, exchange: Exchange) -> None:
        self.note(exchange, "!")

    @hookimpl
    def on_done(self, exchange: Exchange) -> None:
        exchange.variables.setdefault("done", []).append(self.entry.id)


class Witness(Observer[Options]):
    """Notes what observers see."""

    @hookimpl
    def exchange_started(self, exchange: Exchange) -> None:
        exchange.variables.setdefault("observed", []).append("started")

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None:
        exchange.variables["observed"].append("finished")
        assert exchange.request.body.received >= 0
        assert exchange.response is None or exchange.response.status


class Quitter(Observer[Options]):
    """Calls sys.exit."""

    @hookimpl
    def exchange_started(self, exchange: Exchange) -> None:
        sys.exit(1)

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None:
        sys.exit(1)


class ClaimsOptions(Options):
    does: str = ""
    gives: str = "None"
    challenge: str = "None"
    wait: bool = False


class Claims(AuthMethod[ClaimsOptions]):
    """Returns what it is told."""

    @hookimpl
    def identify(self, exchange: Exchange) -> object:
        done(self.options.does, exchange)
        found = evaluated(self.options.gives, exchange)
        return later(found) if self.options.wait else found

    @hookimpl
    def challenge(self, exchange: Exchange) -> object:
        return evaluated(self.options.challenge, exchange)


class CarrierOptions(Options):
    body: str


class Carrier(Transport[CarrierOptions]):
    """Answers by itself."""

    @hookimpl
    async def send(self, outbound: Outbound) -> Response:
        return Response(200, body=Body(evaluated(self.options.body, None)))


class Shared(CounterStore[Options]):
    """Counts as if it were far away."""

    @hookimpl
    def startup(self, host: Host) -> None:
        self._counters = LocalCounters(host.clock)

    @hookimpl
    async def take(self, wants: object) -> object:
        await asyncio.sleep(0.01)
        found = self._counters.take(wants)
        return await found if isawaitable(found) else found
