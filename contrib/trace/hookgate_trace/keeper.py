"""The observer ``trace``: keeps the traces of calls in a bounded SQLite file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pydantic import Field

from hookgate import Duration, Exchange, Host, Observer, Options, hookimpl
from hookgate_trace.file import Bounds, TraceFile
from hookgate_trace.followers import Followers
from hookgate_trace.writer import Writer


class KeeperOptions(Options):
    """Options of `trace` as an observer."""

    path: Path | None = None
    """The file, in a folder that is there; it is made with permissions 0600. Left out: `traces.db` in the folder that
    systemd's `StateDirectory=` provides, else in `$XDG_STATE_HOME/hookgate` or `~/.local/state/hookgate`, which is
    made."""
    keep: Duration = Field(default=7 * 86400.0, gt=0)
    """Seconds that a trace is kept."""
    at_most: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Bytes of the file; the oldest traces go first. A log of a few MB lies beside it while the gateway runs."""
    count: int = Field(default=100_000, ge=1, le=1_000_000)
    """Traces that are kept; the oldest go first."""
    waiting: int = Field(default=1000, ge=1, le=100_000)
    """Traces that may wait to be written; those beyond are dropped and counted."""


class Keeper(Observer[KeeperOptions]):
    """Keeps the traces of calls in a SQLite file, over restarts.

    The section `trace` says which calls are traced; those that are not cost nothing here. A traced call only puts its
    trace into a queue; a thread writes. What is wrong with the file (broken, locked, full, not ours to write) harms no
    call: traces are lost and counted (the metric `hookgate_trace_lost_total`), an error says so once a minute, and
    writing goes on as soon as the file can be written again.

    Traces are masked when they come here, but they hold what calls hold: headers, and the beginning of bodies that a
    step has read. Mask what nobody may see, keep traces as long as they are needed, and protect the file. What has
    been let go of is overwritten. A trace above 1 MB, or an eighth of `at_most`, is kept without differences.

    The app of the same name shows what is kept; place both: `gateway: {observers: [trace]}` and
    `management: {apps: [health, trace]}`.
    """

    _writer: Writer | None = None

    def __init__(self, options: KeeperOptions) -> None:
        super().__init__(options)
        self.path = options.path or _state_folder() / "traces.db"
        """Where the traces are."""
        self.followers = Followers()
        """Whoever is told of each new trace."""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Start the thread, which opens the file."""
        options = self.options
        self.clock, log = host.clock, host.log
        bounds = Bounds(options.keep, options.at_most, options.count)
        file = TraceFile(self.path, bounds, host.clock, private=options.path is None)
        self.followers.open(asyncio.get_running_loop())
        self._writer = Writer(file, log, self.followers.publish, waiting=options.waiting)
        about = "Traces that were dropped or could not be written."
        host.metrics.counter("trace_lost_total", about, read=lambda: self.lost)

    @hookimpl
    async def shutdown(self) -> None:
        """Write what is waiting, let go of the file and of whoever follows."""
        self.followers.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.to_thread(writer.close)

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None:
        """Queue the trace of a call that has one."""
        if exchange.trace is not None and self._writer is not None:
            self._writer.put(exchange.trace.as_dict())

    @property
    def lost(self) -> int:
        """Traces that were dropped or could not be written since the gateway started or the options changed."""
        return 0 if self._writer is None else self._writer.lost

    @property
    def trouble(self) -> str:
        """Why the file cannot be written; empty if it can."""
        return "" if self._writer is None else self._writer.trouble

    async def caught_up(self, patience: float) -> None:
        """Wait until the traces of calls that are over have been written, ``patience`` seconds at most."""
        if self._writer is None:
            return
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        self._writer.after(lambda: loop.call_soon_threadsafe(done.set))
        try:
            async with asyncio.timeout(patience):
                await done.wait()
        except TimeoutError:
            pass  # the answer is then what has been written


def keeper_of(host: Host) -> Keeper | None:
    """Return the observer that is live in a gateway, if there is one."""
    found = host.find(Keeper)
    return found[-1] if found else None


def _state_folder() -> Path:
    """Return the folder for what a program of this user keeps: systemd's, or as the XDG base directories have it."""
    if provided := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(provided)
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state.startswith("/") else Path(_home(), ".local", "state")) / "hookgate"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without a home; the file is then complained about where it is opened
        return Path("/nonexistent")
