"""The thread that writes lines, and the queue in front of it.

While calls come, the thread sleeps a moment, takes what has gathered and writes it in batches: neither call nor batch
costs the loop a wake-up. While none come, it sleeps in the queue.
"""

import logging
import os
import select
import stat
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from hookgate import Clock, MachineError

from .lines import Record, Render

BATCH = 64
"""Lines that are made and written at once, at most. The loop waits for the interpreter meanwhile: about 0.4 ms."""
BREATH = 0.0005
"""Seconds between two batches. Without them the thread would get the interpreter back before the loop is awake."""
GATHERING = 0.02
"""Seconds that the first line after a silence waits for others."""
PATIENCE = 5.0
"""Seconds that the end of the gateway waits for the last lines to be written."""
REPORTS = 10.0
"""Seconds between two warnings about lost lines, at least, while lines keep being lost."""

STREAMS = {"stdout": 1, "stderr": 2}


class Output:
    """Where lines go: a standard stream, or a file that is opened anew when somebody has moved it away."""

    def __init__(self, where: str | Path) -> None:
        self._path = None if isinstance(where, str) else where
        try:
            self._file = FileIO(STREAMS[where], "a", closefd=False) if isinstance(where, str) else FileIO(where, "a")
        except OSError as error:
            raise MachineError(f"the access log cannot be written to {where}: {error.strerror}") from None
        self._identity = _identity(self._file)
        self._torn = False
        """The last line was written in part."""

    def renew(self) -> None:
        """Open the file again if what is under its name is not what is written to, as after a log rotation.

        Raises:
            OSError: it is another one, or gone, and cannot be opened; lines go on to where they went before.
        """
        if self._path is None or self._identity is None:
            return
        with suppress(FileNotFoundError):
            there = self._path.stat()
            if (there.st_dev, there.st_ino) == self._identity:
                return
        before, self._file = self._file, FileIO(self._path, "a")
        self._identity, self._torn = _identity(self._file), False
        before.close()

    def write(self, lines: bytes) -> None:
        """Write all of it, however long that takes.

        Raises:
            Unwritten: some lines were not written.
        """
        data = b"\n" + lines if self._torn else lines
        done = 0
        try:
            while done < len(data):
                written = self._file.write(memoryview(data)[done:])
                if written is None:  # whoever gave us the output made it non-blocking
                    select.select((), (self._file,), ())
                done += written or 0
        except OSError as error:
            if done:
                self._torn = data[done - 1 : done] != b"\n"
            raise Unwritten(min(data.count(b"\n", done), lines.count(b"\n")), error.strerror or str(error)) from error
        self._torn = False

    def close(self) -> None:
        """Let go of it; the standard streams stay open."""
        self._file.close()


class Unwritten(Exception):
    """The output did not take so many lines."""

    def __init__(self, lines: int, reason: str) -> None:
        super().__init__(reason)
        self.lines = lines


class Writer:
    """Takes records from the loop, and writes lines in a thread."""

    def __init__(self, output: Output, render: Render, clock: Clock, log: logging.Logger, *, waiting: int) -> None:
        self._output = output
        self._render = render
        self._clock = clock
        self._log = log
        self._most = waiting
        self._queue: SimpleQueue[Record | None] = SimpleQueue()
        self._put, self._size = self._queue.put, self._queue.qsize
        self._ending = Event()
        self._dropped = 0
        """Counted by the loop; what could not be written is counted by the thread."""
        self._failed = 0
        self._reported = 0
        self._next_report = 0.0
        self._reason = ""
        self._thread = Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that were dropped or could not be written."""
        return self._dropped + self._failed

    def put(self, record: Record) -> None:
        """Queue a record, or drop it if too many are waiting."""
        if self._size() < self._most:
            self._put(record)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Have everything written that is waiting; give up on an output that takes nothing any more."""
        self._ending.set()
        self._put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._log.warning("access-log: the output takes no more lines; about %d are lost", self._size())

    def _run(self) -> None:
        while not self._ending.is_set() or self._size():
            first = self._queue.get()
            self._ending.wait(GATHERING)
            batch = self._more([first])
            while batch:
                self._write([record for record in batch if record is not None])
                self._report()
                if self._size():
                    time.sleep(BREATH)
                batch = self._more([])
        self._report(at_once=True)
        self._output.close()

    def _more(self, batch: list[Record | None]) -> list[Record | None]:
        """Add what is waiting to a batch, until it is full."""
        take = self._queue.get_nowait
        try:
            while len(batch) < BATCH:
                batch.append(take())
        except Empty:
            pass
        return batch

    def _write(self, records: list[Record]) -> None:
        data = self._lines(records)
        try:
            self._output.renew()
        except OSError as error:  # nothing is lost so far, but nobody will find it
            self._warn(f"the file cannot be opened again, lines go to the one before: {error.strerror or error}")
        try:
            self._output.write(data)
        except Unwritten as error:
            self._failed += error.lines
            self._reason = str(error)

    def _lines(self, records: list[Record]) -> bytes:
        ahead = self._clock.wall() - self._clock.now()
        lines = []
        for record in records:
            try:
                lines.append(self._render(record, ahead))
            except Exception as error:  # noqa: BLE001 - whatever one record holds, the thread goes on
                self._failed += 1
                self._reason = f"{type(error).__name__}: {error}"
        return b"".join(lines)

    def _report(self, *, at_once: bool = False) -> None:
        """Say how many were lost: the first ones at once, later ones together after a while."""
        lost = self.lost
        if lost != self._reported and self._warn(
            f"{lost - self._reported} lines were lost: {self._reason or 'the output is too slow'}", at_once=at_once
        ):
            self._reported, self._reason = lost, ""

    def _warn(self, text: str, *, at_once: bool = False) -> bool:
        now = time.monotonic()
        if not at_once and now < self._next_report:
            return False
        self._next_report = now + REPORTS
        self._log.warning("access-log: %s", text)
        return True


def _identity(file: FileIO) -> tuple[int, int] | None:
    """Tell a file from others; ``None`` for pipes, terminals and devices, which nobody rotates."""
    found = os.fstat(file.fileno())
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
