from functools import partial
from types import SimpleNamespace

import pytest

from hookgate import ApiInfo, Application, ConfigError, Identity
from hookgate.testing import build, running, upstream
from hookgate.testing import through as through_any
from hookgate_apis.client_id import ClientId

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
through = partial(through_any, start=False)
"""The steps know their applications from a host that :func:`step` gives them."""
SHOP = Application("shop", ("s1", "s+2 é"), {"orders": "gold"})
KIOSK = Application("kiosk", ("k1",))


KNOWN = Identity("ann", "jwt", ("staff",), application="s1")
"""Somebody whom a step further left has identified."""


def step(**options):
    made = build(ClientId, **options)
    known = {client: application for application in (SHOP, KIOSK) for client in application.client_ids}
    made.startup(SimpleNamespace(section=lambda name, of=None: SimpleNamespace(find=known.get)))
    return made


def sent(name="client_id", value="s1"):
    return {name: value}


def reason(exchange):
    return exchange.fault and (exchange.response.status, exchange.fault.reason)


@pytest.mark.parametrize(
    ("options", "call", "expected"),
    [
        ({}, {"headers": sent()}, None),
        ({}, {"headers": sent("CLIENT_ID")}, None),
        ({}, {"headers": sent(value="nobody")}, (401, "unknown-client-id")),
        ({}, {"headers": sent(value="S1")}, (401, "unknown-client-id")),
        ({}, {"headers": sent(value="s1 s1")}, (401, "unknown-client-id")),
        ({}, {"headers": sent(value="")}, (401, "missing-client-id")),
        ({}, {}, (401, "missing-client-id")),
        ({}, {"query": "client_id=s1"}, (401, "missing-client-id")),
        ({"name": "X-App"}, {"headers": sent("x-app")}, None),
        ({"name": "X-App"}, {"headers": sent()}, (401, "missing-client-id")),
        ({"location": "query"}, {"query": "a=b&client_id=s1"}, None),
        ({"location": "query"}, {"query": "client%5Fid=%731"}, None),
        ({"location": "query"}, {"query": "client_id=s+2%20%C3%A9"}, None),
        ({"location": "query"}, {"query": "xclient_id=s1"}, (401, "missing-client-id")),
        ({"location": "query"}, {"query": "client_id"}, (401, "missing-client-id")),
        ({"location": "query"}, {"headers": sent()}, (401, "missing-client-id")),
        ({"location": "query"}, {"query": "client_id=s1&client_id=k1"}, (401, "ambiguous-client-id")),
        ({"location": "both"}, {"query": "client_id=s1"}, None),
        ({"location": "both"}, {"headers": sent()}, None),
        ({"location": "both"}, {"headers": sent(), "query": "client_id=s1"}, None),
        ({"location": "both"}, {"headers": sent(), "query": "client_id=k1"}, (401, "ambiguous-client-id")),
        ({"location": "identity"}, {"headers": sent()}, (401, "missing-client-id")),
        ({"optional": True}, {}, None),
        ({"optional": True}, {"headers": sent(value="nobody")}, (401, "unknown-client-id")),
    ],
)
def test_the_id_is_looked_for_where_it_should_be(options, call, expected):
    exchange = through(step(**options), **call)

    assert reason(exchange) == expected
    if expected is not None:
        assert exchange.application is None
        assert exchange.identity is None
        assert exchange.response.headers["www-authenticate"].startswith("ClientId ")
        assert "nobody" not in exchange.response.body.data.decode()


def test_only_an_id_out_of_the_identity_needs_one():
    assert step(location="identity").reads == {"identity"}
    assert not step(location="both").reads


def test_an_application_that_nobody_else_was_found_for_is_the_caller():
    exchange = through(step(), headers=sent())

    assert exchange.application is SHOP
    assert exchange.identity == Identity("shop", "client-id", application="shop")


def test_whoever_was_found_before_stays_the_caller():
    exchange = through(step(), identity=KNOWN, headers=sent(value="k1"))

    assert exchange.identity == Identity("ann", "jwt", ("staff",), application="kiosk")
    assert exchange.application is KIOSK


def test_the_client_that_a_token_was_issued_to_is_the_id():
    exchange = through(step(location="identity"), identity=KNOWN, headers=sent(value="k1"))

    assert exchange.application is SHOP
    assert exchange.identity.application == "shop"
    assert exchange.request.headers["client_id"] == "k1"


def test_an_application_without_a_plan_for_the_api_is_not_known_to_it():
    refused = through(step(), api=ApiInfo("orders"), headers=sent(value="k1"))
    let_in = through(step(), api=ApiInfo("orders"), headers=sent())

    assert reason(refused) == (403, "no-plan")
    assert refused.application is refused.identity is None
    assert (let_in.application, let_in.plan) == (SHOP, "gold")


def test_on_a_plain_route_there_are_no_plans():
    exchange = through(step(), headers=sent(value="k1"))

    assert (exchange.response.status, exchange.application, exchange.plan) == (200, KIOSK, "")


