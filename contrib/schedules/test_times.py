"""When a cron is due, over daylight saving and over times at which nobody looked."""

from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from hookgate.commands import app
from hookgate_schedules.times import Times

VIENNA = "Europe/Vienna"


def at(text):
    return datetime.fromisoformat(text).timestamp()


def shown(times, since, count):
    return [times.shown(each) for each in times.after(at(since), count)]


def test_a_fixed_time_in_a_skipped_hour_is_due_when_it_is_over():
    found = shown(Times("30 2 * * *", VIENNA), "2026-03-28T03:00:00+01:00", 3)

    assert found == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"]


def test_a_fixed_time_in_a_doubled_hour_is_due_once():
    times = Times("30 2 * * *", VIENNA)

    assert shown(times, "2026-10-24T03:00:00+02:00", 2) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    assert shown(times, "2026-10-25T02:10:00+01:00", 1) == ["2026-10-26T02:30:00+01:00"]
    assert times.last(at("2026-10-25T02:30:00+02:00"), at("2026-10-25T02:45:00+01:00")) is None


def test_what_is_due_every_hour_is_due_in_both_of_a_doubled_one_and_never_in_a_skipped_one():
    times = Times("0 * * * *", VIENNA)

    assert shown(times, "2026-10-25T01:30:00+02:00", 3) == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]
    assert shown(times, "2026-03-29T01:30:00+01:00", 2) == ["2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"]


@pytest.mark.parametrize("cron", ["* * * * *", "*/7 3 * * *", "0 0 1 * *", "0 12 29 2 *", "15 9 * * MON"])
def test_the_last_time_is_the_one_that_walking_there_finds(cron):
    times, since, now = Times(cron, "UTC"), at("2023-11-01T00:00:00+00:00"), at("2026-11-30T10:20:30+00:00")
    near = now - 4000
    walked = [each for each in times.after(near, 100) if each <= now]

    assert times.last(near, now) == (walked[-1] if walked else None)
    last = times.last(since, now)
    assert last is not None
    assert since < last <= now < times.after(last, 1)[0]


def test_years_in_which_nobody_looked_cost_no_walk_through_them():
    calls = []

    class Counting(Times):
        def _behind(self, since):
            for each in super()._behind(since):
                calls.append(each)
                yield each

    times = Counting("* * * * *", "UTC")
    calls.clear()
    assert times.last(0.0, at("2026-11-30T10:20:30+00:00")) == at("2026-11-30T10:20:00+00:00")
    assert len(calls) < 200


@pytest.mark.parametrize(
    ("cron", "zone", "why"),
    [
        ("* * * *", "UTC", "is no cron"),
        ("* * * * * *", "UTC", "is no cron"),
        ("61 * * * *", "UTC", "is no cron"),
        ("0 0 30 2 *", "UTC", "Bad day-of-month"),
        ("* * * * *", "Mars/Base", "there is no time zone"),
        ("* * * * *", "../etc/passwd", "there is no time zone"),
        ("* * * * *", "", "there is no time zone"),
    ],
)
def test_what_is_none_is_said(cron, zone, why):
    with pytest.raises(ValueError, match=why):
        Times(cron, zone)


def test_the_terminal_says_when():
    since = str(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp())
    words = ["workflow", "schedule", "next", "30 2 * * *", "--time-zone", VIENNA, "--count", "2", "--since", since]
    done = CliRunner().invoke(app, words)

    assert done.output.split() == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    assert CliRunner().invoke(app, ["workflow", "schedule", "next", "x"]).exit_code == 2
