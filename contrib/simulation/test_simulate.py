"""One call through the real flow of a document without a network: the command, and that it is the same engine."""

import asyncio
import json
import os
import subprocess
import sys
from base64 import b64encode

import pytest

from hookgate import ConfigError
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.gateway.configuration import load
from hookgate.testing import running, upstream
from hookgate.testing.upstream import Reset
from hookgate_simulation import Call, mocks_in, simulate

SITE = '''\
"""Steps for these tests."""

import asyncio

from hookgate import Exchange, Forbidden, Host, HookgateError, Interceptor, Options, Response, hookimpl


class Claim(Interceptor[Options]):
    """Answers faults."""

    @hookimpl
    def on_fault(self, exchange: Exchange) -> Response | None:
        return Response.text(f"claimed {exchange.fault.reason}", 503)


class Refuse(Interceptor[Options]):
    """Refuses, but sees the end of calls that others let pass."""

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        raise Forbidden("No.", reason="refused")


class Break(Interceptor[Options]):
    """Has a mistake."""

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        raise LookupError("oh")


class Account(Interceptor[Options]):
    """Has all that the house offers, and an end."""

    @hookimpl
    async def startup(self, host: Host) -> None:
        self.host = host
        self.forever = host.start("forever", self.beside())

    async def beside(self) -> None:
        while True:
            await self.host.clock.sleep(1)

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        began = self.host.clock.wall()
        await self.host.clock.sleep(3600)
        exchange.request.headers.set("x-slept", f"{self.host.clock.wall() - began:.0f}")
        try:
            await self.host.http.request("GET", "http://127.0.0.1:1/")
        except HookgateError as fault:
            exchange.request.headers.set("x-called", fault.reason)

    @hookimpl
    def on_done(self, exchange: Exchange) -> None:
        pass

    @hookimpl
    async def shutdown(self) -> None:
        print(f"shut down, forever is {'over' if self.forever.done() else 'running'}")


class Read(Interceptor[Options]):
    """Reads bodies and changes nothing."""

    reads = {"request.body", "response.body"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.request.body.data

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        exchange.response.body.data


class Shout(Interceptor[Options]):
    """Replaces the request's body, and maps that of the response."""

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        exchange.request.body.set((await exchange.request.body.read()).upper() + b"!")

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        exchange.response.body.map(bytes.upper)


class Move(Interceptor[Options]):
    """Turns a call into another one."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.request.method, exchange.request.path, exchange.request.query = "POST", "/moved", ""


class Ill(Interceptor[Options]):
    """Cannot start."""

    @hookimpl
    def startup(self, host: Host) -> None:
        raise ValueError("no disk")

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        pass
'''

DOCUMENT = """\
gateway: {flow: [request-id]}
routes:
  - {name: early, match: {path: /early}, flow: [cors: {allow_origins: [https://a.example]}, respond: {status: 418}]}
  - {name: claimed, match: {path: /claimed}, flow: [claim, headers: {response: {set: {x-b: "1"}}}, refuse]}
  - {name: unclaimed, match: {path: /unclaimed}, flow: [refuse]}
  - name: branched
    match: {path: /branched}
    flow:
      - when:
          if: request.method == 'POST'
          flow: [headers: {request: {set: {x-way: then}}}]
          otherwise: {flow: [headers: {request: {set: {x-way: otherwise}}, response: {set: {x-left: "1"}}}]}
      - headers: {response: {set: {x-never: "1"}}, _: {when: request.client == '192.0.2.1'}}
    to: {connection: backend}
  - name: proxied
    match: {path: "/orders/{id}"}
    flow:
      - rate-limit: {limit: 9, window: hour, headers: false}
      - headers: {request: {remove: [x-drop], set: {x-a: "1"}}}
    to: {connection: backend, path: "/v2/{id}"}
  - {name: broken, match: {path: /broken}, to: {connection: backend}}
  - {name: failing, match: {path: /failing}, flow: [claim, break], to: {connection: backend}}
connections:
  backend: {targets: [{url: "BACKEND"}]}
"""
NOBODY = "http://192.0.2.1"
FAULTS = "'connect-failed', 'connect-refused', 'connect-timeout', 'dns-failed', 'tls-failed', 'timeout' or 'broken'"
MOCKS = """\
- {match: {path: /broken}, fault: broken}
- {response: {status: 203, headers: {x-backend: "1"}, body: hello}}
"""


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "steps.py").write_text(SITE)
    return folder


