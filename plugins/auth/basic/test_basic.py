import pytest

from hookgate import BadRequest, ConfigError, Exchange, Headers, Outbound, Request, Target, Unauthorized
from hookgate.testing import build, running, upstream
from hookgate_auth_basic import Basic, BasicCredential, decode, encode

ALADDIN = "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def call(*lines):
    return Exchange(Request(headers=Headers([("authorization", line) for line in lines])))


def signed(*credentials, received=(), prepared=()):
    """Sign one attempt as a connection does, and return its Authorization lines."""
    exchange = call(*received)
    outbound = Outbound("GET", Target("http", "backend", 80), "/", headers=exchange.request.headers.copy())
    for value in prepared:
        outbound.headers.add("authorization", value)
    for credential in credentials:
        credential.sign(exchange, outbound)
    return outbound.headers.getall("authorization")


def test_the_examples_of_the_rfc_come_out():
    assert encode("Aladdin", "open sesame") == ALADDIN
    assert encode("test", "123\u00a3") == "dGVzdDoxMjPCow=="
    assert decode("dGVzdDoxMjPCow==") == ("test", "123\u00a3")


@pytest.mark.parametrize(
    ("user", "password"),
    [("Aladdin", "open sesame"), ("ü", "€:colon:"), ("a", ""), ("", "a"), ("a b", " ")],
)
def test_what_is_encoded_can_be_decoded(user, password):
    assert decode(encode(user, password)) == (user, password)


@pytest.mark.parametrize(
    "line",
    [f"Basic {ALADDIN}", f"basic {ALADDIN}", f"BASIC {ALADDIN}", f"Basic   {ALADDIN}"],
)
def test_a_user_with_the_right_password_is_known(line):
    method = build(Basic, users={"Aladdin": "open sesame"}, roles={"Aladdin": ["thief", "prince"]})
    identity = method.identify(call(line))

    assert (identity.subject, identity.method, identity.roles) == ("Aladdin", "basic", ("thief", "prince"))


def test_a_password_may_hold_colons_and_any_character():
    method = build(Basic, users={"zoë": "a:b:€"})

    assert method.identify(call(f"Basic {encode('zoë', 'a:b:€')}")).subject == "zoë"


@pytest.mark.parametrize("lines", [[], ["Bearer abc"], ["BasicX abc"], [ALADDIN], [""]])
def test_other_kinds_of_credentials_are_none_of_its_business(lines):
    assert build(Basic, users={"a": "b"}).identify(call(*lines)) is None


@pytest.mark.parametrize("other", ["Bearer abc", "Basic eDp5", f"Basic {ALADDIN}", ""])
def test_a_second_line_is_refused(other):
    method = build(Basic, users={"Aladdin": "open sesame"})

    for lines in ([other, f"Basic {ALADDIN}"], [f"Basic {ALADDIN}", other]):
        with pytest.raises(BadRequest, match="more than once"):
            method.identify(call(*lines))


@pytest.mark.parametrize(
    ("user", "password"),
    [("Aladdin", "open"), ("Aladdin", ""), ("aladdin", "open sesame"), ("Jafar", "open sesame"), ("", "")],
)
def test_a_wrong_user_and_a_wrong_password_are_refused_in_the_same_words(user, password):
    method = build(Basic, users={"Aladdin": "open sesame"})

    with pytest.raises(Unauthorized, match=r"^User name and password do not match\.$"):
        method.identify(call(f"Basic {encode(user, password)}"))


def test_an_unknown_user_is_compared_too(monkeypatch):
    import hookgate_auth_basic

    compared = []
    compare = hookgate_auth_basic.hmac.compare_digest
    monkeypatch.setattr(
        hookgate_auth_basic.hmac,
        "compare_digest",
        lambda one, other: compared.append((len(one), len(other))) or compare(one, other),
    )
    method = build(Basic, users={"Aladdin": "open sesame"})
    for user, password in [("Aladdin", "x"), ("Jafar", "a much longer password than any other")]:
        with pytest.raises(Unauthorized):
            method.identify(call(f"Basic {encode(user, password)}"))

    assert compared == [(32, 32), (32, 32)]


@pytest.mark.parametrize(
    "token",
    [
        "",
        "%%%%",
        "QWxhZGRpbjpvcGVuIHNlc2FtZQ",
        "QWxh ZGRpbjpvcGVuIHNlc2FtZQ==",
        "QWxhZGRpbg==",
        "gDo=",
        "\xe9\xe9\xe9\xe9",
    ],
    ids=["nothing", "no-base64", "no-padding", "a-space", "no-colon", "no-utf-8", "no-ascii"],
)
def test_malformed_credentials_are_refused(token):
    with pytest.raises(Unauthorized, match="malformed"):
        build(Basic, users={"Aladdin": "open sesame"}).identify(call(f"Basic {token}"))


@pytest.mark.parametrize(
    ("realm", "challenge"),
    [
        ("hookgate", 'Basic realm="hookgate", charset="UTF-8"'),
        ('the "\\" realm', 'Basic realm="the \\"\\\\\\" realm", charset="UTF-8"'),
    ],
)
def test_the_challenge_names_the_realm_and_utf_8(realm, challenge):
    assert build(Basic, users={"a": "b"}, realm=realm).challenge(call()) == challenge


