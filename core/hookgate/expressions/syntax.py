"""From text to a tree that holds nothing but what the language has."""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Iterable

from hookgate.expressions.values import ATTRIBUTES, FUNCTIONS, LITERALS, METHODS, OPERATORS, PARTS, sound

MAX_TEXT = 2000
"""Characters of an expression."""
MAX_DEPTH = 40
"""Nesting of an expression."""

NODES = (
    *(ast.Attribute, ast.BinOp, ast.BoolOp, ast.Call, ast.Compare, ast.Constant, ast.IfExp, ast.List, ast.Name),
    *(ast.Slice, ast.Subscript, ast.Tuple, ast.UnaryOp),
)
_FOREIGN: dict[type[ast.AST], str] = {
    ast.Dict: "a mapping in braces",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.JoinedStr: "an f-string",
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.NamedExpr: "an assignment",
    ast.Set: "a set in braces",
    ast.SetComp: "a comprehension",
    ast.Starred: "unpacking with *",
}
_HINTS = {"&": "; write `and`", "|": "; write `or`", "!": "; write `not`", "=": "; compare with `==`"}


class ExpressionError(ValueError):
    """An expression that cannot be used, since its text is wrong, or cannot be evaluated over this call."""


def parse(text: str) -> ast.expr:
    """Parse and check.

    Raises:
        ExpressionError: with the column where that is known.
    """
    body = text.strip()
    if not body:
        raise ExpressionError("an expression is not empty")
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"an expression has at most {MAX_TEXT} characters, not {len(text)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python only warns of, such as an unknown escape, is a mistake here
            tree = ast.parse(body, mode="eval").body
    except SyntaxError as error:
        if error.offset:
            at = _offset(text, error.lineno or 1, error.offset - 1)
            hint = _HINTS.get(text[at : at + 1], "")
        else:  # how Python says that there should be more
            at = len(text.rstrip())
            hint = "; something is missing at the end" if error.msg == "invalid syntax" else ""
        raise ExpressionError(f"{_place(text, at)}: {error.msg.split('. ')[0]}{hint}") from None
    except (ValueError, RecursionError, MemoryError, Warning) as error:
        raise ExpressionError(f"this cannot be read as an expression: {error or 'nested too deeply'}") from None
    todo = [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        try:
            if depth > MAX_DEPTH:
                raise ExpressionError(f"nested deeper than {MAX_DEPTH} levels")
            todo += [(inner, depth + 1) for inner in reversed(_checked(node))]
        except ExpressionError as error:
            raise ExpressionError(f"{_place(text, _start(text, node))}: {error}") from None
    return tree


def _start(text: str, node: ast.expr) -> int:
    """Where a node begins; one that reads or calls ``owner.name``, where the owner ends."""
    line, octets = node.lineno, node.col_offset
    named = node.func if isinstance(node, ast.Call) else node
    if isinstance(named, ast.Attribute):
        line, octets = named.value.end_lineno or line, named.value.end_col_offset or octets
    before = text.strip().split("\n")[line - 1].encode()[:octets].decode()
    return _offset(text, line, len(before))


def _offset(text: str, line: int, characters: int) -> int:
    """Where in the whole text something stands that Python found in the stripped one."""
    start = len(text) - len(text.lstrip())
    return start + sum(len(before) + 1 for before in text[start:].split("\n")[: line - 1]) + characters


def _place(text: str, at: int) -> str:
    column = at - text.rfind("\n", 0, at)
    line = text.count("\n", 0, at) + 1
    return f"line {line}, column {column}" if "\n" in text.rstrip("\n") else f"column {column}"


def _checked(node: ast.expr) -> list[ast.expr]:
    """Refuse a node that is not part of the language; return the expressions in it that are still to be checked."""
    match node:
        case ast.Constant(value):
            if not isinstance(value, (str, int, float, type(None))):
                raise ExpressionError(f"{ast.unparse(node)} is not part of the language")
            try:
                sound(value)
            except ValueError as error:
                raise ExpressionError(str(error)) from None
        case ast.Name(name):
            if name not in PARTS and name not in LITERALS:
                if name in FUNCTIONS:
                    raise ExpressionError(f"{name} is a function: write {name}(…)")
                raise ExpressionError(f"there is no {name!r} to read{_meant(name, PARTS)}")
        case ast.Attribute(owner, name):
            if name.startswith("_"):
                raise ExpressionError(f"{name!r} cannot be read: no name begins with an underscore")
            _check_has(owner, name)
        case ast.Subscript(owner, ast.Constant(str() as name)):
            _check_has(owner, name)
        case ast.Call(function, arguments, keywords):
            if keywords:
                raise ExpressionError("arguments have no names here")
            _check_call(function, len(arguments))
            return [function.value, *arguments] if isinstance(function, ast.Attribute) else arguments
        case ast.Compare(_, signs, operands):
            for sign, operand in zip(signs, operands, strict=True):
                if isinstance(sign, (ast.Is, ast.IsNot)) and not _is_null(operand):
                    raise ExpressionError("`is` asks for null only; compare with `==`")
        case ast.BinOp(op=sign) | ast.UnaryOp(op=sign):
            if type(sign) not in OPERATORS:
                raise ExpressionError(f"the operator {type(sign).__name__.lower()} is not part of the language")
            sides = [node.left, node.right] if isinstance(node, ast.BinOp) and not isinstance(sign, ast.Add) else []
            if any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in sides):
                raise ExpressionError("strings are joined with + only; other operators are for numbers")
        case _ if not isinstance(node, NODES):
            raise ExpressionError(f"{_FOREIGN.get(type(node), type(node).__name__)} is not part of the language")
    return [inner for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.expr)]


def _check_has(owner: ast.expr, name: str) -> None:
    """Refuse what a root never has; what a mapping has is known only at run time."""
    if isinstance(owner, ast.Name) and owner.id in ATTRIBUTES and name not in ATTRIBUTES[owner.id]:
        raise ExpressionError(f"{owner.id} has no {name!r}{_meant(name, ATTRIBUTES[owner.id])}")


def _check_call(function: ast.expr, arguments: int) -> None:
    if isinstance(function, ast.Name):
        kind, name, known = "function", function.id, FUNCTIONS
    elif isinstance(function, ast.Attribute):
        kind, name, known = "method", function.attr, METHODS
    else:
        raise ExpressionError("only functions and methods can be called, by their names")
    if name not in known:
        raise ExpressionError(f"there is no {kind} {name!r}{_meant(name, known)}")
    _, least, most = known[name]
    if not least <= arguments <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise ExpressionError(f"{name} takes {wanted} {'argument' if most == 1 else 'arguments'}, not {arguments}")


def _is_null(node: ast.expr) -> bool:
    return (isinstance(node, ast.Constant) and node.value is None) or (isinstance(node, ast.Name) and node.id == "null")


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f" (there are {', '.join(known)})" + (f"; did you mean {near[0]!r}?" if near else "")
