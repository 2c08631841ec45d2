import gzip
import json
import logging

import pytest

from hookgate import Body, ConfigError, Exchange, Forbidden, Interceptor, MachineError, Options, Response, hookimpl
from hookgate.testing import TestHost, build, running, through, upstream
from hookgate_interceptor_message_log import MessageLog

SECRET = "hunter2"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def lines(caplog):
    """What was written, as objects; reading it checks that each is one line."""
    caplog.set_level(logging.INFO, "hookgate.messages")

    def read():
        written = [record.getMessage() for record in caplog.records if record.name == "hookgate.messages"]
        assert all(line.isprintable() for line in written)
        return [json.loads(line) for line in written]

    return read


class Reading(Interceptor[Options]):
    """Reads the body of the request, as a backend does."""

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        await exchange.request.body.read()


class Refusing(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        raise Forbidden("No.", reason="closed")


class Packs(Interceptor[Options]):
    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        exchange.response.headers.set("content-encoding", "gzip")
        exchange.response.body.map(gzip.compress)


class Replaces(Interceptor[Options]):
    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        exchange.response = Response(503)


async def chunks(*parts):
    for part in parts:
        yield part


def sent(lines, body, content_type=JSON, **options):
    """The line of a request with this body."""
    body = body if isinstance(body, bytes) else body.encode()
    through(build(MessageLog, **options), method="POST", body=body, headers={"content-type": content_type})
    return lines()[-2]


def test_a_line_is_written_for_each_message_with_head_and_body(lines):
    answer = Response(201, [("content-type", "text/plain"), ("x-a", "1"), ("x-a", "2")], "created")
    through(
        build(MessageLog),
        upstream=answer,
        method="POST",
        path="/a%20b",
        query="c=1",
        headers={"content-type": JSON},
        body=b'{"a": 1}',
        client="192.0.2.1",
        host="api.example.org",
        scheme="https",
    )

    request, response = lines()
    assert request.pop("call") == response.pop("call") != ""
    assert request.pop("time").endswith("Z")
    assert response.pop("time").endswith("Z")
    assert request == {
        "message": "request",
        "id": None,
        "route": None,
        "client": "192.0.2.1",
        "method": "POST",
        "scheme": "https",
        "host": "api.example.org",
        "path": "/a%20b",
        "query": "c=1",
        "headers": {"content-type": JSON, "host": "api.example.org"},
        "bytes": 8,
        "complete": True,
        "body": '{"a": 1}',
        "truncated": False,
    }
    assert response == {
        "message": "response",
        "id": None,
        "route": None,
        "status": 201,
        "reason": None,
        "headers": {"content-type": "text/plain", "x-a": "1, 2"},
        "bytes": 7,
        "complete": True,
        "body": "created",
        "truncated": False,
    }


def test_an_error_answer_is_written_with_its_reason(lines):
    through(build(MessageLog), build(Refusing))

    response = lines()[1]
    assert (response["status"], response["reason"]) == (403, "closed")
    assert json.loads(response["body"])["detail"] == "No."


def test_streams_are_copied_as_they_pass_up_to_the_limit(lines):
    answer = Response(200, {"content-type": "text/plain"}, Body(chunks(b"abc", b"def", b"ghi")))
    exchange = through(
        build(MessageLog, bytes=5),
        build(Reading),
        upstream=answer,
        headers={"content-type": "text/plain"},
        body=chunks(b"1234", b"5678"),
    )

    request, response = lines()
    assert (request["body"], request["bytes"], request["truncated"]) == ("12345", 8, True)
    assert (response["body"], response["bytes"], response["truncated"]) == ("abcde", 9, True)
    assert request["complete"] is response["complete"] is True
    assert exchange.response.body.data == b"abcdefghi"
    assert not exchange.response.body.changed


def test_a_stream_that_breaks_off_is_written_as_far_as_it_came(lines):
    async def breaks():
        yield b"abc"
        raise ConnectionError

    answer = Response(200, {"content-type": "text/plain"}, Body(breaks()))
    with pytest.raises(ConnectionError):
        through(build(MessageLog), upstream=answer)

    assert (lines()[1]["body"], lines()[1]["complete"]) == ("abc", False)


def test_a_body_that_nobody_reads_is_written_as_not_complete(lines):
    through(build(MessageLog), build(Refusing), body=chunks(b"abc"))

    response, request = lines()
    assert (request["message"], request["bytes"], request["complete"]) == ("request", 0, False)
    assert response["complete"] is True


def test_an_answer_that_a_step_further_left_replaces_unread_is_written_as_not_complete(lines):
    answer = Response(200, {"content-type": "text/plain"}, Body(chunks(b"abc")))
    through(response=(build(Replaces), build(MessageLog)), upstream=answer)

    assert [(line["status"], line["bytes"], line["complete"]) for line in lines()] == [(200, 0, False)]


def test_bodies_can_be_left_to_their_length(lines):
    request = sent(lines, '{"a": 1}', bytes=0)

    assert request["bytes"] == 8
    assert "body" not in request


def test_the_answer_to_head_has_no_body(lines):
    for answer in (Response(200, {"content-length": "1000"}), Response.text("not sent")):
        through(build(MessageLog), method="HEAD", upstream=answer)

        assert (lines()[-1]["bytes"], lines()[-1]["complete"]) == (0, True)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"\x89PNG", "image/png", "not text"),
        (b"abc", "", "not text"),
        (b"--x", "multipart/form-data; boundary=x", "not text"),
        (b"\xff\xfe", "text/plain", "not UTF-8"),
        ("é".encode("latin-1"), "text/plain", "not UTF-8"),
        ("password=x".encode("utf-16-le"), "text/plain", "not text"),
        (b"+AHAAYQBzAHMAdwBvAHIAZA-", "text/plain; charset=utf-7", "not text"),
    ],
)
def test_of_what_is_no_text_only_the_length_is_written(lines, body, content_type, reason):
    request = sent(lines, body, content_type)

    assert request["bytes"] == len(body)
    assert request["body_left_out"] == reason
    assert "body" not in request


