"""Plugins beside the flow that raise, give nonsense, hang or call sys.exit: named, refused, and nothing is leaked."""

import time
import urllib.request

import pytest

from hookgate import ConfigError
from hookgate.testing import MovableClock, upstream

from .failingplugins import BOTH, PLUGINS, Ways, at_rest, blameless, document, logged, problems, refused, until


@pytest.fixture
def ways(tmp_path):
    return Ways(tmp_path)


@BOTH
def test_a_balancer_that_fails_refuses_and_never_picks_by_accident(ways, lane):
    with (
        upstream() as one,
        upstream() as two,
        ways.running(document(one, two, lane=lane, balancer="balancing")) as gate,
    ):
        wanted = ways.all(gate)
        assert gate.request("GET", "/").status_code == 200
        at_rest(gate)
        served = len(one.requests) + len(two.requests)
        for way in ("raise", "exit", "text", "true", "number", "other"):
            wanted["pick"] = way
            refused(gate, "connections.crm/balancing", "pick")
            at_rest(gate)
        wanted["pick"] = "good"
        assert len(one.requests) + len(two.requests) == served
        assert gate.request("GET", "/").status_code == 200
        blameless(gate)


@BOTH
def test_a_balancer_that_fails_when_a_target_was_chosen_leaks_no_place(ways, lane):
    pool = {"max_connections": 1, "queue_timeout": 0.5}
    described = document(lane=lane, balancer="balancing", pool=pool)
    with upstream(lambda request: (200, {}, b"x" * 300_000)) as backend:
        described["connections"]["crm"]["targets"] = [backend.url]
        with ways.running(described) as gate:
            wanted = ways.all(gate)
            for way in ("raise", "exit", "status", "headers"):
                wanted["chosen"] = way
                refused(gate, "connections.crm/balancing", "chosen")
                at_rest(gate)
            wanted["chosen"] = "good"
            assert gate.request("GET", "/").status_code == 200
            blameless(gate)


@BOTH
def test_what_fails_when_a_call_ends_is_named_shown_and_holds_up_nobody_else(ways, lane):
    with (
        upstream() as backend,
        ways.running(document(backend, lane=lane, balancer="balancing", monitor="watching")) as gate,
    ):
        wanted = ways.all(gate)
        for way in ("raise", "exit", "true", "odd"):
            wanted.update(release="exit", observe=way)
            assert gate.request("GET", "/").status_code == 200
            until(lambda: logged(gate, "connections.crm/balancing", "release"))
            until(lambda: logged(gate, "connections.crm/watching", "observe"))
            assert any("connections.crm/watching: its hook observe failed" in each for each in problems(gate))
            assert any("connections.crm/balancing: its hook release failed" in each for each in problems(gate))
            assert gate.gateway.status()["status"] == "degraded"
            at_rest(gate)
        wanted.update(release="good", observe="good")
        assert gate.request("GET", "/").status_code == 200
        until(lambda: not problems(gate))
        assert gate.gateway.status()["status"] == "ok"
        blameless(gate)


@BOTH
def test_a_monitor_that_admits_nonsense_admits_nobody(ways, lane):
    with upstream() as backend, ways.running(document(backend, lane=lane, monitor="watching")) as gate:
        wanted = ways.all(gate)
        for way in ("raise", "exit", "true", "false", "number", "empty", "line"):
            wanted["admit"] = way
            refused(gate, "connections.crm/watching", "admit")
        wanted["admit"] = "text"
        assert gate.request("GET", "/").json()["reason"] == "nonsense"
        assert not backend.requests
        wanted["admit"] = "good"
        assert gate.request("GET", "/").status_code == 200
        blameless(gate)


@BOTH
@pytest.mark.parametrize("credential", ["signing", "signing-now"])
def test_a_credential_that_fails_sends_nothing(ways, lane, credential):
    with upstream() as backend, ways.running(document(backend, lane=lane, auth=[credential])) as gate:
        wanted = ways.all(gate)
        more = ("hang", "headers") if credential == "signing" else ("hang",)
        for way in ("raise", "exit", "text", "true", *more):
            wanted["sign"] = way
            refused(gate, f"connections.crm/{credential}", "sign")
            assert (way != "hang") or logged(gate, "took longer than 1 s")
            at_rest(gate)
        assert not backend.requests
        wanted["sign"] = "good"
        assert gate.request("GET", "/").status_code == 200
        blameless(gate)


