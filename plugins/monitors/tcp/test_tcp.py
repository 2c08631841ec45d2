import asyncio
import socket
from contextlib import closing
from types import SimpleNamespace

import pytest

from hookgate import ConfigError, Target
from hookgate.testing import build, running, upstream
from hookgate_monitor_tcp import Tcp


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]


async def check(host, port):
    return await build(Tcp).probe(Target("http", host, port), None)


@pytest.fixture
def sockets(monkeypatch):
    """Every socket that a check opens."""
    opened = []

    class Noted(socket.socket):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            opened.append(self)

    monkeypatch.setattr("hookgate_monitor_tcp.socket", SimpleNamespace(socket=Noted, SOCK_STREAM=socket.SOCK_STREAM))
    return opened


@pytest.fixture
def addresses(monkeypatch):
    """Have a name stand for these addresses; a port that is an exception is what connecting raises."""

    def use(*places):
        async def getaddrinfo(self, host, port, **options):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

        async def sock_connect(self, connection, place):
            if isinstance(place[1], BaseException):
                raise place[1]
            await connect(self, connection, place)

        connect = asyncio.SelectorEventLoop.sock_connect
        monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", sock_connect)

    return use


async def test_a_target_that_accepts_a_connection_is_well_and_gets_nothing_sent():
    received = asyncio.get_running_loop().create_future()

    async def accept(reader, writer):
        received.set_result(await reader.read())
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        health = await check("127.0.0.1", server.sockets[0].getsockname()[1])

        assert (health.healthy, health.reason) == (True, "accepts connections")
        assert await received == b""  # closed at once


async def test_a_target_that_refuses_is_ill():
    health = await check("127.0.0.1", free_port())

    assert (health.healthy, health.reason) == (False, "connect-refused")


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
async def test_what_cannot_be_a_name_is_a_failed_check(host):
    health = await check(host, 80)

    assert (health.healthy, health.reason) == (False, "dns-failed")


async def test_a_name_that_cannot_be_resolved_is_a_failed_check(monkeypatch):
    async def getaddrinfo(self, host, port, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", getaddrinfo)
    health = await check("crm.example.org", 80)

    assert (health.healthy, health.reason) == (False, "dns-failed")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(), "connect-refused"),
        (TimeoutError(), "connect-timeout"),
        (OSError("no route to host"), "connect-failed"),
    ],
)
async def test_the_reason_says_how_connecting_failed(addresses, sockets, error, reason):
    addresses(("192.0.2.1", error))
    health = await check("crm.example.org", 80)

    assert (health.healthy, health.reason) == (False, reason)
    assert [connection.fileno() for connection in sockets] == [-1]


async def test_the_other_addresses_of_a_name_are_tried(addresses, sockets):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        addresses(("192.0.2.1", OSError("unreachable")), server.getsockname())

        assert (await check("crm.example.org", 80)).healthy
    assert [connection.fileno() for connection in sockets] == [-1, -1]


async def test_a_check_that_is_cancelled_leaves_no_socket_open(monkeypatch, sockets):
    connecting = asyncio.Event()

    async def never(self, connection, place):
        connecting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", never)
    probe = asyncio.create_task(check("127.0.0.1", 80))
    await connecting.wait()
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)

    assert probe.cancelled()
    assert [connection.fileno() for connection in sockets] == [-1]


def test_it_has_the_options_of_every_monitor_and_no_others():
    assert build(Tcp, interval=3).options.interval == 3
    with pytest.raises(ConfigError, match="at_most"):
        build(Tcp, interval=10, at_most=5)
    with pytest.raises(ConfigError, match="path"):
        build(Tcp, path="/health")


def test_a_gateway_takes_a_target_that_refuses_out_of_the_rotation():
    dead = f"http://127.0.0.1:{free_port()}"
    with upstream() as well:
        monitor = {"tcp": {"interval": 0.02, "at_most": 0.02, "unhealthy_after": 1}}
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": [{"url": dead}, {"url": well.url}], "monitor": monitor}},
        }
        with running(document) as gate:
            well.wait_for(lambda backend: backend.connections >= 3)  # by then the other one is judged, too
            for _ in range(4):
                assert gate.request("GET", "/").status_code == 200
            targets = gate.gateway.status()["connections"]["crm"]

    assert [target["health"] for target in targets] == ["unhealthy", "healthy"]
    assert [target["reason"] for target in targets] == ["connect-refused", "accepts connections"]
    assert len(well.requests) == 4
