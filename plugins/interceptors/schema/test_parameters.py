"""Parameters and forms, by every style that OpenAPI has: through a gateway, as its client writes them."""

import gzip
import json
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_schema import Schema
from hookgate_interceptor_schema.parameters import Parameter, Read
from hookgate_interceptor_schema.shapes import Shape, readings

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
POINT = {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}, "on": {"type": "boolean"}}}
INTEGERS = {"type": "array", "items": {"type": "integer"}}
TEXTS = {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2}


def contract(tmp_path, *parameters, path="/a", body=None):
    """Write a contract of one operation."""
    file = tmp_path / "contract.json"
    operation = {"parameters": list(parameters), **({"requestBody": {"content": body}} if body else {})}
    file.write_text(json.dumps({"openapi": "3.1.1", "paths": {path: {"post": operation}}}))
    return {"file": str(file), "operation": f"POST {path}"}


def served(tmp_path, backend, lane, *parameters, path="/a", body=None):
    return {
        "gateway": {"lane": lane},
        "routes": [
            {
                "name": "a",
                "match": {"path": path},
                "flow": [{"schema": contract(tmp_path, *parameters, path=path, body=body)}],
                "to": {"connection": "a"},
            }
        ],
        "connections": {"a": {"targets": backend.url}},
    }


def query(schema, **said):
    return {"name": "v", "in": "query", "schema": schema, **said}


