"""Named, shared connections: pick a target, prepare the attempt, send it, record how it went.

A connection does no I/O of its own; it hands attempts to its transport. The order for each attempt is fixed: target,
Host, framing and forwarded headers first, then the header actions as written, then the credentials as written (AC-15,
AC-22).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from hookgate.clock import Clock
from hookgate.errors import (
    BadGateway,
    ConnectFailed,
    ContentTooLarge,
    Fault,
    GatewayTimeout,
    PluginError,
    ServiceUnavailable,
)
from hookgate.exchange import Attempt, Due, Exchange, Health, Outbound, Outcome, OutcomeKind, Target, Timeouts
from hookgate.forwarding import end_to_end, onward
from hookgate.messages import Headers, Response
from hookgate.plugin import Balancer, Credential, HeaderProvider, Monitor, Transport
from hookgate.viaforwarded import Disclosure, add_forwarded, add_via

log = logging.getLogger("hookgate.connection")

_NONE: set[Target] = set()
Judge = Callable[[Target, Health], None]


@dataclass(frozen=True, slots=True)
class HeaderAction:
    """What a connection does to one header of every attempt (AC-19)."""

    action: Literal["add", "set", "remove"]
    name: str
    provider: HeaderProvider[Any] | None = None


class Bounds(NamedTuple):
    """Sizes of the bodies on a route, in bytes."""

    request: int = sys.maxsize
    response: int = sys.maxsize
    kept: int = 8 * 1024 * 1024
    """What a hook may read whole."""


UNBOUNDED = Bounds()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a route sends its calls: a path on a connection, with the route's own time limit."""

    path: Callable[[dict[str, str]], str] | None = None
    """Makes the path from the path parameters; ``None`` keeps the path of the request."""
    timeout: float | None = None
    """Seconds from sending until the response is complete, over all tries (FL-15)."""
    timeout_status: int = 502
    """What the client gets then: 502 by FL-15, or 504 (X1)."""
    preserve_host: bool = False
    stream: bool = False
    """The time limit ends at the response head."""
    bounds: Bounds = UNBOUNDED
    """Sizes of bodies."""


class DestinationTimeout(GatewayTimeout):
    """The destination's time limit ran out, answered 502 where FL-15 speaks."""

    status = 502
    default_reason = "destination-timeout"


