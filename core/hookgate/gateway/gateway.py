"""The gateway: reads documents, keeps one generation live, and takes every call through it.

A reload is: read, validate everything, construct, start what is new, swap one reference, drain the old generation, shut
down what no generation uses any more. Until the swap nothing of the running generation is touched, so a bad document
never takes a good one down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Literal

from hookgate.connections.connection import Connection
from hookgate.contract.clock import Clock, SystemClock
from hookgate.contract.families import Source
from hookgate.contract.plugin import Plugin
from hookgate.contract.section import Section
from hookgate.document.catalogue import Catalogue
from hookgate.exchange.bodies import Body
from hookgate.exchange.errors import ConfigError, LoopDetected, Problem, RefusedEarly
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.hiding import hide_in
from hookgate.exchange.messages import Headers, Request, Response
from hookgate.exchange.outbound import Health, OutcomeKind, Target
from hookgate.exchange.waiting import all_over
from hookgate.flow.flow import finish
from hookgate.flow.paths import normalise
from hookgate.gateway.bounding import GivenUp, bounded
from hookgate.gateway.bringup import bring_up
from hookgate.gateway.coming import coming
from hookgate.gateway.configuration import Configuration, load
from hookgate.gateway.counting import HouseCounters
from hookgate.gateway.following import Following
from hookgate.gateway.generation import Generation, Passage
from hookgate.gateway.hosting import Hosting
from hookgate.gateway.overview import overview, target_facts
from hookgate.gateway.parts import HouseClient, NoClient, NoMetrics
from hookgate.gateway.record import GatewaySection
from hookgate.gateway.rotation import Rotation

log = logging.getLogger("hookgate")

DEPTH = 8
"""Calls of the gateway to itself that one call may lead to, one inside the other."""

ROUNDS = 50
"""How often a source may give another document in the place of one that was refused."""

State = Literal["starting", "running", "stopping", "stopped"]


class Gateway:
    """Everything alive behind the listeners; also the :class:`~hookgate.contract.host.Host` that plugins see."""

    def __init__(self, source: Source[Any], catalogue: Catalogue | None = None, clock: Clock | None = None) -> None:
        self.source = source
        self.catalogue = catalogue or Catalogue()
        self.clock: Clock = clock or SystemClock()
        self.counters = HouseCounters()
        self.http: HouseClient = self.catalogue.part("client", NoClient)()
        self.log = logging.getLogger("hookgate.plugin")
        self.state: State = "starting"
        self.is_leaving = False
        """Calls are served, but nobody should send any more: it is about to stop."""
        self.problems: tuple[Problem, ...] = ()
        """What was wrong with the last document, if it did not go live."""
        self.live: Generation | None = None
        self.went_live: list[Callable[[Generation], Awaitable[None]]] = []
        """Called, and waited for, with each generation that goes live."""
        self.mounts: list[Callable[[Generation], Awaitable[None] | None]] = []
        """Make what each generation that is coming needs of the server: pages, listeners. They may refuse it."""
        self.listener: Callable[[], Mapping[str, Any]] | None = None
        """Tells what :meth:`status` says of the listeners, if they are ours."""
        self._generations: list[Generation] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._following = Following(source)
        self._loading = asyncio.Lock()
        self.hosting = Hosting(self, self.catalogue.part("metrics", NoMetrics)())
        self._rotation = Rotation(self.start, self.reload)
        self._number = 0

    # --- the life of a configuration --------------------------------------------------------------------------------

    async def open(self, *, watch: bool = True) -> None:
        """Load the first document and, unless told otherwise, follow its changes.

        Raises:
            ConfigError: there is nothing to serve.
        """
        if self.live is None:
            try:
                await self.reload()
            except BaseException:
                await self.close()  # what was started to read the document
                raise
            if watch:
                self.follow()

    def follow(self) -> None:
        """Reload whenever the source tells of a change, if it does."""
        if hasattr(self.source, "changed"):
            self.start("source", self._following.follow(self.reload))

    async def reload(self) -> int:
        """Read the document and put it live; return the number of its generation.

        Raises:
            ConfigError: it is bad; the running generation stays, and :meth:`status` shows the problems.
        """
        async with self._loading:
            if self.is_leaving:
                raise ConfigError([Problem((), "the gateway is about to stop, and reads no document any more")])
            try:
                document = await self._following.read(self._patience("startup_timeout"))
                config = await self._loaded(document)
                generation = await bring_up(self, config, self._number + 1)
                self._number += 1
            except ConfigError as error:
                kept = [plugin for each in self._generations for plugin in each.config.instances.values()]
                await self.hosting.end_others(kept, self._patience("stop_timeout"))
                self.problems = error.problems
                if self.live is not None:
                    log.error(  # noqa: TRY400 - a mistake of a person, not a failure of the program
                        "the new document was refused, generation %d stays:\n%s", self.live.number, error
                    )
                raise
            self.problems = ()
            self.go_live(generation)
            for follow in self.went_live:
                await follow(generation)
            return generation.number

    async def _loaded(self, document: Mapping[str, Any], *, secrets: bool = True) -> Configuration:
        """Check a document. In the place of a bad one the source may have another, without what is bad in it."""
        live = self.live.config if self.live is not None else None
        previous, kept = (None, None) if live is None else (live.instances, live.kept)
        for left in reversed(range(ROUNDS)):
            try:
                return await load(document, self.catalogue, previous, self.hosting.host_of, secrets=secrets, kept=kept)
            except ConfigError as error:
                other = await self._following.instead(error, self._patience("startup_timeout")) if left else None
                if other is None:
                    raise
                document = other
        raise AssertionError

    async def check(self, *, secrets: bool = True) -> Configuration:
        """Load the document as :meth:`reload` does, put nothing live, and let go of what had to be started for it.
        Without ``secrets`` no provider of them is asked.

        Raises:
            ConfigError: everything that is wrong with it.
        """
        try:
            document = await self._following.read(self._patience("startup_timeout"))
            config = await self._loaded(document, secrets=secrets)
            await self.hosting.end(config.secrets, config.gateway.stop_timeout)
        except BaseException:
            await self.close()
            raise
        await self.close()
        return config

    def go_live(self, generation: Generation) -> None:
        """Serve from now on with a generation, and let the one before it finish its calls."""
        old, self.live = self.live, generation
        config = generation.config
        self.hosting.keeping.store = config.state
        if config.counters is not None:
            self.counters.count_by(config.counters, config.gateway.hook_timeout)
        self._generations.append(generation)
        kept = {id(backend) for backend in old.backends.values()} if old is not None else set()
        for backend in generation.backends.values():
            if id(backend) not in kept:
                backend.start()
        if self.state == "starting":
            self.state = "running"
        known = set(() if old is None else old.config.warnings)
        for warning in (each for each in config.warnings if each not in known):
            log.warning("%s", warning)
        log.info("generation %d is live: %d routes", generation.number, len(generation.config.routes))
        for observer in config.observers:
            if hasattr(observer, "generation_loaded"):
                host = self.hosting.host_of(observer)
                _observed(observer, "generation_loaded", observer.generation_loaded, host)
        self._rotation.follow(generation.config.secrets)
        if old is not None:
            self.start(f"drain {old.number}", self._retire(old, generation.config.gateway.drain))

    async def _retire(self, generation: Generation, patience: float) -> None:
        """Wait for the last calls of a generation, then let go of what only it used."""
        if not await generation.drained(patience):
            log.warning(
                "generation %d still has %d calls after %g s and is closed under them",
                generation.number,
                generation.in_flight,
                patience,
            )
        self._generations.remove(generation)
        ending = asyncio.create_task(self._let_go(generation), name=f"end {generation.number}")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        await asyncio.shield(ending)  # what has begun to end does so, also where the gateway stops meanwhile

    async def _let_go(self, generation: Generation) -> None:
        kept = [*self._generations]
        in_use = await asyncio.to_thread(lambda: {id(p) for each in kept for p in each.config.instances.values()})
        backends = {id(backend) for other in kept for backend in other.backends.values()}
        for backend in [each for each in generation.backends.values() if id(each) not in backends]:
            try:
                await bounded(backend.stop(), self.hosting.share(generation.config.gateway.stop_timeout))
            except GivenUp:
                log.error("connection %s: checks or discovery do not end; given up", backend.connection.name)  # noqa: TRY400
        gone = await asyncio.to_thread(lambda: [p for p in generation.config.instances.values() if id(p) not in in_use])
        await self.hosting.end(gone, generation.config.gateway.stop_timeout)
        if not generation.in_flight:
            await asyncio.to_thread(generation.forget)

    def _patience(self, name: Literal["startup_timeout", "stop_timeout"]) -> float:
        """Return how long to wait for one plugin, by the live document, or as it is where none says otherwise."""
        gateway = self.live.config.gateway if self.live is not None else GatewaySection()
        return float(getattr(gateway, name))

    async def close(self, patience: float | None = None) -> None:
        """Finish the calls in flight (up to ``patience`` seconds), then shut everything down."""
        if self.state == "stopped":
            return
        self.state, self.is_leaving = "stopping", True
        patience_with_one = self._patience("stop_timeout")
        self.hosting.stop(2 * patience_with_one)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=self.hosting.share(patience_with_one))
            for task in late:
                log.error("the task %r does not end within %g s and is given up", task.get_name(), patience_with_one)
        if self.live is not None:
            bound = self.live.config.gateway.shutdown_timeout if patience is None else patience
            until = asyncio.get_running_loop().time() + bound
            for generation in list(self._generations):
                await self._retire(generation, max(until - asyncio.get_running_loop().time(), 0))
            self.live = None
        if self._endings:
            await asyncio.wait(set(self._endings))
        await self.hosting.end_others((), patience_with_one)
        await self.hosting.end([self.source], patience_with_one)
        await self.http.aclose()
        self.state = "stopped"

    @property
    def in_flight(self) -> int:
        """Calls that are not over, in all generations."""
        return sum(generation.in_flight for generation in self._generations)

    # --- calls ------------------------------------------------------------------------------------------------------

    def begin(self, request: Request) -> Exchange:
        """A call has arrived: give it an exchange in the live generation. Whoever calls this calls :meth:`end`."""
        assert self.live is not None
        generation = self.live
        generation.enter()
        exchange = Exchange(request, started=self.clock.now())
        exchange.generation = generation.number
        exchange.home = generation
        for observer, started in generation.started:
            _observed(observer, "exchange_started", started, exchange)
        return exchange

    def find(self, exchange: Exchange) -> Passage:
        """Return the way a call takes through the generation that it came to."""
        generation: Generation = exchange.home
        return generation.find(exchange)

    async def answer(self, exchange: Exchange, passage: Passage) -> Response:
        """Take a call its way and return the response to send. Raises nothing but a cancellation."""
        response = await passage.flow.run(exchange, passage.destination)
        exchange.head_at = self.clock.now()
        return response

    def end(self, exchange: Exchange, outcome: OutcomeKind) -> None:
        """A call is over: ``on_done``, then the observers, exactly once."""
        generation: Generation = exchange.home
        finish(exchange, outcome)
        exchange.outcome = outcome
        exchange.finished = self.clock.now()
        exchange.bytes_received = exchange.request.body.received
        if exchange.response is not None and exchange.response.status >= 500 and exchange.connection is not None:
            exchange.connection.counts["northbound_errors"] += 1
        if exchange.trace is not None:
            exchange.trace.finish(exchange)
        for observer, finished in generation.finished:
            _observed(observer, "exchange_finished", finished, exchange)
        generation.leave()

    def refused(self, request: Request, status: int, detail: str) -> None:
        """A listener refused what it could not take for a call: tell observers as of a call without a route."""
        if (live := self.live) is None:
            return
        exchange = Exchange(request, started=self.clock.now())
        exchange.generation, exchange.home = live.number, live
        exchange.fault, exchange.response = RefusedEarly(status, detail), Response(status)
        exchange.outcome, exchange.finished = "ok", exchange.started
        for observer, told in (*live.started, *live.finished):
            _observed(observer, told.__name__, told, exchange)

    async def visit(self, by: Exchange, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Take a call of a step of ours through the flow of its route; see :meth:`Exchange.visit`.

        Raises:
            LoopDetected: this is the ``DEPTH``-th call of the gateway to itself.
        """
        if by.depth >= DEPTH:
            raise LoopDetected(f"The gateway called itself {DEPTH} times for one call.")
        fields = Headers(headers)
        host = fields.setdefault("host", by.request.host or "localhost")
        path, _, query = target.partition("?")
        request = Request(
            method,
            normalise(path),
            query,
            scheme=by.request.scheme,
            host=host,
            headers=fields,
            body=Body(body),
            client=by.request.client,
        )
        inner = self.begin(request)
        inner.depth = by.depth + 1
        try:
            response = await self.answer(inner, self.find(inner))
            await response.body.read()
        except BaseException:
            await self._visited(inner, "aborted")
            raise
        await self._visited(inner, "ok")
        return response

    async def _visited(self, inner: Exchange, outcome: OutcomeKind) -> None:
        self.end(inner, outcome)
        await all_over(message.body.close() for message in (inner.request, inner.response) if message is not None)

    # --- what plugins may ask for -----------------------------------------------------------------------------------

    def connection(self, name: str) -> Connection:
        """Return a live connection.

        Raises:
            LookupError: there is none of that name.
        """
        if self.live is None or name not in self.live.backends:
            raise LookupError(f"there is no connection named {name!r}")
        return self.live.backends[name].connection

    def configuration(self) -> Configuration | None:
        """Return the document that is coming, for whoever asks within a ``startup``, or the live one."""
        return coming() or (self.live.config if self.live is not None else None)

    def section(self, name: str) -> Section[Any]:
        """Return a section of the live document.

        Raises:
            LookupError: there is none of that name.
        """
        config = self.configuration()
        if config is None or name not in config.sections:
            raise LookupError(f"the document has no section {name!r}")
        return config.sections[name]

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that ends with the gateway; a failure is logged."""

        async def guarded() -> None:
            try:
                await coroutine
            except (Exception, SystemExit):
                log.exception("the task %r failed", name)

        task = asyncio.create_task(guarded(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: coroutine.close())  # where it was cancelled before it began
        return task

    def status(self) -> Mapping[str, Any]:
        """Return what ``/-/health`` shows."""
        live = self.live
        facts = self.hosting.facts(live.config if live is not None else None)
        theirs = [f"{name}: {each}" for name, told in facts.items() for each in told.get("problems", ())]
        for backend in live.backends.values() if live is not None else ():
            theirs += backend.connection.failing.problems
        theirs += self._following.problems
        state: str = "stopping" if self.is_leaving and self.state == "running" else self.state
        state = "degraded" if state == "running" and (self.problems or theirs) else state
        told = {
            "status": "ok" if state == "running" else state,
            "generation": live.number if live is not None else 0,
            "draining": [g.number for g in self._generations if g is not live],
            "in_flight": self.in_flight,
            "listener": self.listener() if self.listener is not None else None,
            "refused": bool(self.problems),
            "problems": [*(str(problem) for problem in self.problems), *theirs],
            "warnings": [str(warning) for warning in (live.config.warnings if live is not None else ())],
            "connections": {
                name: [target_facts(target) for target in backend.connection.targets]
                for name, backend in (live.backends.items() if live is not None else ())
            },
            **({"plugins": facts} if facts else {}),
        }
        return hide_in(told)  # type: ignore[no-any-return]

    def overview(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what ``/-/connections`` shows, by name of the connection."""
        live = self.live.backends if self.live is not None else {}
        told = overview({name: backend.connection for name, backend in live.items()})
        return hide_in(told)  # type: ignore[no-any-return]

    def target_changed(self, target: Target, health: Health) -> None:
        """Tell observers that a target became healthy or unhealthy."""
        self._tell("target_changed", target, health)

    def _tell(self, hook: str, *arguments: Any) -> None:
        for observer in self.live.config.observers if self.live is not None else ():
            if hasattr(observer, hook):
                _observed(observer, hook, getattr(observer, hook), *arguments)


def _observed(observer: Plugin[Any], hook: str, method: Any, *arguments: Any) -> None:
    try:
        method(*arguments)
    except (Exception, SystemExit):
        log.exception("observer %s failed in %s", observer.entry.id, hook)
