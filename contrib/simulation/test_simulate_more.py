"""Simulation: the function for tests, calls amid the call, and recordings as backends."""

import json
import time
from base64 import b64encode

import pytest
from typer.testing import CliRunner

from hookgate import ConfigError
from hookgate.commands import app
from hookgate.testing import running, upstream
from hookgate_simulation import recorded
from hookgate_simulation.testing import simulate

from .corpussteps import PLUGINS

NOBODY = "http://192.0.2.1"


@pytest.fixture
def plugins(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "steps.py").write_text(PLUGINS)
    return folder


def routed(*steps, **connection):
    return {
        "routes": [
            {"name": "inner", "match": {"path": "/inner"}, "flow": [], "to": {"connection": "crm"}},
            {"name": "all", "match": {"path": "/{rest...}"}, "flow": list(steps), "to": {"connection": "crm"}},
        ],
        "connections": {"crm": {"targets": [NOBODY], **connection}},
    }


def test_the_function_takes_a_document_in_every_form_and_echoes_without_mocks(plugins, tmp_path):
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(routed("mark")))
    results = [
        simulate(document, "PUT", "/a?b=1", headers={"X-A": "1"}, body="text", client="192.0.2.7", plugins_dir=plugins)
        for document in (routed("mark"), json.dumps(routed("mark")), file)
    ]

    for result in results:
        assert (result.route, result.status, result.params) == ("all", 200, {"rest": "a"})
        assert result.json()["path"] == "/a"
        (sent,) = result.sent
        assert (sent["url"], sent["body_bytes"], sent["answered_by"]) == (f"{NOBODY}/a?b=1", 4, "echo")
        assert ["x-forwarded-for", "192.0.2.7"] in sent["headers"]
        assert result.header("X-Out") == "m"
        json.dumps(result.as_dict())


async def test_the_function_may_be_called_from_a_coroutine(plugins):
    assert simulate(routed(), plugins_dir=plugins).status == 200


def test_mistakes_in_mocks_are_told_with_their_place():
    with pytest.raises(ConfigError, match=r"mocks\[1\]\.times"):
        simulate(routed(), mocks=[{"fault": "broken"}, {"fault": "broken", "times": 0}])
    with pytest.raises(ConfigError, match="url says it all"):
        simulate(routed(), mocks=[{"match": {"url": "http://a/", "path": "/"}, "fault": "broken"}])


def test_a_call_by_url_is_answered_only_by_a_mock_for_the_url(plugins):
    document = routed({"ring": {"url": "https://id.example/token?a=1"}})
    everything = {"response": {"body": "backend"}}
    refused, answered = (
        simulate(document, mocks=mocks, plugins_dir=plugins)
        for mocks in (
            [everything],
            [{"match": {"url": "https://id.example/*", "method": "POST"}, "response": {"body": "token"}}, everything],
        )
    )

    assert ["x-rung", "simulated"] in refused.sent[0]["headers"]
    assert refused.callouts[0]["error"] == "simulated"
    assert ["x-rung", "200 token"] in answered.sent[0]["headers"]
    (call,) = answered.calls
    assert (call["method"], call["url"], call["body_bytes"]) == ("POST", "https://id.example/token?a=1", 2)
    assert call["answered_by"] == "mock 0"


def test_a_call_by_url_is_read_as_the_live_client_reads_it(plugins):
    document = routed({"ring": {"url": "HTTPS://ID.example:443/a/../token"}})
    mocks = [{"match": {"url": "https://id.example/token"}, "response": {"body": "token"}}, {"response": {}}]
    result = simulate(document, mocks=mocks, plugins_dir=plugins)

    assert ["x-rung", "200 token"] in result.sent[0]["headers"]
    assert ["host", "id.example"] in result.calls[0]["headers"]


