"""Named, shared connections: pick a target, prepare the attempt, send it, record how it went.

A connection does no I/O of its own; it hands attempts to its transport. The order for each attempt is fixed: target,
Host, framing and forwarded headers first, then the header actions as written, then the credentials as written (AC-15,
AC-22).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hookgate.clock import Clock
from hookgate.errors import BadGateway, ConnectFailed, Fault, GatewayTimeout, PluginError, ServiceUnavailable
from hookgate.exchange import Attempt, Due, Exchange, Health, Outbound, Outcome, OutcomeKind, Target, Timeouts
from hookgate.forwarding import forwarded, without_hop_by_hop
from hookgate.messages import Response
from hookgate.plugin import Balancer, Credential, HeaderProvider, Monitor, Transport

log = logging.getLogger("hookgate.connection")

_EXPECT_A_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose empty body is told as such (RFC 9110, 8.6)."""

Judge = Callable[[Target, Health], None]


@dataclass(frozen=True, slots=True)
class HeaderAction:
    """What a connection does to one header of every attempt (AC-19)."""

    action: Literal["add", "set", "remove"]
    name: str
    provider: HeaderProvider[Any] | None = None


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
        add_forwarded: bool = True,
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
        self.add_forwarded = add_forwarded
        self.tags = tags
        self.clock = clock
        plugins = [*(a.provider for a in self.actions if a.provider is not None), *self.credentials]
        self.inline = transport.inline and not any(
            inspect.iscoroutinefunction(getattr(plugin, hook, None))
            for plugin in plugins
            for hook in ("value", "sign", "rejected")
        )
        """Whether a call waits for nothing that needs a task."""
        self.judge: Judge | None = None
        """Told what passive observation found; the health watch sets it."""

    async def send(self, exchange: Exchange, destination: Destination) -> Response:
        """Call the backend for an exchange, trying other targets while nothing was sent (AC-7).

        Raises:
            ServiceUnavailable: no target may be called.
            ConnectFailed: no target could be reached in ``max_tries`` attempts.
            GatewayTimeout: a time limit ran out before the head of the response.
            BadGateway: the backend broke off or answered nonsense.
        """
        if destination.timeout is None:
            return await self._try(exchange, destination, None)
        at = asyncio.get_running_loop().time() + destination.timeout
        due = Due(at, lambda: _out_of_time(destination))
        if self.inline:
            return await self._try(exchange, destination, due)
        try:
            async with asyncio.timeout_at(at) as bound:
                return await self._try(exchange, destination, due)
        except TimeoutError:
            if bound.expired():
                raise due.fault() from None
            raise

    async def _try(self, exchange: Exchange, destination: Destination, due: Due | None) -> Response:
        tried: set[Target] = set()
        again = False
        attempt = 0
        while True:
            attempt += 1
            target = exchange.target = self._pick(exchange, tried)
            tried.add(target)
            try:
                outbound = self._outbound(exchange, target, destination, attempt)
                response = await self._attempt(exchange, outbound, destination, due)
            except ConnectFailed:
                if attempt >= self.max_tries:
                    raise
                log.info("%s: %s cannot be reached, trying another target", self.name, target.url)
                continue
            if response.status == 401 and not again and await self._renewed(exchange, outbound, response):
                again = True
                tried.discard(target)
                await response.body.close()
                continue
            return response

    def _pick(self, exchange: Exchange, tried: set[Target]) -> Target:
        usable = [target for target in self.targets if target.active and target.weight > 0]
        if not usable:
            raise self._unavailable("no-active-target", "No target of this connection is active.")
        if len(self.targets) > 1:  # one target: health informs and blocks nothing (HC-5)
            healthy = [target for target in usable if target.health.healthy]
            if not healthy and self.on_all_unhealthy == "fail":
                raise self._unavailable("all-targets-unhealthy", "No target of this connection is healthy.")
            usable = healthy or usable
        fresh = [target for target in usable if target not in tried] or usable
        if self.balancer is None:
            return fresh[0]
        target: Target | None = self.balancer.pick(exchange, fresh)  # type: ignore[attr-defined]
        if target is None:
            raise self._unavailable("balancer-refused", "No target takes this call now.")
        if target not in fresh:
            raise PluginError("picked a target it was not offered", plugin=self.balancer.entry.id, hook="pick")
        return target

    @staticmethod
    def _unavailable(reason: str, detail: str) -> ServiceUnavailable:
        return ServiceUnavailable(detail, reason=reason, headers={"x-hookgate-reason": reason})

    def _outbound(self, exchange: Exchange, target: Target, destination: Destination, attempt: int) -> Outbound:
        request = exchange.request
        headers = without_hop_by_hop(request.headers)
        headers.remove("host", "content-length", "expect")
        headers.raw.insert(0, (b"host", (request.host if destination.preserve_host else target.host_name).encode()))
        if request.body.length is None:
            headers.raw.append((b"transfer-encoding", b"chunked"))
        elif request.body.length or request.method in _EXPECT_A_BODY:
            headers.raw.append((b"content-length", b"%d" % request.body.length))
        if self.add_forwarded:
            forwarded(headers, request)
        path = destination.path(exchange.params) if destination.path is not None else request.path
        return Outbound(
            request.method,
            target,
            self.base_path + path,
            request.query,
            headers=headers,
            body=request.body,
            timeouts=self.timeouts,
            connection=self.name,
            attempt=attempt,
        )

    async def _attempt(
        self, exchange: Exchange, outbound: Outbound, destination: Destination, due: Due | None
    ) -> Response:
        target = outbound.target
        record = Attempt(target, connection=self.name)
        exchange.attempts.append(record)
        target.in_flight += 1
        started = self.clock.now()
        ended = False

        def end(error: BaseException | None, status: int | None = None) -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            target.in_flight -= 1
            record.outcome = Outcome(outcome_of(error), status, self.clock.now() - started, str(error or ""))
            self._release(target, record.outcome)

        try:
            await self.prepare(exchange, outbound)
            limit = self.timeouts.request
            if limit is not None:
                at = asyncio.get_running_loop().time() + limit
                if due is None or at < due.at:
                    due = Due(at, _too_slow)
            outbound.due = due
            response = await (self.transport.send(outbound) if self.transport.inline else self._bounded(outbound))  # type: ignore[attr-defined]
        except BaseException as error:
            end(error)
            raise
        response.headers = without_hop_by_hop(response.headers)
        if due is not None:
            if _is_stream(response, destination):
                outbound.due = None
            elif not self.transport.inline:
                response.body.wrap(lambda source: _Until(source, due))
        response.body.on_close(lambda error: end(error, response.status))
        if self.balancer is not None and hasattr(self.balancer, "chosen"):
            self.balancer.chosen(exchange, target, response)
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
        for credential in self.credentials:
            await _asked(credential, "sign", exchange, outbound)

    async def _renewed(self, exchange: Exchange, outbound: Outbound, response: Response) -> bool:
        if not (outbound.body.replayable or outbound.body.empty):
            return False
        answers = [
            await _asked(credential, "rejected", exchange, outbound, response)
            for credential in self.credentials
            if hasattr(credential, "rejected")
        ]
        return any(answers)

    def _release(self, target: Target, outcome: Outcome) -> None:
        try:
            if self.balancer is not None and hasattr(self.balancer, "release"):
                self.balancer.release(target, outcome)
            if self.monitor is not None and self.judge is not None and hasattr(self.monitor, "observe"):
                health = self.monitor.observe(target, outcome)
                if health is not None:
                    self.judge(target, health)
        except Exception:
            log.exception("%s: a balancer or monitor failed when a call ended", self.name)


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
