"""Instances with a name of their own, of every family: one instance wherever the name stands."""

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream

STRANGER = '''
"""One plugin of each family that says how often it was asked, so that one can see whether two places share it."""

from itertools import count

from quart import Blueprint

from hookgate import (
    App,
    AuthMethod,
    Balancer,
    CounterStore,
    Credential,
    Decision,
    Discovery,
    HeaderProvider,
    Health,
    Identity,
    Interceptor,
    Monitor,
    MonitorOptions,
    Observer,
    Options,
    StateStore,
    Target,
    Transport,
    hookimpl,
)
from hookgate.client.pool import UpstreamPool


class Numbered:
    def __init__(self, options):
        super().__init__(options)
        self.numbers = count(1)


class Stamp(Numbered, HeaderProvider[Options]):
    @hookimpl
    def value(self, exchange, outbound):
        return f"stamp {next(self.numbers)}"


class Badge(Numbered, Credential[Options]):
    @hookimpl
    def sign(self, exchange, outbound):
        outbound.headers.set("x-badge", f"badge {next(self.numbers)}")


class Turnstile(Numbered, AuthMethod[Options]):
    @hookimpl
    def identify(self, exchange):
        return Identity(f"visitor-{next(self.numbers)}")


class Glance(Numbered, Monitor[MonitorOptions]):
    @hookimpl
    def probe(self, target, send):
        return Health(healthy=True, reason=f"glance {next(self.numbers)}")


class TurnsOptions(Options):
    inner: Balancer | None = None


class Turns(Numbered, Balancer[TurnsOptions]):
    @hookimpl
    def pick(self, exchange, targets):
        inner = self.options.inner.pick(exchange, targets) if self.options.inner is not None else None
        exchange.variables["turn"] = f"{self.entry.id} {next(self.numbers)}"
        return inner or targets[0]


class Turn(HeaderProvider[Options]):
    @hookimpl
    def value(self, exchange, outbound):
        return exchange.variables["turn"]


class WhereOptions(Options):
    port: int


class Where(Numbered, Discovery[WhereOptions]):
    @hookimpl
    def targets(self):
        return [Target("http", "127.0.0.1", self.options.port)]

    @hookimpl
    async def changed(self):
        await self.never.wait()

    @hookimpl
    def startup(self, host):
        import asyncio

        self.never = asyncio.Event()


class Purse(Numbered, CounterStore[Options]):
    @hookimpl
    def take(self, wants):
        ((key, cost, limit),) = wants
        return Decision(True, limit, 1000 - next(self.numbers), 1.0, 0.0, key)


class Drawer(Numbered, StateStore[Options]):
    @hookimpl
    def read(self, name, key, now):
        return None

    @hookimpl
    def write(self, name, key, row, version, most, now):
        return next(self.numbers)


class Witness(Numbered, Observer[Options]):
    @hookimpl
    def exchange_finished(self, exchange):
        self.seen = next(self.numbers)

    @hookimpl
    def health(self):
        return {"seen": getattr(self, "seen", 0)}


class Board(Numbered, App[Options]):
    @hookimpl
    def blueprint(self, host):
        pages = Blueprint("board", __name__)

        @pages.get("/board")
        async def board():
            return f"look {next(self.numbers)} {self.state}"

        return pages

    @hookimpl
    def startup(self, host):
        self.state = "started"


class Keep(Interceptor[Options]):
    sides = {"request"}

    @hookimpl
    def startup(self, host):
        self.state = host.state("things")

    @hookimpl
    async def on_request(self, exchange):
        exchange.request.headers.set("x-kept", str(await self.state.put("a", 1)))


class Lonely(Numbered, Interceptor[Options]):
    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("x-lonely", f"lonely {next(self.numbers)}")


class Line(Transport[Options]):
    @hookimpl
    async def send(self, outbound):
        outbound.headers.set("x-line", f"{self.entry.id} for {self.pool.name}")
        return await self.line.send(outbound)

    @hookimpl
    def startup(self, host):
        self.line = UpstreamPool(self.pool)

    @hookimpl
    async def shutdown(self):
        await self.line.aclose()
'''


