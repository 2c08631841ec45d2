import pytest

from hookgate import BadGateway, ConfigError, Exchange, Headers, Request
from hookgate.testing import build, running, upstream
from hookgate_header_expression import MOST_MESSAGES, ExpressionHeader


class Host:
    """A house of which only the log is needed."""

    def __init__(self):
        self.lines = []
        self.log = self

    def error(self, text, *arguments):
        self.lines.append(text % arguments)


def valued(text, host=None, headers=(), **variables):
    provider = build(ExpressionHeader, value=text)
    provider.startup(host or Host())
    exchange = Exchange(Request(headers=Headers(headers)))
    exchange.variables.update(variables)
    return provider.value(exchange, None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'a b'", "a b"),
        ("' a '", "a"),
        ("''", ""),
        ("'zoë'", "zoë"),
        ("'a\\tb'", "a\tb"),
        ("1 + 1", "2"),
        ("1 / 2", "0.5"),
        ("1 == 1", "true"),
        ("1 == 2", "false"),
        ("null", None),
        ("request.headers['x-user']", None),
        ("request.headers['x-user'] || 'nobody'", "nobody"),
        ("identity.roles.{ #this }", None),
    ],
)
def test_what_comes_out_is_sent_as_text_and_null_is_left_out(text, value):
    assert valued(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("#value + '\\r\\nX-Evil: 1'", "gives a control character, or one outside Latin-1"),
        ("#value + '\\n'", "gives a control character"),
        ("#value + '\\u0000'", "gives a control character"),
        ("#value + '€'", "gives a control character, or one outside Latin-1"),
        ("{#value}", "gives a list or a mapping"),
        ("#{'a': #value}", "gives a list or a mapping"),
        ("#value + request.headers['x-user']", "cannot be evaluated: a string and null cannot be joined"),
        ("int(#value)", "cannot be evaluated: a string that is no number"),
    ],
)
def test_what_no_header_can_hold_ends_the_call_and_the_log_says_why_without_the_value(text, problem):
    host = Host()
    with pytest.raises(BadGateway) as raised:
        valued(text, host, value="s3cret")

    assert (raised.value.status, raised.value.reason) == (502, "config-error")
    assert raised.value.detail == "The gateway is not set up for calls to this backend."
    (line,) = host.lines
    assert line.startswith("ExpressionHeader#")
    assert problem in line
    assert "s3cret" not in line


def test_the_log_says_a_thing_once_and_does_not_grow_without_bound():
    host = Host()
    provider = build(ExpressionHeader, value="#list + request.path")
    provider.startup(host)
    for _ in range(3):
        with pytest.raises(BadGateway):
            provider.value(Exchange(Request()), None)
    assert len(host.lines) == 1

    provider = build(ExpressionHeader, value="min(#list)")
    provider.startup(host)
    for number in range(MOST_MESSAGES + 5):
        exchange = Exchange(Request())
        exchange.variables["list"] = type(f"Thing{number}", (), {})()
        with pytest.raises(BadGateway):
            provider.value(exchange, None)
    assert len(host.lines) == 1 + MOST_MESSAGES


def test_only_an_expression_that_reads_the_body_has_it_kept():
    assert build(ExpressionHeader, value="request.body").reads == {"request.body"}
    assert not build(ExpressionHeader, value="request.path").reads


def document(backend, text, **more):
    headers = [{"set": "X-Caller", "from": {"expression": {"value": text}}}]
    return {
        "gateway": {"limits": {"buffered_body": 300_000}},
        "routes": [{"name": "all", "to": {"connection": "google"}}],
        "connections": {"google": {"targets": backend.url, "headers": headers, **more}},
    }


def test_a_parameter_that_comes_twice_is_the_clients_doing():
    with upstream() as backend, running(document(backend, "request.query.page")) as gate:
        answers = [gate.request("GET", f"/?{query}") for query in ("page=1&page=2", "page=1")]
        counts = gate.gateway.connection("google").counts

    assert [each.status_code for each in answers] == [400, 200]
    assert (counts["aborted"], counts["ok"]) == (1, 1)


