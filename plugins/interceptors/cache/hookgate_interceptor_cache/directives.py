"""``Cache-Control`` as this cache reads it (RFC 9111, 5.2): what cannot be read for sure forbids."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 2**31
"""Seconds; what says more means this (RFC 9111, 1.2.2)."""
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105
_MEMBER = re.compile(rf'[ \t,]*({_TOKEN})(?:[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|{_TOKEN}))?[ \t]*(?=,|\Z)')
_REST = re.compile(r"[ \t,]*\Z")
_ESCAPED = re.compile(r"\\(.)")


class Directives:
    """The directives of one message."""

    __slots__ = ("_said", "readable")

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._said: dict[str, list[str | None]] = {}
        self.readable = True
        """Whether every directive could be told apart; else one that forbids something may have been missed."""
        for line in lines:
            place = 0
            while not _REST.match(line, place):
                member = _MEMBER.match(line, place)
                if member is None:
                    self.readable = False
                    break
                place = member.end()
                argument = member[2]
                if argument is not None and argument.startswith('"'):
                    argument = _ESCAPED.sub(r"\1", argument[1:-1])
                self._said.setdefault(member[1].lower(), []).append(argument)

    def __contains__(self, name: str) -> bool:
        return name in self._said

    def __bool__(self) -> bool:
        return bool(self._said) or not self.readable

    def seconds(self, name: str) -> int | None:
        """Return the number of seconds of a directive; ``None`` where it is not there.

        Of several the smallest counts, and one that is no number is 0 (RFC 9111, 4.2.1).
        """
        said = self._said.get(name)
        if said is None:
            return None
        return min(int(each) if each and re.fullmatch("[0-9]{1,10}", each) else _odd(each) for each in said)

    def bare(self, name: str) -> bool:
        """Whether a directive is there without an argument."""
        return None in self._said.get(name, ())

    def fields(self, name: str) -> frozenset[str] | None:
        """Return the names of fields that a directive is limited to, in lower case; empty for the whole message, and
        ``None`` where it is not there (``private``, ``no-cache``).
        """
        said = self._said.get(name)
        if said is None:
            return None
        named = [[field.strip().lower() for field in (each or "").split(",") if field.strip()] for each in said]
        return frozenset(field for fields in named for field in fields) if all(named) else frozenset()

    def whole(self, name: str) -> bool:
        """Whether a directive is there and holds for the whole message."""
        return self.fields(name) == frozenset()

    def __str__(self) -> str:
        """Write them in one spelling, for who reads them less strictly."""
        return ", ".join(
            name if argument is None else f'{name}="{argument}"' if not argument.isalnum() else f"{name}={argument}"
            for name, arguments in self._said.items()
            for argument in arguments
            if argument is None or '"' not in argument
        )


def _odd(argument: str | None) -> int:
    return LONGEST if argument and argument.isascii() and argument.isdigit() else 0