@pytest.fixture
def site(tmp_path):
    (tmp_path / "numbered.py").write_text(STRANGER)
    return tmp_path


def document(plugins, connection="", gateway="", flow="", management=""):
    """Two routes to two connections that say the same, and so place the same names."""
    return f"""\
gateway: {{listen: ["127.0.0.1:0"]{gateway}}}
management: {{listen: ["127.0.0.1:0"]{management}}}
plugins:
  {plugins}
routes:
  - {{name: one, match: {{path: /one}}, flow: [{flow}], to: {{connection: one}}}}
  - {{name: two, match: {{path: /two}}, flow: [{flow}], to: {{connection: two}}}}
connections:
  one: {{targets: ["BACKEND"]{connection}}}
  two: {{targets: ["BACKEND"]{connection}}}
"""


def calls(site, text, header):
    """What the backend is told in a header, on a call by each of the two connections, and by the first one again."""
    with upstream() as backend, running(text.replace("BACKEND", backend.url), plugins_dir=site) as gate:
        for path in ("/one", "/two", "/one"):
            assert gate.request("GET", path).status_code == 200
        return [request.header(header) for request in backend.requests]


@pytest.mark.parametrize(
    ("given", "header", "told"),
    [
        (
            document("mine: {header/stamp: {}}", ", headers: [{set: X-Stamp, from: mine}]"),
            "x-stamp",
            ["stamp 1", "stamp 2", "stamp 3"],
        ),
        (document("mine: {credential/badge: }", ", auth: [mine]"), "x-badge", ["badge 1", "badge 2", "badge 3"]),
        (
            document(
                "mine: turnstile",
                ", headers: [{set: X-Who, from: {identity: {}}}]",
                flow="{auth: {methods: [mine]}}",
            ),
            "x-who",
            ["visitor-1", "visitor-2", "visitor-3"],
        ),
    ],
    ids=["header", "credential", "auth"],
)
def test_one_instance_serves_every_place(site, given, header, told):
    assert calls(site, given, header) == told


def test_a_step_needs_no_family_in_front_and_may_have_one(site):
    for entry in ("lonely", "interceptor/lonely", "{lonely: {}}", "{interceptor/lonely: {}}"):
        text = document(f"mine: {entry}", flow="mine")
        with upstream() as backend, running(text.replace("BACKEND", backend.url), plugins_dir=site) as gate:
            told = [gate.request("GET", path).headers["x-lonely"] for path in ("/one", "/two")]

        assert told == ["lonely 1", "lonely 2"], entry


def test_one_monitor_checks_the_targets_of_two_connections(site):
    text = document("mine: {monitor/glance: {interval: 60}}", ", monitor: mine")
    with upstream() as backend, running(text.replace("BACKEND", backend.url), plugins_dir=site) as gate:
        gate.request("GET", "/one")
        found = gate.gateway.status()["connections"]

        assert {target["reason"] for (target,) in found.values()} == {"glance 1", "glance 2"}


def test_an_observer_an_app_counters_and_state_have_names_too(site):
    plugins = "eyes: witness\n  board-of-all: app/board\n  purse-of-all: purse\n  drawer-of-all: {state/drawer: }"
    text = document(
        plugins,
        gateway=", observers: [eyes], expose: {/a: board-of-all}, counters: purse-of-all, state: drawer-of-all",
        management=", apps: [board-of-all]",
        flow="keep, {rate-limit: {limit: 1000, window: 60}}",
    )
    with upstream() as backend, running(text.replace("BACKEND", backend.url), plugins_dir=site) as gate:
        assert gate.request("GET", "/one").headers["ratelimit-remaining"] == "999"
        assert gate.request("GET", "/two").headers["ratelimit-remaining"] == "998"
        assert [request.header("x-kept") for request in backend.requests] == ["1", "2"]
        assert gate.request("GET", "/a/board").text == "look 1 started"
        assert httpx.get(f"{gate.management}/-/board", trust_env=False).text == "look 2 started"
        gate.wait_for_exchanges(2)
        assert gate.gateway.status()["plugins"]["plugins.eyes/witness"]["seen"] >= 2


