"""The linter: each rule finds what it is for and nothing else, once, at its place, unless it is accepted."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hookgate.commands import app
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.exchange.errors import ConfigError
from hookgate.gateway.configuration import load
from hookgate.testing import running
from hookgate_linting.names import RULES
from hookgate_linting.run import Linter

PLUGINS = """
from typing import Any

from hookgate import AuthMethod, Branch, Expression, FlowOptions, Identity, Interceptor, Options, Response, hookimpl


class Passes(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange): ...


class Both(Passes):
    @hookimpl
    def on_response(self, exchange): ...


class Limit(Passes):
    writes = {"limit"}


class LimitByIdentity(Limit):
    reads = {"identity"}


class Knows(Passes):
    writes = {"identity"}


class KnowsApplication(Passes):
    writes = {"application", "identity"}


class FromIdentity(KnowsApplication):
    reads = {"identity"}


class ReadsIdentity(Passes):
    reads = {"identity"}


class ShowsIdentity(Both):
    reads = {"identity"}


class PerApplication(Both):
    reads = {"application"}


class Keeps(Passes):
    writes = {"cache", "answer-sometimes"}


class Answers(Passes):
    writes = {"answer"}


class ChangesBody(Both):
    writes = {"request.body", "response.body"}


class ChangesPath(Passes):
    writes = {"request.path"}


class Signs(Both):
    reads = {"request.body", "response.body"}
    writes = {"request.headers", "response.headers", "signature"}


class Digests(Both):
    reads = {"request.body", "response.body"}
    writes = {"request.headers", "response.headers", "digest"}


class OnWayOut(Interceptor[Options]):
    @hookimpl
    def on_response(self, exchange): ...


class SignedBody(AuthMethod[Options]):
    reads = {"request.body"}

    @hookimpl
    def identify(self, exchange): ...


class LockOptions(Options):
    method: AuthMethod[Any]


class Lock(Interceptor[LockOptions]):
    writes = {"identity"}

    @hookimpl
    def on_request(self, exchange): ...


class LockBoth(Lock):
    @hookimpl
    def on_response(self, exchange): ...


class TwoOptions(Options):
    left: FlowOptions = FlowOptions()
    right: FlowOptions = FlowOptions()


class Two(Branch[TwoOptions]):
    @property
    def branches(self):
        return {"left": self.options.left, "right": self.options.right}

    @hookimpl
    def choose(self, exchange): ...
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "steps.py").write_text(PLUGINS)
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    catalogue = Catalogue(folder)

    def run(document):
        if isinstance(document, str):
            document = parse(document.encode(), "gateway.yaml")
        return asyncio.run(load(document, catalogue))

    return run


@pytest.fixture(scope="module")
def warnings(loaded):
    """Rule and place of what is found."""

    def run(document):
        return [_shortened(str(warning)) for warning in loaded(document).warnings]

    return run


def _shortened(text):
    place = text.removeprefix("document: ").partition(": ")[0]
    return text[text.rindex("[") + 1 : -1], place


def routed(*flow, **more):
    return {"routes": [{"name": "one", "flow": list(flow), **more}]}


LOCK = {"lock": {"method": "signed-body"}}


