"""A field that may come once and comes twice is refused by whoever reads it (RFC 9110, 5.3)."""

from base64 import b64encode

import pytest

from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
GOOD = "Basic " + b64encode(b"ann:secret-of-ann").decode()
KEY = "0123456789abcdef0123456789abcdef"
BASIC = {"basic": {"users": {"ann": "secret-of-ann"}}}
READERS = {
    "basic": BASIC,
    "jwt": {"jwt": {"secret": KEY, "algorithms": ["HS256"]}},
    "digest": {"digest": {"users": {"ann": "secret-of-ann"}}},
    "hawk": {"hawk": {"credentials": {"ann": {"key": KEY}}}},
    "oauth1": {"oauth1": {"consumers": {"shop": {"secret": KEY}}}},
    "signature": {"signature": {"keys": {"ann": {"algorithm": "hmac-sha256", "secret": KEY}}, "standard": "cavage"}},
}


def document(backend, lane, *flow):
    return {
        "gateway": {"lane": lane},
        "routes": [{"name": "all", "flow": list(flow), "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url}},
    }


def keys(location):
    return {"auth": {"methods": [{"api-key": {"keys": {"joe": "GOOD"}, "location": location}}]}}


@BOTH
@pytest.mark.parametrize("require", ["any", "all"])
@pytest.mark.parametrize("second", ["Bearer other", "Basic other", "", GOOD])
def test_a_second_authorization_is_refused_and_never_goes_on(lane, require, second):
    flow = {"auth": {"require": require, "methods": [BASIC]}}
    with upstream() as backend, running(document(backend, lane, flow)) as gate:
        for lines in ([GOOD, second], [second, GOOD]):
            answer = gate.request("GET", "/", headers=[("Authorization", line) for line in lines])
            assert (answer.status_code, answer.json()["reason"]) == (400, "repeated-header")
        assert gate.request("GET", "/", headers={"authorization": GOOD}).status_code == 200

    assert len(backend.requests) == 1


@pytest.mark.parametrize("reader", READERS)
def test_every_method_that_reads_the_header_refuses_two(reader):
    flow = {"auth": {"methods": [READERS[reader]]}}
    with upstream() as backend, running(document(backend, True, flow)) as gate:
        answer = gate.request("GET", "/", headers=[("authorization", "Other a"), ("authorization", GOOD)])
        assert (answer.status_code, answer.json()["reason"]) == (400, "repeated-header")
        assert gate.request("GET", "/", headers={"authorization": "Other a"}).status_code == 401


@BOTH
@pytest.mark.parametrize(
    ("location", "path", "headers"),
    [
        ("query", "/?api_key=GOOD&api_key=bad", []),
        ("query", "/?api_key=bad&api_key=GOOD", []),
        ("query", "/?api_key=GOOD&x=1&api%5Fkey=GOOD", []),
        ("query", "/?api_key=GOOD&api_key", []),
        ("header", "/", [("x-api-key", "GOOD"), ("X-Api-Key", "bad")]),
        ("header", "/", [("x-api-key", "GOOD"), ("x-api-key", "GOOD")]),
        ("cookie", "/", [("cookie", "api_key=GOOD; a=1; api_key=bad")]),
        ("cookie", "/", [("cookie", "api_key=GOOD"), ("cookie", "api_key=bad")]),
    ],
)
def test_of_two_api_keys_none_is_taken(lane, location, path, headers):
    with upstream() as backend, running(document(backend, lane, keys(location))) as gate:
        answer = gate.request("GET", path, headers=headers)

    assert (answer.status_code, answer.json()["reason"]) == (400, "repeated-credentials")
    assert not backend.requests


SCHEMA = {"type": "object", "required": ["item"]}


@BOTH
@pytest.mark.parametrize("types", [["text/plain", "application/json"], ["application/json", "text/plain"]])
@pytest.mark.parametrize("body", [b'{"wrong": 1}', b'{"item": 1}'])
def test_a_body_of_two_content_types_does_not_pass_a_schema(lane, types, body):
    flow = {"schema": {"request": SCHEMA}}
    with upstream() as backend, running(document(backend, lane, flow)) as gate:
        answer = gate.request("POST", "/", headers=[("Content-Type", each) for each in types], content=body)

    assert (answer.status_code, answer.json()["reason"]) == (400, "repeated-header")
    assert not backend.requests


@BOTH
def test_an_answer_of_two_content_types_does_not_pass_a_schema(lane):
    flow = {"schema": {"response": SCHEMA, "check": "both"}}
    headers = [("Content-Type", "application/json"), ("Content-Type", "text/html")]
    with upstream(lambda _: (200, headers, b'{"item": 1}')) as backend:
        with running(document(backend, lane, flow)) as gate:
            answer = gate.request("GET", "/")

    assert (answer.status_code, answer.json()["reason"]) == (502, "response-invalid")


@BOTH
def test_what_says_two_content_types_cannot_be_masked(lane):
    flow = {"mask": {"request": {"json": ["$.secret"]}, "response": {"json": ["$.secret"]}, "message": True}}
    twice = [("Content-Type", "text/html"), ("Content-Type", "application/json")]
    body = b'{"secret": "s3cret"}'
    with upstream(lambda _: (200, twice, body)) as backend:
        with running(document(backend, lane, flow)) as gate:
            sent = gate.request("POST", "/", headers=twice, content=body)
            answered = gate.request("GET", "/")

    assert (sent.status_code, answered.status_code) == (400, 502)
    assert "s3cret" not in sent.text + answered.text


REFUSED = {"flow": [{"respond": {"status": 401}}]}
ASKING = {
    "header": [{"when": {"if": "request.headers['x-key'] != 'GOOD'", **REFUSED}}],
    "query": [{"when": {"if": "request.query.key != 'GOOD'", **REFUSED}}],
    "query by name": [{"when": {"if": "request.query['key'] not in {'GOOD'}", **REFUSED}}],
    "switch": [{"switch": {"cases": [{"when": "request.query.key == 'GOOD'", "flow": []}], "default": REFUSED}}],
}


@BOTH
@pytest.mark.parametrize("others", [["bad"], [""], ["GOOD"], ["bad", "worse"]])
@pytest.mark.parametrize("asking", ASKING)
def test_an_expression_passes_over_no_second_value(lane, asking, others):
    with upstream() as backend, running(document(backend, lane, *ASKING[asking])) as gate:
        for values in (["GOOD", *others], [*others, "GOOD"]):
            if asking == "header":
                answer = gate.request("GET", "/", headers=[("X-Key", value) for value in values])
                assert answer.status_code == 401
            else:
                answer = gate.request("GET", "/?" + "&".join(f"key={value}" for value in values))
                assert (answer.status_code, answer.json()["reason"]) == (400, "repeated-parameter")
        assert gate.request("GET", "/?key=GOOD&other=a&other=b", headers={"x-key": "GOOD"}).status_code == 200

    assert len(backend.requests) == 1


@BOTH
def test_a_parameter_that_comes_twice_chooses_no_route_and_is_logged(lane, capfd):
    with upstream() as backend:
        described = document(backend, lane)
        guarded = {"name": "guarded", "match": {"when": "request.query.admin == 'yes'"}, "flow": [keys("header")]}
        described["routes"].insert(0, {**guarded, "to": {"connection": "backend"}})
        described["gateway"]["observers"] = [{"access-log": {"more": {"admin": "request.query.admin"}}}]
        with running(described) as gate:
            for query in ("admin=no&admin=yes", "admin=yes&admin=no"):
                assert gate.request("GET", f"/?{query}").status_code == 400
            assert gate.request("GET", "/?admin=yes").status_code == 401
            assert gate.request("GET", "/").status_code == 200

    assert len(backend.requests) == 1
    assert len([line for line in capfd.readouterr().out.splitlines() if '"status"' in line]) == 4


@BOTH
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_of_two_origins_none_is_answered(lane, method):
    good, bad = "https://good.example", "https://bad.example"
    asked = [("access-control-request-method", "GET")]
    with upstream() as backend:
        with running(document(backend, lane, {"cors": {"allow_origins": [good]}})) as gate:
            for pair in ([good, bad], [bad, good], [good, good]):
                answer = gate.request(method, "/", headers=[*asked, *(("origin", each) for each in pair)])
                assert (answer.status_code, answer.json()["reason"]) == (400, "repeated-header")
                assert "access-control-allow-origin" not in answer.headers
            assert gate.request(method, "/", headers=[*asked, ("origin", good)]).status_code in (200, 204)
    assert len(backend.requests) == (method == "GET")
