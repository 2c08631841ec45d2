"""Write one line for every call."""

import asyncio
import json
import logging
import select
import time
from collections.abc import Callable
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Literal

import orjson

from hookgate import Exchange, Host, MachineError, Observer, Options, hookimpl

WAITING = 20_000
"""Lines that may wait for a slow output; those beyond are dropped and counted."""
BATCH = 256
"""Lines that are written at once, at most."""
PATIENCE = 5.0
"""Seconds that the end of the gateway waits for the last lines to be written."""
REPORTS = 10.0
"""Seconds between two warnings about lost lines, at least, while lines keep being lost."""

Entry = dict[str, Any]


class AccessLogOptions(Options):
    """Options of `access-log`."""

    format: Literal["json", "text"] = "json"
    """`json`: one object a line, for programs. `text`: columns, for people."""
    output: Literal["stdout", "stderr"] | Path = "stdout"
    """Where lines go: `stdout`, `stderr`, or a file that is appended to."""
    query: bool = False
    """Whether the query is written, too. Queries hold tokens and personal data more often than one thinks."""


class AccessLog(Observer[AccessLogOptions]):
    """Writes one line when a call is over, whoever answered it and however it ended.

    A line holds: `time` of arrival (ISO 8601, UTC), `id`, `client`, `method`, `path` and `host` of the request,
    `status` (none where the client was gone first), `bytes` of the body sent, `ms` until the last and `ttfb_ms` until
    the first byte, `route`, `target` of the last attempt, `attempts`, `outcome`, `generation` of the configuration,
    `reason` of the last fault, `answered_by` (the step that answered in place of the backend) and `subject` (who
    called).

    Calls never wait for the output: lines are handed to a thread. If it falls 20,000 lines behind, lines are dropped
    and a warning says how many. Whatever could steer a terminal or forge a line is escaped.
    """

    _writer: "_Writer | None" = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Open the output and start the thread that writes.

        Raises:
            MachineError: the output cannot be opened.
        """
        self._clock = host.clock
        render = _json if self.options.format == "json" else _text
        self._writer = _Writer(_opened(self.options.output), render, host.log)

    @hookimpl
    async def shutdown(self) -> None:
        """Write what is waiting and close the output."""
        if self._writer is not None:
            await asyncio.to_thread(self._writer.close)

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None:
        """Hand the line of a call to the thread."""
        writer = self._writer
        assert writer is not None, "startup comes first"
        request, started, now = exchange.request, exchange.started, self._clock.now()
        finished = now if exchange.finished is None else exchange.finished
        entry: Entry = {
            "time": self._clock.wall() - (now - started),
            "id": exchange.id or None,
            "client": request.client,
            "method": request.method,
            "path": request.path,
            "host": request.host,
            "status": None if exchange.response is None else exchange.response.status,
            "bytes": exchange.bytes_sent,
            "ms": round((finished - started) * 1000, 3),
            "ttfb_ms": None if exchange.head_at is None else round((exchange.head_at - started) * 1000, 3),
            "route": None if exchange.route is None else exchange.route.name,
            "target": None if exchange.target is None else exchange.target.url,
            "attempts": len(exchange.attempts),
            "outcome": exchange.outcome,
            "generation": exchange.generation,
            "reason": None if exchange.fault is None else exchange.fault.reason,
            "answered_by": exchange.answered_by or None,
            "subject": None if exchange.identity is None else exchange.identity.subject,
        }
        if self.options.query:
            entry["query"] = request.query
        writer.put(entry)


class _Writer:
    """A thread that writes entries to an output, and the bounded queue in front of it."""

    def __init__(self, output: FileIO, render: Callable[[Entry], str], log: logging.Logger) -> None:
        self._output = output
        self._render = render
        self._log = log
        self._waiting: SimpleQueue[Entry | None] = SimpleQueue()
        self._dropped = 0
        """Counted by the loop; what could not be written is counted by the thread."""
        self._failed = 0
        self._reported = 0
        self._next_report = 0.0
        self._reason = ""
        self._thread = Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Queue an entry, or drop it if too many are waiting."""
        if self._waiting.qsize() < WAITING:
            self._waiting.put(entry)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Have everything written that is waiting; give up on an output that takes nothing any more."""
        self._waiting.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._log.warning("access-log: the output takes no more lines; about %d are lost", self._waiting.qsize())

    def _run(self) -> None:
        entries: list[Entry | None] = []
        while None not in entries:
            entries = [self._waiting.get()]
            try:
                while len(entries) < BATCH:
                    entries.append(self._waiting.get_nowait())
            except Empty:
                pass
            self._write([entry for entry in entries if entry is not None])
            self._report(at_once=None in entries)
        self._output.close()

    def _write(self, entries: list[Entry]) -> None:
        try:
            data = memoryview("".join(map(self._render, entries)).encode())
            while data:
                written = self._output.write(data)
                if written is None:  # whoever gave us the output made it non-blocking
                    select.select((), (self._output,), ())
                data = data[written or 0 :]
        except OSError as error:
            self._failed += len(entries)
            self._reason = error.strerror or str(error)
        except Exception:  # noqa: BLE001 - whatever one entry holds, the thread goes on
            self._log.exception("access-log: %d lines could not be written", len(entries))

    def _report(self, *, at_once: bool) -> None:
        """Say in one line how many were lost, when the rush is over or after a while."""
        lost, now = self._dropped + self._failed, time.monotonic()
        if lost == self._reported or not (at_once or self._waiting.empty() or now >= self._next_report):
            return
        reason = self._reason or "the output is too slow"
        self._log.warning("access-log: %d lines were lost: %s", lost - self._reported, reason)
        self._reported, self._next_report, self._reason = lost, now + REPORTS, ""


def _opened(output: str | Path) -> FileIO:
    streams = {"stdout": 1, "stderr": 2}
    try:
        return FileIO(streams[output], "a", closefd=False) if isinstance(output, str) else FileIO(output, "a")
    except OSError as error:
        raise MachineError(f"the access log cannot be written to {output}: {error.strerror}") from None


def _time(entry: Entry) -> str:
    return datetime.fromtimestamp(entry["time"], UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(entry: Entry) -> str:
    entry["time"] = _time(entry)
    try:
        line = orjson.dumps(entry).decode()
    except TypeError:  # half a surrogate pair, which a token may hold
        line = ""
    if not line.isprintable() or not line:
        line = json.dumps(entry).replace("\x7f", "\\u007f")  # which escapes everything outside ASCII
    return line + "\n"


def _text(entry: Entry) -> str:
    """Make columns of what every line has, followed by what it has beyond that."""
    status = entry["status"] or "---"
    columns = f"{_time(entry)} {status} {entry['method']:<7} {entry['ms']:>9.1f}ms {entry['bytes']:>9}B"
    path = entry["path"] + (f"?{entry['query']}" if entry.get("query") else "")
    words = [columns, _plain(f"{entry['client']:<15}"), _plain(entry["host"] + path)]
    shown = ("route", "target", "reason", "answered_by", "subject", "id")
    details = {name: entry[name] for name in shown if entry[name] is not None}
    if entry["outcome"] != "ok":
        details["outcome"] = entry["outcome"]
    if entry["attempts"] > 1:
        details["attempts"] = entry["attempts"]
    words += [f"{name}={_word(str(value))}" for name, value in details.items()]
    return " ".join(words) + "\n"


def _word(value: str) -> str:
    """Put quotes around a value that could be taken for more than one."""
    return json.dumps(value) if set(value) & set(' "=') or not value else _plain(value)


def _plain(value: str) -> str:
    """Escape whatever is not a printable character."""
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
