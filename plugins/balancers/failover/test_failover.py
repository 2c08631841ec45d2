import socket
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import Attempt, ConfigError, Exchange, Health, Outcome, Request, Target
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_balancer_failover import Failover

ILL = Health(healthy=False, reason="answered 500")
WELL = Health(healthy=True)


class House:
    """What a balancer takes from its host, and calls that end as this test says."""

    def __init__(self, names="mab", **options):
        import logging

        self.clock, self.log = MovableClock(), logging.getLogger("hookgate.plugin")
        self.balancer = build(Failover, **options)
        self.balancer.startup(self)
        self.targets = [Target("http", name, 80) for name in names]

    def __getitem__(self, name):
        return next(target for target in self.targets if target.host == name)

    def pick(self, tried=""):
        exchange = Exchange(Request())
        exchange.attempts += [Attempt(self[name]) for name in tried]
        return self.balancer.pick(exchange, [target for target in self.targets if target.host not in tried])

    def calls(self, *kinds):
        """Names of the targets of calls that end so one after the other."""
        return "".join(self.call(kind).host for kind in kinds)

    def call(self, kind="ok", status=200):
        target = self.pick()
        if kind == "ok":
            self.balancer.chosen(Exchange(Request()), target, None)
        self.balancer.release(target, Outcome(kind, status if kind == "ok" else None))
        return target

    def later(self, seconds):
        import asyncio

        asyncio.run(self.clock.advance(seconds))

    def checked(self, name, health=WELL):
        """What a monitor does."""
        if health.healthy:
            self[name].last_seen = self.clock.wall()
        self[name].health = health


DOWN = "connect-failed"


def test_calls_go_to_the_first_target_while_it_can_be_reached():
    assert House().calls(*["ok"] * 5) == "mmmmm"


def test_each_failure_to_connect_moves_on_in_order_and_after_the_last_to_the_first():
    assert House().calls(DOWN, DOWN, DOWN, DOWN, "ok", "ok") == "mabmaa"


@pytest.mark.parametrize("kind", ["ok", "timeout", "broken", "aborted"])
def test_nothing_else_moves_it(kind):
    house = House()
    for _ in range(10):
        assert house.call(kind, status=503) is house["m"]


def test_many_calls_that_find_out_together_move_on_once():
    house = House()
    several = [house.pick() for _ in range(10)]
    house.later(5)
    for target in several:
        house.balancer.release(target, Outcome(DOWN, seconds=5.0))

    assert house.pick() is house["a"]


def test_a_call_that_is_tried_again_takes_the_next_target():
    house = House()
    house.balancer.release(house.pick(), Outcome(DOWN))
    assert house.pick(tried="m") is house["a"]
    house.balancer.release(house["a"], Outcome(DOWN))
    assert house.pick(tried="ma") is house["b"]
    assert house.pick() is house["b"]


def test_an_ill_target_is_passed_over_and_calls_return_when_it_is_well():
    house = House()
    house.checked("m", ILL)
    assert house.calls("ok", "ok") == "aa"
    house.checked("a", ILL)
    assert house.calls("ok") == "b"
    house.checked("m")
    assert house.calls("ok") == "m"


def test_if_all_are_ill_the_one_in_use_is_called():
    house = House()
    for name in "mab":
        house.checked(name, ILL)

    assert house.calls("ok", "timeout", DOWN, "ok", "ok") == "mmmaa"


def test_calls_return_when_a_check_after_the_failure_found_the_first_target_well():
    house = House()
    house.checked("m")
    house.later(1)
    assert house.calls(DOWN, "ok", "ok") == "maa", "a check from before the failure is no news"
    house.checked("m")
    assert house.calls("ok", "ok") == "mm"


def test_a_monitor_that_finds_it_ill_keeps_it_from_being_tried():
    house = House(failback_after=60)
    assert house.calls(DOWN) == "m"
    house.checked("m", ILL)
    house.later(600)
    assert house.calls("ok") == "a"


def test_without_a_check_one_call_at_a_time_tries_the_first_target_again():
    house = House(failback_after=60)
    assert house.calls(DOWN, "ok") == "ma"
    house.later(59)
    assert house.calls("ok") == "a"
    house.later(1)
    trial = house.pick()
    assert trial is house["m"]
    assert house.calls("ok", "ok") == "aa", "the others wait for its result"

    house.balancer.chosen(Exchange(Request()), trial, None)
    assert house.calls("ok") == "m"


