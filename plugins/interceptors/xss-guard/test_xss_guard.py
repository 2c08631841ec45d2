import gzip
import json
import zlib
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xss_corpus import SCRIPTS, TEXTS

from hookgate import BadGateway, ConfigError, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_xss_guard import XssGuard
from hookgate_interceptor_xss_guard.forms import forms
from hookgate_interceptor_xss_guard.patterns import DEFAULTS, Patterns

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
GUARD = build(XssGuard)
SCRIPT = "<script>alert(1)</script>"
JSON = "application/json"
ALL = Patterns(DEFAULTS)


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


def called(guard=GUARD, **call):
    return through(Traced(Options()), guard, **call)


def reason(exchange):
    return exchange.fault and exchange.fault.reason


def sent(guard=GUARD, body=b"", content_type=JSON, **headers):
    return called(guard, method="POST", body=body, headers={"content-type": content_type, **headers})


def answered(guard=GUARD, body=b"", content_type=JSON, **headers):
    return called(guard, upstream=Response(200, {"content-type": content_type, **headers}, body))


def encoded(text):
    return text if isinstance(text, bytes) else text.encode()


# --- through a gateway ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "edge"])
def gate(request):
    def reply(received):
        if received.path == "/header":
            return 200, {"x-shown": SCRIPT, "content-type": "text/plain"}, b"x"
        body = {"/answer": b'{"name": "\\u003cscript\\u003e"}', "/page": b"<script>ours()</script>"}
        kind = "text/html" if received.path == "/page" else JSON
        return 200, {"content-type": kind}, body.get(received.path, b'{"a": 1}')

    with upstream(reply) as backend:
        document = {
            "gateway": {"lane": request.param},
            "trace": {"token": "only-for-tests"},
            "routes": [{"name": "all", "flow": ["xss-guard"], "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:
            gate.backend, gate.made = backend, 0
            yield gate


def traced(gate, method, url, headers=None, **more):
    """Call the gateway; return the answer, and the lines of the trace once the call is over."""
    gate.made += 1
    sent = {"x-hookgate-trace": "only-for-tests", "x-call": str(gate.made), **(headers or {})}
    answer = gate.request(method, url, headers=sent, **more)
    over = gate.wait_for_exchanges(gate.made)
    (exchange,) = [each for each in over if each.request.headers.get("x-call") == sent["x-call"]]
    lines = [note["text"] for note in exchange.trace.as_dict()["notes"]]
    return answer, [line.partition(": ")[2] for line in lines if "/xss-guard" in line]


@pytest.mark.row("FL-48")
@pytest.mark.parametrize(
    ("method", "url", "more", "place"),
    [
        ("GET", f"/a/{quote(SCRIPT, safe='')}", {}, "the path"),
        ("GET", f"/a?q={quote(SCRIPT)}", {}, "the query parameter q"),
        ("GET", f"/a?{quote(SCRIPT)}=1", {}, "the name of a query parameter"),
        ("GET", "/a", {"headers": {"x-name": SCRIPT}}, "the header x-name"),
        ("POST", "/a", {"content": json.dumps({"a": SCRIPT})}, "the body"),
        ("POST", "/a", {"chunks": [b'{"a": "<scr', b'ipt>"}']}, "the body"),
    ],
)
def test_a_request_with_script_goes_no_further_and_its_trace_has_two_lines(gate, method, url, more, place):
    before = len(gate.backend.requests)
    content = {"content": iter(more["chunks"])} if "chunks" in more else more
    refused, lines = traced(gate, method, url, **content)
    assert (refused.status_code, refused.json()["reason"]) == (400, "xss-suspected")
    assert refused.json()["detail"] == f"What stands in {place} looks like script."
    assert len(gate.backend.requests) == before
    assert lines == [f"{place} holds what looks like script: script-tag", "the flow ends here: xss-suspected"]


@pytest.mark.row("FL-48")
@pytest.mark.parametrize(("path", "place"), [("/answer", "the body"), ("/header", "the header x-shown")])
def test_an_answer_with_script_is_not_passed_on_and_its_trace_has_two_lines(gate, path, place):
    refused, lines = traced(gate, "GET", path)
    assert (refused.status_code, refused.json()["reason"]) == (502, "xss-suspected")
    assert "script>" not in refused.text
    assert refused.headers.get("x-shown") is None
    assert lines == [f"{place} holds what looks like script: script-tag", "the flow ends here: xss-suspected"]


def test_what_holds_none_passes_both_ways_as_it_is(gate):
    data = json.dumps({"text": "a < b, and JavaScript: The Good Parts"}).encode()
    answer, lines = traced(gate, "POST", "/a?q=1%20%3C%202&b=x+y", content=data)
    assert lines == []
    assert (answer.status_code, answer.content) == (200, b'{"a": 1}')
    received = gate.backend.requests[-1]
    assert (received.body, received.header("accept-encoding")) == (data, "identity")
    assert traced(gate, "GET", "/page")[0].text == "<script>ours()</script>"


# --- what is found ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", SCRIPTS, ids=range(len(SCRIPTS)))
def test_script_is_found_in_each_place(text):
    data = encoded(text)
    places = {
        "query": called(query=f"a=1&q={quote_plus(data)}"),
        "form": sent(body=f"a=1&q={quote_plus(data)}".encode(), content_type="application/x-www-form-urlencoded"),
        "body": sent(body=data, content_type="text/plain"),
        "answer": answered(body=data, content_type="text/plain"),
    }
    if isinstance(text, str):
        places["json"] = sent(body=json.dumps({"a": [text]}).encode())
        places["markup"] = sent(body=f"<a>\n{escape(text)}\n</a>".encode(), content_type="application/xml")
    assert {place: reason(each) for place, each in places.items()} == dict.fromkeys(places, "xss-suspected")


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_texts_pass_in_each_place(text):
    data = text.encode()
    header = "".join(each for each in text if each.isprintable() and each.isascii())
    calls = [
        called(query=f"q={quote_plus(data)}", headers={"x-text": header}),
        called(path=f"/a/{quote(data, safe='')}"),
        sent(body=data, content_type="text/plain"),
        sent(body=f"q={quote_plus(data)}&r=1".encode(), content_type="application/x-www-form-urlencoded"),
        answered(body=data, content_type="text/plain", **{"x-text": header}),
    ]
    assert [(reason(each), each.response.status) for each in calls] == [(None, 200)] * len(calls)


WAYS = {
    "percent": lambda text: "".join(f"%{each:02X}" for each in text.encode()),
    "quote": lambda text: quote(text, safe=""),
    "decimal": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "hex": lambda text: "".join(f"&#x{ord(each):x};" for each in text),
    "zeros": lambda text: "".join(f"&#{'0' * 40}{ord(each)};" for each in text),
    "named": escape,
    "unicode": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "script": lambda text: "".join(f"\\x{ord(each):02x}" if each.isascii() else each for each in text),
    "old": lambda text: "".join(f"%u{ord(each):04x}" for each in text),
    "wide": lambda text: "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text),
}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([each for each in SCRIPTS if isinstance(each, str) and ALL.fitting([each.encode()])]),
    st.lists(st.sampled_from(sorted(WAYS)), max_size=3),
)
def test_script_is_found_however_it_is_written_up_to_three_times_over(text, ways):
    for way in ways:
        text = WAYS[way](text)
    assert ALL.fitting(forms(text.encode())) is not None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet="<>&#x;%\\u0'\" {}()=ao", max_size=300).map(str.encode))
