"""What watches a hook: a body that notes who touches it, and a picture of the exchange before and after."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from pydantic import BaseModel

from hookgate import Body, Exchange, Fault, Headers, Plugin, PluginError, Response, Sink
from hookgate.exchange import RawHeader
from hookgate_authoring.conformance.report import Report

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
BLANK = re.compile(r"[\x00-\x20\x7f]")
KINDS: dict[str, tuple[Any, str]] = {
    "on_request": (Response | None, "a Response, or None to let the call pass"),
    "on_fault": (Response | None, "a Response, or None to leave it to others"),
    "on_response": (type(None), "None; change exchange.response"),
    "on_done": (type(None), "None"),
    "choose": (str | None, "the name of a contained flow, or None"),
}
"""What hooks of a flow return, and how to say so."""
LATE = {
    "on_response": "request.",
    "on_fault": "request.",
    "on_done": "re",  # quest and sponse
}
"""What is sent already when a hook runs."""
FRAMING = (b"content-length", b"transfer-encoding", b"connection")


class GuardedBody(Body):
    """Notes what is done with it. Reading is ``read``, ``peek``, ``json``, ``data`` and ``stream``; writing is ``set``
    and ``map``; ``tee`` is noted by itself. ``wrap``, ``on_close``, ``length``, ``empty``, ``limit`` and ``replayable``
    do not look at the content and are not noted."""

    __slots__ = ("noted",)

    def __init__(self, source: Any = b"") -> None:
        super().__init__(source)
        self.noted: set[str] = set()

    @property
    def data(self) -> bytes:
        """Note that it is read."""
        self.noted.add("read")
        return super().data

    async def read(self, limit: int | None = None) -> bytes:
        """Note that it is read."""
        self.noted.add("read")
        return await super().read(limit)

    async def peek(self, most: int) -> bytes:
        """Note that it is read."""
        self.noted.add("read")
        return await super().peek(most)

    def stream(self) -> AsyncGenerator[bytes, None]:
        """Note that it is read."""
        self.noted.add("read")
        return super().stream()

    def set(self, data: bytes) -> None:
        """Note that it is changed."""
        self.noted.add("write")
        super().set(data)

    def map(self, feed: Any, flush: Any = None) -> None:
        """Note that it is changed."""
        self.noted.add("write")
        super().map(feed, flush)

    def tee(self, sink: Sink) -> None:
        """Note that it is copied."""
        self.noted.add("tee")
        super().tee(sink)


class Picture:
    """An exchange at one moment, as far as plugins declare what they change."""

    def __init__(self, exchange: Exchange) -> None:
        request, response = exchange.request, exchange.response
        self.response = response
        self.bodies: dict[str, Body] = {"request.body": request.body}
        self.heads: dict[str, list[RawHeader]] = {"request.headers": list(request.headers.raw)}
        self.values: dict[str, Any] = {
            "request.path": (request.method, request.path, request.query),
            "identity": exchange.identity,
            "variables": {name: id(value) for name, value in exchange.variables.items()},
        }
        if response is not None:
            self.bodies["response.body"] = response.body
            self.heads["response.headers"] = list(response.headers.raw)
            self.values["response.status"] = response.status
        self.lengths = {name: body.length for name, body in self.bodies.items()}

    def begin(self) -> None:
        """Forget what was done with the bodies before."""
        for body in self.bodies.values():
            if isinstance(body, GuardedBody):
                body.noted.clear()

    def changes(self, later: Picture) -> Iterator[tuple[str, str]]:
        """Walk over what is different later: its name, and how. A response that was not there yet is an answer, not a
        change."""
        for name, head in self.heads.items():
            if head != later.heads.get(name, head):
                new = [field for field in later.heads[name] if field not in head]
                gone = [field for field in head if field not in later.heads[name]]
                yield name, f"added {new}, took out {gone}"
        for name, value in self.values.items():
            if value != later.values.get(name, value):
                shown = sorted(later.values[name]) if name == "variables" else later.values[name]
                yield name, f"became {shown!r}"
        for name, body in self.bodies.items():
            if body is not later.bodies.get(name, body):
                yield name, "was replaced"
            elif isinstance(body, GuardedBody) and "write" in body.noted:
                yield name, "was set or mapped"


def compare(
    plugin: Plugin[Any], hook: str, before: Picture, exchange: Exchange, report: Report, example: object, *, waits: bool
) -> None:
    """Judge what one hook did to an exchange: injection, framing and effects. ``waits`` is for hooks that are async."""
    after = Picture(exchange)
    reads, writes = declared(plugin)
    for name, how in before.changes(after):
        if name.startswith(LATE.get(hook, "-")):
            sent = name.partition(".")[0]
            right = "change the request in on_request, and the response in on_response"
            report.add("effects", hook, f"{name} {how}, when the {sent} had been sent", right, example)
        elif name not in writes:
            right = f"writes = {{{name!r}, …}}, or leave it alone"
            report.add("effects", hook, f"{name} {how}, which is not declared", right, example)
    for name, body in before.bodies.items():
        noted = body.noted if isinstance(body, GuardedBody) else set()
        # A copy does not need the body held whole, which declaring it for a sync hook would bring about.
        if ("read" in noted or ("tee" in noted and waits)) and name not in reads | writes:
            right = f"reads = {{{name!r}, …}}"
            report.add("effects", hook, f"{name} was read, which is not declared", right, example)
    for name, head in after.heads.items():
        old = before.heads.get(name, [])
        check_fields(hook, name, [field for field in head if field not in old], report, example)
        body = after.bodies[name.replace("headers", "body")]
        _check_framing(hook, name, [f for f in head if f not in old], body, report, example)
    request = exchange.request
    target = request.path + request.query
    if before.values["request.path"] != after.values["request.path"] and BLANK.search(target + request.method):
        seen = f"the request line became {request.method!r} {request.target!r}"
        report.add("injection", hook, seen, "percent-encode blanks and control characters", example)


def check_fields(hook: str, name: str, fields: list[RawHeader], report: Report, example: object) -> None:
    """Judge header fields that a hook has put in."""
    for key, value in fields:
        if not (isinstance(key, bytes) and isinstance(value, bytes)):
            report.add("injection", hook, f"{name}.raw holds {(key, value)!r}", "pairs of bytes", example)
        elif not TOKEN.fullmatch(key) or FORBIDDEN.search(value):
            seen = f"{name} holds {key!r}: {value!r}, which would smuggle a line or is no header name"
            report.add("injection", hook, seen, "use headers.set and headers.add, which refuse such fields", example)


def check_result(hook: str, result: object, error: BaseException | None, report: Report, example: object) -> None:
    """Judge what a hook of a flow returned or raised."""
    wanted = KINDS.get(hook)
    if error is None and wanted is not None and not isinstance(result, wanted[0]):
        report.add("contract", hook, f"returned {result!r:.80}", wanted[1], example)
    if isinstance(error, Exception) and (not isinstance(error, Fault) or isinstance(error, PluginError)):
        seen = f"raised {type(error).__name__}: {error}"
        report.add("faults", hook, seen, "raise a Fault such as BadRequest for input that cannot be used", example)
    if isinstance(error, Fault):
        fields = [(k.encode("latin-1", "replace"), v.encode("latin-1", "replace")) for k, v in error.headers]
        check_fields(hook, "fault.headers", fields, report, example)
    if isinstance(result, Response):
        fields = list(result.headers.raw)
        check_fields(hook, "response.headers", fields, report, example)
        _check_framing(hook, "response.headers", fields, result.body, report, example)


def _check_framing(hook: str, name: str, fields: list[RawHeader], body: Body, report: Report, example: object) -> None:
    for key, value in fields:
        if not isinstance(key, bytes) or key.lower() not in FRAMING:
            continue
        if key.lower() != b"content-length":
            right = "leave it out: the gateway frames messages and keeps connections"
            report.add("framing", hook, f"{name} was given {key!r}: {value!r}", right, example)
        elif value != str(body.length).encode():
            known = "?" if body.length is None else body.length
            seen = f"{name} was given {key!r}: {value!r} for a body of {known} bytes"
            report.add("framing", hook, seen, "leave Content-Length out; the gateway writes it", example)


def declared(plugin: Plugin[Any]) -> tuple[set[str], set[str]]:
    """Return what a plugin and those in its options read and write."""
    reads, writes = set(plugin.reads), set(type(plugin).writes)
    for inner in nested(plugin.options):
        inner_reads, inner_writes = declared(inner)
        reads |= inner_reads
        writes |= inner_writes
    return reads, writes


def nested(value: object) -> Iterator[Plugin[Any]]:
    """Walk over the plugins in options."""
    if isinstance(value, Plugin):
        yield value
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from nested(inner)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from nested(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from nested(inner)


def stale_length(headers: Headers, body: Body, size: int) -> str | None:
    """Return what is wrong with the lengths of a message that has ``size`` bytes, or ``None``."""
    if body.length is not None and body.length != size:
        return f"body.length says {body.length}, but {size} bytes came"
    written = headers.getall("content-length")
    if written and not body.changed and written != [str(size)]:
        return f"Content-Length says {', '.join(written)}, but {size} bytes came"
    return None
