"""OpenAPI descriptions become APIs that check, mock and forward: `hookgate openapi import`."""

import json
import time

import pytest
from typer.testing import CliRunner

from hookgate import ConfigError
from hookgate.commands import app
from hookgate.document.document import parse
from hookgate.testing import running, upstream
from hookgate_openapi import Wishes, described, read

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])

PETS = """
openapi: 3.0.3
info: {title: Pet Store, version: "1.0"}
servers:
  - {url: "https://{region}.example.org/v2/", variables: {region: {default: eu}}}
  - {url: "https://us.example.org/v2"}
paths:
  /pets:
    parameters:
      - {name: X-Trace, in: header, schema: {type: integer}}
    get:
      summary: List the pets
      parameters:
        - $ref: "#/components/parameters/limit"
        - {name: tags, in: query, explode: false, schema: {type: array, items: {type: string, enum: [dog, cat]}}}
        - {name: filter, in: query, style: deepObject, schema: {type: object, properties: {age: {type: integer}}}}
      responses:
        "200":
          description: Pets
          content:
            application/json:
              schema: {type: array, items: {$ref: "#/components/schemas/Pet"}}
              examples: {two: {$ref: "#/components/examples/two"}}
        default: {$ref: "#/components/responses/Problem"}
    post:
      operationId: addPet
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: "#/components/schemas/Pet"}}
          application/x-www-form-urlencoded:
            schema: {type: object, required: [age], properties: {age: {type: integer}}}
          image/png: {}
      responses:
        "201":
          description: Added
          content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}
  /pets/mine:
    get: {responses: {"200": {description: Mine}}}
  /pets/{pet.id}/{photo}.png:
    get:
      description: |
        A photo of ${env:HOME}.
        And more.
      parameters:
        - {name: pet.id, in: path, required: true, schema: {type: integer, minimum: 1}}
        - {name: photo, in: path, required: true, schema: {type: string, maxLength: 3}}
      responses: {"200": {description: Photo, content: {image/png: {}}}}
components:
  parameters:
    limit: {name: limit, in: query, required: true, schema: {type: integer, maximum: 100, exclusiveMaximum: true}}
  responses:
    Problem: {description: Oh, content: {application/json: {example: {error: sorry}}}}
  examples:
    two: {value: [{name: Rex}, {name: Mia}]}
  schemas:
    Pet:
      type: object
      required: [id, name]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string}
        nick: {type: string, nullable: true, enum: [a, b]}
        owner: {nullable: true, allOf: [{$ref: "#/components/schemas/Owner"}]}
        parent: {$ref: "#/components/schemas/Pet"}
    Owner: {type: object, properties: {pets: {type: array, items: {$ref: "#/components/schemas/Pet"}}}}
    Unused: {type: string}
"""


@pytest.fixture
def imported(tmp_path):
    """Import a text; return the document, and the contract if there is one."""

    def run(text, *options, name="pets.yaml"):
        (tmp_path / name).write_text(text)
        output = tmp_path / "gateway.yaml"
        done = CliRunner().invoke(
            app,
            ["openapi", "import", str(tmp_path / name), "-o", str(output), "--force", *options],
            catch_exceptions=False,
        )
        assert done.exit_code == 0, done.output
        contract = tmp_path / "gateway.openapi.json"
        document = dict(parse(output.read_bytes(), "gateway.yaml"))
        return document, json.loads(contract.read_text()) if contract.exists() else None

    return run


def live(document, backend, lane=True):
    """Have an imported document call a backend of the test."""
    connections = {name: {"targets": backend.url} for name in document["connections"]}
    return {**document, "connections": connections, "gateway": {"lane": lane}}


def errors(answer):
    assert answer.status_code == 400, answer.text
    return [(error["in"], error.get("name", error.get("pointer"))) for error in answer.json()["errors"]]


