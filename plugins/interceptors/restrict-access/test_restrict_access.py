import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_restrict_access import RestrictAccess

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def document(backend, options, environment="prod", lane=True):
    return {
        "gateway": {"lane": lane, **({"environment": environment} if environment else {})},
        "apis": [
            {
                "name": "orders",
                "base_path": "/orders",
                "to": {"connection": "crm"},
                "resources": [{"path": "/closed", "flow": [{"restrict-access": options}]}, {"path": "/open"}],
            }
        ],
        "connections": {"crm": {"targets": backend.url}},
    }


@BOTH
@pytest.mark.row("FL-42")
@pytest.mark.parametrize(
    ("options", "environment", "status"),
    [
        ({"block": ["prod", "test"]}, "prod", 403),
        ({"block": ["prod", "test"]}, "dev", 200),
        ({"block": []}, "prod", 200),
        ({"block": ["prod"]}, "", 200),
        ({"allow": ["prod", "test"]}, "prod", 200),
        ({"allow": ["prod", "test"]}, "dev", 403),
        ({"allow": []}, "prod", 403),
        ({"allow": ["prod"]}, "", 403),
        ({"allow": ["Prod"]}, "prod", 403),
        ({"block": ["pro"]}, "prod", 200),
    ],
)
def test_an_environment_is_open_or_closed(options, environment, status, lane):
    with upstream() as backend, running(document(backend, options, environment, lane)) as gate:
        answer = gate.request("GET", "/orders/closed")
        beside = gate.request("GET", "/orders/open")

    assert (answer.status_code, beside.status_code) == (status, 200)
    assert [request.path for request in backend.requests] == (["/closed"] if status == 200 else []) + ["/open"]
    if status == 403:
        problem = answer.json()
        assert problem["detail"] == "Access denied for this environment"
        assert problem["reason"] == "environment-denied"


def test_a_document_that_names_another_environment_opens_it():
    with upstream() as backend, running(document(backend, {"block": ["prod"]}, "prod")) as gate:
        before = gate.request("GET", "/orders/closed").status_code
        gate.reload(document(backend, {"block": ["prod"]}, "dev"))
        after = gate.request("GET", "/orders/closed").status_code

    assert (before, after) == (403, 200)


def test_where_no_gateway_says_an_environment_a_list_of_allowed_ones_refuses():
    assert through(build(RestrictAccess, allow=["prod"])).fault.reason == "environment-denied"
    assert through(build(RestrictAccess, block=["prod"])).fault is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"write either allow or block"),
        ({"allow": ["prod"], "block": ["dev"]}, r"write either allow or block"),
        ({"allow": [], "block": []}, r"write either allow or block"),
        ({"block": [""]}, r"block.*at least 1 character"),
        ({"environments": ["prod"]}, r"environments"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(RestrictAccess, **options)


def test_it_has_nothing_to_do_on_the_way_out():
    with upstream() as backend:
        described = document(backend, {"block": []})
        resource = described["apis"][0]["resources"][0]
        resource["response"] = resource.pop("flow")
        with pytest.raises(ConfigError, match="cannot stand in `response`"):
            with running(described):
                pass
