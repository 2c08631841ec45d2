"""What this machine is, which cores the benchmark uses, and how busy they are."""

from __future__ import annotations

import os
import platform
import resource
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cores:
    """Numbers of the two cores: one for contenders, one for backend and load. They are the same where there is one."""

    contender: int
    load: int

    @property
    def shared(self) -> bool:
        """Whether contenders and load fight for one core, so that only comparisons mean something."""
        return self.contender == self.load


def cores() -> Cores:
    """Take the first two cores that this process may run on."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[min(1, len(allowed) - 1)])


def allow_many_sockets() -> None:
    """Raise the soft limit of open files, which contenders inherit, as far as 65,536."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass(frozen=True)
class CoreTime:
    """Seconds that a core has spent since the start of the machine."""

    busy: float
    stolen: float
    """Time in which the core was given to another virtual machine."""
    total: float


def core_time(core: int) -> CoreTime:
    """Read what a core has done so far (proc(5), `/proc/stat`)."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *numbers = line.split()
        if name == f"cpu{core}":
            user, nice, system, idle, wait, irq, softirq, steal = (int(number) / TICKS for number in numbers[:8])
            busy = user + nice + system + irq + softirq
            return CoreTime(busy, steal, busy + idle + wait + steal)
    raise LookupError(f"/proc/stat knows no core {core}")


TICKS = os.sysconf("SC_CLK_TCK")


def describe(used: Cores) -> dict[str, Any]:
    """Tell which machine it is: for the record and for the page."""
    information = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in information.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "used": asdict(used),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_average": os.getloadavg(),
    }
