import gzip
import json
import zlib

import pytest

from hookgate import MASK, BadGateway, ConfigError, Response
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_mask import Mask

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def masked(body, headers=JSON, **options):
    """The body of a request behind the step."""
    exchange = through(build(Mask, **options), method="POST", headers=headers, body=body)
    assert exchange.fault is None, exchange.fault.detail
    return exchange.request.body.data


@pytest.mark.parametrize(
    ("paths", "before", "after"),
    [
        (["a"], b'{"a": 1, "b": "x"}', b'{"a": "M","b": "x"}'),
        (["a.b"], b'{"a": {"b": {"c": 1}}, "b": 2}', b'{"a": {"b": "M"},"b": 2}'),
        (["a[1].b"], b'{"a": [{"b": 1}, {"b": 2}]}', b'{"a": [{"b": 1},{"b": "M"}]}'),
        (["a.*.c"], b'{"a": {"x": {"c": 1}, "y": [1]}}', b'{"a": {"x": {"c": "M"},"y": [1]}}'),
        (["a[*].c"], b'{"a": [{"c": 1}, {"c": 2, "d": 3}]}', b'{"a": [{"c": "M"},{"c": "M","d": 3}]}'),
        (["[0]"], b"[1, 2]", b'["M",2]'),
        (["*"], b'{"a": 1, "b": 2}', b'{"a": "M","b": "M"}'),
        (["A"], b'{"a": 1}', b'{"a": "M"}'),
        (["a"], b'{"A": 1, "\\u0061": 2, "a": 3}', b'{"A": "M","\\u0061": "M","a": "M"}'),
        (["a"], b'{"b": 12345678901234567890.10, "a": 1}', b'{"b": 12345678901234567890.10,"a": "M"}'),
        (["a"], b'{"b": {"a" : 1}}', b'{"b": {"a" : 1}}'),
        (["a.b"], b'{"a": 1}', b'{"a": 1}'),
        (["a", "b"], b' {"a":1,"b":2} ', b' {"a":"M","b":"M"} '),
        (["a"], b"{}", b"{}"),
        (["a"], b'"a"', b'"a"'),
        (["a"], b"", b""),
    ],
)
def test_members_of_json_are_blotted_and_the_rest_stays(paths, before, after):
    assert masked(before, request={"json": paths}) == after.replace(b"M", MASK.encode())


def test_members_and_items_are_taken_out():
    before = b'{"a": 1, "b": [1, {"c": 2}, 3], "d": 4}'

    assert masked(before, request={"json": ["a", "b[1]"]}, how="remove") == b'{"b": [1,3],"d": 4}'
    assert masked(b'{"a": 1}', request={"json": ["a"]}, how="remove") == b"{}"


@pytest.mark.parametrize(
    ("value", "after"),
    [('"1234567890"', "7890"), ('"1234567"', ""), ("12345678", "5678"), ("[1, 2, 3, 4, 5, 6, 7, 8]", ""), ("null", "")],
)
def test_the_last_characters_may_stay(value, after):
    found = masked(f'{{"a": {value}}}'.encode(), request={"json": ["a"]}, keep_last=4)

    assert json.loads(found) == {"a": MASK + after}


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"a": 1} x', b'{"a": NaN}', b"[" * 5000, b'{"a" 1}', b"{'a': 1}", b'{"a": 1,}', b"\xff", b'{"b": 01}'],
)
def test_json_that_cannot_be_taken_apart_is_not_let_through(body):
    exchange = through(build(Mask, request={"json": ["a.b"]}), method="POST", headers=JSON, body=body)

    assert (exchange.response.status, exchange.fault.reason) == (400, "unmaskable")


