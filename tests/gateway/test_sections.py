"""Sections of strangers, through a running gateway: what they may do wrong is told, and what runs goes on running."""

import threading

import pytest

from hookgate import ConfigError
from hookgate.testing import running

FILE = '''
import time
from hookgate import Definition, Options, Problem, Section, hookimpl

class Thing(Options):
    does: str = ""
    path: str = "/thing"

EVENTS = []

class Things(Section[Thing]):
    """Makes a route of each thing, or does something foolish."""

    def __init__(self, items):
        super().__init__(items)
        self.seen = []
        self._do("constructor")

    def _do(self, where):
        for item in self.items:
            what, _, place = item.record.does.partition(" in ")
            if place != where:
                continue
            if what == "raise":
                raise ZeroDivisionError("by zero")
            if what == "exit":
                raise SystemExit(3)
            if what == "stop":
                raise StopIteration
            if what == "sleep":
                time.sleep(30)
            if what == "spin":
                while True:
                    pass
            if what == "keep":
                self.kept = where
            if what == "fill":
                self.seen.append(where)
            if what == "forever":
                while True:
                    yield None
            if what == "nonsense":
                yield {"name": "a route"}
            if what == "again":
                while True:
                    yield "again"

    def _does(self, where):
        return [item.record.does for item in self.items if item.record.does.endswith(" in " + where)]

    @hookimpl
    def instances(self):
        if self._does("instances"):
            yield from self._do("instances")
        for item in self.items:
            if item.record.does == "define":
                yield Definition("mine", {"respond": {"body": "mine"}}, item.path, "interceptor")
            if item.record.does == "define what is there":
                yield Definition("theirs", "respond", item.path, "interceptor")
            if item.record.does == "define a plugin":
                yield Definition("respond", "respond", item.path, "interceptor")

    @hookimpl
    def connections(self):
        yield from self._do("connections")
        for item in self.items:
            if item.record.does == "connect":
                yield Definition("mine", {"targets": "http://127.0.0.1:9"}, item.path)
            if item.record.does == "connect what is there":
                yield Definition("theirs", {"targets": "http://127.0.0.1:9"}, item.path)
            if item.record.does == "connect with an unknown key":
                yield Definition("mine", {"targets": "http://127.0.0.1:9", "colour": "red"}, item.path)

    @hookimpl
    def routes(self, site):
        for item in self.items:
            if item.record.does == "number in routes":
                return 5
        yield from self._do("routes")
        for item in self.items:
            name, more = item.name, {}
            if item.record.does == "route what is there":
                name = "plain"
            if item.record.does == "route with an unknown key":
                more = {"colour": "red"}
            if item.record.does == "route with an unknown key inside":
                more = {"match": {"path": "/x", "colour": "red"}}
            step = {"respond": {"body": item.name}}
            route = {"name": name, "match": {"path": item.record.path}, "flow": [step], **more}
            yield site.route(route, item.path, {"match.path": "path"})

    @hookimpl
    def check(self, site):
        yield from self._do("check")
        for item in self.items:
            if item.record.does == "refuse":
                yield Problem((*item.path, "does"), "not today")

    @hookimpl
    def review(self, configuration):
        yield from self._do("review")
        for item in self.items:
            if item.record.does == "warn":
                yield Problem((*item.path, "does"), "hardly meant so")

    @hookimpl
    def detour(self, host):
        for item in self.items:
            what = item.record.does
            if what == "raise in detour":
                raise ZeroDivisionError("by zero")
            if what == "sleep in detour":
                time.sleep(30)
            if what == "nonsense in detour":
                return 5
            if what == "fail in a call":
                return fails
        return None

    @hookimpl
    async def startup(self, host):
        EVENTS.append("start")
        for item in self.items:
            if item.record.does == "raise in startup":
                raise OSError("no such device")

    @hookimpl
    async def shutdown(self):
        EVENTS.append("end")


def fails(exchange, flow):
    raise ZeroDivisionError("by zero")
'''

HINDER = {"raise": "raised ZeroDivisionError: by zero", "exit": "raised", "stop": "raised", "sleep": "within 0.5 s"}
HINDER |= {"spin": "within 0.5 s", "forever": "does not come to an end within 0.5 s"}
HINDER |= {"nonsense": "gives a dict", "keep": "keeps state in self.kept", "fill": "keeps state in self.seen"}


