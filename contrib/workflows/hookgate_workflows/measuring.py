"""Metrics of workflows: what runs, and what instances have come to (WF-8)."""

from __future__ import annotations

from typing import Any

from hookgate import Host
from hookgate_workflows.watching import Also

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)
"""Seconds: some workflows answer at once, and others wait for hours."""


class Measures:
    """The metrics of one gateway."""

    def __init__(self, host: Host, running: Any) -> None:
        about = "Instances of workflows that this process runs now."
        host.metrics.gauge("workflow_running", about, read=running)
        about = "Instances of workflows that were closed, by workflow and status."
        self._closed = host.metrics.counter("workflow_instances_total", about, ("workflow", "status"), most=1000)
        about = "Seconds from the start of an instance to its end, waiting included."
        self._seconds = host.metrics.histogram("workflow_seconds", about, ("workflow",), most=1000, bounds=BOUNDS)

    def over(self, instance: Any) -> None:
        """Count an instance that is closed."""
        name = instance.graph.name
        self._closed.add(1, name, instance.status)
        self._seconds.observe(max(instance.closed - instance.created, 0.0), name)


def _nothing(connection: Any) -> None: ...


def over(host: Host, instance: Any) -> Also | None:
    """Count an instance once it is closed on disk."""
    section: Any = host.section("workflow_engine")
    measures = section.measures
    return None if measures is None else Also(_nothing, lambda: measures.over(instance))
