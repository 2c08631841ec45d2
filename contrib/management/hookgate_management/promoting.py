"""Promotion: objects of one environment's store are planned for another's. Variables stay where they are.

Every environment has a store of its own, with the same objects and its own variables. What is promoted is the export,
in which secrets are asterisks: where the other store has a secret in that place it stays, and where it has none, or
lacks a variable, the plan is refused with the place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from hookgate_management.client import Client, Planned

VARIABLES = "variables"
"""The kind that belongs to an environment, and is never promoted."""
OWNER = "promotion"


def promoted(document: Mapping[str, Any], only: Iterable[str] = ()) -> dict[str, Any]:
    """Return the part of an export that is promoted: all but variables, or the objects whose ``kind/name`` fits one of
    the patterns.

    Raises:
        LookupError: a pattern fits nothing.
    """
    patterns = list(only)
    found, used = dict[str, Any](), set[str]()
    for section, held in document.items():
        if section == VARIABLES:
            continue
        if not patterns:
            found[section] = held
            continue
        if isinstance(held, list):
            kept: Any = [each for each in held if _fits(section, _name(each), patterns, used)]
        elif isinstance(held, Mapping) and all(isinstance(each, Mapping) for each in held.values()):
            kept = {name: each for name, each in held.items() if _fits(section, name, patterns, used)}
            if not kept and _fits(section, section, patterns, used):
                kept = held  # one record
        else:
            kept = held if _fits(section, section, patterns, used) else None
        if kept:
            found[section] = kept
    if missing := [each for each in patterns if each not in used]:
        raise LookupError(f"nothing that can be promoted is called {', '.join(missing)}")
    return found


def promote(source: Client, target: Client, only: Iterable[str] = (), owner: str = OWNER) -> tuple[Planned, Any]:
    """Plan for one gateway what another one has stored; nothing is changed. Returns the plan, and the document.

    Without ``only`` all that was promoted before and is not there any more is removed, too.

    Raises:
        LookupError: a pattern in ``only`` fits nothing.
        ApiError: one of the gateways refuses it; ``errors`` say which variable or secret is missing where.
        Unreachable: one of them does not answer.
    """
    patterns = list(only)
    document = promoted(source.export(), patterns)
    return target.plan(document, owner, prune=not patterns), document


def _name(body: Any) -> str:
    if not isinstance(body, Mapping):
        return ""
    return " ".join(str(body[key]) for key in ("name", "version") if body.get(key))


def _fits(section: str, name: str, patterns: list[str], used: set[str]) -> bool:
    found = [each for each in patterns if fnmatchcase(f"{section}/{name}", each)]
    used.update(found)
    return bool(found)
