"""The edge: takes an HTTP call from any ASGI server through the gateway and streams the answer back.

Two tasks serve a call. One walks the flow and sends the answer; the other reads what the client sends, hands body
chunks over one by one (so that a slow backend slows the client down) and, when the client goes away, cancels the
first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing, suppress
from email.utils import formatdate
from typing import Any

from hookgate.connections.attempts import outcome_of
from hookgate.exchange.bodies import Body
from hookgate.exchange.errors import BadRequest, Fault, RequestTimeout
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import TOKEN, Headers, Request, Response
from hookgate.exchange.outbound import OutcomeKind
from hookgate.exchange.spellings import headers_of
from hookgate.exchange.waiting import all_over, ended
from hookgate.flow.failing import as_fault
from hookgate.gateway.gateway import Gateway
from hookgate.gateway.generation import Passage
from hookgate.http.forwarding import end_to_end, framed, trailers_of
from hookgate.http.framing import FIELD
from hookgate.http.incoming import Incoming
from hookgate.server.admission import LOOK
from hookgate.server.edge.mending import Telling
from hookgate.server.intake import UnknownMethod, check_authority, check_sizes, knows, sketch, split_target, trust

log = logging.getLogger("hookgate.edge")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
SendMessage = Callable[[Message], Awaitable[None]]

GRACE = 0.05
"""Seconds that the rest of a request has to come in, when the answer is there before it."""

_SCHEMES = {"ws": "http", "wss": "https"}
"""ASGI has schemes of its own for a handshake, which is a call over HTTP like any other (RFC 6455, 4.1)."""


class Feed:
    """What the client sends: body chunks on demand, and the news that it has gone."""

    inline = True
    """A task reads it in any case."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.trailers = False
        """The server can send some behind the answer."""
        self.left: Callable[[], bool] = lambda: False
        """Tells whether the client has gone, where nobody reads from it."""
        self.patience = 30.0
        """Seconds to wait for the next chunk of the body."""
        self._whole = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._incoming = Incoming(self)
        self._missing = 0
        """Bytes of the body that have not come, where it said how many there are."""

    async def pump(self) -> None:
        """Read until the client has gone."""
        gone = False
        while True:
            while not (gone or self._room.is_set()):  # the server reads no further than we do, and so hears of nothing
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._room.wait()
                gone = not self._room.is_set() and self.left()
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return
            if gone:
                continue
            if chunk := message.get("body"):
                self._missing -= len(chunk)
                self._incoming.feed(chunk)
            if not message.get("more_body"):
                self._whole.set()
                short = BadRequest("The body is shorter than its Content-Length.", reason="bad-framing")
                self._incoming.end(short if self._missing > 0 else None)

    async def whole(self) -> bool:
        """Whether all of the request has come; what is on its way already gets a moment.

        A body that nobody has asked for by now is thrown away: a server that cannot hand it over might not take the
        answer either.
        """
        if not self._incoming.begun:
            self._incoming.close()
        if not self._whole.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await self._whole.wait()
        return self._whole.is_set()

    async def body(self, headers: Headers, http_version: str) -> Body:
        """Return the request body, whose length only HTTP/1 tells beforehand.

        Raises:
            BadRequest: the length is no number.
            RequestTimeout: over HTTP/2, nothing said for too long whether there is a body.
        """
        lengths = set(headers.getall("content-length"))
        if lengths:
            length = lengths.pop()
            if lengths or not (length.isascii() and length.isdigit()):
                raise BadRequest("Content-Length is not a number.", reason="bad-framing")
            self._missing = int(length)
            return Body(self, length=int(length)) if int(length) else Body()
        if http_version.startswith("1"):
            return Body(self) if "transfer-encoding" in headers else Body()
        try:
            first = await self.__anext__()
        except StopAsyncIteration:
            return Body()
        self._incoming.put_back(first)
        return Body(self)

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout(self.patience):
                return await self._incoming.__anext__()
        except TimeoutError:
            raise RequestTimeout(f"No byte of the request body came for {self.patience:g} s.") from None

    def close(self) -> None:
        """Nobody reads the rest."""
        self._incoming.close()

    # --- the valve of the body --------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Whoever reads is slow, so the client has to wait."""
        self._room.clear()

    def go_on(self) -> None:
        """It has caught up."""
        self._room.set()

    def wanted(self, body: Incoming) -> None:
        """Somebody begins to read; nothing to do."""

    def abandon(self, body: Incoming) -> None:
        """What still comes is thrown away."""
        self._room.set()


