from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate import BadGateway, ConfigError, Exchange, Headers, Identity, Request
from hookgate.testing import build, running, upstream
from hookgate_header_identity import LONGEST, IdentityHeader

ANN = Identity(
    "ann@example.org",
    "basic",
    ("clerk", "a,b"),
    {
        "email": "ann@example.org",
        "address": {"city": "Bonn", "lines": ["a", 1, True]},
        "https://example.org/groups": ("x", "y"),
        "set": set("fedcba"),
        "age": 41,
        "admin": False,
        "empty": "",
        "none": None,
        "none.at.all": "dots",
    },
    "shop",
)


def told(identity=ANN, **options):
    exchange = Exchange(Request())
    exchange.identity = identity
    return build(IdentityHeader, **options).value(exchange, None)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({}, "ann@example.org"),
        ({"field": "subject"}, "ann@example.org"),
        ({"field": "application"}, "shop"),
        ({"field": "method"}, "basic"),
        ({"field": "roles"}, "clerk,a%2Cb"),
        ({"claim": "email"}, "ann@example.org"),
        ({"claim": "address.city"}, "Bonn"),
        ({"claim": ["address", "city"]}, "Bonn"),
        ({"claim": "address.lines"}, "a,1,true"),
        ({"claim": ["https://example.org/groups"]}, "x,y"),
        ({"claim": ["none.at.all"]}, "dots"),
        ({"claim": "set"}, "a,b,c,d,e,f"),
        ({"claim": "age"}, "41"),
        ({"claim": "admin"}, "false"),
        ({"claim": "empty"}, None),
        ({"claim": "none"}, None),
        ({"claim": "none.at.all"}, None),
        ({"claim": "email.length"}, None),
        ({"claim": "gone"}, None),
    ],
)
def test_a_part_of_the_identity_is_told(options, value):
    assert told(**options) == value


@pytest.mark.parametrize("options", [{}, {"field": "roles"}, {"claim": "a.b"}])
def test_of_a_stranger_and_of_what_is_not_known_nothing_is_told(options):
    assert told(None, **options) is None
    if options:
        assert told(Identity("ann"), **options) is None
    assert told(Identity("ann"), field="application") is None


@pytest.mark.parametrize(
    ("subject", "value"),
    [
        ("jörg", "j%C3%B6rg"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("a\r\nX-Evil: 1", "a%0D%0AX-Evil:%201"),
        ("\ud800", "?"),
        ("a/b+c=d;e", "a/b+c=d;e"),
    ],
)
def test_any_name_can_be_sent(subject, value):
    assert told(Identity(subject)) == value


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1))
def test_what_is_sent_is_a_header_and_can_be_read_back(roles):
    value = told(Identity("ann", roles=tuple(roles)), field="roles")

    assert Headers({"x": value})["x"] == value
    assert [unquote(word) for word in value.split(",")] == roles


@pytest.mark.parametrize(("subject", "sent"), [("a b", True), ("100%", True), ("a,b", False), ("jörg", False)])
def test_without_encoding_only_what_is_unambiguous_is_sent(subject, sent):
    if sent:
        assert told(Identity(subject), encode=False) == subject
    else:
        with pytest.raises(BadGateway):
            told(Identity(subject), encode=False)


@pytest.mark.parametrize("subject", [" a", "a\t", "a\nb", "a\x7f", "\u202e"])
def test_without_encoding_no_space_around_and_no_control_character_is_sent(subject):
    with pytest.raises(BadGateway):
        told(Identity(subject), encode=False)


@pytest.mark.parametrize(
    "claims", [{"a": {"b": 1}}, {"a": [{"b": 1}]}, {"a": [["b"]]}, {"a": [None]}, {"a": "x" * 9000}]
)
def test_what_cannot_be_told_ends_the_call_in_502(claims):
    with pytest.raises(BadGateway) as raised:
        told(Identity("ann", claims=claims), claim="a")

    assert raised.value.reason == "config-error"
    assert len(raised.value.detail) < 100


def test_the_longest_value_is_sent():
    assert len(told(Identity("a" * LONGEST))) == LONGEST


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"field": "subject", "claim": "a"}, "give `field` or `claim`, not both"),
        ({"field": "claims"}, "field: "),
        ({"claim": ""}, "claim: "),
        ({"claim": []}, "claim: "),
        ({"claim": "a..b"}, "claim: there is an empty name"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        build(IdentityHeader, **options)


def test_the_backend_hears_who_calls_and_not_what_the_client_says():
    with upstream() as backend:
        basic = {"basic": {"users": {"jörg": "secret", "eve": "secret"}, "roles": {"jörg": ["clerk", "auditor"]}}}
        headers = [
            {"remove": "X-Roles"},
            {"set": "X-User", "from": "identity"},
            {"set": "X-Roles", "from": {"identity": {"field": "roles"}}},
        ]
        document = {
            "routes": [{"name": "all", "flow": [{"auth": {"methods": [basic]}}], "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": backend.url, "headers": headers}},
        }
        with running(document) as gate:
            lies = {"X-User": "root", "X-Roles": "admin"}
            assert gate.request("GET", "/", headers=lies).status_code == 401
            assert gate.request("GET", "/", headers=lies, auth=("jörg", "secret")).status_code == 200
            assert gate.request("GET", "/", headers=lies, auth=("eve", "secret")).status_code == 200

    assert [(request.all("x-user"), request.all("x-roles")) for request in backend.requests] == [
        (["j%C3%B6rg"], ["clerk,auditor"]),
        (["eve"], []),
    ]
