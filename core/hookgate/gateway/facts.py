"""What plugins tell of themselves, made fit to be shown to whoever may look at ``/-/health``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from inspect import iscoroutine
from typing import Any

LARGEST = 64 * 1024
"""Characters of the facts of one instance as JSON."""
PROBLEMS, PROBLEM = 50, 1000
"""Problems of an instance that are shown, and characters of each."""


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
