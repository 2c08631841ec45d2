import json
import logging

import pytest

from hookgate import ConfigError, Identity, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_extract import Extract
from hookgate_interceptor_extract.values import JsonCopy, follow, plain, pointer

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


class Trace:
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)

    def hide(self, *places):
        pass


class Traced(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange):
        exchange.trace = Trace()
        exchange.identity = Identity("ann", roles=("a", "b"), claims={"age": 7, "x": {"y": [1.5]}})


def step(facts=None, **options):
    return build(Extract, facts=facts or {}, **options)


def facts(*steps, response=(), **call):
    return through(Traced(Options()), *steps, response=response, **call).facts


CALL = {"headers": {"x-customer": "c7", "x-count": "12", "x-flag": "yes"}, "query": "page=2&twice=1&twice=2&q=%C3%A9"}


def test_values_of_header_query_and_body_are_kept_with_their_types():
    told = {
        "customer": "request.headers['X-Customer']",
        "count": "int(request.headers['x-count'])",
        "half": "int(request.headers['x-count']) / 5",
        "flag": "request.headers['x-flag'] == 'yes'",
        "page": "request.query.page",
        "twice": "request.query.twice",
        "q": "request.query.q",
        "text": "request.body",
        "roles": "identity.roles",
        "claims": "claims",
        "nothing": "request.headers['x-none']",
        "zero": "0",
        "empty": "''",
    }
    found = facts(step(told), method="POST", body=b"a body", **CALL)

    assert found == {
        "customer": "c7",
        "count": 12,
        "half": 2.4,
        "flag": True,
        "page": "2",
        "q": "é",
        "text": "a body",
        "roles": ["a", "b"],
        "claims": {"age": 7, "x": {"y": [1.5]}},
        "zero": 0,
        "empty": "",
    }


def test_of_two_the_last_wins_for_equal_keys_and_others_are_merged():
    first = step({"who": "'first'", "one": "1", "kept": "'kept'"})
    second = step({"who": "'second'", "two": "2", "kept": "request.headers['x-none']"})

    # On the way out the one on the left comes last.
    assert facts(first, second) == {"who": "first", "one": 1, "kept": "kept", "two": 2}
    assert facts(response=(second, first)) == {"who": "second", "one": 1, "kept": "kept", "two": 2}


def test_the_query_is_not_there_on_the_way_out():
    told = {"page": "request.query.page", "all": "request.query", "customer": "request.headers['x-customer']"}

    assert facts(response=(step(told),), **CALL) == {"customer": "c7", "all": {}}
    assert facts(step(told), **CALL)["page"] == "2"


def test_on_the_way_out_there_is_the_response():
    def backend(exchange):
        return Response(201, {"x-took": "5"})

    told = {"status": "response.status", "took": "int(response.headers['x-took'])", "customer": "response.headers.x"}

    assert facts(response=(step(told),), upstream=backend) == {"status": 201, "took": 5}


SECRETS = {"authorization": "Bearer hush", "cookie": "sid=hush", "x-card": "hush", "x-open": "seen"}


def test_secrets_are_masked_whatever_an_expression_makes_of_them():
    told = {
        "a": "request.headers['authorization'].split(' ')[-1]",
        "b": "request.headers",
        "c": "request.query.token",
        "d": "response.headers['set-cookie']",
        "e": "request.headers['x-card'].lower()",
        "f": "request.query",
    }

    def backend(exchange):
        assert exchange.request.headers["authorization"] == "Bearer hush"
        assert exchange.request.query == "t%6Fken=hush&open=seen"
        return Response(200, {"set-cookie": "hush"})

    placed = step(told, mask=["X-Card"])
    found = through(placed, headers=SECRETS, query="t%6Fken=hush&open=seen", upstream=backend)

    assert "hush" not in json.dumps(found.facts)
    assert (found.facts["e"], found.facts["b"]["x-open"], found.facts["d"]) == ("********", "seen", "********")
    assert found.response.headers["set-cookie"] == "hush"


def test_a_long_value_is_cut_or_left_out():
    told = {"text": "request.headers['x-long']", "list": "request.headers['x-long'].split('a')", "short": "{1, 2}"}
    exchange = through(Traced(Options()), step(told, longest=20), headers={"x-long": "a" * 21})

    assert exchange.facts == {"text": "a" * 19 + "…", "short": [1, 2]}
    assert "the fact list is left out" in exchange.trace.notes[0]


def test_an_expression_that_fails_harms_no_call_and_is_told_once(caplog):
    placed = step({"n": "int(request.headers['x-n'])", "m": "request.method"})

    for _ in range(2):
        exchange = through(Traced(Options()), placed, headers={"x-n": "hush"})
        assert (exchange.response.status, exchange.facts) == (200, {"m": "GET"})
        assert "the fact n is left out" in exchange.trace.notes[0]

    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "said once" in line
    assert "hush" not in line + str(exchange.trace.notes)


# --- JSON bodies ------------------------------------------------------------------------------------------------------


