"""Which targets a connection offers: several monitors, slow start, admission; and calls of the house itself."""

import pytest

from hookgate import ConfigError
from hookgate.testing import MovableClock, running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])

PLUGINS = '''
from hookgate import Health, Interceptor, Monitor, MonitorOptions, Options, Response, hookimpl


class Opinionated(Monitor[MonitorOptions]):
    """Finds what a test says."""

    findings = {}

    @hookimpl
    def probe(self, target, send):
        return Health(self.findings.get((self.entry.label, target.port), True), self.entry.label)


class Asking(Interceptor[Options]):
    """Answers with what the backend of a connection says on a call of our own."""

    @hookimpl
    def startup(self, host):
        self.host = host

    @hookimpl
    async def on_request(self, exchange):
        connection = self.host.connection("crm")
        url = exchange.request.headers["x-url"]
        try:
            found = await connection.request("POST", url, headers={"x-by": "house"}, body=b"ask", timeout=5)
        except ValueError as error:
            return Response.text(str(error), status=422)
        return Response(found.status, body=await found.body.read())
'''


@pytest.fixture
def plugins(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGINS)
    return tmp_path


def balanced(*backends, lane=True, **connection):
    return {
        "gateway": {"lane": lane},
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": [backend.url for backend in backends], **connection}},
    }


def found(gate):
    return [(target["health"], target["reason"]) for target in gate.gateway.status()["connections"]["crm"]]


def test_a_target_is_well_while_every_monitor_finds_it_well(plugins):
    clock = MovableClock()
    each = {"interval": 10, "backoff": 1, "unhealthy_after": 1}
    monitors = [
        {"opinionated": {**each, "_": {"label": "first"}}},
        {"opinionated": {**each, "_": {"label": "second"}}},
    ]
    with upstream() as a, upstream() as b:
        port = int(a.url.rpartition(":")[2])
        with running(
            balanced(a, b, balancer="weighted-round-robin", monitor=monitors), plugins_dir=plugins, clock=clock
        ) as gate:
            first, _ = gate.gateway.live.config.connections["crm"].monitors
            findings = type(first).findings
            history = []
            for opinion in ({}, {"second": False}, {"first": False, "second": False}, {"first": False}, {}):
                findings.clear()
                findings.update({(label, port): well for label, well in opinion.items()})
                gate.run(clock.advance(10))
                history.append(found(gate)[0])
                assert found(gate)[1][0] == "healthy"
            hits = len(a.requests)
            gate.request("GET", "/")
            gate.request("GET", "/")
            assert len(a.requests) == hits + 1

    assert [health for health, _ in history] == ["healthy", "unhealthy", "unhealthy", "unhealthy", "healthy"]
    assert [reason for _, reason in history[1:4]] == ["second", "first", "first"]


@BOTH
def test_a_target_that_comes_back_gets_its_share_little_by_little(lane, plugins):
    clock = MovableClock()
    monitor = {"opinionated": {"interval": 1, "backoff": 1, "unhealthy_after": 1, "_": {"label": "m"}}}
    with upstream(lambda request: (200, {}, "a")) as a, upstream(lambda request: (200, {}, "b")) as b:
        port = int(a.url.rpartition(":")[2])
        described = balanced(a, b, lane=lane, balancer="weighted-round-robin", monitor=monitor, slow_start=100)
        with running(described, plugins_dir=plugins, clock=clock) as gate:
            findings = type(gate.gateway.live.config.connections["crm"].monitors[0]).findings

            def share():
                return sum(gate.request("GET", "/").text == "a" for _ in range(100))

            findings[("m", port)] = False
            gate.run(clock.advance(1))
            assert share() == 0
            findings[("m", port)] = True
            gate.run(clock.advance(1))
            shares = [share()]
            for _ in range(3):
                gate.run(clock.advance(30))
                shares.append(share())
            gate.run(clock.advance(30))
            assert share() == 50

    assert shares == sorted(shares)
    assert 5 <= shares[0] <= 10
    assert 45 <= shares[3] < 50


def test_backups_stand_behind_one_target_and_are_apart():
    with pytest.raises(ConfigError, match="backups stand behind one target"):
        with running({"connections": {"c": {"targets": ["http://a", "http://b"], "backups": ["http://c"]}}}):
            pass
    with pytest.raises(ConfigError, match=r"backups: http://A is there twice"):
        with running({"connections": {"c": {"targets": "http://a", "backups": ["http://A"]}}}):
            pass
    with pytest.raises(ConfigError, match=r"backups\[0\]"):
        with running({"connections": {"c": {"targets": "http://a", "backups": ["http://b/path"]}}}):
            pass


@pytest.mark.row("HC-1")
def test_the_house_calls_a_connection_by_name_over_the_pool_that_calls_of_clients_use(plugins):
    with upstream() as backend:
        described = balanced(backend, base_path="/api", auth=[{"basic": {"username": "u", "password": "p"}}])
        described["routes"].append({"name": "ask", "match": {"path": "/ask"}, "flow": ["asking"]})
        described["routes"].append({"name": "ask too", "match": {"path": "/ask-too"}, "flow": ["asking"]})
        with running(described, plugins_dir=plugins) as gate:
            for path in ("/", "/ask", "/ask-too"):
                assert gate.request("GET", path, headers={"x-url": "/users/1?full=yes"}).status_code == 200
            refused = [
                gate.request("GET", "/ask", headers={"x-url": url})
                for url in ("http://other/x", "//other/x", "users", "/users#1")
            ]
            assert gate.gateway.connection("crm").counts["calls"] == 3

    assert [answer.status_code for answer in refused] == [422] * 4
    assert "http://other/x" in refused[0].text
    assert backend.connections == 1
    asked = backend.requests[1]
    assert (asked.method, asked.path, asked.query, asked.body) == ("POST", "/api/users/1", "full=yes", b"ask")
    assert (asked.header("x-by"), asked.header("authorization")) == ("house", "Basic dTpw")
    assert asked.header("x-forwarded-for") is None
