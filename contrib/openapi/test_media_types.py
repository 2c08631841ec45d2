"""What is looked into, by what a body says it is and what a description says it may be."""

import gzip
import json

import pytest

from hookgate.document import parse
from hookgate.testing import running, upstream
from hookgate_openapi import Wishes, described, read
from hookgate_openapi.writing import contract_text, document_text

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
SPRINGDOC = """
openapi: 3.0.1
info: {title: OpenAPI definition, version: v0}
servers: [{url: "http://localhost:8080", description: Generated server url}]
paths:
  /items/{id}:
    get:
      tags: [item-controller]
      operationId: get
      parameters: [{name: id, in: path, required: true, schema: {type: integer, format: int64}}]
      responses: {"200": {description: OK, content: {"*/*": {schema: {$ref: "#/components/schemas/Item"}}}}}
  /files:
    post:
      operationId: upload
      requestBody: {content: {"*/*": {schema: {$ref: "#/components/schemas/Item"}}}, required: true}
      responses: {"200": {description: OK}}
  /images:
    post:
      requestBody: {content: {"image/*": {schema: {type: string, format: binary}}}}
      responses: {"200": {description: OK}}
  /any:
    post:
      requestBody: {content: {"application/*": {schema: {$ref: "#/components/schemas/Item"}}}}
      responses: {"200": {description: OK}}
  /bytes:
    post:
      requestBody: {content: {"*/*": {schema: {type: string, format: binary}}}}
      responses: {"200": {description: OK}}
components:
  schemas:
    Item: {type: object, required: [id], properties: {id: {type: integer, format: int64}}}
"""
VERSIONS = """
openapi: 3.1.0
info: {title: Versions, version: "1"}
servers: [{url: https://versions.example.org}]
paths:
  /v:
    post:
      requestBody:
        content:
          application/json; v=1: {schema: {type: object, required: [one]}}
          application/json;v="2": {schema: {type: object, required: [two]}}
          application/vnd.x+json;profile="a;b,c": {schema: {type: object, required: [three]}}
      responses:
        "200":
          description: good
          content:
            application/json;v=1: {example: {one: 1}}
            application/json;v=2: {example: {two: 2}}
  /charset:
    post:
      requestBody: {content: {application/json;charset=UTF-8: {schema: {type: object, required: [one]}}}}
      responses: {"200": {description: good}}
"""
PNG = b"\\x89PNG\\r\\n\\x1a\\n"


@pytest.fixture
def imported(tmp_path):
    def run(text, **wishes):
        file, contract = tmp_path / "api.yaml", tmp_path / "api.openapi.json"
        file.write_text(text)
        found = described(read(file), Wishes(contract=contract.as_posix(), **wishes))
        contract.write_text(contract_text(found.contract))
        return dict(parse(document_text(found.document, "").encode(), "gateway.yaml"))

    return run


def live(document, backend, lane):
    connections = {name: {"targets": backend.url} for name in document["connections"]}
    return {**document, "connections": connections, "gateway": {"lane": lane}}


@BOTH
def test_of_a_range_only_what_says_that_it_is_json_or_a_form_is_looked_into(lane, imported):
    document = imported(SPRINGDOC)

    with upstream() as backend, running(live(document, backend, lane)) as gate:

        def send(path, body, content_type, **headers):
            said = {"content-type": content_type} if content_type else {}
            return gate.request("POST", path, content=body, headers={**said, **headers}).status_code

        codes = {
            "image": send("/files", PNG, "image/png"),
            "text": send("/files", b"{", "text/plain"),
            "json": send("/files", b'{"id": 1}', "application/json"),
            "wrong json": send("/files", b'{"id": "x"}', "application/json; charset=utf-8"),
            "wrong problem": send("/files", b"{}", "Application/Problem+JSON"),
            "broken json": send("/files", PNG, "application/json"),
            "form": send("/files", b"id=1", "application/x-www-form-urlencoded"),
            "wrong form": send("/files", b"id=x", "application/x-www-form-urlencoded"),
            "nothing said": send("/files", b'{"id": "x"}', ""),
            "packed": send("/files", gzip.compress(b'{"id": "x"}'), "application/json", **{"content-encoding": "gzip"}),
            "packed image": send("/files", b"-", "image/png", **{"content-encoding": "br"}),
            "application/pdf": send("/any", PNG, "application/pdf"),
            "wrong application/json": send("/any", b"{}", "application/json"),
            "two types": send("/files", b'{"id": "x"}', "image/png, application/json"),
            "no type": send("/files", b'{"id": "x"}', "json"),
            "not application": send("/any", PNG, "image/png"),
            "an image of images": send("/images", PNG, "image/png"),
            "no image of images": send("/images", b"{}", "application/json"),
            "a file that is json": send("/bytes", b'{"id": "x"}', "application/json"),
        }

    assert codes == {
        **dict.fromkeys(("image", "text", "json", "form", "packed image", "application/pdf"), 200),
        **dict.fromkeys(("an image of images", "a file that is json"), 200),
        **dict.fromkeys(("wrong json", "wrong problem", "broken json", "wrong form", "nothing said", "packed"), 400),
        "wrong application/json": 400,
        **dict.fromkeys(("not application", "no image of images", "two types", "no type"), 415),
    }


