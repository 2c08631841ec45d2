import pytest

from hookgate import BadGateway, Body, ConfigError, ConnectFailed, GatewayTimeout, Response, Target
from hookgate.testing import build, running, upstream
from hookgate_monitor_http import DRAIN, Http

TARGET = Target("http", "backend", 8080)


async def probe(response, **options):
    """Check once against a backend that answers so; return what was found and what was sent."""
    sent = []

    async def send(outbound):
        sent.append(outbound)
        if isinstance(response, Exception):
            raise response
        return response

    health = await build(Http, **options).probe(TARGET, send)
    (outbound,) = sent
    return health, outbound


@pytest.mark.parametrize(
    ("expect", "well", "ill"),
    [
        (200, [200], [199, 201, 204, 302, 500]),
        (204, [204], [200]),
        ("200-299", [200, 250, 299], [199, 300]),
        ([200, "301-303", 404], [200, 301, 302, 303, 404], [201, 300, 304, 403]),
        ("418", [418], [200]),
    ],
)
async def test_exactly_the_expected_codes_are_well(expect, well, ill):
    for status in well:
        assert (await probe(Response(status), expect=expect))[0].healthy
    for status in ill:
        health, _ = await probe(Response(status), expect=expect)
        assert not health.healthy
        assert health.reason.startswith(f"answered {status}, expected ")


async def test_anything_below_400_is_expected_unless_told_otherwise():
    for status in (200, 204, 302, 399):
        assert (await probe(Response(status)))[0].healthy
    for status in (400, 404, 500, 503):
        assert not (await probe(Response(status)))[0].healthy


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ConnectFailed("x", reason="connect-refused"), "connect-refused"),
        (GatewayTimeout("x"), "upstream-timeout"),
        (BadGateway("x"), "bad-gateway"),
    ],
)
async def test_a_fault_of_the_transport_is_a_failed_check_with_its_reason(fault, reason):
    health, _ = await probe(fault)

    assert (health.healthy, health.reason) == (False, reason)


async def test_the_request_is_what_the_options_say():
    _, outbound = await probe(
        Response(200),
        path="/health/a%2Fb?deep=1",
        method="HEAD",
        headers={"X-Probe": "1", "User-Agent": "own"},
        host="crm.example.org",
        timeout=3,
    )

    assert (outbound.method, outbound.path, outbound.query) == ("HEAD", "/health/a%2Fb", "deep=1")
    assert outbound.target is TARGET
    assert dict(outbound.headers.items()) == {"host": "crm.example.org", "x-probe": "1", "user-agent": "own"}
    assert (outbound.timeouts.connect, outbound.timeouts.read) == (3, 3)


async def test_by_default_the_target_is_asked_for_its_root():
    _, outbound = await probe(Response(200))

    assert (outbound.method, outbound.path, outbound.query) == ("GET", "/", "")
    assert outbound.headers["host"] == "backend:8080"


@pytest.mark.parametrize("size", [10, 10 * DRAIN])
async def test_a_short_answer_is_read_to_its_end_and_a_long_one_let_go_of(size):
    sent = 0
    closed = []

    async def content():
        nonlocal sent
        while sent < size:
            sent += min(size, 8192)
            yield bytes(min(size, 8192))

    body = Body(content())
    body.on_close(closed.append)

    assert (await probe(Response(200, body=body)))[0].healthy
    assert len(closed) == 1
    assert sent == size if size < DRAIN else sent <= DRAIN + 8192


async def test_an_answer_that_breaks_off_is_a_failed_check():
    async def content():
        yield b"half"
        raise BadGateway("The connection to the backend broke.")

    assert not (await probe(Response(200, body=Body(content()))))[0].healthy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "health"}, "path: "),
        ({"path": "/a b"}, "path: "),
        ({"method": "POST"}, "method: "),
        ({"expect": 600}, "expect: .*600 is no status code"),
        ({"expect": "299-200"}, "expect: .*'299-200' is no status code"),
        ({"expect": [200, "20x"]}, "expect: .*'20x' is no status code"),
        ({"expect": []}, "expect: .*at least one"),
        ({"expect": True}, "expect: .*(?i:true) is no status code"),
        ({"headers": {"X A": "1"}}, "headers: .*not a header name"),
        ({"headers": {"X-A": "1\n"}}, "headers: .*control character"),
        ({"host": "a b"}, "host: "),
        ({"interval": 10, "at_most": 5}, "at_most"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Http, **options)


@pytest.mark.row("AC-12")
def test_a_gateway_takes_a_target_with_another_code_out_of_the_rotation():
    """204 is expected; one backend answers 200 to everything."""

    def answer(request):
        return (204 if request.path == "/health" else 200), {}, b""

    with upstream(answer) as well, upstream() as ill:
        monitor = {"http": {"path": "/health", "expect": 204, "interval": 0.02, "at_most": 0.02, "unhealthy_after": 1}}
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": [{"url": ill.url}, {"url": well.url}], "monitor": monitor}},
        }
        with running(document) as gate:
            ill.wait_for(lambda backend: len(backend.requests) >= 2)  # by the second check the first is judged
            well.wait_for(lambda backend: len(backend.requests) >= 2)
            for _ in range(4):
                assert gate.request("GET", "/call").status_code == 200
            targets = gate.gateway.status()["connections"]["crm"]

        assert [target["health"] for target in targets] == ["unhealthy", "healthy"]
        assert targets[0]["reason"] == "answered 200, expected 204"
        assert [request.path for request in ill.requests if request.path != "/health"] == []
