"""A file of lines, written by a thread so that no call waits for a disk."""

import logging
import os
from io import FileIO
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from hookgate import MachineError

WAITING = 10_000
"""Lines that may wait for a slow disk; those beyond are dropped and counted."""
PATIENCE = 5.0
"""Seconds that the end of the gateway waits for the last lines to be written."""


class LineFile:
    """Appends lines to a file. One that is new belongs to its owner alone (mode 600).

    Raises:
        MachineError: the file cannot be opened.
    """

    def __init__(self, path: Path, log: logging.Logger) -> None:
        try:
            self._file = FileIO(path, "a", opener=lambda name, flags: os.open(name, flags, 0o600))
        except OSError as error:
            raise MachineError(f"the message log cannot be written to {path}: {error.strerror}") from None
        self._log = log
        self._waiting: SimpleQueue[str | None] = SimpleQueue()
        self._lost = 0
        self._thread = Thread(target=self._run, name="message-log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue a line, or drop it if too many are waiting."""
        if self._waiting.qsize() < WAITING:
            self._waiting.put(line)
        else:
            self._lost += 1

    def close(self) -> None:
        """Have everything written that is waiting; give up on a disk that takes nothing any more."""
        self._waiting.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._log.warning("message-log: the file takes no more lines; about %d are lost", self._waiting.qsize())

    def _run(self) -> None:
        reported, failure = 0, ""
        while (line := self._waiting.get()) is not None:
            try:
                self._write(line)
            except OSError as error:
                self._lost += 1
                failure = error.strerror or str(error)
            if self._lost > reported and self._waiting.empty():  # once the rush is over, in one line
                reason = failure or "the disk is too slow"
                self._log.warning("message-log: %d lines were lost: %s", self._lost - reported, reason)
                reported, failure = self._lost, ""
        self._file.close()

    def _write(self, line: str) -> None:
        data = memoryview(f"{line}\n".encode("ascii"))
        while data:
            data = data[self._file.write(data) or 0 :]
