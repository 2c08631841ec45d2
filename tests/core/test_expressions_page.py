"""docs/expressions.md tells the truth."""

import re
from pathlib import Path

import pytest

from hookgate import Exchange, Expression, Headers, Identity, Request
from hookgate.expressions import ExpressionError
from hookgate.expressions.evaluate import MAX_STEPS
from hookgate.expressions.syntax import _ALIASES, MAX_DEPTH, MAX_TEXT
from hookgate.expressions.values import ATTRIBUTES, FUNCTIONS, MAX_BITS, MAX_ITEMS, MAX_LENGTH, METHODS, PARTS

PAGE = (Path(__file__).parents[2] / "docs/expressions.md").read_text(encoding="utf-8")


def table(heading):
    """The cells of the rows under a heading."""
    lines = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def call():
    exchange = Exchange(Request("POST", "/v1/orders", "page=2", headers=Headers([("X-User", "joe")])))
    exchange.identity = Identity("ann", roles=("admin", "staff"))
    exchange.variables["list"] = [1, 2, 3]
    return exchange


@pytest.mark.parametrize(("what", "text", "value"), table("The language"))
def test_examples_give_what_the_page_says(what, text, value):
    got, told = (Expression(each.removeprefix("`").removesuffix("`"))(call()) for each in (text, value))

    assert got == told
    assert type(got) is type(told)


@pytest.mark.parametrize(("text", "verdict"), [row[:2] for row in table("What OGNL has and this has not")])
def test_what_the_page_says_is_refused_is_refused(text, verdict):
    text = text.strip("`")
    if verdict == "refused":
        with pytest.raises(ExpressionError, match=r"^column \d+: "):
            Expression(text)
    else:
        with pytest.raises(ExpressionError, match="cannot be evaluated"):
            Expression(text)(call())


def test_the_page_names_all_roots_and_what_they_have():
    rows = {name: cell for names, cell in table("What can be read") for name in re.findall(r"`(\w+)`", names)}

    assert set(rows) == {*PARTS, *_ALIASES, "env"}
    for root, attributes in ATTRIBUTES.items():
        assert set(re.findall(r"`(\w+)`", rows[root])) - {root, *PARTS} >= set(attributes) - {*PARTS}


def test_the_page_names_all_functions_methods_and_bounds():
    assert f"The functions are `{' '.join(FUNCTIONS)}`; the methods `{' '.join(METHODS)}`." in PAGE
    bounds = " ".join(cell for row in table("Bounds") for cell in row)
    numbers = [int(number) for number in re.findall(r"\d+", bounds)]
    assert numbers == [MAX_TEXT, MAX_DEPTH, MAX_LENGTH, MAX_ITEMS, MAX_BITS, MAX_STEPS, 1024]
