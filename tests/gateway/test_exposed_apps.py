"""Apps behind a flow: the calls below their path take the way of a route, over the lane and the edge alike."""

import http.client
import json
import re
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hookgate.exchange.errors import ConfigError
from hookgate.testing import running, upstream

SITE = '''
import asyncio
import json

from quart import Blueprint, Response, request

from hookgate import App, BadRequest, Interceptor, Observer, Options, exchange_of, hookimpl

EVENTS = []


class Desk(App[Options]):
    """Pages of a stranger."""

    @hookimpl
    def blueprint(self, host):
        pages = Blueprint("desk", __name__)

        @pages.route("/echo", methods=["GET", "POST", "PUT"])
        async def echo():
            call = exchange_of(request)
            who = call.identity.subject if call is not None and call.identity is not None else None
            return {
                "method": request.method, "path": request.path, "query": request.query_string.decode(),
                "raw": request.scope["raw_path"].decode(), "scheme": request.scheme, "host": request.host,
                "client": request.scope["client"][0], "headers": {k.lower(): v for k, v in request.headers.items()},
                "body": (await request.get_data()).decode(), "who": who,
                "route": call.route.name if call is not None else None, "url": request.url,
            }

        @pages.get("/")
        async def home():
            return "home"

        @pages.get("/by/<path:name>")
        async def by(name):
            return name

        @pages.get("/status/<int:code>")
        async def status(code):
            return Response(b"" if code in (204, 304) else b"text", code, headers={"etag": '"1"'})

        @pages.get("/headers")
        async def headers():
            answer = Response("x", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Keep-Alive", "timeout=5")])
            return answer

        @pages.get("/raises")
        async def raises():
            raise ValueError("the password is tiger")

        @pages.get("/exits")
        async def exits():
            raise SystemExit(3)

        @pages.get("/refuses")
        async def refuses():
            raise BadRequest("no such month", reason="bad-month")

        @pages.get("/events")
        async def events():
            async def each():
                try:
                    for number in range(3):
                        yield f"data: {number}\\n\\n"
                        EVENTS.append(f"sent {number}")
                        if number < 2:
                            await asyncio.Event().wait() if request.args.get("hang") else await host.clock.sleep(0.05)
                finally:
                    EVENTS.append("events over")
            return Response(each(), content_type="text/event-stream")

        @pages.get("/never")
        async def never():
            EVENTS.append("never begins")
            try:
                await asyncio.Event().wait()
            finally:
                EVENTS.append("never ends")

        @pages.get("/breaks")
        async def breaks():
            async def each():
                yield "first"
                raise ValueError("half way")
            return Response(each())

        @pages.get("/flood")
        async def flood():
            async def each():
                try:
                    for number in range(1000):
                        EVENTS.append(number)
                        yield b"x" * 65536
                finally:
                    EVENTS.append("flood over")
            return Response(each())

        @pages.post("/slowly")
        async def slowly():
            total = 0
            async for chunk in request.body:
                total += len(chunk)
                if request.args.get("stop"):
                    EVENTS.append("reads no more")
                    await asyncio.Event().wait()
            return str(total)

        return pages


class Note(Interceptor[Options]):
    """Takes down what passes."""

    @hookimpl
    def on_request(self, exchange):
        EVENTS.append(f"> {self.entry.id}")

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("x-note", "1")

    @hookimpl
    def on_done(self, exchange):
        EVENTS.append(f"done {exchange.outcome}")
'''

FLOW = [{"auth": {"methods": [{"basic": {"users": {"anna": "secret"}}}]}}]


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "desk.py").write_text(SITE)
    (folder / "note.py").write_text("from desk import Note\n")
    return folder


@pytest.fixture(params=[True, False], ids=["lane", "edge"])
def lane(request):
    return request.param


def test_smoke(site, lane):
    document = {"gateway": {"lane": lane, "expose": {"/admin": {"app": "desk", "flow": FLOW}}}}
    with running(document, plugins_dir=site) as gate:
        refused = gate.request("GET", "/admin/echo")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="hookgate", charset="UTF-8"')
        got = gate.request("GET", "/admin/echo?a=b", auth=("anna", "secret"))
        print(got.status_code, got.text)
        assert got.json()["who"] == "anna"
