"""How the log is written: a line for each event, as text or JSON, dated, and without what is secret (HC-7)."""

from __future__ import annotations

import io
import json
import logging
from datetime import UTC, datetime

from hookgate.exchange.hiding import hide

log = logging.getLogger("hookgate")


class Lines(logging.Formatter):
    """Text for people, or JSON for programs: `time`, `level`, `logger`, `message`, `exception` where there is one."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._as_json = as_json

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - its name there
        """Return the time in UTC with milliseconds (RFC 3339), as the access log has it."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; in text, the trace of a failure stands beneath."""
        if not self._as_json:
            return hide(super().format(record))
        told = {"time": self.formatTime(record), "level": record.levelname.lower(), "logger": record.name}
        told["message"] = hide(record.getMessage())
        if record.exc_info:
            told["exception"] = hide(self.formatException(record.exc_info))
        return json.dumps(told)


class Records(io.StringIO):
    """Has lines that are said to people be records of the log, whatever its level."""

    def write(self, text: str) -> int:
        """Log each line."""
        for line in filter(None, text.splitlines()):
            log.handle(log.makeRecord(log.name, logging.INFO, "", 0, line, (), None))
        return len(text)
