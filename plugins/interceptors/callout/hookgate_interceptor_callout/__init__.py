"""Call an outside service amid a call, and keep its answer in a variable."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hookgate import BadGateway, Exchange, Expression, Fault, Host, Interceptor, Response, hookimpl
from hookgate.workshop import Asked, UrlTemplate
from hookgate_interceptor_callout.options import CalloutOptions, is_allowed

__all__ = ["Callout", "CalloutOptions"]


class Callout(Interceptor[CalloutOptions]):
    """Calls another service, on the way in or on the way out, and keeps its answer in a variable (FL-54).

    In `flow` or `request` the call is made on the way in, in `response` on the way out. Placed with `join` in the place
    of a URL, the step waits for what another one began with `mode: async`; without such a step the answer is never
    looked at, and the call ends with the client's call. What nothing began (its step was skipped) is not waited for.

    Only what the options say is sent along, and never what belongs to the client's own message: `Host`,
    `Content-Length`, `Transfer-Encoding` and the like are made anew (FL-23). Redirects are not followed. On a
    connection, the service is called with its credentials, balancer and TLS; an absolute URL with nothing but this.
    """

    category = "mediation"
    writes = {"variables"}

    def __init__(self, options: CalloutOptions) -> None:
        super().__init__(options)
        url = options.url or options.url_from
        reads = options.join is None and (options.reads_body or (url is not None and url.reads_body))
        self.reads = {"request.body", "response.body"} if reads else set()
        self._url: UrlTemplate | Expression | None = url
        self._host: Host | None = None
        self._under_way: set[asyncio.Task[Any]] = set()

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house, for calls that outlive the call they were made in."""
        self._host = host

    @hookimpl
    async def shutdown(self) -> None:
        """End what nobody waits for."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        """Make the call, begin it, or wait for it.

        Raises:
            Fault: it failed, unless `on_failure` lets the call go on.
            BadRequest: a value for the URL or a header is not there or cannot be sent.
            ExpressionError: an expression cannot be evaluated.
        """
        await self._step(exchange, way_out=False)

    @hookimpl
    async def on_response(self, exchange: Exchange) -> None:
        """Do the same on the way out, where the step stands there only.

        Raises:
            Fault: as `on_request`.
        """
        if self.entry.id not in exchange.passed:
            await self._step(exchange, way_out=True)

    async def _step(self, exchange: Exchange, *, way_out: bool) -> None:
        options = self.options
        if options.join is not None:
            await self._join(exchange, options.join)
            return
        asked = await self._asked(exchange, way_out=way_out)
        if options.mode == "forget":
            self._forget(asked)
        elif options.mode == "async":
            exchange.start(_task(options.name), self._answer(exchange, asked))
        else:
            exchange.variables[options.name] = await self._answer(exchange, asked)

    async def _join(self, exchange: Exchange, name: str) -> None:
        try:
            exchange.variables[name] = await exchange.join(_task(name))
        except LookupError:
            exchange.note(f"callout: nothing was begun as {name}")

    async def _asked(self, exchange: Exchange, *, way_out: bool) -> Asked:
        options = self.options
        if self.reads:
            await _read(exchange, way_out=way_out, answer=options.preserve_body)
        assert self._url is not None
        url = self._url(exchange)
        if isinstance(self._url, Expression) and not is_allowed(url, options.hosts):
            self._log("url_from gives no URL of a host in `hosts`")
            raise BadGateway("Another service cannot be called.", reason="config-error")
        return options.asked(exchange, url, way_out=way_out)

    async def _answer(self, exchange: Exchange, asked: Asked) -> dict[str, Any]:
        options = self.options
        made = exchange.call(
            asked.method,
            asked.url,
            connection=options.connection or "",
            headers=asked.headers,
            body=asked.body,
            timeout=options.timeout,
        )

        def reveal(error: BaseException) -> None:
            exchange.note(f"callout {options.name}: {_told(error)}")

        return await options.outcome(made, reveal)

    def _forget(self, asked: Asked) -> None:
        if len(self._under_way) >= self.options.at_once:
            self._log(f"{len(self._under_way)} calls are under way, so one was left out")
            return
        assert self._host is not None, "startup comes first"
        task = self._host.start(self.entry.id, self._alone(asked))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _alone(self, asked: Asked) -> None:
        options, host = self.options, self._host
        assert host is not None
        try:
            made: Coroutine[Any, Any, Response]
            if options.connection is not None:
                by = host.connection(options.connection)
                made = by.request(
                    asked.method, asked.url, headers=asked.headers, body=asked.body, timeout=options.timeout
                )
            else:
                made = host.http.request(
                    asked.method, asked.url, headers=asked.headers, body=asked.body, timeout=options.timeout
                )
            options.result(await made)
        except (Fault, LookupError, ValueError) as error:
            self._log(f"a call failed: {_told(error)}")

    def _log(self, what: str) -> None:
        if self._host is not None:
            self._host.log.warning("%s: %s", self.entry.id, what)


def _task(name: str) -> str:
    return f"callout {name}"


def _told(error: BaseException) -> str:
    """Say what went wrong without what may stand in a URL."""
    return error.reason if isinstance(error, Fault) else type(error).__name__


async def _read(exchange: Exchange, *, way_out: bool, answer: bool) -> None:
    if not way_out:
        await exchange.request.body.read()
    elif answer and exchange.response is not None:
        await exchange.response.body.read()