@pytest.fixture
def site(tmp_path):
    (tmp_path / "things.py").write_text(FILE)
    return tmp_path


def document(does="", patience=60):
    """Only what is to hang has little time: on a busy machine everything may take a while."""
    things = f'things:\n  one: {{does: "{does}"}}\n' if does else ""
    return f"""\
gateway: {{listen: ["127.0.0.1:0"], hook_timeout: {patience}}}
management: {{listen: ["127.0.0.1:0"]}}
routes:
  - {{name: plain, match: {{path: /}}, flow: [{{respond: {{body: plain}}}}]}}
connections:
  theirs: {{targets: "http://127.0.0.1:9"}}
plugins:
  theirs: {{respond: {{body: theirs}}}}
{things}"""


def refused(gate, does, patience=60):
    with pytest.raises(ConfigError) as caught:
        gate.reload(document(does, patience))
    return [str(problem) for problem in caught.value.problems]


def test_a_section_in_one_file_of_the_sites_folder_makes_routes(site):
    with running(document("nothing"), plugins_dir=site) as gate:
        assert gate.request("GET", "/thing").text == "one"
        assert gate.request("GET", "/").text == "plain"


HOOKS = ("instances", "connections", "routes", "check", "review")
HANGS = ("sleep", "spin", "forever")


def test_the_bound_of_a_hook_may_have_a_unit_before_the_section_gateway_is_read(site):
    with running(document(), plugins_dir=site) as gate:
        assert any("within 0.3 s" in line for line in refused(gate, "forever in routes", "300ms"))


@pytest.mark.parametrize(
    ("what", "hook"),
    [
        *((what, hook) for what in HINDER if what not in HANGS for hook in HOOKS),
        *((what, hook) for what in HANGS for hook in ("routes", "review")),
    ],
)
def test_a_hook_that_goes_wrong_is_named_and_what_runs_goes_on_running(what, hook, site):
    with running(document(), plugins_dir=site) as gate:
        told = refused(gate, f"{what} in {hook}", 0.5 if what in HANGS else 60)

        assert any(
            line.startswith("document.yaml:9:1: things: cannot be used: things.py:Things." + hook) for line in told
        )
        assert any(HINDER[what] in line for line in told)
        assert not any("Traceback" in line for line in told)
        assert gate.request("GET", "/").text == "plain"
        assert gate.gateway.live.number == 1
        gate.reload(document("nothing"))
        assert gate.request("GET", "/thing").text == "one"


@pytest.mark.parametrize("what", ["sleep", "spin"])
def test_calls_are_served_while_a_hook_hangs(what, site):
    patient = document(f"{what} in routes", 5)
    with running(document(), plugins_dir=site) as gate:

        def reload():
            with pytest.raises(ConfigError, match="within 5 s"):
                gate.reload(patient)

        loading = threading.Thread(target=reload, daemon=True)
        loading.start()
        for _ in range(5):
            assert gate.request("GET", "/").text == "plain"
        assert loading.is_alive()  # so none of them waited until the hook was given up
        loading.join()


def test_a_hook_that_runs_in_circles_is_ended_when_it_is_given_up(site):
    before = set(threading.enumerate())
    with running(document(), plugins_dir=site) as gate:
        refused(gate, "spin in routes", 0.5)
        for thread in set(threading.enumerate()) - before:
            if thread.name == "hookgate sections":
                thread.join(60)
                assert not thread.is_alive()


def test_a_constructor_that_fails_is_named(site):
    source = FILE.replace('self._do("constructor")', "if items: 1 / 0")
    (site / "things.py").write_text(source)
    with running(document(), plugins_dir=site) as gate:
        told = refused(gate, "nothing")

        assert told == [
            "document.yaml:9:1: things: cannot be used: things.py:Things raised ZeroDivisionError: division by zero"
        ]
        assert gate.request("GET", "/").text == "plain"


