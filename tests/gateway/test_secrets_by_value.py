"""What a reference was resolved to is hidden wherever it appears, by value (HC-7): traces, simulations, logs, pages."""

import json
import os
import re
import subprocess
import sys
from base64 import b64encode, urlsafe_b64encode
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hookgate import MASK, hide, hide_in
from hookgate.commands import app
from hookgate.exchange.hiding import Values
from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
SECRET = 'öl&s+ s3cr/et"w'
PLAIN = "hunter2-in-the-path"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=20)


def forms(secret):
    """How a secret may look where it appears."""
    pairs = [f"{before}{secret}{after}".encode() for before in ("", "u:", "us:", "usr:") for after in ("", "1", "22")]
    texts = [secret, quote(secret), quote(secret, safe=""), quote_plus(secret), quote(quote(secret, safe=""))]
    texts += ["".join(f"%{octet:02x}" for octet in secret.encode()), repr(secret)[1:-1]]
    texts += [json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(json.dumps(secret))]
    return [
        *texts,
        *(b64encode(each).decode() for each in pairs),
        *(urlsafe_b64encode(each).decode() for each in pairs),
    ]


def document(**more):
    """Secrets where no name says that there is one."""
    marked = {"X-Plain": "v ${env:BY_VALUE} w", "X-Encoded": quote(SECRET, safe=""), "X-Basic": basic()}
    return {
        "routes": [
            {
                "name": "all",
                "match": {"path": "/{rest...}"},
                "flow": [
                    {"log": {"message": "sees {{ request.headers['x-plain'] }}", "to_log": True}},
                    {"headers": {"request": {"set": {"X-Mine": "${env:BY_VALUE}"}}, "response": {"set": marked}}},
                    {"rewrite": {"path": "/${env:IN_PATH}/a"}},
                ],
                "to": {"connection": "crm"},
            }
        ],
        **more,
    }


def basic():
    """The secret as a password, in a header of another name."""
    return "Basic " + b64encode(f"gateway:{SECRET}".encode()).decode()


@pytest.fixture(autouse=True)
def values(monkeypatch):
    monkeypatch.setenv("BY_VALUE", SECRET)
    monkeypatch.setenv("IN_PATH", PLAIN)


def nothing_shows(*outputs):
    """Fail if a form of one of the secrets is in an output."""
    for output in outputs:
        assert not [form for secret in (SECRET, PLAIN) for form in forms(secret) if form in output]


@BOTH
def test_a_trace_shows_no_value_of_a_reference_wherever_a_call_carries_it(tmp_path, lane):
    """Headers of any name, paths, queries, bodies, notes: as it is, percent-encoded, and in Base64."""
    keeper = {"trace": {"path": str(tmp_path / "traces.db")}}
    with upstream() as backend:
        written = document(
            gateway={"lane": lane, "observers": [keeper], "hook_timeout": 60},
            management={"apps": ["trace", "health", "connections"]},
            trace={"sample": 1.0, "per_second": 1000},
            connections={"crm": {"targets": f"{backend.url}", "base_path": "/${env:IN_PATH}"}},
        )
        with running(written) as gate:
            target = f"/x/{quote(SECRET, safe='')}?q={quote_plus(SECRET)}&b={basic().partition(' ')[2]}"
            answer = gate.request("GET", target, headers={"X-Plain": quote(SECRET), "X-Other": basic()})
            pages = [httpx.get(f"{gate.management}/-/traces", trust_env=False)]
            (found,) = pages[0].json()["traces"]
            pages.append(httpx.get(f"{gate.management}/-/traces/{found['id']}", trust_env=False))

    assert answer.status_code == 200
    assert answer.headers["x-basic"] == basic(), "the client gets what it is sent"
    assert [each.status_code for each in pages] == [200, 200]
    shown = pages[1].json()
    changed = [change for run in shown["hooks"] for change in run["changes"]]
    assert {"what": "request.headers.x-mine", "before": None, "after": MASK} in changed
    assert any("sees ********" in note["text"] for note in shown["notes"])
    nothing_shows(*(page.text for page in pages))


