"""Mistakes in a connection are found at load, all at once and with their places; and what a connection costs."""

import inspect

import pytest

from hookgate import ConfigError
from hookgate.document.catalogue import Catalogue
from hookgate.testing import running, upstream

from ..clientpair import client_pair  # noqa: TID252 - how tests find each other, wherever they are run from

WRONG = {
    "path": ({"targets": "http://h/service1"}, "targets", "/service1"),
    "query": ({"targets": "http://h?a=b"}, "targets", "without query and fragment"),
    "fragment": ({"targets": "http://h/#f"}, "targets", "without query and fragment"),
    "user": ({"targets": "http://u:hidden-word@h"}, "targets", "no user and password"),
    "host": ({"targets": "http://bad_host!"}, "targets", "is no host"),
    "nothing": ({"targets": "http://"}, "targets", "is no location"),
    "port": ({"targets": "http://h:65536"}, "targets", "port"),
    "scheme": ({"targets": "ftp://h:21"}, "targets[0]", "not 'ftp'"),
    "twice": ({"targets": ["http://h", "http://H:80/"]}, "targets", "there twice"),
    "weight": ({"targets": [{"url": "http://h", "weight": -1}]}, "targets[0].weight", "0"),
    "tries": ({"max_tries": 0}, "max_tries", "1"),
    "timeout": ({"timeouts": {"connect": 0}}, "timeouts.connect", "0"),
    "pool": ({"pool": {"max_connections": 0}}, "pool.max_connections", "-1 for no bound"),
    "backoff": ({"targets": ["http://h"], "monitor": {"http": {"backoff": 0.5}}}, "monitor.http.backoff", "1"),
    "at-most": (
        {"targets": ["http://h"], "monitor": {"http": {"interval": 60, "at_most": 30}}},
        "monitor.http",
        "must not be below interval",
    ),
    "alone": ({"monitor": {"http": {}}}, "monitor", "needs load balancing"),
    "cipher": ({"targets": "https://h", "tls": {"ciphers": "NO-SUCH"}}, "tls.ciphers", "NO-SUCH"),
    "version": ({"targets": "https://h", "tls": {"versions": ["1.0"]}}, "tls.versions[0]", "1.2"),
    "expression": (
        {"headers": [{"set": "X-A", "from": {"expression": {"value": "@java.lang.Runtime@getRuntime()"}}}]},
        "headers[0].from.expression.value",
        "@",
    ),
    "framing": ({"headers": [{"remove": "Transfer-Encoding"}]}, "headers[0]", "cannot be changed here"),
    "colon": ({"auth": [{"basic": {"username": "a:b", "password": "p"}}]}, "auth[0].basic.username", "colon"),
    "order": (
        {
            "auth": [
                {"signature": {"algorithm": "hmac-sha256", "key": "k"}},
                {"basic": {"username": "u", "password": "p", "header": "X-Up"}},
            ]
        },
        "auth[0]",
        "move it to the end",
    ),
    "clear": (
        {"auth": [{"oauth2": {"token_endpoint": "http://login.example/", "client_id": "c", "client_secret": "s"}}]},
        "auth[0].oauth2",
        "in the clear",
    ),
    "balancer": ({"balancer": "round-about"}, "balancer", "round-about"),
}


def refused(document):
    with pytest.raises(ConfigError) as caught, running(document):
        pass
    return caught.value.problems


def test_every_mistake_of_every_connection_is_told_at_once_with_its_place():
    described = {name: {"targets": "http://h", **wrong} for name, (wrong, _, _) in WRONG.items()}
    problems = refused(
        {"connections": described, "routes": [{"name": "lost", "to": {"connection": "nowhere"}}]},
    )
    lines = [str(problem) for problem in problems]
    for name, (_, place, words) in WRONG.items():
        found = [line for line in lines if f"connections.{name}.{place}: " in line]
        assert found, (name, place, [line for line in lines if f"connections.{name}." in line])
        assert any(words in line for line in found), (name, found)
    assert any("routes[0].to.connection" in line and "nowhere" in line for line in lines)
    assert len(lines) == len(WRONG) + 1  # and nothing else is said
    assert "hidden-word" not in " ".join(lines)


def test_no_mistake_of_one_connection_hides_another():
    named = ("path", "cipher", "backoff", "expression", "colon", "tries", "pool", "balancer")
    merged = {key: value for name in named for key, value in WRONG[name][0].items()} | {
        "targets": ["https://h/service1"]
    }
    lines = [str(problem) for problem in refused({"connections": {"crm": merged}})]

    for name in named:
        _, place, words = WRONG[name]
        assert any(f"connections.crm.{place}" in line and words in line for line in lines), (name, lines)
    assert len(lines) == len(named)


