import json

import jsonschema_rs
import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, through
from hookgate_interceptor_mock import Mock

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
PET = {"id": 7, "name": "Rex"}
RESPONSES = {
    "404": {"content": {"application/problem+json": {"example": {"title": "Not Found"}}}},
    "200": {
        "headers": {"X-Total": {"schema": {"type": "integer"}}, "Content-Length": {"example": "9"}},
        "content": {
            "application/json": {"examples": {"rex": {"value": PET}, "none": {"value": None}}},
            "text/plain": {"example": "Rex"},
        },
    },
    "204": {"description": "nothing"},
    "5XX": {"content": {"application/json": {"schema": {"properties": {"code": {"type": "integer"}}}}}},
}


def unreachable(exchange):
    raise AssertionError("the backend was called")


def ask(step=None, **headers):
    step = step or build(Mock, responses=RESPONSES)
    return through(step, upstream=unreachable, headers=headers).response


def test_unasked_the_first_example_of_the_first_good_answer_is_given():
    answer = ask()

    assert (answer.status, json.loads(answer.body.data)) == (200, PET)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-total"] == "1"
    assert "content-length" not in answer.headers
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize(
    ("prefer", "status", "body", "applied"),
    [
        ("status=404", 404, b'{"title": "Not Found"}', "status=404"),
        ("code=404", 404, b'{"title": "Not Found"}', "code=404"),
        ('wait=10, status="404"; x=1', 404, b'{"title": "Not Found"}', "status=404"),
        ("example=none", 200, b"null", "example=none"),
        ('status=200, example="none"', 200, b"null", "status=200, example=none"),
        ("status=204", 204, b"", "status=204"),
        ("status=503", 503, b'{"code": 1}', "status=503"),
        ("respond-async", 200, b'{"id": 7, "name": "Rex"}', None),
    ],
)
def test_a_client_chooses_with_prefer(prefer, status, body, applied):
    answer = ask(prefer=prefer)

    assert (answer.status, answer.body.data) == (status, body)
    assert answer.headers.get("preference-applied") == applied


@pytest.mark.parametrize("prefer", ["status=418", "status=abc", "status=", "status=200²", "example=max", "status=100"])
def test_what_is_not_there_is_refused_with_what_is(prefer):
    answer = ask(prefer=prefer)

    assert answer.status == 400
    assert json.loads(answer.body.data)["reason"] == "no-such-example"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/plain", "text/plain"),
        ("text/*, application/json;q=0.5", "text/plain"),
        ("*/*", "application/json"),
        ("application/json;q=0, */*", "text/plain"),
        ("text/html, */*;q=0.1", "application/json"),
    ],
)
def test_accept_chooses_the_content_type(accept, content_type):
    assert ask(accept=accept).headers["content-type"] == content_type


def test_nothing_that_a_client_takes_is_406():
    assert ask(accept="image/png").status == 406


def test_a_text_is_given_as_it_is_and_as_json_where_that_is_asked_for():
    assert ask(accept="text/plain").body.data == b"Rex"


SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer", "minimum": 10, "multipleOf": 4},
        "name": {"type": ["string", "null"], "minLength": 8, "maxLength": 9},
        "kind": {"enum": ["dog", "cat"]},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "minItems": 2, "items": {"type": "boolean"}},
        "parent": {"$ref": "#/components/schemas/Pet"},
        "weight": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
        "either": {"oneOf": [{"const": 1}, {"const": 2}]},
        "both": {"allOf": [{"properties": {"a": {"default": 1}}}, {"properties": {"b": {"examples": [2]}}}]},
        "password": {"type": "string", "writeOnly": True},
    },
}


def contract(tmp_path, **operation):
    file = tmp_path / "pets.json"
    paths = {"/pets/{id}": {"get": {"responses": {"200": {"content": {"application/json": operation}}}}}}
    file.write_text(
        json.dumps({"openapi": "3.1.1", "paths": paths, "components": {"schemas": {"Pet": SCHEMA}, "examples": {}}})
    )
    return build(Mock, file=str(file), operation="GET /pets/{id}")


def test_where_there_is_no_example_one_is_made_of_the_schema_and_always_the_same(tmp_path):
    step = contract(tmp_path, schema={"$ref": "#/components/schemas/Pet"})
    first = json.loads(ask(step).body.data)

    assert first == json.loads(ask(step).body.data)
    assert {name: first[name] for name in ("id", "name", "kind", "born", "tags", "either", "both")} == {
        "id": 12,
        "name": "stringst",
        "kind": "dog",
        "born": "2026-01-31",
        "tags": [True, True],
        "either": 1,
        "both": {"a": 1, "b": 2},
    }
    assert first["parent"]["id"] == 12
    assert "password" not in first
    assert len(ask(step).body.data) < 10_000


def test_schemas_in_circles_come_to_an_end(tmp_path):
    loop = {"$ref": "#/components/schemas/Pet/properties/loop"}
    SCHEMA["properties"]["loop"] = loop
    try:
        assert ask(contract(tmp_path, schema=loop)).status == 200
        assert ask(contract(tmp_path, schema={"allOf": [{"$ref": "#/components/schemas/Pet"}] * 3})).status == 200
    finally:
        del SCHEMA["properties"]["loop"]


