"""The walk over the rules: each is tried on what those above it have left, until one of them ends it."""

from __future__ import annotations

import re

from hookgate import BadRequest, Exchange, Ways
from hookgate.flow import normalise
from hookgate_rewrites.patterns import Pattern
from hookgate_rewrites.records import UNCHANGED, Rule
from hookgate_rewrites.steps import CLAIMS, LOCATION
from hookgate_rewrites.texts import Known, Text

_QUERY = re.compile(r"[!-~]*(?<!#)")
_PLACE = re.compile(r"(?:[!-~](?<![\\\"<>^`|]))+")


class Compiled:
    """A rule, ready to be tried."""

    def __init__(self, rule: Rule, route: str) -> None:
        self.route = route
        """Name of the route that its calls take; empty where the walk goes on."""
        self.redirects = rule.status is not None
        self.identifies = "A" in rule.flags
        self.ways = Ways() if route else rule.ways()
        """Steps that it puts in front of those of the route; a route of its own has them already."""
        self._pattern = Pattern(rule.pattern)
        self._conditions = [(Text(each.test), Pattern(each.pattern)) for each in rule.conditions]
        self.puts = None if rule.substitution == UNCHANGED else Text(rule.substitution)
        """What it puts in the place of path and query."""

    def applies(self, value: str, known: Known) -> bool:
        """Look at path and query, then at the conditions."""
        found = self._pattern.find(value)
        if found is None:
            return False
        known.found, known.before = found, ()
        for text, pattern in self._conditions:
            groups = pattern.find(text(known))
            if groups is None:
                return False
            known.before = groups
        return True


class Walk:
    """Tries the rules on calls."""

    def __init__(self, rules: list[Compiled], vouch: Ways) -> None:
        self._rules = rules
        self._vouch = vouch

    def __call__(self, exchange: Exchange) -> tuple[str, list[Ways]]:
        """Change path and query as the rules say; return the route of the one that ends the walk, and steps on the way.

        Raises:
            BadRequest: what a rule has made is no path.
            TooLong: there is more of a path or of a header than a pattern may be tried on.
        """
        request = exchange.request
        value = before = request.target
        known, steps, route = Known(exchange), list[Ways](), ""
        for rule in self._rules:
            if not rule.applies(value, known):
                continue
            if rule.puts is not None:
                made = _with_query(rule.puts(known), value)
                if rule.redirects:
                    exchange.variables[LOCATION] = _place(made)
                else:
                    value = _proper(made)
            if rule.ways.way_in or rule.ways.way_out:
                steps.append(rule.ways)
            known.vouched = known.vouched or rule.identifies
            if rule.route:
                route = rule.route
                break
        if value != before:
            request.path, _, request.query = value.partition("?")
        if known.claims:
            exchange.variables[CLAIMS] = known.claims
            steps.append(self._vouch)
        return route, steps


def _with_query(made: str, value: str) -> str:
    """Keep the query where a substitution says nothing of one; a lone ``?`` at its end takes it away."""
    made, hash_sign, fragment = made.partition("#")
    if "?" in made:
        made = made.removesuffix("?")
    elif "?" in value:
        made += value[value.index("?") :]
    return made + hash_sign + fragment


def _proper(made: str) -> str:
    """Give path and query the one spelling that routes are matched on.

    Raises:
        BadRequest: they are none.
    """
    path, question, query = made.partition("?")
    if not path.startswith("/") or "#" in made or not _QUERY.fullmatch(query):
        raise BadRequest("The path cannot be rewritten.", reason="malformed-path")
    return normalise(path) + question + query


def _place(made: str) -> str:
    """Check where a client is sent: nothing that it has written itself makes another host of it.

    Raises:
        BadRequest: it is no place.
    """
    if not _PLACE.fullmatch(made) or made.startswith("//"):
        raise BadRequest("The redirect leads to no proper place.", reason="malformed-path")
    return made