def test_a_key_that_is_not_the_certificates_is_refused_with_its_place_and_without_the_key():
    certificate, _ = client_pair()
    _, other = client_pair.__wrapped__()
    described = {"targets": "https://h", "auth": [{"mutual-tls": {"certificate_pem": certificate, "key_pem": other}}]}
    (problem,) = refused({"connections": {"crm": described}})

    assert "connections.crm.auth[0].mutual-tls" in str(problem)
    assert "PRIVATE" not in str(problem)


ROUTES = [{"name": "all", "to": {"connection": "crm"}}]


def test_two_credentials_that_write_one_header_are_a_warning_which_names_both():
    auth = [{"basic": {"username": "u", "password": "p"}}, {"bearer": {"token": "t"}}]
    with upstream() as backend:
        with running({"routes": ROUTES, "connections": {"crm": {"targets": backend.url, "auth": auth}}}) as gate:
            (warning,) = gate.gateway.live.config.warnings
            logged = [record.getMessage() for record in gate.log if record.levelname == "WARNING"]

    assert "connections.crm.auth" in str(warning)
    assert "basic and bearer all write the header authorization" in str(warning)
    assert logged == [str(warning)]


def test_a_list_of_one_target_may_be_monitored():
    with upstream() as backend:
        one = {"targets": [backend.url], "monitor": {"http": {"path": "/"}}}
        with running({"connections": {"crm": one}}) as gate:
            backend.wait_for(lambda b: len(b.requests) == 1)
            assert gate.gateway.status()["connections"]["crm"][0]["health"] == "healthy"


@pytest.mark.row("AC-1")
def test_a_name_and_a_location_are_enough_and_everything_else_is_at_its_default():
    with upstream() as backend:
        with running({"connections": {"crm": {"targets": backend.url}}}) as gate:
            section = gate.gateway.live.config.connections["crm"].section

    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in type(section).model_fields.items()
        if name != "targets"
    }
    assert {name: getattr(section, name) for name in defaults} == defaults


# --- the cost ---------------------------------------------------------------------------------------------------------

SLOWER = {("transport", "httpx")}
"""Shipped plugins with which every call of a connection is a task of its own, so that the lane cannot walk it inline.
Whoever adds one decides so here; a credential that seldom waits returns a `Signal` instead."""


def test_which_plugins_make_a_connection_leave_the_fast_walk_is_a_decision():
    catalogue, found, seen = Catalogue(), set(), 0
    for family, hooks in {"credential": ("sign", "rejected"), "header": ("value",)}.items():
        for name in catalogue.names(family):
            cls = catalogue.get(family, name)
            seen += 1
            if any(inspect.iscoroutinefunction(getattr(cls, hook, None)) for hook in hooks):
                found.add((family, name))
    for name in catalogue.names("transport"):
        seen += 1
        if not catalogue.get("transport", name).inline:
            found.add(("transport", name))

    assert found == SLOWER
    assert seen >= 10 + 7 + 3


QUICK = [
    {"basic": {"username": "u", "password": "p"}},
    {"bearer": {"token": "t"}},
    {"api-key": {"key": "k"}},
    {"oauth2": {"token_endpoint": "https://login.invalid/", "client_id": "c", "client_secret": "s"}},
    {"jwt": {"secret": "thirty-two bytes long, at the least"}},
    {"signature": {"algorithm": "hmac-sha256", "key": "k", "digest": "none"}},
    {"signature": {"algorithm": "hmac-sha256", "key": "k"}},
    {"hawk": {"id": "i", "key": "k"}},
    {"digest": {"username": "u", "password": "p"}},
    {"oauth1": {"consumer_key": "c", "consumer_secret": "s"}},
]


@pytest.mark.parametrize("credential", QUICK, ids=lambda each: next(iter(each)))
def test_a_connection_with_a_common_credential_walks_inline_and_reads_no_body_it_does_not_need(credential):
    name = next(iter(credential))
    with running({"connections": {"crm": {"targets": "http://127.0.0.1:1", "auth": [credential]}}}) as gate:
        connection = gate.gateway.connection("crm")

    assert connection.inline
    needs_body = name in ("digest", "oauth1") or (name == "signature" and "digest" not in credential[name])
    assert bool(connection.credentials[0].reads) is needs_body
