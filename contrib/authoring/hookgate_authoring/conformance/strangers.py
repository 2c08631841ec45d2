"""The checks of a family that core does not know: its hooks are called with what their specification says."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hookgate import (
    Exchange,
    Fault,
    Headers,
    Health,
    Host,
    Identity,
    Outbound,
    Outcome,
    Plugin,
    Request,
    Response,
    Target,
)
from hookgate.contract import hooks_of
from hookgate_authoring.conformance import bench
from hookgate_authoring.conformance.guards import Picture, compare
from hookgate_authoring.conformance.messages import Call, outbound_of
from hookgate_authoring.conformance.report import Report

Arguments = Mapping[str, Sequence[Sequence[Any]]]
"""What an author says a hook is called with: by name of the hook, several lists of arguments."""
LIFECYCLE = ("startup", "shutdown", "take_over", "health")


async def check(plugin: Plugin[Any], spec: type, calls: Sequence[Call], arguments: Arguments, report: Report) -> None:
    """Call every hook, and hold what it gives against the annotation of its specification."""
    for hook in hooks_of(type(plugin), spec):
        if hook in LIFECYCLE:
            continue
        types = _types(getattr(spec, hook))
        wanted = types.pop("return", Any)
        for call in calls:
            given = _given(hook, types, call, arguments, report)
            if given is None:
                break
            await _called(plugin, hook, wanted, given, call, report)
        for listed in arguments.get(hook, ()):
            await _called(plugin, hook, wanted, list(listed), Call(), report)


def _types(hook: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(hook)
    except Exception:  # noqa: BLE001 - names that stand under TYPE_CHECKING only
        known = {each.__name__: each for each in (Exchange, Outbound, Target, Response, Identity, Health, Host)}
        try:
            return typing.get_type_hints(hook, localns=known)
        except Exception:  # noqa: BLE001
            names = hook.__code__.co_varnames[1 : hook.__code__.co_argcount]
            return dict.fromkeys(names, Any)


def _given(hook: str, types: Mapping[str, Any], call: Call, arguments: Arguments, report: Report) -> list[Any] | None:
    """Make arguments out of a call; ``None`` where the author has to say them."""
    made: list[Any] = []
    for name, wanted in types.items():
        if wanted is Exchange:
            made.append(call.exchange())
        elif wanted is Outbound:
            made.append(outbound_of(call))
        elif wanted in MADE:
            made.append(MADE[wanted](call))
        elif hook in arguments:
            return None
        else:
            seen = f"the kit has nothing to give for {name}: {wanted}"
            report.add("contract", hook, seen, f"conformance(…, arguments={{{hook!r}: [(…), …]}})")
            return None
    return made


MADE: dict[Any, Any] = {
    Request: lambda call: call.exchange().request,
    Response: lambda call: call.response(),
    Headers: lambda call: call.exchange().request.headers,
    Target: lambda call: Target("http", "backend.test", 80),
    Outcome: lambda call: Outcome("ok"),
    Health: lambda call: Health(healthy=True, reason="tried"),
    Host: lambda call: bench.House.latest,
    str: lambda call: call.path,
    int: lambda call: call.status,
    float: lambda call: float(call.status),
    bool: lambda call: call.refused,
    bytes: lambda call: b"".join(call.sent.chunks),
}


async def _called(plugin: Any, hook: str, wanted: Any, given: list[Any], call: Call, report: Report) -> None:
    exchange = next((each for each in given if isinstance(each, Exchange)), None)
    before = Picture(exchange) if exchange is not None else None
    if before is not None:
        before.begin()
    try:
        result = await bench.call_hook(plugin, hook, *given)
    except Fault:
        return
    except Exception as error:  # noqa: BLE001 - the plugin's own
        seen = f"raised {type(error).__name__}: {error}"
        report.add("faults", hook, seen, "cope with any input; raise a Fault where it cannot be used", call)
        return
    if before is not None and exchange is not None:
        compare(plugin, hook, before, exchange, report, call, waits=True)
    try:
        TypeAdapter(wanted, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(result, strict=True)
    except ValidationError:
        report.add("contract", hook, f"returned {result!r:.80}", f"{wanted}", call)
    except Exception:  # noqa: BLE001, S110 - pydantic knows no such type: nothing can be said
        pass