def test_what_is_no_list_is_refused(site):
    (site / "things.py").write_text(
        """
from hookgate import Options, Section, hookimpl

class Things(Section[Options]):
    @hookimpl
    def check(self, site):
        return "no"
"""
    )
    with running(document(), plugins_dir=site) as gate, pytest.raises(ConfigError) as caught:
        gate.reload(document() + "things: {}\n")
    (problem,) = caught.value.problems
    assert str(problem) == (
        "document.yaml:9:1: things: cannot be used: things.py:Things.check "
        "gives a str ('no'), where a list or a generator should be"
    )


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("define what is there", "10:3: things.one: the name 'theirs' is taken by another interceptor"),
        ("define a plugin", "10:3: things.one: 'respond' is the name of an installed plugin; give the instance a name"),
        ("connect what is there", "10:8: things.one: this makes a connection 'theirs', and there is one of that name"),
        ("connect with an unknown key", "10:3: things.one.colour: there is no option 'colour'"),
        ("route what is there", "10:8: things.one: this makes a route 'plain', and there is one of that name"),
        ("route with an unknown key", "10:8: things.one: colour: there is no option 'colour'"),
        ("route with an unknown key inside", "10:8: things.one: match.colour: there is no option 'colour'"),
        ("refuse", "10:15: things.one.does: not today"),
    ],
)
def test_what_cannot_be_added_is_told_at_the_item(does, told, site):
    with running(document(), plugins_dir=site) as gate:
        assert any(line.startswith(f"document.yaml:{told}") for line in refused(gate, does))
        assert gate.request("GET", "/").text == "plain"


def test_what_can_be_added_is_there(site):
    with running(document("connect"), plugins_dir=site) as gate:
        assert set(gate.gateway.live.backends) == {"theirs", "mine"}
        placed = document("define").replace("flow: [{respond: {body: plain}}]", "flow: [mine]")
        gate.reload(placed)
        assert gate.request("GET", "/").text == "mine"
        gate.reload(document("warn").replace("[{respond: {body: plain}}]", "[theirs]"))
        (warning,) = [each for each in gate.gateway.status()["warnings"] if "nothing calls by" not in each]
        assert warning == "document.yaml:10:15: things.one.does: hardly meant so"


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("raise in detour", "raised ZeroDivisionError: by zero"),
        ("sleep in detour", "does not come to an end within 0.5 s"),
        ("nonsense in detour", "gives an int, where a function should be"),
    ],
)
def test_a_detour_that_cannot_be_had_is_refused(does, told, site):
    with running(document(), plugins_dir=site) as gate:
        (line,) = refused(gate, does, 0.5 if "sleep" in does else 60)
        assert line.startswith("things: cannot be used: ")
        assert told in line
        assert gate.request("GET", "/").text == "plain"


@pytest.mark.parametrize("lane", [True, False])
def test_a_detour_that_fails_in_a_call_ends_that_call_and_tells_nothing(lane, site):
    text = document("fail in a call").replace("gateway: {", f"gateway: {{lane: {str(lane).lower()}, ")
    with running(text, plugins_dir=site) as gate:
        answer = gate.request("GET", "/")
        assert (answer.status_code, answer.json()["reason"]) == (500, "plugin-error")
        assert "by zero" not in answer.text
        assert any("things" in (record.getMessage() + (record.exc_text or "")) for record in gate.log)


@pytest.mark.parametrize("lane", [True, False])
def test_a_detour_may_lead_through_steps_that_wait(lane, site):
    (site / "works.py").write_text(
        """
import asyncio
from hookgate import FlowOptions, Interceptor, Options, Section, hookimpl
from hookgate.flow import Flow

class Waits(Interceptor[Options]):
    @hookimpl
    async def on_request(self, exchange):
        await asyncio.sleep(0.001)

class Works(Section[FlowOptions]):
    shape = "record"

    @hookimpl
    def detour(self, host):
        flow = Flow(self.record)
        return lambda exchange, usual: flow
"""
    )
    text = document().replace("gateway: {", f"gateway: {{lane: {str(lane).lower()}, ")
    with running(text + "works: {flow: [waits, {respond: {body: works}}]}\n", plugins_dir=site) as gate:
        assert gate.request("GET", "/").text == "works"


