"""The rules by name, and how an entry accepts what one of them would say."""

from __future__ import annotations

RULES = {
    "limit-before-identity": "A limit counts by the identity of callers, and nobody left of it identifies them.",
    "read-before-identity": "A step or its condition looks at the identity left of the step that finds it out.",
    "application-unidentified": "A step asks which application calls, and nobody left of it identifies one (FL-34).",
    "cache-before-identity": "Kept answers are given before the step that would refuse the caller.",
    "change-before-verification": "A step changes what a method of authentication verifies further right.",
    "signature-before-change": "A step signs what another one changes afterwards.",
    "digest-before-change": "A step computes a digest of what another one changes afterwards.",
    "unreachable": "A step further left always answers, so that no call gets to this one.",
    "accepted-in-vain": "An entry accepts a warning that there is none of.",
}
"""Rule -> what it finds."""
ACCEPTABLE = tuple(rule for rule in RULES if rule != "accepted-in-vain")
"""The rules that find something in an entry, which can accept it."""
