"""Plugins that hang, fail or call sys.exit as they start and end; their tasks; sources; SIGTERM ends it all."""

import gc
import signal
import sys
import time
import weakref

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import running

from .servingprocess import serving

PLUGINS = '''
import asyncio
import sys
import time

from hookgate import Interceptor, Observer, Options, Secret, SecretProvider, Source, hookimpl

KEPT = []  # what is done, in order


OVER = []  # filled by a test whose own loop is to end


async def never(swallow):
    while not OVER:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not swallow:
                raise


class LivingOptions(Options):
    start: str = ""
    stop: str = ""
    task: str = ""
    health: str = ""
    take: str = ""
    name: str = "one"


class Living(Interceptor[LivingOptions]):
    @hookimpl
    def take_over(self, old):
        KEPT.append(f"{self.options.name} takes over {old.options.name}")
        act(self.options.take)

    @hookimpl
    async def startup(self, host):
        self.host = host
        if self.options.task:
            host.start("work", self._work(self.options.task))
        await meet(self.options.start)

    async def _work(self, way):
        KEPT.append(f"{self.options.name} works")
        try:
            await meet(way)
        finally:
            KEPT.append(f"{self.options.name} has worked")

    @hookimpl
    async def shutdown(self):
        KEPT.append(f"{self.options.name} ends")
        await meet(self.options.stop)

    @hookimpl
    def health(self):
        return act(self.options.health)

    @hookimpl
    def on_request(self, exchange):
        exchange.variables["name"] = self.options.name


class Other(Living):
    """Of another class; a document may give it the same id."""


class BlockingOptions(Options):
    stop: str = ""


class Blocking(Interceptor[BlockingOptions]):
    @hookimpl
    def shutdown(self):
        time.sleep(3600)

    @hookimpl
    def on_request(self, exchange):
        pass


class Threaded(Interceptor[Options]):
    @hookimpl
    async def startup(self, host):  # a shutdown that is given up before it had a turn would start no thread
        self.thread = asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)

    @hookimpl
    async def shutdown(self):
        await self.thread

    @hookimpl
    def on_request(self, exchange):
        pass


class Hidden(SecretProvider[Options]):
    @hookimpl
    async def startup(self, host):
        host.start("watch", self._watch())

    async def _watch(self):
        KEPT.append("hidden watches")
        try:
            await never(False)
        finally:
            KEPT.append("hidden has watched")

    @hookimpl
    def resolve(self, reference):
        return Secret("value")


def act(way):
    if way == "raise":
        raise KeyError("broken")
    if way == "exit":
        sys.exit(3)


async def meet(way):
    if way == "hang":
        await never(False)
    if way == "swallow":
        await never(True)
    if way == "cancel":
        raise asyncio.CancelledError
    act(way)
'''


@pytest.fixture
def plugins(tmp_path):
    (tmp_path / "living.py").write_text(PLUGINS)
    return tmp_path


def document(*steps, name="living", **gateway):
    return {
        "gateway": {"startup_timeout": 0.3, "stop_timeout": 0.3, "drain": 0.1, "lame_duck": 0, **gateway},
        "routes": [{"name": "all", "flow": [{name: each} if isinstance(each, dict) else each for each in steps]}],
    }


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.005)


def kept(gate):
    """What plugins have done so far."""
    (module,) = {
        sys.modules[type(each).__module__]
        for each in gate.gateway.live.config.instances.values()
        if type(each).__module__.endswith("living")
    }
    return module.KEPT


def logged(gate, *words):
    return any(all(word in record.getMessage() for word in words) for record in gate.log)


def serves(gate, number):
    assert gate.gateway.live.number == number
    assert gate.request("GET", "/").json()["reason"] == "no-destination"


@pytest.mark.parametrize("way", ["hang", "swallow"])
def test_a_hanging_startup_is_given_up_and_the_next_reload_works(plugins, way):
    with running(document({}), plugins_dir=plugins) as gate:
        with pytest.raises(ConfigError, match=r"routes\.all/living: does not start within 0\.3 s and was given up"):
            gate.reload(document({"start": way, "name": "two"}))
        serves(gate, 1)
        shown = gate.gateway.status()
        assert any("does not start within" in each for each in shown["problems"])
        assert any("its startup does not end" in each for each in shown["problems"]) == (way == "swallow")
        assert gate.reload(document({"name": "three"})) == 2
        serves(gate, 2)
        assert "two ends" in kept(gate)
        (module,) = {type(e).__module__ for e in gate.gateway.live.config.instances.values() if hasattr(e, "host")}
        sys.modules[module].OVER.append(True)  # so that the test's own loop can end


@pytest.mark.parametrize("way", ["raise", "exit", "cancel"])
def test_a_startup_that_fails_in_any_way_refuses_the_document(plugins, way):
    with pytest.raises(ConfigError, match=r"routes\.all/living: could not be started: "):
        running(document({"start": way}), plugins_dir=plugins).__enter__()
    with running(document({}), plugins_dir=plugins) as gate:
        with pytest.raises(ConfigError, match=r"routes\.all/living: could not be started: "):
            gate.reload(document({"start": way, "name": "two"}))
        serves(gate, 1)


@pytest.mark.parametrize("way", ["hang", "raise", "exit", "cancel"])
def test_a_shutdown_that_hangs_or_fails_holds_up_nobody(plugins, way):
    both = document({"stop": way, "name": "bad"}, {"name": "good"})
    with running(both, plugins_dir=plugins) as gate:
        gate.reload(document({"name": "new"}))
        until(lambda: logged(gate, "routes.all/living", "shutdown"))
        until(lambda: {"bad ends", "good ends"} <= set(kept(gate)))
        until(lambda: not gate.gateway.status()["draining"])
        serves(gate, 2)
        until(lambda: gate.gateway.status()["status"] == "ok")


