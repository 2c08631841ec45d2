"""Text with expressions in it: `order {{ request.params.id }} of {{ principal }}`."""

from __future__ import annotations

import json
from typing import Any

from hookgate import Exchange, Expression, ExpressionError, hide

FAILED = "(cannot be evaluated)"


class Template:
    """Text with expressions between ``{{`` and ``}}``, compiled once.

    Raises:
        ValueError: an expression is none, or does not end.
    """

    def __init__(self, text: str) -> None:
        self.parts: list[str | Expression] = []
        rest = text
        while rest:
            plain, opening, rest = rest.partition("{{")
            if plain:
                self.parts.append(plain)
            if opening:
                expression, rest = _first(rest)
                self.parts.append(expression)
        self.expressions = [part for part in self.parts if isinstance(part, Expression)]

    def render(self, exchange: Exchange, longest: int) -> tuple[str, ExpressionError | None]:
        """Fill in the values of a call, on one line of ``longest`` characters at most; return the first error, too."""
        pieces: list[str] = []
        failure: ExpressionError | None = None
        for part in self.parts:
            if isinstance(part, str):
                pieces.append(part)
                continue
            try:
                pieces.append(hide(_text(part(exchange)))[: longest + 1])
            except ExpressionError as error:
                failure = failure or error
                pieces.append(FAILED)
        return one_line(hide("".join(pieces)), longest), failure


def _first(text: str) -> tuple[Expression, str]:
    """Take the expression off the front: up to the first `}}` that makes it one, since lists may end in that, too."""
    end = text.find("}}")
    if end < 0:
        raise ValueError("{{ is never closed; write }} behind the expression")
    refused: ExpressionError | None = None
    while end >= 0:
        try:
            return Expression(text[:end].strip()), text[end + 2 :]
        except ExpressionError as error:
            refused = refused or error
        end = text.find("}}", end + 1)
    raise ValueError(f"the expression {text[: text.find('}}')].strip()!r}: {refused}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=lambda items: sorted(items, key=str))


def one_line(text: str, longest: int) -> str:
    """Return a text on one line and no longer than that: characters that would end a line, move the cursor or turn the
    writing around are written as escapes, so that nobody can make a line up."""
    text = text[: longest + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