@pytest.mark.parametrize(
    ("flow", "found"),
    [
        (["limit-by-identity", "knows"], ["limit-before-identity 0"]),
        (["limit-by-identity"], ["limit-before-identity 0"]),
        (["knows", "limit-by-identity"], []),
        (["limit", "knows"], []),
        ([{"two": {"left": {"flow": ["knows"]}}}, "limit-by-identity"], []),
        ([{"two": {"left": {"flow": ["knows"]}, "right": {"flow": ["limit-by-identity"]}}}],
         ["limit-before-identity 0.two.right.flow[0]"]),
        (["knows", {"two": {"right": {"flow": ["limit-by-identity"]}}}], []),
        (["reads-identity", "knows"], ["read-before-identity 0"]),
        (["reads-identity"], []),
        (["from-identity", "knows"], ["read-before-identity 0"]),
        (["knows", "from-identity"], []),
        (["knows", "reads-identity"], []),
        (["shows-identity", "knows"], []),
        ([{"passes": {"_": {"when": "identity.subject == 'x'"}}}, "knows"], ["read-before-identity 0"]),
        ([{"passes": {"_": {"when": "request.path == 'x'"}}}, "knows"], []),
        (["knows", {"passes": {"_": {"when": "claims.x == 1"}}}], []),
        ([{"passes": {"_": {"when": "claims.x == 1"}}}, "knows"], ["read-before-identity 0"]),
        (["per-application"], ["application-unidentified 0"]),
        (["knows", "per-application"], ["application-unidentified 1"]),
        (["per-application", "knows-application"], ["application-unidentified 0"]),
        (["knows-application", "per-application"], []),
        (["keeps", "knows"], ["cache-before-identity 0"]),
        (["keeps", "knows-application"], ["cache-before-identity 0"]),
        (["knows", "keeps"], []),
        (["keeps"], []),
        (["changes-body", LOCK], ["change-before-verification 0"]),
        ([LOCK, "changes-body"], []),
        ([{"lock-both": {"method": "signed-body"}}, "changes-body"], []),
        (["changes-path", LOCK], []),
        (["signs", "changes-path"], []),
        (["answers", "passes", "both"], ["unreachable 1", "unreachable 2"]),
        (["passes", "answers"], []),
        (["answers", "on-way-out"], []),
        ([{"answers": {"_": {"when": "request.path == '/'"}}}, "passes"], []),
        ([{"two": {"left": {"flow": ["answers"]}}}, "passes"], []),
        ([{"two": {"left": {"flow": ["answers", "passes"]}}}], ["unreachable 0.two.left.flow[1]"]),
        (["answers", {"two": {"left": {"flow": ["passes"]}}}], ["unreachable 1", "unreachable 1.two.left.flow[0]"]),
        ([{"two": {"left": {"flow": [{"passes": {"_": {"disabled": True}}}, "answers", "both"]}}}],
         ["unreachable 0.two.left.flow[2]"]),
        ([{"answers": {"_": {"disabled": True}}}, "passes"], []),
    ],
)  # fmt: skip
def test_steps_that_miss_each_other_are_found_at_their_places(flow, found, warnings):
    expected = []
    for each in found:
        rule, _, place = each.partition(" ")
        index, _, rest = place.partition(".")
        expected.append((rule, f"routes[0].flow[{index}]" + (f".{rest}" if rest else "")))
    assert warnings(routed(*flow)) == expected


@pytest.mark.parametrize(
    ("side", "flow", "found"),
    [
        ("request", ["signs", "changes-body"], [("signature-before-change", 0)]),
        ("request", ["changes-body", "signs"], []),
        ("request", ["digests", "changes-body"], [("digest-before-change", 0)]),
        ("request", ["changes-body", "digests"], []),
        ("response", ["signs", "changes-body"], []),
        ("response", ["changes-body", "signs"], [("signature-before-change", 1)]),
        ("response", ["changes-body", "digests"], [("digest-before-change", 1)]),
        ("response", ["digests", "changes-body"], []),
        ("response", ["per-application"], [("application-unidentified", 0)]),
    ],
)
def test_each_way_is_looked_at_in_the_order_it_runs(side, flow, found, warnings):
    told = [each for each in warnings({"routes": [{"name": "one", side: flow}]}) if each[0] != "goes-nowhere"]

    assert told == [(rule, f"routes[0].{side}[{index}]") for rule, index in found]


def test_what_is_found_on_the_way_in_holds_on_the_way_out(warnings):
    assert warnings({"routes": [{"name": "one", "flow": ["knows-application"], "response": ["per-application"]}]}) == []


def test_a_message_names_both_steps_the_routes_and_what_to_do(loaded):
    document = {
        "gateway": {"flow": [{"limit-by-identity": {"_": {"label": "quota"}}}]},
        "routes": [{"name": name, "match": {"path": f"/{name}"}, "flow": ["knows"]} for name in "abc"],
    }
    (warning,) = loaded(document).warnings
    assert warning.path == ("gateway", "flow", 0)
    assert warning.message == (
        "quota counts by the identity of the caller, which knows finds out only right of it, so all callers share one "
        "count: move quota right of knows (in a and 2 more) [limit-before-identity]"
    )