def test_a_body_that_looks_like_json_and_says_nothing_else_is_masked_and_a_page_is_not():
    for kind, hit in (("", True), ("text/plain", True), ("application/problem+json; charset=utf-8", True)):
        headers = {"content-type": kind} if kind else {}
        assert (masked(b'{"a": 1}', headers, request={"json": ["a"]}) != b'{"a": 1}') is hit
    assert masked(b"{not json", {"content-type": "text/html"}, request={"json": ["a"]}) == b"{not json"
    assert masked(b"\x89PNG", {"content-type": "image/png"}, request={"json": ["a"], "text": ["PNG"]}) == b"\x89PNG"


def test_fields_of_forms_and_parameters_of_the_query():
    step = build(Mask, request={"form": ["Card"], "query": ["Token"]}, keep_last=2)
    exchange = through(
        step, method="POST", headers=FORM, body=b"a=%20&c%61rd=12+45&CARD=&x", query="token=abcdef&b=%2F&token"
    )

    assert exchange.request.body.data == f"a=%20&c%61rd={MASK}45&CARD={MASK}&x".encode()
    assert exchange.request.query == f"token={MASK}ef&b=%2F&token={MASK}"
    gone = through(build(Mask, request={"form": ["a"], "query": ["a"]}, how="remove"), method="POST", headers=FORM,
                   body=b"a=1&b=2", query="a=1")  # fmt: skip
    assert (gone.request.body.data, gone.request.query) == (b"b=2", "")


def test_a_form_in_several_parts_is_refused_where_fields_are_named():
    headers = {"content-type": "multipart/form-data; boundary=x"}
    exchange = through(build(Mask, request={"form": ["a"]}), method="POST", headers=headers, body=b"--x--")

    assert exchange.fault.reason == "unmaskable"


@pytest.mark.parametrize(
    ("pattern", "after"),
    [
        (r"\b\d{8}(\d{4})\b", "card 12345678M, key k-1"),
        (r"\d{12}", "card M, key k-1"),
        (r"(card) (\d+)|key (k-\d)", "M M, key M"),
        (r"(card (\d+)), (key)", "M, M k-1"),
        (r"((?<=card) )(\d+)?", "cardMM, key k-1"),
        (r"nothing", "card 123456789012, key k-1"),
    ],
)
def test_what_fits_an_expression_is_masked(pattern, after):
    text = b"card 123456789012, key k-1"

    assert (
        masked(text, {"content-type": "text/plain"}, request={"text": [pattern]}) == after.replace("M", MASK).encode()
    )


def test_expressions_are_not_tried_on_long_bodies_nor_on_what_is_no_text():
    for body, kind in ((b"x" * 11, "text/plain"), (b"\xff", "text/plain")):
        step = build(Mask, request={"text": ["a"]}, text_limit=10)
        exchange = through(step, method="POST", headers={"content-type": kind}, body=body)
        assert exchange.fault.reason == "unmaskable"


def test_headers_are_blotted_line_by_line_or_taken_out():
    headers = [("x-key", "abcdef"), ("X-Key", "b"), ("x-a", "1")]
    blotted = through(build(Mask, request={"headers": ["X-KEY"]}, keep_last=2), headers=headers).request.headers
    removed = through(build(Mask, request={"headers": ["x-key"]}, how="remove"), headers=headers).request.headers

    assert (blotted.getall("x-key"), blotted["x-a"]) == ([f"{MASK}ef", MASK], "1")
    assert ("x-key" in removed, removed["x-a"]) == (False, "1")