def test_an_app_with_a_name_is_there_where_the_management_listener_is_not(site):
    text = document(
        "board-of-all: app/board",
        gateway=", expose: {/a: board-of-all}",
        management=", enabled: false, apps: [board-of-all]",
    )
    with upstream() as backend, running(text.replace("BACKEND", backend.url), plugins_dir=site) as gate:
        assert gate.request("GET", "/a/board").text == "look 1 started"


# --- families of which one instance serves one connection ------------------------------------------------------------


def test_each_connection_has_a_balancer_a_transport_and_a_discovery_of_its_own(site):
    text = document(
        "mine: {balancer/turns: {inner: turns}}",
        ", balancer: mine, headers: [{set: X-Turn, from: turn}]",
    )
    assert calls(site, text, "x-turn") == [
        "connections.one/turns 1",
        "connections.two/turns 1",
        "connections.one/turns 2",
    ]

    text = document("mine: transport/line", ", transport: mine")
    assert calls(site, text, "x-line") == [
        "connections.one/line for one",
        "connections.two/line for two",
        "connections.one/line for one",
    ]

    with upstream() as backend:
        text = document(f"mine: {{discovery/where: {{port: {backend.url.rpartition(':')[2]}}}}}", ", discovery: mine")
        with running(text.replace('targets: ["BACKEND"], ', ""), plugins_dir=site) as gate:
            assert [gate.request("GET", path).status_code for path in ("/one", "/two")] == [200, 200]
            assert sorted(name for name in gate.gateway.live.config.instances if "where" in name) == [
                "connections.one/where",
                "connections.two/where",
            ]


def test_what_each_place_makes_for_itself_lives_on_over_a_reload(site):
    text = document("mine: balancer/turns", ", balancer: mine, headers: [{set: X-Turn, from: turn}]")
    with upstream() as backend, running(text.replace("BACKEND", backend.url), plugins_dir=site) as gate:
        gate.request("GET", "/one")
        gate.reload((text + "x-changed: 1\n").replace("BACKEND", backend.url))
        gate.request("GET", "/one")

        assert backend.requests[-1].header("x-turn") == "connections.one/turns 2"


def test_the_name_of_another_name_stands_for_the_same(site):
    text = document(
        "third: header/other\n  other: header/mine\n  mine: {header/stamp: }",
        ", headers: [{set: X-Stamp, from: third}]",
    )
    assert calls(site, text, "x-stamp") == ["stamp 1", "stamp 2", "stamp 3"]

    text = document("other: balancer/mine\n  mine: turns", ", balancer: other, headers: [{set: X-Turn, from: turn}]")
    assert calls(site, text, "x-turn")[:2] == ["connections.one/turns 1", "connections.two/turns 1"]


# --- reload ----------------------------------------------------------------------------------------------------------


def test_a_named_instance_lives_on_until_its_options_change(site):
    text = document("mine: {header/stamp: {}}", ", headers: [{set: X-Stamp, from: mine}]")
    with upstream() as backend, running(text.replace("BACKEND", backend.url), plugins_dir=site) as gate:
        gate.request("GET", "/one")
        gate.reload((text + "x-changed: 1\n").replace("BACKEND", backend.url))
        gate.request("GET", "/two")
        gate.reload(text.replace("stamp: {}", "stamp: {_: {label: new}}").replace("BACKEND", backend.url))
        gate.request("GET", "/one")

    assert [request.header("x-stamp") for request in backend.requests] == ["stamp 1", "stamp 2", "stamp 1"]


# --- mistakes --------------------------------------------------------------------------------------------------------

PLACED = """\
gateway: {listen: ["127.0.0.1:0"]}
management: {listen: ["127.0.0.1:0"]}
plugins:
  mine: ENTRY
routes:
  - {name: all, flow: [FLOW], to: {connection: crm}}
connections:
  crm: {targets: "http://127.0.0.1:9", auth: [AUTH]}
"""


