"""Properties of the language, over random expressions and random text."""

import copy
import re
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from hookgate import Body, Exchange, Expression, Forbidden, Headers, Identity, Request, Response, Target
from hookgate.expressions import ExpressionError
from hookgate.expressions.evaluate import quick, thorough
from hookgate.expressions.syntax import parse
from hookgate.expressions.values import copied


def call(**variables):
    headers = Headers([("X-Env", "qly"), ("X-Env", "prd"), ("Content-Type", "text/plain")])
    exchange = Exchange(Request("POST", "/v1/a", "page=2&page=3", host="api", headers=headers, body=Body(b"text")))
    exchange.params = {"rest": "%20a"}
    exchange.variables.update(variables)
    return exchange


def answered(**variables):
    exchange = call(**variables)
    exchange.response = Response(404, {"Content-Length": "0"})
    exchange.identity = Identity("ann", "basic", ("admin", "staff"), {"age": 41, "address": {"city": "Bonn"}}, "shop")
    exchange.route = SimpleNamespace(name="orders", labels={"team": "x"}, extensions={}, secret="internal")
    exchange.connection = SimpleNamespace(name="crm", tags=("eu",), labels={}, extensions={}, secret="internal")
    exchange.target = Target("http", "10.0.0.5", 9000)
    exchange.fault = Forbidden("no", reason="network-refused")
    return exchange


constants = st.sampled_from(
    ["'a'", '"x-env"', "'POST'", "1", "0", "-1", "2.5", "null", "true", "'admin'", "{'POST', 1}", "{}"]
)
paths = st.sampled_from(
    [
        *("request.method", "request.path", "request.headers", "request.headers['X-Env']", "request.query.page"),
        *("vars", "request.body", "request.remoteAddr", "principal", "claims", "connection.tags", "connection"),
        *("identity.roles", "identity.claims", "claims.address.city", "response.status", "fault", "vars.list"),
        *("vars.map.inner", "#map['inner'].a", "#list[0]", "#text[2]", "vars.text", "request", "vars.object"),
        *("route.name", "#number", "identity", "vars.none.more", "env.HOOKGATE_TEST_GONE"),
    ]
)
without_lists = st.recursive(
    st.one_of(constants, paths),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["==", "!=", "<", ">=", "in", "not in"]), inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||", "and", "or"]), inner),
        st.builds("({} ({}))".format, st.sampled_from(["!", "not"]), inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("{}({})".format, st.sampled_from(["len", "int", "str", "float", "lower", "min"]), inner),
        st.builds("({}).{}()".format, inner, st.sampled_from(["lower", "strip", "split"])),
        st.builds("({}).replace({}, {})".format, inner, inner, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({}).{}".format, inner, st.sampled_from(["a", "inner", "status"])),
        st.builds("{{{}, {}}}".format, inner, inner),
    ),
    max_leaves=8,
)
everything = st.recursive(
    st.one_of(without_lists, st.just("#list.{ #this }"), st.just("identity.roles.{? #this != 'admin'}")),
    lambda inner: st.one_of(
        st.builds("({}).{{{} {} == #this}}".format, inner, st.sampled_from(["", "?", "^", "$"]), inner),
        st.builds("({}).{{ {{#this, {}}} }}".format, inner, inner),
        st.builds("#{{'a': {}, {}: 1}}".format, inner, inner),
        st.builds("({} + {})".format, inner, inner),
        st.builds("{{{}, {}}}".format, inner, inner),
        st.builds("({}).a".format, inner),
    ),
    max_leaves=6,
)
data = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from(["a", "inner", "b"]), inner, max_size=3),
    ),
    max_leaves=8,
)
variables = st.fixed_dictionaries(
    {"list": st.lists(data, max_size=3), "map": data, "text": st.text(max_size=5), "number": data}
)


def compiled(text):
    """Compile what the grammar gave; it may be wrong only in what is checked beyond the grammar."""
    try:
        return Expression(text)
    except ExpressionError as error:
        if re.match(r"column \d+: (strings are joined with \+ only|\w+ has no '[\w-]+'|nested deeper)", str(error)):
            reject()
        raise


def outcome(evaluate, exchange):
    """The value, or that it failed."""
    try:
        return repr(copied(evaluate(exchange)))
    except (TypeError, ValueError, ArithmeticError, LookupError):
        return "failed"


def snapshot(exchange):
    """Everything of an exchange that an expression can get at."""
    return copy.deepcopy(
        (
            exchange.variables,
            exchange.params,
            exchange.request.headers.raw,
            exchange.request.target,
            exchange.request.body.held,
            exchange.response and (exchange.response.status, exchange.response.headers.raw),
            exchange.identity,
            vars(exchange.connection) if exchange.connection else None,
        )
    )


def plain(value):
    """Check that there is no way from a value to an object, and that it shares nothing with the exchange."""
    todo = [value]
    while todo:
        each = todo.pop()
        assert type(each) in (str, int, float, bool, type(None), list, dict)
        todo += each.values() if isinstance(each, dict) else each if isinstance(each, list) else []
    return value


