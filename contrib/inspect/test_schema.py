"""The schema says of a document what loading says, as far as a schema can."""

import re
from pathlib import Path

import pytest

from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate_inspect import DIALECT, document_schema, options_schema

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "tests/core/plugins_for_loading"
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
KNOWN = {
    *("$ref", "$defs", "$schema", "type", "properties", "patternProperties", "additionalProperties", "required"),
    *(
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "uniqueItems",
        "anyOf",
        "oneOf",
        "not",
        "enum",
        "const",
        "pattern",
    ),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
    *("minProperties", "maxProperties", "propertyNames"),
    *("title", "description", "default", "format", "writeOnly", "examples", "x-hookgate-section"),
    "x-hookgate-options-of",
    "x-hookgate-template",
}


@pytest.fixture(scope="module")
def schema():
    return document_schema(Catalogue(PLUGINS))


def fits(value, schema, root):
    """Check a value against the keywords that our schemas use (JSON Schema 2020-12)."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema and not fits(value, resolved(schema["$ref"], root), root):
        return False
    if "type" in schema:
        kind = TYPES[schema["type"]]
        if not isinstance(value, kind) or (isinstance(value, bool) and schema["type"] in ("integer", "number")):
            return False
    checks = [
        "const" not in schema or value == schema["const"],
        "enum" not in schema or value in schema["enum"],
        "not" not in schema or not fits(value, schema["not"], root),
        "anyOf" not in schema or any(fits(value, each, root) for each in schema["anyOf"]),
        "oneOf" not in schema or sum(fits(value, each, root) for each in schema["oneOf"]) == 1,
    ]
    if isinstance(value, str):
        checks.append("pattern" not in schema or re.search(schema["pattern"], value))
        checks.append(len(value) >= schema.get("minLength", 0))
    if isinstance(value, int | float) and not isinstance(value, bool):
        checks += [value >= schema.get("minimum", value), value <= schema.get("maximum", value)]
        checks.append("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
    if isinstance(value, list):
        checks.append(len(value) >= schema.get("minItems", 0))
        checks += [fits(item, schema.get("items", True), root) for item in value]
    if isinstance(value, dict):
        checks += [schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value))]
        checks.append(set(schema.get("required", ())) <= set(value))
        for key, item in value.items():
            matching = [
                each for pattern, each in schema.get("patternProperties", {}).items() if re.search(pattern, key)
            ]
            if key in schema.get("properties", {}):
                matching.append(schema["properties"][key])
            checks += [fits(item, each, root) for each in matching or [schema.get("additionalProperties", True)]]
    return all(checks)


def resolved(reference, root):
    *_, name = reference.partition("#/$defs/")
    return root["$defs"][name]


def nodes(schema):
    """Every schema inside a schema."""
    yield schema
    for key, value in schema.items():
        if key in ("properties", "patternProperties", "$defs"):
            children = value.values()
        elif key in ("anyOf", "oneOf", "prefixItems"):
            children = value
        else:
            children = [value] if key in ("items", "additionalProperties", "not", "propertyNames") else []
        for child in children:
            if isinstance(child, dict):
                yield from nodes(child)


GOOD = """
$schema: ./hookgate.schema.json
x-anything: [1]
gateway:
  listen: ["127.0.0.1:${env:PORT}"]
  flow: [request-id]
  timeout_status: 504
  limits: {url: 4096}
management: {apps: [health]}
plugins:
  shared: {step: {name: a}}
  eu: {monitor/http: {path: /up}}
  theirs: credential/token
  failing: circuit-breaker
  also: shared
secrets: {env: {allow: [PORT]}, safe: }
routes:
  - name: orders
    match: {path: /orders, methods: [GET], when: request.method == 'GET'}
    flow:
      - shared
      - step
      - step:
      - ip-filter: {allow: [10.0.0.0/8], _: {label: ours, disabled: true}}
      - box: {flow: [step], cases: {a: {request: [way-in]}}}
      - pair: {first: {step: {number: "${env:N}"}}}
    to: {connection: crm, timeout: "${env:TIMEOUT}"}
    labels: {team: red}
    x-owner: [ann]