def told(site, entry, flow="", auth=""):
    """What is wrong with a document that places such entries."""
    text = PLACED.replace("ENTRY", entry).replace("FLOW", flow).replace("AUTH", auth)
    with pytest.raises(ConfigError) as caught, running(text, plugins_dir=site):
        pass
    return [str(problem).removeprefix("document.yaml:") for problem in caught.value.problems]


MINE = "4:9: plugins.mine"
AUTH = "8:47: connections.crm.auth[0]"
EITHER = "'basic' is an auth and a credential; write auth/basic or credential/basic"
NOWHERE = "no plugin is installed under the name"
NO_FAMILY = "that may stand here"
THERE = "its options are written there and not where it is placed"


@pytest.mark.parametrize(
    ("entry", "flow", "auth", "place", "message"),
    [
        ("basic", "", "mine", MINE, EITHER),
        ("{basic: {username: a}}", "", "mine", "4:10: plugins.mine.basic", EITHER),
        (
            "{credential/basic: {username: a, password: b, usernam: c}}",
            "",
            "mine",
            "4:55: plugins.mine.credential/basic.usernam",
            "there is no option 'usernam'; did you mean 'username'?",
        ),
        (
            "{credentials/basic: {}}",
            "",
            "mine",
            "4:10: plugins.mine.credentials/basic",
            f"there is no family 'credentials' {NO_FAMILY}; did you mean 'credential'?",
        ),
        ("source/file", "", "", MINE, f"there is no family 'source' {NO_FAMILY}; there is app, auth"),
        ("section/routes", "", "", MINE, f"there is no family 'section' {NO_FAMILY}"),
        (
            "credential/basc",
            "",
            "mine",
            MINE,
            "no credential is installed under the name 'basc'; did you mean 'basic'?",
        ),
        ("rate-limt", "mine", "", MINE, f"{NOWHERE} 'rate-limt'; did you mean 'rate-limit'?"),
        ("lest-busy", "mine", "", MINE, f"{NOWHERE} 'lest-busy'; did you mean 'least-busy'?"),
        ("lonely", "mine", "mine", AUTH, "'mine' in `plugins:` is an interceptor, and here stands a credential"),
        ("credential/badge", "", "mne", AUTH, "there is no credential 'mne'; did you mean 'mine'?"),
        (
            "credential/badge",
            "",
            "{mine: {a: 1}}",
            "8:54: connections.crm.auth[0].mine",
            f"mine stands in `plugins:`; {THERE}",
        ),
        ("{badge: {}, stamp: {}}", "", "", MINE, "an entry is a plugin's name, or one name with its options"),
        (
            "{balancer/turns: {_: {id: x}}}",
            "",
            "",
            "4:35: plugins.mine.balancer/turns._.id",
            "an instance is made for each place, so no id fits them all",
        ),
        (
            "{balancer/turns: {inner: mine}}",
            "",
            "",
            "4:34: plugins.mine.balancer/turns.inner",
            "circular reference: mine -> mine",
        ),
    ],
)
def test_a_mistake_is_told_once_with_its_place(site, entry, flow, auth, place, message):
    (found,) = told(site, entry, flow, auth)

    assert found.startswith(f"{place}: {message}")


def test_a_name_is_taken_once_for_each_family(site):
    text = PLACED.replace("ENTRY", "credential/badge").replace("FLOW", "").replace("AUTH", "mine")
    profiles = "profiles:\n  mine: {outbound: badge}\n"
    with pytest.raises(ConfigError, match=r"the name 'mine' is taken by another credential"):
        with running(text + profiles, plugins_dir=site):
            pass
    with running(text + profiles.replace("outbound: badge", "inbound: turnstile"), plugins_dir=site) as gate:
        assert gate.gateway.live is not None


def test_a_name_that_stands_nowhere_is_warned_of(site):
    text = PLACED.replace(
        "ENTRY", "{credential/badge: }\n  idle: {header/stamp: }\n  off: {lonely: {_: {disabled: true}}}"
    )
    with running(text.replace("FLOW", "").replace("AUTH", "mine"), plugins_dir=site) as gate:
        assert gate.gateway.status()["warnings"] == [
            "document.yaml:5:9: plugins.idle: idle stands nowhere: place it, or take it out"
        ]
