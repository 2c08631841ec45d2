"""YAML 1.2 and nothing of 1.1; and nothing that takes a process down."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate.document.document import parse
from hookgate.exchange.errors import ConfigError


def value_of(text):
    return parse(f"a: {text}\n".encode(), "x.yaml")["a"]


def problem_with(text):
    with pytest.raises(ConfigError) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), "x.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-7", -7),
        ("+7", 7),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ("2024-01-01", "2024-01-01"),
        ("10.0.0.1", "10.0.0.1"),
        ("1.2.3", "1.2.3"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("!!float 1", 1.0),
        ("!!int 1", 1),
        ("=", "="),
        ("nan", "nan"),
        ("-", [None]),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_scalars_have_the_types_of_the_core_schema(text, value):
    if text == "-":
        text = "\n  - "
    found = value_of(text)

    assert found == value
    assert type(found) is type(value)


def test_keys_are_strings_as_written_so_that_json_says_the_same():
    assert parse(b"404: a\ntrue: b\n'x': c\n", "x.yaml").value == {"404": "a", "true": "b", "x": "c"}


def test_anchors_and_merge_keys():
    text = b"""
x-base: &base {timeout: 5, pool: {size: 1}}
x-more: &more {timeout: 9, tags: [a]}
one: {<<: *base, timeout: 7}
two: {timeout: 7, <<: [*base, *more]}
three: *base
"""
    document = parse(text, "x.yaml")

    assert document["one"] == {"timeout": 7, "pool": {"size": 1}}
    assert document["two"] == {"timeout": 7, "pool": {"size": 1}, "tags": ["a"]}
    assert document["three"] == {"timeout": 5, "pool": {"size": 1}}


def test_a_quoted_merge_key_is_a_key():
    assert parse(b"a: {'<<': 1}\n", "x.yaml")["a"] == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: the key 'a' stands here twice, first in line 1"),
        ("a: {b: 1, b: 2}", "x.yaml:1:11: the key 'b' stands here twice, first in line 1"),
        ("a: &a [*a]", "x.yaml:1:8: the anchor &a is used inside itself"),
        ("a: *b", "x.yaml:1:4: there is no anchor &b"),
        ("a: {<<: 5}", "x.yaml:1:9: '<<' takes a mapping, or a list of mappings"),
        ("? [a]\n: b", "x.yaml:1:3: a key is a plain word or a quoted text, nothing else"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2:1: a second document begins here; a configuration is one document"),
        (
            "a: !!python/object:os.system x",
            "x.yaml:1:4: the tag !!python/object:os.system does not fit here; leave it out",
        ),
        ("a: !env X", "x.yaml:1:4: the tag !env does not fit here; leave it out"),
        ("a: !!int x", "x.yaml:1:4: the tag !!int does not fit here; leave it out"),
        ("a:\n\tb: 1", "x.yaml:2:1: a tab does not indent in YAML; use spaces"),
        ("a: @b", "x.yaml:1:4: a value that begins with '@' must be quoted"),
        (
            "a: b: c",
            "x.yaml:1:5: a ':' does not fit here; check the indentation, and quote a value that holds ': '",
        ),
        (
            "a:\n  - b\n - c",
            (
                "x.yaml:3:2: this line does not fit those above; check the indentation "
                "(while parsing a block mapping that begins in line 1)"
            ),
        ),
        (
            "a: [1, 2",
            "x.yaml:2:1: a ',' or ']' is missing before this (while parsing a flow sequence that begins in line 1)",
        ),
        ("a: 'x", "x.yaml:1:6: the document ends inside a quoted value"),
        (b"a: \xff", "x.yaml: this is not UTF-8 text: invalid leading UTF-8 octet"),
        (b"a: \x00", "x.yaml: this is not UTF-8 text: control characters are not allowed"),
        ("a: " + "9" * 5000, "x.yaml:1:4: this number has too many digits"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_column(text, message):
    assert problem_with(text) == message


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "a: " + "{b: " * 100_000])
def test_a_deep_document_is_refused_at_once(text):
    started = time.process_time()

    assert "deep in each other here" in problem_with(text)
    assert time.process_time() - started < 5


def test_an_alias_bomb_is_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    started = time.process_time()

    assert "more than 2,000,000 values, anchors written out" in problem_with("\n".join(lines))
    assert time.process_time() - started < 5


def test_a_merge_bomb_is_refused():
    """Merging copies keys, so that a mapping may grow by more than the aliases in it."""
    lines = ["a0: &a0 {" + ", ".join(f"k{n}: [{'x, ' * 20}]" for n in range(100)) + "}"]
    lines += [f"a{n}: &a{n} {{<<: *a{n - 1}, a: *a{n - 1}, b: *a{n - 1}, c: *a{n - 1}}}" for n in range(1, 12)]

    assert "more than 2,000,000 values" in problem_with("\n".join(lines))


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_parse_or_be_refused(data):
    with suppress(ConfigError):
        assert isinstance(parse(data, "x.yaml").value, dict)


# YAML has neither surrogates nor controls, nor what is no character (YAML 1.2.2, 5.1)
_text = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abcdef", min_size=1), _plain, min_size=1))
def test_json_reads_the_same_as_yaml(value):
    text = json.dumps(value, ensure_ascii=False).encode()

    assert parse(text, "x.yaml").value == parse(text, "x.json").value
