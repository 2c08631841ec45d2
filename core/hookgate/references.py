"""References in a document: ``${provider:reference}``, resolved before anything is validated.

A reference may stand anywhere in a string; ``$${`` writes a dollar and a brace. Providers are plugins of the family
``secret``, by the name in front of the colon. A value that was resolved never appears in a message.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any

from hookgate.errors import Path, Problem
from hookgate.secret import Secret

TIME_LIMIT = 10.0
"""Seconds a provider may take for one reference."""

_REFERENCE = re.compile(r"\$\$\{|\$\{([a-z][a-z0-9-]*):([^{}]*)\}")

Resolve = Callable[[str], Any]


class References:
    """Resolves every reference in a value, each distinct one once and all at the same time."""

    def __init__(self, provider: Callable[[str], Resolve], problems: list[Problem]) -> None:
        self._provider = provider
        self._problems = problems
        self._found: dict[tuple[str, str], str | None] = {}
        self._places: dict[tuple[str, str], Path] = {}

    async def resolve(self, value: Any) -> Any:
        """Return the value with every reference replaced. What cannot be resolved becomes a problem at its place."""
        self._collect(value, ())
        wanted = list(self._places)
        self._found.update(zip(wanted, await asyncio.gather(*map(self._one, wanted)), strict=True))
        return self._replaced(value)

    def _collect(self, value: Any, path: Path) -> None:
        if isinstance(value, str):
            for match in _REFERENCE.finditer(value) if "${" in value else ():
                if match[1]:
                    self._places.setdefault((match[1], match[2]), path)
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                self._collect(inner, (*path, key))
        elif isinstance(value, list | tuple):
            for index, inner in enumerate(value):
                self._collect(inner, (*path, index))

    async def _one(self, wanted: tuple[str, str]) -> str | None:
        name, reference = wanted
        try:
            answer = self._provider(name)(reference)
            secret = await _bounded(answer) if isawaitable(answer) else answer
        except LookupError as error:
            self._problems.append(Problem(self._places[wanted], str(error.args[0] if error.args else error)))
        except TimeoutError:
            message = f"the secret provider {name!r} did not answer within {TIME_LIMIT:g} s"
            self._problems.append(Problem(self._places[wanted], message))
        except Exception as error:  # noqa: BLE001 - the text of an unknown failure could hold the value
            message = f"the secret provider {name!r} failed with {type(error).__name__}"
            self._problems.append(Problem(self._places[wanted], message))
        else:
            if isinstance(secret, Secret):
                return secret.reveal()
            message = f"the secret provider {name!r} did not return a secret"
            self._problems.append(Problem(self._places[wanted], message))
        return None

    def _replaced(self, value: Any) -> Any:
        if isinstance(value, str):
            return _REFERENCE.sub(self._text, value) if "${" in value else value
        if isinstance(value, Mapping):
            return {key: self._replaced(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._replaced(inner) for inner in value]
        return value

    def _text(self, match: re.Match[str]) -> str:
        if not match[1]:
            return "${"
        found = self._found[match[1], match[2]]
        return match[0] if found is None else found


async def _bounded(answer: Awaitable[Any]) -> Any:
    async with asyncio.timeout(TIME_LIMIT):
        return await answer
