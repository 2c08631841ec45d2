import asyncio
import threading

import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, upstream
from hookgate_interceptor_callout import Callout

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def document(backend, flow, lane=True, shown="'none'", **connections):
    described = {
        "gateway": {"lane": lane},
        "routes": [{"name": "all", "to": {"connection": "crm"}, **flow}],
        "connections": {
            "crm": {
                "targets": backend.url,
                "headers": [{"set": "X-Heard", "from": {"expression": {"value": shown}}}],
            },
        },
    }
    described["connections"] |= {name: {"targets": each.url, "base_path": "/api"} for name, each in connections.items()}
    return described


def callout(**options):
    return {"callout": options}


def rates(request):
    return 200, {"content-type": "application/json; charset=utf-8"}, '{"rate": 2}'


@BOTH
@pytest.mark.row("FL-54")
def test_an_absolute_url_is_called_and_the_answer_is_in_a_variable(lane):
    with upstream() as backend, upstream(rates) as other:
        step = callout(
            name="rates",
            url=f"{other.url}/rates/{{request.query.c}}",
            method="POST",
            headers={"X-Key": "'k' + '1'"},
            body="#{'of': request.path}",
        )
        shown = "str(#rates.status) + ' ' + str(#rates.body.rate)"
        with running(document(backend, {"flow": [step]}, lane, shown)) as gate:
            answer = gate.request("GET", "/x?c=..%2F@evil")
            (exchange,) = gate.wait_for_exchanges(1)

    assert answer.status_code == 200
    (seen,) = other.requests  # one for each call, though the step stands on both ways
    assert (seen.method, seen.path, seen.body) == ("POST", "/rates/..%2F%40evil", b'{"of": "/x"}')
    assert (seen.header("x-key"), seen.header("content-type")) == ("k1", "application/json")
    assert backend.requests[0].header("x-heard") == "200 2"
    assert [(each.method, each.status) for each in exchange.callouts] == [("POST", 200)]


@BOTH
@pytest.mark.row("FL-54")
def test_query_headers_and_body_of_the_call_go_along_without_what_frames_them(lane):
    with upstream() as backend, upstream(rates) as other:
        step = callout(
            name="rates",
            connection="other",
            url="/seen?a=1",
            method="*",
            preserve_query=True,
            preserve_headers=True,
            preserve_body=True,
        )
        with running(document(backend, {"request": [step]}, lane, other=other)) as gate:
            sent = {"x-a": "b", "te": "trailers", "connection": "x-hop", "x-hop": "1", "authorization": "Basic YTpi"}
            answer = gate.request("PUT", "/x?b=2", headers=sent, content=iter([b"bo", b"dy"]))

    assert answer.status_code == 200
    (seen,), (usual,) = other.requests, backend.requests
    assert (seen.method, seen.path, seen.query, seen.body) == ("PUT", "/api/seen", "a=1&b=2", b"body")
    assert (seen.header("host"), seen.header("content-length")) == (f"127.0.0.1:{other.port}", "4")
    assert {name for name, _ in seen.headers} & {"transfer-encoding", "te", "x-hop", "authorization"} == set()
    assert seen.header("x-a") == "b"
    assert (usual.body, usual.header("x-a")) == (b"body", "b")


@BOTH
@pytest.mark.row("FL-54")
def test_on_the_way_out_the_answer_can_be_sent_along(lane):
    with upstream(lambda request: (201, {"x-a": "b", "content-type": "text/x-own"}, "answer")) as backend:
        with upstream(rates) as other:
            step = callout(
                name="audit",
                connection="other",
                url="/audit/{response.status}",
                method="POST",
                preserve_headers=True,
                preserve_body=True,
            )
            tell = {"headers": {"response": {"set": {"X-Done": "1"}}, "_": {"when": "#audit.status == 200"}}}
            with running(document(backend, {"response": [tell, step]}, lane, other=other)) as gate:
                answer = gate.request("GET", "/x")

    assert (answer.status_code, answer.text, answer.headers["x-done"]) == (201, "answer", "1")
    (seen,) = other.requests
    assert (seen.path, seen.body, seen.header("x-a")) == ("/api/audit/201", b"answer", "b")
    assert seen.header("content-type") == "text/x-own"