def test_what_spoke_of_the_old_bytes_is_taken_out_and_stays_where_nothing_changed():
    for body, gone in ((b'{"a": 1}', True), (b'{"b": 1}', False)):
        exchange = through(
            build(Mask, request={"json": ["a"]}),
            method="POST",
            headers={**JSON, "content-digest": "sha-256=:x:"},
            body=body,
        )
        assert ("content-digest" not in exchange.request.headers) is gone


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
def test_packed_answers_are_unpacked_and_others_refused(encoding):
    pack = zlib.compress if encoding == "deflate" else gzip.compress

    def answer(data, encoding):
        step = build(Mask, response={"json": ["a"]})
        return through(response=(step,), upstream=Response(200, {**JSON, "content-encoding": encoding}, data))

    good = answer(pack(b'{"a": 1}'), encoding).response
    assert (good.body.data, "content-encoding" in good.headers) == (f'{{"a": "{MASK}"}}'.encode(), False)
    several = answer(pack(b'{"a"') + pack(b"") + pack(b": 1}"), encoding)
    assert (several.fault is None) is (encoding != "deflate")
    assert encoding == "deflate" or several.response.body.data == good.body.data
    untouched = answer(pack(b'{"b": 1}'), encoding).response
    assert untouched.headers["content-encoding"] == encoding
    for data in (b"{}", pack(b"x" * 9_000_000), pack(b"{}")[:-1], pack(b"{}") + b"x"):
        exchange = answer(data, encoding)
        assert exchange.fault.reason == "unmaskable"
    for data, kind in ((b"{}", "br"), (b"{}", "gzip, gzip")):
        exchange = answer(data, kind)
        assert (exchange.response.status, exchange.fault.reason) == (502, "unmaskable")
        assert isinstance(exchange.fault, BadGateway)


class FakeTrace:
    def __init__(self):
        self.places = []

    def hide(self, *places):
        self.places += places

    def note(self, message):
        pass


def test_every_place_is_hidden_in_traces_whether_the_message_changes_or_not():
    options = {
        "request": {"headers": ["X-Key"], "query": ["token"], "json": ["a.b[0]", "c.*.d"]},
        "response": {"headers": ["X-Key"], "json": ["a"], "text": ["x"]},
    }
    for message in (True, False):
        step, trace = build(Mask, message=message, **options), FakeTrace()

        def answer(exchange, trace=trace):
            exchange.trace = trace
            return Response(200, {}, "x")

        exchange = through(response=(step,), upstream=answer)
        assert trace.places == ["response.headers.X-Key", "response.body.a", "response.body"]
        exchange = through(step, headers=JSON, body=b"{}", method="POST", upstream=Response(200, {}, "x"))
        exchange.trace = trace = FakeTrace()
        step.on_request(exchange)
        step.on_response(exchange)
        assert trace.places == [
            "request.headers.X-Key",
            "request.body.a.b.0",
            "request.body.c.*.d",
            "request.query.token",
            "response.headers.X-Key",
            "response.body.a",
            "response.body",
        ]
        assert set(exchange.hidden) == set(trace.places)


def test_the_message_may_stay_as_it_is():
    step = build(Mask, message=False, request={"headers": ["x-key"], "json": ["a"], "query": ["q"]})
    exchange = through(step, method="POST", headers={**JSON, "x-key": "k"}, body=b'{"a": 1', query="q=1")

    assert exchange.fault is None
    assert (exchange.request.headers["x-key"], exchange.request.query) == ("k", "q=1")
    assert step.reads == set()


