"""References in a document: ``${provider:reference}``, resolved before anything is validated.

A reference may stand anywhere in a string; ``$${`` writes a plain ``${``. Providers are plugins of the family
``secret``, called by the name before the colon; the section ``secrets`` gives them options, and what is installed is
there without any. That section may use references too, to providers whose own options hold none. A value that was
resolved never appears in a message.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from inspect import isawaitable
from typing import Any

from hookgate.building import Builder, Rejected
from hookgate.catalogue import Catalogue
from hookgate.errors import Path, Problem
from hookgate.secret import MASK, Secret

TIME_LIMIT = 10.0
"""Seconds a provider may take for one reference."""
SECTION = "secrets"

_FOUND = re.compile(r"\$\$\{|\$\{(?:([^{}]*)\})?")
_REFERENCE = re.compile(r"([a-z][a-z0-9-]*):(.+)", re.DOTALL)
_HIDDEN_FROM = 4
"""Characters from which on a value is hidden in messages wherever it occurs; shorter ones would blot out words."""


class References:
    """Resolves the references of one document, each distinct one once and all at the same time."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.problems: list[Problem] = []
        self.unresolved: set[Path] = set()
        """Places that keep their references, so that other mistakes found there mean nothing."""
        self._builder = Builder(catalogue, problems=self.problems)
        self._providers: dict[str, Any] = {}
        self._values: dict[tuple[str, str], str | None] = {}
        """By provider and reference; ``None`` for what cannot be resolved."""

    async def resolve(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document with every reference replaced. What cannot be is a problem at the first place of it."""
        section = document.get(SECTION)
        options = section if isinstance(section, dict) else {}
        if section is not None and options is not section:
            self.problems.append(Problem((SECTION,), "should be a mapping of providers and their options"))
        waiting = {name for name in options if any(_FOUND.search(text) for _, text in _texts(options[name], ()))}
        self._configure({name: given for name, given in options.items() if name not in waiting})
        later = {name: await self._replace(options[name], (SECTION, name), waiting) for name in sorted(waiting)}
        self._configure(later)
        rest: dict[str, Any] = await self._replace({k: v for k, v in document.items() if k != SECTION}, (), set())
        return rest

    def hide(self, message: str) -> str:
        """Put asterisks in the place of every resolved value."""
        values = {value for value in self._values.values() if value is not None and len(value) >= _HIDDEN_FROM}
        for value in sorted(values, key=len, reverse=True):
            for shown in (value, repr(value)[1:-1]):
                message = message.replace(shown, MASK)
        return message

    def _configure(self, options: Mapping[str, Any]) -> None:
        for name, given in options.items():
            noted = len(self.problems)
            self._providers[name] = self._builder.place("secret", {name: given}, (SECTION,), SECTION)
            if self._providers[name] is None and len(self.problems) == noted:
                self.problems.append(Problem((SECTION, name), "a secret provider cannot be disabled; leave it out"))

    async def _replace(self, value: Any, path: Path, waiting: set[str]) -> Any:
        wanted: dict[tuple[str, str], Path] = {}
        places: list[tuple[Path, tuple[str, str]]] = []
        seen = False
        for place, text in _texts(value, path):
            seen = True
            for reference in self._references(place, text):
                places.append((place, reference))
                if reference not in self._values:
                    wanted.setdefault(reference, place)
        found = await asyncio.gather(*(self._one(*reference, place, waiting) for reference, place in wanted.items()))
        self._values.update(zip(wanted, found, strict=True))
        self.unresolved |= {place for place, reference in places if self._values[reference] is None}
        return self._replaced(value) if seen else value

    def _references(self, place: Path, text: str) -> Iterator[tuple[str, str]]:
        """Take the references out of a text; what looks like one and is none is a problem."""
        for match in _FOUND.finditer(text):
            if match[0] == "$${":
                continue
            reference = _REFERENCE.fullmatch(match[1] or "")
            if reference is not None:
                yield reference[1], reference[2]
                continue
            inner = match[1]
            said = f"'${{{inner}}}' is no reference" if inner is not None else "a reference has no '}'"
            meant = inner if inner and ":" not in inner else "NAME"
            self.problems.append(Problem(place, f"{said}: write ${{env:{meant}}}, or $${{ for a plain ${{"))
            self.unresolved.add(place)

    async def _one(self, name: str, reference: str, place: Path, waiting: set[str]) -> str | None:
        try:
            if name in waiting:
                raise LookupError(f"the options of {name!r} hold references themselves, so it cannot be used here")
            provider = self._provider(name)
            if provider is None:
                return None  # it is configured, and what is wrong with that has been noted
            async with asyncio.timeout(TIME_LIMIT):
                answer = provider.resolve(reference)
                secret = await answer if isawaitable(answer) else answer
            if isinstance(secret, Secret):
                return secret.reveal()
            message = f"the secret provider {name!r} returned something that is no secret"
        except LookupError as error:
            message = str(error.args[0]) if error.args else f"the secret provider {name!r} has nothing under this name"
        except TimeoutError:
            message = f"the secret provider {name!r} did not answer within {TIME_LIMIT:g} s"
        except Exception as error:  # noqa: BLE001 - the text of an unknown failure could hold the value
            message = f"the secret provider {name!r} failed with {type(error).__name__}"
        self.problems.append(Problem(place, message))
        return None

    def _provider(self, name: str) -> Any:
        if name not in self._providers:
            try:
                self._providers[name] = self._builder.build("secret", name)
            except Rejected as rejected:
                raise LookupError("; ".join(problem.message for problem in rejected.problems)) from None
        return self._providers[name]

    def _replaced(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return _FOUND.sub(self._text, value) if "${" in value else value
        if kind is dict:
            return {key: self._replaced(inner) for key, inner in value.items()}
        if kind is list:
            return [self._replaced(inner) for inner in value]
        return value

    def _text(self, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        reference = _REFERENCE.fullmatch(match[1] or "")
        value = self._values.get((reference[1], reference[2])) if reference is not None else None
        return match[0] if value is None else value


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Walk over the strings in which a reference may stand, with their places, in the order of the document."""
    kind = type(value)  # a document holds plain types only, and this walk is over all of it
    if kind is str:
        if "${" in value:
            yield path, value
    elif kind is dict or kind is list:
        for step, inner in value.items() if kind is dict else enumerate(value):
            if type(inner) in _WITH_TEXT:
                yield from _texts(inner, (*path, step))


_WITH_TEXT = (str, dict, list)
