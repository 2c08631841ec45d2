"""Keys that an issuer publishes, over real sockets."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from hookgate.testing import MovableClock, running, upstream


class Issuer:
    """What the issuer publishes, and how it can misbehave."""

    def __init__(self):
        self.keys = []
        self.say = None
        self.hold = None

    def answer(self, request):
        if self.hold is not None:
            self.hold.wait(30)
        if self.say is not None:
            return self.say
        if request.path == "/keys":
            return 200, {}, json.dumps({"keys": self.keys})
        return 200, {}, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    @property
    def paths(self):
        return [request.path for request in self.socket.requests]

    @contextmanager
    def held(self):
        self.hold = threading.Event()
        try:
            yield
        finally:
            self.hold.set()
            self.hold = None


@pytest.fixture
def issuer(maker):
    made = Issuer()
    made.keys = [maker.jwk(maker.key(), kid="one")]
    with upstream(made.answer) as socket:
        made.socket, made.url = socket, socket.url
        yield made


@pytest.fixture
def gate(issuer):
    """Run a gateway that trusts the issuer; ``gate.status(token)`` calls it."""

    @contextmanager
    def run(**options):
        options = options or {"jwks_uri": f"{issuer.url}/keys"}
        clock = MovableClock()
        with upstream() as backend:
            document = {
                "routes": [
                    {
                        "name": "all",
                        "match": {"path": "/"},
                        "flow": [{"auth": {"methods": [{"jwt": options}]}}],
                        "to": {"connection": "backend"},
                    }
                ],
                "connections": {"backend": {"targets": [{"url": backend.url}]}},
            }
            with running(document, clock=clock) as made:

                def status(token):
                    return made.request("GET", "/", headers={"authorization": f"Bearer {token}"}).status_code

                made.document = document
                made.status = status
                made.advance = lambda seconds: made.run(clock.advance(seconds))
                made.idle = lambda: made.run(until(lambda: idle(made)))
                yield made

    return run


def idle(gate):
    """Whether no plugin has anything under way."""
    return not any(host.tasks for host in gate.gateway.hosting._hosts.values())


async def until(condition):
    """Let the loop run until something holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
def signed(maker):
    """Make a token that is good for long, signed with the numbered key."""
    names = ["one", "two", "three", "four"]
    return lambda number=0, **header: maker.token(
        {"exp": maker.NOW + 10**9, "n": number}, signer=maker.key(number=number), **{"kid": names[number], **header}
    )


def test_the_keys_are_fetched_once_for_all(issuer, gate, signed):
    with gate() as made, ThreadPoolExecutor(10) as callers:
        with issuer.held():
            calls = [callers.submit(made.status, signed()) for _ in range(10)]
            made.run(until(lambda: made.gateway.status()["in_flight"] == 10))
        assert {call.result() for call in calls} == {200}
        assert made.status(signed(1, kid="one")) == 401
        assert issuer.paths == ["/keys"]
        made.document["connections"]["another"] = {"targets": "http://127.0.0.1:9"}
        made.reload(made.document)  # which leaves the method as it is
        assert made.status(signed()) == 200

    assert issuer.paths == ["/keys"]


def test_an_issuer_can_be_asked_where_its_keys_are(issuer, gate, maker, signed):
    def token(issued_by):
        return maker.token({"iss": issued_by}, kid="one")

    with gate(discover=True, issuer=issuer.url) as made:
        assert made.status(token(issuer.url)) == 200
        assert made.status(token("https://another.example")) == 401

    assert issuer.paths == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    "configuration",
    [
        {"issuer": "https://another.example", "jwks_uri": "{}/keys"},
        {"issuer": "{}"},
        {"issuer": "{}", "jwks_uri": 5},
        {"issuer": "{}", "jwks_uri": "http://issuer.example/keys"},
        {"issuer": "{}", "jwks_uri": "file:///etc/keys"},
    ],
)
def test_a_configuration_that_leads_elsewhere_is_not_followed(issuer, gate, maker, configuration):
    issuer.say = 200, {}, json.dumps(configuration).replace("{}", issuer.url)
    with gate(discover=True, issuer=issuer.url) as made:
        assert made.status(maker.token({"iss": issuer.url}, kid="one")) == 503

    assert issuer.paths == ["/.well-known/openid-configuration"]


