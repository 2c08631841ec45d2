"""The grammar: from text to a tree that holds nothing but what the language has.

A Pratt parser: each operator has a power, and an operand goes on for as long as the operators behind it are stronger
than the one in front of it. What can be known to be wrong without a call is refused here, with its column.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from hookgate.expressions.hints import FOREIGN, METHOD_HINTS, YAML, meant
from hookgate.expressions.nodes import Each, Environment, Mode, This
from hookgate.expressions.tokens import ExpressionError, Token, tokens, wrong
from hookgate.expressions.values import ATTRIBUTES, FUNCTIONS, METHODS, PARTS, sound

__all__ = ["MAX_DEPTH", "MAX_TEXT", "ExpressionError", "parse"]

MAX_TEXT = 2000
"""Characters of an expression."""
MAX_DEPTH = 40
"""Nesting of an expression."""
ALLOW = "HOOKGATE_ENV_ALLOW"
"""The variable that says which ones ``env`` may read: patterns, separated by commas; all of them if it is not set."""

_TERNARY, _OR, _AND, _COMPARE, _SUM, _PRODUCT, _PREFIX, _POSTFIX = range(1, 9)
_POWERS = {
    "?": _TERNARY,
    **dict.fromkeys(("||", "or"), _OR),
    **dict.fromkeys(("&&", "and"), _AND),
    **dict.fromkeys(("==", "!=", "<", ">", "<=", ">=", "in", "not"), _COMPARE),
    **dict.fromkeys(("+", "-"), _SUM),
    **dict.fromkeys(("*", "/", "//", "%"), _PRODUCT),
    **dict.fromkeys((".", "[", "("), _POSTFIX),
}
_BINARY: dict[str, type[ast.operator]] = {
    "+": ast.Add,
    "-": ast.Sub,
    "*": ast.Mult,
    "/": ast.Div,
    "//": ast.FloorDiv,
    "%": ast.Mod,
}
_COMPARISONS: dict[str, type[ast.cmpop]] = {
    "==": ast.Eq,
    "!=": ast.NotEq,
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
    "in": ast.In,
    "not": ast.NotIn,
}
_LITERALS = {"null": None, "true": True, "false": False}
_ALIASES = {"principal": ("identity", "subject"), "claims": ("identity", "claims")}
_MODES: dict[str, Mode] = {"?": "?", "^": "^", "$": "$"}

NodeT = TypeVar("NodeT", bound=ast.expr)


def parse(text: str) -> ast.expr:
    """Parse and check.

    Raises:
        ExpressionError: with the line, if there are several, and the column.
    """
    if len(text) > MAX_TEXT:
        raise wrong(text, MAX_TEXT, f"an expression has at most {MAX_TEXT} characters, not {len(text)}")
    if not text.strip():
        raise wrong(text, 0, "an expression is not empty")
    parser = _Parser(text)
    tree = parser.expression()
    if parser.token.kind != "end":
        raise parser.unexpected()
    return tree


class _Parser:
    """One pass over one text. ``token`` is the next one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._level = 0
        self._inside = 0
        """How many ``.{ }`` are open, in which there is a ``#this``."""
        self._depths: dict[ast.expr, int] = {}
        self.token = next(self._tokens)

    # --- the machine ------------------------------------------------------------------------------------------------

    def expression(self, power: int = 0) -> ast.expr:
        """Read on for as long as operators are stronger than ``power``."""
        self._level += 1
        if self._level > MAX_DEPTH:
            raise self._too_deep(self.token.at)
        left = self._prefix()
        while (stronger := self._power()) > power:
            left = self._infix(left, stronger)
        self._level -= 1
        return left

    def _power(self) -> int:
        return _POWERS.get(self.token.text, 0) if self.token.kind in ("sign", "word") else 0

    def _next(self) -> Token:
        token, self.token = self.token, next(self._tokens, self.token)
        return token

    def _is(self, text: str) -> bool:
        return self.token.text == text and self.token.kind in ("sign", "word")

    def _expect(self, text: str, opening: Token) -> None:
        if self._is(text):
            self._next()
            return
        if self.token.kind == "end":
            hint = YAML if "{" in opening.text else ""
            raise wrong(self._text, opening.at, f"{opening.text!r} was never closed with {text!r}{hint}")
        raise self.unexpected(f"; {text!r} was expected")

    def unexpected(self, hint: str = "") -> ExpressionError:
        """Make the error that the next token is."""
        token = self.token
        if token.kind == "end":
            comment = YAML if self._inside else ""
            return wrong(self._text, token.at, f"something is missing at the end{comment}")
        shown = f"#{token.text}" if token.kind == "variable" else token.text
        if token.kind in ("sign", "word") and token.text in FOREIGN:
            return self._foreign(token)
        return wrong(self._text, token.at, f"{shown!r} is unexpected here{hint}")

    def _foreign(self, token: Token) -> ExpressionError:
        return wrong(self._text, token.at, f"{token.text!r} is not part of the language: {FOREIGN[token.text]}")

    def _too_deep(self, at: int) -> ExpressionError:
        return wrong(self._text, at, f"nested deeper than {MAX_DEPTH} levels")

    def _made(self, node: NodeT, at: int, *inner: ast.expr) -> NodeT:
        """Note where a node stands and how deep it is; ``inner`` are its children."""
        self._depths[node] = depth = 1 + max((self._depths[each] for each in inner), default=0)
        if depth > MAX_DEPTH:
            raise self._too_deep(at)
        return node

    # --- what an operand begins with --------------------------------------------------------------------------------

    def _prefix(self) -> ast.expr:
        token = self.token
        if token.kind == "value":
            return self._literal(self._next())
        if token.kind == "variable":
            return self._variable(self._next())
        if token.kind == "word":
            return self._word(self._next())
        match token.text if token.kind == "sign" else "":
            case "(":
                self._next()
                inner = self.expression()
                self._expect(")", token)
                return inner
            case "{":
                self._next()
                items = self._items("}", token)
                return self._made(ast.List(items), token.at, *items)
            case "#{":
                self._next()
                return self._map(token)
            case "-":
                self._next()
                operand = self.expression(_PREFIX)
                if isinstance(operand, ast.Constant) and isinstance(operand.value, (int, float)):
                    return self._made(ast.Constant(-operand.value), token.at)
                self._no_string(operand, token)
                return self._made(ast.UnaryOp(ast.USub(), operand), token.at, operand)
            case "!":
                return self._not(self._next())
            case "[":
                raise wrong(self._text, token.at, "a list is written {a, b}, not [a, b]")
            case "#":
                raise wrong(self._text, token.at, "# stands in front of a name, or of the { of a mapping")
        raise self.unexpected()

    def _literal(self, token: Token) -> ast.expr:
        try:
            sound(token.value)
        except ValueError as error:
            raise wrong(self._text, token.at, str(error)) from None
        return self._made(ast.Constant(token.value), token.at)

    def _not(self, token: Token) -> ast.expr:
        operand = self.expression(_PREFIX)
        if _COMPARE <= self._power() < _PREFIX:  # OGNL reads (!a) == b, Python not (a == b)
            raise wrong(self._text, token.at, f"write parentheses around what {token.text!r} is for: {token.text}(…)")
        return self._made(ast.UnaryOp(ast.Not(), operand), token.at, operand)

    def _variable(self, token: Token) -> ast.expr:
        if token.text == "this":
            if not self._inside:
                raise wrong(self._text, token.at, "#this is the item of a list, inside of .{ } only")
            return self._made(This(), token.at)
        if token.text in ("root", "context"):
            raise wrong(self._text, token.at, f"there is no #{token.text}; #name reads vars.name")
        self._check_name(token)
        root = self._made(ast.Name("vars"), token.at)
        return self._made(ast.Attribute(root, token.text), token.at, root)

    def _word(self, token: Token) -> ast.expr:
        name = token.text
        if name in _LITERALS:
            return self._made(ast.Constant(_LITERALS[name]), token.at)
        if name == "not":
            return self._not(token)
        if self._is("(") and name not in FOREIGN:
            self._check_name(token)
            arguments = self._arguments(token, "function", FUNCTIONS)
            return self._made(ast.Call(ast.Name(name), arguments, []), token.at, *arguments)
        if name == "env":
            return self._environment(token)
        if name in PARTS:
            return self._made(ast.Name(name), token.at)
        if name in _ALIASES:
            root, attribute = _ALIASES[name]
            owner = self._made(ast.Name(root), token.at)
            return self._made(ast.Attribute(owner, attribute), token.at, owner)
        self._check_name(token)
        if name in FOREIGN:
            raise self._foreign(token)
        if name in FUNCTIONS:
            raise wrong(self._text, token.at, f"{name} is a function: write {name}(…)")
        if self._text[token.at - 1 : token.at] == "-" and self._text[: token.at - 1][-1:].isalnum():
            raise wrong(self._text, token.at, f"there is no {name!r} to subtract; write a name with a hyphen as ['…']")
        raise wrong(self._text, token.at, f"there is no {name!r} to read{meant(name, (*PARTS, *_ALIASES, 'env'))}")

    def _environment(self, token: Token) -> ast.expr:
        dot = self._next()
        named = self._next() if dot.text in (".", "[") and dot.kind == "sign" else dot
        if dot.text == "[" and isinstance(named.value, str):
            self._expect("]", dot)
            name = named.value
        elif dot.text == "." and named.kind == "word":
            name = named.text
        else:
            raise wrong(self._text, token.at, "of env one variable at a time can be read: write env.NAME")
        allowed = os.environ.get(ALLOW)
        if allowed is not None and not any(fnmatchcase(name, pattern.strip()) for pattern in allowed.split(",")):
            raise wrong(self._text, named.at, f"environment variable {name} may not be read; {ALLOW} does not name it")
        return self._made(Environment(name), token.at)

    def _map(self, opening: Token) -> ast.expr:
        keys: list[ast.expr] = []
        values: list[ast.expr] = []
        while not self._is("}"):
            keys.append(self.expression())
            self._expect(":", opening)
            values.append(self.expression())
            if not self._is(","):
                break
            self._next()
        self._expect("}", opening)
        return self._made(ast.Dict([*keys], values), opening.at, *keys, *values)

    def _items(self, closing: str, opening: Token) -> list[ast.expr]:
        items: list[ast.expr] = []
        while not self._is(closing):
            items.append(self.expression())
            if not self._is(","):
                break
            self._next()
        self._expect(closing, opening)
        return items

    # --- what goes on behind an operand -----------------------------------------------------------------------------

    def _infix(self, left: ast.expr, power: int) -> ast.expr:
        token = self._next()
        if power == _POSTFIX:
            return self._postfix(left, token)
        if power == _TERNARY:
            then = self.expression()
            self._expect(":", token)
            otherwise = self.expression()
            return self._made(ast.IfExp(left, then, otherwise), token.at, left, then, otherwise)
        if power == _COMPARE and token.text == "not":
            if not self._is("in"):
                raise self.unexpected("; `not in` was expected")
            self._next()
        right = self.expression(power)
        if power in (_OR, _AND):
            sign = ast.Or if power == _OR else ast.And
            if isinstance(left, ast.BoolOp) and isinstance(left.op, sign):
                return self._made(ast.BoolOp(sign(), [*left.values, right]), token.at, *left.values, right)
            return self._made(ast.BoolOp(sign(), [left, right]), token.at, left, right)
        if power == _COMPARE:
            if self._power() == _COMPARE:
                raise wrong(
                    self._text, self.token.at, "only two values are compared at a time: join comparisons with &&"
                )
            return self._made(ast.Compare(left, [_COMPARISONS[token.text]()], [right]), token.at, left, right)
        if token.text != "+":
            self._no_string(left, token)
            self._no_string(right, token)
        return self._made(ast.BinOp(left, _BINARY[token.text](), right), token.at, left, right)

    def _no_string(self, operand: ast.expr, sign: Token) -> None:
        if isinstance(operand, ast.Constant) and isinstance(operand.value, str):
            raise wrong(self._text, sign.at, f"strings are joined with + only; {sign.text} is for numbers")

    def _postfix(self, owner: ast.expr, token: Token) -> ast.expr:
        if token.text == "(":
            raise wrong(self._text, token.at, "only functions and methods can be called, by their names")
        if token.text == "[":
            key_at = self.token.at
            key = self.expression()
            if self._is(":"):
                raise wrong(self._text, self.token.at, "there are no slices; split a string, or select from a list")
            self._expect("]", token)
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                self._check_has(owner, key.value, key_at)
            return self._made(ast.Subscript(owner, key), token.at, owner, key)
        if self._is("{"):
            return self._each(owner, self._next())
        if self.token.kind != "word":
            what = "a name is missing behind the dot"
            raise wrong(
                self._text, self.token.at, what if self.token.kind == "end" else f"{what}; a path is a.b or a['b']"
            )
        name = self._next()
        self._check_name(name)
        if self._is("("):
            arguments = self._arguments(name, "method", METHODS)
            function = ast.Attribute(owner, name.text)
            return self._made(ast.Call(function, arguments, []), name.at, owner, *arguments)
        self._check_has(owner, name.text, name.at)
        return self._made(ast.Attribute(owner, name.text), name.at, owner)

    def _each(self, owner: ast.expr, opening: Token) -> ast.expr:
        mode: Mode = ""
        if self.token.kind == "sign" and self.token.text in _MODES:
            mode = _MODES[self._next().text]
        self._inside += 1
        body = self.expression()
        self._inside -= 1
        self._expect("}", opening)
        return self._made(Each(owner, body, mode), opening.at, owner, body)

    # --- checks -----------------------------------------------------------------------------------------------------

    def _arguments(self, name: Token, what: str, known: dict[str, tuple[Any, int, int]]) -> list[ast.expr]:
        if name.text not in known:
            hint = METHOD_HINTS.get(name.text)
            better = f"; write {hint}" if hint else meant(name.text, known)
            raise wrong(self._text, name.at, f"there is no {what} {name.text!r}{better}")
        arguments: Sequence[ast.expr] = self._items(")", self._next())
        _, least, most = known[name.text]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            plural = "argument" if most == 1 else "arguments"
            raise wrong(self._text, name.at, f"{name.text} takes {wanted} {plural}, not {len(arguments)}")
        return list(arguments)

    def _check_name(self, name: Token) -> None:
        if name.text.startswith("_"):
            raise wrong(self._text, name.at, f"{name.text!r} cannot be read: no name begins with an underscore")

    def _check_has(self, owner: ast.expr, name: str, at: int) -> None:
        """Refuse what a root never has; what a mapping has is known only at run time."""
        if isinstance(owner, ast.Name) and owner.id in ATTRIBUTES and name not in ATTRIBUTES[owner.id]:
            raise wrong(self._text, at, f"{owner.id} has no {name!r}{meant(name, ATTRIBUTES[owner.id])}")
