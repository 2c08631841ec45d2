from datetime import UTC, datetime
from functools import partial

import pytest

from hookgate import (
    ConfigError,
    Decision,
    Exchange,
    Forbidden,
    Identity,
    Interceptor,
    Limit,
    Options,
    Response,
    hookimpl,
)
from hookgate.testing import MovableClock, TestHost, build, running, upstream
from hookgate.testing import through as through_any
from hookgate_interceptor_rate_limit import RateLimit

NAMES = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


class Tally:
    """Counters that allow as many takes of a key as told, and note what was wanted."""

    def __init__(self, allow=10**6, **told):
        self.allow = allow
        self.told = {"remaining": 0, "reset": 60.0, "retry_after": 12.3} | told
        self.wants = []

    @property
    def keys(self):
        return [key for key, _, _ in self.wants]

    def take(self, wants):
        ((key, cost, limit),) = wants
        self.wants.append((key, cost, limit))
        allowed = self.keys.count(key) <= self.allow
        left = self.told["remaining"] if allowed else 0
        return Decision(allowed, limit, left, self.told["reset"], 0.0 if allowed else self.told["retry_after"], key)


def limiter(counters, **options):
    step = build(RateLimit, **({"limit": 10, "window": 60} | options))
    step.startup(TestHost(counters=counters))
    return step


through = partial(through_any, start=False)
"""Every step here has counters of its own."""


def told(response):
    return tuple(response.headers.get(name) for name in NAMES)


