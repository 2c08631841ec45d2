"""What a document says of a rule."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from hookgate import ConnectionName, FlowOptions, Options
from hookgate.flow import Name
from hookgate_rewrites.patterns import Pattern
from hookgate_rewrites.texts import Text

_STATUS = {"R": 302, "R=301": 301, "R=302": 302, "R=303": 303, "R=307": 307, "R=308": 308}
_WITH_HOST = re.compile(r"https?://[A-Za-z0-9_.:\[\]-]+(?=[/?#]|\Z)", re.IGNORECASE)
_LOCAL = re.compile(r"/(?!/)")
UNCHANGED = "-"


def _pattern(written: str) -> str:
    Pattern(written)
    return written


def _text(written: str) -> str:
    Text(written)
    return written


PatternText = Annotated[str, AfterValidator(_pattern)]
Template = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_text)]
Flag = Literal["P", "R", "R=301", "R=302", "R=303", "R=307", "R=308", "F", "A"]


class RewriteCondition(Options):
    """A condition of a rule."""

    test: Template
    """What is looked at: `%{ENV:NAME}`, `%{SSL:NAME}`, `%{HTTP:Header}` or `%{HEADER:Header}`, `%{JWT:claim}`,
    `%{OGNL:expression}`, groups `$1` of the rule's pattern and `%1` of the condition before, and plain text."""
    pattern: PatternText
    """Regular expression that is looked for in it; with `!` in front the condition holds where it is not found."""


class Rule(FlowOptions):
    """A rule: what it looks for, what it puts there, and what it does with the call."""

    name: Name
    """Its name, which logs and metrics have for calls that end here."""
    conditions: tuple[RewriteCondition, ...] = Field(default=(), max_length=50)
    """What must hold beside, all of it. Asked in this order, after the pattern."""
    pattern: PatternText
    """Regular expression that is looked for in path and query, as rules above have left them; with `!` in front the
    rule is for what does not have it."""
    substitution: Template = UNCHANGED
    """Path that takes the place of the whole one, and a query where it has a `?`; `-` leaves both. With `R` it is where
    the client is sent, a path or a URL. What `test` of a condition may have can stand in it."""
    flags: tuple[Flag, ...] = Field(default=(), max_length=4)
    """`P` sends the call to `connection`, `R` or `R=301` redirects the client, `F` answers 403: with one of these the
    walk over the rules ends. `A` has the steps in `flow` find out who is calling; nobody passes it who is refused."""
    connection: ConnectionName | None = None
    """Where `P` sends the call."""

    @model_validator(mode="after")
    def _fits(self) -> Rule:
        ends = [flag for flag in self.flags if flag != "A"]
        if len(ends) > 1:
            raise ValueError(f"flags: a rule ends in one way, and these are {len(ends)}: {', '.join(ends)}")
        if ("P" in self.flags) != (self.connection is not None):
            raise ValueError("connection: the flag P and a connection belong together; write both, or none of them")
        if "F" in self.flags and self.substitution != UNCHANGED:
            raise ValueError("substitution: a call that is forbidden goes nowhere; take it out")
        if "A" in self.flags and not any("identity" in step.writes for step in (*self.flow, *self.request)):
            raise ValueError("flags: A needs a step in flow that finds out who is calling, such as auth")
        self._check_place()
        self._check_groups()
        return self

    def _check_place(self) -> None:
        text = Text(self.substitution)
        literal = text.literal
        if self.status is None:
            if self.substitution != UNCHANGED and literal and not literal.startswith("/"):
                raise ValueError(f"substitution: a path begins with '/', and {self.substitution!r} does not")
        elif self.substitution == UNCHANGED:
            raise ValueError("substitution: R needs to know where the client is sent; write a path or a URL")
        elif not _WITH_HOST.match(literal + ("$" if text.varies else "")) and not _LOCAL.match(literal):
            raise ValueError(
                "substitution: a redirect goes to a path, or to a URL whose host is written out "
                "(https://www.example.org/$1), or strangers could choose where it leads"
            )

    def _check_groups(self) -> None:
        groups, before = Pattern(self.pattern).groups, -1
        texts = [(f"conditions[{number}].test", each.test) for number, each in enumerate(self.conditions)]
        for number, (place, written) in enumerate((*texts, ("substitution", self.substitution))):
            text = Text(written)
            if text.found > groups:
                raise ValueError(f"{place}: there is no group ${text.found}; the pattern of the rule has {groups}")
            if text.before and text.before > before:
                has = f"has {before}" if before >= 0 else "is not there"
                raise ValueError(f"{place}: there is no group %{text.before}; the condition before {has}")
            if number < len(self.conditions):
                before = Pattern(self.conditions[number].pattern).groups

    @property
    def status(self) -> int | None:
        """Status of the redirect, if it is one."""
        return next((_STATUS[flag] for flag in self.flags if flag in _STATUS), None)