class Connection:
    """A backend and the way to it. One pool, one balancer, one health state, shared by every route that names it."""

    def __init__(
        self,
        name: str,
        targets: Sequence[Target],
        transport: Transport[Any],
        *,
        balancer: Balancer[Any] | None = None,
        monitor: Monitor[Any] | None = None,
        actions: Iterable[HeaderAction] = (),
        credentials: Iterable[Credential[Any]] = (),
        base_path: str = "/",
        max_tries: int = 1,
        timeouts: Timeouts | None = None,
        on_all_unhealthy: Literal["fail", "use_all"] = "fail",
        disclosure: Disclosure = Disclosure(),  # noqa: B008 - it cannot be changed
        tags: tuple[str, ...] = (),
        clock: Clock,
    ) -> None:
        self.name = name
        self.targets = list(targets)
        self.transport = transport
        self.balancer = balancer
        self.monitor = monitor
        self.actions = tuple(actions)
        self.credentials = tuple(credentials)
        self.base_path = base_path.rstrip("/")
        self.max_tries = max_tries
        self.timeouts = timeouts or Timeouts()
        self.on_all_unhealthy = on_all_unhealthy
        self.disclosure = disclosure
        self.tags = tags
        self.clock = clock
        plugins = [*(a.provider for a in self.actions if a.provider is not None), *self.credentials]
        self._signing = [credential for credential in self.credentials if hasattr(credential, "sign")]
        self._renewing = [credential for credential in self.credentials if hasattr(credential, "rejected")]
        self._keeps_body = any("request.body" in plugin.reads for plugin in plugins)
        self.inline = transport.inline and not any(
            inspect.iscoroutinefunction(getattr(plugin, hook, None))
            for plugin in plugins
            for hook in ("value", "sign", "rejected")
        )
        """Whether a call waits for nothing that needs a task."""
        self._chosen = getattr(balancer, "chosen", None)
        self._release = getattr(balancer, "release", None)
        self._observe = getattr(monitor, "observe", None)
        self.judge: Judge | None = None
        """Told what passive observation found; the health watch sets it."""

    def send(self, exchange: Exchange, destination: Destination) -> Coroutine[Any, Any, Response]:
        """Call the backend for an exchange, trying other targets while nothing was sent (AC-7).

        Raises:
            ServiceUnavailable: no target may be called.
            ConnectFailed: no target could be reached in ``max_tries`` attempts.
            GatewayTimeout: a time limit ran out before the head of the response.
            BadGateway: the backend broke off or answered nonsense.
        """
        if destination.timeout is None:
            return self._try(exchange, destination, None)
        due = Due(asyncio.get_running_loop().time() + destination.timeout, lambda: _out_of_time(destination))
        return self._try(exchange, destination, due) if self.inline else self._within(exchange, destination, due)

    async def _within(self, exchange: Exchange, destination: Destination, due: Due) -> Response:
        """Keep the time of a destination where signing or sending does not do so itself."""
        try:
            async with asyncio.timeout_at(due.at) as bound:
                return await self._try(exchange, destination, due)
        except TimeoutError:
            if bound.expired():
                raise due.fault() from None
            raise

    async def _try(self, exchange: Exchange, destination: Destination, due: Due | None) -> Response:
        exchange.connection = self
        bounds = destination.bounds
        length = exchange.request.body.length
        if length is not None and length > bounds.request:
            raise ContentTooLarge(f"The body is {length} bytes long; this route takes at most {bounds.request} bytes.")
        tried: set[Target] = _NONE
        again = False
        attempt = 0
        while True:
            attempt += 1
            target = exchange.target = self._pick(exchange, tried)
            try:
                outbound = self._outbound(exchange, target, destination, attempt)
                response = await self._attempt(exchange, outbound, destination, due)
            except ConnectFailed:
                if attempt >= self.max_tries:
                    raise
                tried = tried | {target}
                log.info("%s: %s cannot be reached, trying another target", self.name, target.url)
                continue
            if (
                response.status == 401
                and self._renewing
                and not again
                and await self._renewed(exchange, outbound, response)
            ):
                again = True
                await response.body.close()
                continue
            break
        if self.disclosure.via is not None:
            response.headers.raw = raw = list(response.headers.raw)
            add_via(raw, self.disclosure.via)
        body = response.body
        length = body.length
        if length is not None and length > bounds.response:
            refusal = BadGateway(f"The answer is {length} bytes long, more than this route takes.", reason="too-large")
            await body.close(refusal)
            raise refusal
        if body.held is None:
            body.limit, body.keep_limit = bounds.response, bounds.kept
        return response

    def _pick(self, exchange: Exchange, tried: set[Target]) -> Target:
        targets = self.targets
        if len(targets) == 1:  # one target: health informs and blocks nothing (HC-5)
            if not targets[0].active or not targets[0].weight:
                raise self._unavailable("no-active-target", "No target of this connection is active.")
            fresh = targets
        else:
            fresh = self._usable(tried)
        if self.balancer is None:
            return fresh[0]
        target: Target | None = self.balancer.pick(exchange, fresh)  # type: ignore[attr-defined]
        if target is None:
            raise self._unavailable("balancer-refused", "No target takes this call now.")
        if target not in fresh:
            raise PluginError("picked a target it was not offered", plugin=self.balancer.entry.id, hook="pick")
        return target

    def _usable(self, tried: set[Target]) -> list[Target]:
        usable = [target for target in self.targets if target.active and target.weight > 0]
        if not usable:
            raise self._unavailable("no-active-target", "No target of this connection is active.")
        healthy = [target for target in usable if target.health.healthy]
        if not healthy and self.on_all_unhealthy == "fail":
            raise self._unavailable("all-targets-unhealthy", "No target of this connection is healthy.")
        usable = healthy or usable
        return [target for target in usable if target not in tried] or usable

    @staticmethod
    def _unavailable(reason: str, detail: str) -> ServiceUnavailable:
        return ServiceUnavailable(detail, reason=reason, headers={"x-hookgate-reason": reason})

    def _outbound(self, exchange: Exchange, target: Target, destination: Destination, attempt: int) -> Outbound:
        request = exchange.request
        host = request.host if destination.preserve_host else target.host_name
        told = self.disclosure
        raw = onward(request, host.encode(), add_forwarded=told.x_forwarded)
        if told.forwarded:
            add_forwarded(raw, request)
        if told.via is not None:
            add_via(raw, told.via, request.http_version)
        path = destination.path(exchange.params) if destination.path is not None else request.path
        outbound = Outbound(
            request.method,
            target,
            self.base_path + path,
            request.query,
            Headers.of(raw),
            request.body,
            self.timeouts,
            self.name,
            attempt,
        )
        if request.upgrade:
            outbound.upgrade = request.upgrade
        return outbound

    async def _attempt(
        self, exchange: Exchange, outbound: Outbound, destination: Destination, due: Due | None
    ) -> Response:
        target = outbound.target
        record = Attempt(target, None, self.name, self.clock.now())
        exchange.attempts.append(record)
        target.in_flight += 1
        ending = _Ending(self, record)
        try:
            if self.actions or self.credentials:
                await self.prepare(exchange, outbound)
            limit = self.timeouts.request
            if limit is not None:
                at = asyncio.get_running_loop().time() + limit
                if due is None or at < due.at:
                    due = Due(at, _too_slow)
            outbound.due = due
            if self.transport.inline:
                response: Response = await self.transport.send(outbound)  # type: ignore[attr-defined]
            else:
                response = await self._bounded(outbound)
                response.headers.raw = end_to_end(response.headers.raw)
        except BaseException as error:
            ending(error)
            raise
        record.head_at = self.clock.now()
        ending.status = response.status
        body = response.body
        if body.held is not None and response.tunnel is None:  # all of it is here
            ending(None)
        else:
            body.on_close(ending)
        if body.held is None and due is not None:
            if _is_stream(response, destination):
                outbound.due = None
            elif not self.transport.inline:
                body.wrap(lambda source: _Until(source, due))
        if self._chosen is not None:
            self._chosen(exchange, target, response)
        return response

    async def _bounded(self, outbound: Outbound) -> Response:
        """Keep the time of a transport that does not do so itself."""
        due = outbound.due
        try:
            async with asyncio.timeout_at(None if due is None else due.at) as bound:
                response: Response = await self.transport.send(outbound)  # type: ignore[attr-defined]
        except TimeoutError:
            if due is not None and bound.expired():
                raise due.fault() from None
            raise
        return response

    async def prepare(self, exchange: Exchange, outbound: Outbound) -> None:
        """Run the header actions, then the credentials, each in the order written.

        Raises:
            PluginError: one of them failed; the attempt is not sent without it.
        """
        if self._keeps_body and outbound.body.held is None:
            await outbound.body.read()
        for action in self.actions:
            if action.provider is None:
                outbound.headers.remove(action.name)
                continue
            value = await _asked(action.provider, "value", exchange, outbound)
            if value is None:
                continue
            try:
                getattr(outbound.headers, action.action)(action.name, value)
            except (ValueError, AttributeError, TypeError) as error:
                raise PluginError(str(error), plugin=action.provider.entry.id, hook="value") from error
        for credential in self._signing:
            await _asked(credential, "sign", exchange, outbound)

    async def _renewed(self, exchange: Exchange, outbound: Outbound, response: Response) -> bool:
        if not (outbound.body.replayable or outbound.body.empty):
            return False
        answers = [await _asked(each, "rejected", exchange, outbound, response) for each in self._renewing]
        return any(answers)

    def ended(self, target: Target, outcome: Outcome) -> None:
        """An attempt is over: tell the balancer and, where it watches, the monitor."""
        target.in_flight -= 1
        if self._release is None and self._observe is None:
            return
        try:
            if self._release is not None:
                self._release(target, outcome)
            if self._observe is not None and self.judge is not None:
                health = self._observe(target, outcome)
                if health is not None:
                    self.judge(target, health)
        except Exception:
            log.exception("%s: a balancer or monitor failed when a call ended", self.name)