@BOTH
@pytest.mark.parametrize("body", [b'{"iban": "DE0012345678"}', b'{"n": 1}', b"{}"])
@pytest.mark.parametrize("kind", ["application/json", "image/png"])
def test_head_and_304_say_what_get_says(lane, body, kind):
    """RFC 9110, 9.3.2 and 15.4.5: whatever the body turns out to be, which only the answer to GET shows."""
    fields = {"content-type": kind, "etag": '"v1"', "accept-ranges": "bytes", "vary": "Cookie", "expires": "0"}

    def answer(request):
        if request.header("if-none-match"):
            return 304, {**fields, "repr-digest": "sha-256=:x:", "content-digest": "sha-256=:x:"}, b""
        return 200, {**fields, "repr-digest": "sha-256=:x:", "content-length": str(len(body))}, body

    with upstream(answer) as backend:
        document = {
            "gateway": {"lane": lane},
            "routes": [
                {"name": "all", "flow": [{"mask": {"response": {"json": ["iban"]}}}], "to": {"connection": "crm"}}
            ],
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document) as gate:
            get, head = gate.request("GET", "/"), gate.request("HEAD", "/")
            same = gate.request("GET", "/", headers={"if-none-match": get.headers["etag"]})
            gate.request("PUT", "/", headers={"if-match": get.headers["etag"]})
    picture = kind == "image/png"
    assert get.headers["etag"] == ('"v1"' if picture else 'W/"v1"')
    told = {"content-type", "etag", "vary", "expires"} | ({"accept-ranges", "repr-digest"} if picture else set())
    assert {name: get.headers[name] for name in told} == {name: head.headers[name] for name in told}
    said = {name: value for name, value in head.headers.items() if name not in ("date", "transfer-encoding")}
    assert {name: get.headers.get(name) for name in said} == said
    assert [same.headers[name] for name in ("etag", "vary", "expires")] == [
        'W/"v1"' if not picture else '"v1"',
        "Cookie",
        "0",
    ]
    digests = {"repr-digest", "content-digest"}
    assert digests & same.headers.keys() == (digests if picture else set())
    assert backend.requests[-1].header("if-match") == ('"v1"' if picture else 'W/"v1", "v1"')


