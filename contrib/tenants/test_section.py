"""The section of tenants: domains of one only, and routes on their own domains."""

import pytest

from hookgate import ConfigError
from hookgate.testing import running

RESPOND = [{"respond": {"body": "here"}}]


def document(tenants, **route):
    return {
        "gateway": {"listen": ["127.0.0.1:0"], "lame_duck": 0},
        "tenants": tenants,
        "routes": [{"name": "shop@acme.example", "match": {"path": "/", **route}, "flow": RESPOND}],
    }


@pytest.mark.parametrize(
    ("tenants", "route", "why"),
    [
        ({"acme.example": {}}, {}, "has a host, one of its domains: acme.example"),
        ({"acme.example": {}}, {"host": "bolt.example"}, "'bolt.example' is no domain of the tenant"),
        ({"acme.example": {}}, {"host": ["acme.example", "*.acme.example"]}, "'*.acme.example' is no domain"),
        (
            {"acme.example": {}, "bolt": {"domains": ["*.example"]}},
            {"host": "acme.example"},
            "is a domain of another tenant",
        ),
        ({"Acme": {}}, {"host": "acme.example"}, "is no name of a tenant"),
    ],
)
async def test_a_route_of_a_tenant_stands_on_its_domains_and_no_domain_has_two(tenants, route, why):
    with pytest.raises(ConfigError) as refused:
        async with running(document(tenants, **route)):
            pass
    assert why in str(refused.value)
