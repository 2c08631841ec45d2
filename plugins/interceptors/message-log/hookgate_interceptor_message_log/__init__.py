"""Write requests and responses to the log, bodies included, secrets masked."""

import asyncio
import json
import logging
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from hookgate import Body, Exchange, Headers, Host, Interceptor, Options, hide, hide_in, hookimpl
from hookgate_interceptor_message_log.file import LineFile
from hookgate_interceptor_message_log.hidden import Hidden
from hookgate_interceptor_message_log.masking import Masking, Withheld

LOGGER = "hookgate.messages"
BEHIND = 4096
"""Bytes behind what is written of a body in which the rest of a secret is looked for that begins in it."""

log = logging.getLogger(LOGGER)


def _header_name(name: str) -> str:
    Headers({name: ""})
    return name


class MessageLogOptions(Options):
    """Options of `message-log`."""

    output: Literal["logger"] | Path = "logger"
    """Where lines go: to the logger `hookgate.messages` at level INFO, or to a file that is appended to. A new file can
    be read by its owner only."""
    bytes: int = Field(default=4096, ge=0)
    """Bytes of each body that are written, at most; 0 for heads only."""
    mask: tuple[Annotated[str, AfterValidator(_header_name)], ...] = ()
    """Headers whose values are masked, beyond `Authorization`, `Proxy-Authorization`, `Cookie`, `Set-Cookie` and
    `X-Api-Key`."""
    mask_fields: tuple[str, ...] = (
        "password",
        "secret",
        "token",
        "access_token",
        "refresh_token",
        "client_secret",
    )
    """Fields whose values are masked, in JSON at any depth, in forms and in queries. Case and punctuation do not count:
    `access_token` is `accessToken`, too."""
    sample: float = Field(default=1.0, ge=0, le=1)
    """Share of the calls that are written, from 0 to 1, chosen by chance; of a call, both messages are or none."""

    @model_validator(mode="after")
    def _names_are_names(self) -> "MessageLogOptions":
        Masking(self.mask, self.mask_fields)
        return self


