from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import BadRequest, ConfigError, Exchange, Headers, Outbound, Request, Target, Unauthorized
from hookgate.testing import build, running, upstream
from hookgate_auth_api_key import ApiKey, ApiKeyCredential

KEY = "k3y-of-joe/+=&"
CODED = "k3y-of-joe%2F%2B%3D%26"


def call(query="", **headers):
    fields = Headers([(name.replace("_", "-"), value) for name, value in headers.items()])
    return Exchange(Request(query=query, headers=fields))


def hashed(key):
    return sha256(key.encode()).hexdigest()


@pytest.mark.parametrize(
    "caller",
    [KEY, {"key": KEY}, {"sha256": hashed(KEY)}, {"sha256": hashed(KEY).upper()}],
    ids=["key", "mapping", "hash", "hash-in-capitals"],
)
def test_a_caller_is_known_by_the_key_or_by_its_hash(caller):
    method = build(ApiKey, keys={"ann": "another", "joe": caller})
    identity = method.identify(call(X_API_KEY=KEY))

    assert (identity.subject, identity.method, identity.roles, identity.application) == ("joe", "api-key", (), None)


def test_roles_and_application_come_with_the_caller():
    method = build(ApiKey, keys={"joe": {"key": KEY, "roles": ["admin", "dev"], "application": "shop"}})
    identity = method.identify(call(X_API_KEY=KEY))

    assert (identity.roles, identity.application) == (("admin", "dev"), "shop")


@pytest.mark.parametrize(
    ("location", "request_parts"),
    [
        ("header", {"x_api_key": KEY}),
        ("query", {"query": f"a=1&api_key={CODED}"}),
        ("query", {"query": f"api%5Fkey={CODED}"}),
        ("query", {"query": "api_key=k3y-of-joe/+%3d%26"}),
        ("cookie", {"cookie": f"a=1; api_key={KEY}; b=2"}),
        ("cookie", {"cookie": f"api_key={KEY}"}),
    ],
)
def test_a_key_is_found_where_it_is_said_to_be_and_nowhere_else(location, request_parts):
    for place in ("header", "query", "cookie"):
        identity = build(ApiKey, keys={"joe": KEY}, location=place).identify(call(**request_parts))
        assert (identity is not None) == (place == location)


@pytest.mark.parametrize(
    ("location", "request_parts"),
    [
        ("header", {"X_KEY": KEY}),
        ("query", {"query": f"X-Key={CODED}"}),
        ("cookie", {"cookie": f"X-Key={KEY}"}),
    ],
)
def test_a_key_may_have_another_name(location, request_parts):
    method = build(ApiKey, keys={"joe": KEY}, location=location, name="X-Key")

    assert method.identify(call(**request_parts)).subject == "joe"


@pytest.mark.parametrize(
    ("location", "request_parts"),
    [
        ("header", {}),
        ("query", {"query": "key=1&API_KEY=2"}),
        ("query", {"query": ""}),
        ("cookie", {"cookie": "API_KEY=1; my_api_key=2"}),
        ("cookie", {}),
    ],
)
def test_a_request_without_a_key_is_none_of_its_business(location, request_parts):
    assert build(ApiKey, keys={"joe": KEY}, location=location).identify(call(**request_parts)) is None


@pytest.mark.parametrize("key", ["", "k", KEY[:-1], KEY + "x", KEY.upper(), hashed(KEY), "joe", "\xe9", "\ud800"])
def test_a_key_that_nobody_has_is_refused_and_stays_in_the_request(key):
    exchange = call(query="x=1")
    exchange.request.headers.raw.append((b"X-Api-Key", key.encode("latin-1", "replace")))

    with pytest.raises(Unauthorized, match=r"^The API key is not known\.$"):
        build(ApiKey, keys={"joe": KEY}).identify(exchange)
    assert "x-api-key" in exchange.request.headers


@pytest.mark.parametrize("query", ["api_key", "api_key=", "api_key=%ff", "api_key=%", "api_key=\ud800"])
def test_a_malformed_parameter_is_refused(query):
    with pytest.raises(Unauthorized):
        build(ApiKey, keys={"joe": KEY}, location="query").identify(call(query))


