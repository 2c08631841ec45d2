"""Count and time calls, for Prometheus to scrape."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Annotated, Any

from pydantic import Field, field_validator
from quart import Blueprint, Response

from hookgate import App, Exchange, Health, Host, Observer, Options, Target, hide, hookimpl

from .exposition import CONTENT_TYPE, Sample, Series, histogram, metric, shown
from .house import house_metrics
from .process import process_metrics

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
"""Methods that show under their names: those of RFC 9110 and RFC 5789. A client can invent any number of others."""
OTHER = "other"
KINDS = ("ok", "connect-failed", "timeout", "broken", "aborted")
"""How an attempt can end."""
NETWORK_ISSUES = ("connect-failed", "timeout")
"""Ends that count as network issues: names not resolved, connections not made, and time-outs (HC-20)."""

MOST_REASONS = 200
"""Reasons of refusals that are told apart: plugins give them names of their own."""
TURN = 0.001
"""Seconds that a scrape works until it lets calls have their turn, about."""

Where = str | tuple[str, ...]
"""The route of a call, and behind it the labels that the options ask for."""
CallKey = tuple[Where, str, int | str]

COUNTERS = (
    *("requests_total", "response_bytes_total", "northbound_errors_total", "southbound_errors_total"),
    *("network_issues_total", "upstream_attempts_total", "retries_total", "refusals_total", "ejections_total"),
    "client_connections_refused_total",
)
GAUGES = (
    *("requests_in_flight", "target_healthy", "generation", "client_connections", "problems"),
    *("pool_connections", "pool_limit", "pool_waiting", "certificate_not_after_seconds"),
    *("config_last_reload_successful", "config_last_reload_success_timestamp_seconds"),
)
HISTOGRAMS = ("request_seconds", "upstream_seconds")
MINE = frozenset(f"hookgate_{name}" for name in (*COUNTERS, *GAUGES, *HISTOGRAMS))
"""Names on the page that no other plugin may have."""


class PrometheusOptions(Options):
    """Options of `prometheus` as an observer."""

    buckets: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = Field(
        default=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0), min_length=1, max_length=100
    )
    """Upper bounds of the buckets of `hookgate_request_seconds` and `hookgate_upstream_seconds`, in seconds, rising;
    one without bound follows."""
    max_series: int = Field(default=5_000, ge=1)
    """Combinations of labels that are told apart: of route, method and status for calls, and of connection and target
    for attempts. Further ones are counted together under `other`."""
    labels: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")], ...] = Field(default=(), max_length=16)
    """Labels that routes or connections of the document have, such as `team`: calls are told apart by them, too. A dot
    or a dash becomes `_`. Empty where neither the route of a call nor its connection has it."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        names = [_label(each) for each in labels]
        for name in names:
            if names.count(name) > 1 or name in ("route", "method", "status", "le"):
                raise ValueError(f"there is a label {name} already")
        return labels

    @field_validator("buckets")
    @classmethod
    def _rising(cls, buckets: tuple[float, ...]) -> tuple[float, ...]:
        if list(buckets) != sorted(set(buckets)):
            raise ValueError("each bound must be above the one before it")
        return buckets


class _Calls:
    """What is known of the calls of one route, method and status."""

    __slots__ = ("buckets", "bytes", "seconds")

    def __init__(self, buckets: int) -> None:
        self.buckets = [0] * buckets
        """How many calls took so long; together these are all calls."""
        self.seconds = 0.0
        self.bytes = 0


class _Upstream:
    """What is known of the attempts at one target of one connection."""

    __slots__ = ("buckets", "ejections", "errors", "outcomes", "retries", "seconds")

    def __init__(self, buckets: int) -> None:
        self.outcomes = dict.fromkeys(KINDS, 0)
        self.errors = 0
        self.retries = 0
        self.ejections = 0
        self.buckets = [0] * buckets
        """How many heads of answers took so long."""
        self.seconds = 0.0


