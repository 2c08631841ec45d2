"""What the parser refuses, with the column and a reason, and how it reads what it takes."""

import ast
import re
import time

import pytest

from hookgate import Expression
from hookgate.expressions import ExpressionError
from hookgate.expressions.syntax import MAX_DEPTH, MAX_TEXT, parse


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: an expression is not empty"),
        (" \n ", "line 1, column 1: an expression is not empty"),
        ("request.method ==", "column 18: something is missing at the end"),
        ("request.method  ==  ", "column 19: something is missing at the end"),
        ("(request.method", "column 1: '(' was never closed with ')'"),
        ("1 + {1, {2, 3}", "column 5: '{' was never closed with '}' (YAML"),
        ("#{'a': 1", "column 1: '#{' was never closed with '}'"),
        ("#{'a', 1}", "column 6: ',' is unexpected here; ':' was expected"),
        ("vars.list[1", "column 10: '[' was never closed with ']'"),
        ("true ? 1", "column 6: '?' was never closed with ':'"),
        ("identity.roles.{?", "column 18: something is missing at the end (YAML takes ` #` for a comment"),
        ("identity.roles.{? #this", "column 16: '{' was never closed with '}' (YAML takes ` #` for a comment"),
        ("len(request path)", "column 13: 'path' is unexpected here; ')' was expected"),
        ("len(request.path request)", "column 18: 'request' is unexpected here; ')' was expected"),
        ("  request.pth", "column 11: request has no 'pth' (there are method, "),
        ("(request.method ==\n\n   request.pth)", "line 3, column 12: request has no 'pth'"),
        ("'äö' == request['heders']", "column 17: request has no 'heders'"),
        ("reqest.path", "column 1: there is no 'reqest' to read (there are request, "),
        ("1 ? identity.subjct : 2", "column 14: identity has no 'subjct'"),
        ("request.headers.x-user", "column 19: there is no 'user' to subtract; write a name with a hyphen as ['…']"),
        ("request.headers.x - user", "column 21: there is no 'user' to read"),
        ("request.path.format(1)", "column 14: there is no method 'format' (there are lower, "),
        ("request.headers.pop('a')", "column 17: there is no method 'pop'"),
        ("vars.clear()", "column 6: there is no method 'clear'"),
        ("request.path.toLowerCase()", "column 14: there is no method 'toLowerCase'; write lower()"),
        ("identity.roles.contains('a')", "column 16: there is no method 'contains'; write a in b"),
        ("identity.roles.size()", "column 16: there is no method 'size'; write len(…)"),
        ("open('x')", "column 1: there is no function 'open'"),
        ("len", "column 1: len is a function: write len(…)"),
        ("len()", "column 1: len takes 1 argument, not 0"),
        ("request.path.replace('a')", "column 14: replace takes 2 arguments, not 1"),
        ("max(1, key=2)", "column 8: there is no 'key' to read"),
        ("request.path.lower()()", "column 21: only functions and methods can be called"),
        ("(request)('a')", "column 10: only functions and methods can be called"),
        ("[1]", "column 1: a list is written {a, b}, not [a, b]"),
        ("request.path[1:2]", "column 15: there are no slices"),
        ("request.path[]", "column 14: ']' is unexpected here"),
        ("request.", "column 9: a name is missing behind the dot"),
        ("request.(path)", "column 9: a name is missing behind the dot; a path is a.b or a['b']"),
        ("request.'path'", "column 9: a name is missing behind the dot"),
        ("request..path", "column 9: a name is missing behind the dot"),
        ("1 < 2 < 3", "column 7: only two values are compared at a time: join comparisons with &&"),
        ("1 == 2 in {3}", "column 8: only two values are compared at a time"),
        ("!request.path == 'a'", "column 1: write parentheses around what '!' is for: !(…)"),
        ("1 && not 'a' in {'a'}", "column 6: write parentheses around what 'not' is for: not(…)"),
        ("!1 + 2", "column 1: write parentheses around what '!' is for"),
        ("1 not 2", "column 7: '2' is unexpected here; `not in` was expected"),
        ("'%s' % request", "column 6: strings are joined with + only"),
        ("2 * 'a'", "column 3: strings are joined with + only"),
        ("-'a'", "column 1: strings are joined with + only"),
        ("+1", "column 1: '+' is unexpected here"),
        ("#this", "column 1: #this is the item of a list, inside of .{ } only"),
        ("#l.{ 1 }.{ #this } + #this", "column 22: #this is the item of a list"),
        ("#root", "column 1: there is no #root; #name reads vars.name"),
        ("#context", "column 1: there is no #context"),
        ("# this", "column 1: # stands in front of a name"),
        ("#@java.util.LinkedHashMap@{}", "column 1: # stands in front of a name"),
        ("env", "column 1: of env one variable at a time can be read: write env.NAME"),
        ("env[vars.name]", "column 1: of env one variable at a time"),
        ("env['A' + 'B']", "column 9: '+' is unexpected here; ']' was expected"),
        ("env.'A'", "column 1: of env one variable at a time"),
        ("'abc", "column 1: the string was never closed with '"),
        ("1 + \"a'", 'column 5: the string was never closed with "'),
        ("'a\nb'", "line 1, column 1: the string was never closed"),
        ("'\\d'", "column 2: \\d means nothing in a string"),
        ("'ab\\u12'", "column 4: \\u means nothing in a string"),
        ("'\\ud800'", "column 2: \\u means nothing in a string"),
        ("'\ud800'", "column 2: character U+D800 cannot stand in a string"),
        ("'a\0b'", "column 3: character U+0000 cannot stand in a string"),
        ("'a' 'b'", "column 5: \"'b'\" is unexpected here"),
        ("1 \0", "column 3: character U+0000 is not part of the language"),
        ("request\u00a0", "column 8: character U+00A0 is not part of the language"),
        ("1 + `a`", "column 5: '`' is not part of the language"),
        ("request.grüße", "column 11: 'ü' cannot be part of a name here"),
        ("\\", "column 1: a backslash stands in strings only"),
        ("012", "column 1: a number does not begin with 0"),
        ("0x1F", "column 2: a number ends here"),
        ("1_000", "column 2: a number ends here"),
        ("10L", "column 3: a number ends here"),
        ("1 + 1e999", "column 5: the number is too large"),
        ("1" * 400, "column 1: a number of 1326 bits is larger than 1024 bits"),
        ("1; 2", "column 2: ';' is not part of the language: write one expression"),
        ("1, 2", "column 2: ',' is unexpected here"),
        ("1)", "column 2: ')' is unexpected here"),
        ("request.path '/'", "column 14: \"'/'\" is unexpected here"),
        ("b'a'", "column 1: there is no 'b' to read"),
        ("f'{request}'", "column 1: there is no 'f' to read"),
        ("...", "column 1: '.' is unexpected here"),
    ],
)
def test_a_wrong_expression_is_refused_with_its_column(text, message):
    with pytest.raises(ExpressionError) as raised:
        Expression(text)

    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("@java.lang.Runtime@getRuntime().exec('id')", 1, "static members of classes cannot be reached"),
        ("request.path + @System@getenv('A')", 16, "static members of classes cannot be reached"),
        ("new java.io.File('/etc/passwd')", 1, "objects cannot be made"),
        ("{1, new int[2]}", 5, "objects cannot be made"),
        ("request.path = '/'", 14, "nothing can be assigned"),
        ("#a = 1", 4, "nothing can be assigned"),
        ("(a := 1)", 2, "there is no 'a'"),
        ("(#a := 1)", 5, "nothing can be assigned"),
        ("#fact = :[ #this <= 1 ? 1 : 2 ]", 7, "nothing can be assigned"),
        (":[ #this + 1 ](2)", 1, "there are no lambdas"),
        ("lambda: 1", 1, "there are no lambdas"),
        ("#list.{ #x for #x in #list }", 12, "write list.{ … #this … }"),
        ("1 instanceof Integer", 3, "types cannot be asked for"),
        ("9 ** 9", 3, "there are no powers"),
        ("1 << 9", 3, "there are no operators on bits"),
        ("~1", 1, "there are no operators on bits"),
        ("1 & 2", 3, "write &&"),
        ("1 | 2", 3, "write ||"),
        ("request.path eq '/'", 14, "write =="),
        ("1 gte 2", 3, "write >="),
        ("request.path is null", 14, "compare with == null"),
        ("1 if 2 else 3", 3, "write condition ? a : b"),
        ("None", 1, "write null"),
        ("not True", 5, "write true"),
        ("import os", 1, "there is no 'import'"),
        ("__import__('os')", 1, "no name begins with an underscore"),
    ],
)
def test_what_other_languages_have_is_refused_with_its_column_and_a_reason(text, column, reason):
    with pytest.raises(ExpressionError, match=f"^column {column}: .*{re.escape(reason)}"):
        Expression(text)


