"""Stops calling a target that fails, and tries it again with a few calls."""

from collections import deque
from typing import Literal

from pydantic import Field

from hookgate import (
    Clock,
    Counter,
    Duration,
    Failures,
    Health,
    Host,
    Monitor,
    MonitorOptions,
    Outcome,
    Target,
    hide,
    hookimpl,
)

REASON = "circuit-open"
"""Reason of the 503 that a call gets while no circuit of a connection lets it pass."""
MOST_TARGETS = 1_000
"""Targets whose circuits are remembered; discovery may bring ever new ones."""
NEVER = float("-inf")
STATES = ("closed", "half-open", "open")
MOST_OUTCOMES = 10_000
"""Outcomes of the last seconds that are kept for each target."""


class CircuitBreakerOptions(MonitorOptions):
    """Options of `circuit-breaker`. It sends no checks, so `interval` and `timeout` mean nothing here."""

    on: Failures = ("connect-failed", "timeout", "broken", 500, 502, 503, 504)
    """What counts as a failure: ways in which a call ends, and status codes."""
    failures: int | None = Field(default=5, ge=1)
    """Failures in a row that open the circuit; null to look at `ratio` only."""
    ratio: float | None = Field(default=0.5, gt=0, le=1)
    """Share of failures among the calls of the last `window` seconds that opens it; null to count `failures` only."""
    window: Duration = Field(default=10.0, gt=0, le=3600)
    """Seconds that `ratio` looks back."""
    calls: int = Field(default=20, ge=1)
    """Calls there must have been in the window before `ratio` counts."""
    open_for: Duration = Field(default=30.0, gt=0)
    """Seconds the circuit stays open; then it is half open."""
    trials: int = Field(default=1, ge=1)
    """Calls at a time that a half-open circuit lets pass, and successes in a row that close it. One that is not over
    after `open_for` seconds (an event stream, a WebSocket) gives its place to another."""
    unhealthy_after: int = Field(default=1, ge=1, le=1)
    """Always 1: an open circuit takes its target out of rotation at once."""
    backoff: float = Field(default=1.0, ge=1, le=1)
    """Always 1: the circuit stays open for as long each time."""


class _Circuit:
    """The circuit of one target."""

    __slots__ = ("earlier", "failed", "outcomes", "row", "settled", "since", "state", "until", "won")

    def __init__(self, settled: float = NEVER) -> None:
        self.state: Literal["closed", "open", "half-open"] = "closed"
        self.until = 0.0
        """When an open one is half open, or when the trials of a half-open one have had their time."""
        self.settled = settled
        """Calls that began before are from before the circuit opened last. Like `since`, a time at which none begins,
        so that rounding changes nothing."""
        self.since = NEVER
        """Calls that began before hold no place of a trial."""
        self.earlier: dict[Target, int] = {}
        """How many calls in flight these are, by target."""
        self.row = 0
        """Failures in a row."""
        self.won = 0
        """Successes of a half-open one."""
        self.outcomes: deque[tuple[float, bool]] = deque(maxlen=MOST_OUTCOMES)
        """When calls ended, and whether they failed."""
        self.failed = 0
        """How many of these failed."""


