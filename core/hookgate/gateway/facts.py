"""What plugins tell of themselves, made fit to be shown to whoever may look at ``/-/health``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from inspect import iscoroutine
from typing import Any

LARGEST = 64 * 1024
"""Characters of the facts of one instance as JSON."""
PROBLEMS, PROBLEM = 50, 1000
"""Problems of an instance that are shown, and characters of each."""
_BETWEEN = "\0\1"


def plain_facts(told: object) -> dict[str, Any]:
    """Return a copy of what a hook ``health`` gave, as JSON has it.

    Raises:
        TypeError: it is no mapping of plain values, or its problems are no texts.
        ValueError: there is something in it that JSON cannot say.
    """
    if told is None:
        return {}
    if iscoroutine(told):
        told.close()
    if not isinstance(told, Mapping):
        raise TypeError("facts are a mapping")
    problems = told.get("problems", [])
    if not isinstance(problems, list | tuple) or not all(isinstance(each, str) for each in problems):
        raise TypeError("problems are a list of texts")
    facts = {**told, "problems": [each[:PROBLEM] for each in problems[:PROBLEMS]]}
    written = json.dumps(facts, allow_nan=False)
    if len(written) > LARGEST:
        problem = f"its facts have {len(written)} characters; {LARGEST} are shown"
        return {"problems": [*facts["problems"], problem]}
    found: dict[str, Any] = json.loads(written)
    return found if problems else {name: value for name, value in found.items() if name != "problems"}


def masked(facts: dict[str, dict[str, Any]], hide: Callable[[str], str]) -> dict[str, dict[str, Any]]:
    """Put asterisks into facts in the place of every secret; ``hide`` is asked once, since it has many to look for."""
    texts = [text for told in facts.values() for text in _texts(told)]
    before = _BETWEEN.join(texts)
    after = hide(before)
    if after == before:
        return facts
    parts = after.split(_BETWEEN)
    if len(parts) != len(texts):  # a text or a secret has in it what stands between them
        return {name: {"problems": ["its facts hold a secret and cannot be shown"]} for name in facts}
    shown = iter(parts)
    return {name: _with(told, shown) for name, told in facts.items()}


def _texts(value: Any) -> Iterator[str]:
    """Give every text and number in a value, names of members too."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _with(value: Any, shown: Iterator[str]) -> Any:
    """Put texts into the places they were taken from."""
    if isinstance(value, dict):
        return {next(shown): _with(inner, shown) for inner in value.values()}
    if isinstance(value, list):
        return [_with(inner, shown) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    text = next(shown)
    return value if text == str(value) else text
