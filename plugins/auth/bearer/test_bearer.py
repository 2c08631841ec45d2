from hashlib import sha256

import pytest

from hookgate import ConfigError, Exchange, Headers, Outbound, Request, Target, Unauthorized
from hookgate.testing import build, running, upstream
from hookgate_auth_bearer import Bearer, BearerCredential
from hookgate_authoring.conformance import conformance

TOKEN = "mF_9.B5f-4.1JqM"  # of RFC 6750, section 2.1


def call(*lines, name="authorization"):
    return Exchange(Request(headers=Headers([(name, line) for line in lines])))


def signed(*credentials, received=(), prepared=()):
    """Sign one attempt as a connection does, and return its Authorization lines."""
    exchange = call(*received)
    outbound = Outbound("GET", Target("http", "backend", 80), "/", headers=exchange.request.headers.copy())
    for value in prepared:
        outbound.headers.add("authorization", value)
    for credential in credentials:
        credential.sign(exchange, outbound)
    return outbound.headers.getall("authorization")


# --- callers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN}"])
@pytest.mark.parametrize(
    "caller",
    [TOKEN, {"token": TOKEN}, {"sha256": sha256(TOKEN.encode()).hexdigest().upper()}],
    ids=["alone", "token", "hash"],
)
def test_a_caller_with_a_token_is_known(line, caller):
    identity = build(Bearer, tokens={"other": "x", "ann": caller}).identify(call(line))

    assert (identity.subject, identity.method, identity.roles, identity.application) == ("ann", "bearer", (), None)


def test_roles_and_application_come_with_the_identity():
    method = build(Bearer, tokens={"ann": {"token": TOKEN, "roles": ["clerk", "reader"], "application": "shop"}})
    identity = method.identify(call(f"Bearer {TOKEN}"))

    assert (identity.roles, identity.application) == (("clerk", "reader"), "shop")


@pytest.mark.parametrize("lines", [[], [f"Basic {TOKEN}"], [TOKEN], [f"BearerX {TOKEN}"], [""]])
def test_other_kinds_of_credentials_are_none_of_its_business(lines):
    method = build(Bearer, tokens={"ann": TOKEN})

    assert method.identify(call(*lines)) is None
    assert method.challenge(call(*lines)) == 'Bearer realm="hookgate"'


@pytest.mark.parametrize(
    "token", [TOKEN[:-1], f"{TOKEN}x", TOKEN.lower(), sha256(TOKEN.encode()).hexdigest(), "other", f"{TOKEN}="]
)
def test_a_token_that_nobody_has_is_refused(token):
    method, exchange = build(Bearer, tokens={"ann": TOKEN}), call(f"Bearer {token}")

    with pytest.raises(Unauthorized, match="not known") as refused:
        method.identify(exchange)
    assert token not in str(refused.value)
    assert method.challenge(exchange) == 'Bearer realm="hookgate", error="invalid_token"'
    assert exchange.request.headers.getall("authorization") == [f"Bearer {token}"]  # another method may know it


@pytest.mark.parametrize("token", ["", "a b", "=", "ä", f'{TOKEN}"', f"{TOKEN},", f"{TOKEN}=x"])
def test_a_malformed_token_is_refused(token):
    with pytest.raises(Unauthorized, match="malformed"):
        build(Bearer, tokens={"ann": TOKEN}).identify(call(f"Bearer {token}"))


def test_the_first_line_of_its_scheme_counts():
    method = build(Bearer, tokens={"ann": TOKEN})

    assert method.identify(call("Basic eDp5", f"Bearer {TOKEN}", "Bearer x")).subject == "ann"
    with pytest.raises(Unauthorized):
        method.identify(call("Bearer x", f"Bearer {TOKEN}"))


def test_an_accepted_token_is_taken_out_of_the_request_and_other_lines_stay():
    exchange = call("Basic eDp5", f"Bearer {TOKEN}", "Bearer x")
    build(Bearer, tokens={"ann": TOKEN}).identify(exchange)
    shown = call(f"Bearer {TOKEN}")
    build(Bearer, tokens={"ann": TOKEN}, hide=False).identify(shown)

    assert exchange.request.headers.getall("authorization") == ["Basic eDp5"]
    assert shown.request.headers.getall("authorization") == [f"Bearer {TOKEN}"]


def test_the_header_can_be_another_one():
    method = build(Bearer, tokens={"ann": TOKEN}, header="X-Token")

    assert method.identify(call(f"Bearer {TOKEN}", name="x-token")).subject == "ann"
    assert method.identify(call(f"Bearer {TOKEN}")) is None


def test_a_realm_is_quoted():
    assert build(Bearer, tokens={"a": "b"}, realm='a "\\"').challenge(call()) == 'Bearer realm="a \\"\\\\\\""'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "tokens"),
        ({"tokens": {}}, "tokens"),
        ({"tokens": {"ann": ""}}, "empty"),
        ({"tokens": {"": "x"}}, "tokens"),
        ({"tokens": {"ann": "two words"}}, "RFC 6750"),
        ({"tokens": {"ann": "********"}}, "asterisks"),
        ({"tokens": {"ann": {}}}, "either token or sha256"),
        ({"tokens": {"ann": {"token": "x", "sha256": "0" * 64}}}, "either token or sha256"),
        ({"tokens": {"ann": {"sha256": "abc"}}}, "sha256"),
        ({"tokens": {"ann": "x", "bob": {"sha256": sha256(b"x").hexdigest()}}}, "'ann' and 'bob' have the same token"),
        ({"tokens": {"ann": "x"}, "realm": "a\nb"}, "realm"),
        ({"tokens": {"ann": "x"}, "header": "X Token"}, "header"),
        ({"tokens": {"ann": "x"}, "query": True}, "query"),
    ],
)
def test_wrong_options_for_callers_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Bearer, **options)


