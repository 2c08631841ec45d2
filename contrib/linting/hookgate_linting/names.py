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
    "goes-nowhere": "A route has no destination, and no step that could answer.",
    "names-differ": "The path of a destination has other names than the path of the route.",
    "variable-as-text": "A destination has a variable of the route as others write it, which is sent as it stands.",
    "hidden-by-host": "A route never gets the calls of a host, of which another one takes everything.",
    "body-dropped": "A destination is asked by a method without a body, on a route whose methods have one.",
    "body-missing": "A destination is asked by a method with a body, on a route whose methods have none.",
    "limit-never-acts": "A time limit is above another one, which always ends the call sooner.",
    "accepted-in-vain": "An entry accepts a warning that there is none of.",
}
"""Rule -> what it finds."""
OF_ROUTES = {
    "goes-nowhere",
    "names-differ",
    "variable-as-text",
    "hidden-by-host",
    "body-dropped",
    "body-missing",
    "limit-never-acts",
}
ACCEPTABLE = tuple(rule for rule in RULES if rule not in {"accepted-in-vain", *OF_ROUTES})
"""The rules that find something in an entry, which can accept it."""
