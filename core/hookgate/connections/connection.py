"""Named, shared connections: pick a target, prepare the attempt, send it, record how it went.

A connection does no I/O of its own; it hands attempts to its transport. The order for each attempt is fixed: target,
Host, framing and forwarded headers first, then the header actions as written, then the credentials as written (AC-15,
AC-22).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from hookgate.connections.asking import Failing, checked_health, checked_response, failed
from hookgate.connections.attempts import Closing, Silence, Until
from hookgate.connections.choice import TargetChoice
from hookgate.connections.destination import Destination
from hookgate.connections.preparing import HeaderAction, Preparation
from hookgate.connections.retrying import AGAIN, Retries, RetrySection
from hookgate.contract.backends import Balancer, Credential, Monitor, Transport
from hookgate.contract.clock import Clock
from hookgate.exchange.bodies import Body
from hookgate.exchange.errors import ContentTooLarge, Fault, GatewayTimeout, ServiceUnavailable, Unsendable
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Headers, Request, Response
from hookgate.exchange.outbound import Attempt, Due, Health, Outbound, Outcome, OutcomeKind, Target, Timeouts
from hookgate.exchange.streams import Owner
from hookgate.flow.paths import as_received
from hookgate.http.forwarding import BODILESS, Disclosure, add_forwarded, add_via, end_to_end, onward, without_content

log = logging.getLogger("hookgate.connection")

_NONE: set[Target] = set()
ANSWER_LIMIT = 8 * 1024 * 1024
"""Bytes of an answer to a call of the house itself."""
EARLY = 0.005  # seconds that a timer may be
ONLY_CONNECTING = RetrySection()
"""What is tried again where nothing else is said."""
Judge = Callable[[Monitor[Any], Target, Health], None]


class Connection:
    """A backend and the way to it. One pool, one balancer, one health state, shared by every route that names it."""

    def __init__(
        self,
        name: str,
        targets: Sequence[Target],
        transport: Transport[Any],
        *,
        balancer: Balancer[Any] | None = None,
        monitors: Sequence[Monitor[Any]] = (),
        actions: Iterable[HeaderAction] = (),
        credentials: Iterable[Credential[Any]] = (),
        base_path: str = "/",
        host: str = "",
        max_tries: int = 1,
        retry: RetrySection = ONLY_CONNECTING,
        timeouts: Timeouts | None = None,
        beside: Timeouts | None = None,
        on_all_unhealthy: Literal["fail", "use_all"] = "fail",
        slow_start: float = 0.0,
        disclosure: Disclosure = Disclosure(),  # noqa: B008 - it cannot be changed
        tags: tuple[str, ...] = (),
        labels: Mapping[str, str] | None = None,
        extensions: Mapping[str, Any] | None = None,
        hook_timeout: float = 30.0,
        clock: Clock,
    ) -> None:
        self.name = name
        self.transport = transport
        self.balancer = balancer
        self.monitors = tuple(monitors)
        self.choice = TargetChoice(
            targets, balancer, monitors, on_all_unhealthy=on_all_unhealthy, slow_start=slow_start, clock=clock
        )
        self.preparation = Preparation(actions, credentials, hook_timeout)
        self.credentials = self.preparation.credentials
        self.base_path = base_path.rstrip("/")
        self.host = host
        """What backends are told in ``Host``; empty for the name of the target."""
        self.retries = Retries(retry, max_tries)
        self.timeouts = timeouts or Timeouts()
        self.beside = beside or self.timeouts
        """What holds beside the time limit of a destination: without it, a default would cut that short (FL-17)."""
        self.disclosure = disclosure
        self.tags = tags
        self.labels = labels or {}
        self.extensions = extensions or {}
        self.clock = clock
        self.inline = transport.inline and not any(
            inspect.iscoroutinefunction(getattr(plugin, hook, None))
            for plugin in self.preparation.plugins
            for hook in ("value", "sign", "rejected")
        )
        """Whether a call waits for nothing that needs a task."""
        self._chosen = getattr(balancer, "chosen", None)
        self._release = getattr(balancer, "release", None)
        self._observers = [(monitor, monitor.observe) for monitor in monitors if hasattr(monitor, "observe")]
        self._hearing = [(monitor, monitor.begun) for monitor in monitors if hasattr(monitor, "begun")]
        self.judge: Judge | None = None
        """Told what passive observation found; the health watch sets it."""
        self.failing = Failing(name)
        self.counts = dict.fromkeys(
            ("calls", "tries", *get_args(OutcomeKind), "southbound_errors", "northbound_errors"), 0
        )
        """Calls, attempts, attempts by how they ended, and answers of 500 and above (HC-20), since this connection was
        made."""

    @property
    def targets(self) -> list[Target]:
        """The addresses there are now; discovery puts others here."""
        return self.choice.targets

    @targets.setter
    def targets(self, targets: list[Target]) -> None:
        self.choice.targets = targets

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
        due = Due(asyncio.get_running_loop().time() + destination.timeout, destination.out_of_time)
        return self._try(exchange, destination, due) if self.inline else self._within(exchange, destination, due)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Response:
        """Call the backend for the house itself, over the same pool and with the same credentials as calls of clients
        (HC-1, HC-2); return the answer with its body read, of at most ``ANSWER_LIMIT`` bytes.

        ``url`` is a path with a query if need be, put behind ``base_path``. ``timeout`` bounds the whole call, over all
        tries, in seconds.

        Raises:
            ValueError: the URL names a host (HC-3), so that no credentials of this connection go to another one.
            Fault: as :meth:`send`.
        """
        if not url.startswith("/") or url.startswith("//") or "#" in url:
            raise ValueError(f"{url!r} is no path on the connection {self.name}: write /path or /path?query")
        path, _, query = url.partition("?")
        exchange = Exchange(Request(method, path, query, headers=Headers(headers or {}), body=Body(body)))
        response = await self.send(exchange, Destination(timeout=timeout, timeout_status=504))
        try:
            await response.body.read(ANSWER_LIMIT)
        except BaseException:
            await response.body.close()
            raise
        await response.body.close()
        return response

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
        self.counts["calls"] += 1
        request, bounds, retries = exchange.request, destination.bounds, self.retries
        body = request.body
        if body.length is not None and body.length > bounds.request:
            detail = f"The body is {body.length} bytes long; this route takes at most {bounds.request} bytes."
            raise ContentTooLarge(detail)
        if retries.after_sending:
            retries.begun()
        if (retries.after_sending or self.preparation.renewing) and retries.keeps(body):
            await body.read()
        tried: set[Target] = _NONE
        again: Target | None = None
        renewed = False
        failure: Fault | Response | None = None
        attempt = 0
        while True:
            attempt += 1
            try:
                left_out = tried if again is None else {*self.targets} - {again}
                target = exchange.target = self.choice.pick(exchange, left_out)
            except ServiceUnavailable:
                if isinstance(failure, Fault):
                    raise failure from None
                raise
            try:
                outbound = self._outbound(exchange, target, destination, attempt)
            except BaseException as error:  # what a step left there cannot be sent
                target.in_flight += 1
                self.ended(target, Outcome("aborted", error=str(error)))
                raise
            try:
                response = failure = await self._attempt(exchange, outbound, destination, due)
            except Fault as fault:
                failure = fault
            else:
                if response.status == 401 and self.preparation.renewing and not renewed:
                    renewed = await self.preparation.renewed(exchange, outbound, response)
                    if renewed:
                        exchange.attempts[-1].verdict = "sent again: credentials were renewed"
                        await response.body.close()
                        again = target  # what its answer told need not hold for another one
                        continue
                if not (retries.after_sending and retries.wants(response.status)):
                    break
            record = exchange.attempts[-1]
            ended = record.outcome.kind if record.outcome is not None else "ok"
            kind = failure.status if isinstance(failure, Response) else ended
            unsure = getattr(failure, "may_be_done", False)
            verdict = record.verdict = retries.verdict(outbound, kind, attempt, due, unsure=unsure)
            if verdict is not AGAIN:
                if isinstance(failure, Response):
                    break
                raise failure
            log.info("%s: %s failed (%s), trying again", self.name, target.url, _how(failure))
            if isinstance(failure, Response):
                await failure.body.close()
            tried, again = tried | {target}, None
            await retries.pause(attempt, due)
        if self.disclosure.via is not None:
            response.headers.raw = raw = list(response.headers.raw)
            add_via(raw, self.disclosure.via)
        answer = response.body
        length = answer.length
        if length is not None and length > bounds.response:
            refusal = Unsendable(f"The answer is {length} bytes long, more than this route takes.", reason="too-large")
            await answer.close(refusal)
            raise refusal
        if answer.held is None:
            answer.limit, answer.keep_limit = bounds.response, bounds.kept
        return response

    def _outbound(self, exchange: Exchange, target: Target, destination: Destination, attempt: int) -> Outbound:
        request = exchange.request
        host = request.host if destination.preserve_host else self.host or target.host_name
        told = self.disclosure
        raw = onward(request, host.encode(), add_forwarded=told.x_forwarded and exchange.route is not None)
        if told.forwarded and exchange.route is not None:
            add_forwarded(raw, request)
        if told.via is not None:
            add_via(raw, told.via, request.http_version)
        if destination.path is not None:
            path = destination.prefix + destination.path(exchange.params)
        else:
            path, received = request.path, request.received
            if "%" in received and not received.startswith(path):
                path = as_received(received, path, destination.cut)
            if destination.cut or destination.prefix:
                path = destination.prefix + (path[destination.cut :] or "/")
            elif received[-1:] == "?" and received == f"{path}?" and not (request.query or self.credentials):
                path = received  # an empty query, too, may be signed
        method, body = request.method, request.body
        if destination.method and method not in (destination.method, "HEAD" if destination.method == "GET" else ""):
            method = destination.method
            if method in BODILESS:
                raw, body = without_content(raw), Body()
        outbound = Outbound(
            method,
            target,
            self.base_path + path,
            request.query,
            request.headers.of(raw),
            body,
            self.timeouts if destination.timeout is None else self.beside,
            self.name,
            attempt,
        )
        outbound.interim = exchange.inform
        if request.upgrade and method == request.method:
            outbound.upgrade = request.upgrade
        return outbound

    async def _attempt(
        self, exchange: Exchange, outbound: Outbound, destination: Destination, due: Due | None
    ) -> Response:
        target = outbound.target
        record = Attempt(target, None, self.name, self.clock.now())
        exchange.attempts.append(record)
        target.in_flight += 1
        ending = Closing(record, self.clock, self.ended)
        try:
            if self.preparation.plugins or self.preparation.actions:
                await self.preparation.prepare(exchange, outbound, due)
            ending.is_sent = True
            limit = outbound.timeouts.request
            if limit is not None:
                at = asyncio.get_running_loop().time() + limit
                if due is None or at < due.at:
                    due = Due(at, _too_slow)
            outbound.due = due
            if self.transport.inline:
                response: Response = self.transport.send(outbound)  # type: ignore[assignment]
                if response.__class__ is not Response:
                    response = await response  # type: ignore[misc]
                if response.__class__ is not Response:
                    response = checked_response(self.transport, response)
            else:
                response = await self._bounded(outbound)
                response.headers.raw = end_to_end(response.headers.raw, response.status)
        except BaseException as error:
            if ending.is_sent and isinstance(error, Exception | SystemExit) and not isinstance(error, Fault):
                failure = failed(self.transport, "send", error)  # the target is not to blame
                ending(failure)
                raise failure from error
            if due is not None and not isinstance(error, Fault) and due.at - asyncio.get_running_loop().time() < EARLY:
                error = due.fault()  # which cancelled it
                error.spares_target = outbound.body.held is None
            ending(error)
            raise
        record.head_at = self.clock.now()
        record.status = response.status
        body = response.body
        whole = body.held is not None and response.tunnel is None
        if not whole:
            body.on_close(ending)
        is_stream = not whole and _is_stream(response, destination)
        if is_stream:
            for monitor, begun in self._hearing:
                so_far = Outcome("ok", record.status, record.head_at - record.started)
                self._told(monitor, "begun", begun, target, so_far)
        if body.held is None and due is not None:
            if is_stream:
                outbound.due, outbound.timeouts = None, self.timeouts
                due = None if self.timeouts.read is None else Silence(self.timeouts.read)
            if due is not None and not self.transport.inline:
                took = record.head_at - record.started
                body.wrap(lambda source: Until(source, due, took))
        if body.held is None and not self.transport.inline:
            body.belongs_to(Owner(self.transport.entry.id, "send", timeout=None))
        if self._chosen is not None:
            try:
                self._chosen(exchange, target, response)
            except (Exception, SystemExit) as error:
                stopped = asyncio.CancelledError()  # the target is not to blame
                ending(stopped)
                await body.close(stopped)
                raise failed(self.balancer, "chosen", error) from error
        if whole:  # a balancer is told of the answer before it is told that it is through
            ending(None)
        return response

    async def _bounded(self, outbound: Outbound) -> Response:
        """Keep the time of a transport that does not do so itself."""
        due = outbound.due
        try:
            async with asyncio.timeout_at(None if due is None else due.at) as bound:
                response = self.transport.send(outbound)
                if inspect.isawaitable(response):
                    response = await response
        except TimeoutError:
            if due is None or not bound.expired():
                raise
            fault = due.fault()
            fault.spares_target = outbound.body.held is None  # whose time it was, nobody knows
            raise fault from None
        return checked_response(self.transport, response)

    def ended(self, target: Target, outcome: Outcome) -> None:
        """An attempt is over: count it, and tell the balancer and the monitors that watch."""
        target.in_flight -= 1
        counts = self.counts
        counts["tries"] += 1
        counts[outcome.kind] += 1
        if outcome.status is not None and outcome.status >= 500:
            counts["southbound_errors"] += 1
        if self._release is not None:
            try:
                self._release(target, outcome)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - logged there
                self.failing.note(self.balancer, "release", error)
            else:
                if self.failing.known:
                    self.failing.over(self.balancer, "release")
        for monitor, observe in self._observers:
            self._told(monitor, "observe", observe, target, outcome)

    def _told(self, monitor: Monitor[Any], hook: str, tell: Callable[..., Health | None], *what: Any) -> None:
        """Tell a monitor that watches, and take over what it makes of it."""
        try:
            health = tell(*what)
            if health is not None and self.judge is not None:
                self.judge(monitor, what[0], checked_health(monitor, hook, health))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - logged there
            self.failing.note(monitor, hook, error)
        else:
            if self.failing.known:
                self.failing.over(monitor, hook)


def _how(failure: Fault | Response) -> str:
    """Say for the log how an attempt failed."""
    return f"answered {failure.status}" if isinstance(failure, Response) else failure.reason


def _is_stream(response: Response, destination: Destination) -> bool:
    """Whether the total limit ends at the head, since the body may rightly go on for hours."""
    if destination.stream or response.tunnel is not None:
        return True
    return (response.headers.get("content-type") or "").startswith("text/event-stream")


def _too_slow() -> Fault:
    return GatewayTimeout("The backend did not answer in time.", reason="request-timeout")