@pytest.mark.parametrize("way", ["raise", "exit"])
def test_health_that_fails_is_a_problem_of_its_own(plugins, way):
    with running(document({"health": way}), plugins_dir=plugins) as gate:
        assert any("routes.all/living: its hook health failed" in each for each in gate.gateway.status()["problems"])
        serves(gate, 1)
        shown = httpx.get(f"{gate.management}/-/health").json()
        assert shown["status"] == "degraded"


@pytest.mark.parametrize("way", ["raise", "exit"])
def test_a_take_over_that_fails_refuses_the_document_and_is_named(plugins, way):
    with running(document({}), plugins_dir=plugins) as gate:
        with pytest.raises(ConfigError, match=r"routes\.all/living: could not be started \(take_over\): "):
            gate.reload(document({"take": way, "name": "two"}))
        serves(gate, 1)
        assert gate.reload(document({"name": "three"})) == 2
        assert kept(gate)[-1] != "three takes over two"
        assert "three takes over one" in kept(gate)


def test_state_is_taken_over_from_an_instance_of_the_same_class_only(plugins):
    mine = {"_": {"id": "mine"}}
    with running(document({**mine, "name": "old"}), plugins_dir=plugins) as gate:
        gate.reload(document({**mine, "name": "new"}, name="other"))
        assert not [each for each in kept(gate) if "takes over" in each]
        serves(gate, 2)


def test_tasks_end_with_their_instance_and_before_its_shutdown(plugins):
    with running(document({"task": "hang", "name": "one"}), plugins_dir=plugins) as gate:
        until(lambda: "one works" in kept(gate))
        done = kept(gate)
        gate.reload(document({"task": "hang", "name": "two"}))
        until(lambda: "one ends" in done)
        assert done.index("one has worked") < done.index("one ends")
        with pytest.raises(ConfigError):
            gate.reload(document({"task": "hang", "name": "three", "start": "raise"}))
        assert ("three works" in done) == ("three has worked" in done)
        old = next(each for each in gate.gateway.live.config.instances.values() if hasattr(each, "host"))
    assert done[-2:] == ["two has worked", "two ends"]
    with pytest.raises(RuntimeError, match="its instance has ended"):
        old.host.start("late", old._work("hang"))


def test_the_tasks_of_a_secret_provider_end_with_a_document_that_is_refused(plugins):
    asking = {**document({"name": "${hidden:it}", "start": "raise"})}
    with running(document({}), plugins_dir=plugins) as gate:
        done = kept(gate)
        with pytest.raises(ConfigError):
            gate.reload(asking)
        with pytest.raises(ConfigError, match="nonsense"):
            gate.reload({**document({"name": "${hidden:it}"}), "nonsense": {}})
        assert done.count("hidden watches") == done.count("hidden has watched")
        until(lambda: not [host for host in gate.gateway.hosting._hosts.values() if host.plugin.entry.name == "hidden"])


@pytest.mark.parametrize("way", ["raise", "exit"])
def test_a_task_that_fails_is_named_and_shown_until_its_instance_ends(plugins, way):
    with running(document({"task": way}), plugins_dir=plugins) as gate:
        until(lambda: any("the task 'work' failed" in each for each in gate.gateway.status()["problems"]))
        assert logged(gate, "routes.all/living: work", "failed")
        shown = httpx.get(f"{gate.management}/-/health").json()
        assert shown["status"] == "degraded"
        assert "routes.all/living" in shown["plugins"]
        serves(gate, 1)
        gate.reload(document({"name": "two"}))
        until(lambda: gate.gateway.status()["status"] == "ok")


# --- a real process ---------------------------------------------------------------------------------------------------


ENDLESS = {
    "a shutdown that hangs": {"stop": "hang"},
    "a shutdown that swallows its cancellation": {"stop": "swallow"},
    "a task that hangs": {"task": "hang"},
    "a task that swallows its cancellation": {"task": "swallow"},
    "a shutdown that exits": {"stop": "exit"},
}


@pytest.mark.parametrize("what", ENDLESS)
def test_sigterm_ends_the_process_whatever_a_plugin_does(plugins, what):
    process, said = serving(plugins, document(ENDLESS[what], shutdown_timeout=1))
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert time.monotonic() - began < 15
    if "task that hangs" not in what:
        assert "routes.all/living" in "".join(said) + rest
    if "swallows" in what:
        assert "is given up" in rest


@pytest.mark.parametrize("name", ["blocking", "threaded"])
def test_sigterm_ends_the_process_also_where_a_plugin_blocks_the_loop_or_a_thread(plugins, name):
    process, _ = serving(plugins, document(name, shutdown_timeout=1, stop_timeout=1))
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the process does not stop" in rest


def test_a_first_document_whose_startup_hangs_ends_the_process_with_the_plugin_named(plugins):
    process, said = serving(plugins, document({"start": "swallow"}))
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert "routes.all/living: does not start within 0.3 s" in "".join(said)


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_a_gateway_that_has_ended_is_let_go_of(lane):
    document = {"gateway": {"lane": lane}, "routes": [{"name": "a", "flow": [{"respond": {"body": "a"}}]}]}
    ended = []
    for _ in range(2):  # timers of the last event loop are there until there is another one
        with running(document) as gate:
            assert gate.request("GET", "/").text == "a"
            ended.append(weakref.ref(gate.gateway))
        del gate
    gc.collect()

    assert ended[0]() is None
