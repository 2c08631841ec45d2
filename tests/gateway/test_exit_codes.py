"""Exit codes tell what has to be mended: 2 the document, 3 what it names. A service comes back by itself after 3."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

LISTENERS = 'gateway: {listen: ["127.0.0.1:0"], lame_duck: 0, %s}\nmanagement: {listen: ["127.0.0.1:0"]}\n'
BACKEND = 'connections: {crm: {targets: "http://127.0.0.1:9"%s}}\n'
NOWHERE = "/nowhere/at/all/file"


def route(step, connection=""):
    return LISTENERS % "" + f"routes: [{{name: all, flow: [{step}], to: {{connection: crm}}}}]\n" + BACKEND % connection


def header(reference):
    return route(f'headers: {{request: {{set: {{x-key: "${{{reference}}}"}}}}}}')


def vault(address, timeout=60):
    options = f'{{address: "{address}", token: "${{env:VAULT_TOKEN}}", timeout: {timeout}}}'
    return f"secrets: {{vault: {options}}}\n" + header("vault:secret/data/crm#key")


def run_cli(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hookgate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "VAULT_TOKEN": "hidden-token", **environment},
    )


def refused(tmp_path, document, command="serve", **environment):
    file = tmp_path / "gateway.yaml"
    file.write_text(document)
    return run_cli(command, file, **environment)


@contextmanager
def answering(status, **document):
    """Run a server that answers everything alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


PATHS = {
    "access log": LISTENERS % f"observers: [access-log: {{output: {NOWHERE}}}]",
    "message log": route(f"message-log: {{output: {NOWHERE}}}"),
    "script": route("script: {file: no.py}"),
    "schema": route(f"schema: {{file: {NOWHERE}}}"),
    "authorities": route("request-id", f', targets: "https://127.0.0.1:9", tls: {{ca_file: {NOWHERE}}}').replace(
        'targets: "http://127.0.0.1:9", ', ""
    ),
    "client certificate": route(
        "request-id", f", auth: [mutual-tls: {{certificate: {NOWHERE}, key: {NOWHERE}}}]"
    ).replace("http://", "https://"),
    "certificate": LISTENERS.replace("127.0.0.1:0", "https://127.0.0.1:0", 1)
    % f"tls: {{certificates: [{{certificate: {NOWHERE}, key: {NOWHERE}}}]}}",
    "secret": header(f"file:{NOWHERE}"),
}


@pytest.mark.parametrize("which", PATHS)
def test_a_path_that_cannot_be_opened_is_3_and_a_sentence(tmp_path, which):
    told = refused(tmp_path, PATHS[which], HOOKGATE_SCRIPTS=str(tmp_path))

    assert told.returncode == 3, told.stderr
    assert "No such file or directory" in told.stderr or "no such file or directory" in told.stderr
    assert "Traceback" not in told.stderr
    assert "Error" not in told.stderr, "no names of classes"


def test_a_document_that_cannot_be_opened_is_3_and_one_that_is_not_there_wrong_usage(tmp_path):
    circle = tmp_path / "circle.yaml"
    circle.symlink_to(circle)

    for command in ("serve", "check", "routes"):
        told = run_cli(command, circle)
        assert (told.returncode, "Traceback" in told.stderr) == (3, False)
        assert f"{circle}: the file cannot be read: " in told.stderr
    assert [run_cli("check", path).returncode for path in (tmp_path / "none.yaml", tmp_path)] == [2, 2]

    told = refused(tmp_path, "include: [circle.yaml]\n")
    assert (told.returncode, "Traceback" in told.stderr) == (3, False)
    assert "gateway.yaml:1:11: include[0]: " in told.stderr


