import pytest

from hookgate import ConfigError, Exchange, Forbidden, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_headers import Headers


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


def test_values_come_from_expressions_and_what_is_not_there_makes_no_header():
    changes = {
        "set_from": {"X-A": "request.query.a", "X-B": "request.query.b", "X-N": "len(request.path)", "X-T": "1 == 1"},
        "add_from": {"X-C": "request.query.a", "X-D": "null", "X-L": "{'a', 1}"},
    }
    sent = [("x-a", "forged"), ("X-A", "twice"), ("x-b", "forged"), ("x-c", "1"), ("x-d", "1")]
    headers = through(build(Headers, request=changes), headers=sent, query="a=%C3%A9").request.headers

    assert {name: headers.getall(name) for name in ("x-a", "x-b", "x-n", "x-t", "x-c", "x-d", "x-l")} == {
        "x-a": ["é"],
        "x-b": [],
        "x-n": ["1"],
        "x-t": ["true"],
        "x-c": ["1", "é"],
        "x-d": ["1"],
        "x-l": ["a, 1"],
    }


@pytest.mark.parametrize("value", ["%0D%0AX-Forged:%201", "%E2%82%AC", "a%00"])
def test_a_value_that_no_header_can_hold_makes_none(value):
    step = build(Headers, request={"set_from": {"X-A": "request.query.a"}, "add_from": {"X-A": "request.query.a"}})
    headers = through(step, headers={"x-a": "forged"}, query=f"a={value}").request.headers

    assert headers.getall("x-a") == headers.getall("x-forged") == []


def test_an_expression_may_look_at_the_answer_and_at_the_body():
    changes = {"set_from": {"X-Status": "response.status", "X-Size": "len(request.body)"}}
    exchange = through(build(Headers, response=changes), method="POST", body=b"abc", upstream=Response(404))

    assert (exchange.response.headers["x-status"], exchange.response.headers["x-size"]) == ("404", "3")


def test_an_expression_that_fails_is_an_error_of_the_configuration():
    for wrong in ("null + 1", "#{'a': 1}", "{{1}}"):
        assert through(build(Headers, request={"set_from": {"X-A": wrong}})).response.status == 500


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"set_from": {"X A": "1"}}, "not a header name"),
        ({"set_from": {"Te": "1"}}, "leave out Te"),
        ({"add_from": {"host": "1"}}, "leave out Host"),
        ({"set_from": {"X-A": "a ="}}, r"request\.set_from\.X-A: column"),
    ],
)
def test_wrong_expressions_and_names_are_refused_at_load(changes, message):
    with pytest.raises(ConfigError, match=message):
        build(Headers, request=changes)


APPLICATION = '''
from hookgate import Identity, Interceptor, Options, hookimpl


class Knows(Interceptor[Options]):
    """Identifies the application and the caller by headers, as they are."""

    writes = {"application", "identity"}

    @hookimpl
    def startup(self, host):
        self.host = host

    @hookimpl
    def on_request(self, exchange):
        exchange.application = self.host.section("applications").find(exchange.request.headers.get("x-client", ""))
        if exchange.application is not None:
            exchange.plan = exchange.application.plans.get(exchange.api.name, "")
            exchange.identity = Identity("ann", claims={"tenant": "t1"})
'''


@pytest.mark.row("FL-51")
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_headers_tell_of_the_application_and_of_the_token(lane, tmp_path):
    (tmp_path / "knows.py").write_text(APPLICATION)
    wanted = {
        "X-Tier": "application.fields.tier",
        "X-Tenant": "identity.claims.tenant",
        "X-Other": "application.fields.other",
        "X-Custom": "(application.name || 'nobody') + '/' + (application.plan || 'none')",
    }
    changes = {"request": {"set_from": wanted}, "response": {"set_from": {"X-Tier": "application.fields.tier"}}}
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane},
            "apis": [
                {
                    "name": "orders",
                    "base_path": "/orders",
                    "to": {"connection": "crm"},
                    "flow": ["knows", {"headers": {**changes, "_": {"when": "request.path != '/orders/none'"}}}],
                }
            ],
            "plans": {"gold": {}},
            "applications": {
                "shop": {"client_ids": ["abc"], "plans": {"orders": "gold"}, "fields": {"tier": "first"}},
            },
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document, plugins_dir=tmp_path) as gate:
            sent = {"x-client": "abc", "x-tier": "forged", "x-other": "forged"}
            known = gate.request("GET", "/orders/1", headers=sent)
            stranger = gate.request("GET", "/orders/1", headers={**sent, "x-client": "none"})

    first, second = backend.requests
    assert {name: first.header(name.lower()) for name in wanted} == {
        "X-Tier": "first",
        "X-Tenant": "t1",
        "X-Other": None,
        "X-Custom": "shop/gold",
    }
    assert [second.header(name.lower()) for name in wanted] == [None, None, None, "nobody/none"]
    assert (known.headers["x-tier"], "x-tier" in stranger.headers) == ("first", False)