@BOTH
def test_a_credential_that_outlasts_the_call_is_named_and_the_call_out_of_time(ways, lane):
    described = document(lane=lane, auth=["signing"], to={"timeout": 0.3}, gateway={"hook_timeout": 30})
    with upstream() as backend:
        described["connections"]["crm"]["targets"] = [backend.url]
        with ways.running(described) as gate:
            ways.all(gate)["sign"] = "hang"
            assert gate.request("GET", "/").json()["reason"] == "destination-timeout"
            until(lambda: logged(gate, "connections.crm/signing", "sign", "the time of the call"))
            at_rest(gate)
            blameless(gate)


@BOTH
def test_a_credential_that_fails_at_a_401_leaks_no_place(ways, lane):
    pool = {"max_connections": 1, "queue_timeout": 0.5}
    with upstream(lambda request: (401, {}, b"x" * 300_000)) as backend:
        with ways.running(document(backend, lane=lane, auth=["signing"], pool=pool, balancer="balancing")) as gate:
            wanted = ways.all(gate)
            for way in ("raise", "exit", "text", "number", "hang"):
                wanted["rejected"] = way
                refused(gate, "connections.crm/signing", "rejected")
                at_rest(gate)
            wanted["rejected"] = "good"
            assert gate.request("GET", "/").status_code == 401
            blameless(gate)


@BOTH
def test_a_header_whose_value_is_none_is_not_sent_without_it(ways, lane):
    headers = [{"set": "X-Value", "from": "valuing"}]
    with upstream() as backend, ways.running(document(backend, lane=lane, headers=headers)) as gate:
        wanted = ways.all(gate)
        for way in ("raise", "exit", "true", "number", "line", "hang"):
            wanted["value"] = way
            refused(gate, "valuing", "value")
            at_rest(gate)
        assert not backend.requests
        wanted["value"] = "good"
        assert gate.request("GET", "/").status_code == 200
        assert backend.requests[-1].header("x-value") == "fine"
        blameless(gate)


STRICT = [{"passive": {"unhealthy_after": 1, "floor": 0}}, {"circuit-breaker": {"failures": 1}}]


@BOTH
@pytest.mark.parametrize("transport", ["carrying", "carrying-now"])
def test_a_transport_that_fails_is_named_and_the_target_is_not(ways, lane, transport):
    described = document(lane=lane, transport=transport, balancer="balancing", monitor=STRICT)
    described["connections"]["crm"]["targets"] = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    with ways.running(described) as gate:
        wanted = ways.all(gate)
        for way in ("raise", "exit", "text", "true", "number"):
            wanted["send"] = way
            for _ in range(4):
                refused(gate, f"connections.crm/{transport}", "send")
            at_rest(gate)
        wanted["send"] = "good"
        assert gate.request("GET", "/").text == "carried"
        blameless(gate)


def test_a_transport_that_hangs_is_out_of_time(ways):
    with upstream() as backend:
        described = document(backend, transport="carrying", timeouts={"request": 0.2}, balancer="balancing")
        with ways.running(described) as gate:
            ways.all(gate)["send"] = "hang"
            assert gate.request("GET", "/").json()["reason"] == "request-timeout"
            at_rest(gate)


def test_a_monitor_that_fails_to_probe_is_named_and_shown_and_says_nothing_of_the_target(ways):
    clock = MovableClock()
    monitor = {"probing": {"interval": 1, "unhealthy_after": 1}}
    with upstream() as backend, ways.running(document(backend, monitor=monitor), clock=clock) as gate:
        wanted = ways.all(gate)
        (target,) = gate.gateway.connection("crm").targets
        until(lambda: target.last_seen is not None)
        for way in ("raise", "exit", "text", "true", "odd", "cancel"):
            wanted["probe"] = way
            gate.run(clock.advance(1.1))
            until(lambda: any("connections.crm/probing: its hook probe failed" in each for each in problems(gate)))
            assert logged(gate, "connections.crm/probing", "probe")
            assert target.health.healthy
            assert not target.failures
            wanted["probe"] = "good"
            gate.run(clock.advance(1.1))
            until(lambda: not problems(gate))
        assert gate.request("GET", "/").status_code == 200


