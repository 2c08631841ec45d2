"""Security profiles: defined once, placed by name, swapped in one place. And the warning of two writers of a header."""

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream

ANNA = {"basic": {"users": {"anna": "secret"}}}
KEY = {"api-key": {"keys": {"joe": "key-of-joe"}}}


def document(backend, profile, **connection):
    return {
        "profiles": {"partner": profile},
        "routes": [
            {
                "name": "all",
                "match": {"path": "/{rest...}"},
                "flow": [{"auth": {"methods": ["partner"]}}] if "inbound" in profile else [],
                "to": {"connection": "crm"},
            },
            {"name": "other", "match": {"path": "/other"}, "flow": [], "to": {"connection": "second"}},
        ],
        "connections": {
            "crm": {"targets": backend.url, "auth": ["partner"] if "outbound" in profile else [], **connection},
            "second": {"targets": backend.url, "auth": ["partner"] if "outbound" in profile else []},
        },
    }


def test_a_profile_is_swapped_in_one_place():
    with upstream() as backend:
        with running(document(backend, {"inbound": ANNA})) as gate:
            assert gate.request("GET", "/", auth=("anna", "secret")).status_code == 200
            assert gate.request("GET", "/").headers["www-authenticate"].startswith("Basic")
            gate.reload(document(backend, {"inbound": KEY}))
            assert gate.request("GET", "/", auth=("anna", "secret")).status_code == 401
            assert gate.request("GET", "/", headers={"X-Api-Key": "key-of-joe"}).status_code == 200


def test_connections_share_the_credential_of_a_profile():
    with upstream() as backend:
        outbound = {"basic": {"username": "gateway", "password": "secret"}}
        with running(document(backend, {"inbound": ANNA, "outbound": outbound})) as gate:
            gate.request("GET", "/", auth=("anna", "secret"))
            gate.request("GET", "/other")
            config = gate.gateway.live.config
            credentials = {id(config.connections[name].credentials[0]) for name in ("crm", "second")}

    assert [request.header("authorization") for request in backend.requests] == ["Basic Z2F0ZXdheTpzZWNyZXQ="] * 2
    assert len(credentials) == 1


@pytest.mark.parametrize(
    ("profile", "place", "words"),
    [
        ({}, "profiles.partner", "inbound, outbound or both"),
        ({"inbound": {"basic": {}}}, "profiles.partner.inbound.basic.users", "required"),
        ({"inbound": "bsic"}, "profiles.partner.inbound", "did you mean"),
        ({"outbound": {"basic": {"username": "a:b", "password": "x"}}}, "profiles.partner.outbound.basic", "colon"),
        ({"inbound": ANNA, "note": "x"}, "profiles.partner.note", ""),
    ],
)
def test_mistakes_in_a_profile_are_told_at_its_place_and_once(profile, place, words):
    with upstream() as backend:
        with pytest.raises(ConfigError) as refused:
            with running(document(backend, profile)):
                pass
    (problem,) = refused.value.problems
    assert place in str(problem)
    assert words in str(problem)


def test_a_name_that_nobody_knows_and_one_that_a_plugin_has_are_refused():
    with upstream() as backend:
        described = document(backend, {"inbound": ANNA})
        described["profiles"]["basic"] = {"inbound": ANNA}
        described["connections"]["crm"]["auth"] = ["partner"]  # it has no outbound
        with pytest.raises(ConfigError) as refused:
            with running(described):
                pass
    found = "\n".join(map(str, refused.value.problems))
    assert "profiles.basic: 'basic' is the name of an installed plugin" in found
    assert "connections.crm.auth[0]" in found


def test_two_writers_of_one_header_are_let_through_with_a_warning(caplog):
    auth = [
        {"basic": {"username": "gateway", "password": "secret"}},
        {"basic": {"username": "other", "password": "secret", "prefix": "Custom"}},
    ]
    with upstream() as backend:
        described = document(backend, {"inbound": ANNA}, auth=auth)
        with running(described) as gate:
            gate.request("GET", "/", auth=("anna", "secret"))
            (warning,) = gate.gateway.status()["warnings"]
            described["connections"]["crm"]["auth"][1]["basic"]["header"] = "X-Up-Auth"
            gate.reload(described)
            assert gate.gateway.status()["warnings"] == []
            gate.request("GET", "/", auth=("anna", "secret"))

    first, second = backend.requests
    assert "connections.crm.auth" in warning
    assert "authorization" in warning
    assert [line.split()[0] for line in first.all("authorization")] == ["Basic", "Custom"]
    assert [len(second.all(name)) for name in ("authorization", "x-up-auth")] == [1, 1]
