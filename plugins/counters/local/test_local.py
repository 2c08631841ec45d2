import math
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import ConfigError, Limit
from hookgate.testing import LocalCounters
from hookgate_counters_local import calendar_window

NOON = datetime(2024, 2, 28, 12, 0, tzinfo=UTC).timestamp()
CALENDAR = ["second", "minute", "hour", "day", "week", "month"]


class Hands:
    """A clock whose two hands move together."""

    def __init__(self, wall=NOON):
        self.start = wall
        self.passed = 0.0

    def now(self):
        return 1_000.0 + self.passed

    def wall(self):
        return self.start + self.passed


def counting(wall=NOON, **options):
    clock = Hands(wall)
    return clock, LocalCounters(clock, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 60.0), "at least 1 in a window, not 0"),
        ((1, 0.0), "longer than 0 seconds"),
        ((1, -1.0), "longer than 0 seconds"),
        ((1, math.inf), "not endless"),
        ((1, math.nan), "longer than 0 seconds"),
        ((1, "fortnight"), "'fortnight' is not a window; write seconds or second, minute, hour, day, week, month"),
        ((1, 60.0, 0), "burst is at least 1, not 0"),
        ((1, "minute", 5), "a calendar window \\(minute\\) has none"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Limit(*arguments)


def test_a_spread_limit_serves_its_amount_at_once_and_then_one_for_each_interval():
    clock, counters = counting()
    limit = Limit(3, 30.0)

    assert [counters.take([("a", 1, limit)]).remaining for _ in range(3)] == [2, 1, 0]
    refused = counters.take([("a", 1, limit)])
    assert (refused.allowed, refused.remaining, refused.key, refused.limit) == (False, 0, "a", limit)
    assert (refused.reset, refused.retry_after) == pytest.approx((30.0, 10.0))

    clock.passed = 9.99
    assert not counters.take([("a", 1, limit)]).allowed
    clock.passed = 10.0
    assert counters.take([("a", 1, limit)]).allowed
    assert not counters.take([("a", 1, limit)]).allowed


def test_a_burst_of_one_spaces_the_calls_out():
    clock, counters = counting()
    limit = Limit(10, 60.0, burst=1)

    served = []
    for second in range(20):
        clock.passed = float(second)
        if counters.take([("a", 1, limit)]).allowed:
            served.append(second)

    assert served == [0, 6, 12, 18]


def test_a_larger_burst_lets_more_come_at_once_and_fills_at_the_same_pace():
    clock, counters = counting()
    limit = Limit(1, 10.0, burst=5)

    assert sum(counters.take([("a", 1, limit)]).allowed for _ in range(9)) == 5
    clock.passed = 20.0
    assert sum(counters.take([("a", 1, limit)]).allowed for _ in range(9)) == 2


@pytest.mark.parametrize("window", [60.0, "minute"])
def test_a_cost_of_nothing_only_looks(window):
    _, counters = counting()
    limit = Limit(5, window)

    fresh = counters.take([("a", 0, limit)])
    assert (fresh.allowed, fresh.remaining, fresh.reset) == (True, 5, 0.0)
    assert len(counters) == 0
    counters.take([("a", 5, limit)])
    for _ in range(3):
        looked = counters.take([("a", 0, limit)])
        assert (looked.allowed, looked.remaining, looked.reset) == (True, 0, pytest.approx(60.0))


@pytest.mark.parametrize("window", [60.0, "minute"])
def test_what_a_limit_never_allows_can_be_retried_never(window):
    _, counters = counting()

    refused = counters.take([("a", 6, Limit(5, window))])

    assert (refused.allowed, refused.remaining, refused.retry_after) == (False, 5, math.inf)
    assert len(counters) == 0


def test_nothing_and_less_than_nothing_cannot_be_taken():
    _, counters = counting()

    with pytest.raises(ValueError, match="at least one limit"):
        counters.take([])
    with pytest.raises(ValueError, match="costs 0 or more, not -1"):
        counters.take([("a", -1, Limit(1, 1.0))])
    with pytest.raises(ConfigError, match="max_keys: should be greater"):
        LocalCounters(Hands(), max_keys=0)


@pytest.mark.parametrize(
    ("window", "moment", "start", "end"),
    [
        ("second", "2024-02-28T11:55:55.9", "2024-02-28T11:55:55", "2024-02-28T11:55:56"),
        ("minute", "2024-02-28T11:55:55", "2024-02-28T11:55", "2024-02-28T11:56"),
        ("minute", "2024-02-28T11:56:00", "2024-02-28T11:56", "2024-02-28T11:57"),
        ("hour", "2024-02-28T11:55:55", "2024-02-28T11:00", "2024-02-28T12:00"),
        ("day", "2024-02-28T23:59:59.999", "2024-02-28", "2024-02-29"),
        ("week", "2024-02-28T11:55:55", "2024-02-26", "2024-03-04"),  # a Wednesday
        ("week", "2024-03-03T23:59:59", "2024-02-26", "2024-03-04"),  # a Sunday
        ("week", "2024-03-04T00:00:00", "2024-03-04", "2024-03-11"),  # a Monday
        ("month", "2024-02-29T23:59:59", "2024-02-01", "2024-03-01"),
        ("month", "2023-02-10T00:00:00", "2023-02-01", "2023-03-01"),
        ("month", "2024-12-31T23:59:59", "2024-12-01", "2025-01-01"),
    ],
)
def test_calendar_windows_follow_the_utc_clock(window, moment, start, end):
    def unix(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    assert calendar_window(window, unix(moment)) == (unix(start), unix(end))


def test_a_minute_opened_at_its_last_seconds_renews_with_the_next_minute():
    clock, counters = counting(datetime(2024, 2, 28, 11, 55, 55, tzinfo=UTC).timestamp())
    limit = Limit(2, "minute")

    assert [counters.take([("a", 1, limit)]).allowed for _ in range(3)] == [True, True, False]
    assert counters.take([("a", 1, limit)]).retry_after == pytest.approx(5.0)
    clock.passed = 4.999
    assert not counters.take([("a", 1, limit)]).allowed
    clock.passed = 5.0
    assert [counters.take([("a", 1, limit)]).remaining for _ in range(2)] == [1, 0]


def test_keys_and_kinds_of_limit_count_apart():
    _, counters = counting()
    spread, minute, hour = Limit(1, 60.0), Limit(1, "minute"), Limit(1, "hour")

    assert all(counters.take([(key, 1, limit)]).allowed for key in "ab" for limit in (spread, minute, hour))
    assert not any(counters.take([(key, 1, limit)]).allowed for key in "ab" for limit in (spread, minute, hour))


def test_a_changed_amount_goes_on_with_what_was_counted():
    _, counters = counting()
    counters.take([("a", 8, Limit(10, "hour"))])

    lowered = counters.take([("a", 1, Limit(5, "hour"))])
    assert (lowered.allowed, lowered.remaining) == (False, 0)
    assert counters.take([("a", 1, Limit(20, "hour"))]).remaining == 11


def test_a_limit_made_shorter_is_used_up_no_longer_than_its_own_window():
    _, counters = counting()
    counters.take([("a", 1, Limit(1, 86_400.0))])

    refused = counters.take([("a", 1, Limit(100, 10.0))])
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert refused.retry_after == pytest.approx(0.1)


def test_one_refusal_costs_the_other_limits_nothing():
    _, counters = counting()
    wide, narrow, calendar = Limit(10, 60.0), Limit(1, 60.0), Limit(10, "day")
    wants = [("wide", 1, wide), ("day", 1, calendar), ("narrow", 1, narrow), ("late", 1, wide)]
    assert counters.take(wants).allowed

    refused = counters.take(wants)

    assert (refused.allowed, refused.key, refused.limit) == (False, "narrow", narrow)
    assert [counters.take([(key, 0, limit)]).remaining for key, _, limit in wants] == [9, 9, 0, 9]


def test_the_tightest_of_several_limits_is_told():
    _, counters = counting()

    told = counters.take([("a", 1, Limit(100, 60.0)), ("b", 5, Limit(10, "day")), ("c", 1, Limit(4, 60.0))])

    assert (told.allowed, told.key, told.remaining) == (True, "b", 5)


@pytest.mark.parametrize("window", [60.0, "minute"])
def test_the_same_counter_twice_in_one_take_counts_twice(window):
    _, counters = counting()
    limit = Limit(3, window)

    assert counters.take([("a", 1, limit), ("a", 1, limit)]).remaining == 1
    assert not counters.take([("a", 1, limit), ("a", 1, limit)]).allowed
    assert counters.take([("a", 0, limit)]).remaining == 1


def test_two_users_of_one_application_share_what_it_has():
    _, counters = counting()
    tier = Limit(20, "minute")

    served = [
        counters.take([(f"user-{call % 2}", 1, Limit(1000, "minute")), ("application", 1, tier)]).allowed
        for call in range(21)
    ]

    assert served == [True] * 20 + [False]


@pytest.mark.parametrize("window", [60.0, "minute"])
def test_counters_that_are_whole_again_are_dropped(window):
    clock, counters = counting()
    for key in range(100):
        counters.take([(str(key), 1, Limit(1, window))])
    assert len(counters) == 100

    clock.passed = 61.0
    for key in range(100, 200):
        counters.take([(str(key), 1, Limit(1, window))])

    assert len(counters) == 100


def test_memory_is_bounded_and_who_keeps_asking_is_not_forgotten():
    _, counters = counting(max_keys=50)
    limit = Limit(1, 1e6)
    assert counters.take([("hammering", 1, limit)]).allowed

    for key in range(1000):
        counters.take([(str(key), 1, limit)])
        assert not counters.take([("hammering", 1, limit)]).allowed

    assert len(counters) == 50


limits = st.one_of(
    st.builds(
        Limit,
        st.integers(1, 20),
        st.sampled_from([0.5, 1.0, 7.0, 60.0]),
        st.one_of(st.none(), st.integers(1, 30)),
    ),
    st.builds(Limit, st.integers(1, 20), st.sampled_from(CALENDAR)),
)
pauses = st.one_of(st.just(0.0), st.floats(0, 2), st.floats(0, 100), st.sampled_from([1.0, 60.0, 86_400.0]))
steps = st.lists(st.tuples(pauses, st.integers(0, 4)), min_size=1, max_size=60)


@settings(deadline=None)  # the machine may be busy
@given(limits, steps)
def test_no_window_ever_sees_more_than_its_amount_and_burst(limit, steps):
    clock, counters = counting()
    served = []
    for pause, cost in steps:
        clock.passed += pause
        if counters.take([("a", cost, limit)]).allowed:
            served.append((clock.passed, cost))

    if isinstance(limit.window, str):
        for moment, _ in served:
            begin, end = calendar_window(limit.window, clock.start + moment)
            assert sum(cost for at, cost in served if begin <= clock.start + at < end) <= limit.amount
    else:
        most = limit.amount + (limit.burst or limit.amount)
        for moment, _ in served:
            assert sum(cost for at, cost in served if moment <= at < moment + limit.window) <= most


@settings(deadline=None)  # the machine may be busy
@given(limits, steps)
def test_what_a_decision_says_is_so(limit, steps):
    clock, counters = counting()
    for pause, cost in steps:
        clock.passed += pause
        told = counters.take([("a", cost, limit)])
        capacity = limit.burst or limit.amount
        assert 0 <= told.remaining <= capacity
        assert counters.take([("a", 0, limit)]).remaining == told.remaining
        assert not counters.take([("a", told.remaining + 1, limit)]).allowed
        if told.allowed:
            assert told.retry_after == 0
        else:
            assert cost > told.remaining
            assert (told.retry_after == math.inf) == (cost > capacity)
            if told.retry_after < math.inf:
                clock.passed += told.retry_after * 1.0001 + 1e-6
                assert counters.take([("a", cost, limit)]).allowed


@settings(deadline=None)  # the machine may be busy
@given(limits, steps, st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4), limits), max_size=5))
def test_a_refused_take_changes_nothing(limit, steps, others):
    clock, counters = counting()
    for pause, cost in steps:
        clock.passed += pause
        counters.take([("a", cost, limit), *others])
        before = dict(counters._counted)
        capacity = limit.burst or limit.amount
        refused = counters.take([*others, ("a", capacity + 1, limit)])
        assert not refused.allowed
        assert dict(counters._counted) == before


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.integers(0, 30), pauses, limits), max_size=80), st.integers(1, 10))
def test_there_are_never_more_counters_than_there_is_room_for(calls, room):
    clock, counters = counting(max_keys=room)
    for key, pause, limit in calls:
        clock.passed += pause
        counters.take([(str(key), 1, limit)])
        assert len(counters) <= room


@settings(deadline=None)  # the machine may be busy
@given(st.sampled_from(CALENDAR), st.floats(0, 4e9))
def test_every_moment_lies_in_its_calendar_window_and_windows_meet(window, wall):
    start, end = calendar_window(window, wall)

    assert start <= wall < end
    assert calendar_window(window, end)[0] == end
    assert calendar_window(window, start) == (start, end)


def test_hands_of_the_wall_clock_alone_move_calendar_windows():
    clock = SimpleNamespace(now=lambda: 0.0, wall=lambda: clock.at, at=NOON)
    counters = LocalCounters(clock)
    counters.take([("a", 1, Limit(1, "minute"))])

    clock.at += 60
    assert counters.take([("a", 1, Limit(1, "minute"))]).allowed
