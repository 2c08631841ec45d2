"""What steps that call others have in common: URLs with expressions, what is asked, and what becomes of the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate import BadGateway, BadRequest, Body, Exchange, ExpressionError, Headers, Request, Response
from hookgate.workshop import CallOptions, UrlTemplate


def exchange(query="", params=None, **request):
    made = Exchange(Request(request.pop("method", "GET"), "/x", query, **request))
    made.params.update(params or {})
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a", "/a"),
        ("/{request.query.a}", "/b%2Fc"),
        ("/{request.params.id}", "/1%2F2"),
        ("/{request.params['id']}/x", "/1%2F2/x"),
        ("/{request.params.id + ''}", "/1%252F2"),
        ("/?a={request.query.a}&b={1 + 1}", "/?a=b%2Fc&b=2"),
        ("/?a={request.query.none || ''}", "/?a="),
        ("/{#{'a': '}'}['a']}", "/%7D"),
        ("/{{a}}", "/%7Ba%7D"),
        ("/{1 == 1}", "/true"),
        ("https://a.example:8443/x", "https://a.example:8443/x"),
        ("/{'\\''}", "/%27"),
    ],
)
def test_values_are_put_in_percent_encoded(text, expected):
    assert UrlTemplate(text)(exchange("a=b%2Fc", {"id": "1%2F2"})) == expected


@given(st.text(st.characters(exclude_categories=[]), max_size=20))
def test_no_value_adds_a_segment_a_parameter_or_a_host(value):
    call = exchange()
    call.variables["v"] = value
    try:
        url = UrlTemplate("https://a.example/x/{vars.v}/y?z={vars.v}")(call)
    except BadRequest:
        assert value in ("", ".", "..")
        return
    path, _, query = url.partition("?")
    assert path.startswith("https://a.example/x/")
    assert path.count("/") == 5
    assert query.startswith("z=")
    assert not set(query[2:]) & set("&=#?/ ")
    assert url.isascii()


@pytest.mark.parametrize("text", ["/{a", "/a}", "/{}", "/ü", "/a b", "/a#b", "/%zz", "/{request.}", "/\n"])
def test_a_wrong_url_is_refused(text):
    with pytest.raises((ValueError, ExpressionError)):
        UrlTemplate(text)


def test_what_makes_no_text_and_what_is_not_there_are_refused():
    with pytest.raises(ExpressionError, match="where a text is needed"):
        UrlTemplate("/{ {1, 2} }")(exchange())
    with pytest.raises(BadRequest) as caught:
        UrlTemplate("/?a={vars.none}")(exchange())
    assert caught.value.reason == "value-missing"


def test_headers_of_the_call_go_along_without_secrets_and_framing():
    fields = [("X-A", "1"), ("x-a", "2"), ("Cookie", "a=b"), ("Authorization", "x"), ("Connection", "x-hop")]
    fields += [("X-Hop", "1")]
    fields += [("Host", "h"), ("Content-Length", "3"), ("Accept-Encoding", "gzip"), ("Content-Type", "text/x")]
    call = exchange(headers=Headers(fields), body=Body(b"abc"))
    options = CallOptions.model_validate({"preserve_headers": True})

    assert dict(options.asked(call, "/").headers) == {"x-a": "1, 2"}
    named = CallOptions.model_validate({"preserve_headers": ["Cookie", "X-Hop", "x-a"]})
    assert dict(named.asked(call, "/").headers) == {"x-a": "1, 2", "cookie": "a=b"}
    whole = CallOptions.model_validate({"preserve_body": True, "method": "*"}).asked(call, "/")
    assert (whole.method, whole.body, dict(whole.headers)) == ("GET", b"abc", {"content-type": "text/x"})


def test_a_header_that_cannot_be_sent_is_refused():
    call = exchange("a=%0d%0aX:1")
    with pytest.raises(BadRequest) as caught:
        CallOptions.model_validate({"headers": {"X-A": "request.query.a"}}).asked(call, "/")
    assert caught.value.reason == "header-value"


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("application/json", b'{"a": [1, null]}', {"a": [1, None]}),
        ("application/problem+json; charset=utf-8", b"1", 1),
        ("text/plain", "é".encode(), "é"),
        ("", b"x", "x"),
        ("image/png", b"\xff", None),
        ("application/json", b"", None),
    ],
)
def test_an_answer_becomes_plain_values(kind, data, expected):
    response = Response(200, {"Content-Type": kind, "X-A": "b"}, data)
    found = CallOptions().result(response)

    assert found == {"status": 200, "headers": {"content-type": kind, "x-a": "b"}, "body": expected}


@pytest.mark.parametrize(
    ("status", "kind", "data", "reason"),
    [
        (404, "", b"", "unexpected-status"),
        (200, "application/json", b"{", "callout-not-json"),
        (200, "application/json", b"-Infinity", "callout-not-json"),
        (200, "application/json", b"[" * 100_000, "callout-not-json"),
        (200, "", b"x" * 11, "callout-too-large"),
    ],
)
def test_an_answer_that_cannot_be_used(status, kind, data, reason):
    options = CallOptions(limit=10 if "large" in reason else 1_000_000)
    with pytest.raises(BadGateway) as caught:
        options.result(Response(status, {"content-type": kind}, data))
    assert caught.value.reason == reason
