import pytest

from hookgate import ConfigError, Identity, Interceptor, Options, hookimpl
from hookgate.testing import build, running, through
from hookgate_interceptor_greeting import Greeting


class Caller(Interceptor[Options]):
    subject = "ann"

    @hookimpl
    def on_request(self, exchange):
        exchange.identity = Identity(self.subject)


def greeting(*steps):
    return through(*steps).response.headers.get("x-greeting")


def test_somebody_unknown_is_greeted_as_a_stranger():
    assert greeting(build(Greeting)) == "Hello, stranger"
    assert greeting(build(Greeting, words="Welcome", stranger="friend")) == "Welcome, friend"


def test_somebody_known_is_greeted_by_name():
    assert greeting(build(Greeting), build(Caller)) == "Hello, ann"


def test_a_name_cannot_add_header_lines():
    caller = build(Caller)
    caller.subject = "ann\r\nset-cookie: a=b"

    assert greeting(build(Greeting), caller) == "Hello"


def test_words_that_no_header_takes_are_refused_at_load():
    with pytest.raises(ConfigError, match=r"words: .*printable ASCII"):
        build(Greeting, words="Hello\n")


def test_a_gateway_greets():
    route = {
        "name": "hello",
        "match": {"path": "/hello"},
        "flow": [{"greeting": {"words": "Good morning"}}, {"respond": {"body": "hello"}}],
    }
    with running({"routes": [route]}) as gate:
        response = gate.request("GET", "/hello")

    assert (response.text, response.headers["x-greeting"]) == ("hello", "Good morning, stranger")
