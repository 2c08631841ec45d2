import gzip
import json
import time
import zlib

import pytest

from hookgate import ConfigError, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_schema import Schema

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
JSON = {"content-type": "application/json"}
ORDER = {
    "type": "object",
    "required": ["item"],
    "properties": {"item": {"type": "string", "maxLength": 5}, "count": {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}


def post(step, value, **more):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return through(step, method="POST", headers={**JSON, **more}, body=body).response


def errors(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    return json.loads(answer.body.data)["errors"]


def test_a_good_body_passes_and_each_mistake_of_a_bad_one_is_told_with_its_place():
    step = build(Schema, request=ORDER)

    assert post(step, {"item": "tea", "count": 2}).status == 200
    answer = post(step, {"item": "coffee", "count": 0, "a/b": 1})
    assert answer.status == 400
    assert errors(answer) == [
        {"in": "body", "pointer": "#/item", "detail": "should have at most 5 characters"},
        {"in": "body", "pointer": "#/count", "detail": "should be at least 1"},
        {"in": "body", "pointer": "#/a~1b", "detail": "is not known here"},
    ]
    assert errors(post(step, {})) == [{"in": "body", "pointer": "#/item", "detail": "is required"}]


def test_what_was_sent_is_never_told():
    schema = {
        "properties": {
            "a": {"type": "integer"},
            "b": {"enum": ["x", "y"]},
            "c": {"pattern": "^[0-9]+$"},
            "d": {"const": "constant-of-us"},
            "e": {"anyOf": [{"type": "integer"}, {"maxLength": 1}]},
            "f": {"format": "email"},
            "g": {"not": {"type": "string"}},
            "h": {"propertyNames": {"maxLength": 1}},
            "i": {"oneOf": [{"type": "string"}, {"minLength": 1}]},
            "j": {"contains": {"type": "integer"}},
        }
    }
    sent = {**dict.fromkeys("abcdefgi", "s3cret-value"), "h": {"s3cret-value": 1}, "j": ["s3cret-value"]}
    answer = post(build(Schema, request=schema, formats=True), sent)

    assert {error["pointer"] for error in errors(answer)} == {f"#/{name}" for name in "abcdefghij"}
    assert b"s3cret" not in answer.body.data
    assert b"constant-of-us" not in answer.body.data


def test_no_more_mistakes_are_told_than_wanted_and_the_status_is_as_written():
    step = build(Schema, request={"items": {"type": "string"}}, max_errors=3, status=422)
    answer = post(step, list(range(50)))

    assert (answer.status, len(errors(answer))) == (422, 3)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{", "is not JSON"),
        (b'{"item": NaN}', "is not JSON"),
        (b'{"item": "\xff"}', "is not JSON"),
        (b'\xef\xbb\xbf{"item": "tea"}', "is not JSON"),
        (b'{"item": "\\ud800"}', "is not JSON"),
        (b"[" * 5000 + b"]" * 5000, "is not JSON"),
        (b"", "is required"),
    ],
    ids=["cut off", "NaN", "not UTF-8", "byte order mark", "half a surrogate", "deep", "nothing"],
)
def test_a_body_that_is_no_json_is_refused(body, detail):
    (error,) = errors(post(build(Schema, request=ORDER), body))

    assert error["detail"].startswith(detail)


def test_a_body_may_be_left_out_where_that_is_said():
    step = build(Schema, request=ORDER, required=False)

    assert post(step, b"").status == 200
    assert post(step, {}).status == 400


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/jsonx", "application/xml; a=application/json"])
def test_a_body_of_another_kind_is_refused_as_it_could_not_be_looked_into(content_type):
    headers = {"content-type": content_type} if content_type else {}
    answer = through(build(Schema, request=ORDER), method="POST", headers=headers, body=b'{"item": "tea"}').response

    assert (answer.status, answer.headers["accept"]) == (415, "application/json, application/*+json")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"])
def test_json_has_several_names(content_type):
    assert post(build(Schema, request=ORDER), {"item": 1}, **{"content-type": content_type}).status == 400


def test_packed_bodies_are_unpacked_up_to_the_limit():
    step = build(Schema, request=ORDER, max_size=1000)
    good, bad = json.dumps({"item": "tea"}).encode(), json.dumps({"item": 7}).encode()
    bomb = gzip.compress(json.dumps({"item": "x" * 1_000_000}).encode())

    assert post(step, gzip.compress(good), **{"content-encoding": "gzip"}).status == 200
    assert post(step, gzip.compress(bad), **{"content-encoding": "gzip"}).status == 400
    assert post(step, zlib.compress(bad), **{"content-encoding": "deflate"}).status == 400
    assert post(step, gzip.compress(good)[:-4], **{"content-encoding": "gzip"}).status == 400
    assert post(step, gzip.compress(good) + b"{}", **{"content-encoding": "gzip"}).status == 400
    assert post(step, bomb, **{"content-encoding": "gzip"}).status == 413
    assert post(step, good, **{"content-encoding": "br"}).status == 415
    assert post(step, {"item": "x" * 1000}).status == 413


def test_parameters_become_what_their_schema_asks_for():
    seen = build(
        Schema,
        query={
            "type": "object",
            "properties": {
                "limit": {"$ref": "#/$defs/limit"},
                "deep": {"type": "boolean"},
                "ids": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
                "word": {"type": "string", "pattern": "^[0-9]+$"},
                "ratio": {"type": "number", "exclusiveMaximum": 1},
            },
            "required": ["limit"],
            "additionalProperties": False,
            "$defs": {"limit": {"type": "integer", "maximum": 100}},
        },
        headers={"properties": {"x-count": {"type": "integer"}}, "required": ["x-count"]},
        cookies={"properties": {"theme": {"enum": ["dark", "light"]}}},
    )

    def call(query, **headers):
        answer = through(seen, query=query, headers={"X-Count": "1", **headers}).response
        return [(e["in"], e.get("name")) for e in errors(answer)] if answer.status == 400 else answer.status

    assert call("limit=5&deep=true&ids=1&ids=2&word=12&ratio=0.5", cookie="a=b; theme=dark") == 200
    assert call("limit=500") == [("query", "limit")]
    assert call("limit=5x") == [("query", "limit")]
    assert call("limit=1e400") == [("query", "limit")]
    assert call("limit=5&limit=6") == [("query", "limit")]
    assert call("") == [("query", "limit")]
    assert call("limit=5&deep=1") == [("query", "deep")]
    assert call("limit=5&ids=1&ids=x") == [("query", "ids")]
    assert call("limit=5&ids=1&ids=2&ids=3") == [("query", "ids")]
    assert call("limit=5&ratio=1.0") == [("query", "ratio")]
    assert call("limit=5&other=1") == [("query", "other")]
    assert call("limit=5", **{"X-Count": "x"}) == [("header", "x-count")]
    assert call("limit=5", cookie="theme=pink") == [("cookie", "theme")]


@pytest.mark.parametrize("query", ["limit=%ff", "&".join(["a=1"] * 1001)])
def test_a_query_that_cannot_be_read_is_refused(query):
    assert through(build(Schema, query={"type": "object"}), query=query).response.status == 400


def test_draft_7_and_2020_12_are_told_apart():
    tuple_of_7 = {"items": [{"type": "string"}], "additionalItems": False}
    pair = {"prefixItems": [{"type": "integer"}]}
    said = {"$schema": "http://json-schema.org/draft-07/schema#", **tuple_of_7}

    assert post(build(Schema, request=tuple_of_7, draft="7"), ["a", "b"]).status == 400
    assert post(build(Schema, request=said), ["a", "b"]).status == 400
    assert post(build(Schema, request=pair), ["a", "b"]).status == 400
    assert post(build(Schema, request=pair, draft="7"), ["a", "b"]).status == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there is nothing to check"),
        ({"request": {"type": "strin"}}, "request: at #/type: .*strin"),
        ({"request": {"properties": {"a": {"minimum": "x"}}}}, "request: at #/properties/a/minimum: .*number"),
        ({"request": {"pattern": "("}}, "request: at #/pattern"),
        ({"request": {"$ref": "#/$defs/none"}}, "request: .*/\\$defs/none"),
        ({"request": {"$ref": "http://127.0.0.1:1/x"}}, "request: .*disabled"),
        ({"request": {"$ref": "file:///etc/passwd"}}, "request: .*disabled"),
        ({"query": {"properties": {"a": {"type": "strin"}}}}, "query: at #/properties/query/properties/a/type"),
        ({"request": {"$schema": "http://json-schema.org/draft-04/schema#"}}, "drafts 7 and 2020-12"),
        ({"request": "#/$defs/Order"}, "is a place in a file; name the file"),
        ({"operation": "GET /x"}, "name the contract"),
        ({"request": True, "file": "nowhere.json"}, "cannot read nowhere.json: No such file"),
    ],
)
def test_mistakes_in_schemas_are_found_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Schema, **options)


