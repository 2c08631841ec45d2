"""What the system knows of this process, under the names that clients of Prometheus have for it.

Linux tells under ``/proc``; elsewhere only what the interpreter knows is shown.
"""

import gc
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .exposition import metric

_SELF = Path("/proc/self")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

Numbers = dict[str, tuple[str, str, float]]
"""By name: the kind, what it is, and the number."""


def process_metrics() -> Iterator[str]:
    """Write what is known now; a few system calls."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    numbers: Numbers = {
        "process_cpu_seconds_total": ("counter", "Seconds of CPU.", used.ru_utime + used.ru_stime),
        "process_threads": ("gauge", "Threads.", threading.active_count()),
        "process_max_fds": ("gauge", "File descriptors it may have.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    }
    with suppress(OSError, ValueError, IndexError):
        numbers |= _from_proc()
    for name, (kind, about, number) in numbers.items():
        yield from metric(name, kind, about, (), [((), number)])
    stats = list(enumerate(gc.get_stats()))
    for name, about in (("collections", "Collections"), ("collected", "Objects collected"), ("uncollectable", "Left")):
        samples = [((str(generation),), each[name]) for generation, each in stats]
        what = f"python_gc_objects_{name}_total" if name != "collections" else "python_gc_collections_total"
        yield from metric(what, "counter", f"{about} by the garbage collector.", ("generation",), samples)


def _from_proc() -> Numbers:
    """Read what the kernel tells.

    Raises:
        OSError: it tells nothing, or not us.
    """
    stat = (_SELF / "stat").read_text().rpartition(")")[2].split()  # fields from the third on (proc(5))
    with open("/proc/stat") as file:  # noqa: PTH123
        booted = next(float(line.split()[1]) for line in file if line.startswith("btime "))
    return {
        "process_resident_memory_bytes": ("gauge", "Memory in use.", int(stat[21]) * _PAGE),
        "process_virtual_memory_bytes": ("gauge", "Memory mapped.", int(stat[20])),
        "process_start_time_seconds": ("gauge", "When it started, in Unix time.", booted + int(stat[19]) / _TICKS),
        "process_open_fds": ("gauge", "File descriptors it has.", len(os.listdir(_SELF / "fd"))),  # noqa: PTH208
    }
