"""The family ``executor``: who runs the instances that have something to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from hookgate import Family, HookgateError, Plugin, hookspec
from hookgate.contract import OptionsT

# mypy: disable-error-code="empty-body"


class JournalAway(HookgateError):
    """The journal cannot be read or written now."""


class Runner(Protocol):
    """What an executor asks of the engine. Whoever runs an instance holds its lease; its fence goes up by one each time
    that somebody takes it, and what is written with an old fence is refused. So an executor may ask twice, or too
    late, and nothing is run twice.
    """

    owner: str
    """The name of this process in leases."""

    @property
    def lease(self) -> float:
        """Seconds that a lease lasts."""

    async def run(self, instance: int) -> bool:
        """Take an instance that is ready, and run it until it is over or waits; return whether there was anything to
        do. Where another process holds it there is not.

        Raises:
            JournalAway: ask again.
        """

    async def overdue(self, most: int) -> list[int]:
        """Return instances that are ready and that nobody holds: new ones, those whose time to wait is up, and those
        whose process has ended, or has not renewed its lease.

        Raises:
            JournalAway: ask again.
        """

    async def renew(self) -> None:
        """Say that this process lives: lengthen the lease of all that it runs.

        Raises:
            JournalAway: ask again.
        """

    async def next_wake(self) -> float | None:
        """Return the Unix time at which the next instance has waited long enough, if any waits for a time.

        Raises:
            JournalAway: ask again.
        """


class ExecutorSpec:
    """``hookgate.executors``: who runs what is ready. Named in ``workflow_engine.executor``."""

    @hookspec(firstresult=True)
    async def ready(self, instance: int) -> None:
        """Told after an instance was stored, or resumed, by this process: see that it is run, by :meth:`Runner.run`, in
        this process or another. Whatever gets lost here has to be found by :meth:`Runner.overdue`.
        """


if TYPE_CHECKING:
    _Spec = ExecutorSpec
else:
    _Spec = object


class Executor(Plugin[OptionsT], _Spec):
    """Runs what is ready; see :class:`ExecutorSpec`."""

    family = "executor"
    shareable = False
    holds: ClassVar[bool] = False
    """Whether an instance that this process has stored is held by it at once, since :meth:`ready` runs it here."""
    runner: Runner | None = None
    """What it asks."""

    def begin(self, runner: Runner) -> None:
        """Begin to run what is ready. Asked when there is something that could be run, before or after ``startup``, and
        again, with another runner, after a reload."""
        self.runner = runner


EXECUTORS = Family("executor", "executors", ExecutorSpec, Executor, "Who runs instances of workflows.")