def test_a_key_that_is_not_known_is_asked_for_but_not_too_often(issuer, gate, maker, signed):
    with gate() as made:
        assert made.status(signed(0)) == 200
        issuer.keys = [maker.jwk(maker.key(number=1), kid="two")]
        assert made.status(signed(1)) == 200  # at once
        assert len(issuer.paths) == 2
        assert made.status(signed(0)) == 401  # which was good before, and its key is gone
        issuer.keys.append(maker.jwk(maker.key(number=2), kid="three"))
        assert [made.status(signed(2)), made.status(signed(3)), made.status(signed(2))] == [401, 401, 401]
        assert len(issuer.paths) == 2
        made.advance(30)
        assert made.status(signed(2)) == 200
        assert len(issuer.paths) == 3


def test_calls_with_a_key_that_is_not_known_share_one_request(issuer, gate, maker, signed):
    with gate() as made, ThreadPoolExecutor(10) as callers:
        assert made.status(signed(0)) == 200
        issuer.keys.append(maker.jwk(maker.key(number=1), kid="two"))
        with issuer.held():
            calls = [callers.submit(made.status, signed(1)) for _ in range(10)]
            made.run(until(lambda: made.gateway.status()["in_flight"] == 10))
        assert {call.result() for call in calls} == {200}

    assert len(issuer.paths) == 2


def test_keys_are_fetched_again_in_the_background(issuer, gate, maker, signed):
    with gate(jwks_uri=f"{issuer.url}/keys", cache_seconds=0) as made:
        assert made.status(signed(0)) == 200
        made.advance(599)
        assert made.status(signed(0)) == 200
        assert len(issuer.paths) == 1
        made.advance(1)
        issuer.keys = [maker.jwk(maker.key(number=1), kid="two")]
        with issuer.held():
            assert made.status(signed(0)) == 200  # with the old key, and without waiting
        made.idle()
        assert len(issuer.paths) == 2
        assert [made.status(signed(0)), made.status(signed(1))] == [401, 200]


@pytest.mark.parametrize(
    "say",
    [
        (500, {}, ""),
        (302, {"location": "/"}, ""),
        (200, {}, "<html>"),
        (200, {}, "[]"),
        (200, {}, "[" * 100_000),
        (200, {}, "{}"),
        (200, {}, '{"keys": {}}'),
        (200, {}, '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'),
        (200, {}, '{"keys": [{"kty": "RSA", "n": "' + "x" * 300_000 + '", "e": "AQAB"}]}'),
    ],
)
def test_old_keys_are_used_while_the_issuer_is_down(issuer, gate, maker, signed, say):
    with gate() as made:
        issuer.say = say
        assert made.status(signed(0)) == 503
        assert made.status(signed(0)) == 503
        assert len(issuer.paths) == 1  # it is left alone for a second
        issuer.say = None
        made.advance(1)
        assert made.status(signed(0)) == 200
        issuer.say = say
        made.advance(600)
        assert [made.status(signed(0)), made.status(signed(1))] == [200, 401]
        made.idle()
        assert [made.status(signed(0)), made.status(signed(1))] == [200, 401]
        assert len(issuer.paths) == 3
        made.advance(86_400 - 600)
        assert made.status(signed(0)) == 503
        assert any("no keys" in record.getMessage() for record in made.log)


def test_an_issuer_that_is_not_there_is_no_wrong_token(gate, signed):
    with gate(jwks_uri="http://127.0.0.1:1/keys") as made:
        assert made.status(signed(0)) == 503
        assert made.status("a.b.c") == 401
        assert made.gateway.state == "running"


def test_one_bad_key_does_not_spoil_the_others(issuer, gate, maker, signed):
    bad = [
        5,
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 5, "e": "AQAB"},
        {"kty": "RSA", "n": "%%%", "e": "AQAB"},
        {"kty": "RSA", "n": "x" * 400, "e": ""},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "new"},
        {"kty": ["RSA"]},
        {**issuer.keys[0], "key_ops": 5},
        {**issuer.keys[0], "kid": 5},
    ]
    issuer.keys = [*bad, *issuer.keys]
    with gate() as made:
        assert made.status(signed(0)) == 200
