"""The gateway that only rehearses: one call, from the edge to the mocks and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NoReturn

from hookgate.client import Client
from hookgate.config import Configuration
from hookgate.errors import ConnectFailed
from hookgate.exchange import Exchange
from hookgate.gateway import Gateway
from hookgate.http.asgi import Edge
from hookgate.messages import Request, Response
from hookgate.plugin import Options, Source
from hookgate.simulation.masking import masked_head, masked_query, note_signatures
from hookgate.simulation.mocks import Mock, MockTransport, Sent
from hookgate.simulation.trace import HookRun, Recorder

SHOWN = 2048
"""Bytes of the final body that a result shows."""
_OFF_STAGE = frozenset({"app", "discovery", "monitor", "observer", "source", "transport"})
"""Families with no part in a simulated call: they would write logs, answer on listeners or open connections."""

_in_call: ContextVar[bool] = ContextVar("in_call", default=False)


@dataclass(frozen=True, slots=True)
class Call:
    """What the client sends."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """Without those that frame the body; a ``Host`` is added where there is none."""
    body: bytes = b""
    client: str = "127.0.0.1"
    """IP address it comes from."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What became of a call. Secrets in queries and headers are masked."""

    request: Mapping[str, Any]
    """``method``, ``path``, ``query``, ``headers`` (pairs), ``body_bytes`` and ``client``, as the client sent them."""
    route: str | None
    """Name of the route that matched, if any."""
    params: Mapping[str, str]
    """Path parameters."""
    hooks: Sequence[HookRun]
    """In the order in which they ran."""
    passed: Sequence[str]
    """Ids of the steps that let the call pass on its way in."""
    answered_by: str
    """Id of the step that answered in place of the backend, or empty."""
    fault: Mapping[str, Any] | None
    """The last failure: ``status``, ``reason`` and ``detail``."""
    attempts: Sequence[Mapping[str, Any]]
    """``target``, ``outcome``, ``status``, ``error`` and ``sent``: ``method``, ``url``, ``headers``, ``body_bytes``, or
    ``None`` when nothing was sent."""
    response: Mapping[str, Any]
    """``status``, ``headers`` (pairs), ``body_bytes``, ``body`` (the first 2 KiB as text, ``None`` if it is none) and
    ``truncated``."""
    outcome: str
    """``ok``, or how the answer broke off."""

    def as_dict(self) -> dict[str, Any]:
        """Return what ``hookgate simulate --json`` prints."""
        return asdict(self)


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


class _NoClient(Client):
    """Refuses to call anybody."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Response:
        """Refuse.

        Raises:
            ConnectFailed: always.
        """
        raise ConnectFailed("A simulation calls nobody.", reason="simulated")


class _Rehearsal(Gateway):
    """A gateway whose connections lead to mocks and whose hooks are recorded. It serves one call."""

    def __init__(self, mocks: Sequence[Mock] | None) -> None:
        super().__init__(Source(Options()), clock=StandingClock())
        self.http = _NoClient()
        self.recorder = Recorder()
        self.exchange: Exchange | None = None
        self.sent: dict[int, Sent] = {}
        """By index of the attempt."""
        self._mocks = mocks

    async def stage(self, config: Configuration) -> None:
        """Put a configuration live.

        Raises:
            ConfigError: a plugin could not be started.
        """
        generation = await self._bring_up(self._without_network(config))
        flows = [generation.unrouted, *(route.route.flow for route in generation.config.routes)]
        for flow in flows:
            self.recorder.attach(flow)
        self._swap(generation)

    def _without_network(self, config: Configuration) -> Configuration:
        connections = {}
        for name, connection in config.connections.items():
            secrets: set[str] = set()
            for credential in connection.credentials:
                note_signatures(credential, secrets)
            transport = MockTransport(self._mocks, self._note, secrets)
            transport.entry = connection.transport.entry
            connections[name] = replace(connection, transport=transport, monitor=None)
        return replace(
            config,
            observers=(),
            apps=(),
            exposed={},
            connections=connections,
            instances={
                key: plugin for key, plugin in config.instances.items() if plugin.entry.family not in _OFF_STAGE
            },
        )

    def _note(self, sent: Sent) -> None:
        if self.exchange is not None:
            self.sent[len(self.exchange.attempts) - 1] = sent

    def begin(self, request: Request) -> Exchange:
        """Take hold of the exchange."""
        self.exchange = super().begin(request)
        return self.exchange

    async def reload(self) -> NoReturn:
        """Refuse: what is simulated is one document.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a simulation has no document to read again")


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
        if not any(name == b"host" for name, _ in headers):
            headers.insert(0, (b"host", b"localhost"))
        if call.body:
            headers.append((b"content-length", b"%d" % len(call.body)))
        return {
            "type": "http",
            "http_version": "1.1",
            "method": call.method,
            "scheme": "http",
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

    Steps, authentication, balancers, header actions and credentials start and run as they do live; observers, apps and
    monitors do not. Without ``mocks`` every backend answers 200 with what it received.

    Raises:
        ConfigError: a plugin could not be started.
    """
    gateway = _Rehearsal(mocks)
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
    call, exchange = client.call, gateway.exchange
    fault = exchange.fault if exchange is not None else None
    return Simulation(
        request={
            "method": call.method,
            "path": call.path,
            "query": masked_query(call.query),
            "headers": masked_head(call.headers),
            "body_bytes": len(call.body),
            "client": call.client,
        },
        route=exchange.route.name if exchange is not None and exchange.route is not None else None,
        params=dict(exchange.params) if exchange is not None else {},
        hooks=gateway.recorder.runs,
        passed=list(exchange.passed) if exchange is not None else [],
        answered_by=exchange.answered_by if exchange is not None else "",
        fault=None if fault is None else {"status": fault.status, "reason": fault.reason, "detail": fault.detail},
        attempts=[] if exchange is None else list(_attempts(exchange, gateway.sent)),
        response={
            "status": client.status,
            "headers": masked_head(client.headers),
            "body_bytes": len(client.body),
            "body": _text(bytes(client.body)),
            "truncated": len(client.body) > SHOWN,
        },
        outcome=exchange.outcome if exchange is not None else "ok",
    )


def _attempts(exchange: Exchange, sent: Mapping[int, Sent]) -> list[dict[str, Any]]:
    return [
        {
            "target": attempt.target.url,
            "outcome": attempt.outcome.kind if attempt.outcome is not None else "aborted",
            "status": attempt.outcome.status if attempt.outcome is not None else None,
            "error": attempt.outcome.error if attempt.outcome is not None else "",
            "sent": asdict(sent[index]) if index in sent else None,
        }
        for index, attempt in enumerate(exchange.attempts)
    ]


def _text(body: bytes) -> str | None:
    """Return the beginning of a body that is text."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return None
    return body[:SHOWN].decode(errors="ignore")
