import logging

import pytest

from hookgate import ConfigError, Exchange, Identity, Interceptor, Options, Request, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate.workshop import Masking
from hookgate_interceptor_log import Log
from hookgate_interceptor_log.template import Template

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


class Trace:
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)

    def hide(self, *places):
        pass


class Traced(Interceptor[Options]):
    """Gives a call a trace, and somebody who makes it."""

    @hookimpl
    def on_request(self, exchange):
        exchange.trace = Trace()
        exchange.identity = Identity("ann", roles=("a", "b"))


def notes(message, *, side="request", upstream=None, trace=True, options=None, **call):
    step = build(Log, message=message, **(options or {}))
    placed = {"response": (step,)} if side == "response" else {}
    steps = [Traced(Options())] if trace else []
    exchange = through(*steps, *(() if placed else (step,)), upstream=upstream, **placed, **call)
    assert exchange.response.status == 200
    return exchange.trace.notes if trace else []


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.DEBUG, logger="hookgate.log")
    return caplog


@pytest.mark.parametrize(
    ("message", "note"),
    [
        ("plain text", "plain text"),
        ("{{ request.method }}", "GET"),
        ("{{request.path}} by {{ principal }}.", "/orders/7 by ann."),
        ("{{ request.headers['x-none'] }}", "null"),
        ("{{ identity.roles }}", '["a", "b"]'),
        ("{{ len(identity.roles) > 1 }} {{ 1 + 1 }}", "true 2"),
        ("{{ request.query.a }}", "1"),
        ("{{ {1, {2}} }}|{{ #{'k': #{'l': {1}}} }}", '[1, [2]]|{"k": {"l": [1]}}'),
        ("{{ '{{' }} } }}", "{{ } }}"),
        ("\n two\nlines\n", "two\\nlines"),
    ],
)
def test_a_message_is_written_into_the_trace_with_the_values_of_the_call(message, note):
    assert notes(message, path="/orders/7", query="a=1")[0] == note


def test_it_writes_on_the_sides_where_it_stands():
    message = "{{ request.method }} {{ response.status }}"

    assert notes(message) == ["GET null", "GET 200"]
    assert notes(message, side="response") == ["GET 200"]


def test_a_level_stands_in_front():
    assert notes("slow", options={"level": "warning"})[0] == "warning: slow"


def test_without_a_trace_nothing_is_done_unless_the_log_wants_it(logged, monkeypatch):
    monkeypatch.setattr(Template, "render", lambda *arguments: pytest.fail("rendered"))

    notes("x", trace=False)
    logged.set_level(logging.ERROR, logger="hookgate.log")
    notes("x", trace=False, options={"to_log": True})

    assert logged.records == []


@pytest.mark.parametrize(("level", "number"), [("debug", 10), ("info", 20), ("warning", 30), ("error", 40)])
def test_the_log_has_it_where_it_is_asked_for(logged, level, number):
    notes("{{ request.path }} 100%s", trace=False, options={"to_log": True, "level": level})

    assert [(record.name, record.levelno, record.getMessage()) for record in logged.records] == [
        ("hookgate.log", number, "/ 100%s")
    ] * 2


def test_the_log_is_left_alone_otherwise(logged):
    assert notes("x") == ["x", "x"]
    assert logged.records == []


SECRETS = {
    "authorization": "Bearer hush-1",
    "Cookie": "sid=hush-2",
    "Proxy-Authorization": "Basic hush-3",
    "x-api-key": "hush-4",
    "X-Auth-Token": "hush-5",
    "x-card": "hush-6",
    "x-open": "seen",
}


@pytest.mark.parametrize(
    "message",
    [
        "{{ request.headers['authorization'] }}",
        "{{ request.headers['Authorization'].split(' ')[-1].upper() }}",
        "{{ request.headers[request.query.which] }}",
        "{{ request.headers }}",
        "{{ request.query }}",
        "{{ request.query.access_token }} {{ request.query['X-CARD'] }}",
        "{{ response.headers['set-cookie'] }} {{ response.headers }}",
    ],
)
def test_secrets_are_masked_whatever_an_expression_makes_of_them(message):
    def backend(exchange):
        assert exchange.request.headers["authorization"] == "Bearer hush-1"
        return Response(200, [("Set-Cookie", "sid=hush-7"), ("set-cookie", "b=hush-8"), ("x-open", "seen")])

    query = "which=authorization&access%5Ft%6Fken=hush-9&x-card=hush-10&X-Card=hush-11&open=seen"
    found = notes(message, upstream=backend, headers=SECRETS, query=query, options={"mask": ["X-Card"]})

    assert "hush" not in " ".join(found).lower()
    assert any("********" in note for note in found)


def test_what_is_not_secret_is_shown_and_the_call_itself_is_never_changed():
    def backend(exchange):
        assert exchange.request.headers["authorization"] == "Bearer hush-1"
        assert exchange.request.query == "token=hush&a=1"
        return Response(200, {"set-cookie": "hush"})

    step = build(Log, message="{{ request.headers['x-open'] }} {{ request.query.a }}")
    exchange = through(Traced(Options()), step, upstream=backend, headers=SECRETS, query="token=hush&a=1")

    assert exchange.trace.notes == ["seen 1", "seen 1"]
    assert exchange.response.headers["set-cookie"] == "hush"