class Known(Interceptor[Options]):
    """Identifies the caller by a header."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        subject = exchange.request.headers.get("x-user")
        exchange.identity = Identity(subject) if subject else None


class Closed(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        raise Forbidden("No.")


def test_a_used_up_limit_answers_429_and_says_when_to_come_again():
    step = limiter(Tally(allow=2))

    assert [through(step).response.status for _ in range(3)] == [200, 200, 429]
    exchange = through(step)
    assert exchange.response.headers["retry-after"] == "13"
    assert exchange.response.headers["content-type"] == "application/problem+json"
    assert exchange.fault.reason == "rate-limited"
    assert told(exchange.response) == ("10", "0", "60")


@pytest.mark.parametrize("wait", [0.0, 0.01, 1.0])
def test_the_client_is_told_to_wait_one_second_at_least(wait):
    assert through(limiter(Tally(allow=0, retry_after=wait))).response.headers["retry-after"] == "1"


def test_every_answer_tells_how_the_caller_stands():
    assert told(through(limiter(Tally(remaining=7, reset=17.2))).response) == ("10", "7", "18")


def test_an_error_further_right_tells_it_too():
    response = through(limiter(Tally(remaining=7)), Closed(Options())).response

    assert response.status == 403
    assert told(response) == ("10", "7", "60")


def test_what_the_backend_says_of_its_own_limits_is_replaced():
    def backend(exchange):
        return Response(200, {"RateLimit-Limit": "999999", "Ratelimit-Reset": "1"})

    response = through(limiter(Tally(remaining=7)), upstream=backend).response

    assert [response.headers.getall(name) for name in NAMES] == [["10"], ["7"], ["60"]]


def test_headers_can_be_left_out():
    step = limiter(Tally(allow=1), headers=False)

    assert told(through(step).response) == (None, None, None)
    refused = through(step).response
    assert (refused.status, refused.headers["retry-after"]) == (429, "13")
    assert told(refused) == (None, None, None)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_several_limits_the_tightest_is_told(order):
    steps = [limiter(Tally(remaining=5)), limiter(Tally(remaining=8), limit=100)]

    response = through(*(steps[index] for index in order)).response

    assert told(response) == ("100", "8", "60")


def test_a_limit_further_left_does_not_hide_the_one_that_refused():
    response = through(limiter(Tally(remaining=9)), limiter(Tally(allow=0), limit=100)).response

    assert response.status == 429
    assert told(response) == ("100", "0", "60")


def test_the_standing_is_left_for_other_steps():
    exchange = through(limiter(Tally(remaining=7)))

    assert exchange.variables["rate_limit"] == {"limit": 10, "remaining": 7, "reset": 60}


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, Limit(10, 60.0)),
        ({"window": "minute"}, Limit(10, "minute")),
        ({"burst": 3}, Limit(10, 60.0, 3)),
        ({"soft": 25}, Limit(12, 60.0)),
        ({"soft": 50, "burst": 4}, Limit(15, 60.0, 6)),
        ({"soft": 7, "limit": 100, "window": "day"}, Limit(107, "day")),
    ],
)
def test_the_limit_is_counted_as_written_and_each_call_costs_one(options, limit):
    counters = Tally()
    through(limiter(counters, **options))

    assert [(cost, counted) for _, cost, counted in counters.wants] == [(1, limit)]


@pytest.mark.parametrize(("left", "remaining"), [(11, "9"), (2, "0"), (1, "0"), (0, "0")])
def test_what_is_served_over_a_soft_limit_is_not_promised(left, remaining):
    response = through(limiter(Tally(remaining=left), soft=20)).response

    assert response.status == 200
    assert told(response) == ("10", remaining, "60")


def test_a_burst_is_told_as_what_may_come_at_once():
    assert told(through(limiter(Tally(remaining=3), burst=4)).response) == ("4", "3", "60")


def test_without_by_everybody_counts_together():
    counters = Tally()
    step = limiter(counters)

    through(step, client="10.0.0.1")
    through(step, client="10.0.0.2", headers={"x-user": "ann"})

    assert len(set(counters.keys)) == 1


def test_each_value_of_by_counts_on_its_own():
    counters = Tally(allow=1)
    step = limiter(counters, by="request.client")

    statuses = [through(step, client=client).response.status for client in ("10.0.0.1", "10.0.0.2", "10.0.0.1")]

    assert statuses == [200, 200, 429]


def test_callers_without_a_value_count_together_and_apart_from_all_others():
    counters = Tally(allow=1)
    known, step = Known(Options()), limiter(counters, by="identity.subject")

    statuses = [
        through(known, step, headers={"x-user": user} if user else {}).response.status
        for user in ("", "ann", "", "unknown", "?", "None")
    ]

    assert statuses == [200, 200, 429, 200, 200, 200]


def test_a_list_counts_by_all_its_items():
    counters = Tally()
    step = limiter(counters, by="{request.client, request.headers['x-user']}")

    for client, headers in [("1.1.1.1", {}), ("1.1.1.1", {"x-user": "ann"}), ("2.2.2.2", {"x-user": "ann"})]:
        through(step, client=client, headers=headers)

    assert len(set(counters.keys)) == 3


def test_a_long_value_is_counted_by_its_digest():
    counters = Tally()
    step = limiter(counters, by="request.headers['x-key']")

    for key in ("a" * 5000, "a" * 5000, "a" * 4999 + "b"):
        through(step, headers={"x-key": key})

    first, second, third = counters.keys
    assert first == second != third
    assert max(map(len, counters.keys)) < 200


def test_entries_and_strategies_never_share_a_counter():
    counters = Tally()
    steps = [limiter(counters), limiter(counters), limiter(counters, window="minute")]
    steps[2].entry = steps[0].entry

    for step in steps:
        through(step)

    assert len(set(counters.keys)) == 3


def test_a_by_that_cannot_be_evaluated_is_an_error_and_no_open_door():
    exchange = through(limiter(Tally(), by="int(request.headers['x-user'])"), headers={"x-user": "ann"})

    assert exchange.response.status == 500
    assert b"ann" not in exchange.response.body.data


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, r"limit: .*greater than or equal to 1"),
        (
            {"window": 0},
            r"^window: a window is a number of seconds above 0, or second, minute, hour, day, week or month$",
        ),
        ({"window": "fortnight"}, r"^window: a window is a number of seconds above 0, or second"),
        ({"window": float("inf")}, r"^window: a window is"),
        ({"burst": 0}, r"burst: .*greater than or equal to 1"),
        (
            {"burst": 5, "window": "minute"},
            r"burst goes with a window in seconds; a calendar window \(minute\) has none",
        ),
        ({"soft": -1}, r"soft: .*greater than or equal to 0"),
        ({"by": "identity.subjct"}, r"by: column 10: identity has no 'subjct' .*did you mean 'subject'"),
        ({"per": "client"}, r"per: "),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(RateLimit, **({"limit": 10, "window": 60} | options))


def gateway(backend, *flow, **sides):
    return {
        "routes": [{"name": "all", "flow": flow, "to": {"connection": "backend"}, **sides}],
        "connections": {"backend": {"targets": backend.url}},
    }


@pytest.mark.row("FL-40")
def test_a_minute_opened_at_its_last_seconds_renews_with_the_next_minute():
    clock = MovableClock(datetime(2024, 2, 28, 11, 55, 55, tzinfo=UTC).timestamp())
    with upstream() as backend:
        document = gateway(backend, {"rate-limit": {"limit": 2, "window": "minute"}})
        with running(document, clock=clock) as gate:
            answers = [gate.request("GET", "/") for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429]
            assert [told(answer) for answer in answers] == [("2", "1", "5"), ("2", "0", "5"), ("2", "0", "5")]
            assert answers[2].headers["retry-after"] == "5"
            assert len(backend.requests) == 2

            gate.run(clock.advance(4.9))
            assert gate.request("GET", "/").status_code == 429
            gate.run(clock.advance(0.1))
            renewed = gate.request("GET", "/")
            assert (renewed.status_code, told(renewed)) == (200, ("2", "1", "60"))


@pytest.mark.row("FL-40")
def test_a_soft_limit_serves_some_more_and_each_address_counts_on_its_own():
    with upstream() as backend:
        options = {"limit": 4, "window": "month", "soft": 50, "by": "request.client"}
        document = gateway(backend, {"rate-limit": options}) | {"gateway": {"trusted_proxies": ["127.0.0.0/8"]}}
        with running(document, clock=MovableClock()) as gate:
            answers = [gate.request("GET", "/", headers={"x-forwarded-for": "192.0.2.1"}) for _ in range(7)]
            assert [answer.status_code for answer in answers] == [200] * 6 + [429]
            assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["3", "2", "1", "0", "0", "0", "0"]
            assert gate.request("GET", "/", headers={"x-forwarded-for": "192.0.2.2"}).status_code == 200


def test_a_spread_limit_gives_places_back_one_by_one():
    clock = MovableClock()
    with (
        upstream() as backend,
        running(gateway(backend, {"rate-limit": {"limit": 3, "window": 30}}), clock=clock) as gate,
    ):
        assert [gate.request("GET", "/").status_code for _ in range(4)] == [200, 200, 200, 429]
        gate.run(clock.advance(10))
        assert [gate.request("GET", "/").status_code for _ in range(2)] == [200, 429]


def test_a_reload_goes_on_with_what_was_counted():
    with upstream() as backend:
        document = gateway(backend, {"rate-limit": {"limit": 2, "window": "day"}})
        with running(document, clock=MovableClock()) as gate:
            assert [gate.request("GET", "/").status_code for _ in range(3)] == [200, 200, 429]
            document = gateway(backend, {"rate-limit": {"limit": 3, "window": "day"}})
            gate.reload(document)
            assert [gate.request("GET", "/").status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("scope", ["flow", "request"])
def test_it_stands_on_the_way_in_and_its_headers_come_along(scope):
    with upstream() as backend:
        document = gateway(backend, **{scope: [{"rate-limit": {"limit": 2, "window": "day"}}]})
        with running(document, clock=MovableClock()) as gate:
            assert gate.request("GET", "/").headers["ratelimit-remaining"] == "1"


def test_on_the_way_out_it_is_refused_at_load():
    with upstream() as backend:
        document = gateway(backend, response=[{"rate-limit": {"limit": 2, "window": "day"}}])
        with pytest.raises(ConfigError, match="rate-limit"), running(document):
            pass


def test_who_is_counted_by_the_body_has_it_kept():
    assert build(RateLimit, limit=1, window=60, by="request.body").reads == {"request.body"}
    assert not build(RateLimit, limit=1, window=60, by="request.path").reads
