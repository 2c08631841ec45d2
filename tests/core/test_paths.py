import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate.exchange.errors import BadRequest
from hookgate.flow.paths import compile_destination, normalise, parse, take

PIECES = [
    "/",
    "//",
    ".",
    "..",
    "%2e",
    "%2E",
    "%2f",
    "%2F",
    "%5c",
    "%25",
    "%7e",
    "%41",
    "a",
    "B",
    "~",
    ";",
    "é",
    "%c3%a9",
    "...",
]
ARRIVING = st.lists(st.sampled_from(PIECES), max_size=14).map(lambda pieces: "/" + "".join(pieces))
ANYTHING = st.one_of(ARRIVING, st.text(max_size=12).map("/".__add__), st.text("/.%2eE;\\x", max_size=12))


@pytest.mark.parametrize(
    ("arrived", "path"),
    [
        ("/a/b", "/a/b"),
        ("", "/"),
        ("/x/../admin", "/admin"),
        ("/x/%2e%2e/admin", "/admin"),
        ("/x/%2E./admin", "/admin"),
        ("/./a/./b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/..", "/"),
        ("/../../a", "/a"),
        ("/a/b/c/./../../g", "/a/g"),  # RFC 3986, 5.2.4
        ("/a//../b", "/a/b"),
        ("/a//b", "/a//b"),
        ("/%7Euser/%41%2d%5f", "/~user/A-_"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%2f..b", "/a%2F..b"),
        ("/a..%2fb", "/a..%2Fb"),
        ("/a%2f.b%5c", "/a%2F.b%5C"),
        ("/%252e%252e/a", "/%252e%252e/a"),
        ("/.well-known/...", "/.well-known/..."),
        ("/a;b=1/c", "/a;b=1/c"),
    ],
)
def test_a_path_has_one_spelling(arrived, path):
    assert normalise(arrived) == path


@pytest.mark.parametrize(
    "path",
    [
        "a/b",
        "*",
        "/a%",
        "/a%4",
        "/a%zz",
        "/%%34%31",
        "/a%00b",
        "/a\x00b",
        "/a\\..\\b",
        "/a\r\nb",
        "/a\x7f",
        "/a b",
        "/admin#x",
        "/admin?x",
        "/public/..;/admin",
        "/public/%2e%2e;a=b/admin",
        "/public/..%3badmin",
        "/..%2fadmin",
        "/public/%2e%2e%2Fadmin",
        "/public/.%2fadmin",
        "/public%2f..%2fadmin",
        "/public%2f../admin",
        "/public%2f..",
        "/public%5C..%5Cadmin",
        "/public/%2e.%5cadmin",
    ],
)
def test_a_path_that_others_could_read_differently_is_refused(path):
    with pytest.raises(BadRequest) as caught:
        normalise(path)

    assert caught.value.reason == "malformed-path"


def spelt(path):
    try:
        return normalise(path)
    except BadRequest:
        return None


@given(ANYTHING)
def test_normalising_twice_changes_nothing(path):
    once = spelt(path)

    assert once is None or normalise(once) == once


@given(ANYTHING)
def test_no_dot_segment_is_left_in_any_spelling(path):
    once = spelt(path)

    assert once is None or not {".", ".."} & set(re.sub("%2e", ".", once, flags=re.IGNORECASE).split("/"))


@given(ANYTHING)
def test_escapes_that_are_left_are_needed_and_in_upper_case(path):
    for digits in re.findall("%(..)", spelt(path) or ""):
        assert digits == digits.upper()
        assert not re.fullmatch(r"[A-Za-z0-9._~-]", chr(int(digits, 16)))


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        ("/", "exact", ()),
        ("/a/b/", "exact", ()),
        ("/a/*", "prefix", ()),
        ("/*", "prefix", ()),
        ("*.html", "extension", ()),
        ("*.tar.gz", "extension", ()),
        ("/{state}/{town}", "template", ("state", "town")),
        ("/v{version}/{file}.json", "template", ("version", "file")),
        ("/{a}-{b}", "template", ("a", "b")),
        ("/orders/{order-id}/{rest...}", "catch-all", ("order-id", "rest")),
        ("/{rest...}", "catch-all", ("rest",)),
    ],
)
def test_a_template_has_one_of_five_kinds_and_its_names_in_order(text, kind, names):
    template = parse(text)

    assert (template.kind, template.names) == (kind, names)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a", "/a/", True),
        ("/a/{x}", "/a/{y}", True),
        ("/a/{x}.json", "/a/{y}.json", True),
        ("/%7Ea%c3%a9", "/~a%C3%A9", True),
        ("/a/{x}", "/a/{x}/", False),
        ("/a/{x...}", "/a/{x}", False),
        ("/a/*", "/a/{x...}", False),
        ("/a/v{x}", "/a/{x}", False),
        ("/a", "/A", False),
    ],
)
def test_the_shape_of_a_template_leaves_out_the_names_of_variables(one, other, same):
    assert (parse(one).shape == parse(other).shape) is same


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with '/'"),
        ("orders", "write '/orders'"),
        ("http://h/x", "hosts stand in match.host"),
        ("*", r"every path is '/\*'"),
        ("*html", r"as in '\*\.html'"),
        ("*.html/x", r"as in '\*\.html'"),
        ("*.{x}", r"as in '\*\.html'"),
        ("*.", r"as in '\*\.html'"),
        ("/a*", r"'\*' stands only for the end"),
        ("/*/a", r"'\*' stands only for the end"),
        ("/*.html", r"before an extension \('\*\.html'\)"),
        ("/{a}/*", r"write '\{rest\.\.\.\}' in its place"),
        ("/{a", "brace without its partner"),
        ("/a}", "brace without its partner"),
        ("/{{a}}", "brace without its partner"),
        ("/{a/b}", "brace without its partner"),
        ("/{}", r"'\{\}' is not a variable"),
        ("/{...}", r"'\{\}' is not a variable"),
        ("/{a b}", r"'\{a b\}' is not a variable"),
        ("/{+rest}", r"the rest of a path is \{rest\.\.\.\}"),
        ("/{a}{b}", "two variables touch"),
        ("/{a}/{a}", r"the variable \{a\} stands twice"),
        ("/{a}/{a...}", r"the variable \{a\} stands twice"),
        ("/{rest...}/a", r"only be the whole last segment .* elsewhere write \{rest\}"),
        ("/a-{rest...}", "only be the whole last segment"),
        ("/a?x=1", "asks for a query in `when`"),
        ("/a#b", "no query and no fragment"),
        ("/a/../b", r"segments '\.' and '\.\.' never arrive"),
        ("/a/%2e", r"segments '\.' and '\.\.' never arrive"),
        ("/a%4", "without two hexadecimal digits"),
        ("/a%00", "%00"),
        ("/a b", "written %20"),
        ("/a\\b", "written %5C"),
        ("/café", "write it percent-encoded: '/?caf%C3%A9'"),
    ],
)
def test_a_wrong_template_says_what_would_be_right(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("segment", "text", "values"),
    [
        (("v", ""), "v2", ("2",)),
        (("v", ""), "v", None),
        (("v", ""), "w2", None),
        (("", ".json"), "a.json", ("a",)),
        (("", ".json"), "a.json.json", ("a.json",)),
        (("", ".json"), ".json", None),
        (("", "-", ""), "x-y-z", ("x", "y-z")),
        (("", "-", ""), "--z", ("-", "z")),
        (("", "-", ""), "x-", None),
        (("", "-", ""), "-x", None),
        (("", "-", ".json"), "a-b.json", ("a", "b")),
        (("", "-", ".json"), "a-.json", None),
        (("a", "a"), "a", None),
        (("a", "a"), "aa", None),
        (("a", "a"), "axa", ("x",)),
        (("", ".", ".", ""), "1.2.3.4", ("1", "2", "3.4")),
    ],
)
def test_variables_of_a_segment_take_one_character_or_more_and_the_left_ones_as_little_as_they_can(
    segment, text, values
):
    assert take(segment, text) == values