ORDER = {"order": {"id": 7, "items": [{"name": "a/b"}, {"name": "é"}]}, "a/b": {"m~n": None, "": True}}
POINTERS = {"id": "/order/id", "second": "/order/items/1/name", "slash": "/a~1b/", "null": "/a~1b/m~0n", "no": "/x/y"}


@pytest.mark.parametrize("held", [True, False], ids=["held", "streamed"])
def test_values_are_taken_out_of_a_json_body(held):
    data = json.dumps(ORDER).encode()

    async def stream():
        for at in range(0, len(data), 7):
            yield data[at : at + 7]

    def backend(exchange):
        return Response(200, {}, b'{"order": {"id": 8}}')

    class Reader(Interceptor[Options]):
        @hookimpl
        async def on_request(self, exchange):
            assert await exchange.request.body.read() == data

    steps = [step(body=POINTERS), *([] if held else [Reader(Options())])]
    placed = step(body={"answered": "/order/id"})
    exchange = through(*steps, response=(placed,), method="POST", body=data if held else stream(), upstream=backend)

    assert exchange.facts == {"id": 8, "second": "é", "slash": True, "answered": 8}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"{", {}),
        (b'{"order": {"id": 7}}' + b" " * 100, {}),
        (b"[" * 90, {}),
        (b"\xff\x00", {}),
        (b'{"order": "id"}', {}),
        (b'{"order": {"id": NaN}}', {}),
        (b'{"order": {"id": 7}}', {"content-encoding": "gzip"}),
    ],
)
def test_a_body_that_is_not_json_too_long_or_packed_adds_nothing(body, headers):
    exchange = through(step(body={"id": "/order/id"}, body_limit=100), method="POST", body=body, headers=headers)

    assert (exchange.response.status, exchange.facts) == (200, {})


@pytest.mark.parametrize("complete", [True, False])
def test_a_body_that_broke_off_adds_nothing_though_it_looks_whole(complete):
    found = {}
    copy = JsonCopy({"id": pointer("/id")}, 100, found.__setitem__)

    copy.write(b'{"id": ')
    copy.write(b"7}")
    copy.close(complete)

    assert found == ({"id": 7} if complete else {})


def test_a_deep_document_is_no_danger():
    exchange = through(step(body={"id": "/a"}, body_limit=1_000_000), method="POST", body=b'{"a":' * 100_000)

    assert (exchange.response.status, exchange.facts) == (200, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ORDER), ("/order/items/0/name", "a/b"), ("/order/items/2", None), ("/order/items/-", None),
     ("/order/items/01", None), ("/order/items/-1", None), ("/order/id/x", None), ("/order/items/٣", None)],
)  # fmt: skip
def test_a_pointer_is_followed_as_rfc_6901_has_it(text, expected):
    assert follow(ORDER, pointer(text)) == expected


@pytest.mark.parametrize(
    ("value", "fact"),
    [(True, True), (2**1100, None), (float("inf"), None), ({3, 1}, [1, 3]), ([object()], None), (object(), None),
     ([float("nan")], None), ("x" * 11, "x" * 9 + "…"), ("x" * 10, "x" * 10)],
)  # fmt: skip
def test_a_fact_is_plain_data(value, fact):
    assert plain(value, 10) == fact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"nothing to do"),
        ({"facts": {"a": "request.paht"}}, r"facts\.a: .*did you mean 'path'"),
        ({"facts": {"a b": "1"}}, r"facts.*pattern"),
        ({"facts": {"a": "1"}, "body": {"a": "/x"}}, r"a is under facts and under body"),
        ({"body": {"a": "order.id"}}, r"body\.a: .*no JSON Pointer; write /order/id"),
        ({"body": {"a": "/x~2"}}, r"body\.a: .*~ is written ~0"),
        ({"facts": {f"n{number}": "1" for number in range(51)}}, r"facts: .*50"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Extract, **options)


# --- through a gateway ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.row("FL-49")
def test_a_gateway_takes_facts_from_both_messages_and_changes_neither(lane):
    def answer(request):
        return 200, {"content-type": "application/json"}, iter([b'{"total": ', b"12.5}"])

    flow = {
        "request": [{"extract": {"facts": {"page": "request.query.page"}, "body": {"order": "/order/id"}}}],
        "response": [{"extract": {"facts": {"status": "response.status"}, "body": {"total": "/total"}}}],
    }
    with upstream(answer) as backend:
        document = {
            "gateway": {"lane": lane},
            "routes": [{"name": "all", **flow, "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:
            data = json.dumps(ORDER).encode()
            whole = gate.request("POST", "/a?page=2", content=data)
            chunked = gate.request("POST", "/a?page=3", content=iter([data[:9], data[9:]]))
            first, second = (exchange.facts for exchange in gate.wait_for_exchanges(2))

    assert first == {"page": "2", "order": 7, "status": 200, "total": 12.5}
    assert second == first | {"page": "3"}
    assert whole.content == chunked.content == b'{"total": 12.5}'
    assert backend.bodies == [data, data]
