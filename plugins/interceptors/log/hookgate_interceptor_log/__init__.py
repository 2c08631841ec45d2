"""Write a message into the trace of a call, and into the log if asked for."""

import logging
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hookgate import Exchange, Interceptor, Options, hookimpl
from hookgate.workshop import Masking
from hookgate_interceptor_log.template import Template, one_line

LOGGER = "hookgate.log"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

log = logging.getLogger(LOGGER)


def _message(text: str) -> str:
    text = text.strip()
    if not text:
        raise ValueError("the message is empty; write one")
    Template(text)
    return text


class LogOptions(Options):
    """Options of `log`."""

    message: Annotated[str, Field(max_length=4000), AfterValidator(_message)]
    """What to write, with expressions between `{{` and `}}`: `order {{ request.params.id }} of {{ principal }}`. What
    is not there is written as `null`, lists and mappings as JSON. An expression that cannot be evaluated leaves
    `(cannot be evaluated)` and harms no call."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """How serious it is. In a trace, a level other than `info` stands in front of the message."""
    to_log: bool = False
    """Whether every call has the message written to the log, too: to the logger `hookgate.log`, behind the id of the
    call if it has one. Otherwise only calls that are traced have it."""
    mask: tuple[str, ...] = ()
    """Headers and parameters of the query that expressions see masked, beside those whose names speak of
    authorization, cookies, tokens, secrets, passwords or API keys."""
    longest: int = Field(default=1000, ge=10, le=100_000)
    """Characters of a message at most; one that is longer is cut, and ends in `…`."""


class Log(Interceptor[LogOptions]):
    """Writes a message into the trace of a call, and into the log if asked for (FL-50).

    Placed in `request` it writes on the way in, in `response` on the way out, and in `flow` on both. A message is one
    line: control characters in values are escaped. Secret headers and parameters are masked before an expression reads
    them, and what a reference of the document was resolved to is masked wherever it stands; other values, such as the
    body, are written as they are. A message that reads the body has it kept whole.
    Calls without a trace cost nothing unless `to_log` is on.
    """

    category = "tracing"

    def __init__(self, options: LogOptions) -> None:
        super().__init__(options)
        self._template = Template(options.message)
        self._masking = Masking(options.mask)
        self._level = LEVELS[options.level]
        self._in_front = "" if options.level == "info" else f"{options.level}: "
        self._failed = False
        """That an expression fails has been said."""
        if any(expression.reads_body for expression in self._template.expressions):
            self.reads = {"request.body"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Write on the way in."""
        self._write(exchange)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Write on the way out, whoever answered."""
        self._write(exchange)

    def _write(self, exchange: Exchange) -> None:
        to_log = self.options.to_log and log.isEnabledFor(self._level)
        if exchange.trace is None and not to_log:
            return
        text, failure = self._template.render(self._masking.view(exchange), self.options.longest)
        if failure is not None and not self._failed:
            self._failed = True
            log.warning("%s: %s; this is said once", self.entry.id, failure)
        exchange.note(self._in_front + text)
        if to_log:
            log.log(self._level, "%s", f"{one_line(exchange.id, 200)} {text}" if exchange.id else text)
