import pytest

from hookgate import ConfigError, Health, Outcome, Target
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_monitor_passive import Passive

TARGET = Target("http", "a", 80)


@pytest.mark.parametrize(
    ("outcome", "healthy"),
    [
        (Outcome("ok", 200), True),
        (Outcome("ok", 404), True),
        (Outcome("ok", 500), True),
        (Outcome("ok", 503), False),
        (Outcome("connect-failed"), False),
        (Outcome("timeout"), False),
        (Outcome("broken", 200), False),
    ],
)
def test_failures_count_and_errors_of_the_application_do_not(outcome, healthy):
    assert build(Passive).observe(TARGET, outcome).healthy is healthy


def test_what_counts_can_be_chosen():
    plugin = build(Passive, on=[500, "timeout"], eject_for=7)

    assert plugin.observe(TARGET, Outcome("ok", 500)) == Health(healthy=False, reason="calls end in 500", lasts=7.0)
    assert plugin.observe(TARGET, Outcome("connect-failed")).healthy


def test_a_call_that_the_client_broke_off_says_nothing():
    assert build(Passive).observe(TARGET, Outcome("aborted")) is None


@pytest.mark.parametrize("options", [{"on": [200]}, {"on": ["slow"]}, {"eject_for": 0}, {"floor": 2}])
def test_nonsense_is_refused(options):
    with pytest.raises(ConfigError):
        build(Passive, **options)


def served(name, status):
    return lambda request: (status[name], {}, name)


def healths(gate):
    return [target["health"] for target in gate.gateway.status()["connections"]["crm"]]


@pytest.mark.parametrize("lane", [True, False])
def test_a_failing_target_is_out_for_a_while_then_on_trial_then_out_for_longer(lane):
    clock = MovableClock()
    status = {"a": 503, "b": 200}
    with upstream(served("a", status)) as a, upstream(served("b", status)) as b:
        document = {
            "gateway": {"lane": lane},
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {
                "crm": {
                    "targets": [a.url, b.url],
                    "balancer": "weighted-round-robin",
                    "monitor": [{"passive": {"unhealthy_after": 2, "eject_for": 10, "backoff": 3}}],
                },
            },
        }
        with running(document, clock=clock) as gate:
            calls = 0

            def call(times):
                nonlocal calls
                for _ in range(times):
                    gate.request("GET", "/")
                    calls += 1
                    gate.wait_for_exchanges(calls)

            call(4)  # in turns: a fails twice
            assert healths(gate) == ["unhealthy", "healthy"]
            call(4)
            assert len(a.requests) == 2
            gate.run(clock.advance(10))
            assert healths(gate) == ["healthy", "healthy"]
            call(2)  # one failure on trial
            assert healths(gate) == ["unhealthy", "healthy"]
            gate.run(clock.advance(29))
            assert healths(gate) == ["unhealthy", "healthy"]
            status["a"] = 200
            gate.run(clock.advance(1))
            call(4)
            assert healths(gate) == ["healthy", "healthy"]
            assert len(a.requests) == 5


def test_the_last_healthy_half_stays_in_rotation():
    status = {"a": 503, "b": 503}
    with upstream(served("a", status)) as a, upstream(served("b", status)) as b:
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": [a.url, b.url], "monitor": {"passive": {"unhealthy_after": 1}}}},
        }
        with running(document) as gate:
            for number in range(1, 7):
                assert gate.request("GET", "/").text in ("a", "b")
                gate.wait_for_exchanges(number)
            assert sorted(healths(gate)) == ["healthy", "unhealthy"]
