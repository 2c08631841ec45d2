"""Plugins that look at bodies, or change them by what waits."""

import asyncio
import sys

from hookgate import Exchange, Interceptor, Options, hookimpl


class LookingOptions(Options):
    most: int


class Looking(Interceptor[LookingOptions]):
    """Notes how bodies begin."""

    reads = {"request.body", "response.body"}

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        exchange.variables["seen"] = {"request": await exchange.request.body.peek(self.options.most)}
        if exchange.request.headers.get("x-then") == "upper":
            exchange.request.body.map(bytes.upper)

    @hookimpl
    async def on_response(self, exchange: Exchange) -> None:
        exchange.variables["seen"]["response"] = await exchange.response.body.peek(self.options.most)


class ShoutingOptions(Options):
    pause: float = 0.0
    deed: str = ""
    way: str = ""


class Shouting(Interceptor[ShoutingOptions]):
    """Makes bodies loud, after a while."""

    async def feed(self, chunk: bytes) -> bytes:
        await asyncio.sleep(self.options.pause)
        return chunk.upper()

    async def broken(self, chunk: bytes) -> object:
        await asyncio.sleep(0)
        if self.options.deed == "fails":
            raise OSError("kaput")
        if self.options.deed == "text":
            return "text"
        if self.options.deed == "exits":
            sys.exit(1)
        return await asyncio.Event().wait()

    def feed_of(self, way: str):
        return self.broken if self.options.deed and self.options.way == way else self.feed

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        async def flush() -> bytes:
            await asyncio.sleep(0)
            return b"!"

        exchange.request.body.map(self.feed_of("request"), flush)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        if self.options.way != "request":
            exchange.response.body.map(self.feed_of("response"), lambda: b"?")
