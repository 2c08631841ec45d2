"""The sample backend: a small orders service that can be told to fail."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, request

from hookgate.server import listen, url_of


def orders_app(name: str) -> Quart:
    """Make one instance of the service; it keeps its orders in memory."""
    app = Quart(name)
    orders: dict[int, dict[str, Any]] = {1: {"id": 1, "item": "coffee", "served_by": name}}
    numbers = itertools.count(2)
    state = {"failing": False}

    @app.before_request
    async def fail_if_told() -> Any:
        if state["failing"] and request.path not in ("/fail", "/recover"):
            return {"error": f"{name} is failing, as it was told to"}, 500
        return None

    @app.get("/orders")
    async def listing() -> Any:
        return {"served_by": name, "orders": list(orders.values())}

    @app.get("/orders/<int:number>")
    async def one(number: int) -> Any:
        return orders.get(number) or ({"error": f"there is no order {number}"}, 404)

    @app.post("/orders")
    async def create() -> Any:
        wanted = await request.get_json(force=True, silent=True)
        if not isinstance(wanted, dict) or not isinstance(wanted.get("item"), str):
            return {"error": 'send JSON such as {"item": "tea"}'}, 400
        number = next(numbers)
        orders[number] = {"id": number, "item": wanted["item"], "served_by": name}
        return orders[number], 201

    @app.get("/health")
    async def health() -> Any:
        return {"status": "ok"}

    @app.post("/fail")
    async def fail() -> Any:
        state["failing"] = True
        return {"status": "failing from now on"}

    @app.post("/recover")
    async def recover() -> Any:
        state["failing"] = False
        return {"status": "well again"}

    return app


@asynccontextmanager
async def orders_service(name: str) -> AsyncIterator[str]:
    """Run an instance on a free loopback port; yields its URL."""
    opened = listen("127.0.0.1:0")
    url = url_of(opened)
    config = Config()
    config.bind = [f"fd://{opened.detach()}"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 1
    ended = asyncio.Event()
    serving = asyncio.create_task(serve(orders_app(name), config, shutdown_trigger=ended.wait))
    try:
        yield url
    finally:
        ended.set()
        await serving
