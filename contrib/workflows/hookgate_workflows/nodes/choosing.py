"""Cells that choose a way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator

from hookgate import Options, hookimpl
from hookgate_workflows.family import Cell, Done, Node
from hookgate_workflows.templating import Template, compiled

DEFAULT = "default"
_TRUE, _FALSE = frozenset(("true", "yes", "on", "1")), frozenset(("false", "no", "off", "0", "none", "null", ""))


def condition(text: str) -> str:
    """Let an expression be written with or without the braces of a template."""
    return text if "{{" in text or "{%" in text else f"{{{{ {text} }}}}"


Condition = Annotated[str, Field(min_length=1, max_length=4000)]


async def holds(cell: Cell, expression: str) -> bool:
    """Say whether an expression is true. A text that a template gives counts as what it says: `false`, `0`, `no` and
    nothing are false."""
    found = await cell.value(Template(condition(expression)))
    if isinstance(found, str):
        return found.strip().lower() not in _FALSE
    return bool(found)


def _checked(expression: str) -> str:
    compiled(condition(expression))
    return expression


class BooleanExpressionOptions(Options):
    """Parameters of `boolean_expression`."""

    expression: Condition
    """An expression of Jinja2, such as `request.body.amount > 100 and context.known`, with or without braces."""

    @field_validator("expression")
    @classmethod
    def _expression(cls, expression: str) -> str:
        return _checked(expression)


class BooleanExpression(Node[BooleanExpressionOptions]):
    """Goes on at `true` or at `false`."""

    outputs = ("true", "false")

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Choose."""
        return Done("true" if await holds(cell, self.options.expression) else "false")


class SwitchOptions(Options):
    """Parameters of `switch`."""

    expressions: dict[Annotated[str, Field(pattern=r"^[^.\x00-\x1f]{1,100}$")], Condition] | tuple[Condition, ...]
    """Expressions, asked in order: by the name of the output that each stands for, or a list, where the expression
    itself is the name (without dots) or its number from 1."""

    @field_validator("expressions")
    @classmethod
    def _expressions(cls, expressions: dict[str, str] | tuple[str, ...]) -> dict[str, str] | tuple[str, ...]:
        for each in expressions.values() if isinstance(expressions, dict) else expressions:
            _checked(each)
        if isinstance(expressions, dict) and DEFAULT in expressions:
            raise ValueError(f"{DEFAULT!r} is the output where no expression is true; call this one otherwise")
        return expressions


class Switch(Node[SwitchOptions]):
    """Goes on at the first expression that is true, and at `default` where none is."""

    @property
    def outputs(self) -> Sequence[str]:
        """One for each expression, and `default`."""
        said = self.options.expressions
        if isinstance(said, dict):
            return (*said, DEFAULT)
        return (*(each for each in said if "." not in each), *map(str, range(1, len(said) + 1)), DEFAULT)

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Choose."""
        said = self.options.expressions
        if isinstance(said, dict):
            for name, expression in said.items():
                if await holds(cell, expression):
                    return Done(name)
            return Done(DEFAULT)
        for index, expression in enumerate(said, 1):
            if await holds(cell, expression):
                return Done(expression if cell.leads(expression) else str(index))
        return Done(DEFAULT)