def test_bodies_in_traces_are_hidden_before_they_are_cut():
    """What begins in the part that is shown does not show its beginning."""
    written = {
        "trace": {"sample": 1.0, "per_second": 1000, "body": 40},
        "routes": [{"name": "all", "flow": [{"respond": {"body": "x" * 32 + " ${env:IN_PATH} end"}}]}],
    }
    with running(written) as gate:
        gate.request("GET", "/")
        (call,) = gate.wait_for_exchanges(1)

    told = json.dumps(call.trace.as_dict())
    assert MASK[:5] in told
    assert PLAIN[:3] not in told


def test_no_command_shows_a_value_of_a_reference(tmp_path):
    """Simulations of calls that carry them, a table of routes, warnings."""
    file = tmp_path / "gateway.json"
    told = document(connections={"crm": {"targets": "http://127.0.0.1:1", "base_path": "/${env:IN_PATH}"}})
    told["routes"].append({"name": "hidden ${env:IN_PATH}", "match": {"path": "/${env:IN_PATH}"}, "flow": ["respond"]})
    file.write_text(json.dumps(told))
    call = ["--request", f"GET /x?q={quote_plus(SECRET)}", "--header", f"X-A: {quote(SECRET)}"]
    outputs = []
    for arguments in (["simulate", *call], ["simulate", "--json", *call], ["routes"], ["routes", "--json"], ["check"]):
        done = CliRunner().invoke(app, [arguments[0], str(file), *arguments[1:]], env={"COLUMNS": "1000"})
        assert (done.exit_code, done.exception) == (0, None)
        outputs.append(done.output)

    nothing_shows(*outputs)
    assert "x-mine: ********" in outputs[0]


