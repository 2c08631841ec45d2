"""What authors test with: calls amid a call, started steps, and a host."""

import asyncio
import gc
import socket
from operator import attrgetter

import pytest

from hookgate import (
    ApiInfo,
    AuthMethod,
    BadGateway,
    Host,
    Identity,
    Interceptor,
    Limit,
    Observer,
    Options,
    Response,
    Section,
    Transport,
    hookimpl,
)
from hookgate.testing import TestHost, build, running, through, upstream
from hookgate_interceptor_auth import Auth


class Started(Interceptor[Options]):
    """Says what it has been through."""

    def __init__(self, options):
        super().__init__(options)
        self.log = []

    @hookimpl
    def startup(self, host):
        self.host = host
        self.log.append("startup")

    @hookimpl
    def on_request(self, exchange):
        self.log.append("on_request")

    @hookimpl
    async def shutdown(self):
        self.log.append("shutdown")


class Asking(Interceptor[Options]):
    """Asks others amid a call."""

    @hookimpl
    async def on_request(self, exchange):
        exchange.start("price", exchange.call("GET", "https://prices/1"))
        user = await exchange.call("POST", "/users/1", connection="crm", body=b"x")
        page = await exchange.visit("GET", "/pages/1?a=b")
        exchange.variables["found"] = (user.status, page.body.data, (await exchange.join("price")).body.data)


CALLED = attrgetter("connection", "status")
PRICE, USER, PAGE = Response.text("7"), Response(204), Response.text("page")


def test_steps_are_started_before_a_call_and_ended_after_it():
    step = build(Started)

    through(step)

    assert step.log == ["startup", "on_request", "shutdown"]


def test_plugins_in_options_are_started_too():
    class Method(AuthMethod[Options]):
        @hookimpl
        def startup(self, host):
            self.clock = host.clock

        @hookimpl
        def identify(self, exchange):
            return Identity(str(self.clock.now()))

    assert through(build(Auth, methods=[build(Method)])).identity.subject == "0.0"


def test_a_startup_that_fails_is_what_the_test_sees_and_the_others_are_ended():
    class Failing(Interceptor[Options]):
        @hookimpl
        async def startup(self, host):
            raise OSError("no such file")

        @hookimpl
        def on_request(self, exchange): ...

    step = build(Started)
    with pytest.raises(OSError, match="no such file"):
        through(step, build(Failing))

    assert step.log == ["startup", "shutdown"]


def test_a_step_that_the_test_has_started_is_left_alone():
    step = build(Started)
    step.startup(TestHost())

    through(step, start=False)

    assert step.log == ["startup", "on_request"]


def test_calls_amid_a_call_are_answered_as_the_test_says():
    calls = {"https://prices/1": PRICE, "crm/users/1": USER, "/pages/1?a=b": PAGE}

    for _ in range(2):  # an answer can be given more than once
        exchange = through(build(Asking), calls=calls)
        assert exchange.variables["found"] == (204, b"page", b"7")
    assert [(each.url, each.connection, each.status) for each in sorted(exchange.callouts, key=CALLED)] == [
        ("https://prices/1", "", 200),
        ("/pages/1?a=b", "(gateway)", 200),
        ("/users/1", "crm", 204),
    ]


def test_a_function_answers_calls_and_the_house_remembers_them():
    async def answer(called):
        await asyncio.sleep(0)
        return Response.text(f"{called.method} {called.connection}{called.url} {called.body.decode()}")

    house = TestHost(calls=answer)
    assert through(build(Asking), house=house).variables["found"][2] == b"GET https://prices/1 "
    assert {called.url for called in house.called} == {"/users/1", "https://prices/1", "/pages/1?a=b"}


def test_a_call_that_nothing_answers_is_told():
    fault = through(build(Asking), calls={"https://prices/1": PRICE}).fault

    assert "the test has no answer for POST crm/users/1; it has some for: https://prices/1" in str(fault.__cause__)


def test_a_call_can_fail():
    exchange = through(build(Asking), calls={"crm/users/1": BadGateway("Away."), "https://prices/1": PRICE})

    assert exchange.response.status == 502


