"""The whole contract: every hook a plugin may implement, family by family, in the order of the data path.

A hook written ``async def`` here may be ``async def`` or ``def`` in a plugin, as its author likes. One written ``def``
here runs where nothing may wait (in a ``finally``, during a cancellation, several times per call) and must be ``def``
in a plugin too; anything else is refused at load. ``tryfirst``, ``trylast`` and ``wrapper`` are refused on flow hooks:
the order is what the deployer wrote. A plugin implements as few hooks as it likes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

import pluggy

if TYPE_CHECKING:
    from hookgate.contract.backends import Certificate, Send
    from hookgate.contract.counters import Decision, Limit
    from hookgate.contract.host import Blueprint, Commands, Host
    from hookgate.contract.secret import Secret
    from hookgate.contract.section import Definition, Detour, Loaded, Readdress, Route, Site
    from hookgate.contract.state import Row
    from hookgate.contract.steps import Answered, Faulted
    from hookgate.exchange.errors import ConfigError, Problem
    from hookgate.exchange.exchange import Exchange, Identity
    from hookgate.exchange.messages import Message, Response
    from hookgate.exchange.outbound import Health, Outbound, Outcome, Target

P = ParamSpec("P")
R = TypeVar("R")


class _Hookspec(Protocol):
    """To type checkers a hook that is specified ``async def`` may be either; base classes inherit what is specified."""

    @overload
    def __call__(self, hook: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Awaitable[R] | R]: ...
    @overload
    def __call__(self, hook: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def __call__(self, *, firstresult: bool) -> _Hookspec: ...


PROJECT = "hookgate"
as_it_is = pluggy.HookspecMarker(PROJECT)
hookspec: _Hookspec = as_it_is  # type: ignore[assignment]
"""Marks a hook in the specification of a family."""
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a method of a plugin that is a hook."""

# The bodies are docstrings: a specification says what a hook means and does nothing itself.
# mypy: disable-error-code="empty-body"


class LifecycleSpec:
    """Every family. Constructors have no side effects; sockets, files and tasks belong here."""

    @hookspec
    async def startup(self, host: Host) -> None:
        """Get ready: open files, connections, tasks. Runs before the configuration goes live.

        Raising keeps the configuration from going live; what has started is shut down again. An instance that a reload
        leaves unchanged is not started again.
        """

    @hookspec
    async def shutdown(self) -> None:
        """Let go of everything. Runs when the last call that uses the instance is over, also after a failed startup.

        Both have a bound (``gateway.startup_timeout``, ``gateway.stop_timeout``): one that hangs is named and given up.
        """

    @hookspec
    def take_over(self, old: Any) -> None:
        """Take over the state of the instance whose place this one takes: of the same class and id, with other options.
        Asked before ``startup``. The old one still serves, and the document may yet be refused: share or copy, and
        change nothing of it.
        """

    @hookspec(firstresult=True)
    def health(self) -> Mapping[str, Any] | None:
        """Return plain facts for `/-/health`, where they stand under the id of the instance. What stands under
        ``problems``, a list of texts, makes the gateway ``degraded``. Asked whenever somebody looks; it must not wait.
        """


