from concurrent.futures import ThreadPoolExecutor

import pytest

from hookgate import ConfigError, Exchange, Headers, Request, Unauthorized
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_auth_oauth2 import OAuth2

CLIENT = {"client_id": "gateway", "client_secret": "s3cret of: the gateway"}
NOW = 1_700_000_000
"""What a movable clock says at the start, in Unix time."""


def document(backend, server, *others, **options):
    method = {"oauth2": {"introspection_endpoint": f"{server.socket.url}/introspect", **CLIENT, **options}}
    return {
        "routes": [
            {
                "name": "all",
                "match": {"path": "/{rest...}"},
                "flow": [{"auth": {"methods": [method, *others]}}],
                "to": {"connection": "backend"},
            }
        ],
        "connections": {"backend": {"targets": [{"url": backend.url}]}},
    }


@pytest.fixture
def call(server):
    """Call a gateway once, and return its answer and the call."""

    def make(*, token="good", claims=None, headers=None, **options):
        server.known.active["good"] = {"sub": "anna", "client_id": "app"} if claims is None else claims
        headers = {"authorization": f"Bearer {token}"} if headers is None else headers
        with upstream() as backend:
            with running(document(backend, server, **options), clock=MovableClock()) as gate:
                answer = gate.request("GET", "/", headers=headers)
                (exchange,) = gate.wait_for_exchanges(1)
        exchange.variables["backend"] = backend.requests
        return answer, exchange

    return make


def test_an_active_token_tells_who_calls(server, call):
    claims = {"sub": "anna", "client_id": "app", "scope": "orders items", "roles": ["clerk"], "exp": NOW + 60}
    answer, exchange = call(claims=claims)
    identity = exchange.identity

    assert answer.status_code == 200
    assert (identity.subject, identity.method, identity.roles, identity.application) == (
        "anna",
        "oauth2",
        ("clerk",),
        "app",
    )
    assert identity.claims["scope"] == "orders items"
    assert server.forms() == [{"token": "good", "token_type_hint": "access_token"}]
    assert server.requests[0].header("authorization").startswith("Basic ")
    assert exchange.variables["backend"][0].header("authorization") == "Bearer good"


@pytest.mark.parametrize(
    ("claims", "options", "subject", "roles", "application"),
    [
        ({"username": "anna", "client_id": "app"}, {}, "anna", (), "app"),
        ({"client_id": "app"}, {}, "app", (), "app"),
        ({"sub": "1", "mail": "a@b"}, {"subject_claim": "mail"}, "a@b", (), None),
        ({"sub": "1", "scope": "a b"}, {"roles_claim": "scope"}, "1", ("a", "b"), None),
        ({"sub": "1", "azp": "web"}, {"application_claim": "azp"}, "1", (), "web"),
    ],
)
def test_claims_may_have_other_names(call, claims, options, subject, roles, application):
    _, exchange = call(claims=claims, **options)
    identity = exchange.identity

    assert (identity.subject, identity.roles, identity.application) == (subject, roles, application)


@pytest.mark.parametrize(
    ("claims", "options"),
    [
        ({"sub": "a", "exp": NOW - 6}, {}),
        ({"sub": "a", "exp": "tomorrow"}, {}),
        ({"sub": "a", "exp": True}, {}),
        ({"sub": "a", "nbf": NOW + 6}, {}),
        ({"sub": "a", "token_type": "refresh_token"}, {}),
        ({"sub": "a", "token_type": "DPoP"}, {}),
        ({"sub": "a", "cnf": {"x5t#S256": "x"}}, {}),
        ({"sub": "a"}, {"issuer": "https://issuer.example"}),
        ({"sub": "a", "iss": "https://other.example"}, {"issuer": "https://issuer.example"}),
        ({"sub": "a"}, {"audience": ["crm"]}),
        ({"sub": "a", "aud": "crm2"}, {"audience": ["crm"]}),
        ({"sub": "a", "aud": [5, "erp"]}, {"audience": ["crm"]}),
        ({"scope": "a"}, {}),
        ({"sub": 5}, {}),
        ({"sub": "a", "username": "a"}, {"subject_claim": "mail"}),
    ],
)
def test_a_token_that_is_not_good_here_is_refused(call, claims, options):
    answer, exchange = call(claims=claims, **options)

    assert answer.status_code == 401
    assert 'Bearer realm="hookgate", error="invalid_token"' in answer.headers["www-authenticate"]
    assert exchange.variables["backend"] == []


@pytest.mark.parametrize(
    ("claims", "options"),
    [
        ({"sub": "a", "exp": NOW - 4, "nbf": NOW + 4, "token_type": "bearer"}, {}),
        ({"sub": "a", "aud": "crm", "iss": "me"}, {"audience": ["crm"], "issuer": "me"}),
        ({"sub": "a", "aud": ["erp", "crm"]}, {"audience": ["bi", "crm"]}),
        ({"sub": "a", "scope": "c b a"}, {"scopes": "a b"}),
    ],
)
def test_a_token_that_is_good_here_is_taken(call, claims, options):
    assert call(claims=claims, **options)[0].status_code == 200


@pytest.mark.parametrize("token", ["bad", "a b", "", "x" * 5000, "a,b", "=", "é"])
def test_an_unknown_and_a_malformed_token_are_refused(server, call, token):
    answer, _ = call(headers=[(b"authorization", f"Bearer {token}".strip().encode("latin-1"))])

    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert len(server.requests) == (token == "bad")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic YTpi"}, {"authorization": "Bearerx good"}])