def test_an_exchange_comes_with_what_the_test_says():
    seen = []

    class Looks(Interceptor[Options]):
        @hookimpl
        def on_request(self, exchange):
            seen.extend([exchange.params, dict(exchange.variables), exchange.identity, exchange.api])

    ann, orders = Identity("ann"), ApiInfo("orders", "1")
    through(build(Looks), params={"id": "7"}, variables={"a": 1}, identity=ann, api=orders)

    assert seen == [{"id": "7"}, {"a": 1}, ann, orders]


async def test_a_plugin_of_any_family_is_started_with_a_host():
    class Watching(Observer[Options]):
        @hookimpl
        def startup(self, host: Host) -> None:
            self.host = host
            self.seen = host.metrics.counter("seen_total", "What was seen.", ["what"])
            host.start("looks", self.looks())

        async def looks(self):
            await self.host.clock.sleep(60)
            self.seen.add(1, "minute")

    class Sends(Transport[Options]):
        @hookimpl
        def startup(self, host):
            assert self.pool.name == "test"

    watching = build(Watching)
    async with TestHost().started(watching, build(Sends)) as host:
        assert host.find(Watching) == [watching]
        await asyncio.sleep(0)
        await host.clock.advance(60)
        await host.finished()
        (shown,) = host.metrics.collect()
        assert (shown.name, shown.samples[0].labels, shown.samples[0].value) == (
            "hookgate_seen_total",
            ("minute",),
            1,
        )
    assert host.find(Watching) == []


async def test_what_a_plugin_has_begun_ends_with_it():
    class Forever(Started):
        @hookimpl
        def startup(self, host):
            self.task = host.start("forever", asyncio.Event().wait())

    step = build(Forever)
    async with TestHost().started(step):
        await asyncio.sleep(0)
    assert step.task.cancelled()


async def test_a_task_that_fails_is_a_problem_of_its_plugin():
    async def fails():
        raise ValueError("no")

    step = build(Started)
    async with TestHost().started(step) as host:
        step.host.start("looks", fails())
        await host.finished()
        assert host.status()["problems"] == ["the task 'looks' failed: ValueError"]


async def test_the_host_counts_caches_and_keeps_as_a_gateway_does():
    class Tiers(Section[Options]):
        @hookimpl
        def routes(self, site):
            return ()

    tiers = build(Tiers)
    host = TestHost(sections={"tiers": tiers}, plugins=(step := build(Started),))

    assert host.section("tiers", Tiers) is tiers
    with pytest.raises(LookupError, match="the document has no section 'plans'"):
        host.section("plans")
    assert host.find(Started) == [step]
    taken = [host.counters.take([("key", 1, Limit(1, 60))]).allowed for _ in range(2)]
    assert taken == [True, False]
    cache = host.cache(10)
    assert await cache.get("a", lambda: asyncio.sleep(0, "made")) == "made"
    await host.clock.advance(11)
    assert cache.peek("a") is None
    assert await host.reload() == 1


async def test_state_is_kept_in_memory_by_the_clock_of_the_test():
    host = TestHost()
    state = host.state("quota")

    await state.put("a", {"left": 3}, ttl=60)
    assert (await host.state("quota").get("a")).value == {"left": 3}
    await host.clock.advance(61)
    assert await state.get("a") is None


def test_who_connects_as_a_backend_ends_is_left_open_by_nobody():
    for count in range(1, 8):
        with upstream() as backend:
            callers = [socket.create_connection(("127.0.0.1", backend.port)) for _ in range(count)]
        for each in callers:
            each.close()
    gc.collect()  # a connection that nobody has closed is told here, and fails this test


def test_a_document_in_a_file_listens_on_free_ports_too_unless_it_says_where(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text("routes: [{name: hello, match: {path: /}, flow: [{respond: {body: hello}}]}]\n")
    with running(file) as one, running(file) as two:  # and not both where a gateway listens by itself
        assert [each.request("GET", "/").text for each in (one, two)] == ["hello", "hello"]
        assert len({one.url, two.url, one.management, two.management}) == 4