def test_of_what_a_step_further_left_has_packed_only_the_length_is_written(lines):
    answer = Response(200, {"content-type": "text/plain"}, Body(chunks(b"abc")))
    through(build(Packs), build(MessageLog), upstream=answer)

    assert lines()[1]["body_left_out"] == "encoded (gzip)"


def test_text_that_was_cut_inside_a_character_is_shown_up_to_it(lines):
    assert sent(lines, "aé", "text/plain; charset=UTF-8", bytes=2)["body"] == "a"


def test_a_body_cannot_forge_lines_or_steer_a_terminal(lines):
    assert sent(lines, 'a\n{"message": "request"}\x1b[2J\x7f\u2028', "text/plain")["body"].startswith("a\n{")


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "COOKIE", "X-Api-Key", "X-Mine", "Token"])
def test_secret_headers_are_masked_on_requests(lines, caplog, name):
    through(build(MessageLog, mask=["x-mine"]), headers={name: f"Bearer {SECRET}"})

    assert lines()[0]["headers"][name.lower()] == "********"
    assert SECRET not in caplog.text


def test_secret_headers_are_masked_on_responses(lines, caplog):
    answer = Response(302, [("set-cookie", f"a={SECRET}"), ("location", f"/in#x=1&access_token={SECRET}")])
    through(build(MessageLog), upstream=answer)

    assert lines()[1]["headers"] == {"set-cookie": "********", "location": "********"}
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (f"a=1&token={SECRET}&b=%20", "a=1&token=********&b=%20"),
        (f"access%5Ftoken={SECRET}", "access%5Ftoken=********"),
        (f"user[password]={SECRET}", "user[password]=********"),
        (f"a=1;password={SECRET}", "a=********"),
        (f"next=/x%3Fclient_secret%3D{SECRET}", "next=********"),
        (f"password:{SECRET}", "********"),
        ("grant_type=refresh_token&tokens=3&token", "grant_type=refresh_token&tokens=3&token"),
    ],
)
def test_secret_fields_of_a_query_are_masked(lines, caplog, query, shown):
    through(build(MessageLog), query=query)

    assert lines()[0]["query"] == shown
    assert SECRET not in caplog.text


def test_a_path_with_a_secret_parameter_is_masked(lines, caplog):
    through(build(MessageLog), path=f"/a;token={SECRET}/b")

    assert lines()[0]["path"] == "********"
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"password": SECRET, "a": 1}, {"password": "********", "a": 1}),
        ({"a": [{"b": {"clientSecret": {"c": SECRET}}}]}, {"a": [{"b": {"clientSecret": "********"}}]}),
        ({"PASSWORD": [SECRET], "Access-Token": 5}, {"PASSWORD": "********", "Access-Token": "********"}),
        ({"login.password": SECRET}, {"login.password": "********"}),
        ({"log": f'{{"password": "{SECRET}"}}', "b": 2}, {"log": "********", "b": 2}),
        ({"url": f"https://a/?token={SECRET}"}, {"url": "********"}),
        ([f"password: {SECRET}", "token"], ["********", "token"]),
        ({"tokens": 3, "error": "invalid_token"}, {"tokens": 3, "error": "invalid_token"}),
        ({f"password={SECRET}": 1}, {"********": 1}),
        (f"token={SECRET}", "********"),
    ],
)
@pytest.mark.parametrize("content_type", [JSON, "application/problem+json; charset=utf-8", "text/plain", FORM])
def test_secret_fields_of_json_are_masked_at_any_depth(lines, caplog, body, shown, content_type):
    assert json.loads(sent(lines, json.dumps(body), content_type)["body"]) == shown
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        '{"pass\\u0077ord": "%s"}',
        '{"password": "%s", "password": "********"}',
        '\ufeff{"password": "%s"}',
    ],
)
def test_a_secret_field_is_found_however_it_is_written(lines, caplog, body):
    assert "********" in sent(lines, body % SECRET)["body"]
    assert SECRET not in caplog.text