@pytest.mark.parametrize("other", ["wrong", "", KEY])
def test_of_several_keys_none_counts(other):
    headers = Headers([("x-api-key", KEY), ("X-Api-Key", other), ("cookie", f"api_key={KEY}; api_key={other}")])
    for query in (f"api_key={CODED}&api_key={other}", f"api%5fkey={other}&x=1&api_key={CODED}"):
        for location in ("header", "query", "cookie"):
            with pytest.raises(BadRequest, match="more than one API key"):
                build(ApiKey, keys={"joe": KEY}, location=location).identify(
                    Exchange(Request(query=query, headers=headers.copy()))
                )


def test_an_accepted_key_is_taken_out_of_the_headers():
    exchange = Exchange(Request(headers=Headers([("X-Api-Key", KEY), ("accept", "*/*")])))
    build(ApiKey, keys={"joe": KEY}).identify(exchange)

    assert list(exchange.request.headers.items()) == [("accept", "*/*")]


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        (f"api_key={CODED}", ""),
        (f"a=1&api_key={CODED}&b=2", "a=1&b=2"),
        (f"api%5fkey={CODED}", ""),
        (f"a=%2f+%20&&b&c=&=d&api_key={CODED}&%zz=%E9", "a=%2f+%20&&b&c=&=d&%zz=%E9"),
        (f"api_key={CODED}&my_api_key=1", "my_api_key=1"),
    ],
)
def test_an_accepted_key_is_taken_out_of_the_query_and_the_rest_stays_as_it_was_encoded(query, rest):
    exchange = call(query)
    build(ApiKey, keys={"joe": KEY}, location="query").identify(exchange)

    assert exchange.request.query == rest


@settings(deadline=None)
@given(
    before=st.lists(st.text("ab=%+20/?;:", max_size=6), max_size=4),
    after=st.lists(st.text("ab=%+20/?;:", max_size=6), max_size=4),
)
def test_whatever_else_is_in_the_query_is_left_alone(before, after):
    exchange = call("&".join([*before, f"api_key={CODED}", *after]))
    build(ApiKey, keys={"joe": KEY}, location="query").identify(exchange)

    assert exchange.request.query == "&".join([*before, *after])


@pytest.mark.parametrize(
    ("cookies", "rest"),
    [
        ([f"api_key={KEY}"], []),
        ([f"api_key={KEY}; b=2"], ["b=2"]),
        ([f'a="x y"; api_key={KEY};b=2'], ['a="x y";b=2']),
        ([f"a=1; api_key={KEY}; b=2"], ["a=1; b=2"]),
        (["a=1", f"api_key={KEY}", "b=2"], ["a=1", "b=2"]),
    ],
)
def test_an_accepted_key_is_taken_out_of_the_cookies(cookies, rest):
    exchange = Exchange(Request(headers=Headers([("Cookie", line) for line in cookies])))
    build(ApiKey, keys={"joe": KEY}, location="cookie").identify(exchange)

    assert exchange.request.headers.getall("cookie") == rest


@pytest.mark.parametrize(
    ("location", "request_parts"),
    [
        ("header", {"x_api_key": KEY}),
        ("query", {"query": f"api_key={CODED}"}),
        ("cookie", {"cookie": f"api_key={KEY}"}),
    ],
)
def test_a_key_may_be_left_in_the_request(location, request_parts):
    exchange, untouched = call(**request_parts), call(**request_parts)
    build(ApiKey, keys={"joe": KEY}, location=location, hide=False).identify(exchange)

    assert exchange.request.headers == untouched.request.headers
    assert exchange.request.query == untouched.request.query


@pytest.mark.parametrize(
    ("realm", "challenge"),
    [("hookgate", 'ApiKey realm="hookgate"'), ('the "\\" realm', 'ApiKey realm="the \\"\\\\\\" realm"')],
)
def test_the_challenge_names_the_realm(realm, challenge):
    assert build(ApiKey, keys={"joe": KEY}, realm=realm).challenge(call()) == challenge


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "keys: is required"),
        ({"keys": {}}, "keys"),
        ({"keys": {"": "k"}}, "keys"),
        ({"keys": {"joe": ""}}, "keys.joe.*empty"),
        ({"keys": {"joe": "two words"}}, "keys.joe.*visible ASCII"),
        ({"keys": {"joe": "é"}}, "keys.joe.*visible ASCII"),
        ({"keys": {"joe": "********"}}, "asterisks"),
        ({"keys": {"joe": {}}}, "keys.joe: .*either key or sha256"),
        ({"keys": {"joe": {"key": "k", "sha256": "0" * 64}}}, "either key or sha256"),
        ({"keys": {"joe": {"sha256": "abc"}}}, "keys.joe.sha256"),
        ({"keys": {"joe": {"key": "k", "role": "x"}}}, "'role'; did you mean 'roles'"),
        ({"keys": {"joe": 7}}, "keys.joe"),
        ({"keys": {"joe": KEY, "ann": {"sha256": hashed(KEY)}}}, "'joe' and 'ann' have the same key"),
        ({"keys": {"joe": "k"}, "location": "body"}, "location"),
        ({"keys": {"joe": "k"}, "name": ""}, "name is empty"),
        ({"keys": {"joe": "k"}, "name": "a b"}, "not a header name"),
        ({"keys": {"joe": "k"}, "name": "a;b", "location": "cookie"}, "not a header name"),
        ({"keys": {"joe": "k"}, "realm": "a\r\nb"}, "realm"),
    ],
)
def test_wrong_options_for_callers_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(ApiKey, **options)


