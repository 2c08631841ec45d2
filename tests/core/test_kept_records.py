"""Records that are written as before are not checked again, and nobody can tell but by the time that it takes."""

import asyncio
import copy

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hookgate.document.catalogue import Catalogue
from hookgate.document.document import Document
from hookgate.exchange.errors import ConfigError
from hookgate.gateway.configuration import load

INSTALLED = Catalogue()
STAMP = st.sampled_from(["1", "2"]).map(lambda value: {"headers": {"response": {"set": {"X-S": value}}}})
STEPS = st.sampled_from(
    [
        "request-id",
        "stamp",
        "once",
        "missing",
        {"headers": {"request": {"set": {"X-A": "1"}}}},
        {"headers": {"request": {"set": {"X-A": "2"}}, "_": {"id": "mine"}}},
        {"headers": {"request": {"set": {"X-B": "1"}}, "_": {"disabled": True}}},
        {"headers": {"request": {"set": {"X-B": "1"}}, "_": {"when": "request.method == 'GET'"}}},
        {"when": {"if": "true", "flow": ["stamp", {"respond": {"body": "x"}}]}},
        {"when": {"if": "true", "flow": [{"headers": {"nonsense": 1}}]}},
        {"script": {"file": "none.py"}},
    ]
)
ROUTE = st.fixed_dictionaries(
    {"flow": st.lists(STEPS, max_size=3)},
    optional={"to": st.fixed_dictionaries({"connection": st.sampled_from(["a", "b", "gone"])})},
)
CONNECTION = st.fixed_dictionaries(
    {"targets": st.sampled_from(["http://127.0.0.1:1", "http://127.0.0.1:2", "nowhere"])},
    optional={
        "auth": st.just([{"basic": {"username": "u", "password": "p"}}]),
        "backup_urls": st.just(["http://127.0.0.1:3"]),
    },
)
DOCUMENT = st.fixed_dictionaries(
    {
        "routes": st.dictionaries(st.sampled_from("rstu"), ROUTE, max_size=4),
        "connections": st.dictionaries(st.sampled_from("ab"), CONNECTION, max_size=2),
        "plugins": st.fixed_dictionaries({"stamp": STAMP}, optional={"once": st.just("request-id")}),
    }
)


def document(drawn):
    routes = [{"name": name, "match": {"path": f"/{name}"}, **body} for name, body in drawn["routes"].items()]
    found = {**drawn, "routes": routes}
    return Document.of(copy.deepcopy(found))


def outcome(*arguments, **more):
    """What a document comes to, in words; and itself."""
    try:
        config = asyncio.run(load(*arguments, **more))
    except ConfigError as error:
        return [str(problem) for problem in error.problems], None
    placed = [each for each in config.instances.values() if not each.entry.id.startswith("sections.")]
    told = {
        "instances": [(each.entry.id, type(each), repr(each.options), repr(each.entry)) for each in placed],
        "placed": config.placed,
        "accepts": config.accepts,
        "warnings": [str(each) for each in config.warnings],
        "routes": [
            (
                each.name,
                repr(each.section),
                [(step.entry.id, repr(step.options)) for _, step in each.steps.ways().way_out],
            )
            for each in config.routes
        ],
    }
    return told, config


def routed(plugins=None, connections=None, **flows):
    routes = {name: flow if isinstance(flow, dict) else {"flow": flow} for name, flow in flows.items()}
    return {"routes": routes, "connections": connections or {}, "plugins": plugins or {}}


MINE = {"headers": {"request": {"set": {"X-A": "1"}}, "_": {"id": "mine"}}}
CALLED = {"a": {"targets": "http://127.0.0.1:1", "backup_urls": ["http://127.0.0.1:3"]}}
GONE = [routed(connections=CALLED, r={"to": {"connection": "a"}}), routed(r={"to": {"connection": "a"}})]
OTHERS = [routed({"stamp": {"headers": {"response": {"set": {"X-S": n}}}}}, r=["stamp"]) for n in "12"]