class Edge:
    """The ASGI application of the data path: for HTTP, and in :mod:`hookgate.server.edge.websocket` for WebSockets."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def __call__(self, scope: Message, receive: Receive, send: SendMessage) -> None:
        """Serve one call."""
        feed = self._feed(receive)
        feed.left = scope.get("hookgate.left", feed.left)
        serving = asyncio.create_task(self._serve(scope, feed, send))
        pumping = asyncio.create_task(feed.pump())
        try:
            await asyncio.wait({serving, pumping}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await ended(serving, pumping)
            raise
        await ended(serving, pumping)
        if not serving.cancelled() and (error := serving.exception()) is not None:
            log.error("a call could not be served", exc_info=error)

    async def _serve(self, scope: Message, feed: Feed, send: SendMessage) -> None:
        gateway = self.gateway
        if gateway.live is None or gateway.state != "running":
            await self._refuse(scope, send, 503, "The gateway is starting or stopping.")
            return
        feed.patience = gateway.live.limits.body_idle
        feed.trailers = "http.response.trailers" in (scope.get("extensions") or ())
        try:
            request = self._request(scope)
            request.body = await feed.body(request.headers, request.http_version)
        except Fault as fault:  # not a call yet: answered by the listener itself
            await self._refuse(scope, send, fault.status, fault.detail)
            return
        exchange = gateway.begin(request)
        exchange.teller = Telling(send)
        outcome: OutcomeKind = "aborted"
        try:
            response = await gateway.answer(exchange, self._passage(exchange))
            outcome = await self._reply(exchange, response, feed, send)
        except BaseException:
            await self._over(exchange, outcome)
            raise
        await self._over(exchange, outcome)

    async def _refuse(self, scope: Message, send: SendMessage, status: int, detail: str) -> None:
        """Answer what is not a call."""
        path, query = scope.get("raw_path") or scope["path"].encode(), scope["query_string"]
        target = b"%b?%b" % (path, query) if query else path
        peer = (scope.get("client") or ("127.0.0.1", 0))[0]
        request = sketch(str(scope.get("method", "GET")).encode(), target, peer, str(scope["http_version"]))
        log.info("%s: refused with %d: %s", peer, status, detail)
        self.gateway.refused(request, status, detail)
        text = detail.encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text, "more_body": False})

    async def _over(self, exchange: Exchange, outcome: OutcomeKind) -> None:
        """The call is over: nothing of it is kept open, whatever fails on the way."""
        self.gateway.end(exchange, outcome)
        await all_over(message.body.close() for message in (exchange.request, exchange.response) if message is not None)

    def _feed(self, receive: Receive) -> Feed:
        return Feed(receive)

    def _passage(self, exchange: Exchange) -> Passage:
        return self.gateway.find(exchange)

    def _request(self, scope: Message) -> Request:
        """Make the request of a call.

        Raises:
            Fault: it is longer than the limits, or its target is none.
        """
        live = self.gateway.live
        assert live is not None
        raw: list[tuple[bytes, bytes]] = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        headers = headers_of(raw, live.config.gateway.underscored_headers)
        target = scope.get("hookgate.target")
        if target is None:
            target = b"?".join(filter(None, (scope.get("raw_path") or scope["path"].encode(), scope["query_string"])))
        check_sizes(live.limits, raw, len(target))
        method = str(scope.get("method", "GET"))
        if not TOKEN.fullmatch(method) or not all(FIELD.fullmatch(b"%b:%b" % field) for field in raw):
            raise BadRequest("The method is no token, or a header is none.", reason="bad-request")
        scheme, http_version, hosts = str(scope["scheme"]), str(scope["http_version"]), headers.getall("host")
        path, query, authority, received = split_target(target)
        if len(hosts) > 1 or (authority and not http_version.startswith("1")):
            raise BadRequest("The request names more than one authority.", reason="bad-host")
        if path == "*" and scope.get("method") != "OPTIONS":
            raise BadRequest("`*` is no target but for OPTIONS.", reason="bad-path")
        if not knows(method):
            raise UnknownMethod("This method is not known here.")
        host = authority or "".join(hosts)
        if host:
            check_authority(host)
        peer, tls = (scope.get("client") or ("127.0.0.1", 0))[0], scope.get("hookgate.tls")
        scheme = _SCHEMES.get(scheme, scheme)
        request = Request.of(method, path, query, received, scheme, host, headers, peer, tls, http_version)
        trust(request, live.config.gateway.trusted_proxies)
        return request

    async def _reply(self, exchange: Exchange, response: Response, feed: Feed, send: SendMessage) -> OutcomeKind:
        """Give the client its answer; return how that went."""
        if not await feed.whole() and exchange.request.http_version.startswith("1"):
            # The server closes this connection; a client that is not told would send its next call into the void.
            response.headers.set("connection", "close")
        trails = feed.trailers and "trailers" in exchange.request.headers.tokens("te")
        return await self._send(exchange, response, send, trails=trails)

    async def _send(self, exchange: Exchange, response: Response, send: SendMessage, *, trails: bool) -> OutcomeKind:
        has_body = framed(response, exchange.request.method)
        response.headers.setdefault("date", formatdate(usegmt=True))
        if not exchange.request.http_version.startswith("1"):
            response.headers.raw = end_to_end(response.headers.raw)
            if response.status == 304:  # clients that are made with h2 would wait for a body of that length
                response.headers.remove("content-length")
        elif response.status == 426 and "upgrade" in response.headers:
            response.headers.add("connection", "upgrade")
        start = {"status": response.status, "headers": response.headers.raw, "trailers": trails}
        await send({"type": "http.response.start", **start})
        if has_body:
            try:
                async with aclosing(response.body.stream()) as chunks:
                    async for chunk in chunks:
                        exchange.bytes_sent += len(chunk)
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except Exception as error:  # noqa: BLE001
                # The head is out, so nothing can be said any more: ending without the last chunk makes the server
                # close the connection, which is how the client learns that the body is not whole.
                exchange.fault = as_fault(error) if isinstance(error, Fault) else None
                log.warning("the response to %s broke off: %s", exchange.request.path, error)
                return outcome_of(error)
        trailers = [(name.lower(), value) for name, value in trailers_of(response, exchange.request)]
        if has_body and response.body.length is None and exchange.request.http_version == "1.1":
            exchange.teller.put_behind(trailers)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if trails:
            await send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})
        return "ok"