@BOTH
@pytest.mark.row("FL-22")
def test_backend_and_client_see_masked_messages(lane):
    def answer(request):
        assert request.header("accept-encoding") == "identity"
        assert request.header("range") is None
        return 200, {**JSON, "x-internal": "secret", "etag": '"1"'}, b'{"iban": "DE0012345678", "n": 1.10}'

    options = {
        "request": {"headers": ["X-Card"], "query": ["card"], "json": ["card.number"]},
        "response": {"headers": ["X-Internal"], "json": ["iban"]},
        "keep_last": 4,
    }
    with upstream(answer) as backend:
        document = {
            "gateway": {"lane": lane},
            "routes": [{"name": "all", "flow": [{"mask": options}], "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document) as gate:
            sent = {**JSON, "x-card": "1234567890", "range": "bytes=0-1", "accept-encoding": "gzip"}
            body = b'{"card": {"number": 1234567890123456, "of": "Ann"}}'
            whole = gate.request("POST", "/?card=12345678&a=b", headers=sent, content=body)
            chunked = gate.request("POST", "/", headers=sent, content=iter([body[:20], body[20:]]))
            refused = gate.request("POST", "/", headers=sent, content=b"{")

    for answer in (whole, chunked):
        assert answer.text == f'{{"iban": "{MASK}5678","n": 1.10}}'
        assert (answer.headers["x-internal"], answer.headers["etag"]) == (MASK, 'W/"1"')
    assert refused.status_code == 400
    first, second = backend.requests
    assert first.query == f"card={MASK}5678&a=b"
    assert first.header("x-card") == f"{MASK}7890"
    assert {first.body, second.body} == {f'{{"card": {{"number": "{MASK}3456","of": "Ann"}}}}'.encode()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to do"),
        ({"request": {"headers": ["Host"]}}, "leave out Host"),
        ({"request": {"headers": ["a b"]}}, "header name"),
        ({"request": {"json": ["a..b"]}}, r"request.json\[0\]: 'a..b' is no place in JSON"),
        ({"request": {"json": [""]}}, "is no place in JSON"),
        ({"request": {"text": ["("]}}, "is not a regular expression"),
        ({"request": {"text": ["a(?=(b))"]}}, "a group in a look around"),
        ({"request": {"text": ["(?<!(a)|x)c"]}}, "a group in a look around"),
        ({"request": {"text": ["a*"]}}, "fits nothing at all"),
        ({"request": {"text": ["(a+)+b"]}}, "repeats what is repeated"),
        ({"request": {"text": ["(?:x(?:a|b*)){2,}b"]}}, "repeats what is repeated"),
        ({"response": {"query": ["a"]}}, "response.query: there is no option"),
        ({"request": {"headers": ["a"]}, "how": "remove", "keep_last": 2}, "keep_last is for how: blot"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Mask, **options)


@BOTH
@pytest.mark.row("FL-23")
def test_what_frames_a_message_is_made_anew_and_an_answer_that_was_unpacked_is_not_called_packed(lane):
    packed = {**JSON, "content-encoding": "gzip"}
    body = b'{"card": 1, "of": "Ann"}'
    with upstream(lambda request: (200, packed, gzip.compress(b'{"iban": "DE00", "n": 1.10}'))) as backend:
        described = {
            "gateway": {"lane": lane},
            "routes": [
                {"name": "all", "flow": [{"mask": {"response": {"json": ["iban"]}}}], "to": {"connection": "crm"}}
            ],
            "connections": {"crm": {"targets": backend.url}},
        }
        sent = {**JSON, "te": "trailers", "connection": "te"}
        with running(described) as gate:
            streamed = gate.request("POST", "/", headers=sent, content=iter([body[:9], body[9:]]))
            described["routes"][0]["flow"][0]["mask"]["request"] = {"json": ["card"]}
            gate.reload(described)
            whole = gate.request("POST", "/", headers=sent, content=iter([body[:9], body[9:]]))

    for answer in (streamed, whole):
        assert answer.content == f'{{"iban": "{MASK}","n": 1.10}}'.encode()
        assert "content-encoding" not in answer.headers
        assert answer.headers["content-length"] == str(len(answer.content))
    through, read = backend.requests
    assert (through.body, through.all("transfer-encoding"), through.all("content-length")) == (body, ["chunked"], [])
    masked_body = f'{{"card": "{MASK}","of": "Ann"}}'.encode()
    assert (read.body, read.all("transfer-encoding")) == (masked_body, [])
    assert read.all("content-length") == [str(len(masked_body))]
    assert [request.header("te") for request in backend.requests] == [None, None]


@BOTH
@pytest.mark.row("FL-22")
@pytest.mark.parametrize("message", [True, False], ids=["changed", "as it is"])
def test_neither_traces_nor_logs_hold_what_is_masked(lane, message, tmp_path):
    secrets = ["4111222233334444", "P123456", "c-secret", "k-secret", "DE00"]

    def answer(request):
        return 200, {**JSON, "x-key": "k-secret"}, b'{"iban": "DE0012345678", "note": "fine"}'

    places = {
        "request": {"headers": ["X-Card"], "query": ["card"], "json": ["payment.card", "guests[*].passport"]},
        "response": {"headers": ["X-Key"], "json": ["iban"]},
        "message": message,
    }
    with upstream(answer) as backend:
        flow = [{"mask": places}, {"message-log": {"output": str(tmp_path / "messages")}}]
        document = {
            "gateway": {
                "lane": lane,
                "observers": [{"access-log": {"output": str(tmp_path / "access"), "query": True}}],
            },
            "trace": {"token": "only-for-tests"},
            "routes": [{"name": "all", "flow": flow, "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": backend.url}},
        }
        if message:
            flow.insert(0, {"headers": {"request": {"set_from": {"X-Copy": "request.method"}}}})
        with running(document) as gate:
            sent = {**JSON, "x-card": "c-secret", "x-hookgate-trace": "only-for-tests"}
            body = b'{"payment": {"card": "4111222233334444"}, "guests": [{"passport": "P123456", "of": "Ann"}]}'
            seen = gate.request("POST", "/?card=4111222233334444&a=kept", headers=sent, content=body)
            (exchange,) = gate.wait_for_exchanges(1)
        trace = json.dumps(exchange.trace.as_dict())
        logs = (tmp_path / "messages").read_text() + (tmp_path / "access").read_text()

    for secret in secrets:
        assert secret not in trace
        assert secret not in logs
    assert "a=kept" in logs
    assert "Ann" in logs
    (received,) = backend.requests
    assert (received.body == body) is not message
    assert (received.query == "card=4111222233334444&a=kept") is not message
    assert ("DE00" in seen.text) is not message
