"""The rules: each looks at one step at its place and says what would go wrong there, and what to do about it.

A rule is silent where it cannot know: what a branch may contain counts as done, what a condition may skip as not done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from hookgate_linting.sequence import Position, Seen


class Finding(NamedTuple):
    """What a rule has to say about a step."""

    rule: str
    seen: Seen
    message: str


Rule = Callable[[Position], Iterator[Finding]]
CHANGEABLE = frozenset({"request.method", "request.path", "request.query", "request.body"})
"""Parts of a request that are verified as a whole; headers are not, since most of them are none of a verifier's."""
PLAIN = {"request.method": "the method", "request.path": "the path", "request.query": "the query"}


def _writer(steps: Iterator[Seen], *effects: str) -> Seen | None:
    return next((seen for seen in steps if not seen.writes.isdisjoint(effects)), None)


def _names(one: Seen, other: Seen) -> tuple[str, str]:
    """Two names that differ: ids, where the plugin is the same."""
    if one.name == other.name:
        return one.step.entry.id, other.step.entry.id
    return one.name, other.name


def limit_before_identity(at: Position) -> Iterator[Finding]:
    """Find limits that count by an identity nobody has found out yet: all callers would share one count."""
    seen = at.seen
    if not ({"identity"} <= seen.reads and "limit" in seen.writes) or _writer(at.earlier(), "identity"):
        return
    later = _writer(at.after(), "identity")
    if later is None:
        message = f"{seen.name} counts by the identity of the caller, and no step left of it identifies callers"
        message += ", so all of them share one count: place a step such as auth left of it"
    else:
        limit, auth = _names(seen, later)
        message = f"{limit} counts by the identity of the caller, which {auth} finds out only right of it"
        message += f", so all callers share one count: move {limit} right of {auth}"
    yield Finding("limit-before-identity", seen, message)


def read_before_identity(at: Position) -> Iterator[Finding]:
    """Find steps and conditions that ask for an identity which is found out right of them."""
    seen = at.seen
    if not at.request or "limit" in seen.writes:
        return
    asks = "identity" in seen.conditions
    if not asks and ("identity" not in seen.reads or (seen.leaves and not seen.branches)):
        return  # what has a way out may look there
    if _writer(at.before(), "identity", "application"):
        return
    later = _writer(at.after(), "identity")
    if later is not None:
        reader, auth = _names(seen, later)
        what = f"the condition of {reader}" if asks else reader
        message = f"{what} looks at the identity of the caller, which {auth} finds out only right of it"
        message += f", so it is always null: move {reader} right of {auth}"
        yield Finding("read-before-identity", seen, message)


def application_unidentified(at: Position) -> Iterator[Finding]:
    """Find steps per application where no step identifies one (FL-34)."""
    seen = at.seen
    if "application" not in seen.reads or "application" in seen.writes or _writer(at.earlier(), "application"):
        return
    later = _writer(at.after(), "application")
    message = f"{seen.name} asks which application calls, "
    if later is None:
        message += "and no step left of it identifies applications: place a step such as client-id left of it"
    else:
        reader, identifier = _names(seen, later)
        message += f"which {identifier} finds out only right of it: move {reader} right of {identifier}"
    yield Finding("application-unidentified", seen, message)


def cache_before_identity(at: Position) -> Iterator[Finding]:
    """Find kept answers that anybody gets, since the step that refuses callers stands right of them."""
    seen = at.seen
    if not at.request or "cache" not in seen.writes or _writer(at.before(), "identity", "application"):
        return
    later = _writer(at.after(), "identity", "application")
    if later is not None:
        cache, auth = _names(seen, later)
        message = f"{cache} gives answers it has kept to callers that {auth}, right of it, would refuse"
        yield Finding("cache-before-identity", seen, f"{message}: move {cache} right of {auth}")


def change_before_verification(at: Position) -> Iterator[Finding]:
    """Find changes of what is verified further right: what the client signed would not be there any more."""
    seen = at.seen
    changed = seen.writes & CHANGEABLE
    if not at.request or not changed:
        return
    for later in at.after():
        if common := changed & later.verifies:
            changer, auth = _names(seen, later)
            message = f"{changer} changes {_parts(common)}, which {auth} verifies right of it"
            message += f", so right credentials are refused: move {changer} right of {auth}"
            yield Finding("change-before-verification", seen, message)
            return


def signature_before_change(at: Position) -> Iterator[Finding]:
    """Find signatures and digests over what is changed afterwards."""
    seen = at.seen
    side = "request." if at.request else "response."
    covered = frozenset(part for part in seen.reads if part.startswith(side))
    for effect, does in (("signature", "signs"), ("digest", "computes a digest of")):
        if effect not in seen.writes:
            continue
        for later in at.after():
            if common := covered & later.writes:
                signer, changer = _names(seen, later)
                where = "right" if at.request else "left"
                message = f"{signer} {does} {_parts(common)}, which {changer} changes afterwards"
                yield Finding(f"{effect}-before-change", seen, f"{message}: move {signer} {where} of {changer}")
                break


def unreachable(at: Position) -> Iterator[Finding]:
    """Find steps that no call gets to, since one further left always answers."""
    if not at.request:
        return
    for earlier in at.surely_before():
        if "answer" in earlier.writes and earlier.step.entry.when is None:
            step, answerer = _names(at.seen, earlier)
            message = f"no call gets to {step}: {answerer}, left of it, always answers"
            message += f"; move {step} left of {answerer}, give {answerer} a condition, or take {step} out"
            yield Finding("unreachable", at.seen, message)
            return


def _parts(parts: frozenset[str]) -> str:
    return " and ".join(PLAIN.get(part, f"the {' '.join(reversed(part.split('.')))}") for part in sorted(parts))


ALL: tuple[Rule, ...] = (
    limit_before_identity,
    read_before_identity,
    application_unidentified,
    cache_before_identity,
    change_before_verification,
    signature_before_change,
    unreachable,
)
"""Every rule over one step."""
