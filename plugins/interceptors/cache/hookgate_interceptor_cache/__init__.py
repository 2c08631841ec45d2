"""Answer with what the backend has said before, as RFC 9111 allows."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from email.utils import formatdate

from hookgate import Answered, Exchange, Faulted, GatewayTimeout, Host, Interceptor, Response, hookimpl
from hookgate_interceptor_cache import rules
from hookgate_interceptor_cache.app import CacheApp
from hookgate_interceptor_cache.call import CONDITIONS, Call, begun, places_changed
from hookgate_interceptor_cache.entry import Entry, selected
from hookgate_interceptor_cache.flight import Flight, Flights, Spot
from hookgate_interceptor_cache.keeping import Keeper
from hookgate_interceptor_cache.making import Maker, Unkept
from hookgate_interceptor_cache.options import CacheOptions
from hookgate_interceptor_cache.reuse import grace, may_answer
from hookgate_interceptor_cache.store import Store
from hookgate_interceptor_cache.telling import Result, Telling, not_modified

__all__ = ["Cache", "CacheApp", "CacheOptions"]

FAILED = frozenset({500, 502, 503, 504})
"""What a stale answer may stand for (RFC 5861, 4)."""
_MAY_DIFFER = {
    *("max_entries", "max_octets", "max_body", "wait", "name", "tell"),
    *("stale_while_revalidate", "stale_if_error", "obey_clients"),
}
"""Options that say nothing of what an entry is."""


class Cache(Interceptor[CacheOptions]):
    """Answers with what the backend has said before, as a shared cache by RFC 9111 (KC-72).

    GET is kept, and answers GET and HEAD. The backend says how long, by `s-maxage`, `max-age` or `Expires`, and `ttl`
    where it says nothing. What is stale is validated with `If-None-Match` or `If-Modified-Since`; a 304 renews it. What
    says `no-store`, `private`, `Set-Cookie` or `Vary: *` is never kept, nor is a part, a stream of events, a body that
    is longer than `max_body`, or one that broke off. Another method that succeeds takes out what is kept of its URL,
    and of those that `Location` and `Content-Location` name on the same host.

    Of several calls for the same answer one goes to the backend, and the others get what it gets; they go themselves
    where that may not be kept, fails, or takes longer than `wait`. An answer to a caller with credentials is given to
    others only if the backend says `public` or `s-maxage`, or `share` says so.

    Everything left of this step runs on each call, so authentication, limits and whatever writes an answer for one
    caller stand left of it; what stands right of it is kept with the answer. What chooses the backend of a call stands
    left of it, too. What is kept lives in memory and survives reloads that leave the options of the step as they are;
    `hookgate cache purge` takes it out. Answers carry `Age` and `Cache-Status` (RFC 9211).
    """

    category = "traffic"
    sides = {"request"}
    paired = True
    writes = {"request.headers", "response.headers", "response.body", "variables", "cache"}

    def __init__(self, options: CacheOptions) -> None:
        super().__init__(options)
        self.store = Store()
        """What is kept."""
        self.reads = frozenset(root for each in options.key for root in each.roots & {"identity"})
        self._maker = Maker(options)
        self._telling = Telling(options.name, in_headers=options.tell)
        self._flights = Flights()

    @hookimpl
    def take_over(self, old: Cache) -> None:
        """Go on with what is kept, if it would have been kept by these options, too."""
        if self.options.model_dump(exclude=_MAY_DIFFER) == old.options.model_dump(exclude=_MAY_DIFFER):
            self.store = old.store

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of the clock and of metrics."""
        self._host, self._clock = host, host.clock
        self._variable = f"cache {self.entry.id}"
        self._telling.begin(host, self.entry.id, self.store)
        self._keeper = Keeper(self.options, self.store, self._flights, self._telling, host.clock)

    @hookimpl
    def health(self) -> dict[str, int]:
        """Tell how much is kept."""
        return {"entries": len(self.store), "octets": self.store.octets}

    # --- the way in -------------------------------------------------------------------------------------------------

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """Answer with what is kept, or let the call pass.

        Raises:
            GatewayTimeout: the client takes nothing but what is kept, and nothing is.
            ExpressionError: a value of `key` cannot be evaluated.
        """
        method = exchange.request.method
        if method in ("OPTIONS", "TRACE") or self._variable in exchange.variables:
            return None
        call = begun(exchange, self.options, self.store.serial, self._clock.now())
        exchange.variables[self._variable] = call
        if not call.keeps:
            return None
        entry = self._kept(call)
        if entry is not None and may_answer(entry, call.said, call.asked):
            return self._answer(exchange, call, entry, "hit", "hit")
        if "only-if-cached" in call.said:
            raise GatewayTimeout("What is asked for is not kept here.", reason="not-cached")
        if self.store.knows(call.place):
            call.why = "vary-miss" if entry is None else "request" if entry.stale_for(call.asked) < 0 else "stale"
        if method == "HEAD":
            call.keeps = False
            return None
        call.stale = entry
        if call.conditions and not (entry is not None and rules.conditions(entry)):
            return None  # the backend knows best whether the client has what is there
        spot = Spot(call.place, call.credentials, selected(self.store.vary_of(call.place), call.headers))
        flight = self._flights.at(spot)
        if flight is None:
            if not self._flights.in_vain(spot, call.asked):
                call.flight = self._flights.begin(spot)
        elif entry is not None and self._tolerable(call, "stale-while-revalidate"):
            return self._answer(exchange, call, entry, "stale", "hit; detail=stale-while-revalidate")
        elif self.options.wait > 0:
            return self._follow(exchange, call, flight)
        self._validate(exchange, call)
        return None

    async def _follow(self, exchange: Exchange, call: Call, flight: Flight | None) -> Response | None:
        """Wait for the answer of another call; go on alone where that is in vain."""
        until = self._clock.now() + self._patience()
        while flight is not None:
            end = await flight.ended(until - self._clock.now())
            if end == "kept":
                entry = self._kept(call)
                if entry is not None and may_answer(entry, call.said, self._clock.now()):
                    return self._answer(exchange, call, entry, "hit", f"fwd={call.why}; collapsed")
            elif end == "failed" and call.stale is not None and self._tolerable(call, "stale-if-error"):
                return self._answer(exchange, call, call.stale, "stale", "hit; collapsed; detail=stale-if-error")
            if end != "gone":
                break
            spot, flight = flight.spot, self._flights.at(flight.spot)
            if flight is None:
                call.flight = self._flights.begin(spot)
        call.stale, call.since, call.asked = self._kept(call), self.store.serial, self._clock.now()
        self._validate(exchange, call)
        return None

    def _patience(self) -> float:
        """Return for how many seconds a call waits: what holds a hook up for longer has failed."""
        try:
            bound = float(self._host.section("gateway").record.hook_timeout)
        except LookupError:  # in a test
            return self.options.wait
        return min(self.options.wait, bound / 2)

    def _kept(self, call: Call) -> Entry | None:
        """Return what is kept for a call."""
        entry = self.store.find(call.place, call.headers)
        return None if entry is None or (call.credentials and not entry.everyone) else entry

    def _validate(self, exchange: Exchange, call: Call) -> None:
        """Ask the backend whether what is kept is still right, if it can be asked."""
        found = rules.conditions(call.stale) if call.stale is not None else []
        if found:
            call.validating = True
            exchange.request.headers.remove(*CONDITIONS)
            exchange.request.headers.update(found)

    def _restore(self, exchange: Exchange, call: Call) -> None:
        """Put back what the client has asked the backend for."""
        if call.validating:
            exchange.request.headers.remove(*CONDITIONS)
            for name, value in call.conditions:
                exchange.request.headers.add(name, value)

    def _tolerable(self, call: Call, name: str) -> bool:
        """Whether the stale answer of a call may be given, by one of the extensions of RFC 5861."""
        entry = call.stale
        if entry is None or entry not in self.store or "no-cache" in call.said or "max-age" in call.said:
            return False
        default = getattr(self.options, name.replace("-", "_"))
        return entry.stale_for(self._clock.now()) < grace(entry, name, default)

    # --- the way out ------------------------------------------------------------------------------------------------

    @hookimpl
    def on_response(self, exchange: Answered) -> Awaitable[None] | None:
        """Keep what may be kept, and answer with what the backend says is still right."""
        call: Call | None = exchange.variables.get(self._variable)
        if call is None or call.answered:
            return None
        call.answered = True
        response = exchange.response
        self._restore(exchange, call)
        if exchange.fault is not None:
            self._keeper.land(call, "failed")
        elif call.unsafe and response.status < 400:
            for uri in places_changed(call, response.headers):
                self.store.invalidate(uri)
        if exchange.fault is not None or not call.keeps:
            self._told(exchange, response, call, "")
            return None
        if response.status == 304 and call.validating and call.stale is not None:
            exchange.response = self._validated(exchange, call, call.stale, response)
            return None
        if response.status in FAILED and call.stale is not None and self._tolerable(call, "stale-if-error"):
            self._keeper.land(call, "failed")
            status = f"fwd=stale; fwd-status={response.status}; detail=stale-if-error"
            exchange.response = self._answer(exchange, call, call.stale, "stale", status)
            return None
        return self._keep(exchange, call, response)

    @hookimpl
    def on_fault(self, exchange: Faulted) -> Response | None:
        """Answer with what is stale, where that may stand for a failure."""
        call: Call | None = exchange.variables.get(self._variable)
        if call is None or call.answered or not call.keeps:
            return None
        self._keeper.land(call, "failed")
        if exchange.fault.status not in FAILED or call.stale is None or not self._tolerable(call, "stale-if-error"):
            return None
        self._restore(exchange, call)
        return self._answer(exchange, call, call.stale, "stale", "fwd=stale; detail=stale-if-error")

    @hookimpl
    def on_done(self, exchange: Exchange) -> None:
        """Let those go on who still wait for this call."""
        call: Call | None = exchange.variables.pop(self._variable, None)
        if call is not None:
            self._keeper.land(call, "gone")

    def _validated(self, exchange: Exchange, call: Call, entry: Entry, response: Response) -> Response:
        """Return the answer that a 304 stands for, and keep it with the new head."""
        now, wall = self._clock.now(), self._clock.wall()
        response.headers.setdefault("Date", formatdate(wall, usegmt=True))
        fields = rules.updated_head(entry, response.headers)
        why = "no-match"
        if fields is not None:
            try:
                self._refuse_hidden(exchange, call)
                entry = self._maker.updated(call, entry, fields, response.headers, now, wall)
            except Unkept as unkept:
                why = str(unkept)
                entry = replace(entry, fields=fields, received=now, initial_age=0.0, lifetime=0.0)
            else:
                why = self._keeper.put(call, entry)
        if why:
            self._keeper.forget(call)
            self._keeper.land(call, "unkept")
        stored = f"detail={why}" if why else "stored"
        return self._answer(exchange, call, entry, "revalidated", f"fwd={call.why}; fwd-status=304; {stored}")

    def _keep(self, exchange: Answered, call: Call, response: Response) -> Awaitable[None] | None:
        """Keep an answer once its body has come, if it may be kept."""
        body, most = response.body, self.options.max_body
        try:
            self._refuse_hidden(exchange, call)
            entry = self._maker.made(call, response, self._clock.now(), self._clock.wall())
            if body.length is not None and body.length > most:
                raise Unkept("too-large")
        except Unkept as unkept:
            if response.status not in FAILED:
                self._keeper.forget(call)
            self._keeper.land(call, "failed" if response.status in FAILED else "unkept")
            self._told(exchange, response, call, f"; detail={unkept}")
            return None
        self._told(exchange, response, call, "; stored")
        if body.replayable:
            entry.body = body.data
            self._keeper.put(call, entry)
            return None
        if body.maps:
            return self._keeper.collect_behind(call, response, entry)
        self._keeper.collect(call, response, entry)
        return None

    def _refuse_hidden(self, exchange: Exchange, call: Call) -> None:
        """Refuse to keep an answer where a step right of this one has found out who calls: it would not be asked the
        next time, and would have refused others.

        Raises:
            Unkept: there is such a step.
        """
        if (exchange.identity, exchange.application) != call.caller:
            raise Unkept("caller-found-out-later")

    def _answer(self, exchange: Exchange, call: Call, entry: Entry, result: Result, status: str) -> Response:
        """Make an answer of what is kept."""
        now = self._clock.now()
        response = entry.response(now)
        if call.conditions and entry.status == 200 and rules.matches(call.conditions, entry.etag, entry.last_modified):
            response = not_modified(response)
        call.answered = True
        self._telling.tell(exchange, response, result, f"{status}; ttl={int(-entry.stale_for(now))}")
        return response

    def _told(self, exchange: Exchange, response: Response, call: Call, more: str) -> None:
        """Tell of an answer that is the backend's own."""
        result: Result = "bypass" if call.why in ("bypass", "method") else "miss"
        if self.options.tags is not None:
            response.headers.remove(self.options.tags)
        self._telling.tell(exchange, response, result, f"fwd={call.why}; fwd-status={response.status}{more}")