def test_a_call_without_secrets_is_read_as_it_is():
    exchange = Exchange(Request("GET", "/", "a=1"))

    assert Masking().view(exchange) is exchange


@pytest.mark.parametrize("sent", ["a\u2028b", "a\x85b", "a\u202eb", "a\tb"])
def test_nobody_can_make_a_line_up(sent):
    class Said(Interceptor[Options]):
        @hookimpl
        def on_request(self, exchange):
            exchange.variables["said"] = f"{sent}\r\n2026 ERROR \x1b[2J"

    exchange = through(Traced(Options()), Said(Options()), build(Log, message="{{ #said }}"))

    assert exchange.trace.notes[0].isprintable()
    assert exchange.trace.notes[0].endswith("b\\r\\n2026 ERROR \\x1b[2J")


@pytest.mark.parametrize(("sent", "length"), [("x" * 10, 10), ("x" * 11, 10), ("\u2028" * 9, 10), ("x" * 90_000, 10)])
def test_a_message_is_cut_where_it_is_too_long(sent, length):
    (note, _) = notes("{{ request.headers['x-long'] || request.query.u }}", query="u=" + "%E2%80%A8" * 9,
                      headers={"x-long": sent} if sent.isascii() else {}, options={"longest": length})  # fmt: skip

    assert len(note) == length
    assert note.endswith("…") is (sent != "x" * 10)


def test_an_expression_that_fails_harms_no_call_and_is_told_once(logged):
    step = build(Log, message="{{ int(request.headers['x-n']) }} of {{ request.method }}")

    for _ in range(2):
        exchange = through(Traced(Options()), step, headers={"x-n": "hush"})
        assert exchange.response.status == 200
        assert exchange.trace.notes[0] == "(cannot be evaluated) of GET"

    (record,) = logged.records
    assert "said once" in record.getMessage()
    assert "hush" not in record.getMessage()


def test_a_body_that_is_written_is_kept_for_it():
    assert notes("{{ request.body }}", body=b"text", method="POST")[0] == "text"
    assert build(Log, message="{{ request.body }}").reads == {"request.body"}
    assert not build(Log, message="{{ request.path }}").reads


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"message: .*required"),
        ({"message": " \n"}, r"message: .*empty"),
        ({"message": "{{ request.path"}, r"message: .*never closed"),
        ({"message": "{{ request.paht }}"}, r"message: .*'request.paht'.*did you mean 'path'"),
        ({"message": "{{ }}"}, r"message: .*the expression ''"),
        ({"message": "x" * 4001}, r"message: .*4000"),
        ({"message": "x", "level": "loud"}, r"level: "),
        ({"message": "x", "longest": 5}, r"longest: "),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Log, **options)


@BOTH
@pytest.mark.row("FL-50")
def test_a_gateway_logs_it_with_the_id_of_the_call(lane, caplog):
    caplog.set_level(logging.INFO, logger="hookgate.log")
    message = "{{ request.path }} {{ request.body }} {{ response.status }} {{ request.headers['authorization'] }}"
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane},
            "trace": {"token": "only-for-tests"},
            "routes": [
                {
                    "name": "all",
                    "flow": ["request-id", {"log": {"message": message, "to_log": True}}],
                    "to": {"connection": "backend"},
                }
            ],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:
            sent = {"authorization": "Bearer hush", "x-hookgate-trace": "only-for-tests"}
            answer = gate.request("POST", "/a", content=b"body", headers=sent)
            (exchange,) = gate.wait_for_exchanges(1)
            lines = [record.getMessage() for record in gate.log if record.name == "hookgate.log"]

    number = answer.headers["x-request-id"]
    assert lines == [f"{number} /a body null ********", f"{number} /a body 200 ********"]
    noted = [note["text"] for note in exchange.trace.as_dict()["notes"]]
    assert noted == ["/a body null ********", "/a body 200 ********"]
    assert backend.requests[0].header("authorization") == "Bearer hush"
    assert backend.requests[0].body == b"body"


def test_what_a_reference_was_resolved_to_is_masked_before_a_message_is_cut(monkeypatch, caplog):
    caplog.set_level("INFO", "hookgate.log")
    monkeypatch.setenv("LOGGED", "hunter2-in-a-message")
    message = {"message": "a ${env:LOGGED} {{ request.headers['x-a'] }}", "to_log": True, "longest": 16}
    document = {"routes": [{"name": "all", "flow": [{"log": message}, "respond"]}]}
    with running(document) as gate:
        gate.request("GET", "/", headers={"X-A": "hunter2-in-a-message"})
        gate.wait_for_exchanges(1)

    assert "a ******** ****…" in caplog.text
    assert "hunter2" not in caplog.text
