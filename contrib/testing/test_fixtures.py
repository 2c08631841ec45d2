"""The fixtures that pytest finds by entry point, and gateways in coroutines."""

import asyncio

from hookgate.testing import running


def test_a_gateway_and_a_backend_are_there_for_the_asking(running_gateway, running_backend):
    connections = {"app": {"targets": running_backend.url}}
    gate = running_gateway({"routes": [{"name": "all", "to": {"connection": "app"}}], "connections": connections})
    other = running_gateway({"routes": [{"name": "all", "flow": [{"respond": {"body": "other"}}]}]})

    assert gate.request("GET", "/").text == "ok"
    assert other.request("GET", "/").text == "other"
    assert len(running_backend.requests) == 1


async def test_a_gateway_runs_in_a_test_that_is_a_coroutine(running_backend):
    document = {
        "routes": [{"name": "all", "to": {"connection": "app"}}],
        "connections": {"app": {"targets": running_backend.url}},
    }
    async with running(document) as gate:
        answers = await asyncio.gather(*(gate.call("GET", f"/{number}") for number in range(5)))

    assert [answer.status_code for answer in answers] == [200] * 5
    assert {request.path for request in running_backend.requests} == {f"/{number}" for number in range(5)}
