import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate import ConfigError, Outcome, Target
from hookgate.testing import MovableClock, Reset, build, running, upstream
from hookgate_authoring.conformance import conformance
from hookgate_monitor_suspension import REASON, Suspension, SuspensionOptions

OK, DEAD, LATE, BUSY = Outcome("ok", 200), Outcome("connect-failed"), Outcome("timeout"), Outcome("ok", 503)


def watched(**options):
    clock = MovableClock()
    plugin = build(Suspension, **options)
    plugin.startup(SimpleNamespace(clock=clock))
    return plugin, clock, Target("http", "a", 80)


def lasts(plugin, clock, target):
    """For how many seconds it is suspended."""
    seconds = 0
    while plugin.admit(target) == REASON:
        asyncio.run(clock.advance(1))
        seconds += 1
    return seconds


def test_each_suspension_is_longer_than_the_last_up_to_the_longest_and_a_good_answer_begins_anew():
    plugin, clock, target = watched(initial=5, factor=2, maximum=30)
    assert plugin.admit(target) is None

    found = []
    for _ in range(4):
        plugin.observe(target, DEAD)
        found.append(lasts(plugin, clock, target))
    plugin.observe(target, OK)
    plugin.observe(target, DEAD)
    assert (found, lasts(plugin, clock, target)) == ([5, 10, 20, 30], 5)


def test_health_says_why_a_target_is_left_alone_and_that_it_is_well_again():
    plugin, clock, target = watched(on=["timeout", 503], initial=5)

    for outcome, why in ((BUSY, "503"), (LATE, "timeout")):
        told = plugin.observe(target, outcome)
        assert (told.healthy, told.reason, told.lasts) == (False, f"suspended for 5 s: {why}", 5)
        asyncio.run(clock.advance(5))
    told = plugin.observe(target, OK)
    assert (told.healthy, told.reason) == (True, "calls succeed")


def test_codes_of_transport_errors_stand_in_the_schema():
    told = str(SuspensionOptions.model_json_schema()["properties"]["on"])
    for bound in ("'minimum': 101500", "'maximum': 101510", "'minimum': 400", "'maximum': 599", "connect-failed"):
        assert bound in told


def test_without_a_word_it_lasts_thirty_seconds_each_time():
    plugin, clock, target = watched()

    for _ in range(2):
        plugin.observe(target, DEAD)
        assert lasts(plugin, clock, target) == 30


@pytest.mark.parametrize("initial", [-1, 0])
def test_minus_one_and_zero_suspend_nothing(initial):
    plugin, _, target = watched(initial=initial)

    for _ in range(3):
        assert plugin.observe(target, DEAD) is None
        assert plugin.admit(target) is None


@pytest.mark.parametrize(
    ("on", "suspends"),
    [
        ([101503], [True, False, False, False]),
        ([101504], [False, True, False, False]),
        ([101507], [False, True, False, False]),
        ([101505, 503], [False, False, True, True]),
        ([101508], [True, False, False, True]),
        (["timeout"], [False, True, False, False]),
        (("timeout", 101503), [True, True, False, False]),
        (None, [True, True, False, True]),
        *(([code], [False, False, False, True]) for code in (101500, 101501, 101502, 101505, 101506, 101509, 101510)),
    ],
    ids=str,
)
def test_only_what_is_listed_suspends(on, suspends):
    for outcome, wanted in zip((DEAD, LATE, BUSY, Outcome("broken")), suspends, strict=True):
        plugin, _, target = watched(**{} if on is None else {"on": on})
        plugin.observe(target, outcome)
        assert (plugin.admit(target) == REASON) is wanted


def test_one_failure_may_be_too_few_but_not_after_a_suspension():
    plugin, clock, target = watched(failures=3, initial=5)
    for outcome in (DEAD, DEAD, OK, DEAD, DEAD):
        plugin.observe(target, outcome)
    assert plugin.admit(target) is None
    plugin.observe(target, DEAD)
    assert lasts(plugin, clock, target) == 5
    plugin.observe(target, DEAD)
    assert plugin.admit(target) == REASON


def test_calls_that_began_before_say_nothing_and_neither_do_those_that_were_broken_off():
    plugin, clock, target = watched(initial=5, factor=2)
    asyncio.run(clock.advance(10))
    plugin.observe(target, DEAD)
    plugin.observe(target, Outcome("connect-failed", seconds=3))
    plugin.observe(target, Outcome("ok", 200, seconds=3))
    plugin.observe(target, Outcome("aborted"))

    assert lasts(plugin, clock, target) == 5