@contextmanager
def served(folder, written, **environment):
    """Run `hookgate serve`; gives the URL, and where stderr is."""
    file, said = folder / "gateway.json", folder / "stderr"
    file.write_text(json.dumps(written))
    command = [sys.executable, "-m", "hookgate", "serve", str(file)]
    settings = {"HOOKGATE_LOG_LEVEL": "debug", "NO_COLOR": "1", **environment}
    with said.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, **settings})
        try:
            for line in process.stderr:
                stderr.write(line)
                stderr.flush()
                if found := re.search(rb"hookgate serves (http://[^\s\"]+)", line):
                    yield found[1].decode(), said
                    break
        finally:
            process.terminate()
            stderr.write(process.communicate(timeout=60)[1])


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_log_of_a_gateway_shows_a_value_of_a_reference(tmp_path, style):
    """Its own log, in both forms; the access log; the log of messages, with bodies."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "fail.py").write_text(FAILS)
    with upstream() as backend:
        written = document(
            gateway={
                "listen": ["127.0.0.1:0"],
                "lame_duck": 0,
                "observers": [
                    {"access-log": {"output": str(tmp_path / "access"), "query": True, "more": MORE}},
                    {"access-log": {"output": str(tmp_path / "text"), "query": True, "more": MORE, "format": "text"}},
                ],
                "flow": [{"message-log": {"output": str(tmp_path / "messages"), "bytes": 40}}, {"message-log": {}}],
            },
            management={"enabled": False},
            connections={"crm": {"targets": backend.url, "base_path": "/${env:IN_PATH}"}},
        )
        written["routes"][0]["flow"].append({"fail": {"text": "${env:BY_VALUE}"}})
        environment = {"HOOKGATE_PLUGINS_DIR": str(tmp_path / "site"), "HOOKGATE_LOG_FORMAT": style}
        with served(tmp_path, written, **environment) as (url, said):
            path = f"{url}/x/{PLAIN}?q={quote_plus(SECRET)}"
            got = httpx.post(path, content=f"{'x' * 30} {PLAIN}", headers=HEADERS, trust_env=False)
            assert got.status_code == 500

    log, access, text, messages = ((tmp_path / name).read_text() for name in (said.name, "access", "text", "messages"))
    assert f"wrong is {MASK}" in log
    assert "sees ********" in log
    assert json.loads(access)["more"]["plain"] == MASK
    nothing_shows(log, access, text, messages)
    assert PLAIN[:4] not in messages
    dated = r"^\{\"time\": \"|^" if style == "json" else r"^"
    assert re.search(rf"(?m)(?:{dated})\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z", log)
    if style == "json":
        lines = [json.loads(line) for line in log.splitlines()]
        assert any(line["message"].startswith("hookgate serves http") for line in lines)
        (failed,) = [line for line in lines if "exception" in line]
        assert failed["level"] == "error"
        assert failed["logger"].startswith("hookgate")
        assert failed["exception"].startswith("Traceback")


HEADERS = {"X-Plain": quote(SECRET), "Content-Type": "text/plain"}
MORE = {"plain": "request.headers['x-plain']"}
FAILS = '''
from hookgate import Interceptor, Options, hookimpl


class FailOptions(Options):
    text: str


class Fail(Interceptor[FailOptions]):
    """Fails, with a secret in its text."""

    @hookimpl
    def on_request(self, exchange):
        raise LookupError(f"wrong is {self.options.text}")
'''


def test_pages_show_no_value_of_a_reference(monkeypatch):
    monkeypatch.setenv("HOST_NAME", "hunter2.internal.example")
    written = {
        "gateway": {"observers": [{"prometheus": {"labels": ["team"]}}]},
        "management": {"apps": ["health", "connections", "prometheus"]},
        "routes": [
            {
                "name": f"{path} ${{env:IN_PATH}}",
                "match": {"path": f"/{path}"},
                "labels": labels,
                "to": {"connection": "crm"},
            }
            for path, labels in (("a", {"team": "${env:IN_PATH}"}), ("b", {"team": "${env:HOST_NAME}"}))
        ],
        "connections": {"crm": {"targets": "http://${env:HOST_NAME}:81", "tags": ["${env:IN_PATH}"]}},
    }
    with running(written) as gate:
        for path in ("/a", "/b", "/b"):
            gate.request("GET", path)
        gate.wait_for_exchanges(3)
        pages = [
            httpx.get(f"{gate.management}/-/{page}", trust_env=False).text
            for page in ("health", "connections", "connections/crm", "metrics")
        ]

    assert all("http://********:81" in page for page in pages)
    assert not [page for page in pages if "hunter2" in page]
    assert 'hookgate_requests_total{route="b ********",team="********",method="GET",status="502"} 2' in pages[3]


def test_values_of_documents_that_are_gone_are_looked_for_no_more_and_short_ones_and_addresses_never():
    values = Values()
    values.add(
        [
            "s3cret",
            "short",
            "127.0.0.1",
            "[2001:db8::7]:80",
            "10.0.0.1:8080",
            "localhost:9000",
            "localhost",
            "2001:db8::7",
        ]
    )

    assert hide("s3cret short 127.0.0.1 [2001:db8::7]:80 10.0.0.1:8080 localhost:9000 localhost 2001:db8::7") == (
        f"{MASK} short 127.0.0.1 [2001:db8::7]:80 10.0.0.1:8080 localhost:9000 localhost 2001:db8::7"
    )
    del values
    others = Values()
    others.add(["an0ther"])
    assert hide("s3cret") == "s3cret"


@settings(deadline=None, max_examples=200)
@given(secret=TEXTS, before=st.text(max_size=5), after=st.text(max_size=5))
@example(secret="%41%25\\u0041", before="", after="")
@example(secret="a\\\\bcd\\", before="\\", after='"')
@example(secret="AAAAAA", before="", after="")
def test_a_value_is_found_in_every_form(secret, before, after):
    """However it is encoded, inside other text, and in data."""
    values = Values()
    values.add([secret])
    for form in forms(secret):
        assert form not in hide(f"{before} {form} {after}") or form in MASK
        assert form not in json.dumps(hide_in({"a": [form, {form: 1}], "b": (form, None, True)})) or form in MASK


def test_a_value_is_found_as_it_looks_on_its_way():
    """Without blanks around it, as a host in small letters, as a URL without its slash, as octets of a head."""
    values = Values()
    values.add(["  spaced-secret\n", "Hunter2.Example", "http://Secret.Host:80/", "pässwörter"])

    for text in ("spaced-secret", "hunter2.example", "http://secret.host:80", "pässwörter".encode().decode("latin-1")):
        assert hide(f"a {text} b") == f"a {MASK} b"


def test_numbers_and_other_data_stay_as_they_are():
    values = Values()
    values.add(["12345678"])
    told = {"a": (1, 2.5, None, True), "b": [12345678, "x"], "c": {}}

    assert hide_in(told) == {"a": (1, 2.5, None, True), "b": [MASK, "x"], "c": {}}
