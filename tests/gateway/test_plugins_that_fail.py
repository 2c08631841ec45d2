"""Plugins beside the flow that raise, give nonsense, hang or call sys.exit: named, refused, and nothing is leaked."""

import sys
import time
import urllib.request

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import MovableClock, running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])

PLUGINS = '''
import asyncio
import sys

from hookgate import (
    Balancer, Credential, Discovery, HeaderProvider, Health, Monitor, MonitorOptions, Observer, Options, Response,
    Target, Transport, hookimpl
)

WAYS = {}  # by hook: what it does, as the test says


def act(hook, *, good=None, **others):
    """Do what a test wants of a hook."""
    way = WAYS.get(hook, "good")
    if way == "raise":
        raise KeyError("s3cret")
    if way == "exit":
        sys.exit(3)
    return good if way == "good" else others.get(way, NONSENSE.get(way))


NONSENSE = {"text": "nonsense", "true": True, "false": False, "number": 7, "empty": "", "line": "a\\r\\nX-More: 1"}


async def hang():
    await asyncio.Event().wait()


class Balancing(Balancer[Options]):
    def __init__(self, options):
        super().__init__(options)
        self.picked, self.released = [], []

    @hookimpl
    def pick(self, exchange, targets):
        target = act("pick", good=targets[0], other=Target("http", "127.0.0.1", 1))
        if target in targets:
            self.picked.append(target.url)
        return target

    @hookimpl
    def chosen(self, exchange, target, response):
        if WAYS.get("chosen") == "status":
            response.status = "404"
        if WAYS.get("chosen") == "headers":
            response.headers = None
        act("chosen")

    @hookimpl
    def release(self, target, outcome):
        self.released.append((target.url, outcome.kind))
        act("release")


class Watching(Monitor[MonitorOptions]):
    @hookimpl
    def admit(self, target):
        return act("admit")

    @hookimpl
    def observe(self, target, outcome):
        return act("observe", odd=Health(healthy="no"))


class Probing(Monitor[MonitorOptions]):
    @hookimpl
    async def probe(self, target, send):
        if WAYS.get("probe") == "cancel":
            raise asyncio.CancelledError
        return act("probe", good=Health(healthy=True), odd=Health(healthy=False, lasts="long"))


class Signing(Credential[Options]):
    @hookimpl
    async def sign(self, exchange, outbound):
        if WAYS.get("sign") == "hang":
            await hang()
        if WAYS.get("sign") == "headers":
            outbound.headers = None
        return act("sign")

    @hookimpl
    async def rejected(self, exchange, outbound, response):
        if WAYS.get("rejected") == "hang":
            await hang()
        return act("rejected", good=False)


class SigningNow(Credential[Options]):
    """In the lane nothing waits here, unless a coroutine is given."""

    @hookimpl
    def sign(self, exchange, outbound):
        return hang() if WAYS.get("sign") == "hang" else act("sign")


class Valuing(HeaderProvider[Options]):
    @hookimpl
    async def value(self, exchange, outbound):
        if WAYS.get("value") == "hang":
            await hang()
        return act("value", good="fine")


class Carrying(Transport[Options]):
    @hookimpl
    async def send(self, outbound):
        if WAYS.get("send") == "hang":
            await hang()
        return act("send", good=Response.text("carried"))


class CarryingNow(Transport[Options]):
    inline = True

    @hookimpl
    def send(self, outbound):
        return act("send", good=Response.text("carried"))


class Certain(Credential[Options]):
    @hookimpl
    def client_certificate(self):
        return act("client_certificate")


class Finding(Discovery[Options]):
    asked = 0

    @hookimpl
    async def targets(self):
        if WAYS.get("targets") == "hang":
            await hang()
        one = Target("http", "127.0.0.1", WAYS["port"])
        return act(
            "targets", good=[one], strange=[one, "http://other"], twice=[one, one],
            scheme=[Target("ftp", "127.0.0.1", 1)], weight=[Target("http", "127.0.0.1", 1, weight="2")],
        )

    @hookimpl
    async def changed(self):
        type(self).asked += 1
        if WAYS.get("changed") == "at once":
            return
        act("changed")
        await hang()


class Observing(Observer[Options]):
    @hookimpl
    def exchange_started(self, exchange):
        return act("exchange_started")

    @hookimpl
    def exchange_finished(self, exchange):
        return act("exchange_finished")

    @hookimpl
    def target_changed(self, target, health):
        return act("target_changed")

    @hookimpl
    def generation_loaded(self, host):
        host.metrics
        return act("generation_loaded")
'''


class Ways:
    """What hooks do, by name."""

    def __init__(self, folder):
        (folder / "failing.py").write_text(PLUGINS)
        self.folder = folder

    def running(self, document, **more):
        return running(document, plugins_dir=self.folder, **more)

    def all(self, gate):
        """What the plugins of a running gateway do, for a test to change."""
        (module,) = {
            sys.modules[type(each).__module__]
            for each in gate.gateway.live.config.instances.values()
            if type(each).__module__.endswith("failing")
        }
        return module.WAYS


@pytest.fixture
def ways(tmp_path):
    return Ways(tmp_path)


def document(*targets, lane=True, gateway=None, to=None, **connection):
    return {
        "gateway": {"lane": lane, "observers": ["observing"], "hook_timeout": 0.3, **(gateway or {})},
        "routes": [{"name": "all", "to": {"connection": "crm", **(to or {})}}],
        "connections": {"crm": {**({"targets": [each.url for each in targets]} if targets else {}), **connection}},
    }


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.005)


def logged(gate, *words):
    """Whether one line of the log has all of these words in it."""
    return any(all(word in record.getMessage() for word in words) for record in gate.log)


