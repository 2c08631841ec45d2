import httpx
import pytest

from hookgate import Body, ConfigError, Exchange, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_body_limit import BodyLimit


class Reading(Interceptor[Options]):
    """Reads the body of the request, as a backend does."""

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        await exchange.request.body.read()


class ReadingAnswers(Interceptor[Options]):
    @hookimpl
    async def on_response(self, exchange: Exchange) -> None:
        await exchange.response.body.read()


async def chunks(*parts):
    for part in parts:
        yield part


def streaming(*parts, length=None, limit=None):
    return lambda exchange: Response(200, body=Body(chunks(*parts), length=length, limit=limit))


@pytest.mark.parametrize(("body", "status"), [(b"", 200), (b"12345", 200), (b"123456", 413)])
def test_a_request_of_known_length_is_judged_before_the_backend_is_called(body, status):
    called = []

    def backend(exchange):
        called.append(exchange)
        return Response(200)

    exchange = through(build(BodyLimit, request=5), method="POST", body=body, upstream=backend)

    assert exchange.response.status == status
    assert len(called) == (status == 200)


def test_the_answer_says_how_much_is_accepted():
    exchange = through(build(BodyLimit, request=5), method="POST", body=b"123456")

    assert exchange.fault.reason == "content-too-large"
    assert b"6 bytes long; here at most 5 bytes" in exchange.response.body.data


@pytest.mark.parametrize(("parts", "status"), [((b"123", b"45"), 200), ((b"123", b"456"), 413)])
def test_a_request_of_unknown_length_is_counted(parts, status):
    exchange = through(build(BodyLimit, request=5), Reading(Options()), method="POST", body=chunks(*parts))

    assert exchange.response.status == status


@pytest.mark.parametrize("order", [(3, 5), (5, 3)])
def test_of_several_limits_the_lowest_counts(order):
    steps = [build(BodyLimit, request=limit, response=limit) for limit in order]

    assert through(*steps, Reading(Options()), body=chunks(b"12", b"34")).response.status == 413
    assert through(ReadingAnswers(Options()), *steps, upstream=streaming(b"12", b"34")).response.status == 502


def test_a_limit_that_is_already_lower_is_not_raised():
    exchange = through(
        ReadingAnswers(Options()), build(BodyLimit, response=5), upstream=streaming(b"12", b"34", limit=3)
    )

    assert exchange.response.status == 502
    assert b"longer than 3 bytes" in exchange.response.body.data


@pytest.mark.parametrize(("length", "status"), [(5, 200), (6, 502)])
def test_a_response_of_known_length_is_judged_before_it_is_read(length, status):
    answer = streaming(*[b"x"] * length, length=length)
    exchange = through(build(BodyLimit, response=5), upstream=answer)

    assert exchange.response.status == status
    assert status == 200 or b"6 bytes long; here at most 5 bytes are passed on" in exchange.response.body.data


@pytest.mark.parametrize(("parts", "status"), [((b"123", b"45"), 200), ((b"123", b"456"), 502)])
def test_a_response_of_unknown_length_is_counted(parts, status):
    exchange = through(ReadingAnswers(Options()), build(BodyLimit, response=5), upstream=streaming(*parts))

    assert exchange.response.status == status
    assert status == 200 or exchange.fault.reason == "response-too-large"


def test_an_answer_of_another_step_is_judged_too():
    assert through(build(BodyLimit, response=1)).response.status == 502


def test_the_answer_to_a_fault_is_not_replaced_by_another_one():
    exchange = through(build(BodyLimit, response=1), build(BodyLimit, request=1), method="POST", body=b"12")

    assert exchange.response.status == 413


def test_the_length_in_the_head_of_an_answer_to_head_is_not_that_of_a_body():
    answer = Response(200, {"content-length": "1000"})

    assert through(build(BodyLimit, response=5), method="HEAD", upstream=answer).response.status == 200


def test_each_side_is_limited_on_its_own():
    assert through(build(BodyLimit, response=2), method="POST", body=b"123456").response.status == 200
    assert through(build(BodyLimit, request=0), upstream=Response.text("123456")).response.status == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to do; write request or response"),
        ({"request": -1}, "request: .*greater than or equal to 0"),
        ({"response": "1MB"}, "response: "),
        ({"limit": 1}, "limit: "),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(BodyLimit, **options)


def gateway(backend, **options):
    return {
        "routes": [{"name": "all", "flow": [{"body-limit": options}], "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url}},
    }


def test_a_gateway_refuses_uploads_with_and_without_a_length():
    with upstream() as backend, running(gateway(backend, request=5)) as gate:
        known = gate.request("POST", "/", content=b"123456")
        counted = gate.request("POST", "/", content=iter([b"123", b"456"]))
        assert (known.status_code, counted.status_code) == (413, 413)
        assert backend.requests == []
        assert gate.request("POST", "/", content=iter([b"123", b"45"])).status_code == 200
        assert backend.bodies == [b"12345"]


def test_a_gateway_refuses_a_long_answer_and_breaks_off_one_whose_head_is_out():
    with upstream() as backend, running(gateway(backend, response=5)) as gate:
        backend.answer = lambda request: (200, {}, b"123456")
        assert gate.request("GET", "/").status_code == 502
        backend.answer = lambda request: (200, {"transfer-encoding": "chunked"}, [b"123", b"456"])
        with pytest.raises(httpx.RemoteProtocolError):
            gate.request("GET", "/")
        backend.answer = lambda request: (200, {"transfer-encoding": "chunked"}, [b"123", b"45"])
        assert gate.request("GET", "/").content == b"12345"