@given(st.lists(st.text("ab-", max_size=2), min_size=2, max_size=4), st.text("ab-", max_size=9))
def test_a_segment_is_taken_apart_as_by_a_regular_expression(literals, text):
    literals[1:-1] = [literal or "-" for literal in literals[1:-1]]
    expected = re.fullmatch("(.+?)".join(map(re.escape, literals)), text)

    assert take(tuple(literals), text) == (expected.groups() if expected else None)


RECEIVED = {"param1": "1", "param2": "2", "param3": "3"}


@pytest.mark.parametrize(
    ("destination", "path"),
    [
        ("/{param1}/{param2}/{param3}", "/1/2/3"),  # the four examples of FL-20
        ("/{param3}/{param2}/{param1}", "/1/2/3"),
        ("/{param1}/{param2}/{param1}", "/1/2/1"),
        ("/{param3}/{param2}/{param3}", "/1/2/1"),
        ("/{x}/{y}/{z}", "/1/2/3"),  # FL-19
        ("/{x}/{x}/{y}", "/1/1/2"),  # next unused, not same index (X2)
        ("/only/{x}", "/only/1"),
        ("/100%25/{x}.json", "/100%25/1.json"),
        ("/fixed", "/fixed"),
    ],
)
def test_positional_parameters_are_consumed_in_the_order_received(destination, path):
    assert compile_destination(destination, list(RECEIVED), "positional")(RECEIVED) == path