@BOTH
@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (
            query(POINT, required=True),
            ["x=1", "x=1&on=true", "x=1&other=z"],
            ["", "x=z", "on=true", "x=1&on=1", "x=1&x=2"],
        ),
        (query({"type": "object", "properties": POINT["properties"]}, required=True), ["", "x=1"], ["x=z"]),
        (query(POINT), ["", "x=1"], ["x=z", "on=true"]),
        (query(POINT, explode=False), ["v=x,1,on,true", ""], ["v=x,z", "v=x", "v=on,true", "v=x,1,x,2"]),
        (query(POINT, style="pipeDelimited", explode=False), ["v=x|1", "v=x%7C1%7Con%7Ctrue"], ["v=x|z", "v=x,1"]),
        (query(POINT, style="spaceDelimited", explode=False), ["v=x%201", "v=x+1"], ["v=x%20z"]),
        (
            query(POINT, style="deepObject"),
            ["v[x]=1&v[on]=false", "v%5Bx%5D=1", ""],
            ["v[x]=z", "v[on]=true", "v[x]=1&v[x]=2"],
        ),
        (
            query({"type": "object", "additionalProperties": {"type": "integer"}}),
            ["a=1&b=2", ""],
            ["a=1&b=z", "a=1.5"],
        ),
        (
            query(
                {"type": "object", "patternProperties": {"^n_": {"type": "integer", "maximum": 5}}}, style="deepObject"
            ),
            ["v[n_1]=5&v[m]=x"],
            ["v[n_1]=6", "v[n_1]=x"],
        ),
        (
            query({"allOf": [{"properties": {"a": {"type": "integer"}}}, {"required": ["a"]}]}, required=True),
            ["a=1"],
            ["", "a=x"],
        ),
        (query({"anyOf": [{"type": "string"}, {"type": "integer"}]}), ["v=1.5", "v=1", "v=true", "v="], ["v=1&v=2"]),
        (query({"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 4}]}), ["v=1", "v=1.50"], ["v=1.5"]),
        (
            query({"oneOf": [{"type": "integer", "maximum": 9}, {"type": "string", "pattern": "^[0-9]{5}$"}]}),
            ["v=9", "v=12345", "v=01234"],
            ["v=10", "v=x"],
        ),
        (query({"enum": ["1", 2, True, None]}), ["v=1", "v=2", "v=true", "v="], ["v=3", "v=false"]),
        (query({"type": ["integer", "null"]}), ["v=1", "v=", "v=null", "v=1.0"], ["v=1.5", "v=x"]),
        (
            query({"anyOf": [INTEGERS, {"type": "array", "items": {"enum": ["a", "1"]}}]}, explode=False),
            ["v=1,2", "v=a,1", "v=1"],
            ["v=a,2"],
        ),
        (
            query({"type": "array", "items": {"type": ["integer", "string"], "maxLength": 2}}),
            ["v=99&v=1.&v=a"],
            ["v=1.5"],
        ),
        (query({"anyOf": [{"type": "string"}, INTEGERS]}), ["v=a", "v=1&v=2"], ["v=1&v=a"]),
        (query(TEXTS, explode=False), ["v=a%2Cb", "v=a,b", "v=a,b%2C", "v="], ["v=a,b,c", "v=a%2Cbc"]),
        (
            query(TEXTS, style="pipeDelimited", explode=False),
            ["v=a|b", "v=a%7Cb", "v=a%2Cb|c"],
            ["v=a|b|c", "v=a%7cb%7cc"],
        ),
        (query(TEXTS, style="spaceDelimited", explode=False), ["v=a%20b", "v=a+b", "v=%2B+b"], ["v=a%20b%20c"]),
        (query({"type": "boolean"}, allowEmptyValue=True), ["v", "v=", "v=true", ""], ["v=1"]),
        (query(TEXTS), ["v=a,b", "v=a%26b&v=c"], ["v=a&v=b&v=c", "v=abcd"]),
    ],
)
def test_queries_of_every_style(parameter, good, bad, lane, tmp_path):
    with upstream() as backend, running(served(tmp_path, backend, lane, parameter)) as gate:
        codes = {each: gate.request("POST", f"/a?{each}").status_code for each in (*good, *bad)}
        passed = [request.query for request in backend.requests]

    assert codes == {**dict.fromkeys(good, 200), **dict.fromkeys(bad, 400)}
    assert passed == good


@BOTH
@pytest.mark.parametrize(
    ("said", "schema", "good", "bad"),
    [
        ({"style": "label"}, {"type": "integer"}, [".5"], ["5", ".x", "..5", ";v=5"]),
        ({"style": "label"}, INTEGERS, [".1,2"], [".1,x", "1,2"]),
        ({"style": "label", "explode": True}, INTEGERS, [".1.2"], [".1.x"]),
        ({"style": "label"}, POINT, [".x,1"], [".x,z", ".x"]),
        ({"style": "label", "explode": True}, POINT, [".x=1.on=true"], [".x=z", ".x,1"]),
        ({"style": "matrix"}, {"type": "integer"}, [";v=5"], ["5", ";v=x", ";w=5", ";v=5;v=6", ".5"]),
        ({"style": "matrix"}, {"type": "string"}, [";v", ";v=a", ";v=a%3Bb"], ["a", ";w"]),
        ({"style": "matrix"}, INTEGERS, [";v=1,2"], [";v=1,x", ";v=1;v=2"]),
        ({"style": "matrix", "explode": True}, INTEGERS, [";v=1;v=2"], [";v=1;v=x", ";v=1;w=2"]),
        ({"style": "matrix"}, POINT, [";v=x,1"], [";v=x,z", ";x=1"]),
        ({"style": "matrix", "explode": True}, POINT, [";x=1;on=true"], [";x=z", ";on=true", ";v=x,1"]),
        ({}, TEXTS, ["a,b", "a%2Cb"], ["a,b,c", "a%2Cbc"]),
        ({}, POINT, ["x,1"], ["x,z"]),
        ({"explode": True}, POINT, ["x=1,on=true"], ["x=z", "x,1"]),
        ({}, {"type": "string", "maxLength": 3}, ["a%20b", "a,b"], ["a%20bc"]),
    ],
)
def test_paths_of_every_style(said, schema, good, bad, lane, tmp_path):
    parameter = {"name": "v", "in": "path", "required": True, "schema": schema, **said}
    with upstream() as backend, running(served(tmp_path, backend, lane, parameter, path="/p/{v}")) as gate:
        codes = {each: gate.request("POST", f"/p/{each}").status_code for each in (*good, *bad)}

    assert codes == {**dict.fromkeys(good, 200), **dict.fromkeys(bad, 400)}


@BOTH
def test_parameters_whose_content_is_said(lane, tmp_path):
    as_json = {"application/json": {"schema": POINT}}
    parameters = [
        {"name": "j", "in": "query", "content": as_json},
        {"name": "text", "in": "query", "content": {"application/json": {"schema": {"type": "string"}}}},
        {"name": "plain", "in": "query", "content": {"text/plain": {"schema": {"type": "string", "maxLength": 3}}}},
        {"name": "other", "in": "query", "content": {"application/xml": {"schema": {"type": "object"}}}},
        {"name": "X-J", "in": "header", "content": {"application/vnd.x+json": {"schema": POINT}}},
    ]
    with upstream() as backend, running(served(tmp_path, backend, lane, *parameters)) as gate:

        def ask(query="", **headers):
            answer = gate.request("POST", f"/a?{query}", headers=headers)
            return answer.status_code if answer.status_code == 200 else answer.json()["errors"][0]["name"]

        point, wrong = quote(json.dumps({"x": 1})), quote(json.dumps({"x": "1"}))
        good = [ask(f"j={point}"), ask("text=%22a%22"), ask("plain=abc"), ask("other=<a/>"), ask(**{"x-j": '{"x": 1}'})]
        bad = [ask(f"j={wrong}"), ask("j={"), ask("j="), ask(f"j={point}&j={wrong}"), ask("text=a"), ask("plain=abcd")]
        bad.append(ask(**{"x-j": "x,1"}))

    assert good == [200] * 5
    assert bad == ["j", "j", "j", "j", "text", "plain", "x-j"]


FORM = {
    "schema": {
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": {"type": "integer"},
            "point": POINT,
            "points": {"type": "array", "items": POINT},
            "deep": POINT,
            "coded": INTEGERS,
            "listed": INTEGERS,
        },
        "additionalProperties": {"type": "integer"},
        "patternProperties": {"^p_": POINT},
    },
    "encoding": {
        "deep": {"style": "deepObject", "explode": True},
        "coded": {"contentType": "application/json"},
        "listed": {"style": "form", "explode": False},
    },
}