@BOTH
def test_an_imported_api_checks_requests_and_forwards_them(lane, imported):
    document, _ = imported(PETS)
    with upstream() as backend, running(live(document, backend, lane)) as gate:
        good = gate.request("GET", "/v2/pets?limit=99&tags=dog,cat&filter[age]=3", headers={"x-trace": "1"})
        wrong = {
            query: errors(gate.request("GET", f"/v2/pets{query}"))
            for query in ("", "?limit=100", "?limit=x", "?limit=1&tags=cow", "?limit=1&filter[age]=x")
        }
        trace = errors(gate.request("GET", "/v2/pets?limit=1", headers={"x-trace": "x"}))
        photo = gate.request("GET", "/v2/pets/7/a%20b.png")
        outside = [errors(gate.request("GET", path)) for path in ("/v2/pets/0/a.png", "/v2/pets/7/abcd.png")]
        mine = gate.request("GET", "/v2/pets/mine")
        refused, absent = gate.request("DELETE", "/v2/pets"), gate.request("GET", "/v2/nothing")
        names = [exchange.route.name for exchange in gate.wait_for_exchanges(12) if exchange.route is not None]

    assert [good.status_code, photo.status_code, mine.status_code] == [200, 200, 200]
    assert [request.path for request in backend.requests] == ["/v2/pets", "/v2/pets/7/a%20b.png", "/v2/pets/mine"]
    assert backend.requests[0].query == "limit=99&tags=dog,cat&filter[age]=3"
    assert wrong == {
        "": [("query", "limit")],
        "?limit=100": [("query", "limit")],
        "?limit=x": [("query", "limit")],
        "?limit=1&tags=cow": [("query", "tags")],
        "?limit=1&filter[age]=x": [("query", "filter")],
    }
    assert trace == [("header", "x-trace")]
    assert outside == [[("path", "pet_id")], [("path", "photo")]]
    assert (refused.status_code, absent.status_code) == (405, 404)
    assert names[0] == "pet-store /pets GET"


@BOTH
def test_bodies_are_checked_by_their_content_type(lane, imported):
    document, _ = imported(PETS)
    with upstream() as backend, running(live(document, backend, lane)) as gate:

        def post(content, content_type):
            return gate.request("POST", "/v2/pets", content=content, headers={"content-type": content_type})

        good = [
            post('{"name": "Rex", "nick": null, "owner": null, "parent": {"name": "Mia"}}', "application/json"),
            post("age=3&other=x", "application/x-www-form-urlencoded"),
            post(b"\x89PNG", "image/png"),
        ]
        bad = [
            errors(post(body, "application/json"))
            for body in (
                '{"name": 7}',
                '{"name": "a", "nick": "c"}',
                '{"name": "a", "parent": {"nick": "b"}}',
            )
        ]
        form = errors(post("age=x", "application/x-www-form-urlencoded"))
        other = post("<pet/>", "application/xml")
        nothing = errors(gate.request("POST", "/v2/pets"))

    assert [answer.status_code for answer in good] == [200, 200, 200]
    assert len(backend.requests) == 3
    assert bad == [[("body", "#/name")], [("body", "#/nick")], [("body", "#/parent/name")]]
    assert form == [("body", "#/age")]
    assert (other.status_code, nothing) == (415, [("body", "#")])


@BOTH
def test_answers_are_checked_where_that_is_wanted(lane, imported):
    document, _ = imported(PETS, "--validate", "both")
    given = {}

    def answer(request):
        return given["status"], {"content-type": given.get("type", "application/json")}, given["body"]

    with upstream(answer) as backend, running(live(document, backend, lane)) as gate:

        def ask(**said):
            given.clear()
            given.update(said)
            return gate.request("GET", "/v2/pets?limit=1").status_code

        codes = [
            ask(status=200, body='[{"id": 1, "name": "Rex"}]'),
            ask(status=200, body='[{"id": 1, "name": 7}]'),
            ask(status=200, body="<pets/>", type="text/xml"),
            ask(status=503, body='{"anything": 1}'),
        ]
        refused = gate.request("GET", "/v2/pets?limit=x").status_code

    assert codes == [200, 502, 502, 503]
    assert refused == 400


@pytest.mark.row("KC-56")
def test_a_declared_content_type_is_documentation_and_converts_nothing(imported):
    document, _ = imported(PETS)
    (pets, *_) = document["apis"][0]["resources"]
    with upstream(lambda request: (200, {"content-type": "text/xml"}, "<pets/>")) as backend:
        with running(live(document, backend)) as gate:
            answer = gate.request("GET", "/v2/pets?limit=1")

    assert pets["operations"]["GET"]["produces"] == ["application/json"]
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (200, "text/xml", "<pets/>")


