"""Filters of traces: the file and the stream find the same, and what a naive filter finds."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate_trace.file import search
from hookgate_trace.filters import EXACT, filters_of

from .traces import NOW, TRACEPARENT, opened, rows, trace

words = st.sampled_from(["a", "b", "", "A", "a' OR 1=1 --", "%", "ä"])
paths = st.sampled_from(["/", "/a", "/a/b", "/a-b", "/a0", "/ab", "/[", "/[b", "/?b", "/a/", "//a"]) | st.text(
    alphabet="/ab0.*?[]^-_%'ä", max_size=6
).map(lambda tail: "/" + tail)
kept = st.builds(
    trace,
    st.sampled_from(["i1", "i2", "i3"]),
    path=paths,
    status=st.sampled_from([None, 200, 204, 299, 300, 404, 499, 500, 503]),
    method=st.sampled_from(["GET", "POST"]),
    reason=words,
    environment=words,
    outcome=st.sampled_from(["ok", "aborted"]),
    application=st.none() | words,
    api=st.none() | st.fixed_dictionaries({"name": words, "version": words}),
    route=st.none() | st.fixed_dictionaries({"name": words}),
    fault=st.none() | st.fixed_dictionaries({"reason": words}),
    headers=st.lists(
        st.tuples(st.just("x-request-id"), st.sampled_from(["i1", "r1"])) | st.just(("traceparent", TRACEPARENT)),
        max_size=2,
        unique_by=lambda field: field[0],
    ),
    time=st.integers(0, 4).map(lambda n: NOW + n),
    seconds=st.sampled_from([0.001, 0.5, 1.0]),
)


def some(values):
    return st.lists(values, min_size=1, max_size=2)


kinds = {
    **{name: some(words) for name in EXACT if name not in ("method", "outcome")},
    "method": some(st.sampled_from(["GET", "PUT"])),
    "outcome": some(st.sampled_from(["ok", "aborted"])),
    "path": some(paths | st.sampled_from(["/a*", "*b", "/*/*", "/", "/[*", "/?*", "/a"])).filter(
        lambda values: all(value.count("*") <= 5 for value in values)
    ),
    "status": some(st.sampled_from(["200", "2xx", "4xx", "5xx", "none"])),
    "correlation": some(st.sampled_from(["i1", "r1", "4bf92f3577b34da6a3ce929d0e0e4736"])),
    "slower": st.sampled_from([["1"], ["500"]]),
    "since": st.integers(0, 4).map(lambda n: [str(int(NOW) + n)]),
    "until": st.integers(0, 4).map(lambda n: [str(int(NOW) + n)]),
}


def naively(each, filters):
    """Whether a trace is asked for, told from the trace itself."""
    headers = dict(each["request"]["headers"])
    traceparent = headers.get("traceparent", "").split("-")
    facts = {
        "method": each["request"]["method"],
        "route": (each["route"] or {}).get("name"),
        "api": (each["api"] or {}).get("name"),
        "version": (each["api"] or {}).get("version"),
        "fault": (each["fault"] or {}).get("reason"),
        **{name: each[name] for name in ("application", "environment", "outcome", "reason")},
    }
    path, status = each["request"]["path"], (each["response"] or {}).get("status")

    def below(wanted):
        if "*" in wanted:
            return re.fullmatch("".join(".*" if c == "*" else re.escape(c) for c in wanted), path) is not None
        return path == wanted or (path + "/").startswith(wanted.rstrip("/") + "/")

    def answered(wanted):
        return str(status).lower() == wanted or (wanted[1:] == "xx" and str(status)[0] == wanted[0])

    tests = {
        **{name: lambda wanted, name=name: facts[name] == wanted for name in EXACT},
        "path": below,
        "status": answered,
        "correlation": lambda wanted: wanted in (each["id"], headers.get("x-request-id"), *traceparent[1:2]),
        "slower": lambda wanted: each["seconds"] * 1000 >= float(wanted),
        "since": lambda wanted: each["time"] >= float(wanted),
        "until": lambda wanted: each["time"] < float(wanted),
    }
    return all(any(tests[name](wanted) for wanted in values) for name, values in filters.items())


@pytest.mark.parametrize("name", sorted(kinds))
@settings(max_examples=40, deadline=None)
@given(traces=st.lists(kept, min_size=6, max_size=12), data=st.data())
def test_the_file_and_the_stream_find_what_a_naive_filter_finds(tmp_path_factory, name, traces, data):
    filters = {name: data.draw(kinds[name])}
    if other := data.draw(st.sampled_from(["", *kinds])):
        filters[other] = data.draw(kinds[other])
    path = tmp_path_factory.mktemp("filters") / "t.db"
    made = rows(*traces)
    for number, row in enumerate(made, 1):
        row["number"] = number
    with opened(path) as file:
        file.add(made)
    wanted = [number for number, each in enumerate(traces, 1) if naively(each, filters)]
    read = filters_of(filters, NOW)

    assert [row["number"] for row in search(path, read, most=100)] == wanted[::-1]
    assert [row["number"] for row in made if read.holds(row)] == wanted


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("/[*", ["/[b"]),
        ("/?*", ["/?b"]),
        ("/[b", ["/[b"]),
        ("/a*", ["/a/b", "/a", "/ab"]),
        ("/a", ["/a/b", "/a"]),
        ("/a/", ["/a/b", "/a"]),
        ("/", ["/ab", "/?b", "/[b", "/a/b", "/a"]),
        ("*b", ["/ab", "/?b", "/[b", "/a/b"]),
    ],
)
def test_only_an_asterisk_stands_for_something_else(tmp_path, asked, found):
    made = rows(*(trace("i", path=path) for path in ("/a", "/a/b", "/[b", "/?b", "/ab")))
    filters = filters_of({"path": [asked]}, NOW)
    with opened(tmp_path / "t.db") as file:
        file.add(made)

    assert sorted(row["path"] for row in search(tmp_path / "t.db", filters, most=9)) == sorted(found)
    assert sorted(row["path"] for row in made if filters.holds(row)) == sorted(found)


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("10m", NOW - 600),
        ("1d2h3m4s", NOW - 93784),
        ("1700000000.5", 1700000000.5),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20", NOW),
        ("2023-11-14T23:13:20 01:00", NOW),  # what is left of a + that was not escaped
    ],
)
def test_times(since, moment):
    assert filters_of({"since": [since]}, NOW).since == moment


@pytest.mark.parametrize(
    ("given_", "words_"),
    [
        ({"pth": ["/"]}, "no filter 'pth'; write one of"),
        ({"status": ["6xx"]}, "'6xx' is no status"),
        ({"status": ["20"]}, "'20' is no status"),
        ({"path": ["orders"]}, "begins with / or *"),
        ({"path": ["/" + "*" * 6]}, "5 * at most"),
        ({"slower": ["fast"]}, "no number of milliseconds"),
        ({"since": ["yesterday"]}, "'yesterday' is no time"),
        ({"since": ["1m", "2m"]}, "once"),
        ({"since": ["m"]}, "no time"),
        ({"route": ["r"] * 21}, "20 values at most"),
        ({"route": ["r" * 2001]}, "2000 characters"),
    ],
)
def test_filters_that_mean_nothing_are_refused(given_, words_):
    with pytest.raises(ValueError, match=re.escape(words_)):
        filters_of(given_, NOW)
