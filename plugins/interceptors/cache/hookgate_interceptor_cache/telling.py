"""What clients, traces and metrics are told of a cache."""

from __future__ import annotations

from typing import Literal

from hookgate import Counter, Exchange, Headers, Host, Response
from hookgate_interceptor_cache.store import Store

Result = Literal["hit", "stale", "revalidated", "miss", "bypass"]


class Telling:
    """Writes ``Cache-Status`` (RFC 9211), notes into traces, and counts."""

    def __init__(self, name: str, *, in_headers: bool) -> None:
        self._name = name
        self._in_headers = in_headers
        self._calls: Counter | None = None
        self._evictions: Counter | None = None
        self._step = ""

    def begin(self, host: Host, step: str, store: Store) -> None:
        """Register metrics."""
        metrics, self._step = host.metrics, step
        self._calls = metrics.counter(
            "cache_calls_total", "Calls, by what the cache made of them.", ["step", "result"], most=500
        )
        self._evictions = metrics.counter("cache_evictions_total", "Answers that had to go for others.", ["step"])
        metrics.gauge("cache_entries", "Answers that are kept.", ["step"], read=lambda: {(step,): float(len(store))})
        metrics.gauge(
            "cache_octets", "Octets of answers that are kept.", ["step"], read=lambda: {(step,): float(store.octets)}
        )

    def evicted(self, number: int) -> None:
        """Count what had to go."""
        if number and self._evictions is not None:
            self._evictions.add(number, self._step)

    def tell(self, exchange: Exchange, response: Response, result: Result, status: str) -> None:
        """Tell of one answer; ``status`` is what ``Cache-Status`` says."""
        if self._calls is not None:
            self._calls.add(1, self._step, result)
        exchange.note(f"cache: {status}")
        if self._in_headers:
            _append(response.headers, f"{self._name}; {status}")


def _append(headers: Headers, member: str) -> None:
    """Add our member behind those of caches that are nearer to the origin, as one line."""
    headers.set("Cache-Status", ", ".join([*headers.getall("cache-status"), member]))


def not_modified(response: Response) -> Response:
    """Make a 304 of an answer that the client has (RFC 9110, 15.4.5)."""
    told = [field for field in response.headers.raw if not field[0].lower().startswith(b"content-")]
    told += [field for field in response.headers.raw if field[0].lower() == b"content-location"]
    return Response(304, Headers.of(told))
