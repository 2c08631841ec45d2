"""Signing one attempt, mostly without a gateway; and the options."""

import asyncio

import pytest

from hookgate import ConfigError, Exchange, Headers, Outbound, Request, Response, ServiceUnavailable, Target
from hookgate.testing import TestHost, build, running, upstream
from hookgate_auth_oauth2 import OAuth2Credential

CLIENT = {"client_id": "gateway", "client_secret": "s3cret of: the gateway"}
ANNA = {"username": "anna", "password": "Änna's passwörd"}


class TokenServer:
    """Gives tokens in order, when the test lets it."""

    def __init__(self, *tokens):
        self.tokens = list(tokens)
        self.gate, self.reached = asyncio.Event(), asyncio.Event()
        self.house = TestHost(calls=self.answer)

    async def answer(self, called):
        self.reached.set()
        await self.gate.wait()
        return Response.json({"access_token": self.tokens.pop(0), "token_type": "Bearer", "expires_in": 100})


def attempt(*received, prepared=()):
    exchange = Exchange(Request(headers=Headers([("authorization", line) for line in received])))
    outbound = Outbound("GET", Target("http", "backend", 80), "/", headers=exchange.request.headers.copy())
    for value in prepared:
        outbound.headers.add("authorization", value)
    return exchange, outbound


async def test_signing_waits_only_for_the_first_token_and_keeps_other_lines():
    server = TokenServer("one")
    credential = build(OAuth2Credential, token_endpoint="https://server/token", **CLIENT)
    credential.startup(server.house)
    assert server.house.called == []

    first, second = attempt("Bearer of-the-caller"), attempt("x", prepared=["Basic of-a-header-action"])
    waits = [credential.sign(*first), credential.sign(*second)]
    server.gate.set()
    for wait in waits:
        await wait
    third = attempt()

    assert credential.sign(*third) is None
    assert len(server.house.called) == 1
    assert first[1].headers.getall("authorization") == ["Bearer one"]
    assert second[1].headers.getall("authorization") == ["Basic of-a-header-action", "Bearer one"]
    assert third[1].headers.getall("authorization") == ["Bearer one"]
    await credential.shutdown()


async def test_a_late_refusal_of_an_old_token_does_not_drop_the_new_one():
    server = TokenServer("one", "two", "three")
    server.gate.set()
    credential = build(OAuth2Credential, token_endpoint="https://server/token", **CLIENT)
    credential.startup(server.house)
    early, late, renewed = attempt(), attempt(), attempt()
    await credential.sign(*early)
    credential.sign(*late)

    assert credential.rejected(*early, Response(401)) is True
    await credential.sign(*renewed)
    assert credential.rejected(*late, Response(401)) is True
    again = attempt()
    assert credential.sign(*again) is None
    assert again[1].headers.getall("authorization") == ["Bearer two"]
    assert credential.rejected(*again, Response(401)) is False
    await credential.shutdown()


def test_a_target_is_not_blamed_for_a_token_server_that_is_down():
    options = {"token_endpoint": "http://127.0.0.1:1/token", **CLIENT}
    with upstream() as backend:
        document = {
            "routes": [{"name": "all", "match": {"path": "/"}, "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": [{"url": backend.url}], "auth": [{"oauth2": options}]}},
        }
        with running(document) as gate:
            gate.request("GET", "/")
            (exchange,) = gate.wait_for_exchanges(1)

    assert exchange.attempts[0].outcome.kind != "broken"


@pytest.mark.parametrize("begun", [True, False])
async def test_a_shutdown_ends_the_request_and_whoever_waits(begun):
    server = TokenServer()
    credential = build(OAuth2Credential, token_endpoint="https://server/token", **CLIENT)
    credential.startup(server.house)
    wait = credential.sign(*attempt())
    if begun:
        await server.reached.wait()
    await credential.shutdown()

    with pytest.raises(ServiceUnavailable) as refused:
        await wait
    assert refused.value.reason == "auth-error"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "client_id: the grant client_credentials needs it"),
        ({"client_id": "a"}, "client_secret: the grant client_credentials needs it"),
        ({"client_secret": "a", **ANNA}, "without client_id"),
        ({"client_id": "a", "client_secret": ""}, "empty"),
        ({**CLIENT, "client_authentication": "none"}, "none sends no secret"),
        ({"username": "a"}, "go together"),
        ({**CLIENT, "password": "a"}, "go together"),
        ({**CLIENT, "grant": "password"}, "username: the grant password needs it"),
        ({**CLIENT, "grant": "refresh_token"}, "refresh_token: the grant refresh_token needs it"),
        ({**CLIENT, "grant": "implicit"}, "grant"),
        ({**CLIENT, "scope": 'a"b'}, "scope"),
        ({**CLIENT, "resource": ["/relative"]}, "absolute URI"),
        ({**CLIENT, "parameters": {"scope": "x"}}, "option of its own"),
        ({**CLIENT, "prefix": "two words"}, "prefix"),
        ({**CLIENT, "header": "X:Y"}, "header"),
        ({**CLIENT, "token_endpoint": "http://server.example/token"}, "in the clear"),
        ({**CLIENT, "token_endpoint": "ftp://server.example/token"}, "absolute https URL"),
        ({**CLIENT, "token_endpoint": "/token"}, "absolute https URL"),
        ({**CLIENT, "token_endpoint": "https://a:pw-in-url@server.example/token"}, "user or password"),
        ({**CLIENT, "token_endpoint": "https://server.example/token#x"}, "fragment"),
        ({**CLIENT, "token_endpoint": "https://server.example:99999/token"}, "[Pp]ort"),
        ({**CLIENT, "timeout": 0}, "timeout"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message) as refused:
        build(OAuth2Credential, **{"token_endpoint": "https://server.example/token", **options})

    assert CLIENT["client_secret"] not in str(refused.value)
    assert "pw-in-url" not in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"token_endpoint": "http://localhost:8080/token"},
        {"token_endpoint": "http://[::1]/token"},
        {"token_endpoint": "http://127.1.2.3/token"},
        {"token_endpoint": "http://server.example/token", "allow_http": True},
    ],
)
def test_http_is_for_this_machine_or_on_request(options):
    assert build(OAuth2Credential, **CLIENT, **options)


def test_no_secret_is_in_a_representation():
    credential = build(
        OAuth2Credential,
        token_endpoint="https://server.example/token",
        **CLIENT,
        **ANNA,
        refresh_token="s3cond",
        parameters={"pin": "s3third"},
    )

    text = repr(credential) + repr(credential.options) + credential.options.model_dump_json()
    assert not any(word in text for word in (CLIENT["client_secret"], ANNA["password"], "s3cond", "s3third"))
