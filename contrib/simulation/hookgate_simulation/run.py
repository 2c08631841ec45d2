"""The gateway that only rehearses: one call, from the edge to the mocks and back."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache
from ipaddress import ip_address
from typing import Any, Literal, NoReturn

from hookgate import Exchange, Identity, Options, Outbound, Request, Source, TlsFacts, hide, hide_in
from hookgate.connections import TargetConfig
from hookgate.document import Catalogue
from hookgate.gateway import Configuration, Gateway, bring_up
from hookgate.server import Edge
from hookgate_simulation.mocks import Mock, Script
from hookgate_simulation.network import MockClient, MockTransport, Sent, facts
from hookgate_simulation.result import Simulation
from hookgate_trace import Trace, TraceSection, Tracing, masked_head, masked_query, note_signatures

SHOWN = 2048
"""Bytes of the final body that a result shows."""
REASON = "simulation"
"""Why simulated calls are traced."""
_OFF_STAGE = frozenset({"app", "discovery", "monitor", "observer", "secret", "source", "transport"})
"""Families with no part in a simulated call: they would write logs, answer on listeners or open connections; and what
secret providers have to say is in the configuration already."""
_FOUND = TargetConfig("http", "discovered.invalid", 80, 1, active=True)
"""The target of connections that would find theirs by discovery (RFC 6761, 6.4: a name that never is)."""

_in_call: ContextVar[bool] = ContextVar("in_call", default=False)


@dataclass(frozen=True, slots=True)
class Call:
    """What the client sends."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """A ``Host`` is added where there is none, and a ``Content-Length`` where nothing frames the body."""
    body: bytes = b""
    client: str = "127.0.0.1"
    """IP address it comes from."""
    scheme: Literal["http", "https"] = "http"
    """``https`` as if over TLS 1.3, asking for the host that the call is for (SNI), without a client certificate."""
    identity: Identity | None = None
    """Who calls, as if every method of authentication had found that out; credentials are not looked at then."""

    @property
    def host(self) -> str:
        """The host that it is for, with a port if it names one."""
        return next((value for name, value in self.headers if name.lower() == "host"), "localhost")

    @property
    def server_name(self) -> str | None:
        """What a client asks for in TLS: the host, unless it is an address (RFC 6066, 3)."""
        name = self.host.lower().rpartition(":")[0] if re.search(r":\d*$", self.host) else self.host.lower()
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return name
        return None


class StandingClock:
    """Stands at the moment it was made. A sleep during the call takes no time and moves it; other sleeps never end."""

    def __init__(self) -> None:
        self._moved = 0.0
        self._wall = time.time()

    def now(self) -> float:
        """Seconds slept during the call."""
        return self._moved

    def wall(self) -> float:
        """Unix time in seconds."""
        return self._wall + self._moved

    async def sleep(self, seconds: float) -> None:
        """Move on at once in the call; wait until cancelled in a task beside it."""
        if not _in_call.get():
            await asyncio.Event().wait()
        self._moved += max(0.0, seconds)
        await asyncio.sleep(0)


class _Always(Tracing):
    """Traces every call."""

    def reason(self, exchange: Exchange) -> str:
        super().reason(exchange)  # takes the header with the token out, as it is live
        return REASON


@cache
def installed() -> Catalogue:
    """Return the plugins that are installed, looked up once: many simulations in a row are the rule in tests."""
    return Catalogue()


class _Rehearsal(Gateway):
    """A gateway whose connections lead to mocks and whose hooks are recorded. It serves one call."""

    def __init__(self, mocks: Sequence[Mock] | None, identity: Identity | None = None) -> None:
        super().__init__(Source(Options()), installed(), StandingClock())
        self._identity = identity
        self._script = Script(mocks)
        self.http = MockClient(self._script, self)
        self.exchange: Exchange | None = None
        self.visits: list[Exchange] = []
        """Those that steps make to other routes."""
        self.sent: dict[int, Sent] = {}
        """By index of the attempt."""
        self.calls: list[Sent] = []
        """Of calls amid the call, and of visits."""

    async def stage(self, config: Configuration) -> None:
        """Put a configuration live.

        Raises:
            ConfigError: a plugin could not be started.
        """
        generation = await bring_up(self, self._without_network(config), 1)
        traces: Any = config.sections.get("trace")
        generation.detour = _Always(traces.record if traces is not None else TraceSection(), self.clock).detour
        for backend in generation.backends.values():
            setattr(backend.connection.retries, "pause", _at_once)  # noqa: B010 - for mypy it is no attribute to change
        self.go_live(generation)

    def _without_network(self, config: Configuration) -> Configuration:
        connections = {}
        for name, connection in config.connections.items():
            secrets: set[str] = set()
            for credential in connection.credentials:
                if hasattr(credential, "sign"):
                    note_signatures(credential, secrets)
            transport = MockTransport(self._script, self, secrets)
            transport.entry = connection.transport.entry
            targets = connection.targets or (_FOUND,)
            connections[name] = replace(
                connection, transport=transport, monitors=(), discovery=None, targets=tuple(targets)
            )
        if self._identity is not None:
            for plugin in config.instances.values():
                if plugin.entry.family == "auth":
                    setattr(plugin, "identify", lambda _: self._identity)  # noqa: B010 - for mypy it is no attribute
        return replace(
            config,
            observers=(),
            apps=(),
            secrets=(),
            exposed={},
            connections=connections,
            instances={
                key: plugin for key, plugin in config.instances.items() if plugin.entry.family not in _OFF_STAGE
            },
        )

    def note(self, outbound: Outbound, sent: Sent) -> None:
        """Take down what is sent: as that of an attempt, if it is the call's own body that goes out."""
        exchange = self.exchange
        if exchange is not None and outbound.body is exchange.request.body:
            self.sent[len(exchange.attempts) - 1] = sent
        else:
            self.calls.append(sent)

    def shown(self, sent: Sent) -> Sent:
        """Mask what the trace was told not to show."""
        trace: Trace | None = self.exchange.trace if self.exchange is not None else None
        if trace is None:
            return sent
        return replace(sent, query=trace.query(sent.query), headers=trace.head("request", sent.headers))

    def begin(self, request: Request) -> Exchange:
        """Take hold of the exchange; those of visits belong to it."""
        exchange = super().begin(request)
        if self.exchange is None:
            self.exchange = exchange
            exchange.identity = self._identity
        else:
            self.visits.append(exchange)
        return exchange

    async def reload(self) -> NoReturn:
        """Refuse: what is simulated is one document.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a simulation has no document to read again")


async def _at_once(attempt: int, due: object) -> None:
    """Pause before another attempt for no time."""


@dataclass
class _Client:
    """The client's end of the ASGI connection."""

    call: Call
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    asked: bool = False

    def scope(self) -> dict[str, Any]:
        call = self.call
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in call.headers]
        names = {name for name, _ in headers}
        if b"host" not in names:
            headers.insert(0, (b"host", call.host.encode("latin-1")))
        if call.body and not names & {b"content-length", b"transfer-encoding"}:
            headers.append((b"content-length", b"%d" % len(call.body)))
        tls = TlsFacts(call.server_name, "TLSv1.3", "TLS_AES_128_GCM_SHA256") if call.scheme == "https" else None
        return {
            "type": "http",
            "http_version": "1.1",
            "method": call.method,
            "scheme": call.scheme,
            "hookgate.tls": tls,
            "path": call.path,
            "raw_path": call.path.encode("latin-1"),
            "query_string": call.query.encode("latin-1"),
            "headers": headers,
            "client": (call.client, 0),
        }

    async def receive(self) -> dict[str, Any]:
        if self.asked:  # the client stays until it has its answer
            await asyncio.Event().wait()
        self.asked = True
        return {"type": "http.request", "body": self.call.body, "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [
                (name.lower().decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
            ]
        else:
            self.body += message["body"]


async def simulate(config: Configuration, call: Call, mocks: Sequence[Mock] | None = None) -> Simulation:
    """Take one call through a loaded configuration, which must not be live anywhere else.

    Steps, authentication, balancers, header actions and credentials start and run as they do live; observers, apps,
    discovery and monitors do not. Without ``mocks`` every backend answers 200 with what it received; calls by URL amid
    the call are answered only by mocks that name the URL.

    Raises:
        ConfigError: a plugin could not be started.
    """
    gateway = _Rehearsal(mocks, call.identity)
    client = _Client(call)
    try:
        await gateway.stage(config)
        token = _in_call.set(True)
        try:
            await Edge(gateway)(client.scope(), client.receive, client.send)
        finally:
            _in_call.reset(token)
        return _result(gateway, client)
    finally:
        await gateway.close()


def _result(gateway: _Rehearsal, client: _Client) -> Simulation:
    exchange, content = gateway.exchange, bytes(client.body)
    trace: Trace | None = exchange.trace if exchange is not None else None
    if exchange is None or trace is None:  # no call yet, or one too many: nothing of the flow has run
        told = _untraced(client, exchange)
    else:
        told = dict(trace.as_dict())
        told["attempts"] = [
            {**attempt, "sent": facts(gateway.shown(gateway.sent[index])) if index in gateway.sent else None}
            for index, attempt in enumerate(told["attempts"])
        ]
    if told["fault"] is not None and exchange is not None and exchange.fault is not None:
        told["fault"] = {**told["fault"], "detail": exchange.fault.detail}
    told["request"] = {**told["request"], "body_bytes": len(client.call.body)}
    told["response"] = {
        **(told["response"] or {"status": client.status, "headers": masked_head(client.headers), "bytes": 0}),
        "body": _text(content, trace),
        "body_bytes": len(content),
        "truncated": len(content) > SHOWN,
    }
    told["calls"] = [facts(gateway.shown(sent)) for sent in gateway.calls]
    told["visits"] = [visit.trace.as_dict() for visit in gateway.visits if visit.trace is not None]
    return Simulation(
        hide_in(told),
        [] if trace is None else [trace.shown(run) for run in trace.hooks],
        list(exchange.passed) if exchange is not None else [],
        content,
    )


def _untraced(client: _Client, exchange: Exchange | None) -> dict[str, Any]:
    """Tell of a call that no flow has seen, in the shape of a trace."""
    call, fault = client.call, exchange.fault if exchange is not None else None
    request: Mapping[str, Any] = {
        "method": call.method,
        "scheme": call.scheme,
        "host": call.host,
        "path": call.path,
        "query": masked_query(call.query),
        "headers": masked_head(call.headers),
        "client": call.client,
        "http_version": "1.1",
    }
    return {
        "id": "",
        "reason": "",
        "time": time.time(),
        "seconds": 0.0,
        "generation": 1,
        "request": request,
        **dict.fromkeys(("route", "api", "identity", "application", "plan", "answered_by", "response")),
        "params": {},
        "environment": "",
        **{name: [] for name in ("hooks", "notes", "callouts", "attempts")},
        "facts": {},
        "fault": None if fault is None else {"status": fault.status, "reason": fault.reason},
        "outcome": exchange.outcome if exchange is not None else "ok",
    }


def _text(body: bytes, trace: Trace | None) -> str | None:
    """Return the beginning of a body that is text, without what must not be shown."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return None
    if trace is None:
        return hide(body.decode())[:SHOWN]
    trace.body_limit = SHOWN
    return trace.body("response.body", body)