def test_without_a_token_the_challenge_tells_of_no_error(server, call, headers):
    answer, _ = call(headers=headers)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="hookgate"')
    assert server.requests == []


def test_a_missing_scope_is_forbidden(call):
    answer, exchange = call(claims={"sub": "a", "scope": "orders"}, scopes="orders items")

    assert (answer.status_code, answer.json()["reason"]) == (403, "insufficient-scope")
    challenge = 'Bearer realm="hookgate", error="insufficient_scope", scope="orders items"'
    assert answer.headers["www-authenticate"] == challenge
    assert exchange.variables["backend"] == []


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"header": "X-Token"}, {"x-token": "bearer good"}),
        ({"header": "X-Token", "prefix": ""}, {"x-token": "good"}),
        ({"prefix": "Token"}, {"authorization": "TOKEN   good"}),
    ],
)
def test_the_token_may_come_in_another_header_and_be_hidden(call, options, headers):
    answer, exchange = call(headers=headers, hide=True, **options)

    assert answer.status_code == 200
    assert exchange.variables["backend"][0].header(next(iter(headers))) is None


def test_an_answer_is_believed_for_a_minute_but_not_beyond_the_end_of_the_token(server):
    clock = MovableClock()
    server.known.active = {"long": {"sub": "a", "exp": NOW + 3600}, "short": {"sub": "a", "exp": NOW + 20}}
    with upstream() as backend:
        with running(document(backend, server), clock=clock) as gate:

            def status(token):
                return gate.request("GET", "/", headers={"authorization": f"Bearer {token}"}).status_code

            for _ in range(3):
                assert [status("long"), status("short"), status("none")] == [200, 200, 401]
            assert len(server.requests) == 3
            server.revoke()
            gate.run(clock.advance(19))
            assert [status("long"), status("short"), status("none")] == [200, 200, 401]
            gate.run(clock.advance(1))
            assert [status("long"), status("short"), status("none")] == [200, 401, 401]
            gate.run(clock.advance(40))
            assert [status("long"), status("none")] == [401, 401]
            assert len(server.requests) == 6


def test_the_answers_kept_are_bounded(server):
    with upstream() as backend:
        with running(document(backend, server, cache_size=2)) as gate:
            for token in ("a", "b", "a", "c", "a", "b"):
                gate.request("GET", "/", headers={"authorization": f"Bearer {token}"})

    assert [form["token"] for form in server.forms()] == ["a", "b", "c", "b"]


def test_calls_with_the_same_token_ask_once_and_others_only_up_to_a_bound(server):
    server.known.active["good"] = {"sub": "a"}
    with upstream() as backend:
        with running(document(backend, server, max_concurrent=1)) as gate, ThreadPoolExecutor(9) as callers:

            def call(token):
                return gate.request("GET", "/", headers={"authorization": f"Bearer {token}"})

            with server.held():
                calls = [callers.submit(call, "good")]
                server.socket.wait_for(lambda socket: len(socket.requests) == 1)
                calls += [callers.submit(call, "good") for _ in range(8)]
                assert call("another").status_code == 503
            assert {each.result().status_code for each in calls} == {200}

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "say",
    [(500, {}, ""), (401, {}, '{"error": "invalid_client"}'), (200, {}, "<html>"), (200, {}, "[]"), (302, {}, "")],
)
def test_while_the_server_does_not_tell_nobody_is_let_in(server, say):
    server.known.active["good"] = {"sub": "a"}
    with upstream() as backend:
        with running(document(backend, server, {"basic": {"users": {"a": "b"}}})) as gate:
            server.say = say
            answer = gate.request("GET", "/", headers={"authorization": "Bearer good"})
            assert (answer.status_code, answer.json()["reason"]) == (503, "auth-error")
            server.say = None  # what was not known is not remembered
            assert gate.request("GET", "/", headers={"authorization": "Bearer good"}).status_code == 200

    logged = " ".join(record.getMessage() for record in gate.log)
    assert "could not be checked" in logged
    assert "good" not in logged
    assert CLIENT["client_secret"] not in logged


def test_active_is_a_boolean(server):
    server.say = 200, {}, '{"active": "true", "sub": "a"}'
    with upstream() as backend:
        with running(document(backend, server)) as gate:
            assert gate.request("GET", "/", headers={"authorization": "Bearer good"}).status_code == 401


def test_a_server_that_is_not_there_is_no_wrong_token(server):
    with upstream() as backend:
        settings = document(backend, server, introspection_endpoint="http://127.0.0.1:1/introspect")
        with running(settings) as gate:
            assert gate.request("GET", "/", headers={"authorization": "Bearer good"}).status_code == 503


async def test_a_malformed_token_is_refused_without_asking():
    method = build(OAuth2, introspection_endpoint="https://server.example/introspect")

    with pytest.raises(Unauthorized) as refused:
        await method.identify(Exchange(Request(headers=Headers({"authorization": "Bearer a b"}))))
    assert refused.value.reason == "malformed-credentials"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"introspection_endpoint": "http://server.example/"}, "introspection_endpoint: .*in the clear"),
        ({"client_secret": "a"}, "without client_id"),
        ({"realm": "a\nb"}, "realm"),
        ({"prefix": "a b"}, "prefix"),
        ({"header": "a b"}, "header"),
        ({"scopes": ["a b"]}, "scope"),
        ({"cache_size": 0}, "cache_size"),
        ({"audience": [""]}, "empty"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(OAuth2, **{"introspection_endpoint": "https://server.example/introspect", **options})
