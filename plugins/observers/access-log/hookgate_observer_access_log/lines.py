"""From a call that is over to a line about it.

The loop takes a :data:`Record`, which is a tuple of what lies about; the thread does the rest. What a record holds must
not hold the call: no exchange, request, response or fault, since bodies and frames hang on those.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, get_args
from urllib.parse import unquote_plus

from orjson import OPT_APPEND_NEWLINE, dumps

from hookgate import MASK, Attempt, Exchange, Expression, ExpressionError, hide, hide_in
from hookgate.workshop import Masking

Record = tuple[Any, ...]
Entry = dict[str, Any]
Render = Callable[[Record, float], bytes]
"""Makes a line of a record; the number is what the wall clock is ahead of the clock of the exchange, in seconds."""

Field = Literal[
    "time",
    "id",
    "trace_id",
    "client",
    "method",
    "scheme",
    "host",
    "path",
    "query",
    "http",
    "status",
    "outcome",
    "reason",
    "answered_by",
    "bytes_up",
    "bytes_down",
    "ms",
    "ttfb_ms",
    "backend_ms",
    "backend_ttfb_ms",
    "flow_ms",
    "route",
    "connection",
    "target",
    "tries",
    "generation",
    "subject",
    "certificate",
    "tls",
    "server_name",
    "rewritten_path",
    "user_agent",
    "api",
    "api_version",
    "operation",
    "application",
    "plan",
]
FIELDS: tuple[Field, ...] = get_args(Field)

_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""W3C Trace Context, 3.2; versions to come may add more after a dash."""
_WORD = re.compile("[!#-<>-~]+")
"""Printable ASCII that cannot be taken for more than one word."""
_DELETE = b"\x7f"
LONGEST = 2000
"""Characters of what an expression gives; what is longer is cut."""
_OTHERS = (
    "rewritten_path",
    "id",
    "host",
    "path",
    "query",
    "reason",
    "answered_by",
    "target",
    "subject",
    "certificate",
    "server_name",
)
_HIDING = (*_OTHERS, "user_agent", "application", "plan")
"""Fields in which a secret of the document may stand."""
_masking = lru_cache(maxsize=64)(Masking)


def record_of(exchange: Exchange, labels: Sequence[str] = (), more: Mapping[str, Expression] | None = None) -> Record:
    """Take what a line needs from a call that is over; runs in the loop, so nothing is worked out here."""
    request, response, fault = exchange.request, exchange.response, exchange.fault
    return (
        exchange.started,
        exchange.head_at,
        exchange.finished,
        exchange.id,
        request.headers.raw,
        request.client,
        request.method,
        request.scheme,
        request.host,
        request.received,
        request.path,
        request.query,
        request.http_version,
        request.tls,
        None if response is None else response.status,
        exchange.outcome,
        None if fault is None else fault.reason,
        exchange.answered_by,
        exchange.bytes_received,
        request.body.length,
        exchange.bytes_sent,
        exchange.route,
        exchange.attempts,
        exchange.target,
        exchange.generation,
        exchange.identity,
        exchange.hidden,
        {name: _label(exchange, name) for name in labels} if labels else None,
        exchange.application,
        exchange.plan,
        _evaluated(exchange, more) if more else None,
    )


def _evaluated(exchange: Exchange, more: Mapping[str, Expression]) -> dict[str, Any]:
    """Ask expressions, with secret headers and parameters masked, and what steps have asked to hide."""
    seen = _masking(tuple(place.split(".", 2)[2] for place in exchange.hidden if place.count(".") > 1)).view(exchange)
    found: dict[str, Any] = {}
    for name, expression in more.items():
        try:
            found[name] = expression(seen)
        except ExpressionError:
            found[name] = None
    return found


def _label(exchange: Exchange, name: str) -> str | None:
    """Return a label of the route, or of the connection."""
    for owner in (exchange.route, exchange.connection):
        if owner is not None and (value := owner.labels.get(name)) is not None:
            return str(value)
    return None