@BOTH
def test_members_of_forms_are_json_or_as_their_encoding_says(lane, tmp_path):
    body = {"application/x-www-form-urlencoded": FORM}
    with upstream() as backend, running(served(tmp_path, backend, lane, body=body)) as gate:

        def send(**fields):
            return gate.request("POST", "/a", data={"n": "1", **fields}).status_code

        good = [
            send(point='{"x": 1}'),
            send(points=['{"x": 1}', '{"x": 2}']),
            send(points='[{"x": 1}]'),
            send(**{"deep[x]": "1"}),
            send(coded="[1, 2]"),
            send(listed="1,2"),
            send(more="7"),
            send(p_1='{"x": 1}'),
        ]
        bad = [
            send(point='{"x": "1"}'),
            send(point="x,1"),
            send(points=['{"x": 1}', "{}"]),
            send(**{"deep[x]": "a"}),
            send(coded="1,2"),
            send(coded='["a"]'),
            send(listed="1,a"),
            send(more="7.5"),
            send(p_1="7"),
            send(n="x"),
        ]

    assert good == [200] * 8
    assert bad == [400] * 10


@BOTH
def test_streams_of_gzip_may_follow_each_other(lane, tmp_path):
    body = {"application/json": {"schema": POINT}}
    with upstream() as backend, running(served(tmp_path, backend, lane, body=body)) as gate:

        def send(*members, end=b""):
            headers = {"content-type": "application/json", "content-encoding": "gzip"}
            packed = b"".join(gzip.compress(member) for member in members) + end
            return gate.request("POST", "/a", content=packed, headers=headers).status_code

        good = [send(b'{"x": 1}'), send(b'{"x"', b": 1", b"}"), send(b"", b'{"x": 1}', b"")]
        bad = [
            send(b'{"x": 1', b'"}'),
            send(b'{"x": "', b'"}'),
            send(b'{"x": 1}', end=b"{}"),
            send(b"{}", end=b"\x1f\x8b"),
        ]
        bad += [send(*[b""] * 20_000, b'{"x": 1}')]
        long = send(*[b" " * 600_000] * 2)

    assert good == [200] * 3
    assert bad == [400] * 5
    assert long == 413


