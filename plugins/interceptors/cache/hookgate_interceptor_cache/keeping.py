"""Keeping answers while they stream by, and telling those who wait for them."""

from __future__ import annotations

from hookgate import Clock, Response
from hookgate_interceptor_cache.call import Call
from hookgate_interceptor_cache.collecting import Bounds, Collecting
from hookgate_interceptor_cache.entry import Entry
from hookgate_interceptor_cache.flight import End, Flights
from hookgate_interceptor_cache.options import CacheOptions
from hookgate_interceptor_cache.store import Store
from hookgate_interceptor_cache.telling import Telling


class Keeper:
    """Puts answers into a store, within the bounds of a step."""

    def __init__(self, options: CacheOptions, store: Store, flights: Flights, telling: Telling, clock: Clock) -> None:
        self._options = options
        self._store = store
        self._flights = flights
        self._telling = telling
        self._clock = clock

    def put(self, call: Call, entry: Entry) -> str:
        """Keep an entry; say in a word why that was not possible, and nothing if it was."""
        bounds, store = self._options, self._store
        gone = store.put(entry, call.headers, call.since, entries=bounds.max_entries, octets=bounds.max_octets)
        if gone is None:
            was_purged = store.serial != call.since
            self.land(call, "gone" if was_purged else "unkept")
            return "purged" if was_purged else "too-large"
        self._telling.evicted(gone)
        self.land(call, "kept")
        return ""

    def collect(self, call: Call, response: Response, entry: Entry) -> None:
        """Keep an entry once the body of an answer, which streams, has come."""
        body, most = response.body, Bounds(self._options.max_body, self._options.max_octets)

        def whole(data: bytes) -> None:
            entry.body = data
            self.put(call, entry)

        def over() -> None:
            self.forget(call)
            self.land(call, "unkept")

        body.wrap(lambda source: Collecting(source, self._store, body.length, most, whole, over))

    async def collect_behind(self, call: Call, response: Response, entry: Entry) -> None:
        """Do so where steps right of this one change the body: what they make of it is kept."""
        await response.body.peek(0)  # so that their changes are part of the source
        self.collect(call, response, entry)

    def forget(self, call: Call) -> None:
        """Take out what the backend has said is right no more."""
        if call.stale is not None:
            self._store.drop(call.stale)

    def land(self, call: Call, end: End) -> None:
        """Let those go on who wait for a call."""
        if call.flight is not None:
            self._flights.land(call.flight, end, self._clock.now())
