"""What changed while a hook ran: the call before it and after it, and how the difference may be shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from hookgate import Body, Exchange, Headers, Response
from hookgate_trace.masking import masked

Phase = Literal["request", "response", "fault", "done"]
Fact = str | int | None


@dataclass(frozen=True, slots=True)
class Change:
    """One difference that a hook made; secrets are masked."""

    what: str
    """``request.method``, ``request.headers.accept``, ``request.body``, ``identity``, ``response.status`` and so on."""
    before: Fact
    """``None`` for what was not there."""
    after: Fact
    """``None`` for what is there no more."""


@dataclass(frozen=True, slots=True)
class HookRun:
    """One hook that ran, or that was skipped by a condition."""

    phase: Phase
    hook: str
    """``on_request``, ``choose`` and so on; ``when`` for a condition."""
    step: str
    """Id of the step."""
    plugin: str
    """Name of the plugin, as in the document."""
    depth: int
    """How many branches the step stands in."""
    microseconds: int
    decision: str
    """``passed``, ``answered 429``, ``raised rate-limited``, ``skipped: condition false`` or ``branch: then``."""
    changes: list[Change] = field(default_factory=list)
    origin: str = ""
    """The scope that the step comes from, where it is one of an API's (FL-32)."""
    at: float = 0.0
    """Seconds from the beginning of the trace until the hook began."""
    callouts: int = 0
    """Calls to others that it began."""


class Masks(Protocol):
    """Knows what of one call must not be shown."""

    def fact(self, what: str, value: str) -> str:
        """Return a fact, or asterisks in its place."""

    def query(self, query: str) -> str:
        """Return a query as it may be shown."""

    def body(self, what: str, data: bytes | None) -> str | None:
        """Return the beginning of a body as text; ``None`` if it is none."""


class State:
    """What a hook may change, as it is at one moment."""

    def __init__(self, exchange: Exchange, response: Response | None) -> None:
        request, identity = exchange.request, exchange.identity
        self.facts: dict[str, Fact] = {
            "request.method": request.method,
            "request.path": request.path,
            "request.query": request.query or None,
            "request.host": request.host or None,
            "request.scheme": request.scheme,
            "request.client": request.client,
            **_head("request", request.headers),
        }
        self.bodies = {"request.body": _BodyState(request.body)}
        if identity is not None:
            self.facts["identity"] = f"{identity.subject} ({identity.method})" if identity.method else identity.subject
        if response is not None:
            self.facts["response.status"] = response.status
            self.facts.update(_head("response", response.headers))
            self.bodies["response.body"] = _BodyState(response.body)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One hook that ran, with what there was before and after it, unmasked."""

    run: HookRun
    before: State
    after: State

    def shown(self, masks: Masks) -> HookRun:
        """Return it with the differences, as they may be shown."""
        return replace(self.run, changes=list(_changes(self.before, self.after, masks)))


class _BodyState:
    """A body at one moment. It holds on to the objects, so that a new one is never taken for the old one."""

    def __init__(self, body: Body) -> None:
        self.body = body
        # Whether a body came whole with its head is chance, so one that nobody has asked for is told as a stream.
        self.held = body.held if body.arrived else None
        self.data = body.held if not body.arrived else None
        self.changed = body.changed
        self.maps = body.maps
        if self.data is not None or (body.length is not None and not self.maps and not (body.arrived and body.changed)):
            self.size = f"{body.length} bytes"
        else:
            self.size = "a stream of unknown length"

    def told(self, what: str, masks: Masks) -> str:
        """Say how long it is, and where it is there as text, how it begins."""
        text = masks.body(what, self.data) if self.data else None
        return self.size if text is None else f"{self.size}: {text}"

    def became(self, other: _BodyState) -> bool:
        """Whether a hook put something else here; reading a body whole changes nothing."""
        if self.body is not other.body:
            return not (self.body.empty and other.body.empty)
        if self.data is not None and other.data is not None:
            return self.data != other.data
        if self.held is not None:
            return self.held is not other.held if other.data is None else self.held != other.data
        return self.maps != other.maps or self.changed != other.changed


def _head(side: str, headers: Headers) -> dict[str, Fact]:
    """Return the fields of a head by name, lines of one name together."""
    found: dict[str, Fact] = {}
    for name, value in headers.items():
        key = f"{side}.headers.{name}"
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _changes(before: State, after: State, masks: Masks) -> Iterator[Change]:
    for what in dict.fromkeys([*before.facts, *after.facts]):
        old, new = before.facts.get(what), after.facts.get(what)
        if old != new:
            yield Change(what, _shown(what, old, masks), _shown(what, new, masks))
    for what, body in after.bodies.items():
        was = before.bodies.get(what)
        if was is None:
            if not body.body.empty:
                yield Change(what, None, body.told(what, masks))
        elif was.became(body):
            yield Change(what, was.told(what, masks), body.told(what, masks))


def _shown(what: str, fact: Fact, masks: Masks) -> Fact:
    if not isinstance(fact, str):
        return fact
    if what == "request.query":
        return masks.query(fact)
    return masked(what.rpartition(".")[2], masks.fact(what, fact)) if ".headers." in what else masks.fact(what, fact)
