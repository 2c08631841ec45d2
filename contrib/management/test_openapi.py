"""The OpenAPI document that is served is true: every operation, with every token, answers as it says."""

import itertools
import json
import re

import httpx
import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .served import serving

TOKENS = {"ann": "token-of-ann", "bob": "token-of-bob", "eve": "token-of-eve", "nobody": None}
CRM = {"targets": "http://127.0.0.1:9"}
BODIES = [None, {}, 5, [], {"body": {}}, {"body": CRM, "name": "made"}, CRM, {"changes": []}]
BODIES += [{"changes": [{"kind": "connections", "name": "x", "body": CRM}]}, {"changes": [{"kind": 5, "body": 5}]}]
NAMES = ["kept", "nobody", "é\N{SNOWMAN} x", "old"]


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    with (
        serving(folder, f"sqlite:///{folder / 'store.db'}") as served,
        httpx.Client(base_url=f"{served.management}/-/api", timeout=60, trust_env=False) as client,
    ):
        served.client = client
        served.call("PUT", "/objects/connections/kept", CRM)
        served.api = served.call("GET", "/openapi.json").json()
        served.validators = {}
        yield served


def operations(api):
    for path, methods in api["paths"].items():
        for method, told in methods.items():
            yield method.upper(), path, told


def asked(gate, method, path, told, *, token="token-of-ann", body=..., client=None, **more):
    """Call an operation; check that its answer is one of those that stand in the document."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if "requestBody" in told and body is not ...:
        more["json"] = body
    answer = (client or gate.client).request(method, path, headers=headers | more.pop("headers", {}), **more)
    described = told["responses"].get(str(answer.status_code))
    assert described is not None, f"{method} {path}: {answer.status_code} {answer.text}"
    content = described["content"].get(answer.headers["content-type"])
    assert content is not None, f"{method} {path}"
    reference = content["schema"]["$ref"]
    if reference not in gate.validators:
        schema = {**content["schema"], "components": gate.api["components"]}
        gate.validators[reference] = jsonschema_rs.Draft202012Validator(schema)
    gate.validators[reference].validate(answer.json())
    return answer


def test_the_document_is_a_schema_and_names_every_kind(gate):
    api = gate.api
    kinds = {each["kind"] for each in gate.call("GET", "/").json()["kinds"]}

    assert api["openapi"] == "3.1.0"
    assert {path.split("/")[2] for path in api["paths"] if path.startswith("/objects/")} == kinds
    names = [told["operationId"] for _, _, told in operations(api)]
    assert len(names) == len(set(names))
    for reference in re.findall(r"'\$ref': '#/components/schemas/([^']+)'", str(api)):
        assert reference in api["components"]["schemas"]
    for name, schema in api["components"]["schemas"].items():
        jsonschema_rs.meta.validate(schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"})
        assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)
    put = api["paths"]["/objects/connections/{name}"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema_rs.Draft202012Validator({**put, "components": api["components"]})
    assert validator.is_valid(CRM)
    assert not validator.is_valid({"targest": "http://127.0.0.1:9"})


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_every_operation_answers_as_described(gate, token):
    seen = set()
    for method, path, told in operations(gate.api):
        bodies = BODIES if "requestBody" in told and token == TOKENS["ann"] and "connections" in path else BODIES[5:9:3]
        if "requestBody" not in told:
            bodies = [...]
        for name, body in itertools.product(NAMES if "{name}" in path else NAMES[:1], bodies):
            place = path.replace("{name}", name).replace("{number}", "1")
            query = {"from": "0", "to": "1"} if path == "/diff" else {}
            status = asked(gate, method, place, told, token=token, body=body, params=query).status_code
            if {} in told.get("security", ()):
                assert status in {200, 404}, "what anybody may ask refuses nobody"
            elif told["operationId"] not in {"log-in", "follow", "heard"}:  # for whom nobody knows yet, and for nodes
                seen.add(status)

    assert 500 not in seen
    if token is None:
        assert seen == {401}
    elif token == TOKENS["ann"]:
        assert {200, 201, 404, 409, 422} <= seen
        assert not {401, 403} & seen


def test_what_stands_in_the_query_and_in_headers_answers_as_described(gate):
    odd = ["", "x", "-1", "0", "1", "\0", "٣", "9" * 30, "true", "live", "1ms", "*", '"1"', 'W/"1"', "\xb2", '"\xb2"']
    for method, path, told in operations(gate.api):
        if not path.startswith(("/objects/connections", "/generations", "/apply", "/diff", "/rollback")):
            continue
        place = path.replace("{name}", "kept").replace("{number}", "1")
        for parameter, value in itertools.product(told.get("parameters", ()), odd):
            if parameter["in"] == "query":
                asked(gate, method, place, told, body=CRM, params={parameter["name"]: value})
            elif parameter["in"] == "header" and "\0" not in value and value != "٣":
                headers = {parameter["name"]: value.encode("latin-1")}
                asked(gate, method, place, told, body=CRM, headers=headers)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 5000 + b"]" * 5000, b"[" * 900 + b"]" * 900, b"\xff", b" " * 2**21]
)
def test_a_body_that_is_none_answers_as_described(gate, content):
    for method, path, told in operations(gate.api):
        if "requestBody" in told and path.startswith(("/objects/connections", "/apply", "/rollback")):
            for media in ("application/json", "text/plain"):
                place = path.replace("{name}", "kept")
                headers = {"Content-Type": media}
                with httpx.Client(base_url=gate.client.base_url, timeout=60, trust_env=False) as client:
                    answer = asked(gate, method, place, told, client=client, content=content, headers=headers)
                assert answer.status_code in (400, 413, 415, 422)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(body=JSON, data=st.data())
def test_whatever_is_sent_answers_as_described(gate, body, data):
    method, path, told = data.draw(st.sampled_from([each for each in operations(gate.api) if "requestBody" in each[2]]))
    keys = list(gate.api["components"]["schemas"]["section.ConnectionSection"]["properties"]) if body else []
    if keys and data.draw(st.booleans()):
        body = {data.draw(st.sampled_from(keys)): body}
    shaped = data.draw(st.sampled_from([body, {"body": body}, {"name": body, "body": body}]))
    place = path.replace("{name}", "nobody")
    content = json.dumps(shaped).encode("utf-8", "surrogatepass")
    asked(gate, method, place, told, content=content, headers={"Content-Type": "application/json"})
