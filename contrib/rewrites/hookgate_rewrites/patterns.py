"""Patterns: regular expressions of Python whose work is bounded, negated by a ``!`` in front."""

from __future__ import annotations

import re
from typing import Any, Protocol

from hookgate import Fault
from hookgate_rewrites.cost import BITS, Costly, bits_of

LONGEST = 500
"""Characters of a pattern."""
LONGEST_TEXT = 2**BITS
"""Characters of a text that a pattern with more than linear work is tried on."""


class Groups(Protocol):
    """What a pattern has found."""

    def __getitem__(self, group: int, /) -> Any:
        """Return what a group has matched, or ``None``."""


class TooLong(Fault):
    """414: a rule may not be tried on as much as this. To let the call pass would be a way round the rule."""

    status = 414
    default_reason = "rewrite-too-long"


class Pattern:
    """A pattern, compiled.

    Raises:
        ValueError: it is no regular expression, or one that can take long.
    """

    def __init__(self, written: str) -> None:
        self.negated = written.startswith("!")
        text = written[1:] if self.negated else written
        if len(text) > LONGEST:
            raise ValueError(f"the pattern has {len(text)} characters; {LONGEST} are the most")
        try:
            self._search = re.compile(text).search
            bits = bits_of(text)
        except re.error as error:
            raise ValueError(f"{text!r} is not a regular expression: {error}") from None
        except (RecursionError, OverflowError):
            raise ValueError(f"{text!r} is not a regular expression: nested too deep, or counts too far") from None
        except Costly as error:
            raise ValueError(f"{text!r} could keep the gateway busy: {error}") from None
        self.groups = 0 if self.negated else re.compile(text).groups
        """How many groups it has that others may refer to."""
        self._bounded = bits > BITS

    def find(self, text: str) -> Groups | None:
        """Look for the pattern in a text; return its groups if it is met. A negated one has none.

        Raises:
            TooLong: the text is too long for it.
        """
        if self._bounded and len(text) > LONGEST_TEXT:
            raise TooLong(f"A rewrite rule looks at {LONGEST_TEXT} characters at most.")
        found = self._search(text)
        if self.negated:
            return () if found is None else None
        return found