def test_the_credentials_may_come_in_another_header():
    method = build(Basic, users={"Aladdin": "open sesame"}, header="X-Login")
    exchange = Exchange(Request(headers=Headers({"x-login": f"Basic {ALADDIN}"})))

    assert method.identify(exchange).subject == "Aladdin"
    assert method.identify(call(f"Basic {ALADDIN}")) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "users"),
        ({"users": {}}, "users"),
        ({"users": {"a:b": "c"}}, "colon"),
        ({"users": {"": "c"}}, "empty"),
        ({"users": {"a\n": "c"}}, "control character"),
        ({"users": {"a": ""}}, "password is empty"),
        ({"users": {"a": "********"}}, "asterisks"),
        ({"users": {"a": "b"}, "roles": {"c": ["admin"]}}, "'c' is none of the users"),
        ({"users": {"a": "b"}, "realm": "a\r\nb"}, "realm"),
        ({"users": {"a": "b"}, "header": "X Login"}, "header"),
    ],
)
def test_wrong_options_for_callers_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Basic, **options)


def test_what_is_said_about_wrong_options_shows_no_password():
    with pytest.raises(ConfigError) as refused:
        build(Basic, users={"a:b": "s3same"}, roles={"c": []})

    assert "s3same" not in str(refused.value)


def test_a_backend_gets_user_and_password():
    assert signed(build(BasicCredential, username="Aladdin", password="open sesame")) == [f"Basic {ALADDIN}"]


def test_the_password_may_hold_colons_and_any_character():
    line = signed(build(BasicCredential, username="zoë", password="a:b:€"))[0]

    assert decode(line.removeprefix("Basic ")) == ("zoë", "a:b:€")


def test_what_the_caller_sent_does_not_reach_the_backend():
    credential = build(BasicCredential, username="Aladdin", password="open sesame")

    assert signed(credential, received=["Bearer of-the-caller", "Basic eDp5"]) == [f"Basic {ALADDIN}"]


def test_several_credentials_make_several_lines_in_their_order():
    first = build(BasicCredential, username="Aladdin", password="open sesame")
    second = build(BasicCredential, username="x", password="y", prefix="Custom")
    lines = signed(first, second, received=["Bearer of-the-caller"], prepared=["Bearer of-a-header-action"])

    assert lines == ["Bearer of-a-header-action", f"Basic {ALADDIN}", "Custom eDp5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"username": "a:b"}, "username: .*colon"),
        ({"username": ""}, "username: .*empty"),
        ({"username": "a", "prefix": "two words"}, "prefix"),
        ({"username": "a", "prefix": ""}, "prefix"),
        ({"username": "a", "header": "X:Y"}, "header"),
    ],
)
def test_wrong_options_towards_a_backend_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(BasicCredential, password="secret", **options)


def test_the_password_is_in_no_representation():
    for plugin in (build(BasicCredential, username="a", password="s3same"), build(Basic, users={"a": "s3same"})):
        assert "s3same" not in repr(plugin.options) + repr(plugin) + plugin.options.model_dump_json()


def _routes(backend, *credentials):
    return {
        "routes": [{"name": "all", "match": {"path": "/"}, "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": [{"url": backend.url}], "auth": list(credentials)}},
    }


@pytest.mark.row("HC-10")
def test_a_gateway_calls_its_backend_with_user_and_password():
    with upstream() as backend:
        document = _routes(backend, {"basic": {"username": "Aladdin", "password": "open sesame"}})
        with running(document) as gate:
            gate.request("GET", "/", headers={"authorization": "Bearer of-the-caller"})

    assert backend.requests[0].all("authorization") == [f"Basic {ALADDIN}"]


def test_a_gateway_refuses_a_user_name_with_a_colon():
    with upstream() as backend:
        document = _routes(backend, {"basic": {"username": "Ala:ddin", "password": "open sesame"}})
        with pytest.raises(ConfigError, match=r"username: .*colon"), running(document):
            pass


@pytest.mark.row("AC-16")
def test_a_prefix_stands_in_the_place_of_the_scheme():
    with upstream() as backend:
        document = _routes(backend, {"basic": {"username": "user", "password": "pwd", "prefix": "Custom"}})
        with running(document) as gate:
            gate.request("GET", "/")

    assert backend.requests[0].all("authorization") == ["Custom dXNlcjpwd2Q="]


def test_credentials_for_two_headers_both_arrive():
    with upstream() as backend:
        document = _routes(
            backend,
            {"basic": {"username": "user", "password": "pwd"}},
            {"basic": {"username": "Aladdin", "password": "open sesame", "header": "X-Up-Auth"}},
        )
        with running(document) as gate:
            gate.request("GET", "/")

    assert backend.requests[0].all("authorization") == ["Basic dXNlcjpwd2Q="]
    assert backend.requests[0].all("x-up-auth") == [f"Basic {ALADDIN}"]