def test_a_credential_that_fails_in_a_check_is_named_and_says_nothing_of_the_target(ways):
    clock = MovableClock()
    monitor = {"http": {"interval": 1, "unhealthy_after": 1}}
    with upstream() as backend, ways.running(document(backend, monitor=monitor, auth=["signing"]), clock=clock) as gate:
        wanted = ways.all(gate)
        (target,) = gate.gateway.connection("crm").targets
        until(lambda: target.last_seen is not None)
        wanted["sign"] = "exit"
        gate.run(clock.advance(1.1))
        until(lambda: any("connections.crm/signing: its hook sign failed" in each for each in problems(gate)))
        assert target.health.healthy
        wanted["sign"] = "good"
        gate.run(clock.advance(1.1))
        until(lambda: not problems(gate))


@pytest.mark.parametrize("way", ["raise", "exit", "text", "true", "number", "strange", "twice", "scheme", "weight"])
def test_a_discovery_that_finds_nonsense_is_named_and_the_targets_stay(ways, way):
    clock = MovableClock()
    with upstream() as backend:
        (ways.folder / "failing.py").write_text(PLUGINS.replace("WAYS = {}", f"WAYS = {{'port': {backend.port}}}"))
        with ways.running(document(discovery="finding", balancer="balancing"), clock=clock) as gate:
            wanted = ways.all(gate)
            (target,) = gate.gateway.connection("crm").targets
            wanted.update(targets=way)
            gate.run(_look(gate))
            assert logged(gate, "connections.crm/finding", "targets")
            assert any("connections.crm/finding: its hook targets failed" in each for each in problems(gate))
            assert gate.gateway.connection("crm").targets == [target]
            assert gate.request("GET", "/").status_code == 200
            wanted.update(targets="good")
            gate.run(_look(gate))
            assert not problems(gate)


async def _look(gate):
    await gate.gateway.live.backends["crm"].finder.look()


def test_a_discovery_whose_changed_is_no_wait_at_all_leaves_others_their_time(ways):
    with upstream() as backend:
        source = PLUGINS.replace("WAYS = {}", f"WAYS = {{'port': {backend.port}, 'changed': 'at once'}}")
        (ways.folder / "failing.py").write_text(source)
        with ways.running(document(discovery="finding", balancer="balancing")) as gate:
            time.sleep(0.5)
            (finder,) = [each for each in gate.gateway.live.config.instances.values() if hasattr(each, "asked")]
            assert finder.asked <= 2
            assert gate.request("GET", "/").status_code == 200


@pytest.mark.parametrize("way", ["raise", "exit", "text", "true", "number"])
def test_a_credential_whose_certificate_is_none_is_refused_at_load_and_named(ways, way):
    good = document(auth=["certain"])
    good["connections"]["crm"]["targets"] = ["https://127.0.0.1:1"]
    with ways.running(good) as gate:
        ways.all(gate)["client_certificate"] = way
        before = gate.gateway.live.number
        changed = {**good, "connections": {"crm": {**good["connections"]["crm"], "base_path": "/other"}}}
        with pytest.raises(ConfigError, match=r"connections\.crm/certain failed in client_certificate"):
            gate.reload(changed)
        assert gate.gateway.live.number == before
        ways.all(gate)["client_certificate"] = "good"
        assert gate.reload(changed) == before + 1


@BOTH
def test_observers_that_call_sys_exit_end_nothing_and_what_they_return_is_nothing(ways, lane):
    clock = MovableClock()
    monitor = {"probing": {"interval": 1, "unhealthy_after": 1}}
    with upstream() as backend, ways.running(document(backend, lane=lane, monitor=monitor), clock=clock) as gate:
        wanted = ways.all(gate)
        for way in ("exit", "raise", "true", "text"):
            hooks = ("exchange_started", "exchange_finished", "target_changed", "generation_loaded")
            wanted.update(dict.fromkeys(hooks, way))
            assert gate.request("GET", "/").status_code == 200
            target = gate.gateway.connection("crm").targets[0]
            gate.run(_tell(gate, target))
            gate.reload()
            assert gate.request("GET", "/").status_code == 200
        for hook in hooks:
            assert logged(gate, "gateway/observing", hook), hook
        with urllib.request.urlopen(f"{gate.management}/-/health", timeout=60) as answer:
            assert answer.status == 200


async def _tell(gate, target):
    gate.gateway.target_changed(target, target.health)
