"""The program of a process that renders templates: it reads them from its input, and writes what they give."""

from __future__ import annotations

import resource
import sys
from typing import Any

import orjson

from hookgate_workflows.templating import TemplateFailed, compiled

MEMORY = 512 * 1024 * 1024
"""Bytes that it may have."""


def main() -> None:
    """Serve until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(4)) == 4:
        asked = orjson.loads(source.read(int.from_bytes(head)))
        told = orjson.dumps(_told(asked))
        sink.write(len(told).to_bytes(4) + told)
        sink.flush()


def _told(asked: Any) -> dict[str, Any]:
    try:
        return {"value": compiled(asked["source"]).render(asked["variables"], asked["form"])}
    except (TemplateFailed, ValueError) as error:
        return {"failed": str(error)}
    except (MemoryError, RecursionError) as error:
        return {"failed": f"it takes too much: {type(error).__name__}"}


if __name__ == "__main__":
    main()