class MessageLog(Interceptor[MessageLogOptions]):
    """Writes one JSON object a line for each request and each response, once its body has passed.

    Placed in `flow` it writes both, in `request` or `response` one of them. A line holds `time` (when it is written, in
    UTC), `message` (`request` or `response`), `call` (the same for both), `id` of the call, `route`, the head as this
    step sees it, `bytes` of body that passed, `complete` (whether that is all of it), and `body`, `truncated` where
    there is more than `bytes` allows, or else `body_left_out` with the reason.

    Bodies are copied as they stream, never held back, and show what leaves: changes that steps further on make to a
    stream are in the copy, so of one that `compress` packs just the length is written, as of all that is not text in
    UTF-8. JSON that is cut is shown as far as its fields are whole. What a reference of the document was resolved to is
    masked wherever it stands. A value that is masked appears in no form: where a text speaks of a masked field and
    cannot be taken apart (as XML, pages and broken JSON), the whole of it is left out. What a step hides (`mask`) is
    treated likewise, whatever its name; such a step stands left of this one, as lines are written when their message
    has passed.
    """

    # Not `reads = {"request.body", …}`: core would hold the bodies back for these sync hooks.
    category = "tracing"
    writes = {"variables"}
    _file: LineFile | None = None

    def __init__(self, options: MessageLogOptions) -> None:
        super().__init__(options)
        self._masking = Masking(options.mask, options.mask_fields)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Open the file, if there is one.

        Raises:
            MachineError: it cannot be opened.
        """
        if isinstance(self.options.output, Path):
            self._file = LineFile(self.options.output, host.log)

    @hookimpl
    async def shutdown(self) -> None:
        """Write what is waiting and close the file."""
        if self._file is not None:
            await asyncio.to_thread(self._file.close)

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Take down the head of the request and copy its body."""
        call = self._call(exchange)
        if not call:
            return
        request, masking = exchange.request, self._masking
        entry = {
            "message": "request",
            "call": call,
            "id": exchange.id or None,
            "route": None if exchange.route is None else exchange.route.name,
            "client": request.client,
            "method": request.method,
            "scheme": request.scheme,
            "host": request.host,
            "path": masking.path(request.path),
            "query": masking.query(request.query),
            "headers": masking.head(request.headers),
        }
        exchange.variables[self._key("request")] = self._copy(exchange, entry, request.headers, request.body)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Take down the head of the response and copy its body."""
        call, response = self._call(exchange), exchange.response
        if not call or response is None:
            return
        entry = {
            "message": "response",
            "call": call,
            "id": exchange.id or None,
            "route": None if exchange.route is None else exchange.route.name,
            "status": response.status,
            "reason": None if exchange.fault is None else exchange.fault.reason,
            "headers": self._masking.head(response.headers),
        }
        empty = exchange.request.method == "HEAD" or response.status in (204, 304)
        exchange.variables[self._key("response")] = self._copy(
            exchange, entry, response.headers, response.body, empty=empty
        )

    @hookimpl
    def on_done(self, exchange: Exchange) -> None:
        """Write what waits for a body that nobody has read."""
        for message in ("request", "response"):
            if (copy := exchange.variables.get(self._key(message))) is not None:
                copy.close(complete=False)

    def _call(self, exchange: Exchange) -> str:
        """Settle, once a call, whether it is written: return what its lines have in common, or nothing."""
        key = self._key("call")
        if key not in exchange.variables:
            heard = self._file is not None or log.isEnabledFor(logging.INFO)
            chosen = heard and random.random() < self.options.sample  # noqa: S311 - no secret depends on it
            exchange.variables[key] = uuid.uuid4().hex if chosen else ""
        return str(exchange.variables[key])

    def _key(self, what: str) -> str:
        return f"message-log/{self.entry.id}/{what}"

    def _copy(
        self, exchange: Exchange, entry: dict[str, Any], headers: Headers, body: Body, *, empty: bool = False
    ) -> "_Copy":
        copy = _Copy(
            self.options.bytes and self.options.bytes + BEHIND, lambda copy: self._write(exchange, entry, headers, copy)
        )
        if empty or body.empty:
            copy.close(complete=True)
        elif body.replayable:
            copy.write(body.data)
            copy.close(complete=True)
        else:
            body.tee(copy)
            body.on_close(lambda _: copy.close(complete=False))  # for one that is never read
        return copy

    def _write(self, exchange: Exchange, entry: dict[str, Any], headers: Headers, copy: "_Copy") -> None:
        """Write the line of a message. `headers` are those of the end: another step may have encoded the body."""
        entry |= {"bytes": copy.passed, "complete": copy.complete}
        hidden = Hidden(entry["message"], exchange.hidden)
        hidden.head(entry)
        if copy.kept:
            try:
                most = self.options.bytes
                kept = hide(copy.kept.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
                truncated = copy.passed > len(copy.kept) or len(kept) > most
                whole = copy.complete and not truncated
                shown = self._masking.body(hidden.body(kept[:most], whole=whole), headers, whole=whole)
                entry["body"], entry["truncated"] = shown, truncated
            except Withheld as reason:
                entry["body_left_out"] = str(reason)
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": time, **hide_in(entry)}).replace("\x7f", "\\u007f")
        if self._file is not None:
            self._file.put(line)
        else:
            log.info("%s", line)


class _Copy:
    """Takes in a body as it streams by, and keeps its beginning."""

    def __init__(self, size: int, done: Callable[["_Copy"], None]) -> None:
        self.kept = bytearray()
        self.passed = 0
        self.complete = False
        self._size = size
        self._done: Callable[[_Copy], None] | None = done

    def write(self, chunk: bytes) -> None:
        self.passed += len(chunk)
        if len(self.kept) < self._size:
            self.kept += chunk[: self._size - len(self.kept)]

    def close(self, complete: bool) -> None:
        done, self._done = self._done, None
        if done is not None:
            self.complete = complete
            done(self)
