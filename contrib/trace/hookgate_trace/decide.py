"""Whether a call is traced: by its token, by a rule, or by chance."""

from __future__ import annotations

import hmac
import logging
import random

from hookgate import Clock, Exchange, Response
from hookgate.flow import Backend, Flow
from hookgate_trace.options import TraceRule, TraceSection
from hookgate_trace.record import attach
from hookgate_trace.trace import Trace

log = logging.getLogger("hookgate.trace")

ASKED = "header"
"""Reason of a trace that whoever calls has asked for."""
ID = "X-Hookgate-Trace-Id"


class Tracing:
    """Decides for one generation, and has the traced flows of its routes."""

    def __init__(self, section: TraceSection, clock: Clock) -> None:
        self._section = section
        self._clock = clock
        self._token = section.token.reveal().encode() if section.token is not None else b""
        self._flows: dict[Flow, Flow] = {}
        self._tokens = section.per_second
        self._filled = clock.now()

    def reason(self, exchange: Exchange) -> str:
        """Return why a call is traced; nothing if it is not."""
        section = self._section
        if self._token:
            shown = exchange.request.headers.get(section.header)
            if shown is not None:
                exchange.request.headers.remove(section.header)
                if hmac.compare_digest(shown.encode("utf-8", "replace"), self._token):
                    return ASKED
        for rule in section.rules:
            if _holds(rule, exchange):
                return rule.name if self._room() else ""
        if section.sample and random.random() < section.sample:  # noqa: S311 - a sample is no secret
            return "sample" if self._room() else ""
        return ""

    def detour(self, exchange: Exchange, flow: Flow) -> Flow | None:
        """Return the flow of a call that is traced."""
        reason = self.reason(exchange)
        return self.traced(exchange, flow, reason) if reason else None

    def traced(self, exchange: Exchange, flow: Flow, reason: str) -> Flow:
        """Begin the trace of a call; return the flow that writes it."""
        exchange.trace = Trace(exchange, reason, self._section.body)
        traced = self._flows.get(flow)
        if traced is None:
            traced = self._flows[flow] = TracedFlow(*flow.parts, hook_timeout=flow.hook_timeout)
            attach(traced)
        return traced

    def _room(self) -> bool:
        """Take one of the traces that this second has."""
        now, most = self._clock.now(), max(self._section.per_second, 1.0)
        self._tokens = min(self._tokens + (now - self._filled) * self._section.per_second, most)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class TracedFlow(Flow):
    """A flow whose hooks write traces."""

    __slots__ = ()

    async def run(self, exchange: Exchange, backend: Backend) -> Response:
        """As :meth:`Flow.run`; who asked for the trace by token is told its id."""
        response = await super().run(exchange, backend)
        trace: Trace = exchange.trace
        trace.name(exchange)
        if trace.reason == ASKED:
            response.headers.set(ID, trace.id)
        return response


def _holds(rule: TraceRule, exchange: Exchange) -> bool:
    if rule.sample < 1 and random.random() >= rule.sample:  # noqa: S311
        return False
    try:
        return rule.when is None or bool(rule.when(exchange))
    except ValueError as error:
        log.debug("the condition of the rule %s failed: %s", rule.name, error)
        return False
