"""Steps for the corpus, each with one habit, as the text of a file in a folder of plugins."""

PLUGINS = '''\
"""Steps for the corpus."""

import asyncio

from hookgate import Forbidden, HookgateError, Identity, Interceptor, Options, Response, hookimpl


class MarkOptions(Options):
    """Options of `mark`."""

    name: str = "m"
    """What is left behind."""


class Mark(Interceptor[MarkOptions]):
    """Leaves its name on both ways."""

    @hookimpl
    def on_request(self, exchange):
        exchange.request.headers.add("x-in", self.options.name)

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.add("x-out", self.options.name)


class Late(Mark):
    """As mark, but it waits."""

    @hookimpl
    async def on_request(self, exchange):
        await asyncio.sleep(0)
        exchange.request.headers.add("x-in", "late")

    @hookimpl
    async def on_response(self, exchange):
        await asyncio.sleep(0)
        exchange.response.headers.add("x-out", "late")


class Refuse(Interceptor[Options]):
    """Refuses."""

    @hookimpl
    def on_request(self, exchange):
        raise Forbidden("No.", reason="refused", headers={"x-why": "corpus"})


class RefuseOut(Interceptor[Options]):
    """Refuses on the way out."""

    @hookimpl
    async def on_response(self, exchange):
        raise Forbidden("Not that.", reason="refused-out")


class BreakIn(Interceptor[Options]):
    """Has a mistake on the way in."""

    @hookimpl
    def on_request(self, exchange):
        raise LookupError("oh")


class BreakOut(Interceptor[Options]):
    """Has a mistake on the way out."""

    @hookimpl
    def on_response(self, exchange):
        raise LookupError("oh")


class BreakFault(Interceptor[Options]):
    """Has a mistake amid a fault."""

    @hookimpl
    def on_fault(self, exchange):
        raise ValueError("again")


class Rescue(Interceptor[Options]):
    """Answers faults."""

    @hookimpl
    def on_fault(self, exchange):
        return Response.text(f"rescued from {exchange.fault.reason}", 299)


class Early(Interceptor[Options]):
    """Answers in place of the backend."""

    @hookimpl
    def on_request(self, exchange):
        return Response.json({"early": True}, 203)


class Read(Interceptor[Options]):
    """Reads bodies and changes nothing."""

    reads = {"request.body", "response.body"}

    @hookimpl
    def on_request(self, exchange):
        exchange.request.headers.set("x-read", str(len(exchange.request.body.data)))

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("x-read", str(len(exchange.response.body.data)))


class Upper(Interceptor[Options]):
    """Puts another body in the place of the request's."""

    @hookimpl
    async def on_request(self, exchange):
        exchange.request.body.set((await exchange.request.body.read()).upper())


class Shout(Interceptor[Options]):
    """Maps bodies as they stream."""

    @hookimpl
    def on_request(self, exchange):
        exchange.request.body.map(bytes.upper)

    @hookimpl
    def on_response(self, exchange):
        exchange.response.body.map(bytes.upper, lambda: b"!")


class Instead(Interceptor[Options]):
    """Puts another response in the place of the backend's."""

    @hookimpl
    def on_response(self, exchange):
        exchange.response = Response.text(f"instead of {exchange.response.status}", 202)


class Tell(Interceptor[Options]):
    """Tells of the call, and hides some of it."""

    @hookimpl
    def on_request(self, exchange):
        exchange.note("begun")
        exchange.facts["kind"] = "order"
        exchange.identity = Identity("ann", "corpus")
        exchange.hide("request.headers.x-card", "request.query.pin", "response.headers.x-secret-id")
        exchange.request.headers.set("x-card", "9" + exchange.request.headers.get("x-card", ""))

    @hookimpl
    def on_done(self, exchange):
        exchange.note("done")


class Move(Interceptor[Options]):
    """Turns a call into another one."""

    @hookimpl
    def on_request(self, exchange):
        exchange.request.method, exchange.request.path, exchange.request.query = "PUT", "/moved", "a=b"


class VisitOptions(Options):
    """Options of `visit`."""

    to: str
    """Where to."""


class Visit(Interceptor[VisitOptions]):
    """Calls another route."""

    @hookimpl
    async def on_request(self, exchange):
        answer = await exchange.visit("GET", self.options.to, headers={"x-visit": "1"})
        exchange.request.headers.set("x-visited", f"{answer.status} {len(answer.body.data)}")


class CallOptions(Options):
    """Options of `ring`."""

    url: str
    """Whom to call."""
    connection: str = ""
    """Over which connection."""


class Ring(Interceptor[CallOptions]):
    """Calls somebody else."""

    @hookimpl
    async def on_request(self, exchange):
        url, connection = self.options.url, self.options.connection
        try:
            answer = await exchange.call("POST", url, connection=connection, headers={"x-a": "b"}, body=b"hi")
        except HookgateError as error:
            exchange.request.headers.set("x-rung", error.reason)
        else:
            exchange.request.headers.set("x-rung", f"{answer.status} {answer.body.data.decode()}")


class Background(Interceptor[Options]):
    """Starts something on the way in and joins it on the way out."""

    @hookimpl
    async def on_request(self, exchange):
        exchange.start("work", self.work())

    async def work(self):
        await asyncio.sleep(0)
        return "worked"

    @hookimpl
    async def on_response(self, exchange):
        exchange.response.headers.set("x-work", await exchange.join("work"))


class Knows(Interceptor[Options]):
    """Identifies the application by a header."""

    writes = {"application"}

    @hookimpl
    def startup(self, host):
        self.host = host

    @hookimpl
    def on_request(self, exchange):
        exchange.application = self.host.section("applications").find(exchange.request.headers.get("x-client", ""))
        if exchange.application is not None and exchange.api is not None:
            exchange.plan = exchange.application.plans.get(exchange.api.name, "")
'''
