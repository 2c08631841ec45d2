import os
import re
import time

import pytest

from hookgate import ConfigError, Exchange, Forbidden, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_request_id import RequestId

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Refusing(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        raise Forbidden("No.")


def test_backend_client_and_exchange_see_the_same_new_id():
    exchange = through(build(RequestId))

    assert UUID7.fullmatch(exchange.id)
    assert exchange.request.headers.getall("x-request-id") == [exchange.id]
    assert exchange.response.headers.getall("x-request-id") == [exchange.id]


@pytest.mark.parametrize(("shape", "pattern"), [("uuid7", UUID7), ("uuid4", UUID4)])
def test_a_new_id_has_the_chosen_shape_and_is_new_each_time(shape, pattern):
    step = build(RequestId, format=shape)
    ids = {through(step).id for _ in range(600)}  # more than chance is taken from the system at a time

    assert len(ids) == 600
    assert all(map(pattern.fullmatch, ids))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_forked_process_does_not_make_the_ids_of_its_parent():
    step = build(RequestId, format="uuid4")
    through(step)  # now there is chance in store
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, step._new().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)

    assert UUID4.fullmatch(theirs)
    assert theirs not in {step._new() for _ in range(300)}


def test_a_uuid7_begins_with_the_time():
    before = time.time_ns() // 1_000_000
    made = through(build(RequestId)).id
    after = time.time_ns() // 1_000_000

    assert before <= int(made.replace("-", "")[:12], 16) <= after


@pytest.mark.parametrize("received", ["a", "01HV-x_y~z:/+=.", "x" * 200])
def test_a_well_formed_id_of_the_client_is_taken_over(received):
    exchange = through(build(RequestId), headers={"x-request-id": received})

    assert exchange.id == received
    assert exchange.response.headers["x-request-id"] == received


@pytest.mark.parametrize("received", ["", "x" * 201, "two words", "a,b", 'quote"', "<b>", "é", "a;b", "{x}"])
def test_an_id_that_is_not_safe_is_replaced(received):
    exchange = through(build(RequestId), headers={"x-request-id": received})

    assert UUID7.fullmatch(exchange.id)
    assert exchange.request.headers.getall("x-request-id") == [exchange.id]


def test_two_ids_of_the_client_are_replaced_by_one():
    exchange = through(build(RequestId), headers=[("x-request-id", "a"), ("x-request-id", "b")])

    assert UUID7.fullmatch(exchange.id)
    assert exchange.request.headers.getall("x-request-id") == [exchange.id]


def test_an_untrusted_client_gets_a_new_id():
    exchange = through(build(RequestId, trust="never"), headers={"x-request-id": "mine"})

    assert UUID7.fullmatch(exchange.id)
    assert exchange.request.headers["x-request-id"] == exchange.id


def test_the_id_of_the_backend_is_replaced():
    exchange = through(build(RequestId), upstream=Response(200, {"X-Request-ID": "theirs"}))

    assert exchange.response.headers.getall("x-request-id") == [exchange.id]


def test_an_error_answer_shows_the_id():
    exchange = through(build(RequestId), build(Refusing))

    assert exchange.response.status == 403
    assert exchange.response.headers["x-request-id"] == exchange.id


def test_the_answer_is_left_alone_when_told_so():
    exchange = through(build(RequestId, respond=False))

    assert "x-request-id" in exchange.request.headers
    assert "x-request-id" not in exchange.response.headers


def test_a_second_step_shows_the_same_id_under_its_own_header():
    exchange = through(build(RequestId), build(RequestId, header="X-Correlation-Id", trust="never"))

    assert exchange.request.headers["x-correlation-id"] == exchange.request.headers["x-request-id"] == exchange.id
    assert exchange.response.headers["x-correlation-id"] == exchange.response.headers["x-request-id"] == exchange.id


@pytest.mark.parametrize(
    "options", [{"header": "X Request"}, {"header": ""}, {"trust": "sometimes"}, {"format": "ulid"}]
)
def test_wrong_options_are_refused_at_load(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        build(RequestId, **options)


def test_every_answer_of_a_gateway_shows_the_id_that_the_backend_saw():
    with upstream() as backend:
        document = {
            "gateway": {"flow": ["request-id"]},
            "routes": [{"name": "all", "match": {"path": "/here"}, "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": [{"url": backend.url}]}},
        }
        with running(document) as gate:
            found = gate.request("GET", "/here")
            missing = gate.request("GET", "/elsewhere", headers={"x-request-id": "call-7"})

    assert UUID7.fullmatch(found.headers["x-request-id"])
    assert backend.requests[0].all("x-request-id") == [found.headers["x-request-id"]]
    assert (missing.status_code, missing.headers["x-request-id"]) == (404, "call-7")