@BOTH
@pytest.mark.row("FL-54")
def test_an_async_callout_runs_beside_the_call_and_is_joined_later(lane):
    reached = threading.Event()

    async def slow(request):
        await asyncio.to_thread(reached.wait, 30)  # until the backend has been called
        return rates(request)

    def answer(request):
        reached.set()
        return 200, {}, "ok"

    with upstream(answer) as backend, upstream(slow) as other:
        flow = {
            "request": [callout(name="rates", connection="other", url="/rates", mode="async")],
            "response": [
                {"headers": {"response": {"set": {"X-Rate": "2"}}, "_": {"when": "#rates.body.rate == 2"}}},
                callout(join="rates"),
            ],
        }
        with running(document(backend, flow, lane, other=other)) as gate:
            response = gate.request("GET", "/x")

    assert (response.status_code, response.headers["x-rate"]) == (200, "2")


@BOTH
def test_a_join_raises_what_the_call_ended_in_and_waits_for_nothing_that_was_not_begun(lane):
    with upstream() as backend, upstream(lambda request: (500, {}, "")) as other:
        begin = callout(name="a", connection="other", url="/a", mode="async", _={"when": "request.query.go"})
        with running(document(backend, {"request": [begin, callout(join="a")]}, lane, other=other)) as gate:
            failed, passed = gate.request("GET", "/?go=1"), gate.request("GET", "/")

    assert (failed.status_code, failed.json()["reason"]) == (502, "unexpected-status")
    assert passed.status_code == 200


@BOTH
def test_an_async_callout_that_nobody_joins_ends_with_the_call(lane):
    async def never(request):
        await asyncio.Event().wait()

    with upstream() as backend, upstream(never) as other:
        step = callout(name="a", connection="other", url="/a", mode="async")
        with running(document(backend, {"request": [step]}, lane, other=other)) as gate:
            assert gate.request("GET", "/").status_code == 200
            gate.wait_for_exchanges(1)
            other.wait_for(lambda other: other.open == 0)


@BOTH
@pytest.mark.row("FL-54")
def test_a_forgotten_callout_outlives_the_call_and_its_failure_is_only_logged(lane):
    over = threading.Event()

    async def late(request):
        await asyncio.to_thread(over.wait, 30)
        return 500, {}, "no"

    with upstream() as backend, upstream(late) as other:
        step = callout(connection="other", url="/told", method="POST", body="'x'", mode="forget", at_once=1)
        with running(document(backend, {"request": [step]}, lane, other=other)) as gate:
            assert gate.request("GET", "/secret").status_code == 200
            gate.wait_for_exchanges(1)
            other.wait_for(lambda other: other.open == 1)
            assert gate.request("GET", "/").status_code == 200  # and this one is one too many
            over.set()
            other.wait_for(lambda other: len(other.requests) == 1)
            step = next(iter(gate.gateway.live.config.routes)).steps.request[0]
            gate.run(_until(lambda: not step._under_way))
        said = [line.getMessage() for line in gate.log if "routes.all/callout" in line.getMessage()]

    assert (other.requests[0].path, other.requests[0].body) == ("/api/told", b"x")
    assert len(said) == 2
    assert "one was left out" in said[0]
    assert "unexpected-status" in said[1]


async def _until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


def test_forgotten_callouts_end_with_the_gateway():
    async def never(request):
        await asyncio.Event().wait()

    with upstream() as backend, upstream(never) as other:
        step = callout(connection="other", url="/told", mode="forget", timeout=600)
        with running(document(backend, {"request": [step]}, other=other)) as gate:
            gate.request("GET", "/")
            other.wait_for(lambda other: other.open == 1)
        other.wait_for(lambda other: other.open == 0)


@BOTH
@pytest.mark.row("FL-54")
def test_another_status_than_expected_is_a_fault_or_noted(lane):
    with upstream() as backend, upstream(lambda request: (404, {}, "no")) as other:
        for extra, status, told in (
            ({}, 502, None),
            ({"expect": [404]}, 200, "404 none"),
            ({"on_failure": "continue"}, 200, "404 unexpected-status"),
        ):
            step = callout(name="a", connection="other", url="/a", **extra)
            shown = "str(#a.status) + ' ' + (#a.error || 'none')"
            with running(document(backend, {"flow": [step]}, lane, shown, other=other)) as gate:
                answer = gate.request("GET", "/")
            assert answer.status_code == status
            if told is None:
                assert answer.json()["reason"] == "unexpected-status"
                assert backend.requests == []
            else:
                assert backend.requests[-1].header("x-heard") == told