class FlowSpec:
    """``hookgate.interceptors``: steps of a flow, drawn with the client on the left and the backend on the right.

    The invariant: if your ``on_request`` ran to its end and let the call pass, your ``on_done`` runs exactly once,
    after the last byte, an abort or a cancellation; and before it your ``on_response`` has run once, unless the client
    was gone first. A step without ``on_request`` sees every answer and every fault of its flow.

    ``on_request``, ``on_response`` and ``on_fault`` are ``async def`` or ``def``, or ``def`` that returns an awaitable,
    where it seldom waits. All that is waited for ends after ``gateway.hook_timeout``. What a hook returns or leaves in
    the exchange that is not of its kind is its failure: 500 ``plugin-error``, with plugin and hook in the log.
    """

    @hookspec(firstresult=True)
    async def on_request(self, exchange: Exchange) -> Response | None:
        """Left to right. Return ``None`` to let the call pass, a response to answer here, or raise a ``Fault``."""

    @hookspec
    async def on_response(self, exchange: Answered) -> None:
        """Right to left. Change ``exchange.response``; it is there, whoever answered."""

    @hookspec(firstresult=True)
    async def on_fault(self, exchange: Faulted) -> Response | None:
        """Right to left, for steps left of the failure. See ``exchange.fault``; the first response returned wins.

        If no step answers, the client gets RFC 9457 problem details. Raising replaces the fault, and the walk goes on.
        """

    @hookspec(firstresult=True)
    async def on_message(self, exchange: Exchange, message: Message) -> Message | None:
        """For each message of a WebSocket, either way, in the order of the way it takes. Return the message that goes
        on, or ``None`` to drop it; raise a ``Fault`` to close both ends (1008 for who sent it). A step of one side sees
        the messages of that way only. Routes without such a step move bytes.
        """

    @hookspec
    def on_done(self, exchange: Exchange) -> None:
        """The call is over, however it ended (``exchange.outcome``). Release here what ``on_request`` took."""

    @hookspec(firstresult=True)
    def choose(self, exchange: Exchange) -> str | None:
        """For a ``Branch``: name the contained flow that this call enters, or ``None`` for none of them."""


class AuthSpec:
    """``hookgate.auth``: who is calling. Used by the ``auth`` interceptor, in the order the deployer wrote."""

    @hookspec
    async def identify(self, exchange: Exchange) -> Identity | None:
        """Return who calls; ``None`` when there are no credentials of this kind; raise ``Unauthorized`` for wrong
        ones. Nothing but an ``Identity`` admits anybody: ``True`` or a name is a failure, 500 ``plugin-error``.
        """

    @hookspec
    def challenge(self, exchange: Exchange) -> str | None:
        """Return the challenge for ``WWW-Authenticate``, without line breaks, or ``None``."""


class CredentialsSpec:
    """``hookgate.credentials``: how the gateway shows a backend who it is. In the order of ``connection.auth``."""

    @hookspec
    async def sign(self, exchange: Exchange, outbound: Outbound) -> None:
        """Add credentials to one attempt. Target, Host, framing and header actions are final by now.

        With ``reads = {"request.body"}``, of the class or of the instance, core keeps the body whole before it asks:
        ``outbound.body.data``. An ``async def`` makes every call of the connection a task; a hook that seldom waits is
        written ``def`` and returns ``None``, or a :class:`hookgate.Signal` to wait for.
        """

    @hookspec(firstresult=True)
    async def rejected(self, exchange: Exchange, outbound: Outbound, response: Response) -> bool | None:
        """Asked after a 401. Return ``True`` to have the attempt signed and sent once more (a token was renewed).

        It goes to the same target if that may still be called, and only where the body is at hand: of an upload that
        was streamed a credential learns, so that the next call has a better one.
        """

    @hookspec(firstresult=True)
    def client_certificate(self) -> Certificate | None:
        """Return the TLS client certificate. Asked when the configuration is loaded and whenever a connection is
        opened, so that a certificate can be replaced while the gateway runs; return an equal one while it is the same.
        """


class HeaderSpec:
    """``hookgate.headers``: the value of one header action of a connection (AC-19 to AC-24)."""

    @hookspec(firstresult=True)
    async def value(self, exchange: Exchange, outbound: Outbound) -> str | None:
        """Return the value, or ``None`` to leave the header out; ``set`` then takes out what the client sent.

        What is said of ``reads`` and of waiting at ``CredentialsSpec.sign`` holds here, too.
        """


class BalancerSpec:
    """``hookgate.balancers``: which target gets the next attempt."""

    @hookspec(firstresult=True)
    def pick(self, exchange: Exchange, targets: Sequence[Target]) -> Target | None:
        """Choose one of the usable targets (active, weight above 0, healthy, not tried yet), or ``None`` to refuse."""

    @hookspec
    def chosen(self, exchange: Exchange, target: Target, response: Response) -> None:
        """A target answered; a sticky balancer sets its cookie here."""

    @hookspec
    def release(self, target: Target, outcome: Outcome) -> None:
        """Called once for each pick, when the body is through or the attempt failed."""


