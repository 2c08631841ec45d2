"""What was found: violations of rules, and the exception that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RULES = {
    "schema": "docstrings, described options, a JSON schema, frozen options, valid defaults, hooks of the right kind",
    "injection": "no control characters and no odd names in headers, no blanks in a request target",
    "framing": "lengths tell the truth, and nobody but the gateway frames messages",
    "effects": "what hooks change stands in `writes`, the bodies they read in `reads` or `writes`; nothing changes "
    "when it is too late",
    "blocking": "no hook holds up other calls: nothing sleeps or waits for a socket but with await",
    "ending": "every hook comes to its end",
    "pairing": "as many on_done as calls that were let pass, and nothing kept of a call that is over",
    "cancel": "a hook that is cancelled leaves nothing behind and lets the cancellation through",
    "lifecycle": "shutdown undoes startup, also a failed one, and may run twice",
    "leaks": "however often it is loaded and ended, nothing is left: tasks, threads, files, instances",
    "isolation": "an instance does not change what another one answers",
    "faults": "whatever a client sends leads to a Fault at worst, never to an unexpected exception",
    "contract": "the hooks of the family return what its specification says",
}
"""Every rule by name; the names are those of ``except_rules``."""

LONGEST_EXAMPLE = 400


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one part of a plugin breaks."""

    rule: str
    where: str
    """The hook, option or class."""
    seen: str
    right: str
    """What would be right."""
    example: str = ""
    """The call that showed it, the shortest of those that did."""

    def __str__(self) -> str:
        text = f"[{self.rule}] {self.where}: {self.seen}\n      right: {self.right}"
        return f"{text}\n      with: {self.example}" if self.example else text


class Nonconforming(AssertionError):
    """A plugin breaks rules of its contract; the text lists every one with what was seen and what would be right."""

    def __init__(self, plugin: str, violations: tuple[Violation, ...]) -> None:
        self.violations = violations
        listed = "\n".join(f"  {number}. {violation}" for number, violation in enumerate(violations, 1))
        super().__init__(f"{plugin} breaks {len(violations)} rule{'s' * (len(violations) != 1)}:\n{listed}")

    @property
    def rules(self) -> frozenset[str]:
        """The names of the rules that are broken."""
        return frozenset(violation.rule for violation in self.violations)


class Report:
    """Collects violations: one for each rule, place and remedy."""

    def __init__(self, excepted: Mapping[str, str]) -> None:
        for rule, reason in excepted.items():
            if rule not in RULES:
                raise ValueError(f"except_rules: there is no rule {rule!r}; the rules are {', '.join(RULES)}")
            if not reason.strip():
                raise ValueError(f"except_rules: say why {rule!r} does not hold")
        self._excepted = excepted
        self._found: dict[tuple[str, str, str], Violation] = {}

    def add(self, rule: str, where: str, seen: str, right: str, example: object = "") -> None:
        """Note a violation, unless the rule is excepted; of several the one with the shortest example stays."""
        shown = str(example)
        if len(shown) > LONGEST_EXAMPLE:
            shown = f"{shown[:LONGEST_EXAMPLE]}…"
        known = self._found.get((rule, where, right))
        if rule not in self._excepted and (known is None or len(shown) < len(known.example)):
            self._found[rule, where, right] = Violation(rule, where, seen, right, shown)

    def conclude(self, plugin: str) -> None:
        """Raise what was found.

        Raises:
            Nonconforming: at least one rule is broken.
        """
        if self._found:
            order = list(RULES)
            found = sorted(self._found.values(), key=lambda violation: order.index(violation.rule))
            raise Nonconforming(plugin, tuple(found))
