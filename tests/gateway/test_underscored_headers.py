"""Many backends take ``X_User`` for ``X-User``: what a step sets, no client sets beside it."""

import pytest

from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
SENT = {"X_User": "root", "x_UsEr": "root", "X_Other": "mine", "X-Kept": "1"}


def document(backend, lane, *flow, connection=(), **gateway):
    return {
        "gateway": {"lane": lane, **gateway},
        "routes": [{"name": "all", "flow": list(flow), "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url, **dict(connection)}},
    }


def seen(backend):
    return {
        name: value
        for name, value in backend.requests[-1].headers
        if name.startswith(("x-user", "x_", "x-kept", "x-forwarded-for", "authorization"))
    }


SETS = {
    "a step sets": ([{"headers": {"request": {"set": {"X-User": "ann"}}}}], {}),
    "a connection sets": ([], {"headers": [{"set": "X-User", "from": {"default": {"value": "ann"}}}]}),
    "a connection of httpx sets": (
        [],
        {"headers": [{"set": "X-User", "from": {"default": {"value": "ann"}}}], "transport": "httpx"},
    ),
}


@BOTH
@pytest.mark.parametrize("how", SETS)
def test_what_is_set_is_not_there_in_another_spelling(lane, how):
    flow, connection = SETS[how]
    with upstream() as backend, running(document(backend, lane, *flow, connection=connection)) as gate:
        assert gate.request("GET", "/", headers=SENT).status_code == 200

        assert {k: v for k, v in seen(backend).items() if k != "x-forwarded-for"} == {
            "x-user": "ann",
            "x_other": "mine",
            "x-kept": "1",
        }


@BOTH
def test_what_is_taken_out_is_out_in_every_spelling(lane):
    flow = {"headers": {"request": {"remove": ["X-User"]}}}
    with upstream() as backend, running(document(backend, lane, flow)) as gate:
        gate.request("GET", "/", headers=SENT)
        assert "root" not in seen(backend).values()


@BOTH
@pytest.mark.parametrize("trusted", [[], ["127.0.0.0/8"]])
def test_what_the_gateway_says_of_hops_is_not_said_otherwise(lane, trusted):
    with upstream() as backend, running(document(backend, lane, trusted_proxies=trusted)) as gate:
        gate.request(
            "GET", "/", headers={"X_Forwarded_For": "6.6.6.6", "x_real-ip": "6.6.6.6", "X-Forwarded_Host": "e"}
        )
        assert not {"6.6.6.6", "e"} & set(dict(backend.requests[-1].headers).values())


@BOTH
@pytest.mark.parametrize(("choice", "expected"), [("guard", 200), ("drop", 200), ("pass", 200), ("refuse", 400)])
def test_a_deployer_chooses(lane, choice, expected):
    with upstream() as backend, running(document(backend, lane, underscored_headers=choice)) as gate:
        answer = gate.request("GET", "/", headers=SENT)
        assert answer.status_code == expected
        if expected == 200:
            names = {name for name, _ in backend.requests[-1].headers}
            assert {"x_user", "x_other"} <= names if choice != "drop" else not {"x_user", "x_other"} & names
            assert "x-kept" in names
        assert gate.request("GET", "/", headers={"X-User": "1"}).status_code == 200


@BOTH
def test_a_name_that_has_an_underscore_in_the_document_is_that_name(lane):
    flow = {"auth": {"methods": [{"api-key": {"keys": {"joe": "GOOD"}, "name": "api_key"}}]}}
    with upstream() as backend, running(document(backend, lane, flow)) as gate:
        assert gate.request("GET", "/", headers={"api_key": "GOOD", "Api-Key": "other"}).status_code == 200
        names = dict(backend.requests[-1].headers)
        assert ("api_key" in names, names["api-key"]) == (False, "other")