@settings(deadline=None, max_examples=100)
@example([routed(s=[MINE]), routed(r=[MINE], s=[MINE])])
@example([routed(connections=CALLED, r=[]), routed(connections=CALLED, s=[])])
@example(GONE)
@example(OTHERS)
@given(st.lists(DOCUMENT, min_size=2, max_size=4))
def test_a_document_comes_to_the_same_whatever_was_kept_of_those_before_it(drawn):
    kept = previous = None
    for each in drawn:
        fresh, _ = outcome(document(each), INSTALLED)
        again, config = outcome(document(each), INSTALLED, previous, kept=kept)
        assert again == fresh
        if config is not None:
            once_more, same = outcome(document(each), INSTALLED, config.instances, kept=config.kept)
            assert once_more == fresh
            steps = {key for key in config.instances if key.startswith("routes.")}
            assert all(same.instances[key] is config.instances[key] for key in steps), "they live on"
            kept, previous = config.kept, config.instances


def test_only_what_is_written_anew_is_checked(tmp_path):
    (tmp_path / "counting.py").write_text(COUNTING)
    catalogue = Catalogue(tmp_path)
    counted = catalogue.get("interceptor", "counting")

    def written(*texts):
        routes = [
            {"name": f"r{number}", "match": {"path": f"/{number}"}, "flow": [{"counting": {"text": text}}]}
            for number, text in enumerate(texts)
        ]
        return Document.of({"routes": routes})

    def checked(*arguments, **more):
        counted.checked.clear()
        config = asyncio.run(load(*arguments, **more))
        return config, list(counted.checked)

    first, all_of_them = checked(written("a", "b", "c"), catalogue)
    assert all_of_them == ["a", "b", "c"]
    second, changed = checked(written("a", "B", "c"), catalogue, first.instances, kept=first.kept)
    assert changed == ["B"]
    third, moved = checked(written("x", "a"), catalogue, second.instances, kept=second.kept)
    assert moved == ["x", "a"], "another route has it now"
    counted = (other := Catalogue(tmp_path)).get("interceptor", "counting")
    _, strange = checked(written("x", "a"), other, third.instances, kept=third.kept)
    assert strange == ["x", "a"], "the plugins were read anew"


COUNTING = '''
from pydantic import field_validator
from hookgate import Interceptor, Options, hookimpl


class CountingOptions(Options):
    """Counts how often it is checked."""

    text: str
    """What is counted."""

    @field_validator("text")
    @classmethod
    def _count(cls, text: str) -> str:
        Counting.checked.append(text)
        return text


class Counting(Interceptor[CountingOptions]):
    """Counts how often its options are checked."""

    checked: list[str] = []

    @hookimpl
    def on_request(self, exchange):
        """Nothing."""
'''


def test_what_names_a_file_is_checked_again_for_the_file_may_be_another(tmp_path):
    (tmp_path / "reading.py").write_text(READING)
    catalogue = Catalogue(tmp_path)
    written = tmp_path / "told.txt"
    said = {"name": "one", "match": {"path": "/"}, "flow": [{"reading": {"file": str(written)}}]}
    told, kept, previous = [], None, None
    for text in ("first", "second"):
        written.write_text(text)
        config = asyncio.run(load(Document.of({"routes": [said]}), catalogue, previous, kept=kept))
        told.append(config.instances["routes.one/reading"].options.text)
        kept, previous = config.kept, config.instances
    assert told == ["first", "second"]


READING = '''
from pathlib import Path
from pydantic import model_validator
from hookgate import Interceptor, Options, hookimpl


class ReadingOptions(Options):
    """Reads a file as it is checked."""

    file: Path
    """Where it is."""
    text: str = ""
    """What it says."""

    @model_validator(mode="after")
    def _read(self):
        self.__dict__["text"] = self.file.read_text()
        return self


class Reading(Interceptor[ReadingOptions]):
    """Reads a file."""

    @hookimpl
    def on_request(self, exchange):
        """Nothing."""
'''
