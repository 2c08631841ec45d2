"""What instances share: those before them by `take_over`, others by `host.find`."""

import pytest

from hookgate import ConfigError
from hookgate.testing import running

STRANGER = '''
"""A counter that goes on when its options change, and steps that look for others by their class."""

from typing import Any

from hookgate import Exchange, Host, Interceptor, Options, Section, hookimpl

HAPPENED: list[str] = []


class StepsOptions(Options):
    header: str = "x-steps"
    fails: str = ""


class Steps(Interceptor[StepsOptions]):
    def __init__(self, options: StepsOptions) -> None:
        super().__init__(options)
        self.counted = [0]

    @hookimpl
    def take_over(self, old: "Steps") -> None:
        HAPPENED.append("take_over")
        if self.options.fails == "take_over":
            raise ValueError("nothing there to take over")
        self.counted = old.counted

    @hookimpl
    def startup(self, host: Host) -> None:
        HAPPENED.append("startup")
        if self.options.fails == "startup":
            raise ValueError("no such device")

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        self.counted[0] += 1
        exchange.response.headers.set(self.options.header, str(self.counted[0]))
        exchange.response.headers.set("x-happened", " ".join(HAPPENED))


class OtherSteps(Steps):
    """Another class, whose hooks are the same."""


class Things(Section[Options]):
    def __init__(self, items: Any = ()) -> None:
        super().__init__(items)
        self.loads = 1

    @hookimpl
    def take_over(self, old: "Things") -> None:
        self.loads = old.loads + 1


class BoxOptions(Options):
    word: str


class Box(Interceptor[BoxOptions]):
    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        pass


class BigBox(Box):
    """Found by the class it comes from, too."""


class SeekerOptions(Options):
    seen: str = ""


class Seeker(Interceptor[SeekerOptions]):
    @hookimpl
    def startup(self, host: Host) -> None:
        self.host = host
        self.early = words(host)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        exchange.response.headers.set("x-early", self.early)
        exchange.response.headers.set("x-now", words(self.host))
        exchange.response.headers.set("x-big", str(len(self.host.find(BigBox))))
        exchange.response.headers.set("x-none", str(len(self.host.find(OtherSteps))))
        if (things := [each for each in self.host.find(Things)]):
            exchange.response.headers.set("x-loads", str(things[0].loads))


def words(host: Host) -> str:
    return " ".join(box.options.word for box in host.find(Box))
'''


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sharing.py").write_text(STRANGER)
    return tmp_path


def document(*flow, **more):
    return {"routes": [{"name": "all", "flow": [*flow, {"respond": {"body": "hello"}}]}], **more}


def answered(gate, header="x-steps"):
    return gate.request("GET", "/").headers.get(header)


# --- take_over -------------------------------------------------------------------------------------------------------

OTHER = document({"steps": {"header": "x-other"}})


def test_what_was_counted_goes_on_when_options_change(site):
    with running(document("steps"), plugins_dir=site) as gate:
        assert [answered(gate), answered(gate)] == ["1", "2"]
        gate.reload(OTHER)
        assert answered(gate, "x-other") == "3"


def test_an_instance_that_stays_is_not_asked_and_one_that_comes_is_asked_before_it_starts(site):
    with running(document("steps"), plugins_dir=site) as gate:
        assert answered(gate, "x-happened") == "startup", "nobody was there before the first"
        gate.reload(document("steps", **{"x-changed": 1}))
        assert answered(gate, "x-happened") == "startup"
        gate.reload(OTHER)
        assert answered(gate, "x-happened") == "startup take_over startup"


@pytest.mark.parametrize("entry", [{"other-steps": {"_": {"id": "kept"}}}, {"steps": {"_": {"id": "another"}}}])
def test_another_class_and_another_id_begin_anew(site, entry):
    with running(document({"steps": {"_": {"id": "kept"}}}), plugins_dir=site) as gate:
        assert [answered(gate), answered(gate)] == ["1", "2"]
        gate.reload(document(entry))
        assert answered(gate) == "1"


@pytest.mark.parametrize(
    ("flow", "told"),
    [
        ([{"steps": {"fails": "startup"}}], "routes.all/steps: could not be started: ValueError: no such device"),
        (
            [{"steps": {"fails": "take_over"}}],
            "routes.all/steps: could not be started (take_over): ValueError: nothing there to take over",
        ),
        (
            [{"steps": {"header": "x-other"}}, {"steps": {"fails": "startup"}}],
            "routes.all/steps#2: could not be started: ValueError: no such device",
        ),
    ],
)
def test_a_document_that_is_refused_leaves_the_old_instance_as_it_was(site, flow, told):
    with running(document("steps"), plugins_dir=site) as gate:
        assert answered(gate) == "1"
        with pytest.raises(ConfigError) as caught:
            gate.reload(document(*flow))
        assert told in str(caught.value)
        assert answered(gate) == "2"
        gate.reload(OTHER)
        assert answered(gate, "x-other") == "3"


def test_a_named_instance_takes_over_and_so_does_a_section(site):
    named = {"one": {"steps": {}}}
    with running(document("one", "seeker", plugins=named, things={"a": {}}), plugins_dir=site) as gate:
        assert [answered(gate), answered(gate, "x-loads")] == ["1", "1"]
        named = {"one": {"steps": {"header": "x-other"}}}
        changed = document("one", "seeker", plugins=named, things={"a": {}, "b": {}})
        gate.reload(changed)
        assert [answered(gate, "x-other"), answered(gate, "x-loads")] == ["3", "2"]
        gate.reload({**changed, "x-changed": 1})
        assert [answered(gate, "x-other"), answered(gate, "x-loads")] == ["5", "2"]


# --- find ------------------------------------------------------------------------------------------------------------


def box(word):
    return {"box": {"word": word}}


def test_instances_are_found_by_their_class_in_the_order_of_construction(site):
    with running(document(box("one"), {"big-box": {"word": "two"}}, box("three"), "seeker"), plugins_dir=site) as gate:
        assert answered(gate, "x-now") == "one two three"
        assert answered(gate, "x-big") == "1"
        assert answered(gate, "x-none") == "0"


def test_a_startup_finds_those_of_the_document_that_is_coming_and_later_those_that_are_live(site):
    with running(document("seeker", box("one")), plugins_dir=site) as gate:
        assert (answered(gate, "x-early"), answered(gate, "x-now")) == ("one", "one")
        gate.reload(document("seeker", box("two")))  # the seeker stays, and asks anew
        assert (answered(gate, "x-early"), answered(gate, "x-now")) == ("one", "two")
        gate.reload(document({"seeker": {"seen": "new"}}, box("three"), box("four")))
        assert (answered(gate, "x-early"), answered(gate, "x-now")) == ("three four", "three four")
        with pytest.raises(ConfigError):
            gate.reload(document({"seeker": {"seen": "newer"}}, box("five"), {"steps": {"fails": "startup"}}))
        assert (answered(gate, "x-early"), answered(gate, "x-now")) == ("three four", "three four")
        gate.reload(document("seeker"))
        assert (answered(gate, "x-early"), answered(gate, "x-now")) == ("", "")


def test_a_named_instance_in_many_places_is_found_once(site):
    named = {"mine": box("one")}
    with running(document("mine", "mine", "seeker", box("two"), plugins=named), plugins_dir=site) as gate:
        assert answered(gate, "x-now") == "one two"
