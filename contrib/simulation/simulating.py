"""A document to simulate calls of, by the function and by the command."""

import asyncio
import json
import os
import subprocess
import sys

from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.gateway.configuration import load
from hookgate_simulation import mocks_in, simulate

DOCUMENT = """\
gateway: {flow: [request-id]}
routes:
  - {name: early, match: {path: /early}, flow: [cors: {allow_origins: [https://a.example]}, respond: {status: 418}]}
  - {name: claimed, match: {path: /claimed}, flow: [claim, headers: {response: {set: {x-b: "1"}}}, refuse]}
  - {name: unclaimed, match: {path: /unclaimed}, flow: [refuse]}
  - name: branched
    match: {path: /branched}
    flow:
      - when:
          if: request.method == 'POST'
          flow: [headers: {request: {set: {x-way: then}}}]
          otherwise: {flow: [headers: {request: {set: {x-way: otherwise}}, response: {set: {x-left: "1"}}}]}
      - headers: {response: {set: {x-never: "1"}}, _: {when: request.client == '192.0.2.1'}}
    to: {connection: backend}
  - name: proxied
    match: {path: "/orders/{id}"}
    flow:
      - rate-limit: {limit: 9, window: hour, headers: false}
      - headers: {request: {remove: [x-drop], set: {x-a: "1"}}}
    to: {connection: backend, path: "/v2/{id}"}
  - {name: broken, match: {path: /broken}, to: {connection: backend}}
  - {name: failing, match: {path: /failing}, flow: [claim, break], to: {connection: backend}}
connections:
  backend: {targets: [{url: "BACKEND"}]}
"""
NOBODY = "http://192.0.2.1"


def run_cli(*arguments, **environment):
    """Run `hookgate simulate` in a process of its own."""
    return subprocess.run(  # noqa: PLW1510, S603 - tests look at its exit code; the words are ours
        [sys.executable, "-m", "hookgate", "simulate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **{k: str(v) for k, v in environment.items()}},
    )


def simulated(document, call, mocks=None, site=None):
    """Simulate in this process."""

    async def run():
        config = await load(parse(document.replace("BACKEND", NOBODY).encode(), "document.yaml"), Catalogue(site))
        return await simulate(config, call, mocks_in(mocks.encode(), "mocks.yaml") if mocks else None)

    return asyncio.run(run())


def routed(*steps, **more):
    """A document of one route with these steps."""
    route = {"name": "all", "match": {"path": "/*"}, "flow": list(steps), "to": {"connection": "backend"}, **more}
    return json.dumps({"routes": [route], "connections": {"backend": {"targets": [{"url": "http://192.0.2.1"}]}}})


def ran(result):
    """Return what ran, in its order."""
    return [(run.phase, run.plugin, run.depth, run.decision) for run in result.hooks]


def changes(result, plugin, hook="on_request"):
    """Return what a hook of a plugin has changed."""
    (found,) = (run.changes for run in result.hooks if (run.plugin, run.hook) == (plugin, hook))
    return [(change.what, change.before, change.after) for change in found]