@pytest.mark.parametrize(
    ("destination", "path"),
    [("/{param3}/{param2}/{param1}", "/3/2/1"), ("/{param2}/{param2}", "/2/2"), ("/fixed", "/fixed")],
)
def test_by_name_a_parameter_keeps_its_name(destination, path):
    assert compile_destination(destination, list(RECEIVED), "by_name")(RECEIVED) == path


def test_values_go_into_the_destination_percent_encoded_as_they_are():
    destination = compile_destination("/v2/{id}/{rest}", ["order", "tail"], "positional")

    assert destination({"order": "a%2Fb%25s", "tail": "x/%C3%A9/"}) == "/v2/a%2Fb%25s/x/%C3%A9/"


@pytest.mark.parametrize(
    ("destination", "names", "mode", "message"),
    [
        ("/{a}/{b}", ["x"], "positional", r"wants 2 path parameters \(a, b\) and the route has 1 \(x\)"),
        ("/{a}", [], "positional", r"the route has 0 \(none\)"),
        ("/{a}", ["x", "y"], "by_name", r"no path parameter \{a\}; it has: x, y"),
        ("v2/{a}", ["x"], "positional", "write '/v2/{a}'"),
        ("/{rest...}", ["rest"], "by_name", r"elsewhere write \{rest\}"),
        ("/v2/*", [], "positional", r"'\*' stands only for"),
        ("/v2?x=1", [], "positional", "no query"),
        ("/{a", ["x"], "positional", "brace"),
        ("/a/../{a}", ["x"], "positional", "never arrive"),
    ],
)
def test_a_wrong_destination_is_refused_when_it_is_compiled(destination, names, mode, message):
    with pytest.raises(ValueError, match=message):
        compile_destination(destination, names, mode)


@pytest.mark.parametrize(
    ("destination", "values"),
    [("/api/{a}", {"a": ".."}), ("/api/{a}/x", {"a": "."}), ("/{a}{b}", {"a": ".", "b": "."}), ("/{a}", {"a": "..;x"})],
)
def test_values_that_make_a_dot_segment_are_refused(destination, values):
    with pytest.raises(BadRequest):
        compile_destination(destination, list(values), "positional")(values)