def entry_of(record: Record, ahead: float) -> Entry:
    """Make the fields of a line, in their usual order."""
    (
        started,
        head_at,
        finished,
        call_id,
        headers,
        client,
        method,
        scheme,
        host,
        received,
        path,
        query,
        http,
        tls,
        status,
        outcome,
        reason,
        answered_by,
        bytes_received,
        length,
        sent,
        route,
        attempts,
        target,
        generation,
        identity,
        hidden,
        labels,
        application,
        plan,
        more,
    ) = record
    api = getattr(route, "api", None)
    if application is None and identity is not None:
        application = identity.application
    until_head, until_end = waited(attempts)
    head = None if head_at is None else head_at - started
    flow = head
    if head is not None and attempts:
        flow = None if until_head is None else max(0.0, head - until_head)
    entry = {
        "time": _rfc3339(started + ahead),
        "id": call_id or None,
        "trace_id": trace_id(headers),
        "client": client,
        "method": method,
        "scheme": scheme,
        "host": host,
        "path": (came := received.partition("?")[0]),
        "query": _without_hidden(query, hidden) if hidden else query,
        "http": http,
        "status": status,
        "outcome": outcome,
        "reason": reason,
        "answered_by": answered_by or None,
        "bytes_up": length if bytes_received is None else bytes_received,
        "bytes_down": sent,
        "ms": None if finished is None else _ms(finished - started),
        "ttfb_ms": None if head is None else _ms(head),
        "backend_ms": None if until_end is None else _ms(until_end),
        "backend_ttfb_ms": None if until_head is None else _ms(until_head),
        "flow_ms": None if flow is None else _ms(flow),
        "route": None if route is None else route.name,
        "connection": attempts[-1].connection if attempts else None,
        "target": None if target is None else target.url,
        "tries": len(attempts),
        "generation": generation,
        "subject": None if identity is None else identity.subject,
        "certificate": None if tls is None or tls.certificate is None else tls.certificate.subject,
        "tls": None if tls is None else tls.version or None,
        "server_name": None if tls is None else tls.server_name,
        "rewritten_path": None if path == came else path,
        "user_agent": MASK if "request.headers.user-agent" in map(str.lower, hidden) else _user_agent(headers),
        "api": None if api is None else api.name,
        "api_version": None if api is None else api.version or None,
        "operation": None if api is None else f"{api.operation} {api.resource}".strip() or None,
        "application": getattr(application, "name", application),
        "plan": plan or None,
        "labels": hide_in(labels),
        "more": None if more is None else {name: _short(hide_in(value)) for name, value in more.items()},
    }
    for name in _HIDING:
        if (value := entry[name]) is not None:
            entry[name] = hide(str(value))
    return entry