@given(
    text=st.text(max_size=6) | st.sampled_from(["1", "1.0", "1.5", "-0", "1e3", "true", "null", ""]),
    types=st.frozensets(st.sampled_from(["integer", "number", "boolean", "null", "string"])),
)
@settings(deadline=None)
def test_a_text_is_read_as_each_type_that_it_can_be_and_only_as_these(text, types):
    found = readings(text, types)
    kinds = {bool: {"boolean"}, int: {"integer", "number"}, float: {"integer", "number"}, str: {"string"}}
    for value in found:
        assert kinds.get(type(value), {"null"}) & types or found == [text]
    if "string" in types:
        assert text in found


def test_parameters_that_only_patterns_and_the_rest_name_are_values_too():
    rest = {"patternProperties": {"^b_": {"type": "boolean"}}, "additionalProperties": {"type": "integer"}}
    step = build(Schema, query=rest, cookies=rest, headers={"patternProperties": {"^x-n": {"type": "integer"}}})

    def ask(query="", cookie="", **headers):
        return through(step, query=query, headers={**headers, **({"cookie": cookie} if cookie else {})}).response.status

    assert [ask("a=1&b_1=true"), ask(cookie="a=1; b_1=true"), ask(**{"X-N1": "7"})] == [200] * 3
    assert [ask("a=x"), ask("b_1=1"), ask("a=1&a=2"), ask(cookie="a=x"), ask(**{"X-N1": "x"})] == [400] * 5


def test_a_list_of_many_texts_that_may_be_two_things_takes_no_more_than_a_moment(tmp_path):
    union = {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 9}]}}
    step = build(Schema, **contract(tmp_path, query(union)))
    answer = through(step, method="POST", query="&".join(["v=1"] * 900 + ["v=1.5"])).response

    assert answer.status == 400


def written(value, style, explode):
    """Write a list or an object as RFC 6570 and OpenAPI 3.1 say, below the name `v`."""
    between = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}.get(style, ",")
    if isinstance(value, list):
        texts = [quote(each, safe="") for each in value]
        if style == "label":
            return "." + ("." if explode else ",").join(texts)
        if style == "matrix":
            return "".join(f";v={each}" for each in texts) if explode else ";v=" + ",".join(texts)
        return [*texts] if explode and style != "simple" else [between.join(texts)]
    pairs_ = [(quote(name, safe=""), quote(each, safe="")) for name, each in value.items()]
    parts = [f"{name}={each}" if explode else f"{name}{between}{each}" for name, each in pairs_]
    if style == "label":
        return "." + ("." if explode else ",").join(parts)
    if style == "matrix":
        return "".join(f";{each}" for each in parts) if explode else ";v=" + ",".join(parts)
    return [between.join(parts)]


WORDS = st.text(st.sampled_from("aé ,;.|=&%+1~"), min_size=1, max_size=4).filter(
    lambda text: text == text.strip() and "." not in text
)
PATHS = st.sampled_from([(style, explode) for style in ("simple", "label", "matrix") for explode in (True, False)])


@given(
    value=st.lists(WORDS, min_size=1, max_size=4) | st.dictionaries(WORDS, WORDS, min_size=1, max_size=3),
    how=PATHS | st.sampled_from([("form", False), ("spaceDelimited", False), ("pipeDelimited", False), ("form", True)]),
)
@settings(deadline=None)
def test_whatever_is_written_in_a_style_is_read_as_it_was(value, how):
    style, explode = how
    assume(not (isinstance(value, dict) and how == ("form", True)))  # its members stand beside other parameters
    cannot = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(style)  # which OpenAPI leaves to whoever writes
    assume(cannot is None or not any(cannot in each for each in (*value, *getattr(value, "values", list)())))
    item = Shape(frozenset({"string"}))
    shape = Shape(frozenset({"array"}), item) if isinstance(value, list) else Shape(frozenset({"object"}), rest=item)
    place = "path" if style in ("simple", "label", "matrix") else "query"
    texts = written(value, style, explode)
    read, holder = Read(), {}
    Parameter("v", shape, style, explode, place).read(texts if isinstance(texts, list) else [texts], read, holder, ())

    assert read.wrong == []
    assert holder == {"v": value}