def refused(gate, plugin, hook, *, status=500, **arguments):
    """Call once: the call ends with plugin-error, and the log names who is to blame."""
    gate.log.clear()
    answer = gate.request("GET", "/", **arguments)
    assert (answer.status_code, answer.json().get("reason")) == (status, "plugin-error"), answer.text
    assert "s3cret" not in answer.text
    until(lambda: logged(gate, plugin, hook))


def at_rest(gate):
    """Nothing is in flight, no place in the pool is taken, and each pick was released once."""
    connection = gate.gateway.connection("crm")
    until(lambda: all(target.in_flight == 0 for target in connection.targets))
    until(lambda: not connection.transport.facts().get("in_use"))
    balancer = connection.balancer
    if hasattr(balancer, "picked"):
        until(lambda: [url for url, _ in balancer.released] == balancer.picked)
        balancer.picked.clear()
        balancer.released.clear()


def blameless(gate):
    """No target is held to be ill, and no attempt counts against one."""
    connection = gate.gateway.connection("crm")
    assert all(target.health.healthy and not target.failures for target in connection.targets)
    assert not (connection.counts["broken"])
    assert not (connection.counts["timeout"])
    assert not (connection.counts["connect-failed"])


def problems(gate):
    return gate.gateway.status()["problems"]


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
            assert (way != "hang") or logged(gate, "took longer than 0.3 s")
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


APPS = """
import sys
from quart import Blueprint
from hookgate import App, Options, hookimpl


class AppOptions(Options):
    way: str = "good"
    name: str = "pages"


class Pages(App[AppOptions]):
    @hookimpl
    def blueprint(self, host):
        if self.options.way == "raise":
            raise KeyError("s3cret")
        if self.options.way == "exit":
            sys.exit(3)
        if self.options.way == "nothing":
            return None
        if self.options.way == "text":
            return "pages"
        pages = Blueprint(self.options.name, __name__)
        name = self.options.name

        @pages.get(f"/{name}/good")
        async def good():
            return "good"

        @pages.get(f"/{name}/bad")
        async def bad():
            raise KeyError("s3cret")

        @pages.get(f"/{name}/exit")
        async def exit_():
            sys.exit(3)

        @pages.get(f"/{name}/nonsense")
        async def nonsense():
            return object()

        return pages
"""


@pytest.fixture
def apps(tmp_path):
    (tmp_path / "apps.py").write_text(APPS)
    return tmp_path


@pytest.mark.parametrize("way", ["raise", "exit", "nothing", "text"])
@pytest.mark.parametrize("where", ["management", "exposed", "behind a flow"])
def test_an_app_that_gives_no_pages_is_refused_at_load_with_its_place(apps, way, where):
    def documented(way):
        app = {"pages": {"way": way}}
        if where == "management":
            return {"management": {"apps": ["health", app]}}
        return {"gateway": {"expose": {"/shown": app if where == "exposed" else {"app": app, "flow": []}}}}

    place = r"management\.apps" if where == "management" else r"gateway\.expose\./shown"
    with pytest.raises(ConfigError, match=place):
        running(documented(way), plugins_dir=apps).__enter__()
    with running(documented("good"), plugins_dir=apps) as gate:
        with pytest.raises(ConfigError, match=r"pages.* cannot be shown"):
            gate.reload(documented(way))
        assert gate.gateway.live.number == 1
        url = f"{gate.management}/-" if where == "management" else f"{gate.url}/shown"
        assert httpx.get(f"{url}/pages/good").text == "good"


def test_two_apps_of_one_name_are_refused_at_load_and_both_named(apps):
    described = {"management": {"apps": ["health", "pages", {"pages": {"way": "good"}}]}}
    with pytest.raises(ConfigError, match=r"management\.apps\[2\]: management/pages#2 .*'pages'.*management/pages are"):
        running(described, plugins_dir=apps).__enter__()


@pytest.mark.parametrize("where", ["management", "exposed"])
def test_a_page_that_fails_is_one_page_and_its_app_is_named(apps, where):
    several = ["health", {"pages": {"name": "one"}}, {"pages": {"name": "two"}}]
    exposed = {"/one": {"pages": {"name": "one"}}, "/two": {"pages": {"name": "two"}}}
    described = {"management": {"apps": several}} if where == "management" else {"gateway": {"expose": exposed}}
    with running(described, plugins_dir=apps) as gate:
        for name in ("one", "two"):
            base = f"{gate.management}/-" if where == "management" else f"{gate.url}/{name}"
            for page in ("bad", "exit", "nonsense"):
                answer = httpx.get(f"{base}/{name}/{page}")
                assert answer.status_code == 500
                assert "s3cret" not in answer.text
                until(lambda page=page, name=name: logged(gate, "pages", f"/{name}/{page}"))
            assert httpx.get(f"{base}/{name}/good").text == "good"
            assert gate.request("GET", "/none").status_code == 404


def test_a_fault_of_a_page_is_its_answer_without_a_flow_too(tmp_path):
    (tmp_path / "locked.py").write_text(
        """
from quart import Blueprint
from hookgate import App, Forbidden, Options, hookimpl

class Locked(App[Options]):
    @hookimpl
    def blueprint(self, host):
        pages = Blueprint("locked", __name__)

        @pages.get("/page")
        async def page():
            raise Forbidden("Not for you.", reason="not-yours")

        return pages
"""
    )
    document = {
        "gateway": {"expose": {"/open": "locked"}},
        "management": {"apps": ["locked"]},
        "routes": [{"name": "one", "flow": ["respond"]}],
    }
    with running(document, plugins_dir=tmp_path) as gate:
        shown = [gate.request("GET", "/open/page"), httpx.get(gate.management + "/-/page")]

    assert [(answer.status_code, answer.json()["reason"]) for answer in shown] == [(403, "not-yours")] * 2
