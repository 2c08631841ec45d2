"""APIs of a document become OpenAPI descriptions: `hookgate openapi export`."""

import pytest
from typer.testing import CliRunner

from hookgate import ConfigError
from hookgate.commands import app
from hookgate.document.document import parse
from hookgate_openapi import Wishes, described, read

DOCUMENT = """
apis:
  - name: orders
    version: "1.2"
    base_path: /orders
    description: What was ordered
    to: {connection: crm}
    resources:
      - path: /items/{id}
        operations:
          GET:
            description: Find one
            parameters:
              - {name: id, in: path, type: integer}
              - {name: gone, in: path, type: integer}
              - {name: limit, in: query, required: true, schema: {type: integer, maximum: 9}, description: How many}
              - {name: X-Trace, in: header}
            produces: [application/json]
          PURGE:
      - {path: "/reports/*"}
      - {path: "*.html", operations: {GET: }}
      - {path: "/files/{rest...}", operations: {GET: }}
  - {name: orders, version: "2", base_path: /orders, to: {connection: crm}}
  - {name: plain, to: {connection: crm}, resources: [{path: /x, operations: {GET: }}]}
connections:
  crm: {targets: "${env:HOOKGATE_NOT_SET}"}
"""


def export(folder, *arguments, text=DOCUMENT):
    (folder / "gateway.yaml").write_text(text)
    return CliRunner().invoke(app, ["openapi", "export", str(folder / "gateway.yaml"), *arguments])


@pytest.mark.row("KC-57")
def test_parameters_of_an_operation_are_in_the_description_that_is_generated(tmp_path):
    done = export(tmp_path, "--api", "orders 1.2")
    assert done.exit_code == 0, done.output
    told = parse(done.stdout.encode(), "told.yaml")
    paths = told["paths"]

    assert (told["info"], told["servers"]) == (
        {"title": "orders", "version": "1.2", "description": "What was ordered"},
        [{"url": "/orders/1.2"}],
    )
    assert list(paths) == ["/items/{id}", "/reports/{path}", "/{path}.html", "/files/{rest}"]
    found = paths["/items/{id}"]["get"]
    assert found["parameters"] == [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
        {
            "name": "limit",
            "in": "query",
            "description": "How many",
            "required": True,
            "schema": {"type": "integer", "maximum": 9},
        },
        {"name": "X-Trace", "in": "header", "schema": {}},
    ]
    assert found["responses"] == {"default": {"description": "The answer", "content": {"application/json": {}}}}
    assert sorted(paths["/reports/{path}"]) == ["delete", "get", "patch", "post", "put"]
    assert [each["name"] for each in paths["/files/{rest}"]["get"]["parameters"]] == ["rest"]
    assert "no place for the method PURGE" in done.stderr


def test_what_is_exported_can_be_imported_and_says_the_same(tmp_path):
    for name, output in (("orders 1.2", "one.yaml"), ("plain", "plain.yaml")):
        done = export(tmp_path, "--api", name, "-o", str(tmp_path / output))
        assert done.exit_code == 0, done.output
        described(read(tmp_path / output), Wishes(server="http://127.0.0.1:1"))
    again = export(tmp_path, "--api", "plain", "-o", str(tmp_path / "plain.yaml"))
    assert again.exit_code != 0
    assert "--force" in str(again.exception)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "say which API with --api; the document has orders 1.2, orders 2, plain"),
        (("--api", "orders"), "say which API"),
        (("--api", "ordrs"), "there is no API 'ordrs'"),
    ],
)
def test_which_api_is_meant_has_to_be_clear(tmp_path, arguments, told):
    done = export(tmp_path, *arguments)

    assert done.exit_code == 2
    assert done.exit_code == 2
    assert told in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize("wrong", ["{in: query}", "{name: x}", "{name: x, in: body}", "{name: 7, in: query}"])
def test_a_parameter_without_name_and_place_is_refused_at_load(tmp_path, wrong):
    done = export(tmp_path, text=DOCUMENT.replace("{name: X-Trace, in: header}", wrong))

    assert isinstance(done.exception, ConfigError)
    place = (
        "gateway.yaml:17:17: apis[0].resources[0].operations.GET.parameters[3]: a parameter has a name, and in: path"
    )
    assert place in str(done.exception)