@pytest.mark.parametrize("size", range(1, 88))
def test_json_that_is_cut_anywhere_is_shown_as_far_as_it_is_whole(lines, caplog, size):
    body = '{"a": "x, {[y\\"", "password": "hunter2", "b": [1, {"token": ["hunter2"], "c": true}], "d": 2}'
    line = sent(lines, body, bytes=size)

    assert line["truncated"]
    assert isinstance(json.loads(line["body"]), dict)
    assert not any(SECRET[:length] in line["body"] for length in range(3, 8))


def test_cut_json_keeps_the_fields_before_the_cut(lines):
    body = '{"a": "x, {[y\\"", "password": "hunter2", "b": [1, {"token": ["hunter2"], "c": true}], "d": 2}'

    assert json.loads(sent(lines, body, bytes=82)["body"]) == {
        "a": 'x, {[y"',
        "password": "********",
        "b": [1, {"token": "********"}],
    }


def test_secret_fields_of_a_form_are_masked_and_the_rest_is_shown(lines, caplog):
    body = f"grant_type=refresh_token&client_secret={SECRET}&refresh_token={SECRET}&scope=a+b"

    assert sent(lines, body, FORM)["body"] == (
        "grant_type=refresh_token&client_secret=********&refresh_token=********&scope=a+b"
    )
    assert sent(lines, body, FORM, bytes=44)["body"] == "grant_type=refresh_token&client_secret=********"
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"a": 1, "password": "%s"', JSON),
        ("{'password': '%s'}", JSON),
        ('{"a": bad"quote, "password": "%s"}', JSON),
        ('{"a": 1}\n{"password": "%s"}', "application/x-ndjson"),
        ("[" * 5000 + '{"password": "%s"}' + "]" * 5000, JSON),
        ("[" * 150 + '{"password": "%s"}' + "]" * 150, JSON),
        ("<password>%s</password>", "application/xml"),
        ("<input name=Password value=%s>", "text/html"),
        ("password %s", "text/plain"),
        ("pass\\u0077ord %s", "text/plain"),
    ],
)
def test_text_that_speaks_of_secrets_and_cannot_be_taken_apart_is_left_out(lines, caplog, body, content_type):
    line = sent(lines, body % SECRET, content_type, bytes=20_000)

    assert "body" not in line
    assert "speaks of masked fields" in line["body_left_out"]
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("body", "content_type"), [("{oops", JSON), ("<a>b</a>", "application/xml"), ('{"a": 1}\n{"b": 2}', JSON)]
)
def test_text_that_does_not_speak_of_secrets_is_shown_as_it_is(lines, body, content_type):
    assert sent(lines, body, content_type)["body"] == body


def test_other_fields_can_be_masked(lines):
    line = sent(lines, '{"card": 1, "password": 2}', mask_fields=["CARD"])

    assert json.loads(line["body"]) == {"card": "********", "password": 2}
    assert json.loads(sent(lines, '{"password": 2}', mask_fields=[])["body"]) == {"password": 2}


def test_a_sample_holds_both_messages_of_a_call_or_none(lines, monkeypatch):
    step = build(MessageLog, sample=0.25)
    for chance in (0.2, 0.25, 0.9, 0.0):
        monkeypatch.setattr("random.random", lambda chance=chance: chance)
        through(step, path=f"/{chance}")

    assert [line.get("path") for line in lines()] == ["/0.2", None, "/0.0", None]
    through(build(MessageLog, sample=0))
    assert len(lines()) == 4


def test_without_anybody_listening_nothing_is_copied(caplog):
    caplog.set_level(logging.WARNING, "hookgate.messages")
    exchange = through(build(MessageLog))

    assert set(exchange.variables.values()) == {""}


