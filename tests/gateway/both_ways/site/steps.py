"""Steps and an observer for the tests next door: each does one thing to a call, and everything is counted."""

from hookgate import Fault, Interceptor, Observer, Options, Response, hookimpl


class Teapot(Fault):
    """418: raised by steps that are told to."""

    status = 418
    default_reason = "teapot"


def count(exchange, what):
    """One more of that for this call."""
    exchange.variables[what] = exchange.variables.get(what, 0) + 1


class Counted(Interceptor[Options]):
    """Counts the hooks that ran for a call."""

    @hookimpl
    def on_request(self, exchange):
        count(exchange, "in")

    @hookimpl
    def on_response(self, exchange):
        count(exchange, "out")

    @hookimpl
    def on_done(self, exchange):
        count(exchange, "done")


class Watching(Observer[Options]):
    """Counts what observers hear of a call."""

    @hookimpl
    def exchange_started(self, exchange):
        count(exchange, "started")

    @hookimpl
    def exchange_finished(self, exchange):
        count(exchange, "finished")


class Marking(Interceptor[Options]):
    """Marks both messages, sync."""

    @hookimpl
    def on_request(self, exchange):
        exchange.request.headers.set("x-marked", "in")

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("x-marked", "out")


class MarkingLater(Interceptor[Options]):
    """Marks both messages as `marking` does, after other tasks have had their turn."""

    @hookimpl
    async def on_request(self, exchange):
        import asyncio

        await asyncio.sleep(0)
        exchange.request.headers.set("x-marked", "in")

    @hookimpl
    async def on_response(self, exchange):
        import asyncio

        await asyncio.sleep(0)
        exchange.response.headers.set("x-marked", "out")


class Reading(Interceptor[Options]):
    """Reads both bodies whole and says how long they are."""

    reads = frozenset({"request.body", "response.body"})

    @hookimpl
    def on_request(self, exchange):
        exchange.request.headers.set("x-length", str(len(exchange.request.body.data)))

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("x-length", str(len(exchange.response.body.data)))


class ReadingLater(Interceptor[Options]):
    """Reads both bodies whole, async."""

    @hookimpl
    async def on_request(self, exchange):
        exchange.request.headers.set("x-length", str(len(await exchange.request.body.read())))

    @hookimpl
    async def on_response(self, exchange):
        exchange.response.headers.set("x-length", str(len(await exchange.response.body.read())))


class Shouting(Interceptor[Options]):
    """Changes both bodies chunk by chunk."""

    @hookimpl
    def on_request(self, exchange):
        exchange.request.body.map(bytes.upper, lambda: b"!")

    @hookimpl
    def on_response(self, exchange):
        exchange.response.body.map(bytes.swapcase, lambda: b"?")


class Sink:
    """Keeps what streams by."""

    def __init__(self, exchange, name):
        self.exchange, self.name, self.data = exchange, name, b""

    def write(self, chunk):
        self.data += chunk

    def close(self, complete):
        self.exchange.variables[self.name] = (self.data, complete)


class Copying(Interceptor[Options]):
    """Copies both bodies."""

    @hookimpl
    def on_request(self, exchange):
        exchange.request.body.tee(Sink(exchange, "request"))

    @hookimpl
    def on_response(self, exchange):
        exchange.response.body.tee(Sink(exchange, "response"))


class FailingOptions(Options):
    """Options of `failing`."""

    where: str
    """`request` or `response`."""
    how: str = "fault"
    """`fault`, or `error` for an exception that is none."""


class Failing(Interceptor[FailingOptions]):
    """Raises where it is told to."""

    def _fail(self):
        raise Teapot("short and stout") if self.options.how == "fault" else KeyError("a secret")

    @hookimpl
    def on_request(self, exchange):
        if self.options.where == "request":
            self._fail()

    @hookimpl
    def on_response(self, exchange):
        if self.options.where == "response":
            self._fail()


class Consoling(Interceptor[Options]):
    """Answers faults."""

    @hookimpl
    def on_fault(self, exchange):
        return Response.text(f"consoled over {exchange.fault.reason}", 203)


class LyingOptions(Options):
    """Options of `lying`."""

    length: int
    """How long the body is said to be."""


class Lying(Interceptor[LyingOptions]):
    """Answers with a body of ten bytes, of which it says something else."""

    @hookimpl
    def on_request(self, exchange):
        from hookgate import Body

        async def ten():
            yield b"01234"
            yield b"56789"

        return Response(200, {"content-type": "text/plain"}, Body(ten(), length=self.options.length))


class Waiting(Interceptor[Options]):
    """Waits in its hook until the call is broken off."""

    @hookimpl
    async def on_request(self, exchange):
        import asyncio

        count(exchange, "waits")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            count(exchange, "cancelled")
            raise