class Prometheus(Observer[PrometheusOptions]):
    """Counts and times every call, and has the numbers ready for the page of the app of the same name.

    Place both: `gateway: {observers: [prometheus]}` and `management: {apps: [health, prometheus]}`; then scrape
    `/-/metrics` of the management listener, by address. Per call a few numbers are added up; text is made only at a
    scrape, a millisecond at a time between calls.

    * `hookgate_requests_total` by `route`, `method` and `status`. The route is empty where none matched; the status is
      `none` where the client was gone before there was an answer.
    * `hookgate_request_seconds`, a histogram by `route`: from the arrival of the head to the last byte of the answer.
    * `hookgate_response_bytes_total` by `route`: bytes of bodies sent to clients.
    * `hookgate_requests_in_flight` now, and `hookgate_generation` of the configuration.
    * `hookgate_northbound_errors_total`: answers of 500 and above to callers, whoever made them (HC-20).
    * `hookgate_southbound_errors_total` by `connection`: answers of 500 and above from backends (HC-20).
    * `hookgate_network_issues_total` by `connection`: attempts that found no connection or ran into a time-out (HC-20).
    * `hookgate_upstream_attempts_total` by `connection`, `target` and `outcome`, each try on its own;
      `hookgate_retries_total` by `connection`: those that followed another one of the same call.
    * `hookgate_upstream_seconds`, a histogram by `connection`: from the start of an attempt to the head of the answer.
    * `hookgate_refusals_total` by `reason`: answers of 400 and above that the gateway made itself, from `no-route` to
      `rate-limited` and `connect-failed`.
    * `hookgate_ejections_total` by `connection` and `target`: how often it became unhealthy.
    * `hookgate_client_connections` that are open, `hookgate_client_connections_refused_total` by `reason`.
    * `hookgate_pool_connections` by `connection` and `state` (`idle`, `in_use`), `hookgate_pool_limit` and
      `hookgate_pool_waiting`: connections to backends, and calls that wait for one.
    * `hookgate_certificate_not_after_seconds` by `where` (`listener`, `backend`, `client` for ours), `connection` and
      `name`: when it expires, in Unix time.
    * `hookgate_config_last_reload_successful`, `hookgate_config_last_reload_success_timestamp_seconds`, and how many
      `hookgate_problems` `/-/health` names.
    * `process_…` and `python_gc_…` as other clients of Prometheus have them: CPU, memory, file descriptors.
    * `hookgate_target_healthy` by `connection` and `target`: 1 or 0.
    * Whatever other plugins have registered by `host.metrics`.

    The first three also have the labels that `labels` asks for. Numbers start at zero when the process starts or the
    options change, and are kept over other reloads.
    """

    def __init__(self, options: PrometheusOptions) -> None:
        super().__init__(options)
        self._host: Host | None = None
        self._status: Callable[[], Mapping[str, Any]] = dict
        self._labels = options.labels
        self._bounds = options.buckets
        self._calls: dict[CallKey, _Calls] = {}
        """By route, method and status; the status is 0 where there was no answer."""
        self._northbound = 0
        self._upstreams: dict[tuple[str, str], _Upstream] = {}
        """By connection and URL."""
        self._targets: dict[Target, _Upstream] = {}
        """The same ones by target, for the generation that is live and the one before, whose last calls are running."""
        self._newest: dict[Target, _Upstream] = {}
        self._refusals: dict[str, int] = {}
        self._reloaded: float | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the names on the page, so that no other plugin registers one of them."""
        self._host = host
        for name in COUNTERS:
            host.metrics.counter(name, "")
        for name in GAUGES:
            host.metrics.gauge(name, "")
        for name in HISTOGRAMS:
            host.metrics.histogram(name, "")

    @hookimpl
    def generation_loaded(self, host: Host) -> None:
        """Learn the targets."""
        self._status = host.status
        self._reloaded = host.clock.wall()
        before, self._newest = self._newest, {}
        for name in host.status()["connections"]:
            for target in host.connection(name).targets:
                self._newest[target] = self._upstream(name, target.url)
        self._targets = {**before, **self._newest}

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None:
        """Count a call and its attempts."""
        route, response = exchange.route, exchange.response
        status = 0 if response is None else response.status
        name = "" if route is None else route.name
        where: Where = name
        if self._labels:
            where = (name, *[_labelled(exchange, label) for label in self._labels])
        key: CallKey = (where, exchange.request.method, status)
        calls = self._calls.get(key) or self._rare(key)
        finished, started = exchange.finished, exchange.started
        seconds = 0.0 if finished is None else finished - started
        calls.buckets[bisect_left(self._bounds, seconds)] += 1
        calls.seconds += seconds
        calls.bytes += exchange.bytes_sent
        if status >= 500:
            self._northbound += 1
        fault = exchange.fault
        if fault is not None and status >= 400:
            self._refused(fault.reason)
        for number, attempt in enumerate(exchange.attempts):
            upstream = self._targets.get(attempt.target) or self._strange(attempt.target)
            outcome = attempt.outcome
            if number:
                upstream.retries += 1
            if attempt.head_at is not None:
                seconds = attempt.head_at - attempt.started
                upstream.buckets[bisect_left(self._bounds, seconds)] += 1
                upstream.seconds += seconds
            if outcome is None:  # nobody waited for its end
                upstream.outcomes["aborted"] += 1
                continue
            upstream.outcomes[outcome.kind] += 1
            if outcome.status is not None and outcome.status >= 500:
                upstream.errors += 1

    @hookimpl
    def target_changed(self, target: Target, health: Health) -> None:
        """Count a target that is taken out."""
        if not health.healthy:
            (self._targets.get(target) or self._strange(target)).ejections += 1

    def _refused(self, reason: str) -> None:
        if reason not in self._refusals and len(self._refusals) >= MOST_REASONS:
            reason = OTHER
        self._refusals[reason] = self._refusals.get(reason, 0) + 1

    def _rare(self, key: CallKey) -> _Calls:
        """Find the place of calls that have none of their own yet, or never will."""
        route, method, status = key
        where = tuple(map(hide, route)) if isinstance(route, tuple) else hide(route)
        key = (where, method if method in METHODS else OTHER, status)
        if key not in self._calls and len(self._calls) >= self.options.max_series:
            key = ((OTHER,) * (1 + len(self._labels)) if self._labels else OTHER, OTHER, OTHER)
        return self._calls.setdefault(key, _Calls(len(self._bounds) + 1))

    def _upstream(self, connection: str, url: str) -> _Upstream:
        key = (connection, hide(url))
        if key not in self._upstreams and len(self._upstreams) >= self.options.max_series:
            key = (OTHER, OTHER)
        return self._upstreams.setdefault(key, _Upstream(len(self._bounds) + 1))

    def _strange(self, target: Target) -> _Upstream:
        """Find the place of a target that no connection of the last two generations has."""
        upstream = self._targets[target] = self._upstream("", target.url)
        return upstream

    def render(self) -> str:
        """Write all numbers in the text format of Prometheus, version 0.0.4."""
        return "".join(self.pieces())

    def pieces(self) -> Iterator[str]:
        """Write the same piece by piece. Calls may be counted between two of them."""
        status = self._status()
        by = ("route", *map(_label, self._labels))
        calls, upstreams = list(self._calls.items()), list(self._upstreams.items())
        yield from metric(
            "hookgate_requests_total",
            "counter",
            "Calls that are over.",
            (*by, "method", "status"),
            (((*_values(where), method, code or "none"), sum(each.buckets)) for (where, method, code), each in calls),
        )
        routes = _by_route(calls)
        yield from histogram(
            "hookgate_request_seconds",
            "Seconds from the arrival of a call to the last byte of its answer.",
            by,
            self._bounds,
            (_summed(where, found) for where, found in routes.items()),
        )
        yield from metric(
            "hookgate_response_bytes_total",
            "counter",
            "Bytes of response bodies sent to clients.",
            by,
            ((_values(where), sum(each.bytes for each in found)) for where, found in routes.items()),
        )
        in_flight = status.get("in_flight", 0)
        yield from metric("hookgate_requests_in_flight", "gauge", "Calls that are not over.", (), [((), in_flight)])
        about = "Answers of 500 and above to callers."
        yield from metric("hookgate_northbound_errors_total", "counter", about, (), [((), self._northbound)])
        about = "Answers of 500 and above from backends."
        yield from metric("hookgate_southbound_errors_total", "counter", about, ("connection",), self._southbound())
        about = "Attempts that found no connection or ran into a time-out."
        yield from metric("hookgate_network_issues_total", "counter", about, ("connection",), self._network_issues())
        yield from metric(
            "hookgate_upstream_attempts_total",
            "counter",
            "Attempts at targets by how they ended.",
            ("connection", "target", "outcome"),
            (((*key, kind), upstream.outcomes[kind]) for key, upstream in upstreams for kind in KINDS),
        )
        yield from metric(
            "hookgate_retries_total",
            "counter",
            "Attempts that followed another one of the same call.",
            ("connection",),
            self._by_connection(lambda upstream: upstream.retries),
        )
        yield from histogram(
            "hookgate_upstream_seconds",
            "Seconds from the start of an attempt to the head of the answer.",
            ("connection",),
            self._bounds,
            self._waited(),
        )
        about = "How often a target became unhealthy."
        ejections = ((key, upstream.ejections) for key, upstream in upstreams)
        yield from metric("hookgate_ejections_total", "counter", about, ("connection", "target"), ejections)
        about = "Answers of 400 and above that the gateway made itself."
        refusals = [((reason,), count) for reason, count in self._refusals.items()]
        yield from metric("hookgate_refusals_total", "counter", about, ("reason",), refusals)
        about = "Whether a target is healthy."
        yield from metric("hookgate_target_healthy", "gauge", about, ("connection", "target"), _healthy(status))
        about = "Number of the configuration generation that is live."
        yield from metric("hookgate_generation", "gauge", about, (), [((), status.get("generation", 0))])
        if self._host is None:
            return
        yield from house_metrics(status, self._host.overview(), self._reloaded)
        yield from process_metrics()
        for found in self._host.metrics.collect():
            if found.name not in MINE:
                yield from shown(found)

    def _waited(self) -> Iterator[Series]:
        """Sum up the waiting for heads by connection."""
        by: dict[str, list[_Upstream]] = {}
        for (connection, _), upstream in self._upstreams.items():
            by.setdefault(connection, []).append(upstream)
        for connection, found in by.items():
            buckets = [sum(counts) for counts in zip(*(each.buckets for each in found), strict=True)]
            yield (connection,), list(accumulate(buckets)), sum(each.seconds for each in found)

    def _southbound(self) -> list[Sample]:
        return self._by_connection(lambda upstream: upstream.errors)

    def _network_issues(self) -> list[Sample]:
        return self._by_connection(lambda upstream: sum(upstream.outcomes[kind] for kind in NETWORK_ISSUES))

    def _by_connection(self, count: Callable[[_Upstream], int]) -> list[Sample]:
        sums: dict[str, int] = {}
        for (connection, _), upstream in self._upstreams.items():
            sums[connection] = sums.get(connection, 0) + count(upstream)
        return [((connection,), number) for connection, number in sums.items()]


def _label(name: str) -> str:
    """Return the name that Prometheus lets a label have."""
    return name.replace(".", "_").replace("-", "_")


def _labelled(exchange: Exchange, name: str) -> str:
    """Return a label of the route, or of the connection."""
    for owner in (exchange.route, exchange.connection):
        if owner is not None and (value := owner.labels.get(name)) is not None:
            return str(value)
    return ""


def _values(where: Where) -> tuple[str, ...]:
    return where if isinstance(where, tuple) else (where,)


def _by_route(calls: Iterable[tuple[CallKey, _Calls]]) -> dict[Where, list[_Calls]]:
    routes: dict[Where, list[_Calls]] = {}
    for (where, _, _), found in calls:
        routes.setdefault(where, []).append(found)
    return routes


def _summed(where: Where, calls: Iterable[_Calls]) -> Series:
    buckets = [sum(counts) for counts in zip(*(each.buckets for each in calls), strict=True)]
    return _values(where), list(accumulate(buckets)), sum(each.seconds for each in calls)


def _healthy(status: Mapping[str, Any]) -> list[Sample]:
    """Take the health of all targets from what the gateway knows of itself; a target written twice shows once."""
    found: dict[tuple[str, str], int] = {}
    for name, targets in status.get("connections", {}).items():
        for target in targets:
            key, healthy = (name, target["url"]), int(target["health"] == "healthy")
            found[key] = min(healthy, found.get(key, 1))
    return list(found.items())


class PrometheusApp(App[Options]):
    """Serves the numbers of the observer `prometheus` as `metrics`, in the text format of Prometheus, version 0.0.4.

    503 with a word of advice where that observer is not placed.
    """

    @hookimpl
    def blueprint(self, host: Host) -> Blueprint:
        """Return the page."""
        pages = Blueprint("prometheus", __name__)

        @pages.get("/metrics")
        async def metrics() -> Response:
            observers = host.find(Prometheus)
            if not observers:
                advice = "There are no numbers: add prometheus to gateway.observers.\n"
                return Response(advice, 503, content_type="text/plain; charset=utf-8")
            page = await _whole(observers[-1].pieces())
            return Response(page, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

        return pages


async def _whole(pieces: Iterable[str]) -> bytes:
    """Join pieces that take a while to make, without holding up the loop. A thread would take turns five times as
    long: it gives up the interpreter only every 5 ms."""
    parts: list[bytes] = []
    began = time.perf_counter()
    for piece in pieces:
        parts.append(piece.encode(errors="replace"))  # half a surrogate pair, of a label
        if time.perf_counter() - began > TURN:
            await asyncio.sleep(0)
            began = time.perf_counter()
    return b"".join(parts)
