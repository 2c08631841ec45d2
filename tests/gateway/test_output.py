"""What commands print: places stay places, nothing is broken outside a terminal, ids and URLs nowhere."""

import fcntl
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios

import pytest

from hookgate.testing import running

LONG = "a-route-with-a-name-that-is-longer-than-any-narrow-terminal-is-wide-and-then-some"
URL = f"http://{'backend-' * 6}one.internal.example.org:9000"
DOCUMENT = f"""\
gateway: {{flow: [request-id]}}
management: {{apps: [health, connections]}}
routes:
  - {{name: {LONG}, match: {{path: "/{LONG}/{{rest...}}"}}, to: {{connection: crm}}}}
connections:
  crm: {{targets: "{URL}"}}
"""


def run_cli(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hookgate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "COLUMNS": "40", **environment},
    )


def in_a_terminal(columns, *arguments):
    """Run a command in a terminal of so many columns; return what it prints there, without styles."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "hookgate", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(theirs)
    said = b""
    try:
        while data := _read(ours):
            said += data
        assert process.wait(60) is not None
    finally:
        process.kill()
        process.wait(60)
        os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode())


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # everybody else has closed it
        return b""


@pytest.fixture
def document(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(DOCUMENT)
    return file


@pytest.mark.parametrize("line", [100, 1234])
@pytest.mark.parametrize("name", ["bad.yaml", "[bold]bad[red].yaml"])
def test_a_place_is_no_emoji_and_a_name_no_style(tmp_path, line, name):
    file = tmp_path / name
    file.write_text("#\n" * (line - 1) + "nonsense: true\n")

    refused = run_cli("check", file)

    assert refused.returncode == 2
    assert refused.stderr.startswith(f"{file}:{line}:1: nonsense: ")
    assert len(refused.stderr.splitlines()) == 2


@pytest.mark.parametrize("line", [100, 1234])
def test_neither_are_places_of_warnings_and_of_a_document_that_a_gateway_refuses(tmp_path, line):
    file = tmp_path / "gateway.yaml"
    file.write_text('management: {listen: ["127.0.0.1:0"]}\ngateway: {listen: ["127.0.0.1:0"], lame_duck: 0}\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "hookgate", "serve", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        management = next(text.split()[-1] for text in process.stderr if text.startswith("management on "))
        file.write_text("#\n" * (line - 1) + "nonsense: true\n")
        refused = run_cli("reload", "--management", management.removesuffix("/-/health"))
    finally:
        process.terminate()
        process.communicate(timeout=60)

    assert refused.returncode == 2
    assert f"{file}:{line}:1: nonsense: " in refused.stderr


def test_nothing_is_broken_outside_a_terminal(document):
    routes = run_cli("routes", document).stdout
    mistyped = run_cli("simulate", document, "--no-such-option-" + "x" * 100)
    plugins = run_cli("plugins").stdout.splitlines()
    helped = run_cli("serve", "--help").stdout

    assert f"* /{LONG}/{{rest...}}" in routes
    assert len([line for line in routes.splitlines() if LONG in line]) == 1
    assert "--no-such-option-" + "x" * 100 in mistyped.stderr
    assert mistyped.returncode == 2
    assert all(re.match(r"[a-z-]+ +\S+ +\d+\.\d+\.\d+ ", line) for line in plugins[1:]), "one line each"
    assert "a bad one is refused and the running one stays. SIGHUP or `hookgate reload` read it again" in helped


def test_nothing_is_broken_where_a_terminal_is_only_said_to_be_there(document):
    assert f"* /{LONG}/{{rest...}}" in run_cli("routes", document, FORCE_COLOR="1").stdout


def test_names_and_urls_are_whole_in_a_narrow_terminal(document):
    with running(DOCUMENT) as gate:
        connections = in_a_terminal(50, "connections", "--management", gate.management)
    routes = in_a_terminal(50, "routes", document)

    assert URL in connections
    assert f"* /{LONG}/{{rest...}}" in routes


def said(process):
    """Return what it said, but that the machine stood still for a moment."""
    return [line for line in process.stderr.splitlines() if "has stood still" not in line]


@pytest.mark.parametrize("listener", ["gateway", "management"])
def test_a_port_in_use_is_told_in_a_sentence_and_nothing_else(tmp_path, listener):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"gateway": 0, "management": 0, listener: port}
        file = tmp_path / "gateway.yaml"
        file.write_text(
            f'gateway: {{listen: ["127.0.0.1:{ports["gateway"]}"], observers: [access-log, prometheus]}}\n'
            f'management: {{listen: ["127.0.0.1:{ports["management"]}"], apps: [health, prometheus]}}\n'
            "routes: [{name: all, to: {connection: crm}}]\n"
            'connections: {crm: {targets: ["http://127.0.0.1:9", "http://127.0.0.1:10"], monitor: {passive: {}}}}\n'
        )
        served = run_cli("serve", file, PYTHONWARNINGS="always", HOOKGATE_LOG_LEVEL="warning")
        chosen = ["--port", ports["gateway"], "--management-port", ports["management"]]
        shown = run_cli("demo", *chosen, PYTHONWARNINGS="always")

    sentence = f"hookgate: cannot listen on 127.0.0.1:{port}: the port is in use; "
    assert (served.returncode, served.stdout) == (3, "")
    assert [line for line in said(served) if not line.startswith(sentence)] == []
    assert (shown.returncode, shown.stdout) == (3, "")
    assert [line for line in said(shown) if not line.startswith(("starting ", sentence))] == []