@pytest.mark.row("AC-24")
def test_the_backend_gets_what_the_expression_makes_of_the_call():
    with upstream() as backend:
        with running(document(backend, "request.headers['x-user'] + '-' + connection.name")) as gate:
            assert gate.request("GET", "/", headers={"X-User": "joe"}).status_code == 200
            answer = gate.request("GET", "/")
            errors = [record.getMessage() for record in gate.log if record.levelname == "ERROR"]

    assert [request.all("x-caller") for request in backend.requests] == [["joe-google"]]
    assert (answer.status_code, answer.json()["reason"]) == (502, "config-error")
    assert "x-user" not in answer.text
    assert len([text for text in errors if "null and a string cannot be joined" in text]) == 1


@pytest.mark.row("AC-24")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@java.lang.Runtime@getRuntime().exec('id')", "column 1: '@' is not part of the language: static members"),
        ("new java.io.File('/')", "column 1: 'new' is not part of the language"),
        ("request.method = 'PUT'", "column 16: '=' is not part of the language: nothing can be assigned"),
        ("request.headers.getClass()", "column 17: there is no method 'getClass'"),
        ("request.heders", r"column 9: request has no 'heders' .*did you mean 'headers'"),
        ("env.HOOKGATE_TEST_SECRET", "column 5: environment variable HOOKGATE_TEST_SECRET may not be read"),
    ],
)
def test_what_reaches_further_is_refused_when_the_document_is_loaded(text, message, monkeypatch):
    monkeypatch.setenv("HOOKGATE_ENV_ALLOW", "CRM_*")
    with upstream() as backend, pytest.raises(ConfigError, match=rf"headers.*expression\.value: {message}"):
        with running(document(backend, text)):
            pass


def test_every_root_can_be_read_from_a_running_gateway(monkeypatch):
    monkeypatch.setenv("HOOKGATE_TEST_STAGE", "qly")
    text = (
        "request.method + ' ' + request.path + ' ' + request.query.a + ' ' + request.remoteAddr + ' ' + principal + ' '"
        " + identity.roles.{? #this != 'admin'}[0] + ' ' + connection.tags[0] + ' ' + env.HOOKGATE_TEST_STAGE"
        " + ' ' + str(#rate_limit.limit) + ' ' + request.body + ' ' + (request.host.startswith('127.') ? 'yes' : 'no')"
    )
    with upstream() as backend:
        whole = document(backend, text, tags=["eu"])
        basic = {"basic": {"users": {"ann": "secret"}, "roles": {"ann": ["admin", "clerk"]}}}
        limit = {"rate-limit": {"limit": 7, "window": 60}}
        whole["routes"][0]["flow"] = [{"auth": {"methods": [basic]}}, limit]
        with running(whole) as gate:
            answer = gate.request("POST", "/a?a=b", content=b"hello", auth=("ann", "secret"))

    assert answer.status_code == 200
    assert backend.requests[0].all("x-caller") == ["POST /a b 127.0.0.1 ann clerk eu qly 7 hello yes"]


def test_the_body_is_read_whole_whether_it_streams_or_not_and_only_up_to_the_limit():
    with upstream() as backend, running(document(backend, "str(len(request.body))")) as gate:
        assert gate.request("POST", "/", content=b"a" * 1000).status_code == 200
        assert gate.request("POST", "/", content=iter([b"a" * 300] * 3)).status_code == 200
        assert gate.request("POST", "/", content=b"a" * 100_001).status_code == 502
        assert gate.request("POST", "/", content=b"a" * 300_001).status_code == 413
        assert gate.request("POST", "/", content=iter([b"a" * 100_000] * 4)).status_code == 413

    assert [(request.all("x-caller"), len(request.body)) for request in backend.requests] == [
        (["1000"], 1000),
        (["900"], 900),
    ]


def test_null_takes_out_what_the_client_sent_under_set_and_leaves_it_under_add():
    with upstream() as backend:
        whole = document(backend, "identity.subject")
        with running(whole) as gate:
            gate.request("GET", "/", headers={"X-Caller": "root"})
            whole["connections"]["google"]["headers"][0]["add"] = whole["connections"]["google"]["headers"][0].pop(
                "set"
            )
            gate.reload(whole)
            gate.request("GET", "/", headers={"X-Caller": "root"})

    assert [request.all("x-caller") for request in backend.requests] == [[], ["root"]]