def run_cli(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hookgate", "simulate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **{k: str(v) for k, v in environment.items()}},
    )


def simulated(document, call, mocks=None, site=None):
    """Simulate in this process."""

    async def run():
        config = await load(parse(document.replace("BACKEND", NOBODY).encode(), "document.yaml"), Catalogue(site))
        return await simulate(config, call, mocks_in(mocks.encode(), "mocks.yaml") if mocks else None)

    return asyncio.run(run())


def routed(*steps, **more):
    """A document of one route with these steps."""
    route = {"name": "all", "match": {"path": "/*"}, "flow": list(steps), "to": {"connection": "backend"}, **more}
    return json.dumps({"routes": [route], "connections": {"backend": {"targets": [{"url": "http://192.0.2.1"}]}}})


def ran(result):
    return [(run.phase, run.plugin, run.depth, run.decision) for run in result.hooks]


def changes(result, plugin, hook="on_request"):
    (found,) = (run.changes for run in result.hooks if (run.plugin, run.hook) == (plugin, hook))
    return [(change.what, change.before, change.after) for change in found]


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


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def document(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(DOCUMENT.replace("BACKEND", NOBODY))
    return file


def test_the_command_shows_what_ran_what_changed_and_the_answer(document, site):
    shown = run_cli(document, "--request", "GET /claimed", HOOKGATE_PLUGINS_DIR=site)
    lines = [line.split() for line in shown.stdout.splitlines()]

    assert shown.returncode == 0
    assert shown.stderr == ""
    assert [line[:4] for line in lines if line[:1] in (["→"], ["←"], ["✗"])][2:4] == [
        ["→", "refuse", "on_request", "raised"],
        ["✗", "claim", "on_fault", "answered"],
    ]
    assert ["+", "response.headers.x-b:", "1"] in lines
    assert "answer 503 Service Unavailable by routes.claimed/claim" in shown.stdout
    assert shown.stdout.endswith("claimed refused\n")


def test_the_command_takes_headers_a_body_a_client_and_mocks(document, site, tmp_path):
    (tmp_path / "body.bin").write_bytes(b"\x00\x01\x02")
    (tmp_path / "mocks.yaml").write_text("- {match: {method: PUT}, response: {status: 202, json: {ok: true}}}\n")
    shown = run_cli(
        document,
        *("--request", "PUT /orders/7?x=1"),
        *("--header", "X-Drop: 1", "--header", "Host: api.example"),
        *("--body", f"@{tmp_path / 'body.bin'}", "--client", "192.0.2.7"),
        *("--upstream", tmp_path / "mocks.yaml", "--json"),
        HOOKGATE_PLUGINS_DIR=site,
    )
    result = json.loads(shown.stdout)
    sent = result["attempts"][0]["sent"]

    assert (shown.returncode, result["route"]["name"], result["params"]) == (0, "proxied", {"id": "7"})
    assert (sent["method"], sent["url"], sent["body_bytes"]) == ("PUT", "http://192.0.2.1/v2/7?x=1", 3)
    assert ["x-forwarded-for", "192.0.2.7"] in sent["headers"]
    assert ["x-forwarded-host", "api.example"] in sent["headers"]
    assert (result["response"]["status"], result["response"]["body"]) == (202, '{"ok": true}')
    assert {"what": "request.headers.x-drop", "before": "1", "after": None} in [
        change for run in result["hooks"] for change in run["changes"]
    ]
    assert all(run["microseconds"] >= 0 and run["step"] for run in result["hooks"])


def test_nothing_leaves_the_process_but_what_steps_do_themselves(tmp_path):
    with upstream() as backend:
        file = tmp_path / "gateway.yaml"
        file.write_text(
            f"""\
gateway: {{observers: [access-log: {{output: {tmp_path}/access.log}}]}}
routes: [{{name: all, to: {{connection: backend}}}}]
connections:
  backend: {{targets: [{{url: "{backend.url}"}}], monitor: {{http: {{path: /health, interval: 0.01}}}}}}
""",
        )
        shown = run_cli(file, "--request", "GET /a?b=1")

        assert (shown.returncode, backend.connections) == (0, 0)
    assert '"path": "/a", "query": "b=1"' in shown.stdout
    assert not (tmp_path / "access.log").exists()


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_secrets_are_masked_wherever_they_would_be_shown(tmp_path, form):
    file = tmp_path / "gateway.yaml"
    file.write_text(
        """\
routes:
  - name: all
    flow:
      - headers: {request: {set: {x-api-key: s3cret-set}, remove: [cookie]}, response: {add: {set-cookie: s3cret-back}}}
    to: {connection: backend}
connections:
  backend:
    targets: [{url: "http://192.0.2.1"}]
    auth: [basic: {username: gate, password: s3cret-pass, header: X-Login}]
""",
    )
    shown = run_cli(
        file,
        *("--request", "GET /a?access_token=s3cret-query&b=1", "--header", "Authorization: Bearer s3cret-bearer"),
        *("--header", "Cookie: a=s3cret-cookie", *form),
    )
    everything = shown.stdout + shown.stderr

    assert shown.returncode == 0
    assert "s3cret" not in everything
    assert b64encode(b"gate:s3cret-pass").decode() not in everything
    assert "access_token=********&b=1" in everything
    assert "x-login" in everything


def test_everything_wrong_with_the_usage_is_told_at_once_with_its_place(document, tmp_path):
    (tmp_path / "mocks.yaml").write_text("- {fault: brken}\n")
    refused = run_cli(
        document,
        *(
            "--request",
            "GET orders",
            "--header",
            "X-Key s3cret",
            "--header",
            "a:b\x01",
            "--header",
            "Content-Length: 3",
        ),
        *("--client", "10.0.0", "--body", f"@{tmp_path}/none", "--upstream", tmp_path / "mocks.yaml"),
    )

    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "--request:1:5: the path begins with /; write a method and a path, such as 'GET /orders?page=2'",
        "--header[0]:1:6: a header name is one word (RFC 9110, 5.1); write 'Name: value'",
        "--header[1]:1:3: the value of a has a control character",
        "--header[2]:1:1: leave out Content-Length: it follows from --body",
        "--client:1:1: '10.0.0' is no IP address; write one such as 10.0.0.1",
        f"{tmp_path}/none: --body: cannot be read: No such file or directory; name a file",
        f"{tmp_path}/mocks.yaml:1:11: [0].fault: should be {FAULTS}",
        "7 problems; nothing was changed.",
    ]


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("", 1, "the method is missing"),
        ("/orders", 1, "the method is missing"),
        ("GET", 4, "the path is missing"),
        ("GE(T /", 3, "'(' does not belong into a method"),
        ("GET ftp://a/", 5, "the path begins with /, and a URL with http:// or https://"),
        ("GET http://u:p@a/", 5, "the path begins with /, and a URL with http:// or https://"),
        ("GET /a b", 7, "' ' must be percent-encoded"),
        ("GET /é", 6, "'é' must be percent-encoded"),
        ("GET /a#b", 7, "a fragment is never sent"),
    ],
)
def test_a_malformed_request_is_told_with_its_column(line, column, message):
    from hookgate_simulation.command import command

    with pytest.raises(ConfigError) as refused:
        command(document="any.yaml", request=line, header=None, body="", client="::1", upstream=None, json=False)

    (problem,) = refused.value.problems
    assert (problem.file, problem.line, problem.column) == ("--request", 1, column)
    assert message in problem.message


def test_a_bad_document_and_a_step_that_cannot_start_are_exit_code_2(document, site):
    bad = run_cli(document)  # without the folder of the site's steps
    document.write_text(routed("ill"))
    ill = run_cli(document, HOOKGATE_PLUGINS_DIR=site)

    assert bad.returncode == 2
    assert f"{document}:4:" in bad.stderr
    assert "no interceptor is installed under the name 'claim'" in bad.stderr
    assert ill.returncode == 2
    assert "routes.all/ill: could not be started: ValueError: no disk" in ill.stderr
