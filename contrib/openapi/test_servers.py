"""Servers of a path or of one operation, and members that are for one direction: what a description says is kept."""

import json

import pytest

from hookgate import ConfigError
from hookgate.document import parse
from hookgate.testing import running, upstream
from hookgate_openapi import Wishes, described, read
from hookgate_openapi.writing import contract_text, document_text

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
SERVERS = """
openapi: 3.0.3
info: {title: Shop, version: "1"}
servers: [{url: MAIN/v1}]
paths:
  /orders:
    get: {responses: {"200": {description: good}}}
    post:
      servers: [{url: "MAIN/"}]
      responses: {"200": {description: good}}
  /files:
    servers:
      - {url: "{scheme}FILES/up", variables: {scheme: {default: ""}}}
      - {url: https://more.example.org}
    put: {responses: {"200": {description: good}}}
    get:
      servers: [{url: /v2}]
      responses: {"200": {description: good}}
    delete:
      servers: []
      responses: {"200": {description: good}}
"""


@pytest.fixture
def load(tmp_path):
    def run(text, **wishes):
        file, contract = tmp_path / "api.yaml", tmp_path / "api.openapi.json"
        file.write_text(text)
        found = described(read(file), Wishes(contract=contract.as_posix(), **wishes))
        contract.write_text(contract_text(found.contract))
        return dict(parse(document_text(found.document, "").encode(), "gateway.yaml")), found.warnings

    return run


@BOTH
def test_calls_go_to_the_server_of_their_operation_or_path(lane, load):
    with upstream() as main, upstream() as files:
        document, warnings = load(SERVERS.replace("MAIN", main.url).replace("FILES", files.url))
        with running({**document, "gateway": {"lane": lane}}) as gate:
            methods = (("GET", "orders"), ("POST", "orders"), ("PUT", "files"), ("GET", "files"), ("DELETE", "files"))
            codes = [gate.request(method, f"/v1/{path}").status_code for method, path in methods]

    assert codes == [200] * 5
    assert [f"{request.method} {request.path}" for request in main.requests] == [
        "GET /v1/orders",
        "POST /orders",
        "GET /v2/files",
    ]
    assert [f"{request.method} {request.path}" for request in files.requests] == ["PUT /up/files", "DELETE /up/files"]
    assert len(document["connections"]) == 2
    assert ["list several servers, such as PUT /files" in each for each in warnings] == [True]


def test_with_a_server_on_the_command_line_every_call_goes_there_and_that_is_said(load):
    text = SERVERS.replace("MAIN", "https://main.example.org").replace("FILES", "https://files.example.org")
    document, warnings = load(text, server="http://127.0.0.1:9/x")

    assert document["connections"] == {"shop": {"targets": "http://127.0.0.1:9"}}
    assert "files.example.org" not in json.dumps(document)
    assert any("servers of their own go to http://127.0.0.1:9" in each for each in warnings)


def test_servers_of_operations_are_enough_and_one_that_is_none_is_refused_with_its_place(load):
    text = SERVERS.replace("servers: [{url: MAIN/v1}]", "").replace("FILES", "https://files.example.org")
    with pytest.raises(ConfigError, match="#/servers: no server has a whole URL"):
        load(text)
    whole = text.replace("MAIN", "https://a.example.org").replace("servers: [{url: /v2}]", "")
    with pytest.raises(ConfigError, match="#/servers"):
        load(whole)
    only = whole.replace('    get: {responses: {"200": {description: good}}}\n', "")
    document, _ = load(only)
    assert sorted(document["connections"]) == ["a-example-org", "files-example-org"]
    with pytest.raises(ConfigError, match=r"api.yaml:\d+:\d+: #/paths/~1files/servers: none of these is a URL"):
        load(
            only.replace("https://files.example.org", "ftp://files").replace("https://more.example.org", "https://x:0")
        )


DIRECTIONS = """
openapi: VERSION
info: {title: Pets, version: "1"}
servers: [{url: https://pets.example.org}]
paths:
  /pets:
    post:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}
      responses: {"200": {description: good}}
  /dogs:
    post:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Dog"}}}}
      responses: {"200": {description: good}}
  /base:
    post:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Strict"}}}}
      responses: {"200": {description: good}}
components:
  schemas:
    Id: {type: integer, readOnly: true}
    Base:
      type: object
      properties: {id: {$ref: "#/components/schemas/Id"}, at: {allOf: [{$ref: "#/components/schemas/Id"}]}}
    Pet:
      allOf:
        - $ref: "#/components/schemas/Base"
        - {type: object, required: [id, at, name], properties: {name: {type: string}}}
    Strict: {type: object, required: [id, name], properties: {id: {type: integer}, name: {type: string}}}
    Dog:
      required: [kind]
      allOf:
        - $ref: "#/components/schemas/Strict"
        - properties: {id: {type: integer, readOnly: true}}
        - oneOf: [{required: [id, kind]}]
"""


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_members_for_one_direction_may_be_missing_wherever_they_are_asked_for(version, load):
    document, _ = load(DIRECTIONS.replace("VERSION", version))
    with upstream() as backend:
        document["connections"] = {name: {"targets": backend.url} for name in document["connections"]}
        with running(document) as gate:

            def send(path, **body):
                answer = gate.request("POST", path, json=body)
                return answer.status_code if answer.status_code == 200 else answer.json()["errors"][0]["pointer"]

            good = [send("/pets", name="Rex"), send("/dogs", name="Rex", kind="dog"), send("/base", id=1, name="x")]
            bad = [
                send("/pets"),
                send("/pets", name="Rex", id="x"),
                send("/dogs", name="Rex"),
                send("/dogs", kind="dog"),
            ]
            bad.append(send("/base", name="x"))

    assert good == [200] * 3
    assert bad == ["#/name", "#/id", "#/kind", "#/name", "#/id"]