def test_sections_start_before_plugins_and_stop_after_them(site):
    (site / "user.py").write_text(
        '''
from hookgate import Interceptor, Options, Section, hookimpl
EVENTS = []

class Asks(Interceptor[Options]):
    """Asks a section while it starts."""

    @hookimpl
    def startup(self, host):
        self.host = host
        EVENTS.append([item.record.does for item in host.section("things").items])

    @hookimpl
    def on_response(self, exchange):
        section = self.host.section("things", Section)
        exchange.response.headers.set("x-things", " ".join(item.record.does for item in section.items))

    @hookimpl
    def shutdown(self):
        EVENTS.append("end")
'''
    )
    asked = document("first").replace("hook_timeout: 60", "hook_timeout: 60, flow: [asks]")
    with running(asked, plugins_dir=site) as gate:
        assert gate.request("GET", "/").headers["x-things"] == "first"
        gate.reload(asked.replace("first", "second"))
        assert gate.request("GET", "/").headers["x-things"] == "second"
        plugin = next(p for p in gate.gateway.live.config.instances.values() if p.entry.name == "asks")
        events = type(plugin).startup.__globals__["EVENTS"]
        assert events == [["first"]]
        gate.reload(document())
        with pytest.raises(LookupError, match="the document has no section 'things'"):
            gate.gateway.section("things")
        with pytest.raises(LookupError, match="the section 'routes' is a Routes, no Asks"):
            plugin.host.section("routes", type(plugin))


def test_a_section_lives_on_while_its_items_are_the_same(site):
    with running(document("first"), plugins_dir=site) as gate:
        first = gate.gateway.section("things")
        events = type(first).startup.__globals__["EVENTS"]
        gate.reload(document("first").replace("body: plain", "body: other"))
        assert gate.gateway.section("things") is first
        refused(gate, "raise in routes")
        assert gate.gateway.section("things") is first
        gate.reload(document("second"))
        assert gate.gateway.section("things") is not first
        refused(gate, "raise in startup")
        assert gate.gateway.section("things").items[0].record.does == "second"

    assert events.count("start") == events.count("end") == 3


def test_items_keep_nothing_that_was_written(site, monkeypatch):
    monkeypatch.setenv("A_SECRET", "hunter2")
    text = document("nothing").replace("one: {", 'one: {path: "/${env:A_SECRET}", ')
    with running(text, plugins_dir=site) as gate:
        (item,) = gate.gateway.section("things").items
        assert item.raw is None
        assert all(each.raw is None for section in gate.gateway.live.config.sections.values() for each in section.items)


def test_the_one_record_of_a_section_that_has_mistakes_is_told_once(site):
    (site / "things.py").write_text(
        """
from hookgate import Options, Problem, Section, hookimpl

class Thing(Options):
    size: int

class Things(Section[Thing]):
    shape = "record"

    @hookimpl
    def check(self, site):
        yield Problem(("things", "size"), f"{self.record.size} is too much")
"""
    )
    with running(document(), plugins_dir=site) as gate:
        for written, told in (
            ("{}", "9:9: things.size: is required"),
            ("{size: big}", "9:16: things.size: should be a whole number"),
            ("{size: 5}", "9:16: things.size: 5 is too much"),
        ):
            with pytest.raises(ConfigError) as caught:
                gate.reload(document() + f"things: {written}\n")
            assert [str(problem) for problem in caught.value.problems] == [f"document.yaml:{told}"]


def test_what_is_shown_of_items_has_no_secrets(monkeypatch):
    monkeypatch.setenv("A_SECRET", "hunter2")
    text = """
gateway: {listen: ["127.0.0.1:0"]}
management: {listen: ["127.0.0.1:0"]}
apis:
  - name: orders
    base_path: /orders
    flow: [{auth: {methods: [{api-key: {keys: {me: "${env:A_SECRET}"}}}]}}, respond]
    resources: [{path: /a, operations: {GET: {overrides: {respond: {body: "${env:A_SECRET}"}}}}}]
plans: {gold: {flow: [{respond: {body: "${env:A_SECRET}"}}]}}
plugins: {mine: {respond: {body: "${env:A_SECRET}"}}}
profiles: {me: {outbound: {bearer: {token: "${env:A_SECRET}"}}}}
connections: {a: {targets: "http://127.0.0.1:9", auth: [{bearer: {token: "${env:A_SECRET}"}}]}}
"""
    with running(text) as gate:
        assert gate.request("GET", "/orders/a", headers={"X-API-Key": "hunter2"}).text == "hunter2"
        shown = repr([section.items for section in gate.gateway.live.config.sections.values()])
        assert "hunter2" not in shown
        assert "orders" in shown