connections:
  crm:
    targets: http://h
    headers: [{set: X-A, from: date}, {remove: X-B}]
    monitor:
    auth: [token, theirs]
    x-slo: {ms: 7}
  two: {targets: [http://a, {url: http://b, weight: 2}], timeouts: {read: null}, monitor: [eu, failing]}
"""


def test_a_good_document_fits(schema):
    assert fits(parse(GOOD.encode(), "x.yaml").value, schema, schema)


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("routes:", "routs:"),
        ("request-id]", "{requst-id: {}}]"),
        ("timeout_status: 504", "timeout_status: 500"),
        ("url: 4096", "url: many"),
        ("url: 4096", "urls: 4096"),
        ("- step:\n", "- rate-limit\n"),
        ("allow: [10.0.0.0/8]", "alow: [10.0.0.0/8]"),
        ("label: ours", "labl: ours"),
        ("disabled: true", "disabled: maybe"),
        ("first: {step:", "frist: {step:"),
        ("name: orders", "nam: orders"),
        ("cases: {a: {request:", "cases: {a: {requests:"),
        ("labels: {team: red}", "labels: {team: 7}"),
        ("labels: {team: red}", "lables: {team: red}"),
        ("x-owner: [ann]", "owner: [ann]"),
        ("weight: 2", "weight: heavy"),
        ("apps: [health]", "apps: [{helth: {}}]"),
        ("allow: [PORT]", "alow: [PORT]"),
        ("safe: }", "seaf: }"),
        ("from: date", "from: {date: {}, default: {value: x}}"),
        ("targets: http://h", "target: http://h"),
        ("eu: {monitor/http: {path: /up}}", "eu: {monitor/http: {pat: /up}}"),
        ("eu: {monitor/http: {path: /up}}", "eu: {monitr/http: {path: /up}}"),
        ("eu: {monitor/http: {path: /up}}", "eu: {http: {path: /up}}"),
    ],
)
def test_a_wrong_document_does_not_fit(schema, written, wrong):
    assert written in GOOD
    assert not fits(parse(GOOD.replace(written, wrong, 1).encode(), "x.yaml").value, schema, schema)


def test_the_examples_fit(schema):
    examples = [*ROOT.glob("docs/examples/*.yaml"), *ROOT.glob("contrib/demo/hookgate_demo/*.yaml")]
    for example in examples:
        document = parse(example.read_bytes(), str(example)).value
        document.get("gateway", {}).pop("observers", None)  # may be of a site
        assert fits(document, schema, schema), example
    assert examples


def test_the_schema_uses_only_what_is_checked_here_and_points_only_at_what_is_there(schema):
    for node in nodes(schema):
        assert set(node) <= KNOWN
        if "$ref" in node:
            assert resolved(node["$ref"], schema) is not None
    assert schema["$schema"] == DIALECT


def test_descriptions_are_kept_for_editors(schema):
    entry = schema["$defs"]["interceptor"]["oneOf"]
    objects = next(form for form in entry if form.get("type") == "object")
    options = schema["$defs"]["interceptor.step.StepOptions"]["properties"]

    assert {"const": "step", "description": "Has both ways."} in entry
    assert objects["properties"]["step"]["description"] == "Has both ways."
    assert options["name"]["description"] == "A word."
    assert options["key"]["anyOf"][0] == {"type": "string", "format": "password", "writeOnly": True}
    assert "Steps left of those" in schema["$defs"]["section.GatewaySection"]["properties"]["flow"]["description"]


def test_two_plugins_may_use_one_name_for_their_records(schema):
    assert schema["$defs"]["secret.file.FileOptions"] != schema["$defs"]["source.file.FileOptions"]


def test_a_broken_plugin_is_left_out(tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "hookless.py").write_text(
        "from hookgate import Interceptor, Options\nclass Hookless(Interceptor[Options]): pass\n",
    )
    definitions = document_schema(Catalogue(tmp_path))["$defs"]

    assert "hookless" not in str(definitions["interceptor"])
    assert "ip-filter" in str(definitions["interceptor"])


def test_the_options_of_one_plugin_say_where_plugins_stand():
    options = options_schema(Catalogue(PLUGINS).get("interceptor", "pair"))

    assert options["properties"]["first"]["x-hookgate-family"] == "interceptor"
    assert options["required"] == ["first"]
