"""The conformance kit on sections: small ones with one seeded fault each, and good ones with none."""

import itertools
import threading
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from hookgate import ConfigError, Definition, Options, Problem, Refers, Section, hookimpl
from hookgate_authoring.conformance import Nonconforming, conformance

FREE = threading.Event()
COUNT = itertools.count()


class Text(Options):
    """A text."""

    path: str = "/text"
    """Where it is."""
    more: dict[str, list[str]] = {}
    """What else there is."""


class Good(Section[Text]):
    """Makes an instance, a connection, a route, a mistake and a warning of its items, and a detour."""

    def __init__(self, items=()):
        super().__init__(items)
        self.by_path = {item.record.path: [item] for item in self.items}

    @hookimpl
    def instances(self):
        return [Definition("early", {"respond": {"body": "early"}}, ("good",), "interceptor")]

    @hookimpl
    def connections(self):
        yield Definition("there", {"targets": "http://127.0.0.1:9"}, ("good",))

    @hookimpl
    def routes(self, site):
        for path, (item,) in self.by_path.items():
            yield None
            yield site.route({"name": item.name, "match": {"path": path}, "flow": ["early"]}, item.path)

    @hookimpl
    def check(self, site):
        return (Problem(item.path, "this is bad") for item in self.items if item.record.path == "/bad")

    @hookimpl
    def detour(self, host):
        return lambda exchange, flow: None

    @hookimpl
    def review(self, configuration):
        return [Problem(item.path, "this can hardly be meant so") for item in self.items]


class Listed(Section[Text]):
    """Is a list, and has no hooks."""

    shape, key = "list", ("path",)


class One(Section[Text]):
    """Is one record."""

    shape = "record"

    @hookimpl
    def review(self, configuration):
        return [Problem(("one",), self.record.path)]


class Referring(Options):
    """Refers to something."""

    to: Annotated[str, Refers("connections")]
    """A connection."""


class Refer(Section[Referring]):
    """Refers to another section."""


class KeepsDeep(Section[Text]):
    """Keeps something three containers down."""

    def __init__(self, items=()):
        super().__init__(items)
        self.index = {"texts": [{"seen": []}]}

    @hookimpl
    def check(self, site):
        self.index["texts"][0]["seen"].append(site)
        return []


class KeepsInRecord(Section[Text]):
    """Keeps something in a record, as a generator."""

    @hookimpl
    def review(self, configuration):
        for item in self.items:
            item.record.more.setdefault("seen", [])
        yield from ()


class KeepsOnClass(Section[Text]):
    """Keeps something for all."""

    seen: dict[str, int] = {}

    @hookimpl
    def check(self, site):
        self.seen["more"] = self.seen.get("more", 0) + 1
        return []


class KeepsPlainly(Section[Text]):
    """Keeps what it has made."""

    @hookimpl
    def instances(self):
        self.made = ()
        return self.made


class Changes(Section[Text]):
    """Gives another warning each time."""

    @hookimpl
    def review(self, configuration):
        return [Problem(("changes",), f"warning {next(COUNT)}")]


class Hangs(Section[Text]):
    """Waits for what does not come."""

    @hookimpl
    def check(self, site):
        FREE.wait()


class Circles(Section[Text]):
    """Comes to no end."""

    @hookimpl
    def instances(self):
        while True:
            pass


class GivesNonsense(Section[Text]):
    """Gives a route that nobody has made."""

    @hookimpl
    def routes(self, site):
        return [{"name": "mine"}]


class GivesOne(Section[Text]):
    """Gives one where several should be."""

    @hookimpl
    def check(self, site):
        return Problem(("gives-one",), "bad")


class NoDetour(Section[Text]):
    """Gives a detour that cannot be called."""

    @hookimpl
    def detour(self, host):
        return {"to": "nowhere"}


class Raises(Section[Text]):
    """Raises where it should return."""

    @hookimpl
    def routes(self, site):
        raise ValueError("what is this")


class NeedsItems(Section[Text]):
    """Does not reckon with an empty section."""

    @hookimpl
    def review(self, configuration):
        return [Problem(self.items[0].path, "the first one")]


class CannotBeMade(Section[Text]):
    """Fails when it is made."""

    def __init__(self, items=()):
        raise OSError("no disk")


