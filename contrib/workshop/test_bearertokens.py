"""What the plugins that take tokens do not show of it."""

from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter, ValidationError

from hookgate import Entry, Exchange, Forbidden, Headers, Request
from hookgate.workshop import BearerTokens, Scopes, identity_of, is_loopback

ENTRY = Entry("auth/token", "token", "auth")


def tokens(**options):
    return BearerTokens(SimpleNamespace(**{"header": "X-Token", "prefix": "", "realm": "r", "scopes": ()} | options))


def test_a_header_that_holds_the_token_alone_is_challenged_as_bearer():
    exchange = Exchange(Request(headers=Headers([("x-token", " abc ")])))

    assert tokens().read(exchange) == "abc"
    assert tokens().challenge(exchange, ENTRY) == 'Bearer realm="r"'
    assert tokens(prefix="Token").challenge(exchange, ENTRY) == 'Token realm="r"'


def test_the_scopes_that_are_missing_are_told_and_those_that_are_wanted():
    with pytest.raises(Forbidden, match=r"^The token lacks the scope write own\.$") as refused:
        tokens(scopes=("read", "write", "own")).check_scopes({"read", "other"})

    challenge = 'Bearer realm="r", error="insufficient_scope", scope="read write own"'
    assert dict(refused.value.headers) == {"WWW-Authenticate": challenge}


@pytest.mark.parametrize("scopes", [[""], 'a"b', "a\\b", ["a b"], "\xe4", ["a\n"]])
def test_what_is_no_scope_is_refused(scopes):
    with pytest.raises(ValidationError, match="is no scope"):
        TypeAdapter(Scopes).validate_python(scopes)


@pytest.mark.parametrize("application", [None, "", 7, ["shop"], {"name": "shop"}])
def test_a_claim_that_is_no_name_names_no_application(application):
    assert identity_of("token", "Ann", {}, None, application).application is None
    assert identity_of("token", "Ann", {}, [1, "reader"], "shop").application == "shop"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost.example", False),
        ("alocalhost", False),
        ("0.0.0.0", False),
        ("192.0.2.1", False),
        ("", False),
    ],
)
def test_a_loopback_address_and_the_names_of_this_machine_are_this_machine(host, here):
    assert is_loopback(host) is here