def test_calls_over_connections_and_visits_are_told_apart_from_the_call_itself(plugins):
    document = routed({"ring": {"url": "/rung", "connection": "crm"}}, {"visit": {"to": "/inner"}})
    result = simulate(document, mocks=[{"response": {"body": "ok"}}], plugins_dir=plugins)

    assert [call["url"] for call in result.calls] == [f"{NOBODY}/rung", f"{NOBODY}/inner"]
    assert [sent["url"] for sent in result.sent] == [f"{NOBODY}/"]
    assert [visit["route"]["name"] for visit in result.visits] == ["inner"]
    assert [(each["connection"], each["status"]) for each in result.callouts] == [("crm", 200), ("(gateway)", 200)]


def test_what_a_step_hides_is_shown_nowhere(plugins):
    mocks = [{"response": {"headers": {"x-secret-id": "s3cret-id"}, "body": "fine"}}]
    for answers in (mocks, None):
        result = simulate(
            routed("tell"), "GET", "/?pin=4711", headers={"X-Card": "4222"}, mocks=answers, plugins_dir=plugins
        )
        told = json.dumps(result.as_dict())
        assert not [hidden for hidden in ("4222", "4711", "s3cret-id") if hidden in told]
    assert (result.notes, result.facts) == (["begun", "done"], {"kind": "order"})


def test_a_retry_does_not_wait_and_says_why_it_came(plugins):
    retry = {"max_tries": 3, "retry": {"on": [503], "delay": 60}}
    mocks = [{"response": {"status": 503}, "times": 2}, {"response": {"body": "at last"}}]
    began = time.monotonic()
    result = simulate(routed(**retry), mocks=mocks, plugins_dir=plugins)

    assert time.monotonic() - began < 20
    assert (result.content, [each["verdict"] for each in result.attempts]) == (b"at last", ["tried again"] * 2 + [""])
    assert [sent["answered_by"] for sent in result.sent] == ["mock 0", "mock 0", "mock 1"]


def test_a_connection_with_discovery_asks_nobody():
    document = routed()
    document["connections"]["crm"] = {"discovery": {"dns": {"name": "crm.invalid", "port": 80}}}
    assert simulate(document).attempts[0]["target"] == "http://discovered.invalid"


def test_a_request_that_is_no_call_has_the_same_shape():
    call, none = simulate(routed()).as_dict(), simulate(routed(), "GET", "/%zz").as_dict()

    assert (none["response"]["status"], none["hooks"], none["route"]) == (400, [], None)
    assert none.keys() == call.keys()
    assert none["request"].keys() == call["request"].keys()


# --- recordings -----------------------------------------------------------------------------------------------------


def entry(url, status=200, text="", method="GET", **content):
    headers = [
        {"name": "Content-Encoding", "value": "gzip"},
        {"name": ":status", "value": str(status)},
        {"name": "X-A", "value": "1"},
    ]
    response = {"status": status, "headers": headers, "content": {"text": text, "mimeType": "text/plain", **content}}
    return {"request": {"method": method, "url": url, "headers": []}, "response": response}


@pytest.fixture
def har(tmp_path):
    file = tmp_path / "calls.har"
    entries = [
        entry("https://old.example/a?x=1", 200, "first"),
        entry("https://old.example/a?x=1", 201, "second"),
        entry("https://other.example/[b]", 200, b64encode(b"\x00\xff").decode(), encoding="base64"),
        entry(f"{NOBODY}/[b]", 202, "exact"),
        entry("https://id.example/rung", 200, "rung", "POST"),
        entry("https://old.example/gone", 0),
    ]
    file.write_text(json.dumps({"log": {"entries": entries}}))
    return file


def test_a_har_file_answers_by_method_path_and_query_and_the_nearest_host(har, plugins):
    def answer(path, method="GET", *steps):
        result = simulate(routed(*steps), method, path, recording=har, plugins_dir=plugins)
        return result.status, result.content

    assert answer("/a?x=1") == (200, b"first")
    assert answer("/[b]") == (202, b"exact")
    assert answer("/gone")[0] == 502
    assert answer("/a")[0] == 502
    assert answer("/a?x=1", "POST")[0] == 502
    result = simulate(routed(), "GET", "/a?x=1", recording=har)
    assert (result.header("x-a"), result.header("content-encoding")) == ("1", None)
    rung = simulate(
        routed({"ring": {"url": "https://id.example/rung"}}), "GET", "/a?x=1", recording=har, plugins_dir=plugins
    )
    assert ["x-rung", "200 rung"] in rung.sent[0]["headers"]