@pytest.mark.parametrize("name", ["__class__", "_exchange", "__dict__", "__init__", "_", "__getattribute__"])
@pytest.mark.parametrize(
    "form",
    [
        *("request.{}", "request.path.{}", "''.{}", "{{}}.{}", "vars.x.{}.y", "request.path.{}()", "(1).{}"),
        *("request.path.lower().{}", "null.{}", "request . {}", "#{}", "#l.{{ #this.{} }}", "{}", "{}(1)"),
    ],
)
def test_no_spelling_reads_a_name_with_an_underscore(form, name):
    with pytest.raises(ExpressionError, match=r"no name begins with an underscore"):
        Expression(form.format(name))


@pytest.mark.parametrize("name", ["\uff3f\uff3fclass__", "_\uff3fclass__", "cl\u0430ss", "\uff52equest"])
def test_letters_that_look_like_others_are_no_letters(name):
    with pytest.raises(ExpressionError, match=r"cannot be part of a name|is not part of the language|no name begins"):
        Expression(f"request.{name}")


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("(" * 150 + "1" + ")" * 150, 41),
        ("-" * 50 + "1", 41),
        ("-" * 1990 + "1", 41),
        ("!" * 50 + "1", 41),
        ("{" * 1000, 41),
        ("#l" + ".a" * 900, 80),
        ("1" + "+1" * 900, 80),
        ("1" + "-(1" * 600, 61),
        ("'a'" + ".lower()" * 100, 317),
        ("true ? 1 : " * 100 + "1", None),
    ],
)
def test_nesting_is_bounded(text, column):
    begun = time.process_time()
    with pytest.raises(ExpressionError, match=f"nested deeper than {MAX_DEPTH} levels") as raised:
        Expression(text)

    assert time.process_time() - begun < 1
    if column is not None:
        assert str(raised.value).startswith(f"column {column}: ")


