"""What tests of simulation share."""

import pytest

SITE = '''\
"""Steps for these tests."""

import asyncio

from hookgate import Exchange, Forbidden, Host, HookgateError, Interceptor, Options, Response, hookimpl


class Claim(Interceptor[Options]):
    """Answers faults."""

    @hookimpl
    def on_fault(self, exchange: Exchange) -> Response | None:
        return Response.text(f"claimed {exchange.fault.reason}", 503)


class Refuse(Interceptor[Options]):
    """Refuses, but sees the end of calls that others let pass."""

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        raise Forbidden("No.", reason="refused")


class Break(Interceptor[Options]):
    """Has a mistake."""

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        raise LookupError("oh")


class Account(Interceptor[Options]):
    """Has all that the house offers, and an end."""

    @hookimpl
    async def startup(self, host: Host) -> None:
        self.host = host
        self.forever = host.start("forever", self.beside())

    async def beside(self) -> None:
        while True:
            await self.host.clock.sleep(1)

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        began = self.host.clock.wall()
        await self.host.clock.sleep(3600)
        exchange.request.headers.set("x-slept", f"{self.host.clock.wall() - began:.0f}")
        try:
            await self.host.http.request("GET", "http://127.0.0.1:1/")
        except HookgateError as fault:
            exchange.request.headers.set("x-called", fault.reason)

    @hookimpl
    def on_done(self, exchange: Exchange) -> None:
        pass

    @hookimpl
    async def shutdown(self) -> None:
        print(f"shut down, forever is {'over' if self.forever.done() else 'running'}")


class Read(Interceptor[Options]):
    """Reads bodies and changes nothing."""

    reads = {"request.body", "response.body"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.request.body.data

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        exchange.response.body.data


class Shout(Interceptor[Options]):
    """Replaces the request's body, and maps that of the response."""

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        exchange.request.body.set((await exchange.request.body.read()).upper() + b"!")

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        exchange.response.body.map(bytes.upper)


class Move(Interceptor[Options]):
    """Turns a call into another one."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.request.method, exchange.request.path, exchange.request.query = "POST", "/moved", ""


class Ill(Interceptor[Options]):
    """Cannot start."""

    @hookimpl
    def startup(self, host: Host) -> None:
        raise ValueError("no disk")

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        pass
'''


@pytest.fixture
def site(tmp_path):
    """The folder of the steps for these tests."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "steps.py").write_text(SITE)
    return folder
