"""When a kept response may be given (RFC 9111, 4; RFC 5861)."""

from __future__ import annotations

from hookgate_interceptor_cache.directives import LONGEST, Directives
from hookgate_interceptor_cache.entry import Entry

_NEVER_STALE = ("must-revalidate", "proxy-revalidate", "no-cache")


def may_answer(entry: Entry, said: Directives, now: float) -> bool:
    """Whether an entry answers a request without asking the backend; ``said`` is what the client wants."""
    if entry.directives.whole("no-cache") or "no-cache" in said:
        return False
    stale_for, oldest = entry.stale_for(now), said.seconds("max-age")
    if oldest is not None and entry.age(now) > oldest:
        return False
    fresh_for = said.seconds("min-fresh")
    if fresh_for is not None and stale_for > -fresh_for:
        return False
    if stale_for < 0:
        return True
    tolerated = LONGEST if said.bare("max-stale") else said.seconds("max-stale")
    return tolerated is not None and stale_for <= tolerated and not _forbids(entry.directives)


def grace(entry: Entry, name: str, default: float) -> float:
    """Return for how many seconds an entry may be given after it has become stale, by an extension of RFC 5861, or by
    the word of the deployer where it says nothing of that.

    ``s-maxage`` forbids it between the lines (RFC 9111, 5.2.2.10), which an answer takes back that says both.
    """
    directives = entry.directives
    if any(each in directives for each in _NEVER_STALE):
        return 0.0
    said = directives.seconds(name)
    if said is not None:
        return float(said)
    return 0.0 if "s-maxage" in directives else default


def _forbids(directives: Directives) -> bool:
    return "s-maxage" in directives or any(each in directives for each in _NEVER_STALE)
