"""From a checked tree to a function of the exchange: closures for the usual shapes, simpleeval for all the others."""

from __future__ import annotations

import ast
import os
import threading
from typing import TYPE_CHECKING, Any

from simpleeval import EvalWithCompoundTypes  # type: ignore[import-untyped]

from hookgate.expressions.nodes import NODES, Each, Environment, This
from hookgate.expressions.values import (
    ATTRIBUTES,
    FUNCTIONS,
    METHODS,
    OPERATORS,
    PARTS,
    Evaluate,
    attribute,
    item,
    items,
    mapping,
    part,
    sound,
    text_for,
)

if TYPE_CHECKING:
    from hookgate.exchange.exchange import Exchange

MAX_STEPS = 10_000
"""Nodes of the tree that one evaluation visits; a value counts once more for each 1024 characters or items."""


def roots(tree: ast.expr) -> frozenset[str]:
    """Name the roots that a tree reads."""
    return frozenset(
        "env" if isinstance(node, Environment) else node.id
        for node in ast.walk(tree)
        if isinstance(node, Environment) or (isinstance(node, ast.Name) and node.id in PARTS)
    )


def reads_body(tree: ast.expr) -> bool:
    """Whether it may read the body of the request: ``request.body``, or of ``request`` nobody knows yet what."""
    known = 0
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("request"), name) | ast.Subscript(ast.Name("request"), ast.Constant(name)):
                known += 1
                if name == "body":
                    return True
    return known < sum(isinstance(node, ast.Name) and node.id == "request" for node in ast.walk(tree))


class _NotQuick(Exception):
    """There is no closure for a node."""


def quick(tree: ast.expr) -> Evaluate | None:
    """Compile to closures all but what walks over lists, for a fifth of the time; ``None`` for anything else."""
    try:
        return _closure(tree)
    except _NotQuick:
        return None


def _closure(node: ast.expr) -> Evaluate:
    match node:
        case ast.Constant(value):
            return lambda exchange: value
        case Environment():
            variable = node.name
            return lambda exchange: sound(os.environ.get(variable))
        case ast.Name(name):
            return lambda exchange: part(exchange, name)
        case ast.Attribute(ast.Name(root), name) if root in ATTRIBUTES:
            there, read = PARTS[root], ATTRIBUTES[root][name]
            return lambda exchange: None if there(exchange) is None else sound(read(exchange))
        case ast.Attribute(inner, name):
            owner = _closure(inner)
            return lambda exchange: attribute(owner(exchange), name)
        case ast.Subscript(inner, ast.Constant(key)):
            owner = _closure(inner)
            return lambda exchange: item(owner(exchange), key)
        case ast.Subscript(inner, index):
            owner, place = _closure(inner), _closure(index)
            return lambda exchange: item(owner(exchange), place(exchange))
        case ast.List(elements):
            values = [element.value for element in elements if isinstance(element, ast.Constant)]
            if len(values) == len(elements):
                return lambda exchange: values
            parts = [_closure(element) for element in elements]
            return lambda exchange: [each(exchange) for each in parts]
        case ast.UnaryOp(unary, inner):
            operand, change = _closure(inner), OPERATORS[type(unary)]
            return lambda exchange: sound(change(operand(exchange)))
        case ast.BinOp(first, binary, second):
            left, right, calculate = _closure(first), _closure(second), OPERATORS[type(binary)]
            return lambda exchange: sound(calculate(left(exchange), right(exchange)))
        case ast.Compare(first, [sign], [second]):
            left, right, compare = _closure(first), _closure(second), OPERATORS[type(sign)]
            return lambda exchange: compare(left(exchange), right(exchange))
        case ast.BoolOp(junction, operands):
            return _until(isinstance(junction, ast.Or), [_closure(operand) for operand in operands])
        case ast.IfExp(condition, first, second):
            test, left, right = _closure(condition), _closure(first), _closure(second)
            return lambda exchange: left(exchange) if test(exchange) else right(exchange)
        case ast.Call(ast.Name(name), operands):
            function, parts = FUNCTIONS[name][0], [_closure(operand) for operand in operands]
            return lambda exchange: sound(function(*[each(exchange) for each in parts]))
        case ast.Call(ast.Attribute(inner, name), operands):
            return _method(name, _closure(inner), [_closure(operand) for operand in operands])
    raise _NotQuick