def test_routes_with_the_same_steps_are_counted_too(loaded):
    api = {**TREE["apis"][0], "resources": [{"path": f"/r{n}"} for n in range(5)]}
    (warning,) = loaded({**TREE, "apis": [api]}).warnings
    assert "(in orders /r0 and 4 more)" in warning.message


def test_two_steps_of_one_plugin_are_told_apart_by_their_ids(loaded):
    (warning,) = loaded(routed({"answers": {"_": {"id": "first"}}}, {"answers": {"_": {"id": "second"}}})).warnings
    assert "no call gets to second: first, left of it" in warning.message


def test_the_running_gateway_shows_its_warnings_too(folder):
    with running(routed("limit-by-identity", "knows"), plugins_dir=folder) as gate:
        (warning,) = gate.gateway.status()["warnings"]
        assert warning.endswith("[limit-before-identity]")
        gate.reload(routed("knows", "limit-by-identity"))
        assert gate.gateway.status()["warnings"] == []


TREE = {
    "apis": [
        {
            "name": "orders",
            "base_path": "/orders",
            "to": {"connection": "crm"},
            "flow": ["limit-by-identity"],
            "resources": [
                {"path": f"/r{n}", "flow": ["knows"], "operations": {"GET": {"flow": ["keeps"]}, "PUT": None}}
                for n in range(3)
            ],
        }
    ],
    "connections": {"crm": {"targets": "http://127.0.0.1:9"}},
}


def test_an_inherited_step_is_one_finding(warnings):
    assert warnings(TREE) == [("limit-before-identity", "apis[0].flow[0]")]


def test_a_shared_instance_is_one_finding_where_it_is_defined(warnings):
    document = {
        "plugins": {"quota": {"limit-by-identity": {}}},
        "routes": [{"name": name, "match": {"path": f"/{name}"}, "flow": ["quota", "knows"]} for name in "ab"],
    }
    assert warnings(document) == [("limit-before-identity", "plugins.quota")]


def accepting(rule, reason="as agreed"):
    return {"limit-by-identity": {"_": {"accept": {rule: reason}}}}


def test_a_warning_is_accepted_in_place_with_a_reason(warnings):
    assert warnings(routed(accepting("limit-before-identity"), "knows")) == []
    assert warnings(routed({"two": {"left": {"flow": [accepting("limit-before-identity")]}}}, "knows")) == []


def test_what_is_accepted_in_vain_is_a_warning(warnings):
    assert warnings(routed("knows", accepting("limit-before-identity"))) == [
        ("accepted-in-vain", "routes[0].flow[1].limit-by-identity._.accept.limit-before-identity")
    ]
    assert warnings(routed(accepting("unreachable"), "knows")) == [
        ("limit-before-identity", "routes[0].flow[0]"),
        ("accepted-in-vain", "routes[0].flow[0].limit-by-identity._.accept.unreachable"),
    ]


def test_what_one_operation_needs_is_not_accepted_in_vain_for_the_others(warnings):
    api = {
        **TREE["apis"][0],
        "flow": [accepting("limit-before-identity")],
        "resources": [
            {"path": "/a", "overrides": {"limit-by-identity": {}}},
            {"path": "/b", "inherit": False, "flow": ["knows", {"from": "limit-by-identity"}]},
        ],
    }
    assert warnings({**TREE, "apis": [api]}) == []


@pytest.mark.parametrize(
    ("accept", "words"),
    [
        ({"limit-before-identiy": "so"}, "limit-before-identiy: there is no rule 'limit-before-identiy'"),
        ({"limit-before-identiy": "so"}, "did you mean 'limit-before-identity'?"),
        ({"unreachable": "  "}, "accept.unreachable: say why it is meant so"),
        ({"accepted-in-vain": "x"}, "there is no rule"),
        ("unreachable", "should be a mapping"),
    ],
)
def test_accepting_wrongly_is_a_mistake(accept, words, loaded):
    with pytest.raises(ConfigError) as refused:
        loaded(routed({"limit-by-identity": {"_": {"accept": accept}}}))
    (problem,) = refused.value.problems
    assert words in str(problem)