def test_a_vault_that_is_away_is_3_and_the_same_document_is_good_when_it_is_back(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        hangs = refused(tmp_path, vault(f"http://127.0.0.1:{port}", timeout=0.5))
    away = refused(tmp_path, vault(f"http://127.0.0.1:{port}"))
    with answering(503, errors=["Vault is sealed"]) as address:
        sealed = refused(tmp_path, vault(address))
    with answering(200, data={"data": {"key": "k"}, "metadata": {}}) as address:
        back = refused(tmp_path, vault(address), "check")

    assert [told.returncode for told in (hangs, away, sealed, back)] == [3, 3, 3, 0]
    assert "cannot be asked for secret/data/crm: connect-refused" in away.stderr
    assert "sealed" in sealed.stderr
    assert "hidden-token" not in hangs.stderr + away.stderr + sealed.stderr


def test_a_vault_that_says_no_is_2_and_so_is_one_mistake_of_the_document_beside_what_is_away(tmp_path):
    with answering(404, errors=[]) as address:
        nothing = refused(tmp_path, vault(address))
    with answering(403, errors=["permission denied"]) as address:
        denied = refused(tmp_path, vault(address))
    mixed = refused(tmp_path, vault("http://127.0.0.1:9") + "nonsense: true\n")

    assert [told.returncode for told in (nothing, denied, mixed)] == [2, 2, 2]


PROVIDER = """
from hookgate import MachineError, Secret, SecretProvider, Options, hookimpl

class Safe(SecretProvider[Options]):
    @hookimpl
    async def startup(self, host):
        {startup}

    @hookimpl
    async def resolve(self, reference):
        {resolve}
"""
FAULTS = {
    "raise ConnectionRefusedError('hidden-token')": 3,
    "raise TimeoutError": 3,
    "raise MachineError('the safe is closed')": 3,
    "raise LookupError('there is none of that name')": 2,
    "raise ValueError('hidden-token')": 2,
}


@pytest.mark.parametrize("hook", ["startup", "resolve"])
@pytest.mark.parametrize("fault", FAULTS)
def test_so_it_is_with_the_providers_of_others(tmp_path, hook, fault):
    site = tmp_path / "site"
    site.mkdir()
    does = {"startup": "pass", "resolve": "return Secret('x')", hook: fault}
    (site / "safe.py").write_text(PROVIDER.format(**does))
    told = refused(tmp_path, header("safe:key"), "check", HOOKGATE_PLUGINS_DIR=str(site))

    assert told.returncode == FAULTS[fault], told.stderr
    assert "Traceback" not in told.stderr
    assert "hidden-token" not in told.stderr


def test_a_reload_says_the_same(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(header("env:VAULT_TOKEN"))
    process = subprocess.Popen(
        [sys.executable, "-m", "hookgate", "serve", str(file)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VAULT_TOKEN": "hidden-token"},
    )
    try:
        management = next(line.split()[-1] for line in process.stderr if line.startswith("management on "))
        url = management.removesuffix("/-/health")
        codes = []
        for document in (vault("http://127.0.0.1:9"), "nonsense: true\n", header("env:VAULT_TOKEN")):
            file.write_text(document)
            codes.append(run_cli("reload", "--management", url).returncode)
    finally:
        process.terminate()
        said = process.communicate(timeout=60)[1]

    assert codes == [3, 2, 0]
    assert process.returncode == 0
    assert "Traceback" not in said


def test_a_list_of_targets_that_is_not_there_keeps_nobody_from_serving_and_is_no_traceback(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(
        LISTENERS % ""
        + "routes: [{name: all, to: {connection: crm}}]\n"
        + f"connections: {{crm: {{discovery: {{file: {{path: {NOWHERE}}}}}}}}}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hookgate", "serve", str(file)], stderr=subprocess.PIPE, text=True
    )
    try:
        said = [next(process.stderr)]
        while "serves" not in said[-1]:
            said.append(next(process.stderr))
    finally:
        process.terminate()
        said += process.communicate(timeout=60)[1]

    assert f"{NOWHERE}: there is no such file" in "".join(said)
    assert "Traceback" not in "".join(said)