def test_any_bytes_are_looked_at_and_nothing_is_longer_than_it_was(data):
    found = list(forms(data, plus=True))
    assert found[0] == data
    assert all(len(each) <= 3 * len(data) for each in found)
    called(query=f"q={quote(data)}")
    assert reason(sent(body=data)) in (None, "xss-suspected")


REPEATED = (
    "<",
    "&lt;",
    "%3c",
    "%25",
    "\\",
    "&#",
    "&#x",
    "&a",
    "<a b='",
    "<a on",
    "'\" ,;",
    "\"';",
    "data:",
    "x(",
    "{{",
    "[",
    "%u",
)


@pytest.mark.parametrize("piece", REPEATED)
def test_no_text_takes_longer_than_its_length_says(piece):
    """Steps are counted and not seconds: all forms together stay below a few lengths, and RE2 takes no other way."""
    data = piece.encode() * (65536 // len(piece))
    texts = list(forms(data))
    assert len(texts) <= 5
    assert sum(map(len, texts)) <= 6 * len(data)
    ALL.fitting(texts)


@pytest.mark.parametrize("shape", [r"(a+)+$", r"(a|aa)+$", r"(.*a){20}$", r"^(\w+\s?)*$"])
def test_an_expression_of_ones_own_cannot_hang_the_gateway(shape):
    guard = build(XssGuard, body={"patterns": {"mine": f"x{shape}".replace("x^", "x")}})
    assert reason(sent(guard, body=b"x" + b"a" * 50_000 + b"!", content_type="text/plain")) is None


def test_only_what_linear_time_allows_is_an_expression():
    for wrong in (r"(a)\1", r"(?=a)b", r"(?<!a)b", "("):
        with pytest.raises(ConfigError, match=r"is no expression of RE2"):
            build(XssGuard, path={"patterns": {"mine": wrong}})
    with pytest.raises(ConfigError, match="fits nothing at all"):
        build(XssGuard, path={"patterns": {"mine": "a*"}})


# --- options ----------------------------------------------------------------------------------------------------------


def test_expressions_are_added_replaced_and_left_out():
    mine = build(XssGuard, query={"patterns": {"mine": "Bad+Word", "script-tag": "<never"}, "leave_out": ["frame-tag"]})
    assert reason(called(mine, query="q=xBADDDWORDx")) == "xss-suspected"
    assert reason(called(mine, query="q=<script>")) is None
    assert reason(called(mine, query="q=<never>")) == "xss-suspected"
    assert reason(called(mine, query="q=<iframe>")) is None
    assert reason(called(mine, query="q=<img onerror=1>")) == "xss-suspected"
    assert reason(called(mine, path="/<script>")) == "xss-suspected"
    alone = build(XssGuard, query={"defaults": False, "patterns": {"mine": "bad"}})
    assert [reason(called(alone, query=f"q={each}")) for each in ("<script>", "bad")] == [None, "xss-suspected"]


@pytest.mark.parametrize("place", ["path", "query", "headers", "body"])
def test_a_place_is_left_out(place):
    guard = build(XssGuard, **{place: {"look": False}})
    calls = {
        "path": called(guard, path="/<script>"),
        "query": called(guard, query="q=<script>&<script>=1"),
        "headers": called(guard, headers={"x-a": "<script>"}),
        "body": sent(guard, body=b"<script>"),
    }
    assert {name for name, each in calls.items() if reason(each) is None} == {place}
    assert ("request.body" in guard.reads) == (place != "body")


def test_names_are_left_out():
    guard = build(
        XssGuard, query={"skip": ["a b"]}, headers={"skip": ["X-Page"]}, body={"skip": ["page.html", "l.*.t"]}
    )
    assert reason(called(guard, query="a+b=<script>")) is None
    assert reason(called(guard, query="a+b=1&ab=<script>")) == "xss-suspected"
    assert reason(called(guard, headers={"x-page": "<script>"})) is None
    assert reason(answered(guard, **{"X-PAGE": "<script>"})) is None
    assert reason(called(guard, headers={"x-pages": "<script>"})) == "xss-suspected"
    for value, found in (
        ({"page": {"html": "<script>"}}, None),
        ({"page": {"html": {"deep": ["<script>"]}}}, None),
        ({"l": [{"t": "<script>"}]}, None),
        ({"page": {"text": "<script>"}}, "xss-suspected"),
        ({"html": "<script>"}, "xss-suspected"),
        ({"page": {"html": 1, "<script>": 2}}, "xss-suspected"),
        ([[[["<script>"]]]], "xss-suspected"),
    ):
        assert reason(sent(guard, body=json.dumps(value).encode())) == found
    twice = b'{"page": {"text": "<script>", "text": "x"}}'
    assert reason(sent(guard, body=twice)) == "xss-suspected"
    assert reason(sent(guard, body=b'{"page": {"html": "<script>"}')) == "xss-suspected"  # no JSON: looked at whole
    deep = b'{"a":' * 500 + b'"<script>"' + b"}" * 500
    assert reason(sent(guard, body=deep)) == "xss-suspected"


def test_a_field_of_a_form_is_left_out():
    guard, form = build(XssGuard, body={"skip": ["html"]}), "application/x-www-form-urlencoded"
    assert reason(sent(guard, body=b"html=%3Cscript%3E&b=1", content_type=form)) is None
    assert reason(sent(guard, body=b"htm=%3Cscript%3E", content_type=form)) == "xss-suspected"
    assert reason(sent(guard, body=b"%3Cscript%3E=html", content_type=form)) == "xss-suspected"


PACKED = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", PACKED)
def test_what_is_packed_is_looked_into(coding):
    pack = PACKED[coding]
    assert reason(sent(body=pack(b"<script>"), **{"content-encoding": coding})) == "xss-suspected"
    assert reason(answered(body=pack(b"<script>"), **{"content-encoding": coding})) == "xss-suspected"
    assert reason(sent(body=pack(b"text"), **{"content-encoding": coding})) is None
    bomb = pack(b" " * 10_000_000)
    assert reason(sent(body=bomb, **{"content-encoding": coding})) == "xss-unreadable"


UNREADABLE = {
    "br": (b"x", {"content-encoding": "br"}),
    "broken": (b"x", {"content-encoding": "gzip"}),
    "charset": (b"x", {"content-type": "text/plain; charset=utf-7"}),
    "ebcdic": (b"x", {"content-type": 'text/plain; charset="ibm037"'}),
    "long": (b"x" * 101, {}),
}


@pytest.mark.parametrize("why", UNREADABLE)
def test_what_cannot_be_looked_at_is_refused_or_passes_as_the_option_says(why):
    body, headers = UNREADABLE[why]
    strict = build(XssGuard, body={"max_size": 100})
    lenient = build(XssGuard, body={"max_size": 100}, unreadable="pass")
    refused = called(strict, method="POST", body=body, headers=headers)
    assert (refused.response.status, reason(refused)) == (400, "xss-unreadable")
    assert refused.trace.notes[-1].endswith("the flow ends here: xss-unreadable")
    assert len(refused.trace.notes) == 2
    answer = called(strict, upstream=Response(200, headers, body))
    assert (answer.response.status, reason(answer)) == (502, "xss-unreadable")
    assert reason(called(lenient, method="POST", body=body, headers=headers)) is None
    assert reason(called(lenient, upstream=Response(200, headers, body))) is None


def test_two_content_types_are_none_that_is_known():
    def twice(exchange):
        answer = Response(200, {"content-type": "text/html"}, b"<script>")
        answer.headers.add("content-type", JSON)
        return answer

    assert reason(called(upstream=twice)) == "xss-unreadable"


@pytest.mark.parametrize(
    "kind", ["text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "text/javascript", "text/css"]
)
def test_what_is_there_to_be_run_passes_unless_it_is_to_be_refused(kind):
    assert reason(answered(body=b"<script>", content_type=kind)) is None
    assert reason(answered(build(XssGuard, pages="refuse"), body=b"<script>", content_type=kind)) == "xss-suspected"
    assert reason(sent(body=b"<script>", content_type=kind)) == "xss-suspected"


def test_answers_without_a_body_and_those_to_faults_are_not_looked_into():
    def broken(exchange):
        raise BadGateway("The backend said <script>.", reason="told")

    assert (called(upstream=broken).response.status, reason(called(upstream=broken))) == (502, "told")
    head = called(method="HEAD", upstream=Response(200, {"content-encoding": "br"}, b""))
    assert reason(head) is None


def test_the_answer_and_the_trace_hold_nothing_of_what_was_sent():
    refused = called(query=f"q={quote('<script>secret-word')}")
    assert b"secret-word" not in refused.response.body.data
    assert "secret-word" not in "".join(refused.trace.notes)
    named = called(query=f"{quote('ab' + chr(27) + chr(10))}=<script>")
    assert "".join(named.trace.notes).isprintable()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": {"leave_out": ["script-tags"]}}, r"there is no 'script-tags'; there is script-tag, "),
        ({"path": {"defaults": False}}, r"no expression is left"),
        ({each: {"look": False} for each in ("path", "query", "headers", "body")}, r"nothing to do"),
        ({"headers": {"skip": ["a b"]}}, r"headers.skip"),
        ({"body": {"skip": ["a..b"]}}, r"is no member"),
        ({"body": {"max_size": 0}}, r"max_size"),
        ({"query": {"patterns": {"A b": "x"}}}, r"patterns"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(XssGuard, **options)
