"""The fixtures that pytest finds by entry point."""


def test_a_gateway_and_a_backend_are_there_for_the_asking(running_gateway, running_backend):
    connections = {"app": {"targets": running_backend.url}}
    gate = running_gateway({"routes": [{"name": "all", "to": {"connection": "app"}}], "connections": connections})
    other = running_gateway({"routes": [{"name": "all", "flow": [{"respond": {"body": "other"}}]}]})

    assert gate.request("GET", "/").text == "ok"
    assert other.request("GET", "/").text == "other"
    assert len(running_backend.requests) == 1
