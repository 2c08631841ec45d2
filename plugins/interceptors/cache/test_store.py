"""The parts: what is kept within its bounds, what directives say, what a 304 changes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import ConfigError, Headers
from hookgate.testing import build
from hookgate_interceptor_cache import Cache, rules
from hookgate_interceptor_cache.directives import LONGEST, Directives
from hookgate_interceptor_cache.entry import OVERHEAD, Entry, Place
from hookgate_interceptor_cache.store import Store


def entry(uri="/a", part="", body=b"", vary=(), tags=(), **more):
    given = {"status": 200, "fields": [], "directives": Directives(), "lifetime": 60, "initial_age": 0, "received": 0}
    return Entry(Place(uri, (part,)), tuple(vary), body=body, everyone=True, tags=frozenset(tags), **given | more)


def put(store, made, since=None, entries=10, octets=10**6, **headers):
    return store.put(made, Headers(headers), store.serial if since is None else since, entries=entries, octets=octets)


URIS, TAGS, WORDS = "abc", "xy", ("de", "en")
operations = st.one_of(
    st.tuples(
        st.just("put"),
        st.sampled_from(URIS),
        st.sampled_from("12"),
        st.integers(0, 3000),
        st.sampled_from([(), ("accept-language",)]),
        st.frozensets(st.sampled_from(TAGS)),
        st.sampled_from(WORDS),
        st.integers(0, 3),
    ),
    st.tuples(st.just("find"), st.sampled_from(URIS), st.sampled_from("12"), st.sampled_from(WORDS)),
    st.tuples(st.just("invalidate"), st.sampled_from(URIS)),
    st.tuples(st.just("purge"), st.sampled_from(TAGS)),
    st.tuples(st.just("clear")),
)


@settings(max_examples=60)
@given(st.lists(operations, max_size=40), st.integers(1, 5), st.integers(OVERHEAD, 6 * OVERHEAD))
def test_a_store_keeps_within_its_bounds_what_was_put_last_and_nothing_that_was_taken_out(steps, entries, octets):
    store, serials = Store(), [0]
    there: list[tuple[Entry, str]] = []  # what may still be there, with the word that selects it
    for what, *rest in steps:
        if what == "put":
            uri, part, size, vary, tags, word, back = rest
            since = serials[-1 - min(back, len(serials) - 1)]
            made = entry(uri, part, b"." * size, vary, tags)
            kept = put(store, made, since, entries, octets, **{"accept-language": word})
            if kept is not None:
                there = [(old, by) for old, by in there if old.place != made.place or (by != word and old in store)]
                there.append((made, word))
                assert made in store
            else:
                assert made not in store
                assert since < store.serial or made.octets > octets
        elif what == "find":
            uri, part, word = rest
            found = store.find(Place(uri, (part,)), Headers({"accept-language": word}))
            assert found is None or any(found is made and (by == word or not made.vary) for made, by in there)
        else:
            gone = {"invalidate": store.invalidate, "purge": store.purge, "clear": store.clear}[what](*rest)
            before = len(there)
            taken = [
                each
                for each, _ in there
                if what == "clear" or (each.place.uri in rest if what == "invalidate" else each.tags & set(rest))
            ]
            there = [(each, by) for each, by in there if each not in taken]
            assert gone <= before
            assert not any(each in store for each in taken)
            serials.append(store.serial)
        alive = [each for each, _ in there if each in store]
        assert len(store) == len(alive) <= entries
        assert store.octets == sum(each.octets for each in alive) <= octets
        assert set(store.uris()) == {each.place.uri for each in alive}


def test_what_nobody_asked_for_longest_goes_first():
    store = Store()
    for uri in "abc":
        put(store, entry(uri), entries=3)
    store.find(Place("a", ("",)), Headers())

    assert put(store, entry("d"), entries=3) == 1
    assert set(store.uris()) == {"a", "c", "d"}


def test_what_differs_by_too_many_fields_is_not_kept():
    store = Store()

    assert put(store, entry(vary=[f"x-{number}" for number in range(17)])) is None
    assert (len(store), store.octets, list(store.uris())) == (0, 0, [])


def test_answers_of_one_place_may_vary_by_different_fields():
    store, place = Store(), Place("/a", ("",))
    put(store, entry(vary=["accept"]), accept="json", **{"accept-language": "de"})
    put(store, entry(vary=["accept-language"]), accept="json", **{"accept-language": "en"})
    put(store, entry(vary=["accept"]), accept="text", **{"accept-language": "de"})

    assert store.find(place, Headers({"accept": "text", "accept-language": "en"})) is None
    assert store.find(place, Headers({"accept": "json", "accept-language": "en"})) is not None
    assert store.find(place, Headers({"accept": "text", "accept-language": "de"})) is not None


# --- directives ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "name", "seconds"),
    [
        ("max-age=5", "max-age", 5),
        ('MAX-AGE="5"', "max-age", 5),
        ("a, max-age = 5 ,b", "max-age", 5),
        ("max-age=5, max-age=3", "max-age", 3),
        ("max-age", "max-age", 0),
        ("max-age=-1", "max-age", 0),
        ("max-age=5s", "max-age", 0),
        ("max-age=99999999999999", "max-age", LONGEST),
        ('x="max-age=5"', "max-age", None),
        ("s-maxage=5", "max-age", None),
    ],
)
def test_seconds(line, name, seconds):
    assert Directives([line]).seconds(name) == seconds


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("private", set()),
        ('private=""', set()),
        ('private="A, b"', {"a", "b"}),
        ("private=a", {"a"}),
        ('private="a", private', set()),
        ("public", None),
    ],
)
def test_what_a_directive_is_limited_to(line, fields):
    assert Directives([line]).fields("private") == fields


@pytest.mark.parametrize("line", ['private="', "max-age=5 no-store", "no-store;max-age=5", "=5", 'a="x"y', "ü"])
def test_what_cannot_be_told_apart_is_known(line):
    assert not Directives([line]).readable


@given(st.lists(st.text(alphabet='abc-=", \\\t19', max_size=20), max_size=3))
def test_any_line_is_read_and_what_is_written_again_says_the_same(lines):
    read = Directives(lines)
    again = Directives([str(read)])

    assert again.readable
    for name in ("a", "ab", "c"):
        if not any('"' in line for line in lines):
            assert (name in again, again.seconds(name)) == (name in read, read.seconds(name))


# --- rules ---------------------------------------------------------------------------------------------------------


def test_a_304_leaves_alone_what_speaks_of_the_body_and_replaces_the_rest():
    fields = [(b"Content-Type", b"text/plain"), (b"ETag", b'"v"'), (b"X-A", b"1"), (b"X-A", b"2"), (b"Vary", b"Accept")]
    told = Headers([("etag", '"v"'), ("content-type", "text/html"), ("x-a", "3"), ("x-b", "4"), ("connection", "x-b")])

    updated = rules.updated_head(entry(fields=fields, etag='"v"'), told)

    assert updated is not None
    assert Headers.of(updated).items() is not None
    assert list(Headers.of(updated).items()) == [
        ("content-type", "text/plain"),
        ("vary", "Accept"),
        ("etag", '"v"'),
        ("x-a", "3"),
        ("x-b", "4"),
    ]


@pytest.mark.parametrize(("conditions", "matches"), [('"a,b"', True), ('"a"', False), ('W/"a,b", "c"', True)])
def test_a_tag_may_hold_a_comma(conditions, matches):
    assert rules.matches([("if-none-match", conditions)], '"a,b"', None) is matches


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ttl": 0}, "greater than 0"),
        ({"timeout": 60}, "is written ttl"),
        ({"max_octets": 1}, "4096"),
        ({"tags": "no header"}, "is not the name of a header"),
        ({"share": "everybody"}, "explicit"),
        ({"key": ["request.("]}, "key"),
        ({"name": 'a"b'}, "name"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options, told):
    with pytest.raises(ConfigError) as refused:
        build(Cache, **options)
    assert told in str(refused.value)
