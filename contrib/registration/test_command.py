"""`hookgate register` beside a backend: real processes, a real gateway, real signals."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from hookgate.testing import running, upstream
from hookgate_authoring.conformance import conformance
from hookgate_registration.command import SECRET, RegisterCommands

KEY = "a key of joe, long enough for all of this"
BY_KEY = {"keys": {"joe": {"algorithm": "hmac-sha256", "secret": KEY, "roles": ["google"]}}}
BY_PASSWORD = {"profile": {"basic": {"users": {"joe": KEY}, "roles": {"joe": ["google"]}}}}
BACKEND = """
import http.server, signal, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"me")
signal.signal(signal.SIGTERM, lambda *_: (print("told to end", flush=True), sys.exit(7)))
signal.signal(signal.SIGHUP, lambda *_: print("told to read anew", flush=True))
import os
print("secret here, " * ("HOOKGATE_REGISTER_SECRET" in os.environ) + "started", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


@contextmanager
def gateway(listen="127.0.0.1:0", **registration):
    document = {
        "gateway": {"listen": [listen], "state": "memory"},
        "connections": {"google": {"discovery": {"registered": {"every": 0.1}}}},
        "routes": [{"name": "google", "match": {"path": "/google"}, "to": {"connection": "google"}}],
        "registration": registration,
    }
    with running(document) as gate:
        yield gate


class Ran:
    """The command as a process, and what it has said so far."""

    def __init__(self, process):
        self.process = process
        self.said = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._news:
                self.said.append(line)
                self._news.notify_all()

    def says(self, text, times=1):
        with self._news:
            assert self._news.wait_for(lambda: "".join(self.said).count(text) >= times, 60), "".join(self.said)

    def closed(self):
        self._reader.join(30)
        self.process.stdout.close()

    def ends(self):
        code = self.process.wait(60)
        self._reader.join(60)
        return code


@contextmanager
def registers(url, endpoint, *words, **variables):
    command = [sys.executable, "-m", "hookgate", "register", "--with", url, "--connection", "google"]
    environ = {**os.environ, **variables}
    process = subprocess.Popen(
        [*command, "--endpoint", endpoint, *words],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    ran = Ran(process)
    try:
        yield ran
        assert KEY not in "".join(ran.said)
    finally:
        process.terminate()  # it ends its program, too
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait(30)
            ran.closed()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def until(true, seconds=60):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)  # there is no event to wait for from outside


def listed(gate):
    return [(t.url, t.active) for t in gate.gateway.connection("google").targets]


@pytest.mark.row("AC-38")
def test_a_program_is_a_host_while_it_runs_and_well_and_its_exit_code_is_passed_on(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(KEY + "\n")
    port = free_port()
    backend = f"http://127.0.0.1:{port}"
    words = ["--key-id", "joe", "--secret-file", str(secret), "--health", f"{backend}/health", "--interval", "0.1"]
    program = ["--", sys.executable, "-c", BACKEND, str(port)]
    with gateway(lease=1, **BY_KEY) as gate, registers(gate.url, backend, *words, *program, **{SECRET: KEY}) as ran:
        ran.says("started")
        until(lambda: gate.request("GET", "/google").text == "me")
        began = time.monotonic()
        until(lambda: len(gate.finished) > 8 and time.monotonic() > began + 1.5)  # longer than a lease
        assert listed(gate) == [(backend, True)]

        ran.process.send_signal(signal.SIGHUP)
        ran.says("told to read anew")
        ran.process.terminate()
        assert ran.ends() == 7, "".join(ran.said)
        until(lambda: listed(gate) == [(backend, False)])
    told = "".join(ran.said)
    assert "secret here" not in told
    assert told.index("is taken out of google") < told.index("told to end"), told
    assert told.count("registered http") == 1, told


@pytest.mark.parametrize(
    ("script", "code"), [("raise SystemExit(5)", 5), ("import os; os.kill(os.getpid(), 9)", 137), (None, 127)]
)
def test_a_host_is_taken_out_when_its_program_ends_by_itself(script, code):
    go = "import sys; sys.stdin.readline(); "
    program = ["--", "no-such-program"] if script is None else ["--", sys.executable, "-c", go + script]
    with gateway(**BY_PASSWORD) as gate, upstream() as backend:
        command = [sys.executable, "-m", "hookgate", "register", "--with", gate.url, "--connection", "google"]
        process = subprocess.Popen(
            [*command, "--endpoint", backend.url, "--user", "joe", *program],
            env={**os.environ, SECRET: KEY},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            if script is not None:
                until(lambda: listed(gate) == [(backend.url, True)])
            told = process.communicate("go\n", timeout=60)[1]
        finally:
            process.kill()
        assert process.returncode == code, told
        if script is not None:
            until(lambda: listed(gate) == [(backend.url, False)])
        assert KEY not in told


def test_it_waits_for_a_gateway_that_is_away_and_comes_back_to_one_that_has_lost_it():
    at = f"127.0.0.1:{free_port()}"
    with upstream() as backend, registers(f"http://{at}", backend.url, "--user", "joe", **{SECRET: KEY}) as ran:
        ran.says("the gateway does not answer (connect-refused); the next try")
        with gateway(at, lease=1, **BY_PASSWORD) as gate:
            ran.says("registered http")
            until(lambda: gate.request("GET", "/google").status_code == 200)
        ran.says("the gateway does not answer", 2)
        with gateway(at, lease=1, **BY_PASSWORD) as gate:
            ran.says("the gateway had lost it")
            until(lambda: gate.request("GET", "/google").status_code == 200)
            ran.process.send_signal(signal.SIGINT)
            assert ran.ends() == 0
            until(lambda: listed(gate) == [(backend.url, False)])


def test_a_host_that_is_not_well_is_taken_out_and_comes_back():
    well = threading.Event()

    def some(request):
        return (200 if well.is_set() or request.path != "/health" else 503), {}, b""

    with upstream(some) as backend, gateway(**BY_PASSWORD) as gate:
        health = ["--health", f"{backend.url}/health", "--interval", "0.05", "--fails", "2"]
        with registers(gate.url, backend.url, "--user", "joe", *health, **{SECRET: KEY}) as ran:
            ran.says("waiting until")
            assert listed(gate) == []
            well.set()
            until(lambda: listed(gate) == [(backend.url, True)])
            well.clear()
            until(lambda: listed(gate) == [(backend.url, False)])
            ran.says("is not well: it answers 503")
            well.set()
            until(lambda: listed(gate) == [(backend.url, True)])
            ran.process.terminate()
            assert ran.ends() == 0


def test_without_a_lease_it_registers_again_every_so_often_and_is_the_same_host():
    with gateway(**BY_PASSWORD) as gate, upstream() as backend:
        with registers(gate.url, backend.url, "--user", "joe", "--every", "0.1", **{SECRET: KEY}) as ran:
            until(lambda: sum(each.request.path.endswith("/hosts/register") for each in gate.finished) >= 4)
            assert listed(gate) == [(backend.url, True)]
            ran.process.terminate()
            assert ran.ends() == 0
        assert "".join(ran.said).count("registered http") == 1


def done(url, *words, **variables):
    command = [sys.executable, "-m", "hookgate", "register", "--with", url, *words]
    environ = {name: value for name, value in os.environ.items() if name != SECRET} | variables
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def test_a_gateway_that_refuses_ends_it_with_the_reason():
    host = ["--connection", "google", "--endpoint", "http://127.0.0.1:9", "--user", "eve"]
    with gateway(profile={"basic": {"users": {"eve": KEY}}}) as gate:
        refused = done(gate.url, *host, **{SECRET: KEY})
        assert refused.returncode == 2, refused.stderr
        assert "answers 403: The caller has no role that is named like the connection" in refused.stderr
        unknown = done(gate.url, *host, **{SECRET: "something else"})
        assert (unknown.returncode, "answers 401" in unknown.stderr) == (2, True), unknown.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["http://gw.example", "--user", "joe"], 2, "a password or token is not shown over http"),
        (["http://gw.example"], 2, "a password or token is not shown over http"),
        (["http://joe:x@gw.example", "--key-id", "joe"], 2, "without user and password"),
        (["gw.example", "--key-id", "joe"], 2, "is no URL"),
        (["https://gw.example", "--key-id", "joe", "--user", "joe"], 2, "one of them"),
        (["https://gw.example", "--key-id", "joe", "--algorithm", "rot13"], 2, "algorithm should be"),
        (["https://gw.example", "--health", "127.0.0.1"], 2, "--health"),
        (["https://gw.example", "--path", "/hosts"], 2, "--path"),
        (["https://gw.example", "--secret-file", "/no/such/file"], 3, "no file /no/such/file"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_sent(words, code, told, monkeypatch, capsys):
    from hookgate.commands import main

    monkeypatch.setenv(SECRET, KEY)
    rest = ["--connection", "google", "--endpoint", "http://a.example"]
    monkeypatch.setattr(sys, "argv", ["hookgate", "register", "--with", *words, *rest])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    plain = " ".join((said.out + said.err).replace("│", " ").split())
    assert (ended.value.code, told in plain, KEY in plain) == (code, True, False), plain


def test_without_a_secret_nothing_starts():
    missing = done("https://gw.example", "--connection", "google", "--endpoint", "http://a.example")
    assert (missing.returncode, f"set {SECRET}" in " ".join(missing.stderr.split())) == (3, True), missing.stderr


def test_conformance():
    conformance(RegisterCommands, options={})