def test_parameters_stay_in_the_document_and_in_the_contract(imported):
    document, contract = imported(PETS)
    (pets, *_) = document["apis"][0]["resources"]

    assert pets["operations"]["GET"]["parameters"] == [
        {"name": "X-Trace", "in": "header", "type": "integer"},
        {"name": "limit", "in": "query", "required": True, "type": "integer"},
        {"name": "tags", "in": "query", "type": "array"},
        {"name": "filter", "in": "query", "type": "object"},
    ]
    assert [each["name"] for each in contract["paths"]["/pets"]["get"]["parameters"]] == [
        "X-Trace",
        "limit",
        "tags",
        "filter",
    ]


@BOTH
def test_mock_answers_come_after_checks_and_need_no_backend(lane, imported):
    document, _ = imported(PETS.replace("servers:", "x-servers:"), "--mock")
    with running({**document, "gateway": {"lane": lane}}) as gate:
        listed = gate.request("GET", "/pets?limit=1")
        problem = gate.request("GET", "/pets?limit=1", headers={"prefer": "status=500"})
        made = gate.request("POST", "/pets", json={"name": "Rex"})
        refused = gate.request("GET", "/pets?limit=x")

    assert "connections" not in document
    assert listed.json() == [{"name": "Rex"}, {"name": "Mia"}]
    assert (problem.status_code, problem.json()) == (500, {"error": "sorry"})
    assert (made.status_code, made.json()["name"]) == (201, "string")
    assert refused.status_code == 400


def test_the_document_is_the_same_each_time_and_small_where_schemas_are_large(imported):
    first, second = imported(PETS), imported(PETS)

    assert first == second
    assert sorted(first[1]["components"]["schemas"]) == ["Owner", "Owner.response", "Pet", "Pet.response"]
    assert "properties" not in json.dumps(first[0])
    assert first[0]["connections"] == {"pet-store": {"targets": "https://eu.example.org"}}
    assert first[0]["apis"][0]["to"] == {"connection": "pet-store", "prefix": "/v2"}


def test_nothing_in_a_description_is_taken_for_a_reference_to_a_secret(imported):
    document, _ = imported(PETS)
    with upstream() as backend, running(live(document, backend)) as gate:
        (photo,) = [route for route in gate.gateway.live.config.routes if "png" in route.name]

    assert photo.section.description == "A photo of ${env:HOME}."


SWAGGER = """
swagger: "2.0"
info: {title: Old, version: "1"}
host: old.example.org
basePath: /api
schemes: [http, https]
consumes: [application/json]
produces: [application/json]
paths:
  /a/{id}:
    get:
      parameters:
        - {name: id, in: path, required: true, type: integer}
        - {name: tag, in: query, type: array, items: {type: integer}, collectionFormat: pipes}
        - {name: multi, in: query, type: array, items: {type: integer}, collectionFormat: multi}
      responses:
        200: {description: A, schema: {$ref: "#/definitions/A<b>"}, examples: {application/json: {n: 1}}}
    put:
      parameters:
        - {name: id, in: path, required: true, type: integer}
        - {name: body, in: body, required: true, schema: {$ref: "#/definitions/A<b>"}}
      responses: {204: {description: none}}
    post:
      consumes: [application/x-www-form-urlencoded]
      parameters:
        - {name: id, in: path, required: true, type: integer}
        - {name: n, in: formData, required: true, type: integer}
        - {name: many, in: formData, type: array, items: {type: integer}}
      responses: {204: {description: none}}
    patch:
      consumes: [multipart/form-data]
      parameters:
        - {name: id, in: path, required: true, type: integer}
        - {name: photo, in: formData, type: file}
      responses: {204: {description: none}}
definitions:
  A<b>:
    type: object
    required: [n]
    properties: {n: {type: number, minimum: 0, exclusiveMinimum: true, x-nullable: true}}
"""


