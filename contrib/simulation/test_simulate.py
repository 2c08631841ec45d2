"""One call through the real flow of a document without a network: the command, and that it is the same engine."""

import json
from base64 import b64encode

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream
from hookgate.testing.upstream import Reset
from hookgate_simulation import Call, mocks_in

from .simulating import DOCUMENT, changes, ran, routed, simulated

MOCKS = """\
- {match: {path: /broken}, fault: broken}
- {response: {status: 203, headers: {x-backend: "1"}, body: hello}}
"""


# --- the same engine ------------------------------------------------------------------------------------------------

CORPUS = [
    ("GET", "/early", {"origin": "https://a.example"}, b""),
    ("GET", "/claimed", {}, b""),
    ("GET", "/unclaimed", {}, b""),
    ("POST", "/branched", {}, b"data"),
    ("GET", "/branched", {}, b""),
    ("PUT", "/orders/a%20b?x=1", {"x-drop": "me", "x-forwarded-for": "192.0.2.9"}, b"data"),
    ("HEAD", "/orders/7", {}, b""),
    ("GET", "/broken", {}, b""),
    ("GET", "/failing", {}, b""),
    ("GET", "/a/../orders/7", {}, b""),
    ("GET", "/%zz", {}, b""),
    ("GET", "/nowhere", {}, b""),
]


def varying(fields):
    """Header fields apart from those that differ from call to call and from place to place."""
    unlike = {"date", "x-request-id", "content-length", "host", "x-forwarded-host", "connection"}
    return sorted((name, value) for name, value in fields if name not in unlike)


def test_a_simulated_call_goes_the_way_of_a_live_one(site):
    def answer(request):
        return Reset() if request.path == "/broken" else (203, {"x-backend": "1"}, "hello")

    with upstream(answer) as backend:
        document = DOCUMENT.replace("BACKEND", backend.url)
        with running(document, plugins_dir=site) as gate:
            for method, target, headers, body in CORPUS:
                finished, received = len(gate.finished), len(backend.requests)
                live = gate.request(method, target, headers=headers, content=body or None)
                sent_by_client = [
                    (name, value) for name, value in live.request.headers.items() if name != "content-length"
                ]
                path, _, query = live.request.url.raw_path.decode().partition("?")
                rehearsed = simulated(document, Call(method, path, query, tuple(sent_by_client), body), MOCKS, site)
                what = f"{method} {target}"
                assert rehearsed.response["status"] == live.status_code, what
                assert varying(rehearsed.response["headers"]) == varying(live.headers.multi_items()), what
                assert rehearsed.response["body"] == live.text, what
                if target != "/%zz":  # refused before it is a call
                    exchange = gate.wait_for_exchanges(finished + 1)[finished]
                    assert rehearsed.passed == exchange.passed, what
                    assert rehearsed.answered_by == exchange.answered_by, what
                    # Live, the whole answer may be there before a step fails and nobody reads it.
                    outcomes = [attempt.outcome.kind for attempt in exchange.attempts]
                    if target == "/failing" and outcomes == ["ok"]:
                        outcomes = ["aborted"]
                    assert [each["outcome"] for each in rehearsed.attempts] == outcomes, what
                if len(backend.requests) > received and target != "/broken":
                    (request,) = backend.requests[received:]
                    sent = rehearsed.attempts[0]["sent"]
                    assert sent["url"] == backend.url + request.path + (f"?{request.query}" if request.query else "")
                    assert varying(sent["headers"]) == varying(request.headers), what
                    assert sent["body_bytes"] == len(request.body), what
                else:
                    assert not rehearsed.attempts or rehearsed.attempts[0]["outcome"] == "broken", what


# --- the trace ------------------------------------------------------------------------------------------------------


def test_hooks_are_recorded_in_the_order_of_the_fault_rule(site):
    result = simulated(DOCUMENT, Call("GET", "/claimed"), site=site)

    assert ran(result) == [
        ("request", "request-id", 0, "passed"),
        ("request", "headers", 0, "passed"),
        ("request", "refuse", 0, "raised refused"),
        ("fault", "claim", 0, "answered 503"),
        ("response", "headers", 0, "passed"),
        ("response", "request-id", 0, "passed"),
    ]
    assert changes(result, "claim", "on_fault")[:2] == [
        ("response.status", None, 503),
        ("response.headers.content-type", None, "text/plain; charset=utf-8"),
    ]
    assert (result.answered_by, result.fault["reason"]) == ("routes.claimed/claim", "refused")


def test_branches_and_conditions_say_how_they_decided(site):
    result = simulated(DOCUMENT, Call("GET", "/branched"), site=site)

    assert ran(result)[1:5] == [
        ("request", "when", 0, "branch: otherwise"),
        ("request", "headers", 1, "passed"),
        ("request", "headers", 0, "skipped: condition false"),
        ("response", "headers", 1, "passed"),
    ]
    assert [run.changes[0].what for run in result.hooks if run.depth] == [
        "request.headers.x-way",
        "response.headers.x-left",
    ]


def test_on_the_way_out_a_condition_is_told_apart_from_one_amid_a_fault(site):
    skipped = {"claim": {"_": {"when": "request.method == 'PATCH'"}}}
    step = {"break": {"_": {"when": "request.method == 'PATCH'"}}}
    fault = simulated(routed("refuse", response=[skipped]), Call(), site=site)
    plain = simulated(routed(response=[step]), Call(), site=site)

    assert ("fault", "claim", 0, "skipped: condition false") in ran(fault)
    assert ran(plain) == [("response", "break", 0, "skipped: condition false")]


