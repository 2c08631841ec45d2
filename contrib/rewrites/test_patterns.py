"""Patterns: what is borne with, what is refused, and that no pattern that is borne with takes long."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate_rewrites.patterns import LONGEST_TEXT, Pattern, TooLong

GOOD = [
    "^/UPPER$",
    "^/(.*)$",
    "^/a/(.*)/b/(.*)$",
    r"^/v(\d+)/([^/]+)/([^/]+)/(.*)$",
    r"\.php$",
    "^/(?:[^/]+/)*index$",
    "^/(?!static/)(.*)$",
    "(?i)^/Shop(?:/|$)",
    "^/(?:a|b|cd)*$",
    r"^/x\?(?:[^&]*&)*id=(\d+)",
    "^/(?:a++)+b",
    "foo(.*)bar",
    "!^/x",
    "",
    "^/(en|de|fr)(/.*)?$",
]
BAD = [
    "(a+)+$",
    "^(a|a)*$",
    "^(a|ab)*c",
    "^(a*)*$",
    "^(.*)*x",
    "^(a?){30}a{30}",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "^.*x.*y.*z$",
    ".*x.*y",
    r"^(\w+)\s\1",
    "^(a(?=b*c))*d",
    "^(?:x+x+)+y",
    "^/(?i:(a+)+)$",
    r"^(?:[^\x00-\xff]+)+$",
    "(?m)^/a$",
    "x" * 501,
    "(" * 400 + ")" * 400,
    "[",
    "a{99999999999999}",
]


@pytest.mark.parametrize("written", GOOD)
def test_a_pattern_of_every_day_is_taken(written):
    Pattern(written)


@pytest.mark.parametrize("written", BAD, ids=range(len(BAD)))
def test_a_pattern_that_can_take_long_is_refused(written):
    with pytest.raises(ValueError):
        Pattern(written)


def test_a_negated_pattern_is_met_where_the_other_is_not():
    assert Pattern("!^/a").find("/b") is not None
    assert Pattern("!^/a").find("/a") is None


parts = st.recursive(
    st.sampled_from(["a", "b", "/", ".", "[^/]", "[ab]", r"\w", "^", "$"]),
    lambda inner: st.one_of(
        st.builds("({}){}".format, inner, st.sampled_from(["", "*", "+", "?", "*?", "++", "{2}", "{1,3}"])),
        st.builds("{}{}".format, st.sampled_from(["a", ".", "[^/]"]), st.sampled_from(["*", "+", "?", "{0,9}"])),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("{}{}".format, inner, inner),
    ),
    max_leaves=7,
)


@settings(deadline=None, max_examples=300)
@given(written=parts, unit=st.sampled_from(["a", "ab", "/", "a/", "b"]), end=st.sampled_from(["", "!", "/", "b"]))
def test_no_pattern_that_is_taken_takes_long(written, unit, end):
    try:
        pattern = Pattern(written)
    except ValueError:
        return
    longest = (unit * 8192)[: 8191 - len(end)] + end
    began = time.process_time()
    for text in (longest, (unit * LONGEST_TEXT)[: LONGEST_TEXT - 1] + end):
        try:
            pattern.find(text)
        except TooLong:
            continue
    assert time.process_time() - began < 2, written
