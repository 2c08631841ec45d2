"""Whose calls a limit counts together; the plugins that use it show the rest."""

import pytest

from hookgate import Application, Entry, Exchange, Expression, Identity, Request
from hookgate.workshop import LimitKey


def call(**known):
    exchange = Exchange(Request(client="192.0.2.7"))
    for name, value in known.items():
        setattr(exchange, name, value)
    return exchange


def key(exchange, by=None, origin=""):
    entry = Entry("routes.a/limit", "limit", "interceptor", origin=origin)
    return LimitKey(entry, "minute", by and Expression(by)).of(exchange)


@pytest.mark.parametrize(
    ("by", "found"),
    [
        (None, "routes.a/limit/minute"),
        ("request.client", "routes.a/limit/minute=192.0.2.7"),
        ("request.headers['x']", "routes.a/limit/minute"),
        ("{request.client, 1}", "routes.a/limit/minute=['192.0.2.7', 1]"),
    ],
)
def test_calls_count_together_whose_value_is_the_same(by, found):
    assert key(call(), by) == found


@pytest.mark.parametrize("known", [{}, {"identity": Identity("Ann")}])
def test_outside_a_plan_everybody_counts_together(known):
    assert key(call(**known)) == "routes.a/limit/minute"


def test_in_a_plan_each_application_counts_on_its_own_and_else_each_caller():
    shop = Application("shop")

    assert key(call(application=shop, identity=Identity("Ann")), origin="plans.gold") == "routes.a/limit/minute=shop"
    assert key(call(identity=Identity("Ann")), origin="plans.gold") == "routes.a/limit/minute=Ann"
    assert key(call(), origin="plans.gold") == "routes.a/limit/minute"
    assert key(call(application=shop), "request.client", "plans.gold") == "routes.a/limit/minute=192.0.2.7"