class _Ending:
    """Told once how an attempt ended: when it failed, or when the body of its response is through."""

    __slots__ = ("_connection", "_record", "status")

    def __init__(self, connection: Connection, record: Attempt) -> None:
        self._connection = connection
        self._record = record
        self.status: int | None = None

    def __call__(self, error: BaseException | None) -> None:
        connection, record = self._connection, self._record
        if record.outcome is None:
            seconds = connection.clock.now() - record.started
            kind: OutcomeKind = "ok" if error is None else outcome_of(error)
            head = None if record.head_at is None else record.head_at - record.started
            record.outcome = Outcome(kind, self.status, seconds, "" if error is None else str(error), head)
            connection.ended(record.target, record.outcome)


async def _asked(plugin: Any, hook: str, *arguments: Any) -> Any:
    try:
        result = getattr(plugin, hook)(*arguments)
        return await result if inspect.isawaitable(result) else result
    except Fault:
        raise
    except Exception as error:
        raise PluginError(f"{type(error).__name__}: {error}", plugin=plugin.entry.id, hook=hook) from error


def outcome_of(error: BaseException | None) -> OutcomeKind:
    """Name the way an attempt ended by what it ended with."""
    if error is None:
        return "ok"
    if isinstance(error, ConnectFailed):
        return "connect-failed"
    if isinstance(error, GatewayTimeout | TimeoutError):
        return "timeout"
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "aborted"
    return "broken"


def _is_stream(response: Response, destination: Destination) -> bool:
    """Whether the total limit ends at the head, since the body may rightly go on for hours."""
    return destination.stream or (response.headers.get("content-type") or "").startswith("text/event-stream")


def _out_of_time(destination: Destination) -> Fault:
    kind = GatewayTimeout if destination.timeout_status == 504 else DestinationTimeout
    return kind("The destination did not answer in time.", reason="destination-timeout")


def _too_slow() -> Fault:
    return GatewayTimeout("The backend did not answer in time.", reason="request-timeout")


class _Until:
    """Passes chunks on until they are due. A class, since closing a generator that was never started would leave the
    source open."""

    __slots__ = ("_chunks", "_due")

    def __init__(self, source: AsyncIterable[bytes], due: Due) -> None:
        self._chunks = aiter(source)
        self._due = due

    def __aiter__(self) -> _Until:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._due.at) as bound:
                return await anext(self._chunks)
        except TimeoutError:
            raise (self._due.fault() if bound.expired() else BadGateway("The backend stopped answering.")) from None

    async def aclose(self) -> None:
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()
