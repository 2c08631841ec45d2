"""The section ``rewrites``: rules that are tried before a route is looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hookgate import Host, Item, Problem, Route, Section, Site, Ways, hookimpl
from hookgate.contract import Readdress
from hookgate_rewrites.records import Rule
from hookgate_rewrites.rules import Compiled, Walk
from hookgate_rewrites.steps import Forbid, Leave, Vouch
from hookgate_rewrites.texts import Text


class Rewrites(Section[Rule]):
    """Rules in the manner of mod_rewrite. They are tried on each call, in their order, before a route is."""

    shape, kind = "list", "rule"
    plural = "rules"

    def __init__(self, items: Sequence[Item[Rule]] = ()) -> None:
        super().__init__(items)
        self._vouch = Vouch()
        self._ends: dict[str, Leave | Forbid | None] = {}
        """The last step of those rules that end the walk; none where a backend answers."""
        for item in self.items:
            rule, owner = item.record, f"rewrites.{item.name}"
            if rule.status is not None:
                self._ends[item.name] = Leave(owner, rule.status)
            elif "F" in rule.flags:
                self._ends[item.name] = Forbid(owner)
            elif "P" in rule.flags:
                self._ends[item.name] = None
        self._rules = [
            Compiled(item.record, _route(item.name) if item.name in self._ends else "") for item in self.items
        ]

    @hookimpl
    def routes(self, site: Site) -> Iterator[Route | None]:
        """Make a route of each rule that ends the walk. No call gets there but by its rule."""
        site.adopt(self._vouch, ("rewrites",))
        for item in self.items:
            if item.name not in self._ends:
                continue
            last, ways = self._ends[item.name], item.record.ways()
            if last is not None:
                site.adopt(last, item.path)
                ways = Ways((*ways.way_in, ("end", last)), ways.way_out)
            said: dict[str, Any] = {"name": _route(item.name), "match": {"path": "/*", "when": "false"}}
            if item.record.connection is not None:
                said["to"] = {"connection": item.record.connection}
            yield site.route(said, item.path, {"to": "connection"}, steps=ways)

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse conditions on claims of a token that nobody would check."""
        identified = False
        for item in self.items:
            rule = item.record
            texts = [((*item.path, "conditions", n, "test"), each.test) for n, each in enumerate(rule.conditions)]
            for path, written in (*texts, ((*item.path, "substitution"), rule.substitution)):
                if Text(written).reads_claims and not identified:
                    yield Problem(path, "%{JWT:…} needs a rule with the flag A above, which has the token checked")
            identified = identified or "A" in rule.flags

    @hookimpl
    def readdress(self, host: Host) -> Readdress | None:
        """Try the rules on each call."""
        return Walk(self._rules, Ways((("claims", self._vouch),))) if self._rules else None


def _route(name: str) -> str:
    return f"rewrite: {name}"
