"""An API for each kind of endpoint; that of a WSDL file is made in contrib/wsdl."""

import pytest

from hookgate.testing import running, upstream

from .test_connections_reloaded import closed

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def document(targets, *, lane, to=None, **connection):
    api = {
        "name": "orders",
        "base_path": "/orders",
        "to": {"connection": "crm"},
        "flow": [{"faults": {"default": "json"}}],
    }
    api["resources"] = [{"path": "/{id}/items/{item}", "operations": {"GET": {"to": to or {}}, "POST": None}}]
    return {"gateway": {"lane": lane}, "apis": [api], "connections": {"crm": {"targets": targets, **connection}}}


def named(name):
    return upstream(lambda _: (200, {"content-type": "text/plain"}, name))


def texts(gate, count, **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return [gate.request("GET", "/orders/7/items/x", headers=sent).text for _ in range(count)]


@pytest.mark.row("KC-67")
@BOTH
def test_an_address_gets_the_path_and_an_http_endpoint_has_variables_in_its_own(lane):
    with upstream() as backend:
        with running(document(backend.url, lane=lane, base_path="/v2")) as gate:
            texts(gate, 1)
        to = {"path": "/items/{item}/of/{id}", "by_name": True}
        with running(document(backend.url, lane=lane, to=to)) as gate:
            texts(gate, 1)

    assert [request.path for request in backend.requests] == ["/v2/7/items/x", "/items/x/of/7"]


@pytest.mark.row("KC-67")
@BOTH
def test_a_group_that_shares_the_load_takes_turns_or_goes_by_another_balancer_or_keeps_sessions(lane):
    with named("a") as a, named("b") as b:
        group = [a.url, b.url]
        with running(document(group, lane=lane, balancer="weighted-round-robin")) as gate:
            turns = texts(gate, 6)
        with running(document(group, lane=lane, balancer={"hash": {"by": "request.headers['x-user']"}})) as gate:
            same = texts(gate, 6, x_user="ann")
        sticky = {"sticky": {"secret": "a secret of this test", "secure": False, "balancer": "weighted-round-robin"}}
        with running(document(group, lane=lane, balancer=sticky)) as gate:
            session = texts(gate, 6)
            gate.client.cookies.clear()
            another = texts(gate, 6)

    assert turns in (["a", "b"] * 3, ["b", "a"] * 3)
    assert len(set(same)) == len(set(session)) == len(set(another)) == 1
    assert session != another


@pytest.mark.row("KC-67", "KC-68")
@BOTH
@pytest.mark.parametrize(
    ("codes", "served"), [([101503], True), ([101508], True), ([101504, 101505], False), ([], False)], ids=str
)
def test_a_group_that_fails_over_serves_the_same_call_where_the_code_is_listed_and_is_a_fault_elsewhere(
    codes, served, lane
):
    with closed() as nobody, named("second") as second:
        rules = {"balancer": "failover", "max_tries": 2, "retry": {"on": codes}}
        with running(document([nobody, second.url], lane=lane, **rules)) as gate:
            answer = gate.request("POST", "/orders/7/items/x", content=b"once")

    if served:
        assert (answer.status_code, answer.text, second.bodies) == (200, "second", [b"once"])
    else:
        assert (answer.status_code, answer.json()["fault"]["code"], second.requests) == (502, 101503, [])