def _method(name: str, owner: Evaluate, arguments: list[Evaluate]) -> Evaluate:
    method = METHODS[name][0]

    def evaluate(exchange: Exchange) -> Any:
        text = text_for(name, owner(exchange))
        return None if text is None else sound(method(text, *[each(exchange) for each in arguments]))

    return evaluate


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
        evaluator.exchange, evaluator.left = exchange, MAX_STEPS
        try:
            return evaluator.eval(text, previously_parsed=tree)
        finally:
            evaluator.exchange = evaluator.this = None

    return evaluate


class _Evaluator(EvalWithCompoundTypes):  # type: ignore[misc]
    """simpleeval narrowed to the language: what reads, calls or computes is one of the functions of `values`."""

    exchange: Any = None
    this: Any = None
    left = 0
    """Steps that this evaluation may still take."""
    nodes: dict[type[ast.AST], Any]

    def __init__(self) -> None:
        super().__init__(operators=OPERATORS, functions={}, names={})
        self.nodes |= {Each: self._eval_each, This: lambda node: self.this}
        self.nodes[Environment] = lambda node: os.environ.get(node.name)
        self.nodes = {node: self.nodes[node] for node in NODES}

    def _check_disallowed_items(self, item: Any) -> None:
        """Called by simpleeval with the value of every node."""
        sound(item)
        self._spend(1 + (len(item) >> 10 if isinstance(item, (str, list)) else 0))

    def _spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise ValueError(f"it takes more than {MAX_STEPS} steps")

    def _weigh(self, made: list[Any]) -> None:
        """Spend a step for each item of what a projection made, at all depths: ``{#this, #this}`` in a chain of them
        doubles what a comparison would have to walk over, without making anything larger.
        """
        todo: list[Any] = [made]
        while todo:
            each = todo.pop()
            self._spend(1)
            if isinstance(each, (list, dict)):
                todo += each if isinstance(each, list) else each.values()

    def _eval_name(self, node: ast.Name) -> Any:
        return part(self.exchange, node.id)

    def _eval_attribute(self, node: ast.Attribute) -> Any:
        return attribute(self._eval(node.value), node.attr)

    def _eval_subscript(self, node: ast.Subscript) -> Any:
        return item(self._eval(node.value), self._eval(node.slice))

    def _eval_dict(self, node: ast.Dict) -> Any:
        return mapping((self._eval(key), self._eval(value)) for key, value in zip(node.keys, node.values, strict=True))

    def _eval_each(self, node: Each) -> Any:
        owner = self._eval(node.owner)
        if owner is None:
            return None
        outer, made = self.this, []
        try:
            for each in reversed(items(owner)) if node.mode == "$" else items(owner):
                self.this = sound(each)
                result = self._eval(node.body)
                if not node.mode:
                    made.append(result)
                elif result:
                    made.append(self.this)
                    if node.mode != "?":
                        break
        finally:
            self.this = outer
        if not node.mode:
            self._weigh(made)
        return made

    def _eval_call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name):
            return FUNCTIONS[node.func.id][0](*map(self._eval, node.args))
        assert isinstance(node.func, ast.Attribute)
        text = text_for(node.func.attr, self._eval(node.func.value))
        return None if text is None else METHODS[node.func.attr][0](text, *map(self._eval, node.args))


class _Evaluators(threading.local):
    """One evaluator for each thread: making one takes as long as evaluating."""

    def __init__(self) -> None:
        self.mine = _Evaluator()


_evaluators = _Evaluators()