class CircuitBreaker(Monitor[CircuitBreakerOptions]):
    """Keeps calls away from a target that fails (the circuit is open), so that they fail at once and it can recover.

    After `open_for` seconds the circuit is half open: `trials` calls at a time pass; as many successes in a row close
    it, one failure opens it again. A stream or WebSocket has succeeded when its head is there. Calls from before are no
    trials, however long they last. Where every target's circuit is open, calls get 503 with the reason `circuit-open`,
    also with a single target. The state shows as the health of the target, and in the metrics
    `hookgate_circuit_breaker_state` (0 closed, 1 half open, 2 open) and `hookgate_circuit_breaker_opened_total`. A call
    that the client broke off says nothing, and neither does one that began before the circuit opened.
    """

    def __init__(self, options: CircuitBreakerOptions) -> None:
        super().__init__(options)
        self._circuits: dict[str, _Circuit] = {}
        """By URL, so that a reload changes nothing; closed ones are forgotten where there are too many."""
        self._clock: Clock | None = None
        self._openings: Counter | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the time from the clock of the house."""
        self._clock = host.clock
        metrics, labels = host.metrics, ("target",)
        self._openings = metrics.counter(
            "circuit_breaker_opened_total", "How often a circuit opened.", labels, most=MOST_TARGETS
        )
        about = "What state a circuit is in: 0 closed, 1 half open, 2 open."
        metrics.gauge("circuit_breaker_state", about, labels, most=MOST_TARGETS, read=self._states)

    def _states(self) -> dict[tuple[str, ...], float]:
        return {(hide(url),): float(STATES.index(each.state)) for url, each in self._circuits.items()}

    @hookimpl
    def admit(self, target: Target) -> str | None:
        """Refuse while the circuit is open, and more than the trials of a half-open one."""
        circuit = self._circuits.get(target.url)
        if circuit is None or circuit.state == "closed":
            return None
        now, trials = self._now(), self.options.trials
        if now < circuit.until:
            if circuit.state == "open" or self._trying(circuit, target) >= trials:
                return REASON
        elif circuit.state == "open" or self._trying(circuit, target) >= trials:
            if circuit.state == "open":
                circuit.state, circuit.won = "half-open", 0
            circuit.since = now - self.options.open_for / 2
            circuit.earlier = {each: each.in_flight for each in {*circuit.earlier, target}}
        circuit.until = now + self.options.open_for
        return None

    def _trying(self, circuit: _Circuit, target: Target) -> int:
        """How many trials are under way. A target may have several objects: one for each connection, or reload."""
        circuit.earlier.setdefault(target, target.in_flight)
        return sum(each.in_flight - earlier for each, earlier in circuit.earlier.items())

    @hookimpl
    def observe(self, target: Target, outcome: Outcome) -> Health | None:
        """Count the outcome of a call; say when the circuit opens or closes."""
        circuit = self._circuits.get(target.url)
        if circuit is not None:
            began = self._now() - outcome.seconds
            if began < circuit.since and circuit.earlier.get(target):
                circuit.earlier[target] -= 1
            if began < circuit.settled:
                return None
        if outcome.kind == "aborted":
            return None
        if circuit is None:
            if len(self._circuits) >= MOST_TARGETS:
                self._circuits = {url: each for url, each in self._circuits.items() if each.state != "closed"}
            circuit = self._circuits[target.url] = _Circuit()
        failed = outcome.kind in self.options.on or outcome.status in self.options.on
        match circuit.state:
            case "closed":
                why = self._counted(circuit, failed)
                return self._opened(target, circuit, why) if why else Health(healthy=True, reason="circuit closed")
            case "half-open" if failed:
                return self._opened(target, circuit, "the trial failed")
            case "half-open":
                return self._won(target, circuit)
        return None

    @hookimpl
    def begun(self, target: Target, outcome: Outcome) -> Health | None:
        """Count the head of a stream as the success of a trial: its end may be hours away."""
        circuit = self._circuits.get(target.url)
        if circuit is None or circuit.state != "half-open" or outcome.status in self.options.on:
            return None
        if self._now() - outcome.seconds < circuit.settled:
            return None
        return self._won(target, circuit)

    def _won(self, target: Target, circuit: _Circuit) -> Health | None:
        circuit.won += 1
        if circuit.won < self.options.trials:
            return None
        self._circuits[target.url] = _Circuit(circuit.settled)
        return Health(healthy=True, reason="circuit closed")

    def _counted(self, circuit: _Circuit, failed: bool) -> str:
        """Count an outcome; return why the circuit opens now, or nothing."""
        options, now = self.options, self._now()
        circuit.row = circuit.row + 1 if failed else 0
        if options.ratio is not None:
            outcomes = circuit.outcomes
            if len(outcomes) == outcomes.maxlen or (outcomes and now - outcomes[0][0] > options.window):
                self._forget(circuit, now)
            outcomes.append((now, failed))
            circuit.failed += failed
            if failed and len(outcomes) >= options.calls and circuit.failed >= options.ratio * len(outcomes):
                return f"{circuit.failed} of {len(outcomes)} calls failed"
        if options.failures is not None and circuit.row >= options.failures:
            return f"{circuit.row} calls failed in a row"
        return ""

    def _forget(self, circuit: _Circuit, now: float) -> None:
        """Drop what is older than the window, and the oldest where there is no more room."""
        outcomes = circuit.outcomes
        while outcomes and (now - outcomes[0][0] > self.options.window or len(outcomes) == outcomes.maxlen):
            circuit.failed -= outcomes.popleft()[1]

    def _opened(self, target: Target, circuit: _Circuit, why: str) -> Health:
        if self._openings is not None:
            self._openings.add(1, hide(target.url))
        circuit.state, circuit.until = "open", self._now() + self.options.open_for
        circuit.settled = circuit.until - self.options.open_for / 2
        circuit.since, circuit.earlier = NEVER, {}
        circuit.row = circuit.failed = 0
        circuit.outcomes.clear()
        return Health(healthy=False, reason=f"circuit open: {why}", lasts=self.options.open_for)

    def _now(self) -> float:
        assert self._clock is not None, "startup comes first"
        return self._clock.now()
