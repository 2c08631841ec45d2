"""Templates in parameters of cells: Jinja2 in its immutable sandbox, compiled once, when a document is loaded (WF-3).

A template that is one expression, ``{{ request.body.items }}``, gives the value as it is. Any other gives a text and,
where that begins with ``{`` or ``[`` and is JSON, what it says. What has a loop, a macro or anything else that can run
away is rendered in a process of its own, which is ended when it takes too long (:mod:`hookgate_workflows.helping`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import orjson
from jinja2 import TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic_core import core_schema

from hookgate_workflows.filters import FILTERS, FUNCTIONS, LINEAR, TESTS, query

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

Form = Literal["value", "text", "inner"]
LONGEST_TEMPLATE = 65_536
"""Characters of one template."""
MOST_PARTS = 100_000
"""Values in what a template gives."""
LONGEST_RESULT = 1_048_576
"""Characters and bytes of what a template gives."""
_LOOK_UPS = 40
"""Names that a template which is rendered at once may look up: what it gives is at most so many times its values."""
_METHODS = frozenset(
    (
        *("endswith", "get", "isdigit", "items", "keys", "lower", "lstrip", "rstrip", "split", "startswith"),
        *("strip", "title", "upper", "values", "isoformat", "timestamp", "date"),
    )
)
_PLAIN_NODES = (
    *(nodes.Output, nodes.TemplateData, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Test, nodes.Compare),
    *(nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.If, nodes.List, nodes.Dict, nodes.Pair),
    *(nodes.Tuple, nodes.Concat, nodes.Keyword, nodes.Neg, nodes.Sub, nodes.Add, nodes.Name, nodes.Slice),
)


class TemplateFailed(Exception):
    """A template cannot be rendered; the text says why, and holds none of the values."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("*", "**", "%", "+"))

    def __init__(self) -> None:
        super().__init__(autoescape=False, cache_size=0)
        self.filters.update(FILTERS)
        self.tests.update(TESTS)
        self.globals = {**self.globals, **FUNCTIONS}
        del self.globals["lipsum"]

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse what makes long texts and large numbers of small ones."""
        if operator == "**" and (abs(left) > 1e6 or abs(right) > 64):
            raise TemplateFailed("a power is too large")
        if operator == "*" and not all(isinstance(each, int | float) for each in (left, right)):
            raise TemplateFailed("texts and lists cannot be multiplied")
        if operator == "*" and all(isinstance(each, int) for each in (left, right)) and (
            left.bit_length() + right.bit_length() > 4096
        ):  # fmt: skip
            raise TemplateFailed("a product is too large")
        if operator == "%" and isinstance(left, str):
            raise TemplateFailed("write texts one after the other with ~ in place of %")
        if operator == "+" and isinstance(left, str) != isinstance(right, str):
            raise TemplateFailed("a text and something else cannot be added; write ~")
        return super().call_binop(context, operator, left, right)


ENVIRONMENT = _Environment()


@lru_cache(4096)
def compiled(source: str) -> Compiled:
    """Compile a template.

    Raises:
        ValueError: it is none; the text says in which line.
    """
    return Compiled(source)


class Compiled:
    """A template that is ready to be rendered."""

    __slots__ = ("at_once", "constant", "expression", "source", "template")

    def __init__(self, source: str) -> None:
        self.source = source
        self.constant = not any(mark in source for mark in ("{{", "{%", "{#"))
        self.expression = self.template = None
        self.at_once = True
        if len(source) > LONGEST_TEMPLATE:
            raise ValueError(f"a template has at most {LONGEST_TEMPLATE} characters")
        if self.constant:
            return
        try:
            tree = ENVIRONMENT.parse(source)
            self.at_once = _is_plain(tree)
            inner = _only_expression(source)
            if inner is not None:
                self.expression = ENVIRONMENT.compile_expression(inner, undefined_to_none=True)
            else:
                self.template = ENVIRONMENT.from_string(source)
        except TemplateSyntaxError as error:
            raise ValueError(f"is no template: line {error.lineno}: {error.message}") from None
        except TemplateError as error:
            raise ValueError(f"is no template: {error}") from None
        except RecursionError:
            raise ValueError("is no template: it has too many parts within each other") from None

    def __deepcopy__(self, memo: object) -> Compiled:
        return self  # it never changes

    def render(self, variables: Mapping[str, Any], form: Form = "value") -> Any:
        """Return what the template gives, as plain values: a ``text``; a ``value``, which a text may say in JSON; or an
        ``inner`` one of a larger value, where a text stays one.

        Raises:
            TemplateFailed: it raises, or gives too much, or something that is no plain value.
        """
        if self.constant:
            return valued(self.source) if form == "value" else self.source
        try:
            if self.expression is not None:
                found = plain(self.expression(**variables))
                return as_written(found) if form == "text" else found
            assert self.template is not None
            total, parts = 0, []
            for part in self.template.generate(**variables):
                total += len(part)
                if total > LONGEST_RESULT:
                    raise TemplateFailed(f"it gives more than {LONGEST_RESULT} characters")
                parts.append(part)
            text = "".join(parts)
            return valued(text) if form == "value" else text
        except TemplateFailed:
            raise
        except MemoryError:
            raise TemplateFailed("it takes too much memory") from None
        except Exception as error:  # noqa: BLE001 - a template may bring anything about
            raise TemplateFailed(_told(error)) from None


def _told(error: Exception) -> str:
    """Say what went wrong without the values: messages of Jinja2 name variables, those of others may show them."""
    if isinstance(error, TemplateError):
        return f"{type(error).__name__}: {error.message or ''}"[:300]
    return f"{type(error).__name__} in the template"


def _only_expression(source: str) -> str | None:
    """Return the expression that a template is, if it is one and nothing else."""
    text = source.strip()
    if not (text.startswith("{{") and text.endswith("}}")):
        return None
    found = ENVIRONMENT.parse(text).body
    if len(found) != 1 or not isinstance(found[0], nodes.Output) or len(found[0].nodes) != 1:
        return None
    if isinstance(found[0].nodes[0], nodes.TemplateData):
        return None
    inner = text[2:-2]
    inner = inner[1:] if inner[:1] in ("-", "+") else inner
    return inner[:-1] if inner[-1:] in ("-", "+") else inner


def _is_plain(tree: nodes.Template) -> bool:
    """Whether a template takes no more time and memory than grows with its values: it may be rendered at once."""
    looked_up = 0
    for node in _walk(tree):
        looked_up += isinstance(node, nodes.Name)
        if looked_up > _LOOK_UPS:
            return False
        if isinstance(node, nodes.Name) and node.ctx != "load":
            return False
        if isinstance(node, nodes.Filter):
            if node.name not in LINEAR:
                return False
            if node.name == "json_query":
                if len(node.args) != 1 or not isinstance(node.args[0], nodes.Const):
                    return False
                query(str(node.args[0].value))  # compiled once, and refused when the document is loaded
        elif isinstance(node, nodes.Call):
            called = node.node
            if isinstance(called, nodes.Getattr):
                if called.attr not in _METHODS:
                    return False
            elif not (isinstance(called, nodes.Name) and called.name in FUNCTIONS):
                return False
        elif not isinstance(node, _PLAIN_NODES):
            return False
    return True


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    for child in node.iter_child_nodes():
        yield child
        yield from _walk(child)


def valued(text: str) -> Any:
    """Return what a text says that is JSON, an object or a list; else the text."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return orjson.loads(text)
        except ValueError:
            return text
    return text