def _user_agent(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    values = [value for name, value in headers if len(name) == 10 and name.lower() == b"user-agent"]
    return values[0].decode("latin-1") if values else None


def _short(value: Any) -> Any:
    """Cut what is too long; lists and mappings then become text."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return value if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _without_hidden(query: str, hidden: Sequence[str]) -> str:
    """Mask the parameters that a step has asked to hide."""
    names = {place.removeprefix("request.query.").lower() for place in hidden if place.startswith("request.query.")}
    pairs = [(pair, pair.partition("=")[0]) for pair in query.split("&")]
    return "&".join(f"{name}={MASK}" if unquote_plus(name).lower() in names else pair for pair, name in pairs)


def waited(attempts: Sequence[Attempt]) -> tuple[float | None, float | None]:
    """Seconds that were spent waiting for backends: until the heads of their answers, and until the ends.

    ``None`` where there was no attempt, or where it is not known of one. An attempt that ended without a head was
    waited for until its end.
    """
    if not attempts:
        return None, None
    until_head: float | None = 0.0
    until_end: float | None = 0.0
    for attempt in attempts:
        outcome = attempt.outcome
        if attempt.head_at is not None:
            head: float | None = attempt.head_at - attempt.started
        else:
            head = outcome.seconds if outcome is not None and outcome.status is None else None
        until_head = None if head is None or until_head is None else until_head + head
        until_end = None if outcome is None or until_end is None else until_end + outcome.seconds
    return until_head, until_end


def _ms(seconds: float) -> float:
    """Milliseconds with three digits; ``round(x, 3)`` takes three times as long."""
    return round(seconds * 1e6) / 1000


def trace_id(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Find the id of the trace in the one well-formed ``traceparent``, if there is one."""
    values = [value for name, value in headers if len(name) == 11 and name.lower() == b"traceparent"]
    if len(values) != 1:
        return None
    match = _TRACEPARENT.fullmatch(values[0])
    if match is None or (match[1] == b"00" and match[3] is not None):
        return None
    return match[2].decode()


def _rfc3339(wall: float) -> str:
    second = int(wall)
    return f"{_second(second)}.{int((wall - second) * 1000):03d}Z"


@lru_cache(maxsize=8)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def renderer(
    style: Literal["json", "text"], fields: tuple[Field, ...], *, query: bool, labels: bool = False, more: bool = False
) -> Render:
    """Return what makes lines of these fields, or of all if none is named; the others add theirs."""
    if style == "text" and not fields:
        return lambda record, ahead: text_line(entry_of(record, ahead), query=query)
    shape = json_line if style == "json" else pairs_line
    if not fields:
        left_out = [name for name, asked in (("query", query), ("labels", labels), ("more", more)) if not asked]
        return lambda record, ahead: shape(_without(entry_of(record, ahead), left_out))
    chosen: tuple[str, ...] = (*fields, "query") if query and "query" not in fields else fields
    chosen = (*chosen, *(name for name, asked in (("labels", labels), ("more", more)) if asked))
    return lambda record, ahead: shape(_only(entry_of(record, ahead), chosen))


def _without(entry: Entry, names: Sequence[str]) -> Entry:
    for name in names:
        del entry[name]
    return entry


def _only(entry: Entry, names: Sequence[str]) -> Entry:
    return {name: entry[name] for name in names}


def json_line(entry: Entry) -> bytes:
    """Write one JSON object, with everything escaped that could steer a terminal."""
    try:
        line = dumps(entry, str, OPT_APPEND_NEWLINE)
        if line.isascii() and _DELETE not in line:  # orjson has escaped the control characters below the space
            return line
        if line[:-1].decode().isprintable():
            return line
    except TypeError:  # half a surrogate pair, which a token may hold
        pass
    return (
        json.dumps(entry, default=str).replace("\x7f", "\\u007f").encode() + b"\n"
    )  # which escapes everything outside ASCII


def pairs_line(entry: Entry) -> bytes:
    """Write ``name=value`` of whatever is known."""
    groups = [(group, entry.pop(group, None) or {}) for group in ("labels", "more")]
    named = [*entry.items(), *((f"{group}.{name}", each) for group, of in groups for name, each in of.items())]
    pairs = [f"{name}={_word(_said(value))}" for name, value in named if value is not None]
    return (" ".join(pairs) + "\n").encode()


def text_line(entry: Entry, *, query: bool = False) -> bytes:
    """Write columns of what every line has, followed by what it has beyond that."""
    status, took = entry["status"] or "---", entry["ms"] or 0.0
    columns = f"{entry['time']} {status} {_plain(entry['method']):<7} {took:>9.1f}ms {entry['bytes_down']:>9}B"
    path = entry["path"] + (f"?{entry['query']}" if query and entry["query"] else "")
    words = [columns, _plain(f"{entry['client']:<15}"), _plain(entry["host"] + path)]
    shown = ("route", "target", "reason", "answered_by", "subject", "id")
    details = {name: entry[name] for name in shown if entry[name] is not None}
    if entry["outcome"] != "ok":
        details["outcome"] = entry["outcome"]
    if entry["tries"] > 1:
        details["tries"] = entry["tries"]
    for group in ("labels", "more"):
        details |= {f"{group}.{name}": value for name, value in (entry[group] or {}).items() if value is not None}
    words += [f"{name}={_word(_said(value))}" for name, value in details.items()]
    return (" ".join(words) + "\n").encode()


def _said(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, bool | dict | list) else str(value)


def _word(value: str) -> str:
    """Put quotes around a value that could be taken for more than one."""
    if _WORD.fullmatch(value):
        return value
    return json.dumps(value) if not value or set(value) & set(' "=') else _plain(value)


def _plain(value: str) -> str:
    """Escape whatever is not a printable character."""
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
