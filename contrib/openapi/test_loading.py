"""What an import takes, a gateway loads and serves; whatever it would not is refused or mended, with its place."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hookgate import ConfigError
from hookgate.commands import app
from hookgate.document import parse
from hookgate.testing import running
from hookgate_openapi import Wishes, described, mending, read
from hookgate_openapi.patterns import ecma
from hookgate_openapi.writing import contract_text, document_text

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def description(schema, version="3.1.0", **components):
    """A description with one schema on both ways, in a parameter, and behind a reference."""
    content = {"content": {"application/json": {"schema": schema}}}
    return {
        "openapi": version,
        "info": {"title": "One", "version": "1"},
        "servers": [{"url": "https://one.example.org"}],
        "paths": {
            "/a": {
                "post": {
                    "parameters": [{"name": "q", "in": "query", "schema": schema}],
                    "requestBody": content,
                    "responses": {"200": {"description": "good", **content}},
                }
            }
        },
        "components": {"schemas": {"Named": schema, **components}},
    }


def load(tmp_path, value, **wishes):
    """Import a description; return the document and what was said."""
    file, contract = tmp_path / "one.json", tmp_path / "one.openapi.json"
    file.write_text(json.dumps(value))
    found = described(read(file), Wishes(contract=contract.as_posix(), mock=True, **wishes))
    contract.write_text(contract_text(found.contract))
    return dict(parse(document_text(found.document, "One").encode(), "one.yaml")), found.warnings


@BOTH
@pytest.mark.parametrize("padding", [0, 600], ids=["short", "long"])
@pytest.mark.parametrize(
    ("schema", "sent", "wrong"),
    [
        ({"type": "string", "pattern": r"^[\w-\.]+$"}, "a-b.c", "a b"),
        ({"type": "string", "pattern": r"\A[[:alpha:]_]+\Z"}, "a_b", "a:"),
        ({"type": "string", "pattern": r"(?P<a>x)(?P=a)"}, "xx", "xy"),
        ({"type": "string", "pattern": "/^abc$/i"}, "ABC", "/ABC/"),
        ({"type": "string", "pattern": r"^\Qa.b\E{,2}$"}, "a.bb", "acb"),
        ({"type": "string", "pattern": "^[a-z&&[^aeiou]]+$"}, "xyz", "xaz"),
        ({"type": "string", "maxLength": "5"}, "abcde", "abcdef"),
        ({"type": "String"}, "a", 1),
        ({"type": ["string", None]}, None, 1),
        ({"type": "object", "patternProperties": {r"^[\d-_]+$": {"type": "integer"}}}, {"1-1": 1}, {"1-1": "x"}),
    ],
)
def test_what_can_only_mean_one_thing_is_mended_with_a_warning(schema, sent, wrong, padding, lane, tmp_path):
    more = {f"More{number}": {"description": "x" * 100, "type": "object"} for number in range(padding)}
    value = description({"$ref": "#/components/schemas/Named"}, **more)
    value["components"]["schemas"]["Named"] = schema
    value["paths"]["/all"] = {
        "post": {
            "requestBody": {
                "content": {
                    "application/json": {
                        "schema": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in more]}
                    }
                }
            }
            if more
            else {"content": {}}
        }
    }
    document, warnings = load(tmp_path, value)
    with running({**document, "gateway": {"lane": lane}}) as gate:
        codes = [gate.request("POST", "/a", json=each).status_code for each in (sent, wrong)]
    assert codes == [200, 400]
    assert any("one.json:1:" in each and "#/components/schemas/Named/" in each for each in warnings), warnings


@pytest.mark.parametrize(
    ("schema", "place", "message"),
    [
        ({"pattern": "[a-"}, "pattern", "no regular expression"),
        ({"pattern": "(?>a)"}, "pattern", "no regular expression"),
        ({"patternProperties": {"[": {}}}, "patternProperties/[", "no regular expression"),
        ({"properties": {"a": {"items": {"pattern": "("}}}}, "properties/a/items/pattern", "no regular expression"),
        ({"maxLength": "five"}, "maxLength", "nothing that `maxLength` may be"),
        ({"maxLength": -1}, "maxLength", "nothing that `maxLength` may be"),
        ({"multipleOf": 0}, "multipleOf", "nothing that `multipleOf` may be"),
        ({"enum": "a"}, "enum", "nothing that `enum` may be"),
        ({"type": "strin"}, "type", "did you mean 'string'"),
        ({"$dynamicRef": "#a"}, "$dynamicRef", "not followed"),
        ({"not": []}, "not", "a schema is a mapping"),
        ({"default": float("inf")}, "default", "no JSON can say this"),
    ],
)
@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_what_no_gateway_would_load_is_refused_with_its_place(schema, place, message, version, tmp_path):
    file = tmp_path / "one.yaml"
    text = json.dumps(description({"$ref": "#/components/schemas/Named"}, version, Named=schema))
    file.write_text(text.replace("Infinity", ".inf"))
    done = CliRunner().invoke(app, ["openapi", "import", str(file), "-o", str(tmp_path / "gateway.yaml")])

    assert done.exit_code != 0
    assert isinstance(done.exception, ConfigError)
    found = [str(problem) for problem in done.exception.problems]
    assert any("one.yaml:1:" in each and f"#/components/schemas/Named/{place}: " in each for each in found), found
    assert any(message in each for each in found), found
    assert not (tmp_path / "gateway.yaml").exists()


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "5", "-1", "true", "string", "Integer", "^[\\w-.]+$", "[a-", "a{,3}", "\\d", "date", "#/x"]),
    st.lists(st.sampled_from(["a", "b", 1, None, "string", "null"]), max_size=3),
    st.dictionaries(
        st.sampled_from(["a", "type", "^a[\\d-x]"]), st.sampled_from(["string", {}, None, [], 5]), max_size=2
    ),
)
KEYWORDS = st.sampled_from(
    [
        *mending.KNOWN,
        *(
            "nullable",
            "example",
            "discriminator",
            "x-more",
            "$id",
            "$anchor",
            "if",
            "then",
            "propertyNames",
            "contains",
        ),
    ]
)
SCHEMAS = st.recursive(
    st.dictionaries(KEYWORDS, VALUES, max_size=4),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(st.just("a"), inner)}),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
    ),
    max_leaves=4,
)


@given(schema=SCHEMAS, version=st.sampled_from(["3.0.3", "3.1.0"]))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_imported_loads_and_answers(schema, version, tmp_path):
    try:
        document, _ = load(tmp_path, description(schema, version), checks="both")
    except ConfigError as refused:
        told = [str(problem) for problem in refused.problems]
    else:
        told = []
    assert all("one.json:1:" in each for each in told)
    if told:
        return
    with running(document) as gate:
        assert gate.request("POST", "/a", json={"a": 1}).status_code in (200, 400)
        assert gate.request("POST", "/a?q=1", json="a").status_code in (200, 400)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[a-zA-Z0-9._%+-]+@[a-z.-]+$",
        r"(?=.*[A-Z])\S{8,}",
        r"^\d{1,3}(,\d{3})*$",
        r"[\w\-]",
        r"[-a]",
        r"\\Q",
        r"[a-z-]",
        r"(?<year>\d{4})",
        r"^\p{L}+$",
        r"[[a]",
        r"a{2,}b{3}",
        r"\/x\/",
        r"^[^\s@]$",
        r"\u{1F600}",
    ],
)
def test_a_pattern_that_is_one_already_stays_as_it_is(pattern):
    assert ecma(pattern) == pattern