@BOTH
def test_answers_of_springdoc_are_checked_where_they_are_json(lane, imported):
    document, given = imported(SPRINGDOC, checks="both"), {}

    with upstream(lambda request: (200, given["headers"], given["body"])) as backend:
        with running(live(document, backend, lane)) as gate:

            def ask(body, **headers):
                given.update(body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})
                return gate.request("GET", "/items/7").status_code

            codes = [
                ask(b'{"id": 7}', content_type="application/json"),
                ask(b'{"id": 7}', content_type="application/hal+json"),
                ask(b"hello", content_type="text/plain;charset=UTF-8"),
                ask(PNG, content_type="image/png"),
                ask(b""),
                ask(b'{"id": "x"}', content_type="application/json"),
                ask(b"", content_type="application/json"),
            ]

    assert codes == [200, 200, 200, 200, 200, 502, 502]


@BOTH
def test_types_that_differ_in_parameters_are_told_apart(lane, imported):
    document = imported(VERSIONS)
    with upstream() as backend, running(live(document, backend, lane)) as gate:

        def send(content_type, path="/v", **body):
            answer = gate.request("POST", path, content=json.dumps(body), headers={"content-type": content_type})
            return answer.status_code

        good = [
            send("application/json;v=1", one=1),
            send('application/json; v="1"; charset=utf-8', one=1),
            send("Application/JSON;V=2", two=2),
            send('application/vnd.x+json; profile="a;b,c"', three=3),
            send("application/vnd.x+json", three=3),
            send("application/json", "/charset", one=1),
            send("application/json;charset=utf-8", "/charset", one=1),
        ]
        wrong = [send("application/json;v=1", two=2), send("application/json;v=2", one=1)]
        wrong += [send("application/vnd.x+json", one=1), send("application/json", "/charset", two=1)]
        undecided = [send("application/json", one=1), send("application/json;v=3", one=1)]

    assert good == [200] * 7
    assert wrong == [400] * 4
    assert undecided == [415, 415]


@BOTH
def test_mocks_of_ranges_and_of_parameters_are_what_a_client_takes(lane, imported):
    springdoc, versions = imported(SPRINGDOC, mock=True), None
    with running({**springdoc, "gateway": {"lane": lane}}) as gate:
        asked = ("application/json", "text/html, */*;q=0.8", "*/*", "application/hal+json")
        answers = [gate.request("GET", "/items/7", headers={"accept": each}) for each in asked]
    versions = imported(VERSIONS, mock=True)
    with running({**versions, "gateway": {"lane": lane}}) as gate:
        head = {"content-type": "application/json;v=1", "accept": 'application/json;v="2"'}
        second = gate.request("POST", "/v", json={"one": 1}, headers=head)
        neither = gate.request("POST", "/v", json={"one": 1}, headers={**head, "accept": "application/json;v=3"})

    assert [(answer.status_code, answer.headers["content-type"]) for answer in answers] == [
        *[(200, "application/json")] * 3,
        (200, "application/hal+json"),
    ]
    assert (second.json(), second.headers["content-type"]) == ({"two": 2}, "application/json;v=2")
    assert neither.status_code == 406
