"""The thread that writes traces, and the queue in front of it: a call only puts its trace there."""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from hookgate_trace.file import TraceFile, Unusable
from hookgate_trace.rows import Row, Told, row_of

BATCH = 32
"""Traces of one transaction, at most."""
GATHERING = 0.02
"""Seconds that the first trace after a silence waits for others."""
IDLE = 60.0
"""Seconds between two looks for traces that have become too old, while none come."""
REPORTS = 60.0
"""Seconds between two complaints, at least."""
LAST = 5.0
"""Seconds that the end of the gateway waits for the last traces to be written."""

FAILURES = (OSError, sqlite3.Error, Unusable)
"""What a file may do to whoever uses it."""

_END = object()
Item = Any
"""A trace, a function to call when all before it have been dealt with, or the end."""
Publish = Callable[[Sequence[Row]], None]


class Writer:
    """Takes traces from the loop and keeps them in a thread of its own."""

    def __init__(self, file: TraceFile, log: logging.Logger, publish: Publish, *, waiting: int) -> None:
        self._file = file
        self._log = log
        self._publish = publish
        self._most = waiting
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._ending = Event()
        self._dropped = 0
        """Counted by the loop; what could not be written is counted by the thread."""
        self._failed = 0
        self._reported = 0
        self._next_report = 0.0
        self.trouble = ""
        """Why the file cannot be written, as far as the last attempt knows; empty if it can."""
        self._strange = ""
        self._thread = Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Traces that were dropped or could not be written."""
        return self._dropped + self._failed

    def put(self, trace: Told) -> None:
        """Queue a trace, or drop it if too many are waiting."""
        if self._queue.qsize() < self._most:
            self._queue.put(trace)
        else:
            self._dropped += 1

    def after(self, call: Callable[[], object]) -> None:
        """Have the thread call something once all traces that are there now have been dealt with."""
        self._queue.put(call)

    def close(self) -> None:
        """Have everything written that is waiting, and let go of the file."""
        self._ending.set()
        self._queue.put(_END)
        self._thread.join(LAST)
        if self._thread.is_alive():
            self._log.warning("trace: the file takes no more traces; about %d are lost", self._queue.qsize())

    def _run(self) -> None:
        self._guarded(self._file.prune)  # opens it, so that what is wrong is said at once
        self._report()
        goes_on = True
        while goes_on:
            try:
                items = [self._queue.get(timeout=IDLE)]
            except Empty:
                self._guarded(self._file.prune)
                self._report()
                continue
            self._ending.wait(GATHERING)
            goes_on = self._dealt_with(self._more(items))
            self._report()
        self._report(at_once=True)
        self._file.close()

    def _more(self, items: list[Item]) -> list[Item]:
        """Add what is waiting, until there is enough for one transaction."""
        try:
            while len(items) < BATCH:
                items.append(self._queue.get_nowait())
        except Empty:
            pass
        return items

    def _dealt_with(self, items: list[Item]) -> bool:
        """Keep the traces, then do what was asked for after them; tell whether to go on."""
        rows = [row for item in items if isinstance(item, dict) for row in self._row(item)]
        if rows:
            self._keep(rows)
        for item in items:
            if callable(item):
                item()
        return not any(item is _END for item in items)

    def _row(self, trace: Told) -> list[Row]:
        try:
            return [row_of(trace, self._file.largest)]
        except Exception as error:  # noqa: BLE001 - whatever a step has left in one trace, the others are kept
            self._failed += 1
            self._strange = f"it holds what is no plain data: {type(error).__name__}"
            return []

    def _keep(self, rows: list[Row]) -> None:
        numbers: list[int] = []

        def add() -> None:
            numbers.extend(self._file.add(rows))

        if not self._guarded(add):
            self._failed += len(rows)
        self._publish(
            [
                {"number": numbers[index] if numbers else None, **{k: v for k, v in row.items() if k != "document"}}
                for index, row in enumerate(rows)
            ]
        )

    def _guarded(self, change: Callable[[], None]) -> bool:
        try:
            change()
        except FAILURES as error:
            self.trouble = explained(error)
            self._file.close()  # and open it again with the next: somebody may have mended it
            return False
        self.trouble = ""
        return True

    def _report(self, *, at_once: bool = False) -> None:
        """Say what is wrong and how many traces that has cost: at once, and then once a minute."""
        now, lost = time.monotonic(), self.lost
        if (lost == self._reported and not self.trouble) or (now < self._next_report and not at_once):
            return
        if lost == self._reported and at_once:
            return
        self._next_report = now + REPORTS
        new, self._reported = lost - self._reported, lost
        why = self.trouble or self._strange or "more came than can be written; trace fewer calls"
        path = self._file.path
        self._log.error("trace: %s traces were lost, %s: %s", new or "no", path, why)
        self._strange = ""


def explained(error: Exception) -> str:
    """Say what is wrong with a file, and what to do about it."""
    said = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    if isinstance(error, FileNotFoundError):
        return f"{said}; make the folder, or set `path` to a file in another one"
    if isinstance(error, PermissionError):
        return f"{said}; set `path` to a file that the gateway may write"
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", "")
        advice = _ADVICE.get(name, "")
        return f"{said} ({name or type(error).__name__}){advice}"
    return said


_ADVICE = {
    "SQLITE_FULL": "; make room on the disk",
    "SQLITE_NOTADB": "; it is no file of traces: set `path` to another one",
    "SQLITE_CORRUPT": "; delete it with the files -wal and -shm beside it, and a new one is made",
    "SQLITE_BUSY": "; another program is writing to it",
    "SQLITE_READONLY": "; let the gateway write to it and to its folder",
    "SQLITE_INTERRUPT": "; ask for less: a shorter time, a status or a route",
}
