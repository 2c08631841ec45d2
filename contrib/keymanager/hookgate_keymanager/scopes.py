"""The section ``scopes``, and which of those that somebody asks for a token gets (KC-60 to KC-64)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from hookgate import Options, Problem, Section, Site, hookimpl

MOST = 50
"""Scopes that one request may ask for."""
LONGEST = 200
"""Characters of one of them."""
PRIMARY = "PRIMARY"
"""What the store of the gateway is called where stores are told apart."""
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_QUANTIFIERS = 3


class ScopeRecord(Options):
    """A scope. Its name is what clients ask for."""

    title: str = Field(default="", max_length=200)
    """What people are shown in its place."""
    description: str = Field(default="", max_length=1000)
    """What it lets somebody do."""
    roles: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Who gets it: users with one of these roles, and everybody if there are none. A role that users bring along from a
    provider outside is written `provider/role` (KC-60)."""


class Scopes(Section[ScopeRecord]):
    """Scopes that tokens may have, and the roles that get them."""

    kind = "scope"

    def roles(self) -> Mapping[str, Collection[str]]:
        """Return the roles of each scope."""
        return {item.name: item.record.roles for item in self.items}

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse names that are no scopes."""
        for item in self.items:
            if not is_scope(item.name):
                message = f"is no scope: 1 to {LONGEST} visible ASCII characters without quotes and backslashes"
                yield Problem(item.path, message, at_key=True)


def is_scope(text: str) -> bool:
    """Whether a text is one scope (RFC 6749, 3.3)."""
    return len(text) <= LONGEST and _SCOPE.fullmatch(text) is not None


def store_of(role: str) -> str:
    """Return which store a role is of: that of the gateway is ``PRIMARY``, others stand in front, as ``store/role``."""
    store, slash, _ = role.partition("/")
    return store if slash else PRIMARY


def _pattern(text: str) -> str:
    if "(" in text or "{" in text or sum(map(text.count, "*+?")) > _QUANTIFIERS:
        raise ValueError(f"a pattern has no groups, no braces, and {_QUANTIFIERS} of * + ? at most: write several")
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text[:50]!r} is no regular expression: {error}") from None
    return text


Pattern = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_pattern)]
"""A regular expression that takes a bounded time on whatever a client sends."""


class Granting:
    """Says which scopes somebody gets."""

    def __init__(
        self,
        roles: Mapping[str, Collection[str]],
        allowed: Sequence[str],
        default: str,
        any_case: Collection[str] = (),
        standard: Collection[str] = (),
    ) -> None:
        self._any_case, self._standard = frozenset(any_case), frozenset(standard)
        self._roles = {scope: self._compared(named) for scope, named in roles.items()}
        self._allowed = [re.compile(each) for each in allowed]
        self._default = default

    def granted(self, asked: Sequence[str], held: Collection[str], *, login: bool = False) -> str:
        """Return, of the scopes that are asked for, those that somebody with such roles gets, in their order; the
        default scope where that is none (KC-61). What nobody knows is left out. After a ``login`` on a page of ours
        everybody gets those of OpenID Connect, unless the document names roles for them."""
        theirs = self._compared(held)
        got = [
            each
            for each in dict.fromkeys(asked)
            if each == self._default or self._gives(each, theirs) or (login and self._is_standard(each))
        ]
        return " ".join(got) or self._default

    def _compared(self, roles: Collection[str]) -> frozenset[str]:
        """Return roles in the form in which two of them are compared: each store says whether case counts (KC-60)."""
        if not self._any_case:
            return frozenset(roles)
        return frozenset(each.casefold() if store_of(each) in self._any_case else each for each in roles)

    def _is_standard(self, scope: str) -> bool:
        return scope in self._standard and scope not in self._roles

    def _gives(self, scope: str, held: frozenset[str]) -> bool:
        if any(each.fullmatch(scope) for each in self._allowed):
            return True
        wanted = self._roles.get(scope)
        return wanted is not None and (not wanted or not wanted.isdisjoint(held))
