import pytest
from hookgate_interceptor_headers import Headers

from hookgate import ConfigError, Exchange, Forbidden, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream


class Refusing(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        raise Forbidden("No.")


def test_set_replaces_every_line_of_a_name_and_creates_it_where_there_is_none():
    step = build(Headers, request={"set": {"X-A": "3", "X-B": "4"}})
    exchange = through(step, headers=[("x-a", "1"), ("x-a", "2")])

    assert exchange.request.headers.getall("x-a") == ["3"]
    assert exchange.request.headers.getall("x-b") == ["4"]


def test_add_appends_a_line_to_those_that_are_there():
    exchange = through(build(Headers, request={"add": {"X-A": "2"}}), headers={"x-a": "1"})

    assert exchange.request.headers.getall("x-a") == ["1", "2"]


def test_remove_takes_out_every_line_of_a_name_in_any_case():
    exchange = through(build(Headers, request={"remove": ["X-A"]}), headers=[("x-a", "1"), ("X-a", "2"), ("x-b", "3")])

    assert exchange.request.headers.getall("x-a") == []
    assert exchange.request.headers.getall("x-b") == ["3"]


def test_remove_comes_first_then_set_then_add():
    changes = {"add": {"X-A": "added"}, "set": {"X-A": "set"}, "remove": ["X-A", "X-B"]}
    exchange = through(build(Headers, request=changes), headers={"x-a": "old", "x-b": "old"})

    assert exchange.request.headers.getall("x-a") == ["set", "added"]
    assert exchange.request.headers.getall("x-b") == []


def test_the_answer_is_changed_and_the_request_is_not():
    step = build(Headers, response={"remove": ["Server"], "set": {"X-A": "1"}, "add": {"Set-Cookie": "b=2"}})
    answer = Response(200, [("server", "old"), ("set-cookie", "a=1")])
    exchange = through(step, upstream=answer)

    assert "server" not in exchange.response.headers
    assert exchange.response.headers.getall("set-cookie") == ["a=1", "b=2"]
    assert exchange.response.headers["x-a"] == "1"
    assert "x-a" not in exchange.request.headers


def test_an_error_answer_is_changed_too():
    exchange = through(build(Headers, response={"set": {"X-A": "1"}}), build(Refusing))

    assert exchange.response.status == 403
    assert exchange.response.headers["x-a"] == "1"


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "keep-alive",
        "Proxy-Authorization",
        "Proxy-Anything",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "CONTENT-LENGTH",
    ],
)
@pytest.mark.parametrize("side", ["request", "response"])
def test_names_of_one_connection_and_of_framing_are_refused_at_load(name, side):
    for changes in ({"set": {name: "x"}}, {"add": {name: "x"}}, {"remove": [name]}):
        with pytest.raises(
            ConfigError, match=rf"{side}\.(set|add|remove).*leave out {name}: it belongs to a single connection"
        ):
            build(Headers, **{side: changes})


def test_host_is_refused_on_requests_and_allowed_on_answers():
    for changes in ({"set": {"host": "x"}}, {"add": {"HOST": "x"}}, {"remove": ["Host"]}):
        with pytest.raises(ConfigError, match=r"request: .*leave out Host: it is written by the connection"):
            build(Headers, request=changes)

    assert through(build(Headers, response={"set": {"Host": "x"}})).response.headers["host"] == "x"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"set": {"X A": "1"}}, "not a header name"),
        ({"add": {"": "1"}}, "not a header name"),
        ({"remove": ["X:A"]}, "not a header name"),
        ({"set": {"X-A": "1\r\nX-B: 2"}}, "control character"),
        ({"add": {"X-A": "1\x00"}}, "control character"),
        ({"set": {"X-A": "€"}}, "outside Latin-1"),
        ({"sett": {"X-A": "1"}}, "sett"),
        ({"set": {"X-A": 1}}, r"request\.set\.X-A: "),
    ],
)
def test_what_cannot_be_sent_is_refused_at_load(changes, message):
    with pytest.raises(ConfigError, match=message):
        build(Headers, request=changes)


@pytest.mark.parametrize("options", [{}, {"request": {}}, {"request": {}, "response": {"set": {}}}])
def test_a_step_that_does_nothing_is_refused_at_load(options):
    with pytest.raises(ConfigError, match="nothing to do"):
        build(Headers, **options)


def test_backend_and_client_of_a_gateway_see_the_changed_heads():
    changes = {
        "request": {"remove": ["X-Internal"], "set": {"X-Gateway": "hookgate"}},
        "response": {"remove": ["X-Powered-By"], "add": {"X-Served": "caf\xe9"}},
    }
    with upstream() as backend:
        backend.answer = lambda request: (200, {"x-powered-by": "old", "x-served": "backend"}, "ok")
        document = {
            "routes": [
                {
                    "name": "all",
                    "match": {"path": "/"},
                    "flow": [{"headers": changes}],
                    "to": {"connection": "backend"},
                },
            ],
            "connections": {"backend": {"targets": [{"url": backend.url}]}},
        }
        with running(document) as gate:
            answer = gate.request("GET", "/", headers={"x-internal": "1", "x-gateway": "forged"})

    assert backend.requests[0].all("x-internal") == []
    assert backend.requests[0].all("x-gateway") == ["hookgate"]
    assert "x-powered-by" not in answer.headers
    assert [value for name, value in answer.headers.raw if name.lower() == b"x-served"] == [b"backend", b"caf\xe9"]
