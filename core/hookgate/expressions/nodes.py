"""What a tree consists of: nodes of Python's own, and three that Python has not."""

from __future__ import annotations

import ast
from typing import Literal

Mode = Literal["", "?", "^", "$"]


class Each(ast.expr):
    """Something done with each item of a list: ``owner.{ body }``, ``.{? body }``, ``.{^ body }``, ``.{$ body }``."""

    _fields = ("owner", "body")
    owner: ast.expr
    body: ast.expr

    def __init__(self, owner: ast.expr, body: ast.expr, mode: Mode) -> None:
        super().__init__(owner=owner, body=body)  # type: ignore[call-arg]
        self.mode = mode
        """Nothing: the results. Or the items for which it holds: all, the first, the last."""


class This(ast.expr):
    """``#this``: the item that the innermost ``Each`` is at."""

    _fields = ()


class Environment(ast.expr):
    """``env.NAME``: a variable of the environment."""

    _fields = ()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


NODES = (
    *(ast.Attribute, ast.BinOp, ast.BoolOp, ast.Call, ast.Compare, ast.Constant, ast.Dict, ast.IfExp, ast.List),
    *(ast.Name, ast.Subscript, ast.UnaryOp, Each, This, Environment),
)
"""All there are."""