class ForgetsNames(Section[Text]):
    """Does not name its items."""

    def names(self):
        return []


class NamesNumbers(Section[Text]):
    """Gives numbers for names."""

    def names(self):
        return [*super().names(), 5]


class NamesInSecret(Section[Text]):
    """Has a name more than what is written says."""

    def names(self):
        return [*super().names(), "more"]


class NamesGrow(Section[Text]):
    """Keeps who asked for names."""

    def __init__(self, items=()):
        super().__init__(items)
        self.asked = []

    def names(self):
        self.asked.append(1)
        return super().names()


class Loose(Options):
    """Takes anything."""

    model_config = {"extra": "ignore"}


class TakesAnything(Section[Loose]):
    """Does not notice what is written wrongly."""


class Tuples(Options):
    """Has a schema that is no JSON."""

    model_config = {"json_schema_extra": {"examples": ("a", "b")}}


class HasTuples(Section[Tuples]):
    """Has a schema that comes back as another one."""


class Incomparable(Options):
    """Has a field that is never the same."""

    value: Annotated[Any, AfterValidator(lambda value: object())] = None
    """Anything."""


class NeverLivesOn(Section[Incomparable]):
    """Is made anew at every reload."""


SECTIONS = [
    (KeepsDeep, "contract", "check", "keeps state in self.index['texts'][0]['seen']"),
    (KeepsInRecord, "contract", "review", "keeps state in self.items[0].record.more"),
    (KeepsOnClass, "contract", "check", "keeps state in KeepsOnClass.seen"),
    (KeepsPlainly, "contract", "instances", "keeps state in self.made"),
    (Changes, "contract", "review", "when it is asked again, and gave"),
    (Hangs, "contract", "check", "does not come to an end within 5 s"),
    (Circles, "contract", "instances", "does not come to an end within 5 s"),
    (GivesNonsense, "contract", "routes", "gives a dict"),
    (GivesOne, "contract", "check", "gives a Problem"),
    (NoDetour, "contract", "detour", "gives a dict, where a function should be"),
    (Raises, "contract", "routes", "raised ValueError: what is this"),
    (NeedsItems, "contract", "review", "raised IndexError"),
    (CannotBeMade, "contract", "CannotBeMade", "raised OSError: no disk"),
    (ForgetsNames, "contract", "names", "leaves out 'conformance'"),
    (NamesNumbers, "contract", "names", "returned ['conformance', 5]"),
    (NamesInSecret, "contract", "names_in", "is not of one mind with names(): 'more'"),
    (NamesGrow, "contract", "names", "keeps state in self.asked"),
    (TakesAnything, "schema", "Loose", "takes a key 'no-such-key-of-conformance' without a word"),
    (HasTuples, "schema", "Tuples", "does not come back as it was written"),
    (NeverLivesOn, "contract", "Incomparable", "is made anew although its items are the same"),
]


def broken(plugin, **arguments):
    with pytest.raises(Nonconforming) as caught:
        conformance(plugin, examples=1, **arguments)
    FREE.set()
    return caught.value


@pytest.mark.parametrize(
    ("section", "rule", "where", "seen"), SECTIONS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_seeded_fault_of_a_section_is_found_under_the_right_rule_and_place(section, rule, where, seen):
    FREE.clear()
    found = broken(section, options={"value": 1} if section is NeverLivesOn else {})

    told = [violation.seen for violation in found.violations if (violation.rule, violation.where) == (rule, where)]
    assert any(seen in each for each in told), str(found)
    assert found.rules == {rule}, str(found)


@pytest.mark.parametrize("section", [Good, Listed, One])
def test_a_good_section_conforms(section):
    conformance(section, options={"path": "/good"}, examples=1)


def test_a_section_is_tried_in_a_document_that_is_right():
    with pytest.raises(ConfigError, match=r"good\.conformance: this is bad"):
        conformance(Good, options={"path": "/bad"}, examples=1)
    with pytest.raises(ConfigError, match="there is no connection 'crm'"):
        conformance(Refer, options={"to": "crm"}, examples=1)

    conformance(
        Refer, options={"to": "crm"}, examples=1, document={"connections": {"crm": {"targets": "http://127.0.0.1:9"}}}
    )
