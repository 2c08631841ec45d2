"""Apps as destinations: a call that has passed its flow is given to the app of its route, over ASGI in this process.

The app runs in a task of its own, which ends with the call: whoever leaves, gives up or has heard enough cancels it.
Bodies stream both ways, and whoever is faster waits for the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from hookgate.connections.attempts import Until
from hookgate.connections.destination import Destination
from hookgate.contract.families import App
from hookgate.exchange.bodies import Arrived, Body
from hookgate.exchange.errors import (
    BadGateway,
    BadRequest,
    ContentTooLarge,
    Fault,
    PluginError,
    ServiceUnavailable,
)
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Headers, Request, Response
from hookgate.exchange.outbound import Due
from hookgate.gateway.exposed import Placed
from hookgate.http.forwarding import end_to_end, onward
from hookgate.http.incoming import Incoming

log = logging.getLogger("hookgate.pages")

Message = MutableMapping[str, Any]
Asgi = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class NotOffered(Fault):
    """501: an app behind a flow speaks HTTP and nothing else."""

    status = 501
    default_reason = "no-websocket"


class Page:
    """The destination of a route that stands for an app."""

    def __init__(self, placed: Placed, said: Destination) -> None:
        self._placed = placed
        self._said = said

    async def __call__(self, exchange: Exchange) -> Response:
        """Have the app answer; return as soon as the head of its answer is there.

        Raises:
            Fault: what the app raises, 500 if that is no fault; the time is over; the body of the client is too long;
                the call is no plain one over HTTP.
        """
        request, said = exchange.request, self._said
        if request.upgrade:
            raise NotOffered("What stands here takes no WebSocket.")
        if "%2F" in request.path:  # the app would see another path than the steps have seen
            raise BadRequest("A path of a page holds no encoded slash.", reason="malformed-path")
        length, bounds = request.body.length, said.bounds
        if length is not None and length > bounds.request:
            raise ContentTooLarge(f"The body is {length} bytes long; here at most {bounds.request} are taken.")
        call = _Call(self._placed.plugin, request)
        loop = asyncio.get_running_loop()
        due = None if said.timeout is None else Due(loop.time() + said.timeout, said.out_of_time)
        call.begin(self._app(exchange.home), {**_scope(request), "hookgate.exchange": exchange})
        try:
            async with asyncio.timeout_at(None if due is None else due.at):
                response = await call.head
        except TimeoutError:
            call.leave()
            log.warning("%s has not answered %s within %g s", call.name, request.path, said.timeout)
            raise said.out_of_time() from None
        except BaseException:
            call.leave()
            raise
        body = response.body = await call.arrived(response.body)
        if body.length is not None and body.length > bounds.response:
            call.leave()
            raise BadGateway(f"The answer is {body.length} bytes long, more than is taken here.", reason="too-large")
        body.limit, body.keep_limit = bounds.response, bounds.kept
        if due is not None and not (response.headers.get("content-type") or "").startswith("text/event-stream"):
            body.wrap(lambda source: Until(source, due))
        return response

    def _app(self, home: Any) -> Asgi:
        """Return the app as the server of this gateway has made it for this generation."""
        app: Asgi | None = home.exposed.get(self._placed.prefix)
        if app is None:
            raise ServiceUnavailable("Nothing that shows pages runs here.", reason="no-destination")
        return app


class _Call:
    """A call as the app sees it. Towards the body of its answer it is the valve."""

    def __init__(self, plugin: App[Any], request: Request) -> None:
        self.name = plugin.entry.id
        self.head: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._plugin = plugin
        self._request = request
        self._coming = request.body.stream()
        self._received = False
        """The app has got all of the request."""
        self._answer = Incoming(self)
        self._whole = False
        self._size = 0
        """Bytes of its answer so far."""
        self._room, self._over = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None]

    def begin(self, app: Asgi, scope: Message) -> None:
        """Have the app run."""
        self._task = asyncio.create_task(self._run(app, scope), name=f"{self.name}: {self._request.path}")

    def leave(self, _: object = None) -> None:
        """Nobody waits for the app any more."""
        self._over.set()
        self._room.set()
        if not self._task.done():
            self._task.get_loop().call_soon(self._task.cancel)

    async def arrived(self, body: Body) -> Body:
        """Return the body of the answer: one that is whole by now goes out in one piece with its head."""
        if not self._whole or body.length not in (None, self._size):
            return body
        return Arrived(b"".join([chunk async for chunk in self._answer]), too_large=BadGateway)

    async def _run(self, app: Asgi, scope: Message) -> None:
        failure: Fault | None = None
        try:
            await app(scope, self._receive, self._send)
            if not self._whole:
                failure = _failed(self._plugin, RuntimeError("it ended before its answer did"))
        except Fault as fault:
            failure = fault
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001
            failure = _failed(self._plugin, error)
        await self._coming.aclose()
        if failure is None or self._over.is_set():
            return
        if not self.head.done():
            self.head.set_exception(failure)
            return
        log.error("%s failed within its answer to %s: %s", self.name, self._request.path, failure, exc_info=failure)
        self._answer.end(failure)

    async def _receive(self) -> Message:
        if self._received:
            await self._over.wait()
            return {"type": "http.disconnect"}
        try:
            return {"type": "http.request", "body": await anext(self._coming), "more_body": True}
        except StopAsyncIteration:
            self._received = True
            return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        if self._over.is_set():
            raise OSError("the call is over")
        if message["type"] == "http.response.start":
            self.head.set_result(self._response(message))
        elif message["type"] == "http.response.body":
            if chunk := message.get("body"):
                self._size += len(chunk)
                self._answer.feed(bytes(chunk))
                await self._room.wait()
            if not message.get("more_body"):
                self._whole = True
                self._answer.end()

    def _response(self, message: Message) -> Response:
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"{status!r} is no status of an answer")
        told = end_to_end([(bytes(name), bytes(value)) for name, value in message.get("headers", ())], status)
        headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in told)
        length = headers.get("content-length")
        return Response(
            status, headers, Body(self._answer, length=None if length is None else int(length), too_large=BadGateway)
        )

    # --- the valve of the answer ------------------------------------------------------------------------------------

    def hold(self) -> None:
        """The client reads slowly."""
        self._room.clear()

    def go_on(self) -> None:
        """It has caught up."""
        self._room.set()

    def wanted(self, body: Incoming) -> None:
        """Somebody begins to read; nothing to do."""

    def abandon(self, body: Incoming) -> None:
        """Nobody reads the rest."""
        self.leave()


def _scope(request: Request) -> Message:
    """Tell an app of a request, as ASGI 3.0 has it. What was for this hop only is left out."""
    host = request.host.encode("latin-1")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version,
        "method": request.method,
        "scheme": request.scheme,
        "path": unquote(request.path),
        "raw_path": request.path.encode("ascii"),
        "query_string": request.query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in onward(request, host, add_forwarded=False)],
        "client": (request.client, 0),
        "server": None,
    }


def _failed(plugin: App[Any], error: BaseException) -> PluginError:
    failure = PluginError(f"{type(error).__name__}: {error}", plugin=plugin.entry.id, hook="blueprint")
    failure.__cause__ = error
    return failure