def test_a_mistake_of_a_plugin_is_seen_where_it_happened(site):
    result = simulated(DOCUMENT, Call("GET", "/failing"), site=site)

    assert ("response", "break", 0, "raised LookupError") in ran(result)
    assert result.response["body"] == "claimed plugin-error"


def test_reading_a_body_is_no_difference_and_replacing_or_mapping_it_is(site):
    result = simulated(routed("read", "shout"), Call("POST", "/", body=b"abc"), "- {response: {body: hello}}", site)

    assert changes(result, "read") == changes(result, "read", "on_response") == []
    assert changes(result, "shout") == [("request.body", "3 bytes: abc", "4 bytes: ABC!")]
    assert changes(result, "shout", "on_response") == [("response.body", "5 bytes", "a stream of unknown length")]
    assert (result.response["body"], result.attempts[0]["sent"]["body_bytes"]) == ("HELLO", 4)


def test_method_path_query_and_identity_are_among_the_differences(site):
    basic = {"auth": {"methods": [{"basic": {"users": {"ann": "right"}}}]}}
    login = ("Authorization", "Basic " + b64encode(b"ann:right").decode())
    result = simulated(routed(basic, "move"), Call("GET", "/a", "b=1&token=s3cret", (login,)), site=site)

    assert changes(result, "auth") == [("identity", None, "ann (basic)")]
    assert changes(result, "move") == [
        ("request.method", "GET", "POST"),
        ("request.path", "/a", "/moved"),
        ("request.query", "b=1&token=********", None),
    ]


def test_steps_start_and_stop_with_a_clock_that_stands_and_a_client_that_refuses(site, capsys):
    result = simulated(routed("account"), Call(), site=site)

    assert changes(result, "account") == [
        ("request.headers.x-slept", None, "3600"),
        ("request.headers.x-called", None, "simulated"),
    ]
    assert ran(result)[-1] == ("done", "account", 0, "passed")
    assert capsys.readouterr().out == "shut down, forever is over\n"


def test_a_body_that_is_no_text_is_only_counted_and_a_long_one_is_cut():
    long = simulated(routed(), Call(), json.dumps([{"response": {"body": "é" * 2000}}]))
    compress = {"compress": {"min_size": 1}}
    packed = simulated(
        routed(compress),
        Call(headers=(("accept-encoding", "gzip"),)),
        json.dumps([{"response": {"headers": {"content-type": "text/plain"}, "body": "a" * 5000}}]),
    )

    assert (long.response["body"], long.response["truncated"]) == ("é" * 1024, True)
    assert long.response["body_bytes"] == 4000
    assert (packed.response["body"], packed.response["truncated"]) == (None, False)


# --- mocks ----------------------------------------------------------------------------------------------------------


def test_the_first_mock_that_matches_answers():
    mocks = """
- {match: {method: POST}, response: {status: 201}}
- {match: {path: "/a/*", connection: other}, response: {status: 202}}
- {match: {path: "/a/*", connection: backend}, response: {json: null}}
- {match: {path: /late}, fault: timeout}
"""
    created, null, late, none = (
        simulated(routed(), Call(method, path), mocks)
        for method, path in [("POST", "/a/b"), ("GET", "/a/b/c"), ("GET", "/late"), ("GET", "/b")]
    )

    assert created.response["status"] == 201
    assert (null.response["status"], null.response["body"]) == (200, "null")
    assert (late.response["status"], late.attempts[0]["outcome"]) == (504, "timeout")
    assert (none.response["status"], none.fault["reason"]) == (502, "no-mock")


def test_a_connection_that_fails_is_tried_again_on_the_next_target():
    connection = {"targets": [{"url": "http://192.0.2.1"}, {"url": "http://192.0.2.2"}], "max_tries": 2}
    document = {"routes": [{"name": "all", "to": {"connection": "b"}}], "connections": {"b": connection}}
    result = simulated(json.dumps(document), Call(), "- {fault: connect-failed}")

    assert sorted(attempt["target"] for attempt in result.attempts) == ["http://192.0.2.1", "http://192.0.2.2"]
    assert [(each["outcome"], each["sent"]) for each in result.attempts] == [("connect-failed", None)] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "mocks.yaml:1:1: a mock file is a list"),
        ("", "mocks.yaml:1:1: a mock file is a list"),
        ("- {}", "mocks.yaml:1:3: [0]: a mock has either a response or a fault"),
        ("- {fault: slow}", "mocks.yaml:1:11: [0].fault: should be 'connect-failed', 'connect-refused', "),
        ("-\n  match: {route: a}\n  fault: broken", "mocks.yaml:2:11: [0].match.route: there is no option 'route'"),
        ("- response: {status: 99}", "mocks.yaml:1:22: [0].response.status: "),
        ("- response: {body: a, json: 1}", "mocks.yaml:1:13: [0].response: body and json are both there"),
        ("- response: {headers: {'a b': c}}", "mocks.yaml:1:23: [0].response.headers: 'a b' is not a header name"),
        ("- [", "mocks.yaml:2:1: a value is missing before this"),
    ],
)
def test_a_mistake_in_a_mock_file_is_told_with_its_place(text, message):
    with pytest.raises(ConfigError) as refused:
        mocks_in(text.encode(), "mocks.yaml")

    assert str(refused.value).startswith(message)
