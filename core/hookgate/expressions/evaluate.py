"""From a checked tree to a function of the exchange: closures for the usual shapes, simpleeval for all the others."""

from __future__ import annotations

import ast
import threading
from typing import TYPE_CHECKING, Any

from simpleeval import EvalWithCompoundTypes  # type: ignore[import-untyped]

from hookgate.expressions.syntax import NODES
from hookgate.expressions.values import (
    ATTRIBUTES,
    FUNCTIONS,
    LITERALS,
    METHODS,
    OPERATORS,
    PARTS,
    Evaluate,
    attribute,
    item,
    kind,
    part,
    sound,
)

if TYPE_CHECKING:
    from hookgate.exchange import Exchange


def roots(tree: ast.expr) -> frozenset[str]:
    """Name the roots that a tree reads."""
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in PARTS)


def quick(node: ast.expr) -> Evaluate | None:
    """Compile to closures what most expressions are made of, for a third of the time; ``None`` for anything else.

    These are paths, constants, comparisons of two of them, and those combined by ``and``, ``or`` and ``not``.
    """
    match node:
        case ast.Constant(value):
            return lambda exchange: value
        case ast.Name(name):
            if name in LITERALS:
                literal = LITERALS[name]
                return lambda exchange: literal
            return lambda exchange: part(exchange, name)
        case ast.Attribute(ast.Name(root), name) if root in ATTRIBUTES:
            there, read = PARTS[root], ATTRIBUTES[root][name]
            return lambda exchange: None if there(exchange) is None else sound(read(exchange))
        case ast.Attribute(inner, name):
            owner = quick(inner)
            return owner and (lambda exchange: attribute(owner(exchange), name))
        case ast.Subscript(inner, ast.Constant(key)):
            container = quick(inner)
            return container and (lambda exchange: item(container(exchange), key))
        case ast.List(items) | ast.Tuple(items):
            values = [element.value for element in items if isinstance(element, ast.Constant)]
            return (lambda exchange: values) if len(values) == len(items) else None
        case ast.UnaryOp(ast.Not(), inner):
            operand = quick(inner)
            return operand and (lambda exchange: not operand(exchange))
        case ast.Compare(first, [sign], [second]):
            left, right, compare = quick(first), quick(second), OPERATORS[type(sign)]
            return left and right and (lambda exchange: compare(left(exchange), right(exchange)))
        case ast.BoolOp(sign, operands):
            steps = [step for step in map(quick, operands) if step]
            return _until(isinstance(sign, ast.Or), steps) if len(steps) == len(operands) else None
    return None


def _until(decided: bool, steps: list[Evaluate]) -> Evaluate:
    """``or`` goes on until something is true, ``and`` until something is false."""

    def evaluate(exchange: Exchange) -> Any:
        value = None
        for step in steps:
            value = step(exchange)
            if bool(value) is decided:
                break
        return value

    return evaluate


def thorough(text: str, tree: ast.expr) -> Evaluate:
    """Evaluate any tree by walking over it."""

    def evaluate(exchange: Exchange) -> Any:
        evaluator = _evaluators.mine
        evaluator.exchange = exchange
        try:
            return evaluator.eval(text, previously_parsed=tree)
        finally:
            evaluator.exchange = None

    return evaluate


class _Evaluator(EvalWithCompoundTypes):  # type: ignore[misc]
    """simpleeval narrowed to the language: what reads, calls or computes is one of the functions of `values`."""

    exchange: Any = None
    nodes: dict[type[ast.AST], Any]

    def __init__(self) -> None:
        super().__init__(operators=OPERATORS, functions={}, names={})
        self.nodes = {node: self.nodes[node] for node in NODES}
        self.nodes[ast.Tuple] = self.nodes[ast.List]

    def _check_disallowed_items(self, item: Any) -> None:
        """Called by simpleeval with the value of every node."""
        sound(item)

    def _eval_name(self, node: ast.Name) -> Any:
        return LITERALS[node.id] if node.id in LITERALS else part(self.exchange, node.id)

    def _eval_attribute(self, node: ast.Attribute) -> Any:
        return attribute(self._eval(node.value), node.attr)

    def _eval_subscript(self, node: ast.Subscript) -> Any:
        return item(self._eval(node.value), self._eval(node.slice))

    def _eval_call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name):
            return FUNCTIONS[node.func.id][0](*map(self._eval, node.args))
        assert isinstance(node.func, ast.Attribute)
        text = self._eval(node.func.value)
        if text is None:
            return None
        if not isinstance(text, str):
            raise TypeError(f"{node.func.attr} is a method of strings, not of {kind(text)}")
        return METHODS[node.func.attr][0](text, *map(self._eval, node.args))


class _Evaluators(threading.local):
    """One evaluator for each thread: making one takes as long as evaluating."""

    def __init__(self) -> None:
        self.mine = _Evaluator()


_evaluators = _Evaluators()
