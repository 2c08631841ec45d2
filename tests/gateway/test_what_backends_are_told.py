"""Who called, and which host: what backends hear of the hops before us, and in ``Host``."""

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
XFF = [("x-forwarded-for", "203.0.113.7:1, [2001:db8::7]:80"), ("x-forwarded-proto", "https")]
FORWARDED = [("forwarded", 'for="203.0.113.7:1";proto=https')]


def document(backend, lane=True, connection=(), to=(), **gateway):
    return {
        "gateway": {"lane": lane, "trusted_proxies": ["127.0.0.0/8"], **gateway},
        "routes": [{"name": "all", "to": {"connection": "backend", **dict(to)}}],
        "connections": {"backend": {"targets": backend.url, **dict(connection)}},
    }


def told(backend, *names):
    return tuple(", ".join(backend.requests[-1].all(name)) or None for name in names)


@BOTH
@pytest.mark.parametrize(
    ("style", "sent", "x_forwarded_for", "forwarded"),
    [
        ("x-forwarded", XFF, "203.0.113.7:1, [2001:db8::7]:80, 127.0.0.1", None),
        ("x-forwarded", FORWARDED, "203.0.113.7, 127.0.0.1", 'for="203.0.113.7:1";proto=https'),
        (
            "forwarded",
            XFF,
            "203.0.113.7:1, [2001:db8::7]:80",
            'for=203.0.113.7, for="[2001:db8::7]", for=127.0.0.1;host=gw.test;proto=https',
        ),
        (
            "forwarded",
            FORWARDED,
            None,
            'for="203.0.113.7:1";proto=https, for=127.0.0.1;host=gw.test;proto=https',
        ),
        (
            "both",
            [("x-forwarded-for", "unknown")],
            "unknown, 127.0.0.1",
            "for=unknown, for=127.0.0.1;host=gw.test;proto=http",
        ),
        ("both", [], "127.0.0.1", "for=127.0.0.1;host=gw.test;proto=http"),
    ],
)
def test_the_client_is_kept_however_it_was_told(lane, style, sent, x_forwarded_for, forwarded):
    with upstream() as backend, running(document(backend, lane, forwarded=style)) as gate:
        assert gate.request("GET", "/", headers=[("host", "gw.test"), *sent]).status_code == 200

        assert told(backend, "x-forwarded-for", "forwarded") == (x_forwarded_for, forwarded)


@BOTH
@pytest.mark.parametrize(("trusted", "host"), [(["127.0.0.1"], "shop.example"), ([], "gw.test")])
def test_the_host_that_a_trusted_proxy_tells_stays(lane, trusted, host):
    sent = {"host": "gw.test", "x-forwarded-host": "shop.example", "x-forwarded-prefix": "/shop"}
    with upstream() as backend, running(document(backend, lane, trusted_proxies=trusted)) as gate:
        gate.request("GET", "/", headers=sent)

        assert told(backend, "x-forwarded-host", "x-forwarded-prefix") == (host, "/shop" if trusted else None)


@BOTH
@pytest.mark.parametrize(
    ("sent", "host"),
    [
        ("for=203.0.113.7;host=shop.example;proto=https", "shop.example"),
        ('for=1.2.3.4;host=strange, For="[2001:db8::7]:80";Host="shop.example:8443", for=127.0.0.1;host=a', None),
        ('for=203.0.113.7;host="a b"', "gw.test"),
        ("for=203.0.113.7;host=a;host=b", "gw.test"),
        ("for=127.0.0.1;host=inner", "gw.test"),
        ("for=203.0.113.7", "gw.test"),
    ],
)
def test_the_host_that_a_trusted_proxy_tells_in_forwarded_is_passed_on_as_the_client_is(lane, sent, host):
    with upstream() as backend, running(document(backend, lane)) as gate:
        gate.request("GET", "/", headers={"host": "gw.test", "forwarded": sent})
        assert told(backend, "x-forwarded-host") == (host or "shop.example:8443",)

        gate.request("GET", "/", headers={"host": "gw.test", "forwarded": sent, "x-forwarded-host": "told.example"})
        assert told(backend, "x-forwarded-host") == ("told.example",)

    with upstream() as backend, running(document(backend, lane, trusted_proxies=[])) as gate:
        gate.request("GET", "/", headers={"host": "gw.test", "forwarded": sent})
        assert told(backend, "x-forwarded-host", "forwarded") == ("gw.test", None)


@BOTH
@pytest.mark.parametrize("transport", ["http", "httpx"])
def test_the_host_of_a_connection_can_be_set(lane, transport):
    connection = {"host": "api.example:8080", "transport": transport}
    with upstream() as backend, running(document(backend, lane, connection)) as gate:
        gate.request("GET", "/", headers={"host": "gw.test"})
        assert told(backend, "host") == ("api.example:8080",)

    with upstream() as backend, running(document(backend, lane, connection, {"preserve_host": True})) as gate:
        gate.request("GET", "/", headers={"host": "gw.test"})
        assert told(backend, "host") == ("gw.test",)


def test_checks_ask_for_the_same_host():
    connection = {"host": "api.example", "monitor": {"http": {"path": "/health", "interval": 0.1}}}
    with upstream() as backend:
        connection["targets"] = [backend.url]
        with running(document(backend, True, connection)):
            backend.wait_for(lambda each: bool(each.requests))
        assert backend.requests[0].header("host") == "api.example"


@pytest.mark.parametrize("host", ["http://a", "a b", "a/b", "u@a", "[::1", "a:b"])
def test_what_is_no_host_is_refused(host):
    with upstream() as backend, pytest.raises(ConfigError, match="is no host"):
        running(document(backend, True, {"host": host})).__enter__()


def test_a_header_action_on_host_says_where_it_is_set():
    action = {"headers": [{"set": "Host", "from": {"default": {"value": "a"}}}]}
    with upstream() as backend, pytest.raises(ConfigError, match="write host on the connection"):
        running(document(backend, True, action)).__enter__()
