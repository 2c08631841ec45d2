"""The thread that reads and writes, and the queue in front of it: the loop never waits for the disk."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from hookgate import StateError
from hookgate_state_sqlite.file import BITE, FAILURES, StateFile, kind, said

BATCH = 256
"""Questions of one transaction, at most."""
MOST_WAITING = 10_000
"""Questions that may wait."""
FEW = 50
"""Expired rows that a transaction takes out by the way, more than it writes."""
IDLE = 30.0
"""Seconds between two looks for rows that have expired."""
SOON = 0.05
"""Seconds until the next one where there are many."""
AGAIN = 1.0
"""Seconds between two tries of a file that something is wrong with."""
LAST = 5.0
"""Seconds that the end waits for what has been asked."""
_READS = {"read", "scan"}


class Job(NamedTuple):
    """A question, and who waits for the answer."""

    question: str
    arguments: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]


Answer = tuple[Job, Any, StateError | None]


class Writer:
    """Takes questions from the loop and answers them from a thread of its own.

    What waits is answered in two transactions, one for all that only read and one for all that write, so that many
    writers share one wait for the disk. What nobody waits for any more is not done.
    """

    def __init__(self, file: StateFile, log: logging.Logger, wall: Callable[[], float]) -> None:
        self._file = file
        self._log = log
        self._wall = wall
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self.trouble = ""
        """What is wrong with the file, as far as the last attempt knows."""
        self._next_look = time.monotonic() + IDLE
        self._thread = Thread(target=self._run, name="state", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Questions that wait."""
        return self._queue.qsize()

    def ask(self, question: str, arguments: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Put a question.

        Raises:
            StateError: too many are waiting.
        """
        if self._queue.qsize() >= MOST_WAITING:
            raise StateError(f"{self._file.path} is slow: {MOST_WAITING} questions are waiting")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._queue.put(Job(question, arguments, loop, answer))
        return answer

    def close(self) -> None:
        """Have everything answered that has been asked, and let go of the file."""
        self._queue.put(None)
        self._thread.join(LAST)
        if self._thread.is_alive():
            self._log.warning("%s is slow, and about %d questions are not answered", self._file.path, self.waiting)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            jobs, goes_on = self._waited_for()
            reads = [job for job in jobs if job.question in _READS]
            writes = [job for job in jobs if job.question not in _READS]
            if reads:
                self._answer(reads, writes=False)
            if writes:
                self._answer(writes, writes=True)
            if time.monotonic() >= self._next_look:
                self._look()
        self._file.close()

    def _waited_for(self) -> tuple[list[Job], bool]:
        """Wait for questions, or for the time of the next look; return them, and whether to go on afterwards."""
        jobs: list[Job] = []
        try:
            job = self._queue.get(timeout=max(0.0, self._next_look - time.monotonic()))
            while job is not None:
                if not job.answer.cancelled():
                    jobs.append(job)
                if len(jobs) >= BATCH or job.question == "scan":  # its answer may be large
                    return jobs, True
                job = self._queue.get_nowait()
        except Empty:
            return jobs, True
        return jobs, False

    def _answer(self, jobs: Sequence[Job], *, writes: bool) -> None:
        try:
            answers = self._together(jobs, writes=writes)
        except FAILURES as error:
            if len(jobs) > 1 and kind(error) == sqlite3.SQLITE_FULL:  # one may be too much, and the others not
                for job in jobs:
                    self._answer([job], writes=writes)
                return
            self._say(said(error, self._file))
            answers = [(job, None, StateError(self.trouble)) for job in jobs]
        except Exception as error:  # noqa: BLE001 - whoever asked hears of it, and the others are answered
            self._log.exception("%s failed", self._file.path)
            answers = [(job, None, StateError(f"{self._file.path} failed: {type(error).__name__}")) for job in jobs]
        else:
            if writes:
                self._say("")
        for loop in {job.loop for job in jobs}:
            with suppress(RuntimeError):  # it has been closed meanwhile
                loop.call_soon_threadsafe(_tell, [each for each in answers if each[0].loop is loop])

    def _together(self, jobs: Sequence[Job], *, writes: bool) -> list[Answer]:
        """Answer within one transaction. Whoever is refused has changed nothing, so the others are kept."""
        answers: list[Answer] = []
        with self._file.writing() if writes else self._file.reading():
            if writes:
                for name in {job.arguments[0] for job in jobs}:
                    self._file.sweep(name, jobs[-1].arguments[-1], FEW + len(jobs))
            for job in jobs:
                try:
                    answers.append((job, getattr(self._file, job.question)(*job.arguments), None))
                except StateError as error:
                    answers.append((job, None, error))
        return answers

    def _look(self) -> None:
        """Take out what has expired, a little of each name at a time. In trouble: see whether it is over."""
        try:
            if self.trouble:
                with self._file.writing():
                    self._file.probe()
                with self._file.writing():
                    self._file.clean()
            again = self._swept()
        except FAILURES as error:
            self._say(said(error, self._file))
            self._next_look = time.monotonic() + AGAIN
        else:
            self._say("")
            self._next_look = time.monotonic() + (SOON if again else IDLE)

    def _swept(self) -> bool:
        """Take out some rows; return whether there are more."""
        now = self._wall()
        with self._file.reading():
            names = self._file.expired(now)
        most = 0
        for name in names:
            with self._file.writing():
                most = max(most, self._file.sweep(name, now))
        return most >= BITE

    def _say(self, trouble: str) -> None:
        """Note what is wrong with the file, or that nothing is; the log hears of it when it changes."""
        before, self.trouble = self.trouble, trouble
        if trouble and not before:
            self._next_look = time.monotonic() + AGAIN
        if trouble and trouble != before:
            self._log.error("state: %s", trouble)
        elif before and not trouble:
            self._log.warning("state: %s can be used again", self._file.path)


def _tell(answers: Sequence[Answer]) -> None:
    """Give answers to whoever still waits, in their loop."""
    for job, found, error in answers:
        if job.answer.done():
            continue
        if error is None:
            job.answer.set_result(found)
        else:
            job.answer.set_exception(error)
