"""Plugins whose hooks do as a test says, and what a gateway is to be like when they failed."""

import sys
import time

import pytest

from hookgate.testing import running

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


def document(*targets, lane=True, gateway=None, to=None, **connection):
    return {
        "gateway": {"lane": lane, "observers": ["observing"], "hook_timeout": 1, **(gateway or {})},
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