class MonitorSpec:
    """``hookgate.monitors``: is this target well? Core owns the clock, the thresholds and the back-off (AC-8 to
    AC-14).
    """

    @hookspec(firstresult=True)
    async def probe(self, target: Target, send: Send) -> Health:
        """Check once. ``send`` goes out with the TLS settings, headers and credentials of the connection."""

    @hookspec(firstresult=True)
    def observe(self, target: Target, outcome: Outcome) -> Health | None:
        """Judge by real traffic (passive health); ``None`` when this outcome says nothing.

        Core counts: ``unhealthy_after`` bad findings in a row make a target unhealthy, and ``Health.lasts`` says for
        how long where nothing checks it.
        """

    @hookspec(firstresult=True)
    def begun(self, target: Target, outcome: Outcome) -> Health | None:
        """Judge by the head of an answer that may go on for hours: an event stream, a WebSocket (101). ``outcome`` has
        its status and the seconds until then; :meth:`observe` is told of its end, as of every other.
        """

    @hookspec(firstresult=True)
    def admit(self, target: Target) -> str | None:
        """Return why this target may not be called now, or ``None`` if it may (a circuit breaker). Asked before each
        attempt, of every target; unlike health it also holds for a connection with one target. The word, such as
        ``circuit-open``, becomes the reason of the 503 where no target may be called.
        """


class ObserverSpec:
    """``hookgate.observers``: watch, never change. Errors are logged, never raised; network work is queued."""

    @hookspec
    def exchange_started(self, exchange: Exchange) -> None:
        """A call has arrived and its head has been read."""

    @hookspec
    def exchange_finished(self, exchange: Exchange) -> None:
        """A call is over: once for every call, aborted ones too, after all ``on_done``.

        Also for what a listener refused before it was a call (400, 408, 414, 431, 501): its fault is a
        ``refused-early``, and its request has what is known.
        """

    @hookspec
    def target_changed(self, target: Target, health: Health) -> None:
        """A target became healthy or unhealthy."""

    @hookspec
    def generation_loaded(self, host: Host) -> None:
        """A configuration went live."""


class SourceSpec:
    """``hookgate.sources``: where the configuration document comes from."""

    @hookspec(firstresult=True)
    async def read(self) -> Mapping[str, Any] | None:
        """Return the document. Raise ``ConfigError`` when it cannot be read or is not well-formed."""

    @hookspec(firstresult=True)
    async def instead(self, error: ConfigError) -> Mapping[str, Any] | None:
        """Return what is to be loaded in the place of a document that was refused: the same without what is bad, say.
        ``None`` for nothing: then the document is refused. It is asked again for what it returns."""

    @hookspec(firstresult=True)
    async def changed(self) -> None:
        """Return when a new document is worth reading; wait as long as it takes."""


class TransportSpec:
    """``hookgate.transports``: carries one attempt to a target. Named in ``connection.transport``."""

    @hookspec(firstresult=True)
    async def send(self, outbound: Outbound) -> Response:
        """Send and return as soon as the head of the response is there; the body streams.

        Raises:
            ConnectFailed: nothing was sent.
            GatewayTimeout: a time-out after something may have been sent.
            BadGateway: the backend broke off or answered nonsense.
            ServiceUnavailable: no free connection came up in time.
        """


class SecretsSpec:
    """``hookgate.secrets``: resolves ``${name:reference}`` in a document."""

    @hookspec(firstresult=True)
    async def resolve(self, reference: str) -> Secret:
        """Return the value of a reference, or raise ``LookupError`` with what is missing and how to provide it.

        ``MachineError`` says that it cannot be had now, and the document may be right (exit code 3).
        """

    @hookspec(firstresult=True)
    async def changed(self) -> None:
        """Return when a value that was resolved may be another one now: the document is then loaded again."""


class CountersSpec:
    """``hookgate.counters``: where limits are counted. One serves a gateway, as ``gateway.counters`` says."""

    @hookspec(firstresult=True)
    async def take(self, wants: Sequence[tuple[str, int, Limit]]) -> Decision:
        """Take units from every (key, cost, limit) or, when one refuses, from none of them (KC-32).

        The first limit that refuses decides; a cost of 0 only looks. One that counts in memory is written ``def``.
        """


