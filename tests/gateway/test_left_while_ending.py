"""A client that leaves while its call is being ended takes nothing with it: the target is free again."""

import asyncio
import socket
import sys
import threading
from types import SimpleNamespace

import pytest

from hookgate.testing import running

TRANSPORT = '''
"""A backend whose answer is longer than it says, and takes a while to let go of."""

import asyncio

import left_while_ending as events

from hookgate import Body, Options, Response, Transport, hookimpl


class Chunks:
    def __aiter__(self):
        return self

    async def __anext__(self):
        return b"more"

    async def aclose(self):
        events.closing.set()
        await asyncio.to_thread(events.gone.wait, 60)


class Slow(Transport[Options]):
    @hookimpl
    async def send(self, outbound):
        return Response(200, body=Body(Chunks(), length=6))
'''


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_a_client_that_leaves_while_an_answer_is_let_go_of(lane, tmp_path, monkeypatch):
    events = SimpleNamespace(closing=threading.Event(), gone=threading.Event())
    monkeypatch.setitem(sys.modules, "left_while_ending", events)
    (tmp_path / "slow.py").write_text(TRANSPORT)
    document = {
        "gateway": {"lane": lane},
        "routes": [{"name": "all", "match": {"path": "/"}, "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": "http://127.0.0.1:9", "transport": "slow"}},
    }
    with running(document, plugins_dir=tmp_path) as gate:

        async def settled():
            async with asyncio.timeout(60):
                while any(target.in_flight for target in gate.gateway.connection("crm").targets):
                    await asyncio.sleep(0.01)

        host, port = gate.url.removeprefix("http://").split(":")
        try:
            with socket.create_connection((host, int(port)), timeout=60) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert events.closing.wait(60)
            gate.run(left(gate))
        finally:
            events.gone.set()
        gate.run(settled())


async def left(gate):
    """The gateway has noticed that its client is gone."""
    async with asyncio.timeout(60):
        while gate.gateway.status()["listener"]["connections"]:
            await asyncio.sleep(0.01)