# --- backends ------------------------------------------------------------------------------------------------------


def test_a_backend_gets_the_token():
    assert signed(build(BearerCredential, token="t0")) == ["Bearer t0"]
    assert signed(build(BearerCredential, token="t0", prefix="Token")) == ["Token t0"]


def test_what_the_caller_sent_does_not_reach_the_backend():
    assert signed(build(BearerCredential, token="t0"), received=["Bearer of-the-caller", "Basic eDp5"]) == ["Bearer t0"]


def test_several_credentials_make_several_lines_in_their_order():
    first, second = build(BearerCredential, token="t0"), build(BearerCredential, token="t1", prefix="Custom")
    lines = signed(first, second, received=["Bearer of-the-caller"], prepared=["Basic of-a-header-action"])

    assert lines == ["Basic of-a-header-action", "Bearer t0", "Custom t1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": ""}, "token: .*empty"),
        ({"token": "a\nb"}, "visible ASCII"),
        ({"token": "t0\n"}, "at an end"),
        ({"token": "é"}, "visible ASCII"),
        ({"token": "t0", "prefix": "two words"}, "prefix"),
        ({"token": "t0", "prefix": ""}, "api-key"),
        ({"token": "t0", "header": "X:Y"}, "header"),
    ],
)
def test_wrong_options_towards_a_backend_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(BearerCredential, **options)


def test_the_token_is_in_no_representation_and_no_message():
    for plugin in (build(BearerCredential, token="s3same"), build(Bearer, tokens={"a": "s3same"})):
        assert "s3same" not in repr(plugin.options) + repr(plugin) + plugin.options.model_dump_json()
    for options in ({"tokens": {"a": "s3same!"}}, {"tokens": {"a": "s3same", "b": "s3same"}}):
        with pytest.raises(ConfigError) as refused:
            build(Bearer, **options)
        assert "s3same" not in str(refused.value)


# --- through a gateway ----------------------------------------------------------------------------------------------


def document(backend, *, flow=(), **connection):
    return {
        "routes": [{"name": "all", "match": {"path": "/"}, "flow": list(flow), "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url, **connection}},
    }


@pytest.mark.row("HC-11")
def test_a_fixed_bearer_token_can_be_a_static_header():
    headers = [{"set": "Authorization", "from": {"default": {"value": "Bearer t0"}}}]
    with upstream() as backend, running(document(backend, headers=headers)) as gate:
        gate.request("GET", "/")
        gate.request("POST", "/", content=b"x", headers={"authorization": "Bearer of-the-caller"})

    assert [request.all("authorization") for request in backend.requests] == [["Bearer t0"], ["Bearer t0"]]


def test_every_call_carries_the_token_of_the_credential():
    with upstream() as backend, running(document(backend, auth=[{"bearer": {"token": "t0"}}])) as gate:
        gate.request("GET", "/")
        gate.request("POST", "/", content=b"x", headers={"authorization": "Bearer of-the-caller"})

    assert [request.all("authorization") for request in backend.requests] == [["Bearer t0"], ["Bearer t0"]]


@pytest.mark.row("AC-43")
def test_any_takes_either_credential_and_all_needs_both():
    methods = [{"basic": {"users": {"ann": "pw"}}}, {"bearer": {"tokens": {"bob": TOKEN}, "header": "X-Token"}}]
    basic, bearer = {"authorization": "Basic YW5uOnB3"}, {"x-token": f"Bearer {TOKEN}"}
    got = {}
    with upstream() as backend:
        for require in ("any", "all"):
            auth = {"auth": {"require": require, "methods": methods}}
            with running(document(backend, flow=[auth])) as gate:
                tries = ({}, basic, bearer, {**basic, **bearer}, {**basic, "x-token": "Bearer x"})
                got[require] = [gate.request("GET", "/", headers=each).status_code for each in tries]

    assert got == {"any": [401, 200, 200, 200, 200], "all": [401, 401, 401, 200, 401]}


def test_a_gateway_lets_in_who_has_a_token_and_tells_others_how():
    auth = {"auth": {"methods": [{"bearer": {"tokens": {"ann": TOKEN}, "realm": "orders"}}]}}
    with upstream() as backend, running(document(backend, flow=[auth])) as gate:
        good = gate.request("GET", "/", headers={"authorization": f"Bearer {TOKEN}"})
        none = gate.request("GET", "/")
        wrong = gate.request("GET", "/", headers={"authorization": "Bearer wrong"})
        first, *_ = gate.wait_for_exchanges(3)

    assert [answer.status_code for answer in (good, none, wrong)] == [200, 401, 401]
    assert none.headers["www-authenticate"] == 'Bearer realm="orders"'
    assert wrong.headers["www-authenticate"] == 'Bearer realm="orders", error="invalid_token"'
    assert first.identity.subject == "ann"
    (received,) = backend.requests
    assert received.all("authorization") == []


@pytest.mark.parametrize(
    ("plugin", "options"), [(Bearer, {"tokens": {"ann": TOKEN}}), (BearerCredential, {"token": TOKEN})]
)
def test_conformance(plugin, options):
    conformance(plugin, options=options)