class StateSpec:
    """``hookgate.state``: where plugins keep what outlives a restart. One serves a gateway, as ``gateway.state`` says.

    Bounds are checked before, values are bytes, times are Unix time. What a hook has answered lasts. ``StateError``
    says what is wrong with the store; it stands on `/-/health` until the store answers again, unless that tells of
    itself with a hook ``health``. ``StateRefused`` is for what a store that is well refuses.
    """

    @hookspec(firstresult=True)
    async def read(self, name: str, key: str, now: float) -> Row | None:
        """Return a row that has not expired."""

    @hookspec(firstresult=True)
    async def write(self, name: str, key: str, row: Row, version: int | None, most: int, now: float) -> int:
        """Write a row and return its version, which is higher than any that the key ever had.

        With ``version`` only over that one, 0 for none: else raise ``Conflict``. Raise ``StateRefused`` where a new key
        would be one more than ``most`` of the name that have not expired.
        """

    @hookspec(firstresult=True)
    async def remove(self, name: str, key: str, version: int | None, now: float) -> bool:
        """Remove a row; return whether there was one. ``Conflict`` as for ``write``."""

    @hookspec(firstresult=True)
    async def increase(
        self, name: str, key: str, amount: int, expires: float | None, bound: int | None, most: int, now: float
    ) -> int | None:
        """Add to a row that is a whole number, in one step; ``None`` and no change where more than 0 would pass
        ``bound``. ``expires`` counts for a row that begins; 0 begins none. ``StateRefused`` for what is no whole
        number, or has more than 64 bits.
        """

    @hookspec(firstresult=True)
    async def scan(self, name: str, prefix: str, after: str, limit: int, now: float) -> Sequence[tuple[str, Row]]:
        """Return rows that have not expired, in the order of their keys by code point, behind ``after``."""


class DiscoverySpec:
    """``hookgate.discovery``: targets that come and go."""

    @hookspec(firstresult=True)
    async def targets(self) -> Sequence[Target]:
        """Return the targets as they are now."""

    @hookspec(firstresult=True)
    async def changed(self) -> None:
        """Return when the targets may have changed."""


class SectionSpec:
    """``hookgate.sections``: what stands at the top level of a document. All of these hooks are asked while one is
    loaded, in this order, each of every section in the order of the document. They return and keep nothing, since the
    document may still be refused. A section that is only referred to has none.
    """

    passive = True

    @hookspec
    def instances(self) -> Iterable[Definition]:
        """Return what can be placed by a name of its own. Sections with this hook or the next are read first."""

    @hookspec
    def connections(self) -> Iterable[Definition]:
        """Return connections, as the section ``connections`` would have them."""

    @hookspec
    def routes(self, site: Site) -> Iterable[Route | None]:
        """Return routes, as ``site.route`` makes them; what is ``None`` counts for nothing.

        Best a generator: calls are served between two routes.
        """

    @hookspec
    def check(self, site: Site) -> Iterable[Problem]:
        """Return mistakes that no record can see by itself. With any of them the document does not go live."""

    @hookspec
    def review(self, configuration: Loaded) -> Iterable[Problem | None]:
        """Return warnings about a document that is right: what can be meant so, and seldom is."""

    @hookspec(firstresult=True)
    def detour(self, host: Host) -> Detour | None:
        """Return what may take a call through another flow than that of its route. Asked once for each generation;
        what is returned is called for each call, so that a gateway where nobody returns one pays nothing.
        """

    @hookspec(firstresult=True)
    def readdress(self, host: Host) -> Readdress | None:
        """Return what may change where a call goes before its route is looked for. Asked once, as ``detour`` is."""


class CommandSpec:
    """``hookgate.commands``: what people type behind ``hookgate``. The name of the entry point is the first word."""

    @hookspec
    def add_commands(self, commands: Commands) -> None:
        """Add a command, or a group of them, of the entry point's name to a ``typer.Typer``."""


class AppSpec:
    """``hookgate.apps``: pages and APIs on the management listener, or exposed on the public one by name."""

    @as_it_is(firstresult=True)
    def blueprint(self, host: Host) -> Blueprint:
        """Return a Quart blueprint; core mounts it under ``/-/`` of the management listener. It may serve for as
        long as this instance does, so pages ask ``host`` for what is live."""
