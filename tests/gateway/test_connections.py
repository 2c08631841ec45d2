"""Named connections: targets, tries, time-outs, pools, health."""

import asyncio
import concurrent.futures as futures
import socket
import time

import pytest

from hookgate import ConfigError
from hookgate.testing import MovableClock, running, upstream
from hookgate.testing.clock import settle


def balanced(*backends, **connection):
    targets = connection.pop("targets", None) or [{"url": getattr(b, "url", b)} for b in backends]
    return {
        "routes": [{"name": "all", "to": {"connection": "backend", **connection.pop("to", {})}}],
        "connections": {"backend": {"targets": targets, **connection}},
        **connection.pop("document", {}),
    }


def dead():
    """A URL nobody answers on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def served_by(name):
    return lambda request: (200, {}, name)


@pytest.mark.row("AC-6")
def test_an_inactive_host_gets_no_calls_and_all_inactive_is_503():
    with upstream(served_by("a")) as a, upstream(served_by("b")) as b:
        both = [{"url": a.url}, {"url": b.url}]
        with running(balanced(targets=both, balancer="weighted-round-robin")) as gate:
            assert {gate.request("GET", "/").text for _ in range(4)} == {"a", "b"}
            both[1]["active"] = False
            gate.reload(balanced(targets=both, balancer="weighted-round-robin"))
            hits = len(b.requests)
            assert {gate.request("GET", "/").text for _ in range(4)} == {"a"}
            assert len(b.requests) == hits
            both[0]["active"] = False
            gate.reload(balanced(targets=both, balancer="weighted-round-robin"))
            refused = gate.request("GET", "/")

    assert (refused.status_code, refused.headers["x-hookgate-reason"]) == (503, "no-active-target")


@pytest.mark.row("AC-7")
def test_max_tries_counts_every_attempt_and_only_what_could_not_connect_is_tried_again():
    with upstream() as live:
        with running(balanced(dead(), live, balancer="weighted-round-robin", max_tries=2)) as gate:
            assert gate.request("POST", "/", content=b"body").status_code == 200
            (exchange,) = gate.wait_for_exchanges(1)
            assert [attempt.outcome.kind for attempt in exchange.attempts] == ["connect-failed", "ok"]
            assert live.bodies == [b"body"]
        with running(balanced(dead(), live, balancer="weighted-round-robin", max_tries=1)) as gate:
            assert gate.request("GET", "/").status_code == 502
    with upstream(lambda request: (503, {}, "busy")) as busy, upstream() as other:
        with running(balanced(busy, other, balancer="weighted-round-robin", max_tries=2)) as gate:
            assert gate.request("GET", "/").status_code == 503
            assert other.requests == []


@pytest.mark.row("AC-14")
def test_when_all_targets_are_unhealthy_the_document_says_whether_to_fail_or_to_try():
    sick = lambda request: (500, {}, "sick") if request.path == "/health" else (200, {}, "works")  # noqa: E731
    monitor = {"http": {"path": "/health", "interval": 0.05, "unhealthy_after": 1}}
    with upstream(sick) as a, upstream(sick) as b:
        with running(balanced(a, b, monitor=monitor)) as gate:
            wait_until(lambda: all(h == "unhealthy" for h in healths(gate)))
            refused = gate.request("GET", "/")
            assert (refused.status_code, refused.headers["x-hookgate-reason"]) == (503, "all-targets-unhealthy")
        with running(balanced(a, b, monitor=monitor, on_all_unhealthy="use_all")) as gate:
            wait_until(lambda: all(h == "unhealthy" for h in healths(gate)))
            assert gate.request("GET", "/").text == "works"


def test_a_host_leaves_after_so_many_failures_in_a_row_and_comes_back_after_one_success():
    answers = {"status": 500}
    clock = MovableClock()
    document = balanced
    monitor = {"http": {"path": "/health", "interval": 10, "backoff": 1, "unhealthy_after": 3}}
    with upstream(lambda request: (answers["status"], {}, "")) as a, upstream() as b:
        with running(document(a, b, monitor=monitor), clock=clock) as gate:
            seen = []
            for status in (500, 500, 500, 200):
                answers["status"] = status
                if seen:
                    gate.run(clock.advance(10))
                checks = len(seen) + 1
                a.wait_for(lambda backend, n=checks: len(backend.requests) >= n)
                b.wait_for(lambda backend, n=checks: len(backend.requests) >= n)
                wait_until(lambda: gate.run(wakes(clock)) == [10, 10])
                seen.append(healths(gate)[0])

    assert seen == ["healthy", "healthy", "unhealthy", "healthy"]


async def wakes(clock):
    await settle()
    return clock.wakes


@pytest.mark.row("AC-9")
def test_checks_of_a_failing_host_come_at_growing_intervals_up_to_the_maximum():
    clock = MovableClock()
    answers = {"status": 500}
    monitor = {"http": {"path": "/health", "interval": 10, "backoff": 2, "at_most": 120, "timeout": 7}}
    with upstream(lambda request: (answers["status"], {}, "")) as a:
        with running(balanced(targets=[{"url": a.url}], monitor=monitor), clock=clock) as gate:
            delays = []
            for check in range(1, 8):
                a.wait_for(lambda backend, n=check: len(backend.requests) >= n)
                wait_until(lambda: gate.run(wakes(clock)) and max(gate.run(wakes(clock))) != 7)
                (wait,) = gate.run(wakes(clock))
                delays.append(wait)
                answers["status"] = 500 if check < 6 else 200
                gate.run(clock.advance(wait))

    assert delays == [20, 40, 80, 120, 120, 120, 10]


@pytest.mark.row("AC-13")
def test_a_check_that_takes_too_long_is_a_failure():
    async def slow(request):
        await asyncio.sleep(30)

    monitor = {"http": {"path": "/health", "timeout": 5, "unhealthy_after": 1, "interval": 60, "at_most": 60}}
    with upstream(slow) as a, upstream() as b, running(balanced(a, b, monitor=monitor)) as gate:
        wait_until(lambda: healths(gate) == ["unhealthy", "healthy"])
        (target, _) = gate.gateway.status()["connections"]["backend"]

    assert target["reason"] in ("no result within 5 s", "read-timeout"), "whichever of the two is first"


@pytest.mark.row("HC-5")
def test_a_single_unhealthy_target_is_shown_and_still_used():
    sick = lambda request: (500, {}, "sick") if request.path == "/health" else (200, {}, "works")  # noqa: E731
    monitor = {"http": {"path": "/health", "interval": 0.05, "unhealthy_after": 1}}
    with upstream(sick) as a, running(balanced(targets=[{"url": a.url}], monitor=monitor)) as gate:
        wait_until(lambda: healths(gate) == ["unhealthy"])

        assert gate.request("GET", "/").text == "works"


@pytest.mark.row("AC-3", "AC-11")
def test_a_monitor_needs_load_balancing():
    document = balanced(targets="http://127.0.0.1:1", monitor={"http": {"path": "/health"}})

    with pytest.raises(ConfigError, match="needs load balancing"), running(document):
        pass


@pytest.mark.row("AC-2")
def test_a_location_has_no_path():
    with pytest.raises(ConfigError, match="/service1"), running(balanced(targets="http://h/service1")):
        pass
    with upstream() as backend, running(balanced(targets=backend.url + "/")) as gate:
        assert gate.request("GET", "/").status_code == 200
        assert gate.gateway.status()["connections"]["backend"][0]["url"] == backend.url


def test_the_base_path_of_a_connection_and_the_path_of_a_route_make_the_path():
    document = {
        "routes": [
            {
                "name": "orders",
                "match": {"path": "/orders/{id}/{rest...}"},
                "to": {"connection": "backend", "path": "/v2/o-{id}/{rest}"},
            },
        ],
    }
    with upstream() as backend:
        document["connections"] = {"backend": {"targets": backend.url, "base_path": "/base/"}}
        with running(document) as gate:
            gate.request("GET", "/orders/7/a%20b/c?q=1")

    assert (backend.requests[0].path, backend.requests[0].query) == ("/base/v2/o-7/a%20b/c", "q=1")


def test_time_limits_before_the_head_answer_504_and_after_it_break_off():
    async def drip():
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.1)

    async def answer(request):
        if request.path == "/silent":
            await asyncio.sleep(30)
        return 200, {}, drip()

    import httpx

    with upstream(answer) as backend:
        with (
            running(balanced(targets=backend.url, timeouts={"request": 5, "read": 10})) as gate,
            futures.ThreadPoolExecutor(1) as threads,
        ):
            waiting = threads.submit(gate.request, "GET", "/silent")
            with pytest.raises(httpx.RemoteProtocolError):
                gate.request("GET", "/drip")
            silent = waiting.result()
            (drips,) = [each for each in gate.wait_for_exchanges(2) if each.request.path == "/drip"]
        with running(balanced(targets=backend.url, timeouts={"request": None, "read": 0.3})) as gate:
            idle = gate.request("GET", "/silent")

    assert (silent.status_code, silent.json()["reason"]) == (504, "request-timeout")
    assert drips.outcome == "timeout"
    assert idle.status_code == 504


@pytest.mark.row("FL-15")
@pytest.mark.parametrize(("gateway", "status"), [({}, 502), ({"timeout_status": 504}, 504)])
def test_the_time_limit_of_a_destination_is_answered_as_the_document_says(gateway, status):
    async def slow(request):
        await asyncio.sleep(30)

    with upstream(slow) as backend:
        document = {**balanced(targets=backend.url, to={"timeout": 0.2}), "gateway": gateway}
        with running(document) as gate:
            answer = gate.request("GET", "/")

    assert answer.status_code == status
    assert answer.json()["reason"] == "destination-timeout"


def test_a_full_pool_makes_the_next_call_wait_and_then_refuses_it():
    release = asyncio.Event()

    async def slow(request):
        await release.wait()
        return 200, {}, "ok"

    connection = {"pool": {"max_connections": 2}, "timeouts": {"connect": 5}}
    with upstream(slow) as backend, running(balanced(targets=backend.url, **connection)) as gate:
        with futures.ThreadPoolExecutor(3) as threads:
            first = [threads.submit(gate.request, "GET", "/") for _ in range(2)]
            backend.wait_for(lambda b: len(b.requests) == 2)
            third = gate.request("GET", "/")
            assert backend.open == 2
            release._loop.call_soon_threadsafe(release.set)
            assert [call.result().status_code for call in first] == [200, 200]

    assert (third.status_code, third.json()["reason"]) == (503, "pool-exhausted")


def test_calls_share_connections_and_a_changed_connection_cuts_no_call():
    entered = []

    async def slow(request):
        if request.path == "/slow":
            entered.append(1)
            while len(entered) < 2:
                await asyncio.sleep(0.01)
        return 200, {}, "ok"

    with upstream(slow) as backend, running(balanced(targets=backend.url)) as gate:
        for _ in range(20):
            gate.request("GET", "/")
        assert backend.connections == 1

        with futures.ThreadPoolExecutor(1) as threads:
            running_call = threads.submit(gate.request, "GET", "/slow")
            backend.wait_for(lambda b: b.requests[-1].path == "/slow")
            gate.reload(balanced(targets=backend.url, timeouts={"read": 20}))
            assert gate.request("GET", "/").status_code == 200
            entered.append(1)
            assert running_call.result().status_code == 200


def healths(gate):
    return [target["health"] for target in gate.gateway.status()["connections"]["backend"]]


def wait_until(condition, timeout=60.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.005)


def test_checks_do_not_wait_for_a_place_in_a_full_pool():
    checked = []

    async def answer(request):
        while request.path != "/health" and not checked:
            await asyncio.sleep(0.01)
        return 200, {}, "ok"

    monitor = {"http": {"path": "/health", "interval": 0.05, "at_most": 0.05, "timeout": 60, "unhealthy_after": 1}}
    with upstream(answer) as a, upstream(answer) as b:
        document = balanced(a, b, monitor=monitor, pool={"max_connections": 2})
        with running(document) as gate, futures.ThreadPoolExecutor(2) as threads:
            calls = [threads.submit(gate.request, "GET", "/slow") for _ in range(2)]
            wait_until(lambda: sum(request.path == "/slow" for x in (a, b) for request in list(x.requests)) == 2)
            checks = len(a.requests)
            wait_until(lambda: len(a.requests) > checks + 5)
            assert healths(gate) == ["healthy", "healthy"]
            checked.append(True)
            assert [call.result().status_code for call in calls] == [200, 200]


def test_an_answer_that_a_credential_rejects_gives_its_place_back(tmp_path):
    (tmp_path / "renewing.py").write_text(
        """
from hookgate import Credential, Options, hookimpl

class Renewing(Credential[Options]):
    token = "old"

    @hookimpl
    def sign(self, exchange, outbound):
        outbound.headers.set("authorization", "Bearer " + self.token)

    @hookimpl
    def rejected(self, exchange, outbound, response):
        self.token = "new"
        return True
""",
    )

    def answer(request):
        fresh = request.header("authorization") == "Bearer new"
        return (200, {}, "ok") if fresh else (401, {}, iter([b"no, ", b"renew it"]))

    connection = {"auth": ["renewing"], "pool": {"max_connections": 1}, "timeouts": {"connect": 5}}
    with upstream(answer) as backend:
        with running(balanced(targets=backend.url, **connection), plugins_dir=tmp_path) as gate:
            assert gate.request("POST", "/", content=iter([b"x"])).status_code == 401  # a stream cannot be sent again
            assert gate.request("GET", "/").status_code == 200
            assert [r.header("authorization") for r in backend.requests] == ["Bearer old", "Bearer new"]
