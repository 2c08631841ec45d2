"""The checks of what stands beside the flow: transports, discovery, apps, and what every family may have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hookgate import Fault, Plugin, Response, Target, Transport
from hookgate_authoring.conformance import bench
from hookgate_authoring.conformance.guards import check_fields
from hookgate_authoring.conformance.messages import Call, outbound_of
from hookgate_authoring.conformance.report import Report
from hookgate_authoring.conformance.state import changed, held

REFUSALS = ("ConnectFailed", "GatewayTimeout", "BadGateway", "ServiceUnavailable")
SLOW = 20.0
"""Seconds for hooks that may go over the network: nobody answers them here."""


async def transports(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """An attempt ends in a response or in one of the faults of its hook; its body ends too, and nothing is left."""
    assert isinstance(plugin, Transport)
    target = Target(min(plugin.schemes), "127.0.0.1", 1)  # where nobody listens
    for call in calls[:5]:
        tasks = asyncio.all_tasks()
        try:
            response = await bench.call_hook(plugin, "send", outbound_of(call, target), patience=SLOW)
        except Fault as fault:
            if type(fault).__name__ not in REFUSALS:
                report.add("contract", "send", f"raised {type(fault).__name__}", " or ".join(REFUSALS), call)
            continue
        except Exception as error:  # noqa: BLE001 - the plugin's own
            report.add("contract", "send", f"raised {type(error).__name__}: {error}", " or ".join(REFUSALS), call)
            continue
        if not isinstance(response, Response):
            report.add("contract", "send", f"returned {type(response).__name__}", "a Response", call)
            continue
        if type(response.status) is not int or not 100 <= response.status <= 599:
            report.add("contract", "send", f"the status is {response.status!r}", "a number from 100 to 599", call)
        check_fields("send", "response.headers", list(response.headers.raw), report, call)
        async for chunk in response.body.stream():
            if not isinstance(chunk, bytes):
                report.add("contract", "send", f"the body gave {type(chunk).__name__}", "bytes", call)
        if left := await bench.left_over(tasks):
            report.add(
                "pairing", "send", f"a call that is over leaves tasks: {left[0]}", "end them with the body", call
            )
    if not isinstance(facts := plugin.facts(), Mapping):
        report.add("contract", "facts", f"returned {type(facts).__name__}", "a mapping, maybe an empty one")


async def discovery(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """What is found are targets, each once; whoever waits for others can be stopped."""
    try:
        found = await bench.call_hook(plugin, "targets", patience=SLOW)
    except Exception:  # noqa: BLE001 - where nothing answers, a plugin may say so as it likes
        found = ()
    if isinstance(found, str) or not isinstance(found, Sequence):
        report.add("contract", "targets", f"returned {type(found).__name__}", "a list or a tuple of targets")
    elif strange := [each for each in found if not isinstance(each, Target)]:
        report.add("contract", "targets", f"found {strange[0]!r:.80}", "targets only: hookgate.Target")
    elif len({each.origin for each in found}) < len(found):
        report.add("contract", "targets", "found an address twice", "each address once; weights say how often")
    await stopped(plugin, "changed", report)


async def apps(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """The blueprint is made anew each time, and whatever is asked of its pages they answer without an error."""
    from quart import Blueprint, Quart

    host = bench.House.latest
    pages = [await bench.call_hook(plugin, "blueprint", host) for _ in range(2)]
    if strange := [each for each in pages if not isinstance(each, Blueprint)]:
        report.add("contract", "blueprint", f"returned {type(strange[0]).__name__}", "a quart.Blueprint")
        return
    if pages[0] is pages[1]:
        seen = "gave the same blueprint twice, which can be mounted only once"
        report.add("contract", "blueprint", seen, "make it in the hook: pages are made for each document")
    app = Quart(type(plugin).__name__)
    app.register_error_handler(Fault, lambda fault: (fault.detail, fault.status))  # as the house answers them
    app.register_blueprint(pages[-1], url_prefix="/-")
    client = app.test_client()
    plain = [rule.rule for rule in app.url_map.iter_rules() if not rule.arguments and rule.endpoint != "static"]
    for path in sorted(plain):
        for query in ("", "?a=%00&limit=x&limit=-1&id=%ff"):
            try:
                async with asyncio.timeout(2 * bench.PATIENCE):
                    status = (await client.get(f"{path}{query}")).status_code
            except TimeoutError:
                continue  # a page that is a stream
            if status >= 500 and status != 503:
                seen = f"{path} answers {status}"
                report.add("faults", "blueprint", seen, "answer 400 to what cannot be used", query)


async def stopped(plugin: Any, hook: str, report: Report) -> None:
    """A hook that waits for something to happen ends when it is cancelled."""
    if not hasattr(plugin, hook):
        return
    waiting = asyncio.ensure_future(bench.call_hook(plugin, hook, patience=SLOW))
    await asyncio.wait({waiting}, timeout=0.05)
    waiting.cancel()
    _, late = await asyncio.wait({waiting}, timeout=bench.PATIENCE)
    if late:
        report.add("cancel", hook, "went on although it was cancelled", "let CancelledError through")
    elif not waiting.cancelled() and (error := waiting.exception()) is not None and not isinstance(error, Fault):
        seen = f"raised {type(error).__name__}: {error}"
        report.add("contract", hook, seen, "wait, and begin anew where something is away")


def plain(value: object) -> str:
    """Say what is wrong with facts for the health page; empty if they are right."""
    if value is None:
        return ""
    if not isinstance(value, Mapping):
        return f"returned {type(value).__name__}"
    try:
        json.dumps(dict(value))
    except (TypeError, ValueError) as error:
        return f"returned what JSON cannot say: {error}"
    problems = value.get("problems", [])
    if isinstance(problems, str) or not all(isinstance(each, str) for each in problems):
        return "its problems are no list of texts"
    return ""


async def every_family(cls: type[Plugin[Any]], options: Mapping[str, Any], report: Report) -> None:
    """Facts are plain and hold no secret, and taking over changes nothing of who still serves."""
    if not (hasattr(cls, "health") or hasattr(cls, "take_over")):
        return
    async with bench.live(cls, options) as old:
        try:
            facts = await bench.call_hook(old, "health")
        except Exception as error:  # noqa: BLE001 - the plugin's own
            report.add("contract", "health", f"raised {type(error).__name__}: {error}", "a mapping of plain facts")
        else:
            if wrong := plain(facts):
                report.add("contract", "health", wrong, "a mapping of plain facts, or None")
        if not hasattr(cls, "take_over"):
            return
        new, before = bench.construct(cls, options), held(old)
        try:
            await bench.call_hook(new, "take_over", old)
        except Exception as error:  # noqa: BLE001 - the plugin's own
            seen = f"raised {type(error).__name__}: {error}"
            report.add("contract", "take_over", seen, "take what is there, and begin anew for the rest")
        if way := changed(before, held(old)):
            seen = f"changed {way} of the instance that still serves"
            report.add("contract", "take_over", seen, "share it or copy it: the document may yet be refused")
