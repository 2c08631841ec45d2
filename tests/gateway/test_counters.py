"""Counters are a family: the ones that ship live on over reloads, and those of a stranger serve in their place."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hookgate import ConfigError
from hookgate.testing import MovableClock, running

STRANGERS = '''
import asyncio

from hookgate import CounterStore, Decision, Options, hookimpl


class Plain(CounterStore[Options]):
    """Lets two through for each key, whatever the limit says."""

    def __init__(self, options):
        super().__init__(options)
        self._used = {}

    @hookimpl
    def take(self, wants):
        key, cost, limit = wants[0]
        used = self._used.get(key, 0) + cost
        if used > 2:
            return Decision(False, limit, 0, 9.0, 9.0, key)
        self._used[key] = used
        return Decision(True, limit, 2 - used, 9.0, 0.0, key)


class Slow(Plain):
    """The same, of somebody who has to be waited for."""

    @hookimpl
    async def take(self, wants):
        await asyncio.sleep(0)
        return Plain.take(self, wants)


class Remembering(Slow):
    """Keeps its count in the state of the house."""

    @hookimpl
    def startup(self, host):
        self._state = host.state("remembering")

    @hookimpl
    async def take(self, wants):
        key, cost, limit = wants[0]
        used = await self._state.add("all", cost, most=2)
        left = 0 if used is None else 2 - used
        return Decision(used is not None, limit, left, 9.0, 0.0 if used else 9.0, key)


class Nonsense(CounterStore[Options]):
    """Gives what is no decision."""

    @hookimpl
    def take(self, wants):
        return "yes"


class LateNonsense(CounterStore[Options]):
    """The same, later."""

    @hookimpl
    async def take(self, wants):
        return True


class Hanging(CounterStore[Options]):
    """Never decides."""

    @hookimpl
    async def take(self, wants):
        await asyncio.Event().wait()
'''


def document(counters=None, lane=True, **gateway):
    if counters is not None:
        gateway["counters"] = counters
    limits = {
        "rate": {"rate-limit": {"limit": 5, "window": 3600, "_": {"id": "rate"}}},
        "spike": {"spike-arrest": {"limit": 5, "_": {"id": "spike"}}},
    }
    return {
        "gateway": {"lane": lane, **gateway},
        "routes": [
            {"name": name, "match": {"path": f"/{name}"}, "flow": [step, {"respond": {"body": "fine"}}]}
            for name, step in {**limits, "other": "security-headers"}.items()
        ],
    }


def asked(gate, path="/rate", times=1):
    return [gate.request("GET", path).status_code for _ in range(times)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plugins").mkdir()
    Path("plugins/strangers.py").write_text(STRANGERS)
    return Path("plugins")


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
@pytest.mark.parametrize("name", ["plain", "slow", "remembering"])
def test_counters_of_a_stranger_serve_every_limit(name, lane, folder):
    with running(document(name, lane), plugins_dir=folder) as gate:
        assert asked(gate, times=3) == [200, 200, 429]
        answer = gate.request("GET", "/rate")
        assert (answer.headers["retry-after"], answer.headers["ratelimit-remaining"]) == ("9", "0")
        if name != "remembering":  # whose one count is used up
            assert asked(gate, "/spike", 3) == [200, 200, 429]


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nonsense", "gave a str, which is no Decision"),
        ("late-nonsense", "gave a bool, which is no Decision"),
        ("hanging", "gave no decision in 2.7 s"),
    ],
)
def test_counters_that_give_no_decision_let_nobody_in_and_are_named(name, says, lane, folder):
    patience = 3 if name == "hanging" else 60  # of which the counters have nine tenths, or the step would be named
    with running(document(name, lane, hook_timeout=patience), plugins_dir=folder) as gate, ThreadPoolExecutor() as pool:
        assert list(pool.map(lambda path: asked(gate, path), ("/rate", "/spike"))) == [[500], [500]]
        assert asked(gate, "/other") == [200]
        said = [record.getMessage() for record in gate.log if "failed in" in record.getMessage()]

    assert said == [f"plugin gateway/{name} failed in take: {says}"] * 2


def test_counts_live_on_when_counters_get_other_options():
    clock = MovableClock()
    with running(document(), clock=clock) as gate:
        assert asked(gate, times=3) == [200] * 3
        gate.reload(document({"local": {"max_keys": 50}}))
        assert asked(gate) == [200]
        gate.reload(document({"local": {"max_keys": 1}}))
        assert asked(gate, times=2) == [200, 429]
        gate.reload(document("local"))
        assert asked(gate) == [429]
        gate.reload(document())
        assert asked(gate) == [429]
        gate.run(clock.advance(3600))
        assert asked(gate) == [200]


def test_a_document_that_is_refused_changes_no_count(folder):
    Path("plugins/broken.py").write_text(
        "from hookgate import Interceptor, Options, hookimpl\n\n\n"
        'class Broken(Interceptor[Options]):\n    """Does not start."""\n\n'
        '    @hookimpl\n    def startup(self, host):\n        raise OSError("no")\n'
    )
    with running(document({"local": {"max_keys": 50}}), plugins_dir=folder) as gate:
        assert asked(gate, times=3) == [200] * 3
        with pytest.raises(ConfigError, match="broken"):
            gate.reload(document({"local": {"max_keys": 1}}, flow=["broken"]))
        assert asked(gate, times=3) == [200, 200, 429]


def test_more_keys_than_are_kept_push_out_the_ones_that_nobody_asked_for_longest():
    limit = {"limit": 1, "window": 3600, "by": "request.query['who']"}
    route = {"name": "one", "match": {"path": "/"}, "flow": [{"rate-limit": limit}, {"respond": {"body": "fine"}}]}

    def who(gate, names):
        return [gate.request("GET", f"/?who={name}").status_code for name in names]

    with running({"routes": [route], "gateway": {"counters": {"local": {"max_keys": 100}}}}) as gate:
        assert who(gate, range(50)) == [200] * 50
        gate.reload({"routes": [route], "gateway": {"counters": {"local": {"max_keys": 10}}}})
        assert who(gate, [49, *range(100, 150), 149]) == [429, *[200] * 50, 429]
        counters = gate.gateway.live.config.counters
        assert len(counters) == 10
        assert who(gate, [49]) == [200]


def test_counters_that_are_changed_for_others_begin_anew(folder):
    with running(document("plain"), plugins_dir=folder) as gate:
        assert asked(gate, times=3) == [200, 200, 429]
        gate.reload(document())
        assert asked(gate, times=6) == [200] * 5 + [429]
