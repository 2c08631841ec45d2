"""The checks of families other than interceptors."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from hookgate import (
    BadGateway,
    Certificate,
    ConfigError,
    ConnectFailed,
    Exchange,
    Family,
    Fault,
    GatewayTimeout,
    Health,
    Identity,
    Outbound,
    Outcome,
    Plugin,
    PluginError,
    Response,
    Secret,
    Target,
    Unauthorized,
)
from hookgate_authoring.conformance import bench, beside, stores, strangers
from hookgate_authoring.conformance.guards import FORBIDDEN, Picture, check_fields, compare, nested
from hookgate_authoring.conformance.messages import Call, outbound_of
from hookgate_authoring.conformance.report import Report

OUTCOMES: tuple[Any, ...] = ("ok", "connect-failed", "timeout", "broken", "aborted")
Trial = Callable[[Any, Sequence[Call], Report], Awaitable[None]]


def check(
    family: Family,
    cls: type[Plugin[Any]],
    options: Mapping[str, Any],
    calls: Sequence[Call],
    arguments: strangers.Arguments,
    report: Report,
) -> None:
    """Run the checks of a family, those that it has of its own, and those of every family."""
    trial = TRIALS.get(family.name)

    async def run() -> None:
        await beside.every_family(cls, options, report)
        if trial is None and family.name in ("interceptor", "section"):
            return
        async with bench.live(cls, options) as plugin:
            if trial is not None:
                await trial(plugin, calls, report)
            else:
                await strangers.check(plugin, family.spec, calls, arguments, report)

    if family.name != "command":
        asyncio.run(run())


async def tried(plugin: Any, hook: str, report: Report, example: object, *arguments: Any) -> tuple[Any, Fault | None]:
    """Call a hook; what it raises is a Fault or a violation."""
    try:
        return await bench.call_hook(plugin, hook, *arguments), None
    except Fault as fault:
        if isinstance(fault, PluginError):
            report.add(
                "faults", hook, f"raised PluginError: {fault}", "raise the Fault that the input deserves", example
            )
        return None, fault
    except Exception as error:  # noqa: BLE001 - the plugin's own
        seen = f"raised {type(error).__name__}: {error}"
        report.add("faults", hook, seen, "cope with any input; raise a Fault where it cannot be used", example)
        return None, PluginError(str(error))


async def auth(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """Identify gives an identity, nothing or 401; challenges are one line."""
    for call in calls:
        exchange = call.exchange()
        before = Picture(exchange)
        before.begin()
        found, fault = await tried(plugin, "identify", report, call, exchange)
        compare(plugin, "identify", before, exchange, report, call, waits=True)
        if not isinstance(found, Identity | None):
            report.add("contract", "identify", f"returned {type(found).__name__}", "an Identity or None", call)
        if fault is not None and not isinstance(fault, Unauthorized | PluginError) and fault.status < 500:
            report.add(
                "contract", "identify", f"raised {type(fault).__name__}", "Unauthorized for wrong credentials", call
            )
        challenge, _ = await tried(plugin, "challenge", report, call, exchange)
        if challenge is not None and not _one_line(challenge):
            report.add("contract", "challenge", f"returned {challenge!r}", "a str of one line, or None", call)


async def balancers(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """Only what is offered is picked, and releasing never raises."""
    for number, call in enumerate(calls):
        targets = [
            Target("http", f"host{index}", 8000 + index, weight=1 + (number * 7 + index * 3) % 5)
            for index in range(1 + number % 4)
        ]
        exchange = call.exchange()
        target, _ = await tried(plugin, "pick", report, targets, exchange, tuple(targets))
        if target is None:
            continue
        if not any(target is offered for offered in targets):
            report.add("contract", "pick", f"returned {target!r}", "one of the targets offered, or None", targets)
            continue
        response = call.response()
        await tried(plugin, "chosen", report, call, exchange, target, response)
        check_fields("chosen", "response.headers", list(response.headers.raw), report, call)
        await tried(plugin, "release", report, targets, target, Outcome(OUTCOMES[number % len(OUTCOMES)]))


async def headers(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """A value is one line or nothing."""
    for call in calls:
        outbound = outbound_of(call)
        if "request.body" in plugin.reads:
            await outbound.body.read()
        exchange = call.exchange()
        before, sent = Picture(exchange), list(outbound.headers.raw)
        before.begin()
        value, _ = await tried(plugin, "value", report, call, exchange, outbound)
        compare(plugin, "value", before, exchange, report, call, waits=True)
        if outbound.headers.raw != sent:
            report.add("effects", "value", "changed outbound.headers", "return the value, and change nothing", call)
        if value is not None and not _one_line(value):
            report.add("contract", "value", f"returned {value!r}", "a str without control characters, or None", call)


async def credentials(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """Signing adds to headers and query, and the secret stays out of logs."""
    secrets = {word for word in _secrets(plugin.options) if len(word) > 3}
    logged = _Recorder()
    root = logging.getLogger()
    level = root.level
    root.addHandler(logged)
    root.setLevel(logging.DEBUG)
    try:
        for call in calls:
            outbound = outbound_of(call)
            if "request.body" in plugin.reads:
                await outbound.body.read()
            before = (outbound.method, outbound.path, outbound.target, outbound.body)
            names = set(outbound.headers) - {(plugin.header or "").lower()}  # what a caller sent there is for us
            old = list(outbound.headers.raw)
            await tried(plugin, "sign", report, call, call.exchange(), outbound)
            if (outbound.method, outbound.path, outbound.target, outbound.body) != before or names - set(
                outbound.headers
            ):
                seen = "changed method, path, target or body, or took headers out"
                report.add("contract", "sign", seen, "add headers or parameters of the query only", call)
            new = [field for field in outbound.headers.raw if field not in old]
            check_fields("sign", "outbound.headers", new, report, call)
        for call in calls[:5]:
            outbound = outbound_of(call)
            again, _ = await tried(plugin, "rejected", report, call, call.exchange(), outbound, Response(401))
            if not isinstance(again, bool | None):
                report.add("contract", "rejected", f"returned {type(again).__name__}", "True, False or None", call)
        shown = [(await tried(plugin, "client_certificate", report, ""))[0] for _ in range(2)]
        if not isinstance(shown[0], Certificate | None):
            seen = f"returned {type(shown[0]).__name__}"
            report.add("contract", "client_certificate", seen, "a Certificate or None")
        elif shown[0] != shown[1]:
            report.add("contract", "client_certificate", "gave another one", "an equal one while it is the same")
    finally:
        root.removeHandler(logged)
        root.setLevel(level)
    if any(secret in text for secret in secrets for text in (*logged.texts, repr(plugin), repr(plugin.options))):
        report.add("contract", "sign", "the secret is in the log or in repr()", "log nothing that reveal() returned")


async def monitors(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """A probe ends in a Health whatever the target does, but for a cancellation; what happens to calls is judged."""
    target = Target("http", "127.0.0.1", 1)
    if hasattr(plugin, "probe"):
        await _probes(plugin, target, calls, report)
    for kind in OUTCOMES:
        for hook in ("observe", "begun"):
            health, _ = await tried(plugin, hook, report, kind, target, Outcome(kind, 500))
            if not isinstance(health, Health | None):
                report.add("contract", hook, f"returned {type(health).__name__}", "a Health or None", kind)
        refusal, _ = await tried(plugin, "admit", report, kind, target)
        if refusal is not None and not re.fullmatch(r"[a-z][a-z0-9-]*", str(refusal)):
            report.add("contract", "admit", f"returned {refusal!r}", "a reason such as circuit-open, or None", kind)


async def _probes(plugin: Any, target: Target, calls: Sequence[Call], report: Report) -> None:
    def raising(error: BaseException) -> Any:
        async def send(outbound: Outbound) -> Response:
            raise error

        return send

    async def cancelled(outbound: Outbound) -> Response:
        asked.append(outbound)
        raise asyncio.CancelledError

    answers = [_answering(call) for call in calls]
    failures = [raising(error("away")) for error in (ConnectFailed, GatewayTimeout, BadGateway)]
    for send in [*answers[:5], *failures]:
        health, fault = await tried(plugin, "probe", report, "", target, send)
        if not isinstance(health, Health):
            seen = f"raised {type(fault).__name__}" if fault else f"returned {type(health).__name__}"
            report.add("contract", "probe", seen, "Health(healthy=False, reason=…) for a target that fails")
    asked: list[Outbound] = []
    try:
        await bench.call_hook(plugin, "probe", target, cancelled)
    except asyncio.CancelledError:
        asked.clear()
    if asked:
        report.add("cancel", "probe", "went on although it was cancelled", "let CancelledError through")


async def observers(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """Nothing that can happen to a call makes an observer raise."""
    await tried(plugin, "generation_loaded", report, "", bench.House.latest)
    for number, call in enumerate(calls):
        exchange = call.exchange()
        before = Picture(exchange)
        await tried(plugin, "exchange_started", report, call, exchange)
        unchanged("exchange_started", before, exchange, report, call)
        if number % 3:
            exchange.response = call.response()
            exchange.identity = Identity("a\u2028b") if number % 2 else None
        if call.fault is not None:
            exchange.fault = call.fault("away")
        exchange.outcome = OUTCOMES[number % len(OUTCOMES)]
        exchange.finished = exchange.started + 1.0 if number % 4 else None
        before = Picture(exchange)
        await tried(plugin, "exchange_finished", report, call, exchange)
        unchanged("exchange_finished", before, exchange, report, call)
    for healthy in (False, True):
        await tried(plugin, "target_changed", report, "", Target("http", "unknown", 1), Health(healthy, "tried"))


def unchanged(hook: str, before: Picture, exchange: Exchange, report: Report, call: Call) -> None:
    """An observer watches, whatever it declares."""
    for name, how in before.changes(Picture(exchange)):
        report.add("effects", hook, f"{name} {how}", "watch only: what changes a call is an interceptor", call)


async def secrets(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """A reference gives a Secret or LookupError."""
    nonsense = ["", "/", "nowhere/at/all", "\x00", "/a\x00b", "../..", "é", "x" * 5000, "a\nb", "${env:x}"]
    for reference in nonsense + [call.path for call in calls]:
        try:
            value = await bench.call_hook(plugin, "resolve", reference)
        except LookupError:
            continue
        except Exception as error:  # noqa: BLE001 - the plugin's own
            seen = f"raised {type(error).__name__}: {error}"
            report.add("contract", "resolve", seen, "LookupError with what is missing", repr(reference))
            continue
        if not isinstance(value, Secret):
            report.add("contract", "resolve", f"returned {type(value).__name__}", "a Secret", repr(reference))
    await beside.stopped(plugin, "changed", report)


async def sources(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """Reading gives a mapping or ConfigError."""
    try:
        found = await bench.call_hook(plugin, "read")
    except ConfigError:
        found = None
    except Exception as error:  # noqa: BLE001 - the plugin's own
        report.add("contract", "read", f"raised {type(error).__name__}: {error}", "ConfigError with what is wrong")
        return
    if not isinstance(found, Mapping | None):
        report.add("contract", "read", f"returned {type(found).__name__}", "a mapping")
    await beside.stopped(plugin, "changed", report)


TRIALS: dict[str, Trial] = {
    "app": beside.apps,
    "discovery": beside.discovery,
    "transport": beside.transports,
    "auth": auth,
    "balancer": balancers,
    "counters": stores.counters,
    "credential": credentials,
    "header": headers,
    "monitor": monitors,
    "observer": observers,
    "secret": secrets,
    "source": sources,
    "state": stores.state,
}


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _answering(call: Call) -> Any:
    async def send(outbound: Outbound) -> Response:
        return call.response()

    return send


def _one_line(value: object) -> bool:
    return isinstance(value, str) and not FORBIDDEN.search(value.encode("latin-1", "replace"))


def _secrets(options: Any) -> set[str]:
    found: set[str] = set()
    for _, value in options:
        if isinstance(value, Secret):
            found.add(value.reveal())
    for inner in nested(options):
        found |= _secrets(inner.options)
    return found
