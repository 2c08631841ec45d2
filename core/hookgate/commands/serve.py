"""``hookgate serve``: run the gateway."""

from __future__ import annotations

import asyncio
import gc

import typer

from hookgate.commands.check import named_gateway
from hookgate.commands.output import DocumentArgument, errors, start_logging
from hookgate.server.leaving import left_over
from hookgate.server.loop import new_event_loop
from hookgate.server.serve import Server, serve


def command(document: DocumentArgument = None) -> None:
    """Run the gateway of a document, and follow its changes.

    A changed document is put live without dropping a call; a bad one is refused and the running one stays. SIGHUP or
    `hookgate reload` read it again, SIGTERM or Ctrl-C finish the calls in flight and stop.
    """
    start_logging()
    gateway = named_gateway(document)

    def ready(server: Server) -> None:
        gc.freeze()  # what was built at load stays, so no collection has to look at it again
        for url in server.urls:
            errors.print(f"hookgate serves [bold]{url}[/bold]", highlight=False)
        for url in server.management_urls:
            errors.print(f"management on {url}/-/health", highlight=False)

    runner = asyncio.Runner(loop_factory=new_event_loop)
    try:
        runner.run(serve(gateway, ready))
    finally:
        left = runner.run(left_over())
        if left:  # to close the loop would be to wait for them
            errors.print(f"left behind: {', '.join(left)}", highlight=False, markup=False)
        else:
            runner.close()
    raise typer.Exit(0)