def as_written(value: Any) -> str:
    """Return a value as a text: a text as it is, nothing as nothing, and anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


def plain(value: Any) -> Any:
    """Return plain values of what a template has given.

    Raises:
        TemplateFailed: it is too much, too deep, or something else.
    """
    return _Plain().of(value, 0)


class _Plain:
    def __init__(self) -> None:
        self._parts, self._length = 0, 0

    def of(self, value: Any, depth: int) -> Any:
        self._parts += 1
        if self._parts > MOST_PARTS or depth > 100:
            raise TemplateFailed(f"it gives more than {MOST_PARTS} values, or too many within each other")
        if value is None or isinstance(value, bool | float):
            return value if not isinstance(value, float) or isfinite(value) else None
        if isinstance(value, int):
            if abs(value) >= 2**63:
                raise TemplateFailed("it gives a number that is too large")
            return int(value)
        if isinstance(value, str):
            self._length += len(value)
            if self._length > LONGEST_RESULT:
                raise TemplateFailed(f"it gives more than {LONGEST_RESULT} characters")
            return str(value)
        if isinstance(value, Undefined):
            return None
        if isinstance(value, datetime | date):
            return value.isoformat()
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, Mapping):
            return {str(self.of(key, depth)): self.of(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset) or hasattr(value, "__next__"):
            return [self.of(each, depth + 1) for each in value]
        if hasattr(value, "__iter__") and type(value).__name__ in ("dict_keys", "dict_values", "dict_items"):
            return [self.of(each, depth + 1) for each in value]
        raise TemplateFailed(f"it gives a {type(value).__name__}, which is no plain value")


class Template:
    """A parameter that is a text with templates in it; ``await cell.text(template)`` renders it."""

    __slots__ = ("compiled",)

    def __init__(self, source: str) -> None:
        self.compiled = compiled(source)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.compiled.source == self.compiled.source

    def __hash__(self) -> int:
        return hash(self.compiled.source)

    def __repr__(self) -> str:
        return "<Template>"  # there may be secrets in it

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Compile it when a document is loaded."""
        text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema(strict=True))
        return core_schema.union_schema(
            [core_schema.is_instance_schema(cls), text],
            mode="left_to_right",
            serialization=core_schema.plain_serializer_function_ser_schema(lambda made: made.compiled.source),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "x-hookgate-template": True}


class Templated:
    """A parameter that is any value, whose texts are templates; ``await cell.value(templated)`` renders them."""

    __slots__ = ("parts", "written")

    def __init__(self, written: Any) -> None:
        self.written = written
        self.parts = _prepared(written)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Templated) and other.written == self.written

    def __hash__(self) -> int:
        return hash(repr(self.written))

    def __repr__(self) -> str:
        return "<Templated>"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Compile it when a document is loaded."""

        def made(value: Any) -> Templated:
            return value if isinstance(value, cls) else cls(value)

        return core_schema.no_info_plain_validator_function(
            made, serialization=core_schema.plain_serializer_function_ser_schema(lambda made: made.written)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-hookgate-template": True}


def _prepared(value: Any) -> Any:
    if isinstance(value, str):
        return compiled(value)
    if isinstance(value, Mapping):
        return {str(key): _prepared(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_prepared(each) for each in value]
    return value