@pytest.mark.parametrize("kind", [DOWN, "timeout", "aborted", "broken"])
def test_a_trial_that_is_not_answered_leaves_calls_where_they_are(kind):
    house = House(failback_after=60)
    assert house.calls(DOWN, DOWN) == "ma"
    house.later(60)
    assert house.calls(kind, "ok", "ok") == "mbb"
    house.later(59)
    assert house.calls("ok") == "b"
    house.later(1)
    assert house.calls("ok", "ok") == "mm"


def test_a_late_answer_to_an_old_call_is_no_trial():
    house = House()
    old = house.pick()
    assert house.calls(DOWN) == "m"
    house.balancer.chosen(Exchange(Request()), old, None)
    assert house.calls("ok") == "a"
    house.later(60)
    assert house.calls(DOWN) == "m"
    house.balancer.chosen(Exchange(Request()), old, None)
    assert house.calls("ok") == "a"


def test_what_is_known_outlives_a_reload_with_new_target_objects():
    house = House()
    assert house.calls(DOWN) == "m"
    house.targets = [Target("http", name, 80) for name in "mab"]
    assert house.calls("ok") == "a"


def test_when_the_first_target_is_gone_the_next_one_is_the_first():
    house = House(failback_after=60)
    assert house.calls(DOWN, DOWN) == "ma"
    house.targets = house.targets[1:]
    assert house.calls("ok") == "b"
    house.later(60)
    assert house.calls("ok", "ok") == "aa"


def test_when_the_list_is_another_one_calls_begin_with_its_first_target():
    house = House()
    assert house.calls(DOWN, "ok") == "ma"
    house.targets = [Target("http", name, 80) for name in "axy"]
    assert house.calls("ok", DOWN, "ok") == "aax"
    house.targets = [Target("http", name, 80) for name in "yz"]
    house.checked("y", ILL)
    assert house.calls("ok") == "z"
    house.checked("y")
    assert house.calls("ok", DOWN, "ok") == "yyz"


def test_a_first_target_that_is_not_offered_for_a_while_is_still_known_to_have_failed():
    """A circuit breaker does not admit it."""
    house = House(failback_after=60)
    every = house.targets
    assert house.calls(DOWN) == "m"
    house.targets = every[1:]
    assert house.calls("ok") == "a"
    house.targets = every
    assert house.calls("ok") == "a"
    house.later(60)
    assert house.calls("ok", "ok") == "mm"


def test_a_late_failure_of_a_target_that_was_left_moves_nothing():
    house = House()
    late = house.pick()
    house.later(1)
    assert house.calls(DOWN, DOWN) == "ma"
    house.later(4)
    house.balancer.release(late, Outcome(DOWN, seconds=5.0))
    assert house.calls("ok") == "b"


def test_a_target_in_use_that_is_gone_is_followed_by_the_next():
    house = House()
    assert house.calls(DOWN) == "m"
    del house.targets[1]
    assert house.calls("ok") == "b"


def test_nothing_is_picked_from_nothing():
    assert build(Failover).pick(Exchange(Request()), []) is None


def test_failures_are_logged_once_until_they_are_news_again(caplog):
    house = House()
    house.calls(*[DOWN] * 30)
    assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == [
        "http://m cannot be reached; calls go to http://a",
        "http://a cannot be reached; calls go to http://b",
        "http://b cannot be reached; calls go to http://m",
    ]


def test_what_makes_no_sense_is_refused_at_load():
    with pytest.raises(ConfigError, match="failback_after"):
        build(Failover, failback_after=0)


STEP = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(["ok", DOWN, "timeout", "aborted"])),
    st.tuples(st.just("health"), st.tuples(st.sampled_from("mabc"), st.booleans())),
    st.tuples(st.just("later"), st.sampled_from([1, 60])),
    st.tuples(st.just("targets"), st.sets(st.sampled_from("mabc"), min_size=1)),
)


