"""Rules of strangers: they warn by their own names, are accepted as ours are, and stop nothing when they fail."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hookgate import Interceptor, Options, hookimpl
from hookgate.commands import app
from hookgate.document.catalogue import Catalogue
from hookgate.exchange.errors import ConfigError
from hookgate.gateway.configuration import load
from hookgate.testing import build
from hookgate_linting.testing import place

RULES = '''
from collections.abc import Iterable, Iterator
from typing import Any

from hookgate import Interceptor, Options, Response, Exchange, hookimpl
from hookgate_linting import Place, Rule


class NotBesideOptions(Options):
    step: str = "respond"
    """The plugin that must not stand here."""
    right_of: str
    """The plugin it must not stand right of."""


class NotBeside(Rule[NotBesideOptions]):
    """Finds steps that must not stand right of others."""

    @hookimpl
    def look(self, place: Place) -> Iterator[str]:
        if place.seen.step.entry.name != self.options.step or not place.request:
            return
        if any(each.name == self.options.right_of for each in place.before()):
            yield f"{place.seen.name} stands right of {self.options.right_of}: move it left"


class Plain(Interceptor[Options]):
    """Passes calls."""

    writes = {"answer-sometimes"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None: ...

    @hookimpl
    def on_response(self, exchange: Exchange) -> None: ...


class Ways(Rule[Options]):
    """Says on which ways it has seen a step, and what stands around it."""

    @hookimpl
    def look(self, place: Place) -> Iterable[str] | None:
        if place.seen.name != "middle":
            return None
        way = "in" if place.request else "out"
        around = [[each.name for each in steps] for steps in (place.before(), place.after(), place.earlier())]
        return [f"{way} {around} {sorted(place.seen.writes)} {sorted(place.seen.conditions)}"]


class BadOptions(Options):
    how: str = "raises"


class Bad(Rule[BadOptions]):
    """Fails."""

    @hookimpl
    def look(self, place: Place) -> Iterable[str] | None:
        how = self.options.how
        if how == "raises":
            raise RuntimeError("no idea")
        if how == "exits":
            raise SystemExit(2)
        if how == "text":
            return "a text"
        if how == "late":
            return (str(1 // number) for number in (1, 0))
        nonsense: dict[str, Any] = {"number": 7, "numbers": [7], "empty": [" "]}
        found: Iterable[str] = nonsense[how]
        return found
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "house_rules.py").write_text(RULES)
    return folder


@pytest.fixture
def warnings(folder):
    def run(document):
        return [str(warning) for warning in asyncio.run(load(document, Catalogue(folder))).warnings]

    return run


def document(*flow, rules=(), **more):
    return {"linting": {"rules": list(rules)}, "routes": [{"name": "one", "flow": list(flow), **more}]}


NOT_BESIDE = {"not-beside": {"right_of": "plain"}}


def test_a_strangers_rule_warns_by_its_own_name_at_the_place_of_the_step(warnings):
    (warning,) = warnings(document("plain", "respond", rules=[NOT_BESIDE]))

    assert warning == ("document: routes[0].flow[1]: respond stands right of plain: move it left (in one) [not-beside]")
    assert warnings(document("respond", rules=[NOT_BESIDE])) == []
    assert warnings(document("plain", "respond")) == []


def test_a_rule_sees_both_ways_in_the_order_they_run(warnings):
    middle = {"plain": {"_": {"label": "middle", "when": "request.path == '/'"}}}
    first, second = warnings(document("request-id", middle, "security-headers", rules=["ways"]))

    writes, conditions = "['answer-sometimes']", "['request']"
    assert f"in [['request-id'], [], ['request-id']] {writes} {conditions}" in first
    assert "out [['security-headers'], ['request-id'], ['request-id', 'middle', 'security-headers']]" in second


def test_one_finding_of_many_routes_is_said_once(warnings):
    routes = [{"name": name, "match": {"path": f"/{name}"}, "flow": ["respond"]} for name in "abc"]
    found = warnings({"gateway": {"flow": ["plain"]}, "linting": {"rules": [NOT_BESIDE]}, "routes": routes})

    assert len(found) == 3  # three steps that are none of them the same
    shared = {"gateway": {"flow": ["plain", "respond"]}, "linting": {"rules": [NOT_BESIDE]}}
    (warning,) = [
        each for each in warnings({**shared, "routes": [{**r, "flow": []} for r in routes]}) if "not-beside" in each
    ]
    assert "(in a and 2 more)" in warning


def test_what_a_strangers_rule_finds_is_accepted_with_a_reason(warnings):
    def accepting(rule):
        return {"respond": {"_": {"accept": {rule: "as agreed"}}}}

    assert warnings(document("plain", accepting("not-beside"), rules=[NOT_BESIDE])) == []
    (vain,) = warnings(document(accepting("not-beside"), rules=[NOT_BESIDE]))
    assert "not-beside is accepted here, and there is nothing to accept" in vain
    with pytest.raises(ConfigError, match=r"there is no rule 'not-besid'.*did you mean 'not-beside'"):
        warnings(document(accepting("not-besid"), rules=[NOT_BESIDE]))
    with pytest.raises(ConfigError, match="there is no rule 'not-beside'"):
        warnings(document(accepting("not-beside")))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("raises", "raised RuntimeError"),
        ("exits", "raised SystemExit"),
        ("late", "raised ZeroDivisionError"),
        ("text", "gave str, where a list of texts should be"),
        ("number", "raised TypeError"),
        ("numbers", "gave int, where a text should be"),
        ("empty", "gave str, where a text should be"),
    ],
)
def test_a_rule_that_fails_is_named_once_and_stops_nothing(warnings, how, why):
    accepting = {"plain": {"_": {"accept": {"bad": "so be it"}}}}
    found = warnings(document(accepting, "plain", "respond", "plain", rules=[{"bad": {"how": how}}, NOT_BESIDE]))

    assert [each for each in found if "[bad]" in each] == [
        f"document: linting.rules[0]: the rule bad looks no further, since it {why} [bad]"
    ]
    assert [each for each in found if "[not-beside]" in each]
    assert [each for each in found if "[unreachable]" in each]
    assert not [each for each in found if "[accepted-in-vain]" in each]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (["gone"], r"linting.rules\[0\]: no rule is installed under the name 'gone'"),
        (["not-beside"], r"linting.rules\[0\].*right_of: is required"),
        ([{"not-beside": {"right_of": "a", "left": 1}}], "there is no option 'left'"),
        ("not-beside", "should be a list"),
    ],
)
def test_a_rule_is_placed_as_every_plugin_is(warnings, rules, words):
    with pytest.raises(ConfigError, match=words):
        warnings({"linting": {"rules": rules}, "routes": [{"name": "one", "flow": ["respond"]}]})


class Both(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange): ...

    @hookimpl
    def on_response(self, exchange): ...


def test_a_test_makes_a_place_of_steps():
    first, second = build(Both), build(Both)
    found = place(first, second)

    assert [each.step for each in found.before()] == [first]
    assert found.seen.step is second
    assert [each.step for each in place(first, second, at=0, request=False).before()] == [second]


def test_check_shows_it(folder, tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text("""\
linting: {rules: [{not-beside: {right_of: plain}}]}
routes:
  - name: one
    flow: [plain, respond]
""")
    environment = {"HOOKGATE_PLUGINS_DIR": str(folder), "COLUMNS": "1000"}
    done = CliRunner().invoke(app, ["check", str(file)], env=environment)
    listed = CliRunner().invoke(app, ["plugins"], env=environment)

    assert done.exit_code == 0
    assert "gateway.yaml:4:19: routes[0].flow[1]: respond stands right of plain: move it left" in done.output
    assert "[not-beside]" in done.output
    assert "not-beside" in listed.output


def test_the_strangers_rules_pass_mypy_strict(folder):
    mypy = pytest.importorskip("mypy.api")
    out, _, status = mypy.run(["--strict", "--no-error-summary", "--cache-dir", "/dev/null", str(Path(folder))])

    assert status == 0, out
