"""The command `workflow`."""

import json
from pathlib import Path

from typer.testing import CliRunner

from hookgate.commands import app

from .test_answers import CSV

EXAMPLE = Path(__file__).parents[2] / "docs/examples/workflows.yaml"
ORDER = """\
order
  start
  `-- ok > stock: http_call
      |-- 2** > book: http_call
      |   `-- ok > end
      `-- 404 > none: set_request_status
          `-- ok > end ^
"""


def run(*words):
    return CliRunner().invoke(app, ["workflow", *map(str, words)])


def test_a_workflow_of_a_document_is_drawn():
    done = run("show", EXAMPLE, "order")

    assert (done.exit_code, done.stdout) == (0, ORDER)


def test_a_definition_alone_is_drawn(tmp_path):
    file = tmp_path / "csv.json"
    file.write_text(json.dumps(CSV))

    done = run("show", file)

    assert done.stdout.splitlines()[2] == "  `-- ok > a: create_csv"


def test_what_is_wrong_is_told_with_its_place(tmp_path):
    file = tmp_path / "csv.json"
    file.write_text(json.dumps({**CSV, "transitions": [["start.ok", "b2"]]}))
    assert "csv.json:1:401: transitions[0][1]: there is no cell 'b2'" in str(run("show", file).exception)

    file.write_text(json.dumps({"workflows": {"w": {**CSV, "transitions": [["start.ok", "b2"]]}}}))
    assert "workflows.w.transitions[0][1]: there is no cell 'b2'" in str(run("show", file).exception)
    assert "did you mean 'order'" in run("show", EXAMPLE, "ordre").output


def test_a_template_is_tried(tmp_path):
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"request": {"body": {"name": "ann", "items": [1, 2]}}}))

    assert run("render", "{{ request.body.name | upper }}!", "--with", values).stdout == "ANN!\n"
    assert run("render", "{{ request.body | json_query('items[0]') }}", "--with", values).stdout == "1\n"
    for wrong in ("{{ 1 +", "{{ request.a.b }}"):
        assert run("render", wrong).exit_code == 2
