"""What a regular expression may cost: Python's tries one way after the other, and strangers choose what it is tried on.

The work is told in bits, ``log2`` of the steps, from above. Every place where a part may end in several ways multiplies
the ways before it; a part whose next character cannot be one of its own ends in one way only, and is scanned once for
each of those ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import log2
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as sre  # type: ignore[attr-defined]
from typing import Any

BITS = 11
"""Of a part without a bound: texts that more than one of them runs over have at most ``2 ** BITS`` characters."""
MOST_BITS = 2 * BITS
"""Work that is borne with: a few hundredths of a second."""

Chars = frozenset[int]
_OTHER = 256
"""Stands for every character that is not in Latin-1."""
_ALL: Chars = frozenset(range(_OTHER + 1))
_REPEATS = {ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT}
_SINGLE = {ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN}
_CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}

Node = tuple[Any, Any]


class Costly(ValueError):
    """A part of a pattern that could be tried in too many ways."""


def bits_of(pattern: str) -> float:
    """Return the work of a pattern.

    Raises:
        Costly: nobody can say how much, or it grows with a power of the length that is no longer borne with.
    """
    if re.search(r"\(\?[a-zA-Z]*m", pattern):
        raise Costly("there are no lines in what it is tried on; leave the flag m out")
    tree = sre.parse(pattern)
    weigher = _Weigher(ignores_case=bool(tree.state.flags & re.IGNORECASE) or "(?i" in pattern)
    nodes = list(tree)
    anchored = bool(nodes) and nodes[0][0] is ops.AT and nodes[0][1] in {ops.AT_BEGINNING, ops.AT_BEGINNING_STRING}
    weigher.walk(nodes, frozenset(), 0 if anchored else BITS)
    return weigher.work


class _Weigher:
    def __init__(self, *, ignores_case: bool) -> None:
        self._ignores_case = ignores_case
        self.work = 0.0

    def walk(self, nodes: Sequence[Node], after: Chars, ways: float) -> float:
        """Go over parts that follow each other; ``after`` may come behind them. Return in how many ways they end."""
        behind = [after]
        for node in reversed(nodes[1:]):
            behind.append(self._first([node], behind[-1]))
        for node in nodes:
            ways += self._part(node, behind.pop(), ways)
            self._spend(ways)
        return ways

    def _spend(self, bits: float) -> None:
        self.work = max(self.work, bits)
        if self.work > MOST_BITS:
            raise Costly(
                "too many of its parts can share the same characters in different ways; tie it to the beginning with "
                "^, write [^/]* for .*, or make repetitions possessive (.*+)"
            )

    def _part(self, node: Node, follow: Chars, ways: float) -> float:
        """Weigh one part; return by how many bits it multiplies the ways."""
        op, value = node
        if op in _SINGLE or op is ops.AT:
            return 0.0
        if op is ops.SUBPATTERN:
            return self.walk(list(value[3]), follow, ways) - ways
        if op is ops.ATOMIC_GROUP:
            self.walk(list(value), _ALL, ways)
            return 0.0
        if op in {ops.ASSERT, ops.ASSERT_NOT}:
            self.walk(list(value[1]), frozenset(), ways)
            return 0.0
        if op is ops.BRANCH:
            return max(self.walk(list(each), follow, ways) for each in value[1]) - ways + log2(len(value[1]))
        if op in _REPEATS:
            return self._repeat(node, follow, ways)
        raise Costly("it refers back to what a group has matched, or asks whether one has; write it without")

    def _repeat(self, node: Node, follow: Chars, ways: float) -> float:
        op, (least, most, inside) = node
        body = list(inside)
        if most == 1:
            inner = self.walk(body, follow, ways) - ways
            return inner + (1 if least == 0 and op is not ops.POSSESSIVE_REPEAT else 0)
        bound = min(log2(most), BITS) if most is not ops.MAXREPEAT else BITS
        self._spend(ways + bound)
        if len(body) == 1 and body[0][0] in _SINGLE:
            closed = self._chars(body[0]).isdisjoint(follow)
            return 0.0 if closed or least == most or op is ops.POSSESSIVE_REPEAT else bound
        self._refuse_choices(body, follow)
        return 0.0 if least == most or op is ops.POSSESSIVE_REPEAT else bound

    def _refuse_choices(self, body: list[Node], follow: Chars) -> None:
        """Refuse a repetition whose inside can match the same characters in different ways: they multiply with each
        round."""
        if self._empty(body):
            raise Costly("it repeats what may be empty; write what is repeated so that it takes a character at least")
        self._determined(body, self._first(body, follow))

    def _determined(self, nodes: Sequence[Node], after: Chars) -> None:
        """Raise unless parts can match in one way only at any place."""
        for index, (op, value) in enumerate(nodes):
            follow = self._first(nodes[index + 1 :], after)
            if op in _SINGLE or op is ops.AT:
                continue
            if op is ops.SUBPATTERN:
                self._determined(list(value[3]), follow)
            elif op is ops.BRANCH:
                self._apart([list(each) for each in value[1]], follow)
            elif op in _REPEATS:
                self._determined_repeat(op, value, follow)
            else:
                raise Costly("it repeats a part with a look-around or a reference in it; write it without")

    def _determined_repeat(self, op: Any, value: Any, follow: Chars) -> None:
        least, most, inside = value
        body = list(inside)
        single = len(body) == 1 and body[0][0] in _SINGLE
        if single and (least == most or op is ops.POSSESSIVE_REPEAT or self._chars(body[0]).isdisjoint(follow)):
            return
        raise Costly(
            "it repeats something with a repetition in it, such as (a+)+, which can be tried in very many ways; write "
            "what stands inside so that the next character ends it ([^/]+/), or possessive (a++)"
        )

    def _apart(self, branches: list[list[Node]], follow: Chars) -> None:
        seen: set[int] = set()
        for branch in branches:
            first = self._first(branch, follow)
            if self._empty(branch) or not seen.isdisjoint(first):
                raise Costly("it repeats alternatives that can begin alike, such as (a|ab)*; let them differ")
            seen |= first
            self._determined(branch, follow)

    # --- characters -------------------------------------------------------------------------------------------------

    def _first(self, nodes: Sequence[Node], after: Chars) -> Chars:
        """Return the characters that parts may begin with, and what is behind them where they may be empty."""
        found: Chars = frozenset()
        for node in nodes:
            found |= self._begins(node)
            if not self._empty([node]):
                return found
        return found | after

    def _begins(self, node: Node) -> Chars:
        op, value = node
        if op in _SINGLE:
            return self._chars(node)
        if op is ops.AT:
            return frozenset() if value in {ops.AT_END, ops.AT_END_STRING} else _ALL
        if op is ops.SUBPATTERN:
            return self._first(list(value[3]), frozenset())
        if op in _REPEATS:
            return self._first(list(value[2]), frozenset())
        if op is ops.BRANCH:
            return frozenset().union(*(self._first(list(each), frozenset()) for each in value[1]))
        return _ALL

    def _empty(self, nodes: Iterable[Node]) -> bool:
        """Whether all of some parts may take no character; the end of the text counts as one."""
        return all(self._may_be_empty(op, value) for op, value in nodes)

    def _may_be_empty(self, op: Any, value: Any) -> bool:
        if op in _SINGLE:
            return False
        if op is ops.AT:
            return value not in {ops.AT_END, ops.AT_END_STRING}
        if op is ops.SUBPATTERN:
            return self._empty(value[3])
        if op in _REPEATS:
            return value[0] == 0 or self._empty(value[2])
        if op is ops.BRANCH:
            return any(self._empty(each) for each in value[1])
        return True

    def _chars(self, node: Node) -> Chars:
        op, value = node
        if op is ops.ANY:
            return _ALL
        if op is ops.LITERAL:
            return self._cased(frozenset({min(value, _OTHER)}))
        if op is ops.NOT_LITERAL:
            return self._cased((_ALL - {value}) | {_OTHER})
        items = list(value)
        chars: Chars = frozenset().union(*(_item(each) for each in items if each[0] is not ops.NEGATE))
        return self._cased((_ALL - chars) | {_OTHER} if items[0][0] is ops.NEGATE else chars)

    def _cased(self, chars: Chars) -> Chars:
        if not self._ignores_case:
            return chars
        return chars | {
            ord(other) for code in chars for other in chr(code).swapcase() if len(chr(code).swapcase()) == 1
        }


def _item(item: Node) -> Chars:
    op, value = item
    if op is ops.LITERAL:
        return frozenset({min(value, _OTHER)})
    if op is ops.RANGE:
        return frozenset(range(min(value[0], _OTHER), min(value[1], _OTHER) + 1))
    category = re.compile(_CATEGORIES[value])
    return frozenset(code for code in _ALL if code == _OTHER or category.match(chr(code)))
