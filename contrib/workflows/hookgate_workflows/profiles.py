"""Who may call a custom route: ordered rules, of which the first that matches counts (CR-22)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import re2  # type: ignore[import-untyped]

from hookgate import Identity
from hookgate_workflows.settings import CallProfileSection, EngineSection


class Profiles:
    """The profiles of a document, compiled."""

    def __init__(self, settings: EngineSection) -> None:
        self._operators = frozenset(settings.operators)
        self._profiles: list[tuple[frozenset[str], list[tuple[str, Any, bool]]]] = [
            (frozenset(each.roles), [(rule.method.upper(), _compiled(rule.url), rule.allowed) for rule in each.rules])
            for each in settings.profiles.values()
        ]

    def allow(self, identity: Identity, method: str, path: str, *, strict: bool = False) -> bool:
        """Whether somebody may make a call: as the first rule says that matches, of the first profile that the caller
        has with such a rule. Where nothing matches the call is refused; with no profiles at all everybody may, but for
        ``strict`` calls, which are made in the name of the system."""
        if not self._profiles:
            return not strict
        for roles, rules in self._profiles:
            if roles.isdisjoint(identity.roles):
                continue
            for wanted, url, allowed in rules:
                if wanted in ("*", method) and url.fullmatch(path):
                    return allowed
        return False

    def is_operator(self, identity: Identity) -> bool:
        """Whether somebody sees the transactions of all."""
        return not self._operators.isdisjoint(identity.roles)


def wrong(profiles: Mapping[str, CallProfileSection]) -> list[tuple[tuple[str | int, ...], str]]:
    """Return which URLs of rules are no regular expressions, with their places."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    for name, profile in profiles.items():
        for index, rule in enumerate(profile.rules):
            try:
                _compiled(rule.url)
            except re2.error as error:
                found.append(((name, "rules", index, "url"), f"is no regular expression of RE2: {error}"))
    return found


def _compiled(url: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(url, options)