def test_swagger_2_is_read(imported):
    document, contract = imported(SWAGGER)
    with upstream() as backend, running(live(document, backend)) as gate:

        def send(method, path, **body):
            return gate.request(method, f"/api/a/{path}", **body).status_code

        codes = [
            send("GET", "7?tag=1|2&multi=1&multi=2"),
            send("GET", "x"),
            send("GET", "7?tag=1|x"),
            send("GET", "7?multi=1&multi=x"),
            send("PUT", "7", json={"n": 0.5}),
            send("PUT", "7", json={"n": None}),
            send("PUT", "7", json={"n": 0}),
            send("PUT", "7"),
            send("POST", "7", data={"n": "1", "many": "1,2"}),
            send("POST", "7", data={"n": "x"}),
            send("POST", "7", data={"n": "1", "many": "1,x"}),
            send("PATCH", "7", files={"photo": b"x"}),
        ]

    assert codes == [200, 400, 400, 400, 200, 200, 400, 400, 200, 400, 400, 200]
    assert list(contract["components"]["schemas"]) == ["A-b"]
    assert document["connections"] == {"old": {"targets": "https://old.example.org"}}


NEW = """
openapi: 3.2.0
info: {title: New, version: "1"}
servers: [{url: https://new.example.org}]
paths:
  /search:
    query:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Query"}}}}
      responses: {"200": {description: Found}}
    additionalOperations:
      COPY: {responses: {"200": {description: Copied}}}
  /shared: {$ref: "#/components/pathItems/Shared"}
components:
  pathItems:
    Shared: {get: {responses: {"2XX": {description: Shared}}}}
  schemas:
    Query:
      type: [object, "null"]
      prefixItems: [{type: string}]
      unevaluatedProperties: false
      properties:
        of: {$ref: "#/components/schemas/Query/$defs/word", description: what stands beside counts}
      $defs: {word: {type: string, const: tea}}
"""


def test_openapi_3_2_with_schemas_of_2020_12_is_read(imported):
    document, contract = imported(NEW)
    with upstream() as backend, running(live(document, backend)) as gate:
        codes = [
            gate.request("QUERY", "/search", json=body).status_code
            for body in ({"of": "tea"}, None, {"of": "milk"}, {"more": 1})
        ]
        copied, shared = gate.request("COPY", "/search"), gate.request("GET", "/shared")

    assert codes == [200, 200, 400, 400]
    assert (copied.status_code, shared.status_code) == (200, 200)
    assert sorted(contract["components"]["schemas"]) == ["Query", "components.schemas.Query.-defs.word"]


def problems(tmp_path, text, **wishes):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        described(read(file), Wishes(**wishes))
    return [(problem.line, problem.path, problem.message) for problem in caught.value.problems]


