"""What flows are for (FL-22): to enrich, to read, to mask, to route by content, and to compose; each on both ways in.

Masking, routing by content and composing have their tests beside their plugins: `mask`, `switch`, `compose`.
"""

import json

import pytest

from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
JSON = {"content-type": "application/json"}


@BOTH
@pytest.mark.row("FL-22", "FL-53")
def test_a_call_is_enriched_before_it_goes_on(lane):
    """The backend of the orders is told what the API of the customers knows."""
    with upstream() as orders, upstream(lambda request: (200, JSON, '{"tier": "gold"}')) as customers:
        document = {
            "gateway": {"lane": lane},
            "apis": [
                {
                    "name": "orders",
                    "base_path": "/orders",
                    "request": [
                        {"internal-call": {"name": "customer", "path": "/customers/{request.query.customer}"}},
                        {"headers": {"request": {"set_from": {"X-Tier": "vars.customer.body.tier"}}}},
                    ],
                    "to": {"connection": "orders"},
                },
                {"name": "customers", "base_path": "/customers", "to": {"connection": "customers"}},
            ],
            "connections": {"orders": {"targets": orders.url}, "customers": {"targets": customers.url}},
        }
        with running(document) as gate:
            answer = gate.request("POST", "/orders/?customer=7", content=b"body", headers={"x-tier": "forged"})

    assert answer.status_code == 200
    assert customers.requests[0].path == "/7"
    (seen,) = orders.requests
    assert (seen.all("x-tier"), seen.body) == (["gold"], b"body")


@BOTH
@pytest.mark.row("FL-22", "FL-49")
def test_where_a_call_comes_from_is_read(lane):
    """The trace knows the address, the origin of the page and the agent; nothing of the call changes."""
    facts = {"from": "request.client", "page": "request.headers.origin", "agent": "request.headers['user-agent']"}
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane},
            "trace": {"token": "only-for-tests"},
            "routes": [{"name": "all", "flow": [{"extract": {"facts": facts}}], "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document) as gate:
            sent = {"origin": "https://shop.example", "user-agent": "tests", "x-hookgate-trace": "only-for-tests"}
            gate.request("GET", "/", headers=sent)
            (exchange,) = gate.wait_for_exchanges(1)

    assert exchange.trace.as_dict()["facts"] == {
        "from": "127.0.0.1",
        "page": "https://shop.example",
        "agent": "tests",
    }
    assert backend.requests[0].header("origin") == "https://shop.example"


@BOTH
@pytest.mark.row("FL-52")
def test_what_another_api_says_decides_where_a_call_goes(lane):
    def directory(request):
        return 200, JSON, json.dumps({"system": "new" if request.path == "/7" else None})

    with upstream() as old, upstream() as new, upstream(directory) as systems:
        document = {
            "gateway": {"lane": lane},
            "routes": [
                {
                    "name": "orders",
                    "match": {"path": "/orders/{id}"},
                    "flow": [
                        {"callout": {"name": "found", "connection": "systems", "url": "/{request.params.id}"}},
                        {"destination": {"to": "vars.found.body.system", "among": ["old", "new"]}},
                    ],
                    "to": {"connection": "old"},
                }
            ],
            "connections": {name: {"targets": each.url} for name, each in (("old", old), ("new", new))}
            | {"systems": {"targets": systems.url}},
        }
        with running(document) as gate:
            for number in (7, 8):
                assert gate.request("GET", f"/orders/{number}").status_code == 200

    assert [request.path for request in new.requests] == ["/orders/7"]
    assert [request.path for request in old.requests] == ["/orders/8"]
