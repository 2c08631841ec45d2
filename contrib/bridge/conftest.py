"""What tests of apps behind a flow share."""

import pytest

STRANGERS = '''
"""Pages and a step as a stranger writes them: public names only."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from quart import Blueprint, Response, request

from hookgate import App, BadRequest, Exchange, Host, Interceptor, Options, exchange_of, hookimpl


class Desk(App[Options]):
    """Pages that do what a test wants of them."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.events: list[str] = []

    @hookimpl
    def blueprint(self, host: Host) -> Blueprint:
        pages = Blueprint("desk", __name__)

        @pages.route("/echo", methods=["GET", "POST"])
        async def echo() -> dict[str, Any]:
            call = exchange_of(request)
            return {
                "method": request.method,
                "path": request.path,
                "raw": str(request.scope["raw_path"], "ascii"),
                "query": request.query_string.decode(),
                "url": request.url,
                "client": request.remote_addr,
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "body": await request.get_data(as_text=True),
                "who": call.identity.subject if call is not None and call.identity is not None else None,
                "route": call.route.name if call is not None else None,
            }

        @pages.get("/")
        async def home() -> str:
            return "home"

        @pages.get("/by/<name>")
        async def by(name: str) -> str:
            return name

        @pages.get("/status/<int:code>")
        async def status(code: int) -> Response:
            return Response(b"" if code in (204, 304) else b"text", code, headers={"etag": '"1"'})

        @pages.get("/headers")
        async def headers() -> Response:
            answer = Response("x", headers={"Keep-Alive": "timeout=5"})
            answer.set_cookie("a", "1")
            answer.set_cookie("b", "2")
            return answer

        @pages.get("/raises")
        async def raises() -> str:
            raise ValueError("the password is tiger")

        @pages.get("/exits")
        async def exits() -> str:
            raise SystemExit("the password is tiger")

        @pages.get("/refuses")
        async def refuses() -> str:
            raise BadRequest("There is no such month.", reason="bad-month")

        @pages.get("/odd")
        async def odd() -> Response:
            return Response("x", status=999)

        @pages.get("/events")
        async def events() -> Response:
            async def each() -> AsyncIterator[str]:
                try:
                    for number in range(3):
                        yield f"data: {number}\\n\\n"
                        while f"heard {number}" not in self.events:
                            await asyncio.sleep(0.01)
                finally:
                    self.events.append("events over")

            return Response(each(), content_type="text/event-stream")

        @pages.get("/never")
        async def never() -> str:
            self.events.append("never begins")
            try:
                await asyncio.Event().wait()
            finally:
                self.events.append("never ends")
            return ""

        @pages.get("/breaks")
        async def breaks() -> Response:
            async def each() -> AsyncIterator[str]:
                yield "first"
                raise ValueError("half way")

            return Response(each())

        @pages.get("/stalls")
        async def stalls() -> Response:
            async def each() -> AsyncIterator[str]:
                yield "first"
                await asyncio.Event().wait()

            return Response(each())

        @pages.get("/flood")
        async def flood() -> Response:
            async def each() -> AsyncIterator[bytes]:
                try:
                    for _ in range(1000):
                        self.events.append("chunk")
                        yield b"x" * 65536
                finally:
                    self.events.append("flood over")

            return Response(each())

        @pages.post("/count")
        async def count() -> str:
            total = 0
            async for chunk in request.body:
                total += len(chunk)
                while request.args.get("wait") and "go on" not in self.events:
                    await asyncio.sleep(0.01)
            return str(total)

        return pages


class Note(Interceptor[Options]):
    """Takes down what passes."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.events: list[str] = []

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        self.events.append(f"> {exchange.request.path}")

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        if exchange.response is not None:
            exchange.response.headers.set("x-note", self.entry.id)

    @hookimpl
    def on_done(self, exchange: Exchange) -> None:
        self.events.append(f"done {exchange.outcome}")
'''


@pytest.fixture
def site(tmp_path):
    """The folder of the pages and the step of a stranger."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "strangers.py").write_text(STRANGERS)
    return folder


@pytest.fixture(params=[True, False], ids=["lane", "edge"])
def lane(request):
    """Whether calls come through the lane, or through the edge."""
    return request.param
