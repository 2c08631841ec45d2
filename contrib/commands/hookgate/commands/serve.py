"""``hookgate serve``: run the gateway."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

import typer

from hookgate.commands.check import named_gateway
from hookgate.commands.collecting import Apart
from hookgate.commands.output import DocumentArgument, errors, start_logging
from hookgate.commands.servicemanager import Manager
from hookgate.commands.signals import Signals
from hookgate.gateway.gateway import Gateway
from hookgate.server.loop import new_event_loop

if TYPE_CHECKING:
    from hookgate.server.serve import Server

GRACE = 1.0
"""Seconds for tasks to end that nobody waits for."""


TURN = 0.0001
"""Seconds after which a thread that works on something long, as on the next document, lets calls go on: a fiftieth of
what Python does by itself. Where only one thread has anything to do, it costs nothing."""


def command(document: DocumentArgument = None) -> None:
    """Run the gateway of a document, and follow its changes.

    A changed document is put live without dropping a call; a bad one is refused and the running one stays. SIGHUP or
    `hookgate reload` read it again, SIGTERM or Ctrl-C finish the calls in flight and stop; a second one waits for no
    balancer to turn away.
    """
    start_logging()
    sys.setswitchinterval(TURN)
    signals = Signals()
    gateway = named_gateway(document)
    gateway.went_live.append(Apart().follow)

    def ready(server: Server) -> None:
        for url in server.urls:
            errors.print(f"hookgate serves {url}", style="bold")
        for url in server.management_urls:
            errors.print(f"management on {url}/-/health")

    runner = asyncio.Runner(loop_factory=new_event_loop)
    try:
        # Whoever sits there waits for the end; a service manager has a balancer in front.
        runner.run(_served(gateway, signals, ready, at_once=os.isatty(0) or os.isatty(2)))
    finally:
        left = runner.run(_left_over())
        if left:  # to close the loop would be to wait for them
            errors.print(f"left behind: {', '.join(left)}")
        else:
            runner.close()
    raise typer.Exit(0)


async def _served(gateway: Gateway, signals: Signals, ready: Callable[[Server], None], *, at_once: bool) -> None:
    """Serve until a signal says stop, and tell the service manager how things are, where there is one."""
    from hookgate.server.serve import Server

    signals.listen()
    try:
        async with Server(gateway, at_once=at_once) as server, aclosing(Manager(gateway)) as manager:
            signals.obey(server, manager.reload if manager.listens else None)
            ready(server)
            manager.ready()
            await server.until_stopped()
    finally:
        signals.ignore()


async def _left_over() -> list[str]:
    """Cancel every other task there is; return the names of those that do not end."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    late = (await asyncio.wait(tasks, timeout=GRACE))[1] if tasks else set()
    return sorted(task.get_name() for task in late)