@pytest.mark.parametrize(
    ("flow", "plan", "found"),
    [
        (["knows"], {"flow": ["limit"]}, [("plan-never-entered", "applications.shop.plans.orders")]),
        (["knows-application"], {"flow": ["limit"]}, []),
        (["knows"], {}, []),
        (["plan"], {"flow": ["limit"]}, [("application-unidentified", "apis[0].flow[0]")]),
        (["knows-application"], {"flow": ["answers", "limit"]}, [("unreachable", "plans.gold.flow[1]")]),
        ([{"two": {"left": {"flow": ["knows"]}}}, "knows-application"], {"flow": ["limit-by-identity"]}, []),
    ],
)
def test_plans_are_looked_into_and_missed_where_no_call_enters_them(flow, plan, found, warnings):
    api = {"name": "orders", "base_path": "/orders", "to": {"connection": "crm"}, "flow": flow}
    document = {
        "apis": [api],
        "plans": {"gold": plan},
        "applications": {name: {"client_ids": [name], "plans": {"orders": "gold"}} for name in ("shop", "other")},
        "connections": TREE["connections"],
    }
    assert warnings(document) == found


def test_a_thousand_operations_are_linted_in_less_than_a_second(folder):
    resources = [
        {"path": f"/r{n}", "flow": ["both", "passes"], "operations": {m: {"flow": ["keeps"]} for m in ("GET", "PUT")}}
        for n in range(500)
    ]
    flow = ["passes", "limit-by-identity", "knows", "both", {"two": {"left": {"flow": ["answers", "passes"]}}}]
    api = {**TREE["apis"][0], "flow": flow, "resources": resources}
    config = asyncio.run(load({**TREE, "apis": [api]}, Catalogue(folder)))

    began = time.process_time()
    linter = Linter({}, {})
    for route in config.routes:
        linter.look(route.name, config.flow, route.steps)
    found = list(linter.warnings())
    assert time.process_time() - began < 1
    assert found


def test_check_warns_and_refuses_when_it_is_strict(tmp_path):
    file = tmp_path / "gateway.yaml"
    limit = "rate-limit: {limit: 3, window: minute, by: identity.subject%s}"
    text = f"""\
routes:
  - name: orders
    flow:
      - {limit % ""}
      - auth: {{methods: [{{basic: {{users: {{ann: "${{env:ANN}}"}}}}}}]}}
      - respond
      - cors: {{allow_origins: ["https://a.example"]}}
"""
    file.write_text(text)
    environment = {"ANN": "secret-of-ann", "COLUMNS": "1000"}
    done = CliRunner().invoke(app, ["check", str(file)], env=environment)
    assert done.exit_code == 0
    first, second = done.stderr.splitlines()
    assert first.startswith(f"warning: {file}:4:9: routes[0].flow[0]: rate-limit counts by the identity")
    assert first.endswith("move rate-limit right of auth (in orders) [limit-before-identity]")
    assert second.endswith("(in orders) [unreachable]")
    assert "secret-of-ann" not in done.output

    strict = CliRunner().invoke(app, ["check", "--strict", str(file)], env=environment)
    assert strict.exit_code == 2
    assert "2 warnings" in strict.stderr

    accepted = limit % ", _: {accept: {limit-before-identity: all share it on purpose}}"
    file.write_text(text.replace(limit % "", accepted).replace("      - cors", "      # - cors"))
    strict = CliRunner().invoke(app, ["check", "--strict", str(file)], env=environment)
    assert (strict.exit_code, strict.stderr) == (0, "")


def test_the_page_explains_every_rule():
    page = (Path(__file__).parents[2] / "docs" / "flows.md").read_text(encoding="utf-8")
    assert set(RULES) <= set(re.findall(r"^\| `([a-z-]+)`", page, re.MULTILINE))
