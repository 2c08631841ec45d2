"""The trace of one call: hooks, notes, calls to others and attempts, with nothing in it that must not be shown."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from hookgate import MASK, Attempt, Callout, Exchange, hide, hide_in
from hookgate_trace.difference import Change, HookRun, Recorded
from hookgate_trace.masking import masked_head, masked_query

ASKED = "header"
"""Reason of a trace that whoever calls has asked for, by its token."""
NOTES = 200
"""Notes of one trace; further ones are dropped."""
NOTE_LENGTH = 2000
"""Characters of a note."""
BEHIND = 4096
"""Bytes behind the part of a body that is shown in which the rest of a secret is looked for that begins in it."""


class Trace:
    """The trace of a call while it runs; :meth:`as_dict` tells it afterwards.

    Differences are kept as they are until then, since a step may ask at any time that something is not shown (FL-22).
    Values of headers and parameters whose names say that they are secret are never shown, nor is what a reference of
    the document was resolved to, wherever it stands (HC-7).
    """

    def __init__(self, exchange: Exchange, reason: str, body_limit: int = 2048) -> None:
        self.id = ""
        self.reason = reason
        """Why this call is traced: ``header``, ``sample``, or the name of a rule."""
        self.body_limit = body_limit
        """Bytes of a body that are shown."""
        self.hooks: list[Recorded] = []
        self.notes: list[tuple[float, str]] = []
        self.started = time.time()
        self._began = time.perf_counter()
        self._monotonic = time.monotonic()
        request = exchange.request
        self.request: dict[str, Any] = {
            "method": request.method,
            "scheme": request.scheme,
            "host": request.host,
            "path": request.path,
            "query": request.query,
            "headers": list(request.headers.items()),
            "client": request.client,
            "http_version": request.http_version,
        }
        self._hidden: set[str] = set()
        self._told: dict[str, Any] | None = None

    def name(self, exchange: Exchange) -> None:
        """Give the trace its id: that of the request, if it has one."""
        self.id = self.id or exchange.id or uuid.uuid4().hex

    def now(self) -> float:
        """Seconds since the trace began."""
        return time.perf_counter() - self._began

    def note(self, message: str) -> None:
        """Write a line."""
        if len(self.notes) < NOTES:
            self.notes.append((self.now(), hide(message)[:NOTE_LENGTH]))

    def hide(self, *places: str) -> None:
        """Show none of these, whenever it stood there: see :meth:`Exchange.hide`."""
        self._hidden.update(place.lower() if ".headers." in place else place for place in places)

    def shown(self, run: Recorded) -> HookRun:
        """Return what a hook did, as it may be shown."""
        shown = run.shown(self)
        return replace(
            shown, changes=[Change(*hide_in((each.what, each.before, each.after))) for each in shown.changes]
        )

    def fact(self, what: str, value: str) -> str:
        """Return a fact, or asterisks in its place."""
        return MASK if what in self._hidden else value

    def query(self, query: str) -> str:
        """Return a query as it may be shown."""
        return masked_query(query, {each.partition("request.query.")[2].lower() for each in self._hidden})

    def head(self, side: str, fields: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return header fields as they may be shown; ``side`` is ``request`` or ``response``."""
        prefix = f"{side}.headers."
        also = {each.removeprefix(prefix) for each in self._hidden if each.startswith(prefix)}
        return masked_head(fields, also)

    def body(self, what: str, data: bytes | None) -> str | None:
        """Return the beginning of a body as text, without what is hidden in it; ``None`` if it is none."""
        if data is None or not self.body_limit or what in self._hidden:
            return None
        members = [each[len(what) + 1 :].split(".") for each in self._hidden if each.startswith(f"{what}.")]
        if members:
            try:
                value = json.loads(data)
            except ValueError:
                return None  # it cannot be known where the hidden members are
            for member in members:
                _blot(value, member)
            data = json.dumps(value, ensure_ascii=False).encode()
        try:
            data[: self.body_limit].decode("utf-8", "strict" if len(data) <= self.body_limit else "ignore")
        except UnicodeDecodeError:
            return None
        text = hide(data[: self.body_limit + BEHIND].decode("utf-8", "ignore"))
        return text.encode()[: self.body_limit].decode("utf-8", "ignore")

    def finish(self, exchange: Exchange) -> None:
        """The call is over: put into words what happened."""
        route, api, fault, response = exchange.route, exchange.api, exchange.fault, exchange.response
        identity = exchange.identity
        self.name(exchange)
        notes = [*self.notes, *self._dangers(exchange)]
        told = {
            "id": self.id,
            "reason": self.reason,
            "time": self.started,
            "seconds": self.now(),
            "generation": exchange.generation,
            "request": {
                **self.request,
                "query": self.query(self.request["query"]),
                "headers": self.head("request", self.request["headers"]),
            },
            "route": None if route is None else _route(route),
            "api": None if api is None else asdict(api),
            "params": dict(exchange.params),
            "environment": exchange.environment,
            "identity": None if identity is None else {"subject": identity.subject, "method": identity.method},
            "application": None if exchange.application is None else exchange.application.name,
            "plan": exchange.plan or None,
            "hooks": [asdict(self.shown(run)) for run in self.hooks],
            "notes": [{"at": at, "text": text} for at, text in sorted(notes, key=lambda note: note[0])],
            "facts": dict(exchange.facts),
            "callouts": [_callout(each, self._monotonic) for each in exchange.callouts],
            "attempts": [_attempt(each, exchange.started) for each in exchange.attempts],
            "answered_by": exchange.answered_by or None,
            "fault": None if fault is None else {"status": fault.status, "reason": fault.reason},
            "response": None
            if response is None
            else {
                "status": response.status,
                "headers": self.head("response", list(response.headers.items())),
                "bytes": exchange.bytes_sent,
            },
            "outcome": exchange.outcome,
        }
        self._told = hide_in(told)

    def _dangers(self, exchange: Exchange) -> Iterator[tuple[float, str]]:
        """Warn once of each connection whose document lets it do something dangerous, such as taking any TLS
        certificate (AC-28), where it was first called."""
        called: dict[str, tuple[float, Any]] = {}
        for attempt in exchange.attempts:
            called.setdefault(attempt.connection, (attempt.started - exchange.started, exchange.connection))
        for callout in exchange.callouts:
            with suppress(LookupError):  # it was called by nobody's, or has gone with a reload
                live = exchange.home.house.connection(callout.connection)
                called.setdefault(callout.connection, (callout.started - self._monotonic, live))
        for name, (at, connection) in called.items():
            transport = getattr(connection, "transport", None)
            for warning in () if transport is None else transport.facts().get("warnings", ()):
                yield max(0.0, at), f"warning: connection {name} {warning}"

    def as_dict(self) -> dict[str, Any]:
        """Return the whole trace as plain data, once the call is over.

        Raises:
            RuntimeError: it is not.
        """
        if self._told is None:
            raise RuntimeError("the call is not over yet")
        return self._told