@BOTH
def test_a_service_that_is_away_or_slow(lane):
    async def never(request):
        await asyncio.Event().wait()

    with upstream() as gone:
        pass
    with upstream() as backend, upstream(never) as slow:
        for url, timeout, reason, status in (
            (gone.url, 60, ["connect-refused"], 502),
            (slow.url, 0.3, ["callout-timeout", "upstream-timeout", "connect-timeout"], 504),
        ):
            step = callout(name="a", url=url, timeout=timeout)
            with running(document(backend, {"flow": [step]}, lane)) as gate:
                answer = gate.request("GET", "/")
            assert answer.status_code == status
            assert answer.json()["reason"] in reason


@BOTH
def test_a_url_from_a_value_has_to_be_of_a_host_that_is_named(lane):
    with upstream() as backend, upstream(rates) as other, upstream(rates) as stranger:
        step = callout(name="a", url_from="request.headers['x-url']", hosts=[f"http://127.0.0.1:{other.port}"])
        with running(document(backend, {"flow": [step]}, lane)) as gate:

            def call(url):
                answer = gate.request("GET", "/", headers={"x-url": url})
                return answer.status_code if answer.status_code == 200 else answer.json()["reason"]

            assert call(f"{other.url}/x?a=b") == 200
            for url in (
                stranger.url,
                f"https://127.0.0.1:{other.port}/",
                f"http://127.0.0.1:{other.port}@127.0.0.1:{stranger.port}/",
                f"http://127.0.0.1:{stranger.port}\\@127.0.0.1:{other.port}/",
                f"http://127.0.0.1:{stranger.port}#@127.0.0.1:{other.port}/",
                "http://[::1",
                "/path",
                "",
                "file:///etc/passwd",
            ):
                assert call(url) == "config-error", url
        with running(document(backend, {"flow": [step]}, lane)) as gate:
            assert gate.request("GET", "/").json()["reason"] == "config-error"

    assert (len(other.requests), other.requests[0].query) == (1, "a=b")
    assert stranger.requests == []


def test_a_connection_that_is_not_there_is_refused_at_load():
    with upstream() as backend:
        with pytest.raises(ConfigError, match=r"flow\[0\].callout.connection: there is no connection 'cmr'; did you"):
            with running(document(backend, {"flow": [callout(name="a", url="/", connection="cmr")]})):
                pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "write either url or url_from, or join"),
        ({"url": "https://a.example/"}, "name is required"),
        ({"name": "a", "url": "/a"}, "url is absolute"),
        ({"name": "a", "url": "https://{vars.host}/"}, "url is absolute"),
        ({"name": "a", "url": "https://a.example{vars.host}/"}, "url is absolute"),
        ({"name": "a", "url": "https://a.example:{vars.port}/"}, "url is absolute"),
        ({"name": "a", "url": "{vars.url}"}, "url is absolute"),
        ({"name": "a", "url": "https://ann:x@a.example/"}, "url is absolute"),
        ({"name": "a", "url": "ftp://a.example/"}, "url is absolute"),
        ({"name": "a", "url": "https://a.example/", "connection": "crm"}, "with a connection, url is a path"),
        ({"name": "a", "url": "//a.example/", "connection": "crm"}, "with a connection, url is a path"),
        ({"name": "a", "url_from": "vars.x"}, "url_from and hosts go together"),
        ({"name": "a", "url": "https://a.example/", "hosts": ["a.example"]}, "url_from and hosts go together"),
        ({"name": "a", "url_from": "vars.x", "hosts": ["a.example/x"]}, "is no host"),
        ({"name": "a", "url_from": "vars.x", "hosts": ["a.example"], "connection": "crm"}, "absolute URLs"),
        ({"join": "a", "url": "https://a.example/"}, "write url there"),
        ({"join": "a", "timeout": 3}, "write timeout there"),
        ({"name": "a", "url": "https://a.example/", "mode": "later"}, "mode"),
        ({"name": "a", "url": "https://a.example/", "timeout": 0}, "timeout"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Callout, **options)