def test_what_is_wide_is_not_deep():
    for text in (
        "1" + " && 1" * 300,
        "1" + " or 1" * 300,
        "{" + "1," * 900 + "}",
        "max(" + ",".join(["1"] * 100) + ")",
    ):
        parse(text)
    parse("(" * (MAX_DEPTH - 1) + "1" + ")" * (MAX_DEPTH - 1))
    parse("+".join(["1"] * MAX_DEPTH))


def test_length_is_bounded():
    parse("'" + "a" * (MAX_TEXT - 2) + "'")
    with pytest.raises(ExpressionError, match=r"^column 2001: an expression has at most 2000 characters, not 2001"):
        parse("'" + "a" * (MAX_TEXT - 1) + "'")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("1 * 2 / 3 % 4", "((1 * 2) / 3) % 4"),
        ("1 + 2 < 3 - 4", "(1 + 2) < (3 - 4)"),
        ("1 < 2 && 3 in {3}", "(1 < 2) && (3 in {3})"),
        ("1 || 2 && 3", "1 || (2 && 3)"),
        ("1 and 2 or 3", "(1 && 2) || 3"),
        ("1 || 2 ? 3 : 4", "(1 || 2) ? 3 : 4"),
        ("1 ? 2 : 3 ? 4 : 5", "1 ? 2 : (3 ? 4 : 5)"),
        ("1 ? 2 ? 3 : 4 : 5", "1 ? (2 ? 3 : 4) : 5"),
        ("-#a.b + 1", "(-(#a.b)) + 1"),
        ("-#a * #b", "(-#a) * #b"),
        ("!#a && #b", "(!#a) && #b"),
        ("not #a or #b", "(!#a) || #b"),
        ("#a.b[1].c", "((#a.b)[1]).c"),
        ("#a + #b.{ #this }", "#a + (#b.{ #this })"),
        ("1 == (2 < 3)", "(1) == ((2 < 3))"),
        ("#a", "vars.a"),
        ("principal", "identity.subject"),
        ("claims.a", "identity.claims.a"),
        ("'a\\'b'", '"a\'b"'),
        ("vars.in.not.null.new.if", "vars . in . not . null . new . if"),
    ],
)
def test_operators_bind_as_everywhere(text, same):
    assert ast.dump(parse(text)) == ast.dump(parse(same))


def test_of_several_mistakes_the_first_is_told():
    with pytest.raises(ExpressionError, match=r"^column 9: request has no 'a'"):
        parse("request.a + request.b + 'never closed")