@given(
    st.lists(st.tuples(st.sampled_from([OK, DEAD, BUSY, Outcome("aborted")]), st.integers(0, 70)), max_size=30),
    st.floats(1, 4),
    st.integers(1, 60),
)
def test_no_suspension_is_longer_than_the_longest_and_none_is_without_a_failure(calls, factor, initial):
    plugin, clock, target = watched(initial=initial, factor=factor, maximum=60)
    for outcome, wait in calls:
        asyncio.run(clock.advance(wait))
        if plugin.admit(target) is None:
            health = plugin.observe(target, outcome)
            assert (plugin.admit(target) == REASON) is (outcome is DEAD)
            assert outcome is not DEAD or initial <= health.lasts <= 60 or health.lasts == 60
    asyncio.run(clock.advance(60))
    assert plugin.admit(target) is None


def test_as_many_targets_as_there_may_be_are_remembered():
    plugin, clock, _ = watched(initial=5)
    for number in range(1200):
        plugin.observe(Target("http", f"h{number}", 80), DEAD)
        asyncio.run(clock.advance(0.01))
    assert len(plugin._states) <= 1000


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"error_codes": [101503]}, "is written on"),
        ({"initial": -2}, "-1"),
        ({"factor": 0.5}, "greater than or equal to 1"),
        ({"on": [101511]}, "on"),
        ({"on": [101499]}, "on"),
        ({"on": "timeout"}, "on"),
        ({"backoff": 2}, "backoff"),
        ({"unhealthy_after": 2}, "unhealthy_after"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options, told):
    with pytest.raises(ConfigError) as refused:
        build(Suspension, **options)
    assert told in str(refused.value)


def document(targets, lane, **connection):
    return {
        "gateway": {"lane": lane},
        "routes": [{"name": "orders", "flow": [{"faults": {"default": "json"}}], "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": targets, **connection}},
    }


BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


@pytest.mark.row("KC-68")
@BOTH
def test_while_the_only_endpoint_is_suspended_calls_get_303001_and_it_is_left_alone(lane):
    with upstream(lambda _: Reset()) as dead:
        with running(document([dead.url], lane, monitor={"suspension": {"on": [101505]}})) as gate:
            first, second = (gate.request("POST", "/") for _ in range(2))

    assert (first.status_code, first.json()["fault"]["code"]) == (502, 101505)
    assert (second.status_code, second.json()["fault"]["code"]) == (503, 303001)
    assert len(dead.requests) == 1


@pytest.mark.row("KC-68")
@BOTH
@pytest.mark.parametrize(("initial", "asked"), [(30, 1), (-1, 3), (0, 3)])
def test_the_second_endpoint_serves_the_same_call_and_the_first_is_asked_again_only_if_it_is_not_suspended(
    initial, asked, lane
):
    codes = [101503, 101505, 503]
    with upstream(lambda _: (503, {}, "busy")) as first, upstream() as second:
        rules = {"max_tries": 2, "balancer": "failover", "retry": {"on": codes}}
        rules |= {"monitor": {"suspension": {"on": codes, "initial": initial}}}
        with running(document([first.url, second.url], lane, **rules)) as gate:
            answers = [gate.request("GET", "/").status_code for _ in range(3)]

    assert (answers, len(first.requests), len(second.requests)) == ([200] * 3, asked, 3)


@pytest.mark.row("KC-68")
@BOTH
@pytest.mark.parametrize(
    ("times", "lasting"),
    [({"initial": 10, "factor": 2, "maximum": 30}, [10, 20, 30, 30]), ({}, [30, 30]), ({"initial": 5}, [5, 5])],
    ids=str,
)
def test_each_suspension_lasts_as_long_as_was_said_and_a_good_answer_begins_anew(times, lasting, lane):
    clock = MovableClock()
    with upstream(lambda _: Reset()) as backend:
        rules = {"monitor": {"suspension": {"on": [101505], **times}}}
        with running(document([backend.url], lane, **rules), clock=clock) as gate:

            def after(seconds):
                gate.run(clock.advance(seconds))
                return gate.request("POST", "/").status_code

            assert after(0) == 502
            for seconds in lasting:
                assert [after(seconds - 1), after(1.5)] == [503, 502]
            backend.answer = lambda _: (200, {}, "well")
            assert after(lasting[-1] + 1) == 200
            backend.answer = lambda _: Reset()
            assert after(0) == 502
            assert [after(lasting[0] - 1), after(1.5)] == [503, 502]


def test_conformance():
    conformance(Suspension)
    conformance(Suspension, options={"on": [101503, 503], "initial": 1, "factor": 2})
