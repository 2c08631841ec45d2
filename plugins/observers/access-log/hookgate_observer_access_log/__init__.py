"""Write one line for every call."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field as Bounded
from pydantic import field_validator

from hookgate import Exchange, Expression, Host, Observer, Options, hookimpl

from .lines import Field, record_of, renderer
from .writer import Output, Writer


class AccessLogOptions(Options):
    """Options of `access-log`."""

    format: Literal["json", "text"] = "json"
    """`json`: one object a line, for programs. `text`: columns, for people; with `fields` it is `name=value` of those
    that are known."""
    output: Literal["stdout", "stderr"] | Path = "stdout"
    """Where lines go: `stdout`, `stderr`, or a file that is appended to. A file that was moved away or deleted is made
    anew with the next line, so that logs can be rotated without a signal."""
    fields: tuple[Field, ...] = ()
    """What is written, in this order; all but the query, labels and more if empty."""
    labels: tuple[Annotated[str, Bounded(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")], ...] = Bounded(
        default=(), max_length=32
    )
    """Labels of the document that are written, such as `team`: those of the route of the call or, where it has none of
    that name, of its connection."""
    more: dict[Annotated[str, Bounded(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")], Expression] = Bounded(
        default={}, max_length=32
    )
    """What else is written, each an expression under a name of its own: any header (`request.headers['x-tenant']`,
    `response.headers.etag`), claim (`claims.tenant`), variable (`vars.x`), `request.tls.cipher` and so on. It is
    evaluated when the call is over; one that cannot be is `null`. Headers and parameters whose names speak of
    authorization, cookies, tokens, secrets, passwords or API keys are masked, and what is longer than 2,000 characters
    is cut."""
    query: bool = False
    """Whether the query is written, too. Queries hold tokens and personal data more often than one thinks. Naming
    `query` in `fields` does the same."""
    waiting: int = Bounded(default=100_000, ge=1)
    """Lines that may wait for a slow output, of 1 to 3 KB each; those beyond are dropped and counted."""

    @field_validator("fields", "labels")
    @classmethod
    def _once(cls, named: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(named)) < len(named):
            raise ValueError("a field or label is named twice")
        return named

    @field_validator("more")
    @classmethod
    def _without_bodies(cls, more: dict[str, Expression]) -> dict[str, Expression]:
        for name, expression in more.items():
            if expression.reads_body:
                raise ValueError(f"{name}: the body is gone when a line is written; `extract` and `log` can read it")
        return more


class AccessLog(Observer[AccessLogOptions]):
    """Writes one line when a call is over, whoever answered it and however it ended.

    In JSON a line has all of these, `null` where there is nothing to say:

    * `time` of arrival (RFC 3339, UTC, milliseconds); `id` of the call as `request-id` gave it; `trace_id` out of a
      well-formed `traceparent` (W3C Trace Context).
    * `client`, `method`, `scheme`, `host`, `path` and `http` (the version) of the request; `query` where asked for. The
      path is the one that was asked for, octet for octet, whatever steps have made of it.
    * `status` of the answer, none where the client was gone first; `outcome`: `ok`, `aborted` by the client, or how the
      answer broke off; `reason` of the last fault; `answered_by`, the step that answered in place of the backend.
    * `bytes_up` of the request body and `bytes_down` of the answer's; of a WebSocket those of its frames or, where
      steps or HTTP/2 are between, of its messages.
    * Times in milliseconds. For the client: `ms` until the last byte of the answer, and `ttfb_ms` until its head was
      ready. Of that, spent on backends, all tries together: `backend_ms` until the last byte, and `backend_ttfb_ms`
      until the head. `flow_ms` is `ttfb_ms` without `backend_ttfb_ms`: what hookgate and its steps took, including
      the wait for a body that a step reads.
    * `route`, `connection` and `target` of the last try, `tries`, and `generation` of the configuration.
    * `subject`, who called, and `certificate`, the subject of the one that the client has shown; `tls`, the version of
      it, and `server_name`, the host that the client asked for in it (SNI).
    * `rewritten_path`: the path as steps have left it, in its one spelling, where it is not what came.
    * `user_agent` as the client says it; `api`, `api_version` and `operation` (method and resource) where the route is
      one of an API, `application` that calls, and the `plan` by which it does.
    * `labels`, where the options name some, and `more`, where they ask for it: mappings, in text `labels.team=…`.

    What a reference of the document was resolved to is masked wherever it stands, if it has 6 characters or more.

    Calls never wait for the output: a thread makes the lines and writes them, together with others that come within 20
    ms. Lines are dropped if too many wait, and lost while the disk is full; a warning says how many, every 10 s at
    most, and the metric `hookgate_access_log_lines_lost_total`. Whatever could steer a terminal or forge a line is
    escaped.
    """

    _writer: Writer | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Open the output and start the thread that writes.

        Raises:
            MachineError: the output cannot be opened.
        """
        options = self.options
        render = renderer(
            options.format, options.fields, query=options.query, labels=bool(options.labels), more=bool(options.more)
        )
        self._writer = writer = Writer(Output(options.output), render, host.clock, host.log, waiting=options.waiting)
        about = "Lines of access logs that were dropped, or that the output did not take."
        host.metrics.counter("access_log_lines_lost_total", about, read=lambda: writer.lost)

    @hookimpl
    async def shutdown(self) -> None:
        """Write what is waiting and close the output."""
        if self._writer is not None:
            await asyncio.to_thread(self._writer.close)

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None:
        """Hand what the line needs to the thread."""
        writer = self._writer
        assert writer is not None, "startup comes first"
        writer.put(record_of(exchange, self.options.labels, self.options.more))