@settings(deadline=None)
@given(steps=st.lists(STEP, max_size=40))
def test_whatever_happens_a_healthy_target_is_taken_where_there_is_one_and_all_come_back(steps):
    house = House("mabc")
    every = list(house.targets)
    for what, value in steps:
        if what == "call":
            picked = house.call(value)
            assert picked in house.targets
            assert picked.health.healthy or not any(target.health.healthy for target in house.targets)
        elif what == "health":
            every["mabc".index(value[0])].health = WELL if value[1] else ILL
        elif what == "later":
            house.clock._now += value
        else:
            house.targets = [target for target in every if target.host in value]
    house.targets = every
    for target in every:
        target.health = WELL
    for _ in range(3):
        house.clock._now += 60
        house.call()
    assert house.call() is every[0]


@contextmanager
def closed():
    """A port that refuses connections, for as long as the block lasts."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}", held


def gateway(*urls, max_tries=1, monitor=None, **options):
    connection = {"targets": list(urls), "balancer": {"failover": options}, "max_tries": max_tries}
    if monitor:
        connection["monitor"] = monitor
    return {"routes": [{"name": "all", "to": {"connection": "crm"}}], "connections": {"crm": connection}}


def statuses(gate, count):
    return [gate.request("GET", "/").status_code for _ in range(count)]


@pytest.mark.row("HC-14", "HC-16")
def test_a_gateway_tries_backups_in_order_one_call_at_a_time():
    with closed() as (main, _), closed() as (first, _), upstream() as second, upstream() as third:
        with running(gateway(main, first, second.url, third.url)) as gate:
            assert statuses(gate, 5) == [502, 502, 200, 200, 200]
            tried = [exchange.target.url for exchange in gate.wait_for_exchanges(5)]

    assert tried == [main, first, second.url, second.url, second.url]
    assert (len(second.requests), len(third.requests)) == (3, 0)


@pytest.mark.row("HC-16")
def test_the_call_that_finds_out_fails_and_the_next_one_is_answered_by_the_backup():
    with closed() as (main, _), upstream() as backup:
        with running(gateway(main, backup.url)) as gate:
            assert statuses(gate, 1) == [502]
            assert backup.requests == []
            assert statuses(gate, 1) == [200]


def test_with_more_tries_the_same_call_goes_to_the_backup():
    with closed() as (main, _), upstream() as backup:
        with running(gateway(main, backup.url, max_tries=2)) as gate:
            assert statuses(gate, 2) == [200, 200]
            assert [len(exchange.attempts) for exchange in gate.wait_for_exchanges(2)] == [2, 1]


@pytest.mark.row("HC-15")
def test_an_answer_of_503_is_no_reason_to_leave():
    with upstream(lambda request: (503, {}, "busy")) as main, upstream() as backup:
        with running(gateway(main.url, backup.url)) as gate:
            assert statuses(gate, 10) == [503] * 10

    assert (len(main.requests), len(backup.requests)) == (10, 0)


def test_a_read_timeout_is_no_reason_to_leave():
    import asyncio

    async def never(request):
        await asyncio.Event().wait()

    with upstream(never) as main, upstream() as backup:
        document = gateway(main.url, backup.url)
        document["connections"]["crm"]["timeouts"] = {"read": 0.05}
        with running(document) as gate:
            assert statuses(gate, 3) == [504] * 3

    assert (len(main.requests), len(backup.requests)) == (3, 0)


def test_a_name_that_does_not_resolve_is():
    with upstream() as backup:
        with running(gateway("http://nowhere.invalid:80", backup.url)) as gate:
            assert statuses(gate, 2) == [502, 200]


MONITOR = {"http": {"path": "/health", "interval": 10, "backoff": 1, "unhealthy_after": 1}}


class Site:
    """A backend with a health page that can be switched."""

    def __init__(self):
        self.well = True

    def __call__(self, request):
        return (200 if self.well or request.path != "/health" else 500), {}, request.path

    def calls(self, backend):
        return [request.path for request in backend.requests if request.path != "/health"]


def wait_until(gate, condition):
    import time

    ends = time.monotonic() + 60
    while not gate.run(_now(condition)):
        assert time.monotonic() < ends, "it did not come to hold"


async def _now(condition):
    import asyncio

    await asyncio.sleep(0.01)
    return condition()


@pytest.mark.row("HC-6", "HC-17")
def test_health_drives_failover_and_the_return():
    clock, site = MovableClock(), Site()
    with upstream(site) as main, upstream() as backup:
        with running(gateway(main.url, backup.url, monitor=MONITOR), clock=clock) as gate:
            first, second = gate.gateway.connection("crm").targets
            wait_until(gate, lambda: first.last_seen is not None and second.last_seen is not None)
            assert statuses(gate, 1) == [200]
            for well in (False, True):
                site.well = well
                gate.run(clock.advance(10))
                wait_until(gate, lambda: first.health.healthy is site.well and second.last_seen == clock.wall())
                assert statuses(gate, 1) == [200]

            assert [each.target.url for each in gate.wait_for_exchanges(3)] == [main.url, backup.url, main.url]


@pytest.mark.row("HC-17")
def test_a_check_that_goes_well_brings_calls_back_to_a_main_target_that_could_not_be_reached():
    clock = MovableClock()
    with closed() as (main, held), upstream() as backup:
        monitor = {"http": {**MONITOR["http"], "unhealthy_after": 3}}
        with running(gateway(main, backup.url, monitor=monitor), clock=clock) as gate:
            first, second = gate.gateway.connection("crm").targets
            wait_until(gate, lambda: first.failures == 1 and second.last_seen is not None)
            assert statuses(gate, 2) == [502, 200]
            held.close()
            with upstream(port=first.port) as back:
                gate.run(clock.advance(10))
                wait_until(gate, lambda: first.last_seen is not None)
                assert statuses(gate, 1) == [200]
                assert [request.path for request in back.requests] == ["/health", "/"]


@pytest.mark.row("HC-5")
def test_a_single_unhealthy_target_is_still_called():
    site = Site()
    site.well = False
    with upstream(site) as main:
        with running(gateway(main.url, monitor=MONITOR), clock=MovableClock()) as gate:
            target = gate.gateway.connection("crm").targets[0]
            wait_until(gate, lambda: not target.health.healthy)
            assert statuses(gate, 1) == [200]
            assert gate.gateway.status()["connections"]["crm"][0]["health"] == "unhealthy"


@pytest.mark.row("HC-5")
def test_if_all_are_unhealthy_the_first_is_called():
    site = Site()
    site.well = False
    with upstream(site) as main, upstream(site) as backup:
        with running(gateway(main.url, backup.url, monitor=MONITOR), clock=MovableClock()) as gate:
            targets = gate.gateway.connection("crm").targets
            wait_until(gate, lambda: not any(target.health.healthy for target in targets))
            assert statuses(gate, 2) == [200, 200]
            assert len(site.calls(main)) == 2


@pytest.mark.row("HC-17")
@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize(
    "answer", [(200, {}, "whole"), (503, {}, "whole"), (204, {}, ""), (200, {}, [b"in ", b"parts"])]
)
def test_without_a_health_check_the_main_target_is_tried_again_after_a_while(answer, lane):
    clock = MovableClock()
    with closed() as (main, held), upstream() as backup:
        described = gateway(main, backup.url, failback_after=60) | {"gateway": {"lane": lane}}
        with running(described, clock=clock) as gate:
            assert statuses(gate, 2) == [502, 200]
            gate.run(clock.advance(60))
            assert statuses(gate, 2) == [502, 200]
            held.close()
            with upstream(lambda _: answer, port=int(main.rpartition(":")[2])) as back:
                assert statuses(gate, 1) == [200]
                assert back.requests == []
                gate.run(clock.advance(60))
                assert statuses(gate, 3) == [answer[0]] * 3
                assert len(back.requests) == 3


@pytest.mark.row("HC-17")
@pytest.mark.parametrize("lane", [True, False])
def test_a_trial_is_won_when_the_head_of_its_answer_is_there_and_not_only_at_its_end(lane):
    import asyncio
    import threading

    clock, ended = MovableClock(), threading.Event()

    async def chunks():
        yield b"begins"
        while not ended.is_set():
            await asyncio.sleep(0.01)

    def answer(request):
        return 200, {}, chunks() if request.path == "/long" else ""

    with closed() as (main, held), upstream() as backup, ExitStack() as stack:
        described = gateway(main, backup.url, failback_after=60) | {"gateway": {"lane": lane}}
        gate = stack.enter_context(running(described, clock=clock))
        assert statuses(gate, 2) == [502, 200]
        held.close()
        back = stack.enter_context(upstream(answer, port=int(main.rpartition(":")[2])))
        stack.callback(ended.set)
        gate.run(clock.advance(60))
        stack.enter_context(gate.client.stream("GET", "/long"))
        assert statuses(gate, 2) == [200, 200]
        assert [request.path for request in back.requests] == ["/long", "/", "/"]
