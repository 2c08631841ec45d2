import pytest

from hookgate import ConfigError, Exchange, Interceptor, Options, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_respond import Respond


class Stamping(Interceptor[Options]):
    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        exchange.response.headers.add("x-seen", "1")
        exchange.response.body.set(b"changed")


def unreachable(exchange):
    raise AssertionError("the backend was called")


def test_text_is_answered_as_plain_text_in_utf_8():
    answer = through(build(Respond, body="Grüße"), upstream=unreachable).response

    assert answer.status == 200
    assert answer.body.data == "Grüße".encode()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("value", "body"), [({"up": True}, b'{"up": true}'), ([], b"[]"), (0, b"0"), ("é", '"é"'.encode())]
)
def test_a_value_is_answered_as_json(value, body):
    answer = through(build(Respond, json=value), upstream=unreachable).response

    assert answer.body.data == body
    assert answer.headers["content-type"] == "application/json"


def test_status_headers_and_type_are_as_written():
    step = build(Respond, status=503, headers={"Retry-After": "60"}, body="<p>Closed</p>", content_type="text/html")
    answer = through(step, upstream=unreachable).response

    assert answer.status == 503
    assert list(answer.headers.items()) == [("retry-after", "60"), ("content-type", "text/html")]


def test_an_answer_without_body_has_no_type():
    answer = through(build(Respond, status=308, headers={"Location": "/new"}), upstream=unreachable).response

    assert (answer.status, answer.body.data) == (308, b"")
    assert "content-type" not in answer.headers


def test_each_call_gets_an_answer_of_its_own():
    step = build(Respond, body="same")
    through(build(Stamping), step)
    second = through(step).response

    assert second.body.data == b"same"
    assert "x-seen" not in second.headers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"status": 199}, "status: "),
        ({"status": 600}, "status: "),
        ({"status": 204, "body": ""}, "status 204 has no body"),
        ({"status": 205, "json": {}}, "status 205 has no body"),
        ({"status": 304, "json": {}}, "status 304 has no body"),
        ({"body": "a", "json": 1}, "keep one of them"),
        ({"content_type": "text/html"}, "there is none"),
        ({"body": "a", "content_type": "text/html\r\nX: y"}, "content_type: .*control character"),
        ({"headers": {"X A": "1"}}, "headers: .*not a header name"),
        ({"headers": {"X-A": "1\n"}}, "headers: .*control character"),
        ({"headers": {"Content-Length": "1"}}, "leave out Content-Length: it is written by the gateway"),
        ({"headers": {"Proxy-Connection": "close"}}, "leave out Proxy-Connection: it is written by the gateway"),
        ({"headers": {"Content-Type": "text/html"}}, "as content_type"),
        ({"json_value": 1}, "json_value"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Respond, **options)


def test_a_gateway_answers_without_calling_the_backend():
    with upstream() as backend:
        document = {
            "routes": [
                {
                    "name": "closed",
                    "match": {"path": "/{rest...}"},
                    "flow": [{"respond": {"status": 410, "json": {"gone": True}}}],
                    "to": {"connection": "backend"},
                },
            ],
            "connections": {"backend": {"targets": [{"url": backend.url}]}},
        }
        with running(document) as gate:
            answer = gate.request("POST", "/orders", content=b"x")
            head = gate.request("HEAD", "/orders")

    assert (answer.status_code, answer.json()) == (410, {"gone": True})
    assert (head.status_code, head.content, head.headers["content-length"]) == (410, b"", str(len(answer.content)))
    assert backend.requests == []
