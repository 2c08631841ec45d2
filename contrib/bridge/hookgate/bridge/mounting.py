"""Quart for an app behind a flow: what its views raise is a fault of the call, and uploads wait for whoever reads them.

Quart's own way leaves the view running when the call is cancelled, and takes in a body as fast as it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from quart import Request
from quart.asgi import ASGIHTTPConnection
from quart.wrappers.request import Body

from hookgate.gateway.exposed import Placed
from hookgate.server.pages import Pages

AHEAD = 65536
"""Bytes of an upload that wait for a view that reads it piece by piece."""


def behind_flow(placed: Placed) -> Pages:
    """Make the ASGI app of an app behind a flow, without its pages."""
    app = Pages(f"hookgate{placed.prefix}", answers_faults=False)
    app.asgi_http_class = _Connection
    app.request_class = _Request
    # Time is the route's matter, and it tells of it; Quart would end an answer as if it were whole.
    app.config.update(PROPAGATE_EXCEPTIONS=True, RESPONSE_TIMEOUT=None, BODY_TIMEOUT=None)
    if placed.longest is not None:
        app.config["MAX_CONTENT_LENGTH"] = placed.longest
    return app


class _Body(Body):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.room = asyncio.Event()
        self.room.set()
        self._ahead = 0
        self._kept = False
        """It is wanted as a whole."""

    def append(self, data: bytes) -> None:
        super().append(data)
        self._ahead += len(data)
        if self._ahead > AHEAD and not self._kept:
            self.room.clear()

    def fail(self, error: Exception) -> None:
        """Raise where it is read."""
        self._must_raise = error
        self.set_complete()

    async def __anext__(self) -> bytes:
        try:
            data = await super().__anext__()
        except StopAsyncIteration:
            if self._must_raise is not None:
                raise self._must_raise from None
            raise
        self._ahead = 0
        self.room.set()
        return data

    def __await__(self) -> Generator[Any, None, Any]:
        self._kept = True
        self.room.set()
        return super().__await__()


class _Request(Request):
    body_class: type[Body] = _Body


class _Connection(ASGIHTTPConnection):
    async def __call__(self, receive: Any, send: Any) -> None:
        request: Any = self._create_request_from_scope(send)
        feeding = asyncio.create_task(self.handle_messages(request, receive))
        try:
            await self.handle_request(request, send)
        except BaseException:
            feeding.cancel()
            await asyncio.wait([feeding])
            raise
        feeding.cancel()
        await asyncio.wait([feeding])

    async def handle_messages(self, request: Any, receive: Any) -> None:
        body: _Body = request.body
        try:
            while (message := await receive())["type"] == "http.request":
                body.append(message["body"])
                if not message["more_body"]:
                    body.set_complete()
                await body.room.wait()
        except Exception as error:  # noqa: BLE001 - it is the view's, if it reads the body
            body.fail(error)
