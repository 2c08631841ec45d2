"""What a step may do amid a call: call others, visit other routes, start things and join them."""

import asyncio

import pytest

from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])

PLUGINS = '''
import asyncio

from hookgate import Interceptor, Options, Response, hookimpl

SEEN = []


class Caller(Interceptor[Options]):
    """Calls the URL that the request names."""

    @hookimpl
    async def on_request(self, exchange):
        url, connection = exchange.request.headers["x-url"], exchange.request.headers.get("x-connection", "")
        try:
            answer = await exchange.call("POST", url, connection=connection, headers={"x-a": "b"}, body=b"hi")
        finally:
            SEEN.append(exchange.callouts[0])
        return Response(answer.status, body=await answer.body.read())


class Visitor(Interceptor[Options]):
    """Visits another route, and adds what it says to the head."""

    @hookimpl
    async def on_request(self, exchange):
        answer = await exchange.visit("GET", exchange.request.headers["x-visit"], headers={"x-from": "inside"})
        exchange.request.headers.set("x-found", f"{answer.status} {answer.body.data.decode()}")


class Starter(Interceptor[Options]):
    """Starts two things on the way in, and joins one of them on the way out."""

    @hookimpl
    async def on_request(self, exchange):
        exchange.start("quick", self.quick())
        exchange.start("endless", self.endless())
        try:
            exchange.start("quick", self.quick())
        except ValueError as error:
            exchange.facts["twice"] = str(error)
        await asyncio.sleep(0)  # so that it has begun, and has something to end

    @hookimpl
    async def on_response(self, exchange):
        exchange.response.headers.set("x-joined", await exchange.join("quick"))
        try:
            await exchange.join("other")
        except LookupError as error:
            exchange.response.headers.set("x-other", str(error))

    async def quick(self):
        await asyncio.sleep(0)
        return "joined"

    async def endless(self):
        try:
            await asyncio.Event().wait()
        finally:
            SEEN.append("ended")
'''


@pytest.fixture
def plugins(tmp_path):
    (tmp_path / "amid.py").write_text(PLUGINS)
    return tmp_path


def seen(gate):
    step = next(iter(gate.gateway.live.config.routes)).steps.flow[0]
    return __import__("sys").modules[type(step).__module__].SEEN


@BOTH
def test_a_step_calls_a_url_or_a_connection(lane, plugins):
    with upstream(lambda request: (200, {}, f"{request.path} {request.header('x-a')}")) as other:
        document = {
            "gateway": {"lane": lane},
            "routes": [{"name": "call", "flow": ["caller"]}],
            "connections": {"crm": {"targets": other.url, "base_path": "/api"}},
        }
        with running(document, plugins_dir=plugins) as gate:
            by_url = gate.request("GET", "/", headers={"x-url": f"{other.url}/direct"})
            by_name = gate.request("GET", "/", headers={"x-url": "/users", "x-connection": "crm"})
            absent = gate.request("GET", "/", headers={"x-url": "/users", "x-connection": "nobody"})
            first, second, third = seen(gate)

    assert (by_url.text, by_name.text, absent.status_code) == ("/direct b", "/api/users b", 500)
    assert (first.method, first.url, first.connection, first.status) == ("POST", f"{other.url}/direct", "", 200)
    assert (second.url, second.connection, second.status, second.error) == ("/users", "crm", 200, "")
    assert first.seconds > 0
    assert (third.status, third.error) == (None, "LookupError")


@BOTH
def test_a_step_visits_another_route_through_its_whole_flow(lane, plugins):
    with upstream() as backend, upstream(lambda request: (201, {}, request.header("x-from"))) as inner:
        document = {
            "gateway": {"lane": lane, "limits": {"in_flight": 50}},
            "routes": [
                {"name": "outer", "match": {"path": "/outer"}, "flow": ["visitor"], "to": {"connection": "outer"}},
                {
                    "name": "inner",
                    "match": {"path": "/inner/{n}"},
                    "flow": [{"respond": {"status": 403, "_": {"when": "request.params.n == 'no'"}}}],
                    "to": {"connection": "inner"},
                },
            ],
            "connections": {"outer": {"targets": backend.url}, "inner": {"targets": inner.url}},
        }
        with running(document, plugins_dir=plugins) as gate:
            gate.request("GET", "/outer", headers={"x-visit": "/inner/1?a=b"})
            gate.request("GET", "/outer", headers={"x-visit": "/inner/no"})
            gate.request("GET", "/outer", headers={"x-visit": "/nowhere"})
            exchanges = gate.wait_for_exchanges(6)
            assert gate.gateway.status()["in_flight"] == 0

    found = [request.header("x-found") for request in backend.requests]
    assert found[0] == "201 inside"
    assert found[1].startswith("403")
    assert found[2].startswith("404")
    assert [exchange.depth for exchange in exchanges] == [1, 0] * 3
    assert (inner.requests[0].path, inner.requests[0].query) == ("/inner/1", "a=b")


@BOTH
def test_a_gateway_that_calls_itself_again_and_again_ends(lane, plugins):
    (plugins / "loop.py").write_text(
        "from hookgate import Interceptor, Options, hookimpl\n"
        "class Looping(Interceptor[Options]):\n"
        "    @hookimpl\n"
        "    async def on_request(self, exchange):\n"
        "        return await exchange.visit('GET', '/')\n",
    )
    document = {"gateway": {"lane": lane}, "routes": [{"name": "all", "flow": ["looping"]}]}
    with running(document, plugins_dir=plugins) as gate:
        answer = gate.request("GET", "/")
        depths = [exchange.depth for exchange in gate.wait_for_exchanges(9)]

    assert (answer.status_code, answer.json()["reason"]) == (508, "loop-detected")
    assert depths == list(range(8, -1, -1))


@BOTH
def test_what_was_started_is_joined_by_name_and_ends_with_the_call(lane, plugins):
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane},
            "routes": [{"name": "all", "flow": ["starter"], "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document, plugins_dir=plugins) as gate:
            answer = gate.request("GET", "/")
            (exchange,) = gate.wait_for_exchanges(1)
            gate.run(asyncio.sleep(0))
            assert seen(gate) == ["ended"]

    assert answer.headers["x-joined"] == "joined"
    assert "'other'" in answer.headers["x-other"]
    assert "'quick' was started already" in exchange.facts["twice"]