def test_a_key_is_in_no_message_and_in_no_representation():
    with pytest.raises(ConfigError) as refused:
        build(ApiKey, keys={"joe": "s3same", "ann": "s3same", "bob": {"key": "s3same\n"}})

    assert "s3same" not in str(refused.value)
    for plugin in (build(ApiKey, keys={"joe": "s3same"}), build(ApiKeyCredential, key="s3same")):
        assert "s3same" not in repr(plugin.options) + repr(plugin) + plugin.options.model_dump_json()


def signed(query="", headers=(), **options):
    outbound = Outbound("GET", Target("http", "backend", 80), "/", query, headers=Headers(headers))
    build(ApiKeyCredential, **options).sign(call(), outbound)
    return outbound


@pytest.mark.parametrize(("name", "wanted"), [(None, "x-api-key"), ("X-Key", "x-key")])
def test_a_backend_gets_the_key_in_a_header_in_the_place_of_the_callers(name, wanted):
    outbound = signed(key=KEY, name=name, headers=[(wanted, "of the caller"), (wanted, "another"), ("a", "b")])

    assert outbound.headers.getall(wanted) == [KEY]
    assert outbound.headers.getall("a") == ["b"]
    assert outbound.query == ""


@pytest.mark.parametrize(
    ("query", "name", "sent"),
    [
        ("", None, f"api_key={CODED}"),
        ("a=%2f+b&c", None, f"a=%2f+b&c&api_key={CODED}"),
        ("api_key=of-the-caller&a=1&api%5Fkey=x", None, f"a=1&api_key={CODED}"),
        ("a=1", "my key&", f"a=1&my%20key%26={CODED}"),
    ],
)
def test_a_backend_gets_the_key_behind_the_query_percent_encoded(query, name, sent):
    outbound = signed(query, key=KEY, location="query", name=name)

    assert outbound.query == sent
    assert len(outbound.headers) == 0


def test_in_the_query_a_key_may_have_any_character():
    assert signed(key="é €", location="query").query == "api_key=%C3%A9%20%E2%82%AC"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "key: is required"),
        ({"key": ""}, "key: .*empty"),
        ({"key": "a\r\nb"}, "control character"),
        ({"key": "€"}, "Latin-1"),
        ({"key": "k", "name": "a b"}, "not a header name"),
        ({"key": "k", "location": "cookie"}, "location"),
    ],
)
def test_wrong_options_towards_a_backend_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(ApiKeyCredential, **options)


def test_a_gateway_knows_callers_by_their_keys_and_shows_the_backend_its_own():
    with upstream() as backend:
        method = {"api-key": {"keys": {"joe": KEY}, "location": "query"}}
        document = {
            "routes": [{"name": "all", "flow": [{"auth": {"methods": [method]}}], "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": backend.url, "auth": [{"api-key": {"key": "of the gateway"}}]}},
        }
        with running(document) as gate:
            refused = [gate.request("GET", "/?a=1"), gate.request("GET", "/?api_key=wrong")]
            passed = gate.request("GET", f"/?a=%2F&api_key={CODED}", headers={"x-api-key": "of the caller"})
            subjects = [exchange.identity and exchange.identity.subject for exchange in gate.wait_for_exchanges(3)]

    assert [answer.status_code for answer in (*refused, passed)] == [401, 401, 200]
    assert [answer.headers["www-authenticate"] for answer in refused] == ['ApiKey realm="hookgate"'] * 2
    assert [answer.json()["reason"] for answer in refused] == ["missing-credentials", "wrong-credentials"]
    assert subjects == [None, None, "joe"]
    (request,) = backend.requests
    assert request.query == "a=%2F"
    assert request.all("x-api-key") == ["of the gateway"]