def test_broken_and_circular_references_are_told_all_at_once_with_their_places(tmp_path):
    text = """openapi: 3.1.0
info: {title: Bad}
paths:
  /a:
    parameters: [{$ref: "#/components/parameters/one"}]
    get:
      requestBody: {$ref: "#/components/requestBodies/None"}
      responses:
        "200": {content: {application/json: {schema: {properties: {x: {$ref: "#/components/schemas/None"}}}}}}
        "201": {$ref: "other.yaml#/x"}
        "202": {$ref: "https://example.org/x.yaml"}
        "203": {$ref: "#nowhere"}
  /b: {$ref: "#/paths/~1b"}
components:
  parameters:
    one: {$ref: "#/components/parameters/two"}
    two: {$ref: "#/components/parameters/one"}
  schemas:
    Loop: {$ref: "#/components/schemas/Loop"}
    Fine: {properties: {self: {$ref: "#/components/schemas/Fine"}, example: {type: string}}, example: {$ref: "#/no"}}
"""
    found = problems(tmp_path, text)

    assert [(line, path[0]) for line, path, _ in found] == [
        (5, "#/paths/~1a/parameters/0/$ref"),
        (7, "#/paths/~1a/get/requestBody/$ref"),
        (9, "#/paths/~1a/get/responses/200/content/application~1json/schema/properties/x/$ref"),
        (10, "#/paths/~1a/get/responses/201/$ref"),
        (11, "#/paths/~1a/get/responses/202/$ref"),
        (12, "#/paths/~1a/get/responses/203/$ref"),
        (13, "#/paths/~1b/$ref"),
        (16, "#/components/parameters/one/$ref"),
        (17, "#/components/parameters/two/$ref"),
        (19, "#/components/schemas/Loop/$ref"),
    ]
    messages = [message for _, _, message in found]
    assert "circular reference: #/components/parameters/one -> #/components/parameters/two -> " in messages[0]
    assert "leads nowhere" in messages[1]
    assert "none is fetched" in messages[3]
    assert "none is fetched" in messages[4]
    assert "is no JSON pointer" in messages[5]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("{a: 1}", "#", "no OpenAPI description"),
        ("{swagger: '2.0', host: a.org, consumes: 5, paths: {/a: {get: {}}}}", "#/consumes", "should be a list"),
        ("{openapi: 4.0.0}", "#/openapi", "'4.0.0' is not read"),
        ("{swagger: 1.2}", "#/swagger", "not read"),
        ("{openapi: 3.1.0, paths: {}, servers: [{url: 'https://a.org'}]}", "#/paths", "no operation"),
        ("{openapi: 3.1.0, paths: {/a: {get: {}}}}", "#/servers", "no server has a whole URL"),
        ("{openapi: 3.1.0, paths: {/a: {get: 1}}, servers: [{url: 'https://a.org'}]}", "#/paths/~1a/get", "mapping"),
        ("{openapi: 3.1.0, paths: {a: {get: {}}}, servers: [{url: 'https://a.org'}]}", "#/paths/a", "begins with '/'"),
        ("{openapi: 3.1.0, paths: {'/{a}{b}': {get: {}}}}", "#/paths/~1{a}{b}", "two variables touch"),
        ("{openapi: 3.1.0, paths: {/a: {get: {responses: {ok: {}}}}}}", "#/paths/~1a/get/responses/ok", "no status"),
        ("{openapi: 3.1.0, paths: {/a: {get: {parameters: [{name: x}]}}}}", "#/paths/~1a/get/parameters/0", "`in`"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused_with_the_place(text, place, message, tmp_path):
    found = problems(tmp_path, text)

    assert any(path == (place,) and message in said for _, path, said in found), found


def test_the_command_line_refuses_what_would_do_harm_or_nothing(tmp_path):
    file, output = tmp_path / "pets.yaml", tmp_path / "out.yaml"
    file.write_text(PETS)
    output.write_text("precious")

    def run(*options):
        return CliRunner().invoke(app, ["openapi", "import", str(file), *options])

    there = run("-o", str(output))
    assert "is there already" in str(there.exception)
    assert (output.read_text(), (tmp_path / "out.openapi.json").exists()) == ("precious", False)
    assert run("--mock").exit_code == 2
    shown = run("--server", "http://127.0.0.1:9/x", "--base-path", "/p", "--name", "p", "--connection", "c")
    document = dict(parse(shown.stdout.encode(), "shown.yaml"))
    assert document["apis"][0]["base_path"] == "/p"
    assert document["apis"][0]["to"] == {"connection": "c", "prefix": "/x"}
    assert document["connections"] == {"c": {"targets": "http://127.0.0.1:9"}}
    assert "flow" not in shown.stdout
    assert run("-o", str(output), "--force").exit_code == 0
    assert output.read_text().startswith("# Imported from pets.yaml")


def thousand():
    """A description of a thousand operations whose schemas are large and refer to each other."""
    schemas = {
        f"Thing{number}": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": "integer"},
                "next": {"$ref": f"#/components/schemas/Thing{(number + 1) % 200}"},
                **{f"field{index}": {"type": "string", "maxLength": index + 1} for index in range(30)},
            },
        }
        for number in range(200)
    }
    paths = {}
    for number in range(250):
        thing = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/Thing{number % 200}"}}}}
        identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
        good = {"responses": {"200": {"description": "good", **thing}}}
        paths[f"/things{number}"] = {"get": good, "post": {"requestBody": thing, **good}}
        paths[f"/things{number}/{{id}}"] = {"parameters": [identifier], "get": good, "delete": good}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Thousand", "version": "1"},
        "servers": [{"url": "https://thousand.example.org"}],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def test_a_thousand_operations_are_imported_loaded_and_served(imported):
    started = time.process_time()
    document, contract = imported(json.dumps(thousand()), "--mock", name="thousand.json")
    spent = time.process_time() - started
    with running(document) as gate:
        routes = len(gate.gateway.live.config.routes)
        made = gate.request("GET", "/things249/7")
        refused = [gate.request("GET", "/things249/x"), gate.request("POST", "/things17", json={"next": {"id": "x"}})]

    assert routes == 1000
    assert (made.status_code, made.json()["id"]) == (200, 1)
    assert [answer.status_code for answer in refused] == [400, 400]
    assert len(json.dumps(document)) < 400_000
    assert len(contract["components"]["schemas"]) == 200
    assert spent < 30