WAYS = """
openapi: VERSION
info: {title: Users, version: "1"}
servers: [{url: "http://localhost:8080"}]
paths:
  /users:
    post:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/User"}}}}
      responses:
        "200":
          description: good
          content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/User"}}}}
  /same:
    post:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Same"}}}}
      responses:
        "200": {description: good, content: {application/json: {schema: {$ref: "#/components/schemas/Same"}}}}
components:
  schemas:
    Password: {type: string, writeOnly: true}
    User:
      type: object
      required: [id, name, password]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string}
        password: {$ref: "#/components/schemas/Password"}
        friend: {$ref: "#/components/schemas/Friend"}
    Friend:
      allOf:
        - {$ref: "#/components/schemas/User"}
        - required: [since, pin]
          properties: {since: {type: integer, readOnly: true}, pin: {type: string, writeOnly: true}}
    Same: {type: object, required: [name], properties: {name: {type: string}, at: {type: integer, readOnly: true}}}
"""


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_what_is_written_only_is_asked_for_in_what_is_sent_and_what_is_read_only_in_answers(version, load, tmp_path):
    document, _ = load(WAYS.replace("VERSION", version), checks="both")
    contract = json.loads((tmp_path / "api.openapi.json").read_text())
    assert sorted(contract["components"]["schemas"]) == [
        *("Friend", "Friend.response", "Password"),
        *("Same", "User", "User.response"),
    ]
    given = {}
    with upstream(lambda _: (200, {"content-type": "application/json"}, json.dumps(given["body"]))) as backend:
        document["connections"] = {name: {"targets": backend.url} for name in document["connections"]}
        with running(document) as gate:

            def send(body, answer=({"id": 1, "name": "kim"},)):
                given["body"] = answer
                told = gate.request("POST", "/users", json=body)
                return told.status_code if told.status_code != 400 else told.json()["errors"][0]["pointer"]

            ann = {"name": "ann", "password": "x"}
            kim = {"id": 1, "name": "kim"}
            sent = [
                send(ann),
                send(ann | {"friend": {**ann, "pin": "1"}}),
                send({"name": "ann"}),
                send({"password": "x"}),
                send(ann | {"friend": ann}),
                send(ann | {"friend": {"name": "bob", "pin": "1"}}),
            ]
            answered = [
                send(ann, [kim, kim | {"friend": {**kim, "since": 2}}]),
                send(ann, [{"name": "kim", "password": "x"}]),
                send(ann, [kim | {"friend": kim}]),
                send(ann, [kim | {"friend": {"name": "bob", "since": 2}}]),
            ]
    assert sent == [200, 200, "#/password", "#/name", "#/friend/pin", "#/friend/password"]
    assert answered == [200, 502, 502, 502]


PAGEABLE = """
openapi: 3.0.1
info: {title: OpenAPI definition, version: v0}
servers: [{url: "http://localhost:8080"}]
paths:
  /items:
    get:
      parameters:
        - {name: pageable, in: query, required: true, schema: {$ref: "#/components/schemas/Pageable"}}
        - {name: q, in: query, schema: {type: string}}
      responses: {"200": {description: OK}}
components:
  schemas:
    Pageable:
      type: object
      properties:
        page: {minimum: 0, type: integer, format: int32}
        size: {minimum: 1, type: integer, format: int32}
        sort: {type: array, items: {type: string}}
"""


@BOTH
def test_pages_of_springdoc_are_asked_for_by_their_members(lane, load):
    document, _ = load(PAGEABLE)
    with upstream() as backend:
        document["connections"] = {name: {"targets": backend.url} for name in document["connections"]}
        with running({**document, "gateway": {"lane": lane}}) as gate:
            queries = ("", "page=0&size=20&sort=a,asc&sort=b&q=x", "page=-1", "size=x")
            codes = [gate.request("GET", f"/items?{each}").status_code for each in queries]

    assert codes == [200, 200, 400, 400]
