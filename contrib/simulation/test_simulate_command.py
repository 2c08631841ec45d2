"""The command `hookgate simulate`: what it shows, what it keeps to itself, and what it refuses."""

import json
from base64 import b64encode

import pytest

from hookgate import ConfigError
from hookgate.testing import upstream

from .simulating import DOCUMENT, NOBODY, routed, run_cli

FAULTS = "'connect-failed', 'connect-refused', 'connect-timeout', 'dns-failed', 'tls-failed', 'timeout' or 'broken'"


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
