"""The command line, as a person types it."""

import functools
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

HELLO = """\
gateway: {flow: [request-id]}
routes:
  - name: hello
    match: {path: /hello, methods: [GET]}
    flow: [cors: {allow_origins: ["https://a.example"]}, respond: {body: hello}]
    response: [headers: {response: {set: {x-a: "1"}}}]
"""


def run_cli(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hookgate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )


@pytest.fixture
def hello(tmp_path):
    file = tmp_path / "hello.yaml"
    file.write_text(HELLO)
    return file


def test_check_tells_a_good_document_from_a_bad_one(hello, tmp_path):
    good = run_cli("check", hello)
    bad = tmp_path / "bad.yaml"
    bad.write_text(HELLO.replace("request-id", "requst-id"))
    refused = run_cli("check", bad)

    assert (good.returncode, good.stdout) == (0, f"{hello}: good: 1 route, 0 connections\n")
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        f"{bad}:1:18: gateway.flow[0]: no interceptor is installed under the name 'requst-id'; "
        "did you mean 'request-id'?",
    )
    assert "Traceback" not in refused.stderr


def test_a_missing_file_is_an_error_with_the_name_of_the_file():
    refused = run_cli("check", "nowhere.yaml")

    assert refused.returncode == 2
    assert "nowhere.yaml" in refused.stderr


def test_a_missing_folder_of_plugins_is_an_error_with_its_name(hello):
    refused = run_cli("check", hello, HOOKGATE_PLUGINS_DIR="nowhere-at-all")

    assert refused.returncode == 2
    assert "nowhere-at-all" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_in_use_is_exit_code_3_and_a_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = tmp_path / "gateway.yaml"
        file.write_text(f'gateway: {{listen: ["127.0.0.1:{port}"]}}\nmanagement: {{listen: ["127.0.0.1:0"]}}\n')
        refused = run_cli("serve", file)

    assert refused.returncode == 3
    assert f"cannot listen on 127.0.0.1:{port}: the port is in use" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_routes_shows_the_order_in_which_things_run(hello):
    shown = json.loads(run_cli("routes", hello, "--json").stdout)
    table = run_cli("routes", hello).stdout

    assert shown == [
        {
            "name": "hello",
            "match": "GET /hello",
            "request": ["request-id", "cors", "respond"],
            "response": ["headers", "cors", "request-id"],
            "to": "",
        },
    ]
    assert "request-id" in table


def test_plugins_lists_what_is_installed_and_shows_the_options_of_one():
    listed = {(entry["family"], entry["name"]) for entry in json.loads(run_cli("plugins", "--json").stdout)}
    one = run_cli("plugins", "ip-filter").stdout

    assert {("interceptor", "cors"), ("auth", "basic"), ("credential", "basic"), ("transport", "http")} <= listed
    assert "Whom to let through" in one
    assert run_cli("plugins", "nonsense").returncode == 1


def test_a_broken_plugin_is_listed_with_the_reason_and_harms_nobody(tmp_path, hello):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "broken.py").write_text("import a_module_that_is_not_there\n")
    environment = {"HOOKGATE_PLUGINS_DIR": str(tmp_path / "site")}
    listed = run_cli("plugins", **environment)

    assert listed.returncode == 0
    assert "a_module_that_is_not_there" in listed.stdout
    assert run_cli("check", hello, **environment).returncode == 0


def test_schema_is_json_schema_of_every_plugin(tmp_path):
    run_cli("schema", "-o", tmp_path / "schema.json")
    schema = json.loads((tmp_path / "schema.json").read_text())

    assert "Whom to let through" in json.dumps(schema)
    assert schema["$schema"].startswith("https://json-schema.org/draft/2020-12")


def test_help_reads_well():
    text = run_cli("--help").stdout

    for command in ("serve", "check", "routes", "plugins", "schema", "reload", "demo"):
        assert command in text
    assert "Exit codes" in text


def test_a_served_document_proxies_a_real_server(tmp_path):
    """The example of the documentation, as a process of its own, in front of Python's own HTTP server."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "hello.txt").write_text("hello from a file")
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "www"),
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    example = Path(__file__).parents[2] / "docs" / "examples" / "hello.yaml"
    text = example.read_text().replace("127.0.0.1:9000", f"127.0.0.1:{server.server_port}")
    file = tmp_path / "hello.yaml"
    file.write_text(text.replace("127.0.0.1:8080", "127.0.0.1:0") + '\nmanagement: {listen: ["127.0.0.1:0"]}\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "hookgate", "serve", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = next(line for line in iter(process.stderr.readline, "") if "serves" in line).split()[-1]
        got, head = httpx.get(url + "/hello.txt"), httpx.head(url + "/hello.txt")
        missing, posted = httpx.get(url + "/nowhere"), httpx.post(url + "/hello.txt", content=b"x")
    finally:
        process.send_signal(signal.SIGTERM)
        lines, _ = process.communicate(timeout=60)
        server.shutdown()
        server.server_close()

    assert (got.status_code, got.text) == (200, "hello from a file")
    assert (head.status_code, head.headers["content-length"]) == (200, "17")
    assert [missing.status_code, posted.status_code] == [404, 501]
    logged = [json.loads(line) for line in lines.splitlines()]
    assert [entry["status"] for entry in logged] == [200, 200, 404, 501]