def test_what_was_asked_more_than_once_is_answered_in_order_the_last_again_and_again(har):
    mocks = [mock for mock in recorded(har.read_bytes(), "a.har") if mock.match.path == "/a" and not mock.match.target]
    assert [(mock.response.status, mock.times) for mock in mocks] == [(200, 1), (201, None)]


def test_bytes_of_a_har_file_are_those_recorded(har):
    document = routed()
    document["connections"]["crm"]["targets"] = ["https://other.example"]
    assert simulate(document, "GET", "/[b]", recording=har).content == b"\x00\xff"


def test_the_trace_of_a_live_call_can_be_replayed(plugins, tmp_path):
    answers = iter([(503, {}, "busy"), (200, {"x-backend": "b"}, "fine")])
    with upstream(lambda request: next(answers)) as backend:
        document = routed("mark", "read", "shout", targets=[backend.url], max_tries=2, retry={"on": [503]})
        document["trace"] = {"token": "only-for-tests"}
        with running(document, plugins_dir=plugins) as gate:
            live = gate.request("GET", "/x", headers={"x-hookgate-trace": "only-for-tests"})
            (exchange,) = gate.wait_for_exchanges(1)
            file = tmp_path / "trace.json"
            file.write_text(json.dumps(exchange.trace.as_dict()))
    result = simulate(document, "GET", "/x", recording=file, plugins_dir=plugins)

    assert [each["status"] for each in result.attempts] == [503, 200]
    assert result.status == live.status_code == 200
    assert (result.header("x-backend"), result.header("x-out")) == ("b", "m")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "rec:1:2: the recording is no JSON"),
        ("[]", "rec:1:1: a recording is a HAR file"),
        ('{"log": {"entries": [{}]}}', "log.entries[0]: is no entry of a HAR file"),
        ('{"attempts": [{}]}', "is no trace"),
        ('{"log": {"entries": [{"request": {"method": "A", "url": "/"}, "response": {"status": 99}}]}}', "status"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_place(text, message):
    with pytest.raises(ConfigError) as refused:
        recorded(text.encode(), "rec")
    assert message in str(refused.value)


def test_the_command_answers_from_a_recording_and_shows_notes_facts_calls_and_verdicts(
    har, plugins, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOOKGATE_PLUGINS_DIR", str(plugins))
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(routed({"ring": {"url": "https://id.example/rung"}}, "tell")))
    shown = CliRunner().invoke(app, ["simulate", str(file), "--request", "GET /moved?a=b", "--recording", str(har)])

    assert shown.exit_code == 0, shown.output
    for words in ("begun", "fact kind order", "callout POST https://id.example/rung", "not tried again", "no-mock"):
        assert words in shown.output


def test_the_token_of_a_trace_reaches_no_backend_here_either():
    document = {**routed(), "trace": {"token": "only-for-tests", "body": 0}}
    result = simulate(document, headers={"X-Hookgate-Trace": "only-for-tests"})

    assert "x-hookgate-trace" not in dict(result.sent[0]["headers"])
    assert result.header("x-hookgate-trace-id") is None


def test_the_function_at_its_old_place_says_where_it_is_now():
    with pytest.raises(ImportError) as refused:
        from hookgate.testing import simulate  # noqa: F401

    told = "from hookgate_simulation.testing import simulate (pip install hookgate-simulation)"
    assert str(refused.value) == f"hookgate.testing.simulate has moved; write: {told}"


GUARDED = [
    {"auth": {"methods": [{"basic": {"users": {"ann": "only-for-tests"}}}]}},
    {"headers": {"request": {"set_from": {"X-Tenant": "claims.tenant", "X-Roles": "identity.roles.{ #this }[0]"}}}},
]


def test_a_call_may_come_over_tls_and_from_whoever_one_says(tmp_path):
    file = tmp_path / "gateway.json"
    condition = "request.scheme == 'https' && request.tls.server_name == 'shop.example'"
    written = routed(*GUARDED)
    written["routes"][1]["match"] = {"path": "/{rest...}", "host": "shop.example", "when": condition}
    file.write_text(json.dumps(written))
    who = '{"subject": "ann", "roles": ["admin"], "claims": {"tenant": "acme"}, "application": "till"}'
    url = ["--request", "GET https://shop.example:8443/a?x=1"]
    host = ["--request", "GET /a", "-H", "Host: shop.example"]

    def told(*arguments):
        done = CliRunner().invoke(app, ["simulate", str(file), "--json", *arguments])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    by_json = told(*url, "-H", "X-A: b", "--identity", who)
    assert by_json["identity"] == {"subject": "ann", "method": ""}
    assert (by_json["request"]["scheme"], by_json["request"]["host"]) == ("https", "shop.example:8443")
    sent = dict(by_json["attempts"][0]["sent"]["headers"])
    assert (sent["x-tenant"], sent["x-roles"], sent["x-a"]) == ("acme", "admin", "b")
    assert sent["x-forwarded-proto"] == "https"
    by_name = told(*host, "--https", "--identity", "ann")
    assert (by_name["response"]["status"], by_name["identity"]["subject"]) == (200, "ann")
    assert told(*host, "--https")["response"]["status"] == 401
    assert told(*host, "--identity", "ann")["response"]["status"] == 404


def test_the_function_for_tests_takes_a_scheme_and_an_identity():
    result = simulate(routed(*GUARDED), scheme="https", identity="ann")
    assert (result.status, result.trace["identity"]["subject"]) == (200, "ann")
    assert simulate(routed(*GUARDED)).status == 401


def test_who_calls_is_known_where_no_step_asks_for_it():
    step = {"when": {"if": "identity.subject == 'ann'", "flow": [{"respond": {"status": 218}}]}}
    assert [simulate(routed(step), identity=who).status for who in ("ann", "bob", None)] == [218, 200, 200]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--identity", " "], "--identity:1:1: the subject is missing"),
        (["--identity", "{"], "--identity:1:1: Invalid JSON"),
        (["--identity", '{"subject": "a", "rolls": []}'], "--identity:1:1: rolls: Extra inputs are not permitted"),
        (["--request", "GET https://a/", "-H", "Host: b"], "--request:1:1: the URL names the host already"),
        (["--request", "GET https://a b/"], "--request:1:14: "),
        (["--request", "GET https://ü/"], "--request:1:13: "),
    ],
)
def test_what_is_wrong_with_who_calls_and_for_whom_is_told(tmp_path, arguments, message):
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(routed()))
    done = CliRunner().invoke(app, ["simulate", str(file), *arguments])

    assert done.exit_code == 1
    assert message in str(done.exception)


def test_no_result_holds_a_value_of_a_reference_but_what_the_client_gets(monkeypatch):
    """Headers, queries, paths and bodies: of hooks, attempts, calls and the answer."""
    monkeypatch.setenv("SIMULATED", "hunter2-simulated")
    steps = [
        {
            "headers": {
                "request": {"set": {"X-A": "${env:SIMULATED}"}},
                "response": {"set": {"X-B": "${env:SIMULATED}"}},
            }
        },
        {"log": {"message": "says ${env:SIMULATED}"}},
        {"rewrite": {"path": "/${env:SIMULATED}"}},
    ]
    result = simulate(routed(*steps), path="/a?b=hunter2%2Dsimulated", headers={"X-C": "hunter2-simulated"})
    told = f"{result.as_dict()} {result.hooks} {result.sent}"

    assert ("hunter2" in told, told.count("********") > 8) == (False, True)
    assert b"hunter2-simulated" in result.content