@pytest.mark.parametrize(
    ("hide", "header", "query"), [(True, None, "a=%41&b=2+3"), (False, "s1", "a=%41&client%5Fid=s1&b=2+3")]
)
def test_an_accepted_id_is_hidden_from_the_backend(hide, header, query):
    exchange = through(step(location="both", hide=hide), headers=sent(), query="a=%41&client%5Fid=s1&b=2+3")

    assert (exchange.request.headers.get("client_id"), exchange.request.query) == (header, query)


@pytest.mark.parametrize("location", ["header", "query"])
def test_what_stands_elsewhere_is_left_alone(location):
    exchange = through(step(location=location), headers=sent(), query="client_id=s1")

    assert ("client_id" in exchange.request.headers, exchange.request.query) == (
        (False, "client_id=s1") if location == "header" else (True, "")
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"location": "body"}, r"location: "),
        ({"name": ""}, r"name: .*at least 1"),
        ({"name": "client id"}, r"not a header name"),
        ({"name": "Authorization"}, r"has a meaning of its own"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(ClientId, **options)


# --- through a gateway ------------------------------------------------------------------------------------------------


def document(backend, lane, flow=("client-id",), plan=None):
    return {
        "gateway": {"lane": lane},
        "apis": [
            {"name": "orders", "base_path": "/orders", "flow": list(flow), "to": {"connection": "crm"}},
            {"name": "open", "base_path": "/open", "to": {"connection": "crm"}},
        ],
        "applications": {
            "shop": {"client_ids": ["s1", "s2"], "plans": {"orders": "gold"}},
            "bot": {"client_ids": ["b1"], "plans": {"orders": "gold"}},
            "kiosk": {"client_ids": ["k1"], "plans": {"open": "gold"}},
        },
        "plans": {"gold": plan or {}},
        "connections": {"crm": {"targets": backend.url}},
    }


@BOTH
@pytest.mark.row("FL-34", "FL-46")
def test_an_application_is_known_where_a_step_asks_for_it_and_a_plan_ties_it_to_the_api(lane):
    with upstream() as backend, running(document(backend, lane)) as gate:

        def call(path, client):
            return gate.request("GET", path, headers={"client_id": client} if client else {}).status_code

        statuses = [call("/orders/x", client) for client in ("s2", "k1", "zz", "")] + [call("/open/x", "s1")]
        found = [
            (exchange.application and exchange.application.name, exchange.plan)
            for exchange in gate.wait_for_exchanges(5)
        ]

    assert statuses == [200, 403, 401, 401, 200]
    assert found == [("shop", "gold"), (None, ""), (None, ""), (None, ""), (None, "")]
    assert [request.header("client_id") for request in backend.requests] == [None, "s1"]


@BOTH
@pytest.mark.row("FL-24", "FL-40")
def test_a_limit_in_the_flow_of_a_plan_counts_each_application_on_its_own(lane):
    limit = {"flow": [{"rate-limit": {"limit": 2, "window": "day"}}]}
    with upstream() as backend, running(document(backend, lane, plan=limit)) as gate:
        found = [
            gate.request("GET", "/orders/x", headers={"client_id": client}).status_code
            for client in ("s1", "s2", "s1", "b1", "b1", "b1")
        ]

    assert found == [200, 200, 429, 200, 200, 429]


@BOTH
@pytest.mark.row("FL-40")
def test_a_limit_on_the_api_counts_everyone(lane):
    flow = ["client-id", {"rate-limit": {"limit": 2, "window": "day"}}]
    with upstream() as backend, running(document(backend, lane, flow)) as gate:
        found = [
            gate.request("GET", "/orders/x", headers={"client_id": client}).status_code for client in ("s1", "b1", "s1")
        ]

    assert found == [200, 200, 429]


def test_an_application_that_is_taken_out_of_the_document_is_unknown_from_then_on():
    with upstream() as backend:
        described = document(backend, True)
        with running(described) as gate:
            before = gate.request("GET", "/orders/x", headers={"client_id": "b1"}).status_code
            del described["applications"]["bot"]
            gate.reload(described)
            after = gate.request("GET", "/orders/x", headers={"client_id": "b1"}).status_code

    assert (before, after) == (200, 401)


@BOTH
def test_the_application_of_a_checked_token_is_known_and_enters_its_plan(lane):
    tokens = {
        name: {"token": f"token-of-{name}", "application": client} for name, client in (("ann", "s1"), ("x", "?"))
    }
    flow = [{"auth": {"methods": [{"bearer": {"tokens": tokens}}]}}, {"client-id": {"location": "identity"}}]
    plan = {"flow": [{"headers": {"request": {"set": {"X-Plan": "gold"}}}}]}
    with upstream() as backend, running(document(backend, lane, flow, plan)) as gate:
        found = [
            gate.request("GET", "/orders/x", headers={"authorization": f"Bearer token-of-{name}"}).status_code
            for name in ("ann", "x", "nobody")
        ]
        exchange = gate.wait_for_exchanges(3)[0]

    assert found == [200, 401, 401]
    assert (exchange.identity.subject, exchange.identity.application) == ("ann", "shop")
    assert (exchange.application.name, exchange.plan) == ("shop", "gold")
    assert backend.requests[0].header("x-plan") == "gold"