def _route(route: Any) -> Mapping[str, Any]:
    return {
        "name": route.name,
        "host": route.host,
        "path": route.path,
        "methods": sorted(route.methods) if route.methods is not None else None,
        "when": route.when.text if route.when is not None else None,
    }


def _callout(callout: Callout, began: float) -> Mapping[str, Any]:
    told = asdict(callout)
    return {"at": max(0.0, told.pop("started") - began), **told}


def _attempt(attempt: Attempt, began: float) -> Mapping[str, Any]:
    outcome = attempt.outcome
    return {
        "at": max(0.0, attempt.started - began),
        "connection": attempt.connection,
        "target": attempt.target.url,
        "outcome": "aborted" if outcome is None else outcome.kind,
        "status": None if outcome is None else outcome.status,
        "error": "" if outcome is None else outcome.error,
        "seconds": None if outcome is None else outcome.seconds,
        "head_seconds": None if outcome is None else outcome.head_seconds,
        "verdict": attempt.verdict,
    }


def _blot(value: Any, member: Sequence[str]) -> None:
    """Put asterisks in the place of a member, whatever its case; ``*`` is every member, and numbers go into lists."""
    first, *rest = member
    if isinstance(value, list):
        for index in range(len(value)):
            if first in ("*", str(index)):
                _replace(value, index, rest)
    elif isinstance(value, dict):
        for key in value:
            if first == "*" or first.lower() == key.lower():
                _replace(value, key, rest)


def _replace(container: Any, key: Any, rest: Sequence[str]) -> None:
    if rest:
        _blot(container[key], rest)
    else:
        container[key] = MASK