def test_what_is_made_of_a_schema_stays_small_however_it_contains_itself(tmp_path):
    itself = {"$ref": "#/components/schemas/Pet/properties/tree"}
    members = dict.fromkeys("abc", itself)
    SCHEMA["properties"]["tree"] = {"required": list(members), "properties": members, "minItems": 9, "items": itself}
    try:
        answer = ask(contract(tmp_path, schema=itself))
    finally:
        del SCHEMA["properties"]["tree"]

    assert answer.status == 200
    assert len(answer.body.data) < 100_000


def test_an_example_behind_a_reference_is_found(tmp_path):
    file = tmp_path / "pets.yaml"
    file.write_text(
        """
openapi: 3.1.0
paths:
  /pets:
    get:
      responses:
        "200": {$ref: "#/components/responses/Pets"}
components:
  responses:
    Pets: {content: {application/json: {examples: {all: {$ref: "#/components/examples/all"}}}}}
  examples:
    all: {value: [1, 2]}
"""
    )

    assert ask(build(Mock, file=str(file), operation="GET /pets")).body.data == b"[1, 2]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to answer"),
        ({"operation": "GET /x"}, "go together"),
        ({"file": "nowhere.json", "operation": "GET /x"}, "cannot read nowhere.json"),
        ({"responses": {"ok": {}}}, "'ok' is no status"),
        ({"responses": {"200": {}}, "status": 404}, "there is no answer 404; there is: 200"),
        ({"responses": {"200": {}}, "delay": 60}, "delay"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Mock, **options)


def test_an_operation_that_is_not_there_is_refused_at_load(tmp_path):
    contract(tmp_path)
    for operation, message in (("POST /pets/{id}", "no operation"), ("/pets", "write a method and a path")):
        with pytest.raises(ConfigError, match=message):
            build(Mock, file=str(tmp_path / "pets.json"), operation=operation)
    (tmp_path / "pets.json").write_text('{"openapi": "3.0.3", "paths": {}}')
    with pytest.raises(ConfigError, match="hookgate openapi import"):
        build(Mock, file=str(tmp_path / "pets.json"), operation="GET /pets")


@BOTH
def test_a_gateway_answers_without_a_backend(lane):
    document = {
        "gateway": {"lane": lane},
        "routes": [{"name": "pets", "match": {"path": "/pets"}, "flow": [{"mock": {"responses": RESPONSES}}]}],
    }
    with running(document) as gate:
        usual = gate.request("GET", "/pets")
        missing = gate.request("GET", "/pets", headers={"Prefer": "status=404"})
        empty = gate.request("GET", "/pets", headers={"Prefer": "status=204"})
        head = gate.request("HEAD", "/pets")

    assert (usual.status_code, usual.json(), usual.headers["vary"]) == (200, PET, "Accept, Prefer")
    assert (missing.status_code, missing.headers["preference-applied"]) == (404, "status=404")
    assert (empty.status_code, empty.content) == (204, b"")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(usual.content)))


def test_an_answer_may_take_its_time():
    document = {
        "routes": [
            {"name": "slow", "match": {"path": "/slow"}, "flow": [{"mock": {"responses": {"200": {}}, "delay": 0.2}}]}
        ]
    }
    with running(document) as gate:
        assert gate.request("GET", "/slow").status_code == 200
        (exchange,) = gate.wait_for_exchanges(1)

    assert exchange.finished - exchange.started >= 0.19


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}(-x|-y)?$", "minLength": 9},
        {"type": "string", "minLength": 3.0, "maxLength": 3},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
        {"type": "integer", "minimum": 5, "maximum": 9, "multipleOf": 4},
        {"type": "array", "items": {"type": "integer"}, "minItems": 20, "uniqueItems": True},
        {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "uniqueItems": True},
        {"type": "array", "maxItems": 0, "items": {"type": "string"}},
        {"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer"}},
        {"type": "object", "required": ["x-1"], "patternProperties": {"^x-": {"type": "boolean"}}},
        {"type": "integer", "example": "7"},
        {"properties": {"a": {"type": "integer", "default": "none"}, "b": {"enum": ["x"], "example": "y"}}},
        {"oneOf": [{"required": ["a"], "properties": {"a": {"type": "integer"}}}, {"required": ["b"]}]},
        {
            "properties": {"k": {"type": "string"}},
            "anyOf": [False, {"properties": {"k": {"const": "v"}}, "required": ["k"]}],
        },
        {"allOf": [{"type": "integer", "minimum": 3}, {"minimum": 7, "maximum": 8}]},
        {"not": {"type": "object"}},
        {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}, "required": ["a"]},
        {"type": ["null", "string"], "not": {"type": "string"}},
    ],
)
def test_what_is_made_is_as_its_schema_says(schema):
    content = {"application/json": {"schema": schema}}
    step = build(Mock, responses={"200": {"content": content}})
    made = ask(step)

    assert made.status == 200
    jsonschema_rs.validate(schema, json.loads(made.body.data))


def test_parts_that_contain_each_other_come_to_an_end(tmp_path):
    itself = {"$ref": "#/components/schemas/Pet/properties/parts"}
    SCHEMA["properties"]["parts"] = {"allOf": [itself] * 4, "anyOf": [itself] * 4}
    try:
        assert ask(contract(tmp_path, schema=itself)).status == 200
    finally:
        del SCHEMA["properties"]["parts"]
