"""``hookgate serve``: run the gateway."""

from __future__ import annotations

import asyncio
import gc

import typer

from hookgate.commands.output import DocumentArgument, document_path, errors, start_logging
from hookgate.server.app import gateway_for
from hookgate.server.loop import new_event_loop
from hookgate.server.serve import Server, serve
from hookgate.server.settings import Settings


def command(document: DocumentArgument = None) -> None:
    """Run the gateway of a document, and follow its changes.

    A changed document is put live without dropping a call; a bad one is refused and the running one stays. SIGHUP or
    `hookgate reload` read it again, SIGTERM or Ctrl-C finish the calls in flight and stop.
    """
    start_logging()
    gateway = gateway_for(document_path(document), Settings().plugins_dir)

    def ready(server: Server) -> None:
        gc.freeze()  # what was built at load stays, so no collection has to look at it again
        for url in server.urls:
            errors.print(f"hookgate serves [bold]{url}[/bold]", highlight=False)
        for url in server.management_urls:
            errors.print(f"management on {url}/-/health", highlight=False)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(gateway, ready))
    raise typer.Exit(0)