@given(without_lists, variables, st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_quick_way_and_the_thorough_way_agree(text, noted, is_answered):
    exchange = (answered if is_answered else call)(**noted, object=object())
    tree = parse(compiled(text).text)
    fast = quick(tree)

    assert fast is not None
    assert outcome(fast, exchange) == outcome(thorough(text, tree), exchange)


@given(st.one_of(without_lists, everything), variables, st.booleans())
@example("#list.{ #this }", {"list": [[1]]}, False)
@settings(max_examples=400, deadline=None)
def test_evaluating_is_the_same_each_time_changes_nothing_and_gives_plain_data(text, noted, is_answered):
    exchange = (answered if is_answered else call)(**noted)
    before = snapshot(exchange)
    expression = compiled(text)

    got = []
    for _ in range(2):
        with suppress(ExpressionError):
            got.append(plain(expression(exchange)))

    assert repr(snapshot(exchange)) == repr(before)
    assert len(got) in (0, 2)
    if got:
        assert repr(got[0]) == repr(got[1])
        for container in got:
            if isinstance(container, (list, dict)):
                container.clear()
        assert repr(snapshot(exchange)) == repr(before)


@given(everything, st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_cut_off_is_taken_or_refused_with_a_column(text, drawn):
    cut = text[: drawn.draw(st.integers(0, len(text)))]
    try:
        Expression(cut)
    except ExpressionError as error:
        column = re.match(r"column (\d+): ", str(error))
        assert column
        assert 1 <= int(column[1]) <= len(cut) + 1


alphabet = st.sampled_from(
    [
        *(
            "request",
            "vars",
            ".",
            "__class__",
            "_x",
            "(",
            ")",
            "[",
            "]",
            "'",
            '"',
            "+",
            "*",
            "**",
            "%",
            "{",
            "}",
            "path",
        ),
        *(" ", "for", "in", "x", "f", "=", ":=", "==", "not ", "1", "9", "import", "os", "eval", "getattr", ",", "\\"),
        *(
            "@",
            "new ",
            "if",
            "else",
            "#",
            ";",
            "is",
            "&&",
            "||",
            "!",
            "null",
            "format",
            "mro",
            "`",
            "$",
            "\t",
            "\n",
            "é",
        ),
        *("#this", "#{", ".{", ".{?", ".{^", ".{$", "?", ":", ":[", "#list", "env", "true", "-", "<", "lower", "\\u00"),
    ]
)


@given(st.one_of(st.lists(alphabet, max_size=25).map("".join), st.text(max_size=60)))
@example("request.path" + ".__class__" * 3)
@example("''.__class__.__mro__[1].__subclasses__()")
@example("{}.__class__.__base__")
@example("request.headers.get.__self__")
@example("#list.{ #this.__class__ }")
@example("@java.lang.Runtime@getRuntime()")
@example("\x00")
@example("\ud800")
@example("\r\n'")
@settings(max_examples=1000, deadline=None)
def test_any_text_is_refused_with_a_column_or_evaluates_to_plain_data(text):
    exchange = answered(x=[1], list=[1, "a"])
    before = snapshot(exchange)
    try:
        expression = Expression(text)
    except ExpressionError as error:
        column = re.match(r"(?:line (\d+), )?column (\d+): ", str(error))
        assert column
        lines = text.split("\n")
        line = lines[int(column[1] or 1) - 1]
        assert 1 <= int(column[2]) <= len(line) + 1
        assert (column[1] is None) == (len(lines) == 1)
        return
    with suppress(ExpressionError):
        plain(expression(exchange))
    assert repr(snapshot(exchange)) == repr(before)


@pytest.mark.parametrize(
    "text",
    [
        "+".join(["vars.big"] * 39),
        "vars.big" + ".replace('a', 'bb')" * 30,
        "vars.big" + ".replace('a', 'b')" * 30,
        "{" + ",".join(["vars.big.split('a')"] * 90) + "}",
        " or ".join(["vars.big.split('a') == vars.big.split('b')"] * 45),
        "*".join(["vars.number"] * 39),
        "max(" + ",".join(["vars.list"] * 100) + ")",
        "vars.list in vars.list",
        "#many" + ".{ #many" * 30 + " }" * 30,
        "#many.{ #big.split('a') }",
        "#many.{ #big.split('a') == #big.split('b') }",
        "#many.{? #list == #list + {} }",
        "#many.{ max(#list) in #list }",
        "{1}" + ".{ {#this, #this} }" * 37 + " == {1}" + ".{ {#this, #this} }" * 37,
        "{1}" + ".{ #{'a': #this, 'b': #this} }" * 30 + " == {1}" + ".{ #{'a': #this, 'b': #this} }" * 30,
        "{1}.{ {1}" + ".{ {#this, #this} }" * 35 + " == {1}" + ".{ {#this, #this} }" * 35 + "}",
        "#many.{ #big }.{ #this.replace('a', 'b') }.{ #this + #this }",
    ],
)
def test_evaluation_ends_soon(text):
    exchange = call(big="a" * 90_000, number=2**1000, list=list(range(90_000)), many=[1] * 1000)
    begun = time.process_time()
    with suppress(ExpressionError):
        Expression(text)(exchange)

    assert time.process_time() - begun < 5