def test_a_schema_that_contains_itself_and_nothing_else_harms_nobody():
    assert post(build(Schema, request={"$ref": "#"}), {"a": 1}).status == 200


def test_looking_for_mistakes_takes_no_more_than_a_moment():
    """Alternatives that contain each other double the work with each level of what is sent, up to hours."""
    schema = {
        "$defs": {
            "n": {
                "anyOf": [
                    {"type": "array", "items": {"$ref": "#/$defs/n"}},
                    {"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/n"}},
                ]
            }
        },
        "$ref": "#/$defs/n",
    }
    step = build(Schema, request=schema)
    started = time.process_time()
    answers = [post(step, b"[" * depth + b"1" + b"]" * depth) for depth in (5, 30, 900)]
    many = post(build(Schema, request={"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}), [1] * 100_000)

    assert [answer.status for answer in (*answers, many)] == [400] * 4
    assert errors(many) == [{"in": "body", "pointer": "#", "detail": errors(answers[2])[0]["detail"]}]
    assert time.process_time() - started < 5


def test_only_what_is_needed_is_read():
    def reads(**options):
        return build(Schema, **options).reads

    assert reads(query={"type": "object"}) == frozenset()
    assert reads(request=ORDER) == {"request.body"}
    assert reads(response=ORDER) == {"response.body"}


def test_a_file_is_read_once_and_its_content_tells_whether_a_step_lives_on(tmp_path):
    file = tmp_path / "orders.json"
    file.write_text(json.dumps({"$defs": {"Order": ORDER, "Orders": {"items": {"$ref": "#/$defs/Order"}}}}))
    options = {"file": str(file), "request": "#/$defs/Orders"}
    first, second = build(Schema, **options), build(Schema, **options)

    assert errors(post(first, [{"item": 1}])) == [{"in": "body", "pointer": "#/0/item", "detail": "should be string"}]
    assert first.options == second.options
    assert first.options.file is second.options.file
    assert first._plan.request.medias[0].check is second._plan.request.medias[0].check
    file.write_text(json.dumps({"$defs": {"Orders": {"maxItems": 0}}}))
    third = build(Schema, **options)
    assert third.options != first.options
    assert post(third, []).status == 200
    with pytest.raises(ConfigError, match=r"there is no #/\$defs/Nothing in .*'Nothing' is missing"):
        build(Schema, file=str(file), request="#/$defs/Nothing")


def test_a_file_may_be_yaml_and_says_where_it_is_wrong(tmp_path):
    file = tmp_path / "orders.yaml"
    file.write_text("Order: {type: object, required: [item]}\n")
    assert post(build(Schema, file=str(file), request="#/Order"), {}).status == 400
    file.write_text("Order: {type: object\n")
    with pytest.raises(ConfigError, match=r"orders.yaml:2:1"):
        build(Schema, file=str(file), request="#/Order")
    file.write_text("Order: {type: objekt}\n")
    with pytest.raises(ConfigError, match="request: at #/Order/type"):
        build(Schema, file=str(file), request="#/Order")


def answer(value, status=200, content_type="application/json"):
    return Response(status, {"content-type": content_type}, json.dumps(value).encode())


def test_a_bad_answer_is_502_or_only_noted():
    refusing, logging = (build(Schema, response=ORDER, on_bad_response=way) for way in ("refuse", "log"))

    assert through(refusing, upstream=answer({"item": "tea"})).response.status == 200
    refused = through(refusing, upstream=answer({"item": "s3cret-value"})).response
    assert (refused.status, json.loads(refused.body.data)["reason"]) == (502, "response-invalid")
    assert b"s3cret" not in refused.body.data
    assert through(refusing, upstream=answer("x", content_type="text/html")).response.status == 502
    assert through(refusing, upstream=answer("x", status=404)).response.status == 404
    assert through(logging, upstream=answer({"item": "s3cret-value"})).response.status == 200


class Record:
    """A trace of a call."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


class Traced(Interceptor[Options]):
    """Has a trace kept of each call."""

    trace = Record()

    @hookimpl
    def on_request(self, exchange):
        exchange.trace = self.trace


def test_a_trace_tells_what_was_wrong_without_what_was_sent():
    traced, step = build(Traced), build(Schema, request=ORDER)
    through(traced, step, method="POST", headers=JSON, body=b'{"item": "s3cret-value"}')

    assert [note.partition(": ")[2] for note in Traced.trace.notes] == [
        "refused: body/item should have at most 5 characters"
    ]


def test_an_operation_has_to_be_in_a_contract_of_openapi_3_1(tmp_path):
    file = tmp_path / "contract.json"

    def refused(version, operation, message):
        file.write_text(json.dumps({"openapi": version, "paths": {"/a": {"get": {}}}}))
        with pytest.raises(ConfigError, match=message):
            build(Schema, file=str(file), operation=operation)

    refused("3.1.0", "GET /b", "no operation 'GET /b'")
    refused("3.1.0", "POST /a", "no operation 'POST /a'")
    refused("3.1.0", "/a", "write a method and a path")
    refused("3.0.3", "GET /a", "hookgate openapi import")


def test_a_contract_written_by_hand_may_refer_to_parameters_and_bodies(tmp_path):
    file = tmp_path / "contract.yaml"
    file.write_text(
        """
openapi: 3.1.0
paths:
  /a:
    parameters: [{name: a, in: query, schema: {type: integer}}, {name: b, in: query, schema: {type: integer}}]
    post:
      parameters:
        - $ref: "#/components/parameters/b%20c"
        - {name: j, in: query, content: {application/json: {schema: {type: object}}}}
      requestBody: {$ref: "#/components/requestBodies/body"}
components:
  parameters:
    b c: {name: b, in: query, schema: {type: boolean}}
  requestBodies:
    body: {content: {"application/*": {schema: {type: array}}}}
"""
    )
    step = build(Schema, file=str(file), operation="POST /a")

    def call(query, body=b""):
        answer = through(step, method="POST", query=query, headers=JSON if body else {}, body=body).response
        return [error.get("name") for error in errors(answer)] if answer.status == 400 else answer.status

    assert call("a=1&b=true&j={}") == 200
    assert call("a=x&b=2&j=7") == ["a", "b", "j"]
    assert call("j={") == ["j"]
    assert call("", b"[]") == 200
    assert call("", b"{}") == [None]


@BOTH
def test_a_gateway_refuses_before_the_backend_is_called_and_logs_bad_answers_without_their_values(lane):
    def document(way):
        return {
            "gateway": {"lane": lane},
            "routes": [
                {
                    "name": "orders",
                    "match": {"path": "/orders"},
                    "flow": [{"schema": {"request": ORDER, "response": ORDER, "on_bad_response": way}}],
                    "to": {"connection": "crm"},
                }
            ],
            "connections": {"crm": {"targets": backend.url}},
        }

    with upstream(lambda request: (200, JSON, b'{"item": "s3cret-value"}')) as backend:
        with running(document("log")) as gate:
            refused = gate.request("POST", "/orders", json={"item": 1})
            passed = gate.request("POST", "/orders", json={"item": "tea"})
            chunked = gate.request("POST", "/orders", content=iter([b'{"item"', b": 1}"]), headers=JSON)
            large = gate.request("POST", "/orders", json={"item": "x" * 2_000_000})
            gate.reload(document("refuse"))
            bad = gate.request("POST", "/orders", json={"item": "tea"})
            lines = [record.getMessage() for record in gate.log]

    assert [refused.status_code, passed.status_code, chunked.status_code, bad.status_code] == [400, 200, 400, 502]
    assert large.status_code == 413
    assert refused.json()["errors"] == [{"in": "body", "pointer": "#/item", "detail": "should be string"}]
    assert [request.body for request in backend.requests] == [b'{"item":"tea"}'] * 2
    assert any("the answer" in line and "body/item should have at most 5" in line for line in lines)
    assert not [line for line in lines if "s3cret" in line]


@pytest.mark.parametrize(
    "schema", [{"pattern": "[a-"}, {"maxLength": "5"}, {"$ref": "#/$defs/None"}, {"type": "strin"}]
)
@pytest.mark.parametrize("at", ["Wrong", "Middle", "Order"])
def test_a_long_file_is_compiled_when_it_is_needed_and_yet_refused_at_load_where_it_is_wrong(schema, at, tmp_path):
    file = tmp_path / "long.json"
    long = {f"More{number}": {"description": "x" * 100} for number in range(700)}
    places = {"Order": {"items": {"$ref": "#/$defs/Middle"}}, "Middle": {"not": {"$ref": "#/$defs/Wrong"}}, "Wrong": {}}
    file.write_text(json.dumps({"$defs": {**long, **places, at: schema}}))
    for _ in range(2):  # what is known of a file is kept
        with pytest.raises(ConfigError, match=rf"request: .*#/\$defs/{'None' if '$ref' in schema else at}"):
            build(Schema, file=str(file), request="#/$defs/Order")
    file.write_text(json.dumps({"$defs": {**long, **places}}))
    assert post(build(Schema, file=str(file), request="#/$defs/Order"), []).status == 200