def test_two_steps_write_each_for_itself(lines):
    through(build(MessageLog), build(MessageLog))

    assert len({line["call"] for line in lines()}) == 2
    assert len(lines()) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bytes": -1}, "bytes: .*greater than or equal to 0"),
        ({"sample": 1.1}, "sample: .*less than or equal to 1"),
        ({"mask": ["X A"]}, r"mask\[0\]: .*not a header name"),
        ({"mask_fields": ["--"]}, "mask_fields: a name has letters or digits"),
        ({"file": "x"}, "file: "),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(MessageLog, **options)


async def test_a_file_is_appended_to_and_a_new_one_is_for_its_owner_only(tmp_path):
    path = tmp_path / "messages.log"
    for count in (2, 4):
        step = build(MessageLog, output=str(path))
        step.startup(TestHost())
        exchange = Exchange(through().request)
        exchange.response = Response.text("ok")
        step.on_request(exchange)
        step.on_response(exchange)
        step.on_done(exchange)
        await step.shutdown()

        assert [json.loads(line)["message"] for line in path.read_text().splitlines()] == ["request", "response"] * (
            count // 2
        )
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_opened_is_told_at_the_start(tmp_path):
    step = build(MessageLog, output=str(tmp_path / "none" / "messages.log"))

    with pytest.raises(MachineError, match=r"cannot be written to .*messages\.log: No such file or directory"):
        step.startup(TestHost())


def gateway(backend, side="flow", **options):
    return {
        "routes": [{"name": "all", side: [{"message-log": options}], "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url}},
    }


def test_a_gateway_writes_what_went_through_and_passes_it_on_unchanged(tmp_path):
    path = tmp_path / "messages.log"
    with upstream() as backend:
        fields = {"content-type": JSON, "etag": '"a"', "transfer-encoding": "chunked"}
        backend.answer = lambda request: (200, fields, [b'{"token": "hunter2"', b', "a": 1}'])
        with running(gateway(backend, output=str(path))) as gate:
            answer = gate.request("POST", "/login", json={"password": SECRET}, headers={"authorization": SECRET})
            assert answer.json() == {"token": SECRET, "a": 1}
            assert answer.headers["etag"] == '"a"'
            assert json.loads(backend.bodies[0]) == {"password": SECRET}

    text = path.read_text()
    request, response = map(json.loads, text.splitlines())
    assert SECRET not in text
    assert (request["route"], request["path"], request["body"]) == ("all", "/login", '{"password": "********"}')
    assert response["body"] == '{"token": "********", "a": 1}'
    assert request["call"] == response["call"]


@pytest.mark.parametrize("side", ["request", "response"])
def test_placed_on_one_side_it_writes_the_messages_of_that_side(tmp_path, side):
    path = tmp_path / "messages.log"
    with upstream() as backend, running(gateway(backend, side, output=str(path))) as gate:
        assert gate.request("GET", "/").text == "ok"
        assert gate.request("HEAD", "/").status_code == 200
        gate.wait_for_exchanges(2)

    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["message"], line["complete"]) for line in written] == [(side, True)] * 2


class Hides(Interceptor[Options]):
    """Asks that some places are not shown."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.hide("request.headers.X-Card", "request.query.pin", "request.body.card.*.no", "request.body.LIST.1")
        exchange.hide("response.headers.x-id", "response.body")


def test_what_a_step_hides_is_not_written(lines):
    body = b'{"card": {"a": {"no": 1, "of": "Ann"}}, "list": [2, 3]}'
    sent = {"content-type": JSON, "x-card": "4", "x-a": "b"}
    answer = Response(200, {"content-type": "text/plain", "x-id": "9"}, "secret")
    through(
        build(Hides), build(MessageLog), method="POST", headers=sent, body=body, query="p%69n=5&a=b", upstream=answer
    )
    request, response = lines()

    assert json.loads(request["body"]) == {"card": {"a": {"no": "********", "of": "Ann"}}, "list": [2, "********"]}
    assert (request["headers"]["x-card"], request["headers"]["x-a"]) == ("********", "b")
    assert request["query"] == "p%69n=********&a=b"
    assert (response["headers"]["x-id"], response["body_left_out"]) == ("********", "hidden by a step")


@pytest.mark.parametrize(("body", "size"), [(b"{broken", 4096), (b'{"card": {"a": {"no": 1}}}', 10), (b"plain", 4096)])
def test_where_hidden_members_are_is_not_guessed(body, size, lines):
    through(build(Hides), build(MessageLog, bytes=size), method="POST", headers={"content-type": JSON}, body=body)

    assert "body" not in lines()[0]
    assert "what a step hides" in lines()[0]["body_left_out"]
